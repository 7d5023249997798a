//! Generated flows, run by the Python that `tests/setup.sh` makes.

#![allow(clippy::needless_pass_by_value, reason = "callers write values out in place")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use colophon_compiler::{CodePolicy, Compiled, Limits, Plan, Problems};
use colophon_model::{FileSet, FlowId, TenantSlug};
use serde_json::{Value, json};

use super::compiler;

/// Reads a flow of a tenant that takes code.
pub(crate) fn parse(flow: &Value) -> Result<Plan, Problems> {
    parse_as(flow, CodePolicy::AllowCustom)
}

/// Reads a flow.
pub(crate) fn parse_as(flow: &Value, policy: CodePolicy) -> Result<Plan, Problems> {
    compiler().parse(flow.to_string().as_bytes(), policy, &Limits::default())
}

/// Compiles a flow as `demo` of `acme-inc`.
pub(crate) fn compile(flow: &Value) -> Compiled {
    let plan = parse(flow).unwrap_or_else(|problems| panic!("{problems}"));
    let tenant = TenantSlug::new("acme-inc").unwrap();
    compiler().compile(&plan, &tenant, &FlowId::new("demo").unwrap()).unwrap()
}

/// A tenant's branch with one flow on it.
pub(crate) struct Branch(tempfile::TempDir);

impl Branch {
    /// Compiles a flow and writes it out.
    pub(crate) fn of(flow: &Value) -> Self {
        let branch = Self(tempfile::tempdir().unwrap());
        branch.write(&compiler().bootstrap(&TenantSlug::new("acme-inc").unwrap()));
        branch.write(&compile(flow).cloud);
        branch
    }

    fn write(&self, files: &FileSet) {
        for (path, file) in files.iter() {
            let at = self.path().join(path.as_str());
            std::fs::create_dir_all(at.parent().unwrap()).unwrap();
            std::fs::write(at, file.bytes()).unwrap();
        }
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Runs the flow's runner.
    pub(crate) fn runner(&self, args: &[&str], env: &[(&str, &str)]) -> Output {
        let module = ["-m", "app.runners.acme_inc.demo_runner"];
        self.python([&module, args].concat().as_slice(), env)
    }

    /// Runs Python in the folder.
    pub(crate) fn python(&self, args: &[&str], env: &[(&str, &str)]) -> Output {
        let mut command = Command::new(python());
        command.args(args).current_dir(self.path()).envs(env.iter().copied());
        command.env("PYTHONDONTWRITEBYTECODE", "1").output().unwrap()
    }

    /// What the flow gives for a payload.
    pub(crate) fn run(&self, payload: &Value) -> Value {
        self.runs(std::slice::from_ref(payload)).remove(0)
    }

    /// What the flow gives for each payload, in one process: to start Python costs most. A run that
    /// fails gives `{"error": text}`.
    pub(crate) fn runs(&self, payloads: &[Value]) -> Vec<Value> {
        let output = self.python(&["-c", RUNS, &json!(payloads).to_string()], &[]);
        let shown = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{shown}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Why the flow fails for a payload.
    pub(crate) fn failure(&self, payload: &Value) -> String {
        let run = self.run(payload);
        run["error"].as_str().unwrap_or_else(|| panic!("{run}")).to_owned()
    }

    /// Runs a script in which the runtime can be imported.
    pub(crate) fn script(&self, script: &str) {
        let output = self.python(&["-c", script], &[]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

const RUNS: &str = r#"
import asyncio, json, sys
from app.runners.acme_inc import demo_runner as runner
from app.colophon_rt.activepieces import StepFailed

async def main():
    found = []
    for payload in json.loads(sys.argv[1]):
        try:
            found.append(await runner.invoke(payload))
        except StepFailed as error:
            found.append({"error": str(error)})
    return found

print(json.dumps(asyncio.run(main())))
"#;

/// Python with the pinned packages of `tests/requirements.txt`.
fn python() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = std::env::var_os("COLOPHON_TEST_PYTHON")
        .map_or_else(|| here.join("../.cache/venv/bin/python"), PathBuf::from);
    assert!(python.exists(), "`{}` is missing: run `make test-setup`", python.display());
    python
}

/// A flow version with a webhook and `steps`, which follow each other.
pub(crate) fn flow(steps: &[Value]) -> Value {
    json!({
        "displayName": "Demo", "schemaVersion": "17", "valid": true,
        "trigger": {
            "name": "trigger", "type": "PIECE_TRIGGER", "valid": true, "displayName": "Webhook",
            "settings": {"pieceName": "@activepieces/piece-webhook", "pieceVersion": "~0.1.29",
                "triggerName": "catch_webhook", "input": {"authType": "none"}},
            "nextAction": chain(steps)
        }
    })
}

/// Steps that follow each other; null for none.
pub(crate) fn chain(steps: &[Value]) -> Value {
    let link = |next: Value, step: &Value| {
        let mut step = step.clone();
        step["nextAction"] = next;
        step
    };
    steps.iter().rev().fold(Value::Null, link)
}

/// A PIECE step.
pub(crate) fn piece(name: &str, action: &str, input: Value) -> Value {
    let (piece, action) = action.split_once('/').unwrap();
    json!({"name": name, "type": "PIECE", "valid": true, "displayName": name, "settings": {
        "pieceName": format!("@activepieces/piece-{piece}"), "pieceVersion": "~0.1.0",
        "actionName": action, "input": input, "propertySettings": {}}})
}

/// A step that gives `value` as it is resolved.
pub(crate) fn map(name: &str, value: Value) -> Value {
    piece(name, "data-mapper/advanced_mapping", json!({"mapping": value}))
}

/// A CODE step.
pub(crate) fn code(name: &str, input: Value, source: &str) -> Value {
    json!({"name": name, "type": "CODE", "valid": true, "displayName": name, "settings": {
        "input": input, "sourceCode": {"code": source, "packageJson": "{}"}}})
}

/// A LOOP_ON_ITEMS step.
pub(crate) fn repeat(name: &str, items: &str, body: &[Value]) -> Value {
    json!({"name": name, "type": "LOOP_ON_ITEMS", "valid": true, "displayName": name,
        "settings": {"items": items}, "firstLoopAction": chain(body)})
}

/// A ROUTER step of branches: conditions, or null for the fallback, and steps.
pub(crate) fn router(name: &str, mode: &str, branches: &[(Value, &[Value])]) -> Value {
    let head = |(index, (conditions, _)): (usize, &(Value, &[Value]))| match conditions {
        Value::Null => json!({"branchName": format!("b{index}"), "branchType": "FALLBACK"}),
        groups => json!({"branchName": format!("b{index}"), "branchType": "CONDITION",
            "conditions": groups}),
    };
    let heads: Vec<_> = branches.iter().enumerate().map(head).collect();
    let children: Vec<_> = branches.iter().map(|(_, steps)| chain(steps)).collect();
    json!({"name": name, "type": "ROUTER", "valid": true, "displayName": name,
        "settings": {"branches": heads, "executionType": mode}, "children": children})
}

/// Conditions that hold when the payload's member `name` does.
pub(crate) fn when(name: &str) -> Value {
    json!([[{"operator": "BOOLEAN_IS_TRUE", "firstValue": format!("{{{{trigger.{name}}}}}")}]])
}

/// A step that goes on when it fails.
pub(crate) fn going_on(mut step: Value) -> Value {
    step["settings"]["errorHandlingOptions"] = json!({"continueOnFailure": {"value": true}});
    step
}
