//! The LangFlow front end on a small flow of our own in LangFlow's format: what is refused, what
//! hostile text can reach, groups, loops, and the runtime's check of component sources.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;

use std::collections::BTreeSet;
use std::process::Command;

use colophon_compiler::plan::langflow::LangflowNode;
use colophon_compiler::{CodePolicy, Limits, without_layout};
use colophon_model::Sha256;
use proptest::prelude::*;
use serde_json::{Value, json};
use support::hello::*;
use support::{compiler, text};

/// One fault each: its code, and the place that is reported.
#[test]
fn faults_are_refused_with_code_and_place() {
    type Fault = fn(&mut Value);
    let faults: &[(&str, &str, Fault)] = &[
        ("E_LF_NO_CODE", "/data/nodes/2/data/node/template", |f| {
            fields(f, "Greeting").as_object_mut().unwrap().remove("code");
        }),
        ("E_LF_LEGACY_EDGE", "/data/edges/0", |f| {
            f["data"]["edges"][0].as_object_mut().unwrap().remove("data");
        }),
        ("E_DANGLING_EDGE", "/data/edges/2", |f| {
            add_edge(f, edge((IN, "message"), ("Nobody-1", "x")));
        }),
        ("E_UNKNOWN_FIELD", "/data/edges/2/data/targetHandle/fieldName", |f| {
            add_edge(f, edge((IN, "message"), (GREETING, "nothing")));
        }),
        ("E_UNKNOWN_OUTPUT", "/data/edges/2/data/sourceHandle/name", |f| {
            add_edge(f, edge((IN, "nothing"), (GREETING, "template")));
        }),
        ("E_DUPLICATE_NODE_ID", "/data/nodes/3/id", |f| {
            vertex(f, "ChatOutput")["id"] = IN.into();
            f["data"]["edges"].as_array_mut().unwrap().pop();
        }),
        ("E_CYCLE", "/data/nodes/2", |f| {
            add_edge(f, edge((OUT, "message"), (GREETING, "template")));
        }),
        ("E_CYCLE", "/data/nodes/2", |f| {
            add_edge(f, edge((GREETING, "greeting"), (GREETING, "template")));
        }),
        ("E_LF_LOOP", "/data/edges/2", |f| {
            let mut back = edge((OUT, "message"), (GREETING, "x"));
            back["data"]["targetHandle"] = json!({"id": GREETING, "name": "greeting"});
            add_edge(f, back);
        }),
        ("E_PLAINTEXT_SECRET", "/data/nodes/2/data/node/template/who/value", |f| {
            fields(f, "Greeting")["who"]["password"] = true.into();
            fields(f, "Greeting")["who"]["value"] = "hunter2".into();
        }),
        ("E_PLAINTEXT_SECRET", "/data/nodes/2/data/node/template/who/value", |f| {
            fields(f, "Greeting")["who"]["load_from_db"] = true.into();
            fields(f, "Greeting")["who"]["value"] = format!("sk-{}", "a1".repeat(20)).into();
        }),
        ("E_LF_FIELD", "/data/nodes/2/data/node/template/template/value", |f| {
            fields(f, "Greeting")["template"]["type"] = "BaseLanguageModel".into();
        }),
        ("E_SCHEMA", "/data/nodes/2/data", |f| {
            vertex(f, "Greeting")["data"].as_object_mut().unwrap().remove("type");
        }),
        ("E_SCHEMA", "/data/nodes", |f| f["data"] = json!({"nodes": [], "edges": []})),
        ("E_SCHEMA", "/name", |f| f["name"] = "a\nb".into()),
        ("E_SCHEMA", "/id", |f| f["id"] = "a b".into()),
        ("E_TOO_LARGE", "/data/nodes", |f| {
            let node = vertex(f, "Greeting").clone();
            let nodes = f["data"]["nodes"].as_array_mut().unwrap();
            nodes.extend((0..512).map(|i| {
                let mut node = node.clone();
                node["id"] = format!("g-{i}").into();
                node["data"]["node"]["template"]["code"]["value"] = "x".into();
                node
            }));
        }),
        ("E_LF_GROUP", "/data/nodes/4", |f| {
            let group = json!({"id": "G", "type": "genericNode", "data": {"type": "Group",
                "node": {"flow": {"data": {"nodes": [], "edges": []}}, "template": {
                    "x": {"type": "str", "proxy": {"id": "none", "field": "x"}}}}}});
            f["data"]["nodes"].as_array_mut().unwrap().push(group);
        }),
    ];
    for (code, place, fault) in faults {
        let mut flow = hello();
        fault(&mut flow);
        let problems = parse(&flow).unwrap_err();
        let found =
            problems.as_slice().iter().any(|p| p.code == *code && p.pointer.as_str() == *place);
        assert!(found, "{code} at {place}: {problems}");
        let others: Vec<_> =
            codes(&problems).into_iter().filter(|c| c != code && c.starts_with("E_")).collect();
        assert!(others.is_empty(), "{code}: {problems}");
    }
}

