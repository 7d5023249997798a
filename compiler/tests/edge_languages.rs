//! Edge scripts in AutoHotkey and PowerShell: what flows may not do with them, and hostile text.
//!
//! The scripts are read by grammars here and never run: neither language runs on the machines that
//! these tests are for.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;

use std::collections::BTreeSet;

use colophon_model::{EdgeRuntime, FileSet, FlowId, TenantSlug};
use rayon::prelude::*;
use serde_json::{Value, json};
use support::{PAYLOADS, compile, compiler, fixture, parse, text};

/// A flow whose only work is `node`, after a trigger.
fn flow(kind: &str, steps: &Value) -> Value {
    json!({
        "schema_version": "1.0", "id": "f", "slug": "f", "name": "F", "target": "dual",
        "credentials": ["erp"], "edge_env": {"ERP": "{{credential.erp}}"}, "inputs": {"a": {}},
        "nodes": [{"id": "t", "kind": "trigger.manual"}, {"id": "n", "kind": kind, "steps": steps}],
        "edges": [{"from": "t", "to": "n"}]
    })
}

fn codes(flow: &Value) -> Vec<(&'static str, String)> {
    let problems = parse(flow).err();
    let problems = problems.iter().flat_map(colophon_compiler::Problems::as_slice);
    problems.map(|problem| (problem.code, problem.pointer.to_string())).collect()
}

/// What a step of `kind` is, the code of its refusal, and where that points below the step.
fn check(kind: &str, table: &[(Value, &str, &str)]) {
    for (step, code, place) in table {
        let found = codes(&flow(kind, &json!([step])));
        let expected = (*code, format!("/nodes/1/steps/0{place}"));
        let seen = found.iter().any(|(code, place)| (*code, place) == (expected.0, &expected.1));
        let fits = if *code == "ok" { found.is_empty() } else { seen };
        assert!(fits, "{step}: expected {expected:?}, got {found:?}");
    }
}

#[test]
fn desktop_steps_are_of_a_closed_vocabulary() {
    check(
        "desktop.run",
        &[
            (json!({"op": "run", "path": "notepad.exe"}), "ok", ""),
            (json!({"op": "type", "text": "{{credential.erp}}"}), "ok", ""),
            (json!({"op": "script", "text": "MsgBox 1"}), "E_SCHEMA", "/op"),
            (json!({"op": "type"}), "E_SCHEMA", ""),
            (json!({"op": "type", "text": "a", "raw": true}), "E_SCHEMA", "/raw"),
            (json!({"op": "type", "text": "a\0b"}), "E_CONTROL_CHAR", "/text"),
            (json!({"op": "type", "text": "a".repeat(20_000)}), "E_TOO_LARGE", "/text"),
            (json!({"op": "type", "text": "\u{e9}".repeat(400)}), "E_TOO_LARGE", "/text"),
            (
                json!({"op": "set_clipboard", "text": "{{credential.erp}}"}),
                "E_CREDENTIAL_PLACE",
                "/text",
            ),
            (json!({"op": "activate", "window": "a\nb"}), "E_CONTROL_CHAR", "/window"),
            (json!({"op": "activate", "window": " "}), "E_SCHEMA", "/window"),
            (json!({"op": "keys", "keys": ["{Enter}"]}), "E_SCHEMA", "/keys"),
            (json!({"op": "keys", "keys": ["#r"]}), "E_SCHEMA", "/keys"),
            (json!({"op": "keys", "keys": []}), "E_SCHEMA", "/keys"),
            (json!({"op": "read_clipboard", "as": "class"}), "E_IDENT", "/as"),
            (
                json!({"op": "run", "path": "C:\\Windows\\System32\\cmd.exe"}),
                "E_CMDLET_DENIED",
                "/path",
            ),
            (json!({"op": "run", "path": "PowerShell.EXE"}), "E_CMDLET_DENIED", "/path"),
            (json!({"op": "run", "path": "{{input.a}}.exe"}), "E_SCHEMA", "/path"),
            (json!({"op": "run", "path": "*runas x.exe"}), "E_SCHEMA", "/path"),
            (json!({"op": "run", "path": "a.bat"}), "E_SCHEMA", "/path"),
            (json!({"op": "run", "path": "a.exe", "args": ["a", 1]}), "E_SCHEMA", "/args"),
        ],
    );
}

