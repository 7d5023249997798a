//! Values of fields that no edge feeds, as `lfx.graph.vertex.param_handler` reads them.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::vertex::{Vertex, flag, is_secret};
use crate::problem::Findings;

/// What a component is given beside its edges.
#[derive(Debug, Default)]
pub(super) struct Params {
    /// Values by field.
    pub(super) values: Map<String, Value>,
    /// Fields whose value is the name of a variable.
    pub(super) env: Vec<String>,
    /// Fields whose value is a table that is handed over as a data frame.
    pub(super) frames: Vec<String>,
}

/// Types of fields that hold a value of their own (`lfx.utils.constants.DIRECT_TYPES`), beside
/// those that [`direct`] names. `other` is fed by edges only.
const PLAIN_TYPES: [&str; 16] = [
    "Any",
    "prompt",
    "mustache",
    "code",
    "tab",
    "sortableList",
    "actionPicker",
    "duration",
    "auth",
    "connect",
    "connection_ref",
    "query",
    "mcp",
    "model",
    "data_display",
    "other",
];

/// Reads the fields of `vertex` but those in `fed`.
pub(super) fn read(vertex: &Vertex<'_>, fed: &BTreeSet<&str>, findings: &mut Findings) -> Params {
    let mut params = Params::default();
    for (name, field) in vertex.template {
        let field_members = field.as_object();
        if field_members.is_none() || fed.contains(name.as_str()) || is_skipped(name, field) {
            continue;
        }
        match value(field) {
            Ok(Some(value)) => {
                note(vertex, fed, name, field, &value, &mut params);
                params.values.insert(name.clone(), value);
            }
            Ok(None) => {}
            Err(detail) => {
                findings.add_at("E_LF_FIELD", &vertex.place(name, "value"), vertex.id, detail);
            }
        }
    }
    params.env.sort();
    params.frames.sort();
    params
}

/// Whether a component's session is that of the run: it has the field, and nothing in it
/// (`lfx.run._defaults.apply_run_defaults`).
pub(super) fn takes_session(vertex: &Vertex<'_>, fed: &BTreeSet<&str>, params: &Params) -> bool {
    const FIELD: &str = "session_id";
    vertex.template.get(FIELD).is_some_and(Value::is_object)
        && !fed.contains(FIELD)
        && !params.values.get(FIELD).is_some_and(is_true)
}

/// `override_skip` wins over a field's type and visibility. The source is not a value.
fn is_skipped(name: &str, field: &Value) -> bool {
    let hidden = kind(field) == "other" || !flag(field, "show");
    matches!(name, "_type" | "code") || hidden && !flag(field, "override_skip")
}

/// Remembers what the runtime must do with a value before the component gets it.
fn note(
    vertex: &Vertex<'_>,
    fed: &BTreeSet<&str>,
    name: &str,
    field: &Value,
    value: &Value,
    params: &mut Params,
) {
    if kind(field) == "tools" {
        params.frames.push(name.to_owned());
    }
    // A model that comes in by an edge brings its own credentials.
    let model = vertex.template.get("model");
    let connected = fed.contains("model") && model.is_some()
        || model.is_some_and(|model| flag(model, "_connection_mode"));
    let unused = is_secret(field) && connected;
    let is_name = value.as_str().is_some_and(|name| !name.is_empty());
    if flag(field, "load_from_db") && is_name && !unused {
        params.env.push(name.to_owned());
    }
}

fn kind(field: &Value) -> &str {
    field.get("type").and_then(Value::as_str).unwrap_or_default()
}

/// The value, or nothing where lfx gives the component none.
fn value(field: &Value) -> Result<Option<Value>, &'static str> {
    let required = flag(field, "required");
    let value = direct(field)?.filter(|value| required || !value.is_null());
    let default = || field.get("default").filter(|d| is_true(d)).cloned();
    Ok(if value.is_none() && !required { default() } else { value })
}

fn direct(field: &Value) -> Result<Option<Value>, &'static str> {
    let own = field.get("value").filter(|value| !value.is_null());
    let is_file = field.get("_input_type").and_then(Value::as_str) == Some("FileInput");
    Ok(match (kind(field), own) {
        ("file", _) => Some(file(field)),
        _ if is_file => Some(file(field)),
        ("table", None) => Some(Value::Array(Vec::new())),
        ("table", Some(rows)) => Some(table(field, rows)?),
        ("tools", Some(rows)) if is_rows(rows) => Some(rows.clone()),
        ("tools", Some(_)) => return Err("a list of objects is needed"),
        ("dict" | "NestedDict", value) => Some(object(value)),
        ("int" | "float" | "slider" | "str" | "bool" | "tools", None) => None,
        ("int", Some(value)) => Some(integer(value)),
        ("float" | "slider", Some(value)) => Some(float(value)),
        ("str", Some(value)) => text(value),
        ("bool", Some(Value::String(text))) => Some(Value::Bool(!text.is_empty())),
        ("bool", Some(value)) => value.is_boolean().then(|| value.clone()),
        (other, value) if PLAIN_TYPES.contains(&other) => value.filter(|v| is_true(v)).cloned(),
        _ => return Err("the field has a type that lfx does not know, and no edge feeds it"),
    })
}

/// A file is known by `file_path`; `value` is the name it had on someone's disk.
fn file(field: &Value) -> Value {
    match field.get("file_path").filter(|path| is_true(path)) {
        Some(path) => path.clone(),
        None if !flag(field, "required") && flag(field, "list") => Value::Array(Vec::new()),
        None => Value::Null,
    }
}