#[test]
fn a_cycle_is_spelled_out() {
    let mut flow = hello();
    add_edge(&mut flow, edge((OUT, "message"), (GREETING, "template")));
    let problems = parse(&flow).unwrap_err();
    let detail = &problems.as_slice()[0].detail;
    assert!(
        detail.contains(&format!("{GREETING} -> {OUT} -> {GREETING}"))
            || detail.contains(&format!("{OUT} -> {GREETING} -> {OUT}")),
        "{detail}"
    );
}

#[test]
fn all_problems_are_reported_at_once() {
    let mut flow = hello();
    fields(&mut flow, "ChatOutput")["input_value"]["password"] = true.into();
    fields(&mut flow, "ChatOutput")["input_value"]["value"] = "x".into();
    fields(&mut flow, "Greeting").as_object_mut().unwrap().remove("code");
    add_edge(&mut flow, edge((IN, "message"), ("Nobody-1", "x")));
    add_edge(&mut flow, edge((OUT, "message"), (OUT, "input_value")));
    flow["name"] = "".into();
    let problems = parse_as(&flow, CodePolicy::KnownOnly).unwrap_err();
    let want = [
        "E_CYCLE",
        "E_DANGLING_EDGE",
        "E_LF_NO_CODE",
        "E_LF_UNTRUSTED_CODE",
        "E_PLAINTEXT_SECRET",
        "E_SCHEMA",
    ];
    assert_eq!(codes(&problems), BTreeSet::from(want));
}

/// A source runs with the rights of the flow, so the default lets only known ones through.
#[test]
fn the_code_policy_decides_which_sources_pass() {
    let flow = hello();
    assert!(parse_as(&flow, CodePolicy::AllowCustom).is_ok());
    for policy in [CodePolicy::KnownOnly, CodePolicy::None] {
        let problems = parse_as(&flow, policy).unwrap_err();
        assert_eq!(codes(&problems), BTreeSet::from(["E_LF_UNTRUSTED_CODE"]));
        let code = flow.pointer("/data/nodes/2/data/node/template/code/value").unwrap();
        let sha256 = Sha256::of(code.as_str().unwrap().as_bytes()).to_string();
        let named = |p: &&colophon_compiler::Problem| {
            p.node.as_deref() == Some(GREETING) && p.detail.contains("`Greeting`")
        };
        let problem = problems.as_slice().iter().find(named).unwrap();
        assert!(problem.detail.contains(&sha256), "{problem}");
    }
}

#[test]
fn a_variable_is_named_and_never_filled_in() {
    let mut flow = hello();
    let name = &mut fields(&mut flow, "Greeting")["template"];
    name["password"] = true.into();
    name["load_from_db"] = true.into();
    name["value"] = "GREETING_TEMPLATE".into();
    let compiled = compile(&flow);
    let module = text(&compiled.cloud, "app/flows/acme_inc/flow_hello.py");
    assert!(module.contains("env=[\"template\"]"), "{module}");
}