#[test]
fn cmdlets_and_their_parameters_are_of_a_closed_list() {
    let step =
        |cmdlet: &str, params: Value| json!({"op": "invoke", "cmdlet": cmdlet, "params": params});
    let path = |path: &str| step("Get-Item", json!({"LiteralPath": path}));
    check(
        "shell.powershell",
        &[
            (path("C:\\a.txt"), "ok", ""),
            (path("\\\\server\\share\\{{input.a}}"), "ok", ""),
            (path("function:\\Invoke-EdgeStep"), "E_SCHEMA", "/params/LiteralPath"),
            (path("C:\\a:b"), "E_SCHEMA", "/params/LiteralPath"),
            (path("C:\\{{input.a}}:b"), "E_SCHEMA", "/params/LiteralPath"),
            (step("Invoke-Expression", json!({})), "E_CMDLET_DENIED", "/cmdlet"),
            (step("get-item", json!({})), "E_CMDLET_DENIED", "/cmdlet"),
            (step("Get-Item; calc", json!({})), "E_CMDLET_DENIED", "/cmdlet"),
            (step("Get-Item", json!({"Pat": "a"})), "E_CMDLET_DENIED", "/params/Pat"),
            (
                step("Get-Item", json!({"a' = calc; '": "a"})),
                "E_CMDLET_DENIED",
                "/params/a' = calc; '",
            ),
            (step("Get-Item", json!({"LiteralPath": 1})), "E_SCHEMA", "/params/LiteralPath"),
            (step("Start-Sleep", json!({"Seconds": 1})), "ok", ""),
            (step("Start-Sleep", json!({"Seconds": "$(calc)"})), "E_SCHEMA", "/params/Seconds"),
            (step("New-Item", json!({"ItemType": "SymbolicLink"})), "E_SCHEMA", "/params/ItemType"),
            (step("Copy-Item", json!({"Force": "true"})), "E_SCHEMA", "/params/Force"),
            (
                step("Invoke-RestMethod", json!({"Uri": "file:///etc/passwd"})),
                "E_URL_SCHEME",
                "/params/Uri",
            ),
            (
                step("Invoke-RestMethod", json!({"Headers": {"Authorization": "Bearer opaque"}})),
                "E_PLAINTEXT_SECRET",
                "/params/Headers/Authorization",
            ),
            (
                step("Invoke-RestMethod", json!({"Headers": {"X-A": "1", "x-a": "2"}})),
                "E_SCHEMA",
                "/params/Headers/x-a",
            ),
        ],
    );
}

/// A bundle holds one language, so a flow's edge nodes agree on it.
#[test]
fn a_flow_has_edge_scripts_in_one_language() {
    for (name, runtime) in [
        ("order_intake", EdgeRuntime::Python),
        ("print_label", EdgeRuntime::Ahk),
        ("collect_files", EdgeRuntime::Ps1),
    ] {
        assert_eq!(compile(&fixture(name)).edge.unwrap().manifest.runtime, runtime, "{name}");
    }
    let mut mixed = flow("desktop.run", &json!([{"op": "keys", "keys": ["Enter"]}]));
    let shell = json!([{"op": "invoke", "cmdlet": "Get-Date"}]);
    let node = json!({"id": "m", "kind": "shell.powershell", "steps": shell});
    mixed["nodes"].as_array_mut().unwrap().push(node);
    mixed["edges"].as_array_mut().unwrap().push(json!({"from": "n", "to": "m"}));
    assert_eq!(codes(&mixed), [("E_EDGE_RUNTIME", "/nodes/2".to_owned())]);

    let mut asked = flow("desktop.run", &json!([{"op": "keys", "keys": ["Enter"]}]));
    asked["edge_runtime"] = "python".into();
    assert_eq!(codes(&asked), [("E_EDGE_RUNTIME", "/nodes/1".to_owned())]);

    let mut packages = flow("desktop.run", &json!([{"op": "keys", "keys": ["Enter"]}]));
    packages["edge_requirements"] = json!([{"name": "httpx", "version": "0.28.1"}]);
    assert_eq!(codes(&packages), [("E_EDGE_RUNTIME", "/edge_requirements".to_owned())]);

    let mut limited = flow("shell.powershell", &shell_steps());
    limited["nodes"][1]["timeout_ms"] = 1000.into();
    assert_eq!(codes(&limited), [("E_SCHEMA", "/nodes/1/timeout_ms".to_owned())]);
}

fn shell_steps() -> Value {
    json!([{"op": "invoke", "cmdlet": "Get-Date"}])
}

