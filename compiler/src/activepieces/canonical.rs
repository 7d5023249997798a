//! What of an ActivePieces flow is the flow, and what is where it is kept and how it is shown.

use serde_json::{Map, Value, json};

use crate::canonical::CanonicalFlow;

/// Members of a step that say how it is shown, or when it was saved.
const STEP: [&str; 3] = ["valid", "lastUpdatedDate", "position"];

/// Members of a step's settings that hold samples and the state of the editor.
const SETTINGS: [&str; 7] = [
    "sampleData",
    "inputUiInfo",
    "testResult",
    "propertySettings",
    "customLogoUrl",
    "packageType",
    "pieceType",
];

/// Name, schema version and the tree of steps: whoever sent it, in whatever wrapping.
pub(super) fn of(mut body: Map<String, Value>) -> CanonicalFlow {
    let mut trigger = body.remove("trigger").unwrap_or_default();
    strip(&mut trigger);
    CanonicalFlow::new(&json!({
        "displayName": body.remove("displayName"),
        "schemaVersion": body.remove("schemaVersion"),
        "trigger": trigger,
    }))
}

/// Takes what does not matter out of a step and of all below it.
fn strip(step: &mut Value) {
    let Some(members) = step.as_object_mut() else { return };
    members.retain(|name, _| !STEP.contains(&name.as_str()));
    if let Some(Value::Object(settings)) = members.get_mut("settings") {
        settings.retain(|name, _| !SETTINGS.contains(&name.as_str()));
    }
    if let Some(Value::Array(children)) = members.get_mut("children") {
        children.iter_mut().for_each(strip);
    }
    for name in ["firstLoopAction", "onSuccessAction", "onFailureAction", "nextAction"] {
        members.get_mut(name).into_iter().for_each(strip);
    }
}