/// The carrier holds the source byte for byte under its hash, and nothing of it is in the module.
#[test]
fn sources_are_files_of_their_own() {
    let mut flow = hello();
    let source = "class Greeting:\n    marker = 'é \\\\ \"\"\"'\n";
    fields(&mut flow, "Greeting")["code"]["value"] = source.into();
    let compiled = compile(&flow);
    let path = format!("app/components/{}.py", Sha256::of(source.as_bytes()));
    assert_eq!(text(&compiled.cloud, &path), source);
    assert!(!text(&compiled.cloud, "app/flows/acme_inc/flow_hello.py").contains("marker"));

    let lines: Vec<_> = source.split('\n').collect();
    fields(&mut flow, "Greeting")["code"]["value"] = json!(lines);
    assert_eq!(compile(&flow), compiled, "a list of lines is the same source");
}

/// A vertex that LangFlow shows as one: its parts run in its place.
#[test]
fn a_group_is_its_vertices() {
    let flow = hello();
    let mut grouped = hello();
    let nodes = grouped["data"]["nodes"].as_array_mut().unwrap();
    let at = nodes.iter().position(|node| node["id"] == GREETING).unwrap();
    let mut inner = nodes.remove(at);
    inner["data"]["node"]["template"]["template"]["value"] = "overwritten".into();
    let value = "Hello, {who}!";
    nodes.push(json!({"id": "Group-1", "type": "genericNode", "data": {"type": "GroupNode", "node": {
        "template": {"t": {"type": "str", "value": value, "proxy": {"id": GREETING, "field": "template"}}},
        "outputs": [{"name": "g", "proxy": {"id": GREETING, "name": "greeting"}}],
        "flow": {"data": {"nodes": [inner], "edges": []}}}}}));
    for edge in grouped["data"]["edges"].as_array_mut().unwrap() {
        if edge["target"] == GREETING {
            edge["target"] = "Group-1".into();
            edge["data"]["targetHandle"]["proxy"] = json!({"id": GREETING, "field": "who"});
        } else {
            edge["source"] = "Group-1".into();
            edge["data"]["sourceHandle"]["name"] = "g".into();
        }
    }
    assert_eq!(graph(&grouped), graph(&flow));
}

/// `item` leads through the greeting back to the Loop; `done` leads on.
fn looping() -> Value {
    let mut flow = hello();
    let mut repeat = vertex(&mut flow, "Greeting").clone();
    repeat["id"] = "Loop-1".into();
    repeat["data"]["type"] = "LoopComponent".into();
    repeat["data"]["node"]["template"]["data"] = json!({"type": "other", "show": true});
    repeat["data"]["node"]["outputs"] = json!([
        {"name": "item", "types": ["Data"]}, {"name": "done", "types": ["DataFrame"]}]);
    flow["data"]["nodes"].as_array_mut().unwrap().push(repeat);
    let mut back = edge((GREETING, "greeting"), ("Loop-1", "x"));
    back["data"]["targetHandle"] = json!({"id": "Loop-1", "name": "item"});
    flow["data"]["edges"] = json!([
        edge((IN, "message"), ("Loop-1", "data")),
        edge(("Loop-1", "item"), (GREETING, "who")),
        edge((IN, "message"), (GREETING, "template")),
        back,
        edge(("Loop-1", "done"), (OUT, "input_value")),
    ]);
    flow
}

