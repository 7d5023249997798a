//! `code.js`: code that a flow brings, kept apart and run apart.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;

use std::path::Path;
use std::process::Command;

use colophon_compiler::{CodePolicy, Compiled, Limits};
use colophon_model::{FlowId, Sha256, TenantSlug};
use serde_json::{Value, json};
use support::{compiler, python, text};

const SOURCE: &str = "export default async ({ lines }) => {\n  console.log('adding');\n  \
                      return { sum: lines.reduce((a, b) => a + b, 0), env: process.env };\n};\n";

fn flow(source: &str) -> Value {
    json!({
        "schema_version": "1.0", "id": "f", "slug": "f", "name": "F", "inputs": {"lines": {}},
        "nodes": [
            {"id": "t", "kind": "trigger.manual"},
            {"id": "add", "kind": "code.js", "source": source, "input": {"lines": "{{input.lines}}"}},
            {"id": "end", "kind": "data.map", "fields": {"sum": "{{add.sum}}"}}
        ],
        "edges": [{"from": "t", "to": "add"}, {"from": "add", "to": "end"}]
    })
}

fn compile(source: &str) -> Compiled {
    let body = flow(source).to_string();
    let plan = compiler().parse(body.as_bytes(), CodePolicy::AllowCustom, &Limits::default());
    let tenant = TenantSlug::new("acme-inc").unwrap();
    compiler().compile(&plan.unwrap(), &tenant, &FlowId::new("f").unwrap()).unwrap()
}

/// Only the policy that allows any code lets it in: no table knows the sources of flows.
#[test]
fn a_flow_brings_code_only_where_the_tenant_may() {
    for (policy, code) in [
        (CodePolicy::None, Some("E_UNTRUSTED_CODE")),
        (CodePolicy::KnownOnly, Some("E_UNTRUSTED_CODE")),
        (CodePolicy::AllowCustom, None),
    ] {
        let body = flow(SOURCE).to_string();
        let problems = compiler().parse(body.as_bytes(), policy, &Limits::default()).err();
        let found = problems.map(|problems| {
            let problem = &problems.as_slice()[0];
            assert_eq!(problem.pointer.as_str(), "/nodes/1/source");
            problem.code
        });
        assert_eq!(found, code, "{policy}");
    }
}

/// The source is a file by its hash, byte for byte, and no generated module holds any of it.
#[test]
fn a_source_is_a_file_of_its_own() {
    for inside in ["", "\"\"\"; import os # '", "<< x >> {% y %} ${z}\r\n\u{2028}"] {
        let source = format!("{SOURCE}/* {inside} */");
        let compiled = compile(&source);
        let hash = Sha256::of(source.as_bytes());
        assert_eq!(text(&compiled.cloud, &format!("app/components/{hash}.mjs")), source);
        let module = text(&compiled.cloud, "app/flows/acme_inc/flow_f.py");
        assert!(module.contains(&format!("sha256=\"{hash}\"")), "{module}");
        assert!(module.contains("timeout_ms=60000"), "{module}");
        assert!(!source.lines().any(|line| line.len() > 3 && module.contains(line)), "{module}");
    }
}

/// What is no JavaScript, or needs other code, is refused with its place before anything runs.
#[test]
fn a_source_that_cannot_run_is_refused() {
    for (source, code, said) in [
        ("export default (", "E_CODE_SYNTAX", "line 1, column"),
        ("export default (a: number) => a", "E_CODE_SYNTAX", "line 1, column 18"),
        ("export const code = () => 1", "E_CODE_SYNTAX", "does not export"),
        ("import fs from 'fs';\nexport default fs", "E_CODE_DEPENDENCIES", "an `import`"),
        ("export default () => import('fs')", "E_CODE_DEPENDENCIES", "an `import()`"),
    ] {
        let body = flow(source).to_string();
        let parsed = compiler().parse(body.as_bytes(), CodePolicy::AllowCustom, &Limits::default());
        let problems = parsed.unwrap_err();
        let problem = &problems.as_slice()[0];
        assert_eq!((problem.code, problem.pointer.as_str()), (code, "/nodes/1/source"), "{source}");
        assert!(problem.detail.contains(said), "{source}: {}", problem.detail);
    }
}

const RUN: &str = r#"
import asyncio, json, os, pathlib, sys
sys.path.insert(0, sys.argv[1])
from app.colophon_rt import javascript
os.environ["SECRET"] = "hidden"
components = pathlib.Path(sys.argv[1]) / "app/components"
run = lambda name, given: asyncio.run(javascript.run(javascript.script(name), given))

def keep(source):
    import hashlib
    name = hashlib.sha256(source.encode()).hexdigest()
    (components / f"{name}.mjs").write_text(source)
    return name

def fails(name, what):
    try:
        run(name, {})
    except javascript.CodeFailed as error:
        assert what in str(error), error
    else:
        raise AssertionError(what)

assert run(sys.argv[2], {"lines": [1, 2, 3.5]}) == {"sum": 6.5, "env": {}}
assert run(keep("export default () => {}"), {}) is None
assert run(keep("export default (x) => x"), {"a": "\u2028\U0001f366"}) == {"a": "\u2028\U0001f366"}
fails(keep("export default () => { throw new Error('no such order') }"), "no such order")
fails(keep("export const code = 1"), "exports no function")
fails(keep("export default ("), "Unexpected")
fails(keep("process.exit(3)"), "ended without a result")
fails(keep("export default () => 'x'.repeat(9e6)"), "more than")
fails(keep("process.stdout.write('{}'); process.exit(0)"), "ended without a result")

(components / f"{sys.argv[2]}.mjs").write_text("export default () => 'other'")
fails(sys.argv[2], "is not what was compiled")

async def limited():
    name = keep("export default () => { while (true); }")
    try:
        await asyncio.wait_for(javascript.run(javascript.script(name), {}), 1)
    except asyncio.TimeoutError:
        return
    raise AssertionError("no time limit")
asyncio.run(limited())
assert os.popen("ps -e -o args").read().count(sys.argv[1] + "/app/colophon_rt/javascript.mjs") == 0
"#;

/// In Node.js, with nothing of the environment, within limits, and gone when the time is over.
#[test]
fn node_runs_it_with_an_empty_environment_and_limits() {
    if Command::new("node").arg("--version").output().is_err() {
        let mark = "../.cache/isomorphic-git.unavailable";
        assert!(Path::new(mark).exists(), "Node.js is needed: tests/setup.sh installs it");
        eprintln!("NOT RUN: code.js, since there is no Node.js");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let tenant = TenantSlug::new("acme-inc").unwrap();
    for files in [&compile(SOURCE).cloud, &compiler().bootstrap(&tenant)] {
        for (path, file) in files.iter() {
            let at = dir.path().join(path.as_str());
            std::fs::create_dir_all(at.parent().unwrap()).unwrap();
            std::fs::write(at, file.bytes()).unwrap();
        }
    }
    let hash = Sha256::of(SOURCE.as_bytes()).to_string();
    python(&["-c", RUN, dir.path().to_str().unwrap(), &hash]);
}
