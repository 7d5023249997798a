//! Vertices: a component each, with its source and its fields.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use colophon_model::Sha256;
use serde_json::{Map, Value};

use super::export::{Export, Placed};
use super::known::{self, Known};
use crate::plan::langflow::DoneAs;
use crate::policy::CodePolicy;
use crate::problem::{Findings, Pointer};

/// A vertex whose parts are there and of the right kind.
pub(super) struct Vertex<'a> {
    /// Its place in the export.
    pub(super) at: Pointer,
    /// Its id.
    pub(super) id: &'a str,
    /// The component's name in LangFlow.
    pub(super) class: &'a str,
    /// The component's source.
    pub(super) code: Cow<'a, str>,
    /// SHA-256 of the source.
    pub(super) code_sha256: Sha256,
    /// The released source that this one is, if it is known.
    pub(super) known: Option<Known>,
    /// The fields.
    pub(super) template: &'a Map<String, Value>,
    /// `data.node`.
    pub(super) node: &'a Map<String, Value>,
    /// The outputs by name.
    outputs: Outputs<'a>,
}

/// Outputs by name.
pub(super) type Outputs<'a> = BTreeMap<&'a str, &'a Value>;

impl<'a> Vertex<'a> {
    /// Whether this is a Loop, which is compiled rather than run from its source.
    pub(super) fn is_loop(&self) -> bool {
        matches!(self.class, "LoopComponent" | "Loop")
    }

    /// The place of a field's member.
    pub(super) fn place(&self, field: &str, member: &str) -> Pointer {
        self.at.key("data").key("node").key("template").key(field).key(member)
    }

    /// The output called `name`, if the component has it.
    pub(super) fn output(&self, name: &str) -> Option<&'a Value> {
        self.outputs.get(name).copied()
    }

    /// The outputs that the export declares, in order, and the methods that give them. They count, and
    /// not those of the source: the editor lets a person choose among outputs
    /// (`Component.map_outputs`).
    pub(super) fn methods(&self) -> Vec<(String, String)> {
        let text =
            |output: &Value, name| output.get(name).and_then(Value::as_str).map(str::to_owned);
        let list = self.node.get("outputs").and_then(Value::as_array).into_iter().flatten();
        let pairs =
            list.filter_map(|output| Some((text(output, "name")?, text(output, "method")?)));
        pairs.filter(|(_, method)| is_method(method)).collect()
    }

    /// What a Loop's `done` is: exports up to LangFlow 1.4 declare it as `Data`.
    pub(super) fn done_as(&self) -> DoneAs {
        let types =
            self.output("done").and_then(|done| done.get("types")).and_then(Value::as_array);
        let frame = types.is_some_and(|t| t.iter().any(|t| t == "DataFrame" || t == "Table"));
        if frame { DoneAs::DataFrame } else { DoneAs::List }
    }
}

/// Reads the vertices that are whole, in order of their ids, and reports the others.
pub(super) fn read_all<'a>(
    export: &'a Export,
    policy: CodePolicy,
    findings: &mut Findings,
) -> Vec<Vertex<'a>> {
    let mut seen = BTreeSet::new();
    let mut vertices = Vec::new();
    for node in &export.nodes {
        if !seen.insert(node.id()) {
            let detail = "two vertices have this id";
            findings.add_at("E_DUPLICATE_NODE_ID", &node.at.key("id"), node.id(), detail);
        }
        let Some(vertex) = read(node, findings) else { continue };
        check_policy(&vertex, policy, findings);
        check_secrets(&vertex, findings);
        vertices.push(vertex);
    }
    vertices
}

fn read<'a>(placed: &'a Placed, findings: &mut Findings) -> Option<Vertex<'a>> {
    let (at, id, data) = (&placed.at, placed.id(), placed.value.get("data"));
    if id.is_empty() {
        findings.add("E_SCHEMA", &at.key("id"), "a vertex needs an id, which is a text");
        return None;
    }
    let class = data.and_then(|d| d.get("type")).and_then(Value::as_str);
    let node = data.and_then(|d| d.get("node")).and_then(Value::as_object);
    let template = node.and_then(|n| n.get("template")).and_then(Value::as_object);
    let (Some(class), Some(node), Some(template)) = (class, node, template) else {
        let detail = "a vertex needs `data.type`, and `data.node` with a `template`";
        findings.add_at("E_SCHEMA", &at.key("data"), id, detail);
        return None;
    };
    let code = template.get("code").and_then(|code| code.get("value")).and_then(source_text);
    let Some(code) = code.filter(|code| !code.trim().is_empty()) else {
        let detail = "the vertex carries no component source; open the flow in LangFlow 1.x, \
                      update the component and export again";
        findings.add_at("E_LF_NO_CODE", &at.key("data").key("node").key("template"), id, detail);
        return None;
    };
    let code_sha256 = Sha256::of(code.as_bytes());
    let known = known::find(code_sha256);
    let outputs = outputs(node);
    Some(Vertex { at: at.clone(), id, class, code, code_sha256, known, template, node, outputs })
}

/// The outputs of a vertex or a group; the first of a name counts. Read once, for every edge asks.
pub(super) fn outputs(node: &Map<String, Value>) -> Outputs<'_> {
    let list = node.get("outputs").and_then(Value::as_array).into_iter().flatten();
    let mut outputs = BTreeMap::new();
    for output in list {
        if let Some(name) = output.get("name").and_then(Value::as_str) {
            outputs.entry(name).or_insert(output);
        }
    }
    outputs
}