#[test]
fn the_body_of_a_loop_is_a_graph_of_its_own() {
    let graph = graph(&looping());
    let ids: Vec<_> = graph.nodes.iter().map(LangflowNode::id).collect();
    assert_eq!(ids, [IN, "Loop-1", OUT]);
    let LangflowNode::Loop(repeat) = &graph.nodes[1] else { panic!("no loop") };
    assert_eq!(repeat.body.iter().map(LangflowNode::id).collect::<Vec<_>>(), [GREETING]);
    assert_eq!(repeat.tail, (GREETING.to_owned(), "greeting".to_owned()));
    let module = text(&compile(&looping()).cloud, "app/flows/acme_inc/flow_hello.py");
    assert!(module.contains("def body_loop_1():"), "{module}");
}

#[test]
fn a_loop_that_cannot_end_or_leaks_is_refused() {
    type Fault = fn(&mut Value);
    let faults: [Fault; 4] = [
        |f| {
            // Without an entry everything runs, also a Loop that nothing is tied to.
            vertex(f, "ChatInput")["data"]["type"] = "Text".into();
            f["data"]["edges"] = json!([]);
        },
        |f| {
            f["data"]["edges"].as_array_mut().unwrap().remove(3);
        },
        |f| add_edge(f, edge((GREETING, "greeting"), (OUT, "input_value"))),
        |f| f["data"]["edges"][1]["target"] = OUT.into(),
    ];
    for fault in faults {
        let mut flow = looping();
        fault(&mut flow);
        let problems = parse(&flow).unwrap_err();
        assert!(
            codes(&problems).iter().any(|c| ["E_LF_LOOP", "E_UNKNOWN_FIELD"].contains(c)),
            "{problems}"
        );
    }
}

/// A Loop named `id` that stands by itself.
fn add_loop(flow: &mut Value, id: &str) {
    let mut repeat = vertex(flow, "Loop-1").clone();
    repeat["id"] = id.into();
    flow["data"]["nodes"].as_array_mut().unwrap().push(repeat);
}

fn feedback(from: (&str, &str), to: &str) -> Value {
    let mut back = edge(from, (to, "x"));
    back["data"]["targetHandle"] = json!({"id": to, "name": "item"});
    back
}

/// Following who is in whose body must come to an end, whoever claims what.
#[test]
fn loops_inside_each_other_are_refused() {
    let mut flow = looping();
    add_loop(&mut flow, "Loop-2");
    vertex(&mut flow, "ChatInput")["data"]["type"] = "Text".into();
    flow["data"]["edges"] = json!([
        edge(("Loop-1", "item"), ("Loop-2", "data")),
        feedback(("Loop-2", "done"), "Loop-1"),
        edge(("Loop-2", "item"), ("Loop-1", "data")),
        feedback(("Loop-1", "done"), "Loop-2"),
    ]);
    let problems = parse(&flow).unwrap_err();
    assert_eq!(codes(&problems), BTreeSet::from(["E_LF_LOOP"]));
    assert_eq!(problems.as_slice().len(), 2, "{problems}");
}

/// Loop 1 around loop 2 and so on, the greeting in the innermost.
fn nested(depth: usize) -> Value {
    let mut flow = looping();
    (2..=depth).for_each(|n| add_loop(&mut flow, &format!("Loop-{n}")));
    let edges = flow["data"]["edges"].as_array_mut().unwrap();
    edges.retain(|edge| edge["source"] != "Loop-1" && edge["target"] != "Loop-1");
    edges.push(edge((IN, "message"), ("Loop-1", "data")));
    edges.push(edge(("Loop-1", "done"), (OUT, "input_value")));
    for n in 1..depth {
        let (outer, inner) = (format!("Loop-{n}"), format!("Loop-{}", n + 1));
        edges.push(edge((&outer, "item"), (&inner, "data")));
        edges.push(feedback((&inner, "done"), &outer));
    }
    let innermost = format!("Loop-{depth}");
    edges.push(edge((&innermost, "item"), (GREETING, "who")));
    edges.push(feedback((GREETING, "greeting"), &innermost));
    flow
}