/// Cells that name variables would need the runtime to look into tables, which it does not.
fn table(field: &Value, rows: &Value) -> Result<Value, &'static str> {
    let schema = field.get("table_schema").and_then(Value::as_array);
    let from_variables =
        schema.is_some_and(|columns| columns.iter().any(|c| flag(c, "load_from_db")));
    if !is_rows(rows) {
        return Err("a list of objects is needed");
    }
    if from_variables && is_true(rows) {
        return Err("a table with columns that name variables is not supported");
    }
    Ok(rows.clone())
}

fn is_rows(value: &Value) -> bool {
    value.as_array().is_some_and(|rows| rows.iter().all(Value::is_object))
}

/// `[{"key": k, "value": v}]` becomes `{k: v}`; other lists of objects are merged.
fn object(value: Option<&Value>) -> Value {
    let Some(Value::Array(items)) = value else { return value.cloned().unwrap_or_default() };
    let pair =
        |item: &Value| Some((item.get("key")?.as_str()?.to_owned(), item.get("value")?.clone()));
    let pairs: Option<Map<_, _>> = items.iter().map(pair).collect();
    let merged = || items.iter().filter_map(Value::as_object).flatten();
    Value::Object(match pairs {
        Some(pairs) if !items.is_empty() => pairs,
        _ => merged().map(|(key, value)| (key.clone(), value.clone())).collect(),
    })
}

/// Python's `int()`: truncates, reads a text with spaces around it, leaves other text alone.
fn integer(value: &Value) -> Value {
    let parsed = match value {
        Value::Bool(one) => Some(i64::from(*one)),
        Value::String(text) => text.trim().parse().ok(),
        Value::Number(number) if number.is_f64() => number.as_f64().map(|n| n.trunc() as i64),
        _ => None,
    };
    parsed.map_or_else(|| value.clone(), Value::from)
}

fn float(value: &Value) -> Value {
    let parsed = match value {
        Value::Bool(one) => Some(f64::from(u8::from(*one))),
        Value::String(text) => text.trim().parse().ok().filter(|n: &f64| n.is_finite()),
        _ => value.as_f64(),
    };
    parsed.map_or_else(|| value.clone(), Value::from)
}

/// A text, or a list of texts. `\n` spelled as two characters is a line end, as in the editor.
fn text(value: &Value) -> Option<Value> {
    match value {
        Value::String(text) => Some(Value::String(text.replace("\\n", "\n"))),
        Value::Array(items) => Some(items.iter().map(item_text).map(Value::String).collect()),
        _ => None,
    }
}

/// An item of a list of texts; a message or data counts by its text.
fn item_text(item: &Value) -> String {
    let inner = item.get("text").or_else(|| item.get("data").and_then(|data| data.get("text")));
    match (item, inner) {
        (Value::String(text), _) | (Value::Object(_), Some(Value::String(text))) => {
            text.replace("\\n", "\n")
        }
        (Value::Object(_), None) => String::new(),
        (Value::Bool(true), _) => "True".to_owned(),
        (Value::Bool(false), _) => "False".to_owned(),
        (Value::Null, _) => "None".to_owned(),
        (other, _) => other.to_string(),
    }
}

/// Python's truth of a value.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(one) => *one,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read_field(field: &Value) -> Option<Value> {
        value(field).unwrap()
    }

    /// The rows of lfx 1.13's `_handle_other_direct_types`, `_handle_dict_field`,
    /// `process_file_field` and `handle_optional_field`.
    #[test]
    fn values_are_cast_as_lfx_does() {
        for (kind, value, want) in [
            ("int", json!("12"), json!(12)),
            ("int", json!(" 7 "), json!(7)),
            ("int", json!(3.9), json!(3)),
            ("int", json!("x"), json!("x")),
            ("float", json!("0.5"), json!(0.5)),
            ("slider", json!(1), json!(1.0)),
            ("str", json!("a\\nb"), json!("a\nb")),
            (
                "str",
                json!(["a\\n", 1, {"text": "t"}, {"data": {"text": "u"}}]),
                json!(["a\n", "1", "t", "u"]),
            ),
            ("bool", json!("no"), json!(true)),
            ("bool", json!(false), json!(false)),
            ("dict", json!([{"key": "h", "value": 1}]), json!({"h": 1})),
            ("dict", json!([{"a": 1}, {"b": 2}]), json!({"a": 1, "b": 2})),
            ("dict", json!([]), json!({})),
            ("table", json!(null), json!([])),
            ("prompt", json!("p\\n"), json!("p\\n")),
        ] {
            let field = json!({"type": kind, "value": value, "show": true});
            assert_eq!(read_field(&field), Some(want), "{field}");
        }
    }

    #[test]
    fn nothing_is_given_where_lfx_gives_nothing() {
        for field in [
            json!({"type": "str", "value": null}),
            json!({"type": "int", "value": null, "required": true}),
            json!({"type": "prompt", "value": ""}),
            json!({"type": "file", "value": "a.txt", "file_path": ""}),
            json!({"type": "bool", "value": 1}),
        ] {
            assert_eq!(read_field(&field), None, "{field}");
        }
        assert_eq!(read_field(&json!({"type": "str", "default": "d"})), Some(json!("d")));
        assert_eq!(read_field(&json!({"type": "file", "file_path": "a"})), Some(json!("a")));
        assert_eq!(
            read_field(&json!({"type": "file", "required": true})),
            Some(json!(null)),
            "a required file is None"
        );
    }

    #[test]
    fn hidden_fields_are_skipped_unless_they_say_otherwise() {
        assert!(is_skipped("a", &json!({"type": "str", "show": false})));
        assert!(is_skipped("a", &json!({"type": "other", "show": true})));
        assert!(!is_skipped("a", &json!({"type": "str", "show": false, "override_skip": true})));
        assert!(is_skipped("code", &json!({"type": "code", "show": true})));
    }
}