/// A component's source: a text, or a list of lines
/// (`lfx.utils.flow_code.normalize_code_for_import`).
pub(crate) fn source_text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Array(lines) => {
            let lines: Option<Vec<_>> = lines.iter().map(Value::as_str).collect();
            lines.map(|lines| Cow::Owned(lines.join("\n")))
        }
        _ => None,
    }
}

/// The policy is about all code that a flow brings: sources, and code that stands in a field, which
/// a known source would run just as well.
fn check_policy(vertex: &Vertex<'_>, policy: CodePolicy, findings: &mut Findings) {
    if policy == CodePolicy::AllowCustom {
        return;
    }
    check_code_fields(vertex, findings);
    let rule = match (policy, vertex.known) {
        (CodePolicy::None, _) => "is not allowed: the tenant's code policy is `none`",
        (_, None) => {
            "is not known from a release of lfx; update the component in LangFlow, or let an \
             operator set the tenant's code policy to `allow-custom`"
        }
        (_, Some(known)) if known.runs_code => {
            "is known, but it runs code or starts programs that its fields give or a model writes; \
             only the code policy `allow-custom` lets it"
        }
        (_, Some(_)) => return,
    };
    let class: String = vertex.class.chars().take(80).collect();
    let detail =
        format!("the source of `{}` (sha256 {}) {rule}", class.escape_debug(), vertex.code_sha256);
    let at = vertex.place("code", "value");
    findings.add_at("E_LF_UNTRUSTED_CODE", &at, vertex.id, detail);
}

/// Code in a field other than the component's own `code`.
fn check_code_fields(vertex: &Vertex<'_>, findings: &mut Findings) {
    for (name, field) in vertex.template.iter().filter(|(name, _)| *name != "code") {
        let is_code = ["type", "_input_type"].iter().any(|member| {
            let kind = field.get(member).and_then(Value::as_str);
            matches!(kind, Some("code" | "CodeInput"))
        });
        let given = ["value", "default"]
            .into_iter()
            .find(|member| field.get(member).is_some_and(|value| !is_empty(value)));
        if let Some(member) = given.filter(|_| is_code) {
            let shown: String = name.chars().take(80).collect();
            let detail = format!(
                "the field `{}` holds code; only the code policy `allow-custom` lets it run",
                shown.escape_debug()
            );
            let at = vertex.place(name, member);
            findings.add_at("E_LF_UNTRUSTED_CODE", &at, vertex.id, detail);
        }
    }
}

/// A field for a secret holds the name of a variable (`load_from_db`) or nothing. Checked for every
/// vertex, for all of them are committed, also those that do not run.
fn check_secrets(vertex: &Vertex<'_>, findings: &mut Findings) {
    for (name, field) in vertex.template {
        let Some(value) = field.get("value") else { continue };
        let from_variable = flag(field, "load_from_db") && value.is_string();
        let spelled_out = is_secret(field) && !from_variable && !is_empty(value);
        if spelled_out
            || from_variable && value.as_str().is_some_and(|name| name.len() > MAX_VARIABLE)
        {
            let detail = "a secret is never written out; choose a global variable for the field";
            let at = vertex.place(name, "value");
            findings.add_at("E_PLAINTEXT_SECRET", &at, vertex.id, detail);
        }
    }
}

/// Whether a field is for a secret.
pub(super) fn is_secret(field: &Value) -> bool {
    let kind = field.get("_input_type").and_then(Value::as_str);
    flag(field, "password") || kind == Some("SecretStrInput")
}

/// Whether this is a public method's name.
fn is_method(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Whether a member is `true`.
pub(super) fn flag(field: &Value, name: &str) -> bool {
    field.get(name).and_then(Value::as_bool) == Some(true)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Number(_) => false,
    }
}

/// Longest name of a variable, in bytes. A longer text is rather the secret itself; one that looks
/// like a key was found before.
const MAX_VARIABLE: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn codes(known: Option<Known>, template: &Value, policy: CodePolicy) -> Vec<String> {
        let (node, code) = (Map::new(), Cow::Borrowed("x"));
        let vertex = Vertex {
            at: Pointer::root(),
            id: "Chat-1",
            class: "ChatInput",
            code_sha256: Sha256::of(code.as_bytes()),
            code,
            known,
            template: template.as_object().unwrap(),
            node: &node,
            outputs: Outputs::new(),
        };
        let mut findings = Findings::default();
        check_policy(&vertex, policy, &mut findings);
        let problems = findings.finish().err();
        let problems = problems.iter().flat_map(crate::problem::Problems::as_slice);
        problems.map(|p| format!("{} {}", p.code, p.pointer)).collect()
    }

    /// To know a source is not to know what it runs.
    #[test]
    fn known_sources_bring_no_code_as_data() {
        let source = "E_LF_UNTRUSTED_CODE /data/node/template/code/value";
        let field = "E_LF_UNTRUSTED_CODE /data/node/template/f/value";
        let known = |runs_code| Some(Known { release: "1.13.0", runs_code });
        let plain = json!({"code": {"type": "code", "value": "x"}, "f": {"value": "def f(): ..."}});
        let mut coded = plain.clone();
        coded["f"]["type"] = "code".into();
        for (known, template, want) in [
            (known(false), &plain, vec![]),
            (known(true), &plain, vec![source]),
            (None, &plain, vec![source]),
            (known(false), &coded, vec![field]),
            (known(true), &coded, vec![source, field]),
        ] {
            assert_eq!(codes(known, template, CodePolicy::KnownOnly), want);
            assert!(codes(known, template, CodePolicy::AllowCustom).is_empty());
        }
        assert_eq!(codes(known(false), &plain, CodePolicy::None), [source]);
    }
}
