//! What is refused: one flow per rule, with the code and the place that are reported.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;

use colophon_compiler::{CodePolicy, Limits, Problems};
use serde_json::{Value, json};
use support::{compiler, parse};

/// A flow that is fine, with one node of most kinds. Node 6 runs at the edge.
fn good() -> Value {
    json!({
        "schema_version": "1.0", "id": "f1", "slug": "flow", "name": "Flow", "target": "dual",
        "credentials": ["erp"], "edge_env": {"ERP": "{{credential.erp}}"},
        "inputs": {"list": {"required": true}},
        "nodes": [
            {"id": "start", "kind": "trigger.manual"},
            {"id": "get", "kind": "http.request", "method": "GET", "url": "https://example.org/",
             "headers": {"Accept": "x"}, "json": {"a": 1}},
            {"id": "ask", "kind": "llm.chat", "model": "m", "prompt": "{{get.body}}"},
            {"id": "way", "kind": "logic.router", "branches": [
                {"name": "yes", "any": [[{"op": "eq", "left": "{{ask.text}}", "right": "yes"}]]},
                {"name": "no", "fallback": true}]},
            {"id": "each", "kind": "logic.loop", "items": "{{input.list}}", "body": ["line"]},
            {"id": "line", "kind": "data.map", "fields": {"text": "{{each.item}}"}},
            {"id": "type_in", "kind": "browser.run", "steps": [
                {"op": "goto", "url": "https://example.org/"},
                {"op": "fill", "selector": "#password", "value": "{{credential.erp}}"},
                {"op": "count", "selector": "li", "as": "n"}]},
            {"id": "end", "kind": "data.map", "fields": {"n": "{{type_in.n}}"}}
        ],
        "edges": [
            {"from": "start", "to": "get"}, {"from": "get", "to": "ask"},
            {"from": "ask", "to": "way"}, {"from": "way", "to": "each", "branch": "yes"},
            {"from": "way", "to": "type_in", "branch": "no"}, {"from": "type_in", "to": "end"}
        ]
    })
}

/// Sets what `pointer` names; the last member may be new, and `-` appends.
fn set(flow: &mut Value, pointer: &str, value: Value) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    match flow.pointer_mut(parent).unwrap() {
        Value::Array(items) if name == "-" => items.push(value),
        Value::Array(items) => items[name.parse::<usize>().unwrap()] = value,
        Value::Object(members) => {
            members.insert(name.replace("~1", "/"), value);
        }
        _ => panic!("{pointer}"),
    }
}

fn findings(flow: &Value) -> Vec<(String, String)> {
    let problems = parse(flow).err();
    let problems = problems.iter().flat_map(Problems::as_slice);
    problems.map(|p| (p.code.to_owned(), p.pointer.to_string())).collect()
}

#[test]
fn the_base_flow_is_fine() {
    assert_eq!(parse(&good()).unwrap().warnings, []);
}