#[test]
fn loops_nest_eight_deep_and_no_deeper() {
    let mut nodes = graph(&nested(8)).nodes;
    for _ in 0..8 {
        let repeat = nodes.into_iter().find_map(|node| match node {
            LangflowNode::Loop(repeat) => Some(repeat),
            LangflowNode::Component(_) => None,
        });
        nodes = repeat.unwrap().body;
    }
    assert_eq!(nodes.iter().map(LangflowNode::id).collect::<Vec<_>>(), [GREETING]);
    let problems = parse(&nested(9)).unwrap_err();
    assert_eq!(codes(&problems), BTreeSet::from(["E_LF_LOOP"]));
}

/// The limits hold before any work that grows with the product of the numbers, and what is inside
/// groups counts.
#[test]
fn a_flow_over_a_limit_is_not_looked_at() {
    let mut flow = hello();
    let group = |n: usize| {
        let nodes = vec![json!({"id": "x"}); 40];
        json!({"id": format!("G-{n}"), "type": "genericNode", "data": {"type": "Group", "node": {
            "template": {}, "flow": {"data": {"nodes": nodes, "edges": []}}}}})
    };
    flow["data"]["nodes"].as_array_mut().unwrap().extend((0..13).map(group));
    let problems = parse(&flow).unwrap_err();
    assert_eq!(codes(&problems), BTreeSet::from(["E_TOO_LARGE"]));
    assert_eq!(problems.as_slice()[0].pointer.as_str(), "/data/nodes");

    let mut flow = hello();
    flow["data"]["edges"] = Value::Array(vec![json!({}); 2049]);
    let problems = parse(&flow).unwrap_err();
    assert_eq!(problems.as_slice().len(), 1, "{problems}");
    assert_eq!(problems.as_slice()[0].pointer.as_str(), "/data/edges");
}

/// In any place, also where no field for secrets is, and before anything else is said.
#[test]
fn a_secret_is_refused_wherever_it_stands() {
    type Place = fn(&mut Value, &str);
    let token = format!("ghp_{}", "a1B2".repeat(9));
    let bearer = format!("Authorization: Bearer sk-{}", "a1B2".repeat(8));
    let places: &[(&str, Place)] = &[
        ("/description", |f, text| f["description"] = text.into()),
        ("/name", |f, text| f["name"] = text.into()),
        ("/data/nodes/2/data/node/template/template/value", |f, text| {
            fields(f, "Greeting")["template"]["value"] = text.into();
        }),
        ("/data/nodes/2/data/node/template/code/value", |f, text| {
            fields(f, "Greeting")["code"]["value"] = format!("KEY = '{text}'").into();
        }),
        ("/data/nodes/2/data/node/template/who/value/0/value", |f, text| {
            fields(f, "Greeting")["who"]["value"] = json!([{"key": "k", "value": text}]);
        }),
        ("/data/nodes/2/data/node/template", |f, text| {
            fields(f, "Greeting")[text] = json!({"type": "str"});
        }),
        ("/data/edges/0/id", |f, text| f["data"]["edges"][0]["id"] = text.into()),
    ];
    for text in [&token, &bearer] {
        for (place, put) in places {
            let mut flow = hello();
            put(&mut flow, text);
            let problems = parse(&flow).unwrap_err();
            let found: Vec<_> =
                problems.as_slice().iter().map(|p| (p.code, p.pointer.as_str())).collect();
            assert_eq!(found, [("E_PLAINTEXT_SECRET", *place)]);
            assert!(!problems.to_string().contains(&text[text.len() - 20..]), "{problems}");
        }
    }
}

