//! Vertices: a component each, with its source and its fields.

use std::borrow::Cow;
use std::collections::BTreeSet;

use colophon_model::Sha256;
use serde_json::{Map, Value};

use super::export::{Export, Placed};
use super::known;
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
    /// The release that the source is known from.
    pub(super) release: Option<&'static str>,
    /// The fields.
    pub(super) template: &'a Map<String, Value>,
    /// `data.node`.
    pub(super) node: &'a Map<String, Value>,
}

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
        let outputs = self.node.get("outputs").and_then(Value::as_array)?;
        outputs.iter().find(|o| o.get("name").and_then(Value::as_str) == Some(name))
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
    let release = known::release_of(code_sha256);
    Some(Vertex { at: at.clone(), id, class, code, code_sha256, release, template, node })
}

/// A component's source: a text, or a list of lines
/// (`lfx.utils.flow_code.normalize_code_for_import`).
pub(super) fn source_text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Array(lines) => {
            let lines: Option<Vec<_>> = lines.iter().map(Value::as_str).collect();
            lines.map(|lines| Cow::Owned(lines.join("\n")))
        }
        _ => None,
    }
}

fn check_policy(vertex: &Vertex<'_>, policy: CodePolicy, findings: &mut Findings) {
    let rule = match policy {
        CodePolicy::AllowCustom => return,
        CodePolicy::KnownOnly if vertex.release.is_some() => return,
        CodePolicy::KnownOnly => {
            "is not known from a release of lfx; update the component in LangFlow, or let an \
             operator set the tenant's code policy to `allow-custom`"
        }
        CodePolicy::None => "is not allowed: the tenant's code policy is `none`",
    };
    let class: String = vertex.class.chars().take(80).collect();
    let detail =
        format!("the source of `{}` (sha256 {}) {rule}", class.escape_debug(), vertex.code_sha256);
    let at = vertex.place("code", "value");
    findings.add_at("E_LF_UNTRUSTED_CODE", &at, vertex.id, detail);
}

/// A field for a secret holds the name of a variable (`load_from_db`) or nothing. Checked for every
/// vertex, for all of them are committed, also those that do not run.
fn check_secrets(vertex: &Vertex<'_>, findings: &mut Findings) {
    for (name, field) in vertex.template {
        let Some(value) = field.get("value") else { continue };
        let from_variable = flag(field, "load_from_db") && value.is_string();
        let spelled_out = is_secret(field) && !from_variable && !is_empty(value);
        if spelled_out || from_variable && value.as_str().is_some_and(looks_like_key) {
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

/// Whether the name of a variable is rather the secret itself: a key of a service, or longer than
/// names are.
fn looks_like_key(name: &str) -> bool {
    crate::builder::secrets::looks_like_secret(name) || name.len() > 128
}