/// What is changed, to what, and what must be reported where.
type Line = (&'static str, Value, &'static str, &'static str);

fn check(table: Vec<Line>) {
    for (pointer, value, code, place) in table {
        let mut flow = good();
        set(&mut flow, pointer, value.clone());
        let found = findings(&flow);
        let expected = (code.to_owned(), place.to_owned());
        let fits = if code == "ok" { found.is_empty() } else { found.contains(&expected) };
        assert!(fits, "{pointer} = {value}: expected {code} at {place}, got {found:?}");
    }
}

#[test]
fn every_rule_of_the_head_has_a_code_and_a_place() {
    let token = format!("ghp_{}", "a1B2".repeat(9));
    check(vec![
        ("/schema_version", json!("2.0"), "E_SCHEMA_VERSION", "/schema_version"),
        ("/schema_version", json!(1), "E_SCHEMA_VERSION", "/schema_version"),
        ("/surprise", json!(1), "E_SCHEMA", "/surprise"),
        ("/id", json!("a b"), "E_SCHEMA", "/id"),
        ("/slug", json!("../x"), "E_SLUG", "/slug"),
        ("/slug", json!("class"), "E_SLUG", "/slug"),
        ("/slug", json!("con"), "E_SLUG", "/slug"),
        ("/name", json!("a\nb"), "E_CONTROL_CHAR", "/name"),
        ("/name", json!("a\u{202e}b"), "E_CONTROL_CHAR", "/name"),
        ("/name", json!(" "), "E_SCHEMA", "/name"),
        ("/name", json!(token), "E_PLAINTEXT_SECRET", "/name"),
        ("/viewport", json!({"x": token}), "E_PLAINTEXT_SECRET", "/viewport/x"),
        ("/inputs/list/default", json!([token]), "E_PLAINTEXT_SECRET", "/inputs/list/default/0"),
        ("/name", json!("a".repeat(201)), "E_TOO_LARGE", "/name"),
        ("/revision", json!(-1), "E_SCHEMA", "/revision"),
        ("/target", json!("moon"), "E_SCHEMA", "/target"),
        ("/target", json!("cloud"), "E_EDGE_TARGET", "/nodes/6"),
        ("/edge_runtime", json!("lua"), "E_EDGE_RUNTIME", "/edge_runtime"),
        ("/edge_runtime", json!("ahk"), "E_EDGE_RUNTIME", "/nodes/6"),
        ("/edge_env/ERP", json!("hunter2"), "E_PLAINTEXT_SECRET", "/edge_env/ERP"),
        (
            "/edge_env/ERP",
            json!("{{credential.other}}"),
            "E_CREDENTIAL_UNDECLARED",
            "/edge_env/ERP",
        ),
        ("/edge_env/erp", json!("{{credential.erp}}"), "E_IDENT", "/edge_env/erp"),
        (
            "/edge_requirements",
            json!([{"name": "x", "version": ">=1"}]),
            "E_SCHEMA",
            "/edge_requirements/0/version",
        ),
        ("/credentials/0", json!("Not a name"), "E_IDENT", "/credentials/0"),
        (
            "/inputs/api_key",
            json!({"default": "x"}),
            "E_PLAINTEXT_SECRET",
            "/inputs/api_key/default",
        ),
        ("/inputs/A", json!({}), "E_IDENT", "/inputs/A"),
        ("/nodes", json!([]), "E_NO_TRIGGER", "/nodes"),
    ]);
}

#[test]
fn every_rule_of_a_node_has_a_code_and_a_place() {
    check(vec![
        ("/nodes/0/kind", json!("data.map"), "E_NO_TRIGGER", "/nodes"),
        (
            "/nodes/-",
            json!({"id": "again", "kind": "trigger.manual"}),
            "E_MANY_TRIGGERS",
            "/nodes/8",
        ),
        (
            "/nodes/-",
            json!({"id": "end", "kind": "data.map", "fields": {}}),
            "E_DUPLICATE_NODE_ID",
            "/nodes/8/id",
        ),
        ("/nodes/7/id", json!("__init__"), "E_IDENT", "/nodes/7/id"),
        ("/nodes/7/id", json!("class"), "E_IDENT", "/nodes/7/id"),
        ("/nodes/7/id", json!("con"), "E_IDENT", "/nodes/7/id"),
        ("/nodes/7/id", json!("../x"), "E_IDENT", "/nodes/7/id"),
        ("/nodes/7/id", json!("a.b"), "E_IDENT", "/nodes/7/id"),
        ("/nodes/7/id", json!("End"), "E_IDENT", "/nodes/7/id"),
        ("/nodes/7/id", json!("input"), "E_IDENT", "/nodes/7/id"),
        ("/nodes/7/id", json!("a".repeat(10_000)), "E_IDENT", "/nodes/7/id"),
        ("/nodes/7/label", json!("a\u{85}b"), "E_CONTROL_CHAR", "/nodes/7/label"),
        (
            "/nodes/7",
            json!({"id": "end", "kind": "code.js", "source": "export default () => 1;"}),
            "E_UNTRUSTED_CODE",
            "/nodes/7/source",
        ),
        (
            "/nodes/7",
            json!({"id": "end", "kind": "code.js", "source": " "}),
            "E_SCHEMA",
            "/nodes/7/source",
        ),
        (
            "/nodes/7",
            json!({"id": "end", "kind": "code.js", "source": "1", "target": "edge"}),
            "E_EDGE_KIND",
            "/nodes/7",
        ),
        ("/nodes/7/kind", json!("langflow.component"), "E_UNKNOWN_KIND", "/nodes/7/kind"),
        ("/nodes/7/fields", json!({"os.system": 1}), "E_IDENT", "/nodes/7/fields/os.system"),
        (
            "/nodes/7/fields",
            json!({"a": {"password": "x"}}),
            "E_PLAINTEXT_SECRET",
            "/nodes/7/fields/a/password",
        ),
        ("/nodes/7/retry", json!(6), "E_SCHEMA", "/nodes/7/retry"),
        ("/nodes/7/target", json!("edge"), "ok", ""),
        (
            "/nodes/0",
            json!({"id": "start", "kind": "trigger.schedule", "cron": "* * *"}),
            "E_SCHEMA",
            "/nodes/0/cron",
        ),
        ("/nodes/1/url", json!("javascript:alert(1)"), "E_URL_SCHEME", "/nodes/1/url"),
        ("/nodes/1/url", json!("file:///etc/passwd"), "E_URL_SCHEME", "/nodes/1/url"),
        ("/nodes/1/url", json!("https://u:p@example.org/"), "E_PLAINTEXT_SECRET", "/nodes/1/url"),
        ("/nodes/1/url", json!("https://a\r\nb"), "E_CONTROL_CHAR", "/nodes/1/url"),
        ("/nodes/1/method", json!("get"), "E_SCHEMA", "/nodes/1/method"),
        (
            "/nodes/1/headers",
            json!({"Authorization": "Bearer abc"}),
            "E_PLAINTEXT_SECRET",
            "/nodes/1/headers/Authorization",
        ),
        (
            "/nodes/1/headers",
            json!({"x-api-key": "abc{{get.body}}"}),
            "E_PLAINTEXT_SECRET",
            "/nodes/1/headers/x-api-key",
        ),
        (
            "/nodes/1/headers",
            json!({"Accept": "a\r\nX: b"}),
            "E_CONTROL_CHAR",
            "/nodes/1/headers/Accept",
        ),
        ("/nodes/1/headers", json!({"a b": "c"}), "E_SCHEMA", "/nodes/1/headers/a b"),
        (
            "/nodes/1/json",
            json!({"client_secret": "abc"}),
            "E_PLAINTEXT_SECRET",
            "/nodes/1/json/client_secret",
        ),
    ]);
}

#[test]
fn every_rule_of_a_reference_and_a_step_has_a_code_and_a_place() {
    let key = format!("sk-{}", "a1".repeat(20));
    check(vec![
        ("/nodes/2/prompt", json!(key), "E_PLAINTEXT_SECRET", "/nodes/2/prompt"),
        ("/nodes/2/api_key", json!("abc"), "E_PLAINTEXT_SECRET", "/nodes/2/api_key"),
        ("/nodes/2/prompt", json!("{{ 7*7 }}"), "E_EXPR", "/nodes/2/prompt"),
        ("/nodes/2/prompt", json!("{{credential.erp}}"), "E_CREDENTIAL_PLACE", "/nodes/2/prompt"),
        (
            "/nodes/2/api_key",
            json!("{{credential.other}}"),
            "E_CREDENTIAL_UNDECLARED",
            "/nodes/2/api_key",
        ),
        ("/nodes/2/prompt", json!("{{nobody.x}}"), "E_REF_UNKNOWN", "/nodes/2/prompt"),
        ("/nodes/2/prompt", json!("{{input.nothing}}"), "E_REF_UNKNOWN", "/nodes/2/prompt"),
        ("/nodes/2/prompt", json!("{{get.nothing}}"), "E_REF_UNKNOWN", "/nodes/2/prompt"),
        ("/nodes/2/prompt", json!("{{end.n}}"), "E_REF_NOT_UPSTREAM", "/nodes/2/prompt"),
        ("/nodes/2/prompt", json!("{{ask.text}}"), "E_REF_NOT_UPSTREAM", "/nodes/2/prompt"),
        (
            "/nodes/7/fields",
            json!({"n": "{{line.text}}"}),
            "E_REF_NOT_UPSTREAM",
            "/nodes/7/fields/n",
        ),
        ("/nodes/5/fields", json!({"n": "{{each.results}}"}), "E_REF_UNKNOWN", "/nodes/5/fields/n"),
        ("/nodes/2/temperature", json!(3), "E_SCHEMA", "/nodes/2/temperature"),
        (
            "/nodes/3/branches/0/any/0/0/op",
            json!("like"),
            "E_SCHEMA",
            "/nodes/3/branches/0/any/0/0/op",
        ),
        ("/nodes/3/branches/1/name", json!("yes"), "E_IDENT", "/nodes/3/branches"),
        ("/nodes/4/items", json!("a,b"), "E_EXPR", "/nodes/4/items"),
        ("/nodes/4/body", json!(["nobody"]), "E_REF_UNKNOWN", "/nodes/4/body/0"),
        ("/nodes/4/body", json!(["start"]), "E_LOOP_BOUNDARY", "/nodes/4/body/0"),
        ("/nodes/4/body", json!(["each"]), "E_CYCLE", "/edges"),
        ("/nodes/4/body", json!(["line", "line"]), "E_LOOP_BOUNDARY", "/nodes/4/body/1"),
        ("/nodes/6/target", json!("cloud"), "E_EDGE_KIND", "/nodes/6"),
        ("/nodes/1/target", json!("edge"), "E_EDGE_KIND", "/nodes/1"),
        ("/nodes/0/target", json!("edge"), "E_EDGE_KIND", "/nodes/0"),
        ("/nodes/5/target", json!("edge"), "E_EDGE_IN_CLOUD_LOOP", "/nodes/5"),
        (
            "/nodes/6/steps/1/value",
            json!("hunter2"),
            "E_PLAINTEXT_SECRET",
            "/nodes/6/steps/1/value",
        ),
        (
            "/nodes/6/steps/1/value",
            json!("{{credential.erp.user}}"),
            "E_CREDENTIAL_UNDECLARED",
            "/nodes/6/steps/1/value",
        ),
        ("/nodes/6/steps/1/op", json!("evaluate"), "E_SCHEMA", "/nodes/6/steps/1/op"),
        ("/nodes/6/steps/2/as", json!("A"), "E_IDENT", "/nodes/6/steps/2/as"),
        (
            "/nodes/6/steps/0/url",
            json!("file:///etc/passwd"),
            "E_URL_SCHEME",
            "/nodes/6/steps/0/url",
        ),
    ]);
}

#[test]
fn every_rule_of_an_edge_has_a_code_and_a_place() {
    let edge = |from: &str, to: &str| json!({"from": from, "to": to});
    check(vec![
        ("/edges/-", edge("nobody", "end"), "E_DANGLING_EDGE", "/edges/6/from"),
        ("/edges/-", edge("end", "nobody"), "E_DANGLING_EDGE", "/edges/6/to"),
        ("/edges/-", edge("end", "end"), "E_SELF_EDGE", "/edges/6"),
        ("/edges/-", edge("start", "get"), "E_DUPLICATE_EDGE", "/edges/6"),
        ("/edges/-", edge("end", "get"), "E_CYCLE", "/edges"),
        ("/edges/-", edge("end", "start"), "E_TRIGGER_EDGE", "/edges/6"),
        ("/edges/-", edge("line", "end"), "E_LOOP_BOUNDARY", "/edges/6"),
        ("/edges/-", edge("way", "end"), "E_BRANCH_UNKNOWN", "/edges/6/branch"),
        ("/edges/3/branch", json!("maybe"), "E_BRANCH_UNKNOWN", "/edges/3/branch"),
        ("/edges/0/branch", json!("yes"), "E_BRANCH_UNKNOWN", "/edges/0/branch"),
        ("/edges", json!("none"), "E_SCHEMA", "/edges"),
    ]);
}

/// The published schema and the compiler know the same kinds of node.
#[test]
fn the_published_schema_lists_the_kinds() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/flow-schema-1.0.json");
    let schema: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let kinds = schema["$defs"]["node"]["oneOf"].as_array().unwrap();
    let kinds: Vec<_> =
        kinds.iter().map(|kind| kind["properties"]["kind"]["const"].as_str().unwrap()).collect();
    let mut flow = good();
    set(&mut flow, "/nodes/7/kind", json!("unheard.of"));
    let problems = parse(&flow).unwrap_err();
    let detail = &problems.as_slice().iter().find(|p| p.code == "E_UNKNOWN_KIND").unwrap().detail;
    assert!(detail.ends_with(&kinds.join(", ")), "{detail}");
}

