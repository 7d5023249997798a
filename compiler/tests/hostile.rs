//! Hostile text in every place that holds data: it must come out of the generated code as the very
//! same text, and the code must have no other effect.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;

use std::collections::BTreeSet;

use colophon_compiler::{CodePolicy, Limits};
use colophon_model::{FlowId, TenantSlug};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use serde_json::{Value, json};
use support::{compile, compiler, parse, python, text};

/// Texts that end a literal, a line or a comment in some language, or that look different from what
/// they are. Those with `{{` are for places where no references are read.
const PAYLOADS: &[&str] = &[
    "it's \"q\"",
    "a\nimport os; os.system('id')\n#",
    "\"\"\"",
    "'''",
    "\\",
    "\\\"",
    "\\N{DIGIT ONE} \\x41 \\u0041",
    "{% raw %} << x >> <% if %>",
    "$(Get-Process) $env:PATH ${HOME}",
    "`$(calc) `n `",
    "x ; MsgBox(\"pwn\")",
    "x\t;comment",
    "'; Start-Process calc; '",
    "\u{2019}; calc; \u{2018}",
    "\u{201c}$(calc)\u{201d}",
    "'@\ncalc\n@'",
    "a\u{2028}b\u{2029}c\u{85}d",
    "\0nul",
    "\r\nExitApp",
    "\u{1f366} non-BMP",
    "\u{202e}rtl",
    "%A_ComSpec%",
    "::hotstring::",
    "f\"{x}\"",
    "#Include evil.ahk",
    ")\n(",
    "// /* */ <#",
    "\u{feff}bom",
    "__import__('os').system('id')",
    "\u{7f}\u{80}\u{ff}\u{100}\u{ffff}\u{10ffff}",
];

/// A flow with `payload` in every place that holds free text, and the texts to find again.
fn flow(payload: &str) -> Value {
    json!({
        "schema_version": "1.0", "id": "f", "slug": "f", "name": "F", "target": "dual",
        "inputs": {"a": {"default": [payload]}},
        "nodes": [
            {"id": "t", "kind": "trigger.manual"},
            {"id": "ask", "kind": "llm.chat", "model": "m", "system": payload,
             "prompt": format!("{payload}{{{{input.a}}}}{payload}")},
            {"id": "get", "kind": "http.request", "method": "POST", "url": "https://example.org/",
             "json": {payload: [payload, {"b": payload}], "r": "{{ask.text}}"}},
            {"id": "way", "kind": "logic.router", "branches": [
                {"name": "x", "any": [[{"op": "eq", "left": payload, "right": [payload]}]]},
                {"name": "y", "fallback": true}]},
            {"id": "map", "kind": "data.map", "fields": {"v": {payload: payload}}},
            {"id": "web", "kind": "browser.run", "steps": [
                {"op": "fill", "selector": "#a", "value": payload}]}
        ],
        "edges": [{"from": "t", "to": "ask"}, {"from": "ask", "to": "get"},
            {"from": "get", "to": "way"}, {"from": "way", "to": "map", "branch": "x"},
            {"from": "map", "to": "web"}]
    })
}

/// Reads the modules named on the command line: every text in each, as Python sees it.
const TEXTS: &str = r"
import ast, json, sys
found = []
for path in sys.argv[1:]:
    nodes = ast.walk(ast.parse(open(path, encoding='ascii').read()))
    constants = [node.value for node in nodes if isinstance(node, ast.Constant)]
    found.append([value for value in constants if isinstance(value, str)])
print(json.dumps(found))
";

/// The whole way: through templates, gates and formatter, into Python and back.
#[test]
fn hostile_text_comes_out_of_python_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    let mut paths = Vec::new();
    let mut statements = BTreeSet::new();
    for (number, payload) in PAYLOADS.iter().enumerate() {
        let compiled = compile(&flow(payload));
        let edge = compiled.edge.unwrap();
        let sources = [
            text(&compiled.cloud, "app/flows/acme_inc/flow_f.py"),
            text(&edge.files, "segment_web.py"),
        ];
        for (kind, source) in sources.iter().enumerate() {
            let path = dir.path().join(format!("{number}_{kind}.py"));
            std::fs::write(&path, source).unwrap();
            paths.push(path);
        }
        // The statements are the same whatever the data is.
        let heads = |line: &&str| line.starts_with(|c: char| c.is_ascii_alphabetic());
        statements.insert(sources.map(|s| s.lines().filter(heads).count()));
    }
    assert_eq!(statements.len(), 1);
    let paths: Vec<&str> = paths.iter().map(|path| path.to_str().unwrap()).collect();
    let output = python(&[["-c", TEXTS].as_slice(), &paths].concat());
    let texts: Vec<Vec<String>> = serde_json::from_str(&output).unwrap();
    assert_eq!(texts.len(), 2 * PAYLOADS.len());
    for (payload, modules) in PAYLOADS.iter().zip(texts.chunks(2)) {
        for texts in modules {
            assert!(texts.iter().any(|text| text == payload), "{payload:?} is lost");
        }
    }
}