fn script(files: &FileSet, extension: &str) -> String {
    text(files, &format!("segment_n.{extension}"))
}

/// Every payload in every place for free text. That each comes out as the very same text is what the
/// compiler's own gate checks with a grammar; here it is that nothing is refused and that the script
/// has the same lines whatever the text is.
#[test]
fn hostile_text_changes_no_script() {
    let mut shapes = [BTreeSet::new(), BTreeSet::new()];
    for payload in PAYLOADS {
        let mixed = format!("{payload}{{{{input.a}}}}{payload}");
        let mut desktop = json!([
            {"op": "type", "text": payload}, {"op": "set_clipboard", "text": mixed},
            {"op": "run", "path": "a.exe", "args": [payload, mixed]},
            {"op": "activate", "window": payload}
        ]);
        if payload.contains(char::is_control) || payload.contains(is_disruptive) {
            desktop[3]["window"] = "w".into();
        }
        let desktop = flow("desktop.run", &desktop);
        if payload.contains('\0') {
            assert!(codes(&desktop).iter().all(|(code, _)| *code == "E_CONTROL_CHAR"));
        } else {
            let script = script(&compile(&desktop).edge.unwrap().files, "ahk");
            shapes[0].insert(shape(&script));
        }
        let mut shell = json!([
            {"op": "invoke", "cmdlet": "Set-Content", "params": {"Value": mixed, "LiteralPath": payload}},
            {"op": "invoke", "cmdlet": "Get-ChildItem", "params": {"Filter": payload}, "as": "r"}
        ]);
        if payload.contains([':', '\0']) {
            shell[0]["params"]["LiteralPath"] = "p".into();
        }
        let script = script(&compile(&flow("shell.powershell", &shell)).edge.unwrap().files, "ps1");
        shapes[1].insert(shape(&script));
    }
    assert_eq!(shapes.map(|shapes| shapes.len()), [1, 1]);
}

fn is_disruptive(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}' | '\u{202e}' | '\u{feff}')
}

/// The lines of a script by their first words; all of it printable ASCII.
fn shape(script: &str) -> String {
    assert!(script.bytes().all(|b| b == b'\n' || (b' '..=b'~').contains(&b)));
    let first = |line: &str| line.trim().split(['(', ' ']).next().unwrap_or_default().to_owned();
    script.lines().map(first).collect::<Vec<_>>().join("\n")
}

/// Each payload in place of every text of every flow, and after it: the flow is refused in words for
/// its author, or it compiles. Never is it the code that turns out to be broken, and the gates compare the
/// texts of each module with those that the flow holds.
#[test]
fn hostile_text_in_any_place_is_refused_or_stays_text() {
    let flows = ["order_intake", "print_label", "collect_files"].map(fixture);
    let (compiled, refused) = PAYLOADS
        .par_iter()
        .map(|payload| flows.iter().map(|flow| try_everywhere(flow, payload)).fold((0, 0), add))
        .reduce(|| (0, 0), add);
    assert!(compiled > 1500 && refused > 1500, "{compiled} compiled, {refused} refused");
}

fn add(one: (usize, usize), other: (usize, usize)) -> (usize, usize) {
    (one.0 + other.0, one.1 + other.1)
}

/// How many of the changed flows compile, and how many are refused.
fn try_everywhere(flow: &Value, payload: &str) -> (usize, usize) {
    let mut counts = (0, 0);
    for place in texts(flow, "") {
        let before = flow.pointer(&place).unwrap().as_str().unwrap();
        for text in [payload.to_owned(), format!("{before}{payload}")] {
            let mut changed = flow.clone();
            *changed.pointer_mut(&place).unwrap() = text.into();
            let Ok(plan) = parse(&changed) else {
                counts.1 += 1;
                continue;
            };
            let tenant = TenantSlug::new("acme-inc").unwrap();
            let done = compiler().compile(&plan, &tenant, &FlowId::new("f").unwrap());
            assert!(done.is_ok(), "{place} = {payload:?}: {:?}", done.err());
            counts.0 += 1;
        }
    }
    counts
}

/// Every place of `value` that holds a text.
fn texts(value: &Value, at: &str) -> Vec<String> {
    match value {
        Value::String(_) => vec![at.to_owned()],
        Value::Object(members) => {
            members.iter().flat_map(|(key, value)| texts(value, &format!("{at}/{key}"))).collect()
        }
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(i, v)| texts(v, &format!("{at}/{i}"))).collect()
        }
        _ => Vec::new(),
    }
}