#[test]
fn a_cycle_is_spelled_out() {
    let mut flow = good();
    set(&mut flow, "/edges/-", json!({"from": "end", "to": "get"}));
    let problems = parse(&flow).unwrap_err();
    let cycle = problems.as_slice().iter().find(|p| p.code == "E_CYCLE").unwrap();
    assert!(
        cycle.detail.contains("ask -> way -> type_in -> end -> get -> ask"),
        "{}",
        cycle.detail
    );
}

/// A path that leaves the edge and comes back, and a segment entered at two nodes.
#[test]
fn segments_are_convex_and_have_one_entry() {
    let browser = |id: &str| json!({"id": id, "kind": "browser.run", "steps": [{"op": "click", "selector": "a"}]});
    let flow = |edges: &[(&str, &str)]| {
        let edges: Vec<_> = edges.iter().map(|(a, b)| json!({"from": a, "to": b})).collect();
        json!({
            "schema_version": "1.0", "id": "f", "slug": "f", "name": "F", "target": "dual",
            "nodes": [{"id": "t", "kind": "trigger.manual"}, browser("a"), browser("b"),
                {"id": "c", "kind": "data.map", "fields": {}}],
            "edges": edges,
        })
    };
    assert_eq!(findings(&flow(&[("t", "a"), ("a", "b"), ("b", "c")])), []);
    let out_and_in = findings(&flow(&[("t", "a"), ("a", "b"), ("a", "c"), ("c", "b")]));
    assert!(out_and_in.iter().any(|(code, _)| code == "E_EDGE_SEGMENT_NOT_CONVEX"));
    let two_entries = findings(&flow(&[("t", "a"), ("a", "b"), ("t", "c"), ("c", "b")]));
    assert_eq!(two_entries, [("E_EDGE_SEGMENT_ENTRIES".to_owned(), "/nodes".to_owned())]);
}