/// Where references are read, what looks like one and is none is refused, not interpreted.
#[test]
fn template_syntax_in_data_is_refused() {
    for payload in ["{{ 7*7 }}", "{{", "{{ self.__class__ }}", "{{ config }}{{"] {
        let problems = parse(&flow(payload)).unwrap_err();
        let codes: BTreeSet<_> = problems.as_slice().iter().map(|p| p.code).collect();
        assert!(codes.contains("E_EXPR") || codes.contains("E_REF_UNKNOWN"), "{payload}");
    }
}

/// Every text of every fixture, one at a time, is each payload: the flow is refused with a reason, or
/// its code passes the gates, which know the texts that the templates were given.
#[test]
fn every_text_of_a_flow_may_be_hostile() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/flows");
    let files = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    let flows: Vec<Value> =
        files.map(|path| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()).collect();
    let mut outcomes = [0_usize; 2];
    for flow in &flows {
        for place in texts_of(flow, String::new()) {
            for payload in PAYLOADS {
                let mut changed = flow.clone();
                *changed.pointer_mut(&place).unwrap() = json!(payload);
                outcomes[usize::from(accepted(&changed))] += 1;
            }
        }
    }
    assert!(flows.len() >= 4 && outcomes.iter().all(|count| *count > 500), "{outcomes:?}");
}

/// JSON pointers to the texts of `value`, but for component sources, which are code by intent.
fn texts_of(value: &Value, at: String) -> Vec<String> {
    match value {
        Value::String(text) if text.len() < 2_000 => vec![at],
        Value::Array(items) => {
            let item = |(i, item): (usize, &Value)| texts_of(item, format!("{at}/{i}"));
            items.iter().enumerate().flat_map(item).collect()
        }
        Value::Object(members) => {
            let name = |key: &str| key.replace('~', "~0").replace('/', "~1");
            let member =
                |(key, member): (&String, &Value)| texts_of(member, format!("{at}/{}", name(key)));
            members.iter().flat_map(member).collect()
        }
        _ => Vec::new(),
    }
}

fn accepted(flow: &Value) -> bool {
    let body = flow.to_string();
    let Ok(plan) = compiler().parse(body.as_bytes(), CodePolicy::AllowCustom, &Limits::default())
    else {
        return false;
    };
    let tenant = TenantSlug::new("acme-inc").unwrap();
    let id = plan.slug.clone().unwrap_or_else(|| FlowId::from_name(plan.name.as_str()));
    compiler().compile(&plan, &tenant, &id).unwrap_or_else(|e| panic!("{e}\n{body}"));
    true
}

/// Runs the text of an expression and compares with the JSON it was made from.
const EVALUATE: &str = r"
import ast, json, sys
pairs = json.load(open(sys.argv[1], encoding='utf-8'))
for source, want in pairs:
    got = ast.literal_eval(source)
    assert got == want and type(got) is type(want), (source, got, want)
";

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Any JSON value is the same value as a Python literal.
#[test]
fn literals_round_trip_through_python() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut pairs = Vec::new();
    for _ in 0..400 {
        let value = json_value().new_tree(&mut runner).unwrap().current();
        let held = json!({"a": value});
        let mut flow = flow("x");
        flow["inputs"]["a"]["default"] = held.clone();
        let module = text(&compile(&flow).cloud, "app/flows/acme_inc/flow_f.py");
        let inputs = module.split_once("INPUTS = ").unwrap().1.split_once("\nOUTPUTS").unwrap().0;
        pairs.push(json!([inputs, {"a": {"default": held, "required": false}}]));
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pairs.json");
    std::fs::write(&path, Value::Array(pairs).to_string()).unwrap();
    python(&["-c", EVALUATE, path.to_str().unwrap()]);
}
