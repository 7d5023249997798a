//! The static runtime files, as far as plain `python3` can run them.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;

use support::{compile, compiler, fixture, python};

/// Writes `files` below a fresh folder.
fn write(files: &colophon_model::FileSet) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, file) in files.iter() {
        let at = dir.path().join(path.as_str());
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::fs::write(at, file.bytes()).unwrap();
    }
    dir
}

const VALUES: &str = r#"
import os, sys
sys.path.insert(0, sys.argv[1])
from app.colophon_rt.values import MissingCredential, MissingValue, Scope, value
from app.colophon_rt.conditions import holds

scope = Scope({"n": 2, "t": "Ab"}, {"a": {"b": [{"c": None}, 5]}}, frozenset({"gone"}))
os.environ["CREDENTIAL_ERP_PASSWORD"] = "pw"
for template, want in [
    ({"lit": {"ref": ["a"]}}, {"ref": ["a"]}),
    ({"ref": ["a", "b", "1"]}, 5),
    ({"ref": ["input", "n"]}, 2),
    ({"ref": ["gone", "x"]}, None),
    ({"ref": ["credential", "erp", "password"]}, "pw"),
    ({"text": ["x", ["a", "b"], ["a", "b", "0", "c"], ["input", "n"], "{{y}}"]}, 'x[{"c":null},5]2{{y}}'),
    ({"list": [{"lit": 1}, {"ref": ["input", "t"]}]}, [1, "Ab"]),
    ({"object": {"k": {"ref": ["input", "n"]}}}, {"k": 2}),
]:
    got = value(template, scope)
    assert got == want and type(got) is type(want), (template, got)
for template, error in [
    ({"ref": ["a", "nothing"]}, MissingValue),
    ({"ref": ["a", "b", "7"]}, MissingValue),
    ({"ref": ["a", "b", "x"]}, MissingValue),
    ({"ref": ["input", "n", "__class__"]}, MissingValue),
    ({"ref": ["credential", "other"]}, MissingCredential),
]:
    try:
        value(template, scope)
    except error:
        pass
    else:
        raise AssertionError(template)

def test(op, left, right=None, case_sensitive=True):
    sides = {"left": left, "right": {"lit": right}}
    return holds({"op": op, "case_sensitive": case_sensitive, **sides}, scope)

text, missing = {"ref": ["input", "t"]}, {"ref": ["a", "nothing"]}
for op, left, right, want in [
    ("eq", text, "Ab", True), ("eq", text, "ab", False), ("ne", text, "ab", True),
    ("contains", text, "b", True), ("contains", {"lit": [1, 2]}, 2, True),
    ("not_contains", text, "x", True), ("starts_with", text, "A", True),
    ("ends_with", text, "b", True), ("gt", {"lit": "10"}, 9, True), ("gt", text, 1, False),
    ("ge", {"lit": 2}, 2, True), ("lt", {"lit": 1}, 2, True), ("le", {"lit": 3}, 2, False),
    ("lt", {"lit": True}, 2, False), ("exists", text, None, True),
    ("exists", missing, None, False), ("not_exists", missing, None, True),
    ("empty", missing, None, True), ("empty", {"lit": 0}, None, False),
    ("not_empty", text, None, True), ("true", {"lit": True}, None, True),
    ("true", {"lit": 1}, None, False), ("false", {"lit": False}, None, True),
]:
    assert test(op, left, right) is want, (op, left, right)
assert test("eq", text, "aB", case_sensitive=False)
"#;

/// References keep types, a missing value is an error, and every operator does what it says.
#[test]
fn values_and_conditions_of_the_cloud() {
    let compiled = compile(&fixture("summarise"));
    let dir = write(&compiled.cloud);
    for (path, file) in compiler().bootstrap(&"acme-inc".to_owned().try_into().unwrap()).iter() {
        let at = dir.path().join(path.as_str());
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::fs::write(at, file.bytes()).unwrap();
    }
    python(&["-c", VALUES, dir.path().to_str().unwrap()]);
}

const EDGE: &str = r#"
import io, json, sys, types
sys.path.insert(0, sys.argv[1])
calls = []

class Element:
    def __init__(self, selector):
        self.selector = selector
    def __getattr__(self, name):
        def call(*args):
            calls.append([self.selector, name, *args])
            if sys.argv[2] == "fail" and name == "click":
                raise ValueError("no such element\nand what the page held")
            return "A-1" if name == "inner_text" else None
        return call

class Page:
    def set_default_timeout(self, ms):
        calls.append(["timeout", ms])
    def goto(self, url):
        calls.append(["goto", url])
    def locator(self, selector):
        return Element(selector)

import colophon_edge
colophon_edge.with_page = lambda work: work(Page())
import segment_enter_order as script
job = {"run_id": "r1", "env": {"ERP_USER": "u", "ERP_PASSWORD": "pw"}, "payload": {
    "fetch_customer.body.name": "M & S", "input.customer_no": 7,
    "input.erp_url": sys.argv[3], "read_order.text": "A-42"}}
sys.stdin, real, sys.stdout = io.StringIO(json.dumps(job)), sys.stdout, io.StringIO()
code = colophon_edge.main(script.SEGMENT, script.STEPS)
answer, sys.stdout = json.loads(sys.stdout.getvalue()), real
print(json.dumps({"code": code, "answer": answer, "calls": calls}))
"#;

fn run_edge(mode: &str, url: &str) -> serde_json::Value {
    let dir = write(&compile(&fixture("order_intake")).edge.unwrap().files);
    let output = python(&["-c", EDGE, dir.path().to_str().unwrap(), mode, url]);
    serde_json::from_str(&output).unwrap()
}

/// A script does its steps in order with the values of the job, and answers with its results.
#[test]
fn an_edge_script_runs_its_steps_and_answers() {
    let run = run_edge("", "https://erp.example.com/");
    assert_eq!(run["code"], 0);
    let result = serde_json::json!({"enter_order": {"order_no": "A-1"}});
    let answer = serde_json::json!({"run_id": "r1", "segment": "enter_order", "result": result});
    assert_eq!(run["answer"], answer);
    let calls = run["calls"].as_array().unwrap();
    assert_eq!(calls[1], serde_json::json!(["goto", "https://erp.example.com/"]));
    assert!(calls.contains(&serde_json::json!(["input[name=\"password\"]", "fill", "pw"])));
    assert!(calls.contains(&serde_json::json!(["input[name=\"customer\"]", "fill", "M & S (7)"])));
}

/// A failure is an answer too, of one line, and an address from the payload is checked again.
#[test]
fn an_edge_script_reports_failure() {
    let run = run_edge("fail", "https://erp.example.com/");
    assert_eq!(
        (&run["code"], &run["answer"]["error"]),
        (&1.into(), &"ValueError: no such element".into())
    );
    let run = run_edge("", "file:///etc/passwd");
    let error = run["answer"]["error"].as_str().unwrap();
    assert!(error.contains("only http and https"), "{error}");
}