/// Somebody who repairs a flow sees everything that is wrong at once, in the order of the file.
#[test]
fn all_problems_are_reported_together() {
    let mut flow = good();
    for (pointer, value) in [
        ("/slug", json!("1")),
        ("/nodes/1/url", json!("ftp://example.org")),
        ("/nodes/2/prompt", json!("{{nobody.x}} {{")),
        ("/nodes/5/kind", json!("desktop.draw")),
        ("/nodes/6/steps/1/value", json!("hunter2")),
        ("/edges/-", json!({"from": "end", "to": "get"})),
        ("/edges/-", json!({"from": "end", "to": "nobody"})),
    ] {
        set(&mut flow, pointer, value);
    }
    let want = [
        ("E_CYCLE", "/edges"),
        ("E_DANGLING_EDGE", "/edges/7/to"),
        ("E_URL_SCHEME", "/nodes/1/url"),
        ("E_EXPR", "/nodes/2/prompt"),
        ("E_REF_UNKNOWN", "/nodes/2/prompt"),
        ("E_UNKNOWN_KIND", "/nodes/5/kind"),
        ("E_PLAINTEXT_SECRET", "/nodes/6/steps/1/value"),
        ("E_SLUG", "/slug"),
    ];
    let want = want.map(|(code, place)| (code.to_owned(), place.to_owned()));
    assert_eq!(findings(&flow), want);
}

#[test]
fn counts_are_bounded() {
    let limits = Limits { nodes: 7, edges: 5, ..Limits::default() };
    let body = good().to_string();
    let problems = compiler().parse(body.as_bytes(), CodePolicy::None, &limits).unwrap_err();
    let places: Vec<_> = problems.as_slice().iter().map(|p| (p.code, p.pointer.as_str())).collect();
    assert_eq!(places, [("E_TOO_LARGE", "/edges"), ("E_TOO_LARGE", "/nodes")]);
}

#[test]
fn what_is_no_flow_is_refused() {
    for body in ["null", "[]", "{}", r#"{"data": {}}"#, r#"{"data": {"nodes": 1}}"#] {
        let problems = compiler().parse(body.as_bytes(), CodePolicy::None, &Limits::default());
        assert_eq!(problems.unwrap_err().as_slice()[0].code, "E_SCHEMA", "{body}");
    }
}
