//! The published JSON Schema, read by a validator that knows nothing of the compiler.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;

use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::{Value, json};
use support::{fixture, parse};

static SCHEMA: LazyLock<Validator> = LazyLock::new(|| {
    let schema = serde_json::from_str(colophon_compiler::FLOW_SCHEMA).unwrap();
    jsonschema::draft202012::meta::validate(&schema).unwrap();
    jsonschema::draft202012::new(&schema).unwrap()
});

const FLOWS: [&str; 5] =
    ["order_intake", "price_list", "summarise", "print_label", "collect_files"];

#[test]
fn every_flow_that_compiles_is_valid() {
    for name in FLOWS {
        let flow = fixture(name);
        let errors: Vec<_> = SCHEMA.iter_errors(&flow).map(|error| error.to_string()).collect();
        assert_eq!(errors, [""; 0], "{name}");
        parse(&flow).unwrap();
    }
}

/// What the schema refuses, the compiler refuses: nobody who checks first is told off for nothing. The
/// flows are the fixtures with one value replaced by another, everywhere.
#[test]
fn the_schema_is_not_stricter_than_the_compiler() {
    let mut refused = 0;
    for name in FLOWS {
        let flow = fixture(name);
        for pointer in pointers(&flow, "") {
            for value in
                [json!(null), json!(-1), json!(""), json!("a b"), json!([]), json!({"x": 1})]
            {
                let mut changed = flow.clone();
                *changed.pointer_mut(&pointer).unwrap() = value;
                if !SCHEMA.is_valid(&changed) {
                    refused += 1;
                    assert!(
                        parse(&changed).is_err(),
                        "{name} {pointer}: {}",
                        changed.pointer(&pointer).unwrap()
                    );
                }
            }
        }
    }
    assert!(refused > 1000, "{refused}");
}

/// What is about form alone is in the schema as well.
#[test]
fn the_schema_says_what_it_can_say() {
    for (name, pointer, value) in [
        ("summarise", "/schema_version", json!("1.1")),
        ("summarise", "/slug", json!("Order")),
        ("summarise", "/name", json!("a\nb")),
        ("summarise", "/target", json!("moon")),
        ("summarise", "/edge_runtime", json!("lua")),
        ("summarise", "/nodes/0/kind", json!("code.ruby")),
        ("summarise", "/nodes/0/id", json!("Start")),
        ("order_intake", "/edge_env/ERP_USER", json!("hunter2")),
        ("print_label", "/nodes/1/steps/0/op", json!("script")),
        ("print_label", "/nodes/1/steps/4/keys/0", json!("#r")),
        ("print_label", "/nodes/1/steps/0/path", json!("{{input.order_no}}.exe")),
        ("collect_files", "/nodes/1/steps/0/cmdlet", json!("Invoke-Expression")),
        ("collect_files", "/nodes/1/steps/0/params", json!({"a b": 1})),
        ("collect_files", "/nodes/0/cron", json!("@daily")),
        ("price_list", "/edges/0/extra", json!(1)),
    ] {
        let mut flow = fixture(name);
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        match flow.pointer_mut(parent).unwrap() {
            Value::Array(items) => items[member.parse::<usize>().unwrap()] = value,
            parent => parent[member] = value,
        }
        assert!(!SCHEMA.is_valid(&flow), "{name} {pointer}: the schema");
        assert!(parse(&flow).is_err(), "{name} {pointer}: the compiler");
    }
}

/// Every place of `value`, itself left out.
fn pointers(value: &Value, at: &str) -> Vec<String> {
    let below = |key: &str, value: &Value| {
        let here = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
        let mut all = pointers(value, &here);
        all.push(here);
        all
    };
    match value {
        Value::Object(members) => members.iter().flat_map(|(key, v)| below(key, v)).collect(),
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(i, v)| below(&i.to_string(), v)).collect()
        }
        _ => Vec::new(),
    }
}
