//! Which part of the JSON is the flow, and what it says of itself.

use colophon_model::{NativeFlowId, Sha256};
use serde_json::{Map, Value};

use crate::plan::FlowName;
use crate::problem::{Findings, Pointer};

/// The newest schema that is read. Later ones, which the project's main branch already has, change what
/// expressions mean and what steps there are.
const NEWEST: u32 = 22;

/// The schema in which a step's output is below `output`; the one after took it back.
const NESTED: u32 = 22;

/// A flow version, wherever it stood.
pub(super) struct Version {
    /// Its place in the JSON.
    pub(super) at: Pointer,
    /// Its members.
    pub(super) body: Map<String, Value>,
    /// The flow's id in ActivePieces.
    pub(super) native: Option<NativeFlowId>,
    /// The flow's name.
    pub(super) name: Option<FlowName>,
    /// When the version was last changed, in milliseconds since 1970: later edits have greater ones.
    pub(super) revision: Option<u64>,
    /// Whether expressions find a step's output below `output`.
    pub(super) nested: bool,
}

/// Whether `flow` has the shape of an ActivePieces flow: a tree at `trigger`, in the place of a flow
/// version, a template, a template of the first kind, or a flow of the API.
pub(crate) fn is_flow(flow: &Value) -> bool {
    let list = flow.get("flows").and_then(Value::as_array);
    let has_trigger = |value: &Value| value.get("trigger").is_some_and(Value::is_object);
    has_trigger(flow)
        || flow.get("template").is_some_and(has_trigger)
        || flow.get("version").is_some_and(has_trigger)
        || list.is_some_and(|flows| flows.iter().any(has_trigger))
}

impl Version {
    /// Takes the version out of `flow`. None when there is not one alone.
    pub(super) fn read(mut flow: Value, findings: &mut Findings) -> Option<Self> {
        let of_api = flow.get("version").and(flow.get("id")).cloned();
        let (at, body) = take(&mut flow, findings)?;
        let Value::Object(body) = body else { return None };
        let schema = read_schema(&body, &at, findings);
        let name = read_name(&body, &at, findings);
        let native = read_native(&body, of_api.as_ref(), &at, findings);
        let revision = body.get("updated").and_then(Value::as_str).and_then(milliseconds);
        Some(Self { at, native, name, revision, nested: schema == Some(NESTED), body })
    }
}

fn take(flow: &mut Value, findings: &mut Findings) -> Option<(Pointer, Value)> {
    let root = Pointer::root();
    if let Some(Value::Array(flows)) = flow.get_mut("flows") {
        if flows.len() != 1 {
            let detail = format!("the template holds {} flows; send them one by one", flows.len());
            findings.add("E_AP_MANY_FLOWS", &root.key("flows"), detail);
            return None;
        }
        return Some((root.key("flows").index(0), flows.remove(0)));
    }
    for name in ["template", "version"] {
        if let Some(body) = flow.get_mut(name).filter(|body| body.get("trigger").is_some()) {
            return Some((root.key(name), body.take()));
        }
    }
    Some((root, flow.take()))
}

/// `null`, nothing, or `"1"` to the newest. None when it is not known.
fn read_schema(body: &Map<String, Value>, at: &Pointer, findings: &mut Findings) -> Option<u32> {
    let version = match body.get("schemaVersion") {
        None | Some(Value::Null) => return Some(0),
        Some(Value::String(text)) => {
            text.parse().ok().filter(|version: &u32| *text == version.to_string())
        }
        Some(_) => None,
    };
    let version = version.filter(|version| (1..=NEWEST).contains(version));
    if version.is_none() {
        let detail = format!("null or \"1\" to \"{NEWEST}\" is expected; export the flow again");
        findings.add("E_AP_SCHEMA_VERSION", &at.key("schemaVersion"), detail);
    }
    version
}

fn read_name(body: &Map<String, Value>, at: &Pointer, findings: &mut Findings) -> Option<FlowName> {
    let name = body.get("displayName").and_then(Value::as_str).and_then(FlowName::new);
    if name.is_none() {
        let detail = "a name of 1 to 200 characters on one line is needed";
        findings.add("E_SCHEMA", &at.key("displayName"), detail);
    }
    name
}

/// The flow's id: `flowId` of a version, `id` of a flow of the API. A template has none, and is known
/// by its name.
fn read_native(
    body: &Map<String, Value>,
    of_api: Option<&Value>,
    at: &Pointer,
    findings: &mut Findings,
) -> Option<NativeFlowId> {
    let id = match body.get("flowId").or(of_api) {
        None | Some(Value::Null) => {
            let name = body.get("displayName").and_then(Value::as_str).unwrap_or_default();
            NativeFlowId::new(format!("name:{}", Sha256::of(name.as_bytes())))
        }
        Some(id) => NativeFlowId::new(id.as_str().unwrap_or_default()),
    };
    if id.is_err() {
        let detail = "an id has 1 to 128 printable ASCII characters";
        findings.add("E_SCHEMA", &at.key("flowId"), detail);
    }
    id.ok()
}

/// A time as the API writes it (RFC 3339), in milliseconds since 1970.
fn milliseconds(text: &str) -> Option<u64> {
    let time: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(time.as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_revision() {
        assert_eq!(milliseconds("2024-01-02T03:04:05.678Z"), Some(1_704_164_645_678));
        assert_eq!(milliseconds("1704164645678"), None);
        assert_eq!(milliseconds("1969-12-31T00:00:00Z"), None);
    }
}