/// Many loops and edges within the limits: the work must not grow with the product of its parts.
/// Without care this takes minutes.
#[test]
fn a_flow_at_the_limits_is_read_at_once() {
    let mut flow = looping();
    (2..=500).for_each(|n| add_loop(&mut flow, &format!("Loop-{n}")));
    let edges = flow["data"]["edges"].as_array_mut().unwrap();
    edges.clear();
    for n in 1..=500 {
        let [here, next] = [n, n % 500 + 1].map(|n| format!("Loop-{n}"));
        edges.push(edge((&here, "item"), (&next, "data")));
        edges.push(feedback((&next, "item"), &here));
        edges.push(edge((&here, "done"), (&next, "data")));
    }
    vertex(&mut flow, "ChatInput")["data"]["type"] = "Text".into();
    let nodes = flow["data"]["nodes"].as_array_mut().unwrap();
    for node in nodes {
        node["data"]["node"]["template"]["code"]["value"] = "x".into();
    }
    let start = std::time::Instant::now();
    let problems = parse(&flow).err().unwrap();
    assert_eq!(codes(&problems), BTreeSet::from(["E_LF_LOOP"]));
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
}

/// A known source must not be the way to run code that no one knows.
#[test]
fn code_in_a_field_needs_allow_custom() {
    let mut flow = hello();
    let field = json!({"type": "code", "show": true, "value": "def f(): ..."});
    fields(&mut flow, "Greeting")["function_code"] = field;
    assert!(parse(&flow).is_ok());
    let place = "/data/nodes/2/data/node/template/function_code/value";
    let found = |flow: &Value| {
        let problems = parse_as(flow, CodePolicy::KnownOnly).unwrap_err();
        let here = |p: &&colophon_compiler::Problem| p.pointer.as_str() == place;
        problems.as_slice().iter().find(here).cloned()
    };
    let problem = found(&flow).unwrap();
    assert_eq!(problem.code, "E_LF_UNTRUSTED_CODE");
    assert!(problem.detail.contains("`function_code`"), "{problem}");
    fields(&mut flow, "Greeting")["function_code"]["value"] = "".into();
    assert_eq!(found(&flow), None);
}

/// What the entry does not lead to is not run, and said.
#[test]
fn only_what_the_input_reaches_runs() {
    let mut flow = hello();
    let mut lonely = vertex(&mut flow, "Greeting").clone();
    lonely["id"] = "Lonely-1".into();
    flow["data"]["nodes"].as_array_mut().unwrap().push(lonely);
    let plan = parse(&flow).unwrap();
    assert_eq!(plan.warnings.iter().map(|w| w.code).collect::<Vec<_>>(), ["W_UNREACHABLE"]);
    assert_eq!(graph(&flow).nodes, graph(&hello()).nodes);
}

const HOSTILE: &[&str] = &[
    "a\nimport os; os.system('id')\n#",
    "\"\"\"",
    "'''",
    "\\",
    "\\\"",
    "{{ 7*7 }}",
    "<< x >>",
    "<% raw %>",
    "\0",
    "\r\n",
    "\u{2028}",
    "\u{1f366}",
    "__init__",
    "class",
    "../../etc/passwd",
    "a.b",
    "con",
    "n_a",
    "\u{202e}",
    "\u{feff}",
];

/// Ids, component names, outputs and values come out of the module as literals that Python reads
/// back as the same texts, and nothing else of the module changes.
#[test]
fn hostile_text_stays_text() {
    for payload in HOSTILE {
        let compiled = compile(&with_text(payload));
        let module = text(&compiled.cloud, "app/flows/acme_inc/flow_hello.py");
        let read = read_literals(&module);
        for wanted in ["id", "name", "value", "output"] {
            assert!(read.contains(&format!("{payload}{wanted}")), "{payload:?} {wanted}: {module}");
        }
    }
}

fn with_text(payload: &str) -> Value {
    let mut flow = hello();
    let id = format!("{payload}id");
    let node = vertex(&mut flow, "Greeting");
    node["id"] = id.as_str().into();
    node["data"]["type"] = format!("{payload}name").into();
    node["data"]["node"]["outputs"][0]["name"] = format!("{payload}output").into();
    node["data"]["node"]["template"]["template"]["value"] = format!("{payload}value").into();
    flow["data"]["edges"] = json!([
        edge((IN, "message"), (&id, "who")),
        edge((&id, &format!("{payload}output")), (OUT, "input_value")),
    ]);
    flow
}

/// The texts of a module, read by Python, which also lists its top-level statements.
fn read_literals(module: &str) -> BTreeSet<String> {
    let script = "import ast, json, sys\n\
        tree = ast.parse(sys.argv[1])\n\
        print(json.dumps([n.value for n in ast.walk(tree) \
        if isinstance(n, ast.Constant) and isinstance(n.value, str)]))";
    let output = support::python(&["-c", script, module]);
    serde_json::from_str(&output).unwrap()
}

/// The numbers, booleans and nulls of a JSON text, as ranges.
fn scalars(text: &str) -> Vec<std::ops::Range<usize>> {
    let (mut found, mut start, mut in_text, mut escaped) = (Vec::new(), None, false, false);
    for (at, byte) in text.bytes().enumerate() {
        let is_part = !in_text && (byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        match (is_part, start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                found.push(from..at);
                start = None;
            }
            _ => {}
        }
        in_text ^= byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Generated code is made of derived identifiers: whatever the ids, it passes the gates.
    #[test]
    fn any_id_compiles(payload in "\\PC{0,40}|[\"'\\\\\n\r{}<>%# ]{0,12}") {
        let compiled = compile(&with_text(&payload));
        let module = text(&compiled.cloud, "app/flows/acme_inc/flow_hello.py");
        prop_assert!(module.is_ascii());
        prop_assert!(module.lines().filter(|line| line.starts_with("async def n_")).count() == 3);
    }

    /// What is the same without its layout as a flow that was read, is read too, as the same plan with the same
    /// findings.
    #[test]
    fn equal_without_layout_is_the_same_plan(
        at in any::<prop::sample::Index>(),
        scalar in r#"-?[0-9]{1,2}(\.[0-9])?(e-?[0-9]{1,3})?|true|null|nul|1e999|"1"|\[1\]"#,
    ) {
        let old = hello().to_string();
        let all = scalars(&old);
        let mut new = old.clone();
        new.replace_range(at.get(&all).clone(), &scalar);
        let limits = Limits::default();
        let shape = |text: &str| without_layout(text.as_bytes(), &limits).unwrap();
        let read = |text: &str| {
            compiler().parse(text.as_bytes(), CodePolicy::AllowCustom, &limits)
        };
        if without_layout(new.as_bytes(), &limits) == Some(shape(&old)) {
            prop_assert_eq!(read(&new).unwrap(), read(&old).unwrap());
        }
    }
}

/// The property above says something: a node that was moved is the same without layout.
#[test]
fn a_moved_node_is_the_same_without_layout() {
    let mut flow = hello();
    let shape = |flow: &Value| without_layout(flow.to_string().as_bytes(), &Limits::default());
    let before = shape(&flow);
    vertex(&mut flow, "Greeting")["position"]["x"] = json!(-12.5);
    assert!(before.is_some());
    assert_eq!(shape(&flow), before);
}

/// The runtime refuses a source that is not the one that was compiled.
#[test]
fn the_runtime_checks_the_hash_of_a_source() {
    let out = tempfile::tempdir().unwrap();
    let compiled = compile(&hello());
    for (path, file) in compiled.cloud.iter() {
        let path = out.path().join(path.as_str());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, file.bytes()).unwrap();
    }
    let carriers = out.path().join("app/components");
    let carrier = std::fs::read_dir(&carriers).unwrap().next().unwrap().unwrap().path();
    let sha256 = carrier.file_stem().unwrap().to_str().unwrap().to_owned();
    let load = || {
        let script = format!("from app.colophon_rt import langflow\nlangflow.source('{sha256}')");
        Command::new("python3").args(["-c", &script]).current_dir(out.path()).output().unwrap()
    };
    assert!(load().status.success());
    std::fs::write(&carrier, "print('other')\n").unwrap();
    let refused = load();
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("SourceMismatch"));
}
