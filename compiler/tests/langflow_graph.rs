//! How a LangFlow flow's vertices become a graph: groups in groups, tweaks, tools that only their
//! consumer runs, routers and what they leave out, several entries, and the lfx that fits.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;

use std::collections::BTreeSet;

use colophon_compiler::plan::langflow::{Component, LangflowGraph, LangflowNode};
use serde_json::{Value, json};
use support::hello::*;
use support::text;

/// Puts the vertex `id` into a group called `Group-<id>`, with `field` and `output` as its own.
fn group(flow: &mut Value, id: &str, fields: &[&str], output: &str) -> String {
    let nodes = flow["data"]["nodes"].as_array_mut().unwrap();
    let at = nodes.iter().position(|node| node["id"] == id).unwrap();
    let inner = nodes.remove(at);
    let mut template = serde_json::Map::new();
    for field in fields {
        let mut own = inner["data"]["node"]["template"][field].clone();
        own["proxy"] = json!({"id": id, "field": field});
        template.insert(format!("{field}_{id}"), own);
    }
    let outer = format!("Group-{id}");
    nodes.push(json!({"id": outer, "type": "genericNode", "data": {"type": "GroupNode", "node": {
        "template": template, "flow": {"data": {"nodes": [inner], "edges": []}},
        "outputs": [{"name": format!("{id}_{output}"), "proxy": {"id": id, "name": output}}]}}}));
    for edge in flow["data"]["edges"].as_array_mut().unwrap() {
        if edge["target"] == id {
            let field = edge["data"]["targetHandle"]["fieldName"].as_str().unwrap().to_owned();
            edge["target"] = outer.as_str().into();
            edge["data"]["targetHandle"] = json!({"id": outer, "fieldName": format!("{field}_{id}"),
                "proxy": {"id": id, "field": field}});
        }
        if edge["source"] == id {
            edge["source"] = outer.as_str().into();
            edge["data"]["sourceHandle"] = json!({"id": outer, "name": format!("{id}_{output}")});
        }
    }
    outer
}

/// However deep a vertex is, the flow is the one without groups; what is set outside reaches it.
#[test]
fn groups_in_groups_are_their_vertices() {
    let mut flow = hello();
    let one = group(&mut flow, GREETING, &["who", "template"], "greeting");
    let (who, template) = (format!("who_{GREETING}"), format!("template_{GREETING}"));
    let output = format!("{GREETING}_greeting");
    let two = group(&mut flow, &one, &[&who, &template], &output);
    let fields = [format!("{who}_{one}"), format!("{template}_{one}")];
    let three = group(&mut flow, &two, &[&fields[0], &fields[1]], &format!("{one}_{output}"));
    assert_eq!(graph(&flow), graph(&hello()));

    let outer = vertex(&mut flow, &three);
    let field = format!("{}_{two}", fields[1]);
    outer["data"]["node"]["template"][field]["value"] = "Salve, {who}".into();
    let mut set = hello();
    self::fields(&mut set, "Greeting")["template"]["value"] = "Salve, {who}".into();
    assert_eq!(graph(&flow), graph(&set));
}

/// A tweak is a value of the field, by id, by name, or for every vertex that has the field.
#[test]
fn tweaks_are_values_of_fields() {
    let mut want = hello();
    fields(&mut want, "Greeting")["template"]["value"] = "Ave, {who}".into();
    for tweaks in [
        json!({GREETING: {"template": "Ave, {who}"}}),
        json!({GREETING: {"template": {"value": "Ave, {who}"}}}),
        json!({"template": "Ave, {who}"}),
    ] {
        let mut flow = hello();
        flow["tweaks"] = tweaks;
        let plan = parse(&flow).unwrap();
        assert_eq!(plan.digest(), parse(&want).unwrap().digest());
        assert_eq!(graph(&flow), graph(&want));
    }
    let mut flow = hello();
    vertex(&mut flow, "Greeting")["data"]["node"]["display_name"] = "The greeting".into();
    flow["tweaks"] = json!({"The greeting": {"template": "Ave, {who}"}});
    assert_eq!(graph(&flow), graph(&want));
}

/// A tweak passes the checks of a field, brings no code, and changes no field's type.
#[test]
fn tweaks_are_checked_as_fields_are() {
    for (tweaks, code) in [
        (json!({GREETING: {"code": "print(1)"}}), "E_LF_TWEAK"),
        (json!({"code": "print(1)"}), "E_LF_TWEAK"),
        (json!({GREETING: {"who": {"type": "code", "value": "x"}}}), "E_LF_TWEAK"),
        (json!({GREETING: {"who": {"proxy": {"id": IN, "field": "code"}}}}), "E_LF_TWEAK"),
        (json!({GREETING: {"secret": "hunter2"}}), "E_PLAINTEXT_SECRET"),
        (json!({GREETING: {"who": format!("sk-{}", "a1".repeat(20))}}), "E_PLAINTEXT_SECRET"),
        (json!({GREETING: {"rows": "no rows"}}), "E_LF_FIELD"),
        (json!([]), "E_SCHEMA"),
    ] {
        let mut flow = hello();
        fields(&mut flow, "Greeting")["secret"] = json!({"type": "str", "show": true, "password": true, "value": "", "load_from_db": true});
        fields(&mut flow, "Greeting")["rows"] = json!({"type": "table", "show": true});
        flow["tweaks"] = tweaks.clone();
        assert_eq!(codes(&parse(&flow).unwrap_err()), BTreeSet::from([code]), "{tweaks}");
    }
    let mut flow = hello();
    flow["tweaks"] = json!({"Nobody-1": {"x": 1}, GREETING: {"nothing": 1}});
    let plan = parse(&flow).unwrap();
    assert_eq!(plan.warnings.iter().map(|w| w.code).collect::<Vec<_>>(), ["W_LF_TWEAK"; 2]);
    assert_eq!(plan.digest(), parse(&hello()).unwrap().digest());
}

/// Adds a copy of the greeting, with an output of each type given.
fn add(flow: &mut Value, id: &str, outputs: &[(&str, &str)]) {
    let mut node = vertex(flow, "Greeting").clone();
    node["id"] = id.into();
    node["data"]["node"]["outputs"] =
        outputs.iter().map(|(name, kind)| json!({"name": name, "types": [kind]})).collect();
    flow["data"]["nodes"].as_array_mut().unwrap().push(node);
}

fn component<'a>(graph: &'a LangflowGraph, id: &str) -> &'a Component {
    let of = |node: &'a LangflowNode| match node {
        LangflowNode::Component(component) if component.id == id => Some(component),
        _ => None,
    };
    graph.nodes.iter().find_map(of).unwrap()
}

/// `chat input → Maker-1 (a tool) → greeting`, and `Maker-2 (a model and a text) → Maker-1, greeting`.
fn with_resources() -> Value {
    let mut flow = hello();
    add(&mut flow, "Maker-1", &[("tool", "Tool")]);
    add(&mut flow, "Maker-2", &[("model", "LanguageModel"), ("note", "Message")]);
    fields(&mut flow, "Greeting")["tools"] = json!({"type": "other", "show": true, "list": true});
    fields(&mut flow, "Maker-1")["llm"] = json!({"type": "other", "show": true});
    for (from, to) in [
        ((IN, "message"), ("Maker-1", "who")),
        (("Maker-2", "model"), ("Maker-1", "llm")),
        (("Maker-1", "tool"), (GREETING, "tools")),
        (("Maker-2", "note"), (GREETING, "template")),
    ] {
        add_edge(&mut flow, edge(from, to));
    }
    flow
}

/// What no state can hold is no node: its consumer runs it, and waits for what feeds it.
#[test]
fn tools_and_models_are_run_by_what_they_feed() {
    let flow = with_resources();
    let graph = graph(&flow);
    let ids: Vec<_> = graph.nodes.iter().map(LangflowNode::id).collect();
    assert!(!ids.contains(&"Maker-1") && ids.contains(&"Maker-2"), "{ids:?}");
    let resources: Vec<_> = graph.resources.iter().map(|r| r.id.as_str()).collect();
    assert_eq!(resources, ["Maker-2", "Maker-1"]);
    assert_eq!(component(&graph, "Maker-2").outputs, ["note"]);

    let module = text(&compile(&flow).cloud, "app/flows/acme_inc/flow_hello.py");
    assert!(module.contains(r#"rt.Input("tools", C_maker_1, "tool", many=True)"#), "{module}");
    assert!(module.contains(r#"rt.Input("llm", C_maker_2, "model")"#), "{module}");
    assert_eq!(module.matches("C_maker_2 = ").count(), 1, "{module}");
    assert!(!module.contains("n_maker_1"), "{module}");
    let edge = r#"graph.add_edge(["n_chatinput_hel1o", "n_maker_2"], "n_greeting_gr33t")"#;
    assert!(module.contains(edge), "{module}");
}

/// A ring of tools would make each other without end.
#[test]
fn resources_that_need_each_other_are_refused() {
    let mut flow = with_resources();
    fields(&mut flow, "Maker-2")["tools"] = json!({"type": "other", "show": true});
    add_edge(&mut flow, edge(("Maker-1", "tool"), ("Maker-2", "tools")));
    assert_eq!(codes(&parse(&flow).unwrap_err()), BTreeSet::from(["E_CYCLE"]));
}

/// lfx does not run a tool that nothing uses.
#[test]
fn a_tool_without_a_use_does_not_run() {
    let mut flow = hello();
    vertex(&mut flow, "ChatInput")["data"]["type"] = "TextInput".into();
    add(&mut flow, "Maker-1", &[("tool", "Tool")]);
    assert_eq!(graph(&flow).nodes.len(), 4);
    vertex(&mut flow, "Maker-1")["data"]["node"]["tool_mode"] = true.into();
    assert_eq!(graph(&flow).nodes.len(), 3);
}

/// A router leaves out what follows from a stopped output, but what another of its outputs leads to.
#[test]
fn routers_leave_out_what_only_a_stopped_output_leads_to() {
    let mut flow = hello();
    add(&mut flow, "Router-1", &[("yes", "Message"), ("no", "Message")]);
    fields(&mut flow, "Router-1")["code"]["value"] = "def f(self): self.stop('yes')".into();
    add(&mut flow, "Branch-1", &[("greeting", "Message")]);
    flow["data"]["edges"] = json!([
        edge((IN, "message"), ("Router-1", "who")),
        edge(("Router-1", "yes"), ("Branch-1", "who")),
        edge(("Branch-1", "greeting"), (GREETING, "who")),
        edge(("Router-1", "no"), (GREETING, "template")),
        edge((GREETING, "greeting"), (OUT, "input_value")),
    ]);
    fields(&mut flow, "Greeting")["who"]["value"] = "nobody".into();
    let graph = graph(&flow);
    let routes = |id: &str| serde_json::to_value(&component(&graph, id).routes).unwrap();
    assert_eq!(routes("Router-1"), json!({}));
    assert_eq!(routes("Branch-1"), json!({"Router-1": ["yes"]}));
    assert_eq!(routes(GREETING), json!({"Router-1": ["no", "yes"]}));
    assert_eq!(routes(OUT), routes(GREETING));
    let default = |field: &str| {
        let inputs = &component(&graph, GREETING).inputs;
        inputs.iter().find(|input| input.field == field).unwrap().default.clone()
    };
    assert_eq!((default("who"), default("template")), (json!("nobody"), Value::Null));
}

/// A flow with a webhook and a chat can begin at either; what they do not share is not run.
#[test]
fn a_webhook_and_a_chat_are_two_entries() {
    let mut flow = hello();
    add(&mut flow, "Webhook-1", &[("data", "Data")]);
    vertex(&mut flow, "Webhook-1")["data"]["type"] = "Webhook".into();
    add(&mut flow, "Aside-1", &[("greeting", "Message")]);
    add_edge(&mut flow, edge(("Webhook-1", "data"), ("Aside-1", "who")));
    let graph = graph(&flow);
    let entries: Vec<_> = graph.entries.iter().map(|e| (e.name, e.runs.len())).collect();
    assert_eq!(entries, [("webhook", 2), ("chat", 3)]);
    let input = |id| (component(&graph, id).run_input, component(&graph, id).entry);
    assert_eq!(input("Webhook-1"), (Some("data"), Some("webhook")));
    assert_eq!(input(IN), (Some("input_value"), Some("chat")));

    let module = text(&compile(&flow).cloud, "app/flows/acme_inc/flow_hello.py");
    assert!(module.contains(r#"ENTRIES = ["webhook", "chat"]"#), "{module}");
    assert!(module.contains("def build(checkpointer=None, entry=ENTRIES[0]):"), "{module}");
    let of = |entry: &str| module.split(&format!("def entry_{entry}()")).nth(1).unwrap();
    let chat = of("chat").split("def ").next().unwrap();
    assert!(chat.contains("n_greeting_gr33t") && !chat.contains("n_aside_1"), "{chat}");
}

/// The flow's own requirements name the lfx that it was drawn for, and a LangGraph beside which that
/// can be installed.
#[test]
fn each_flow_names_its_lfx() {
    for (drawn, lfx, langgraph) in [
        ("1.4.3", "0.1.13", "0.6.11"),
        ("1.10.1rc3", "1.10.3", "1.2.22"),
        ("1.13.0", "1.13.0", "1.2.22"),
        ("1'; import os", "1.13.0", "1.2.22"),
    ] {
        let mut flow = hello();
        flow.as_object_mut().unwrap().remove("last_tested_version");
        for node in flow["data"]["nodes"].as_array_mut().unwrap() {
            node["data"]["node"]["lf_version"] = drawn.into();
        }
        let path = "app/flows/acme_inc/hello.requirements.txt";
        let requirements = text(&compile(&flow).cloud, path);
        for wanted in [format!("\nlfx=={lfx}\n"), format!("\nlanggraph=={langgraph}\n")] {
            assert!(requirements.contains(&wanted), "{drawn}: {requirements}");
        }
    }
}

/// A component's session is the run's, unless the flow says another or an edge does.
#[test]
fn an_empty_session_is_that_of_the_run() {
    let takes = |value: &str| {
        let mut flow = hello();
        fields(&mut flow, "Greeting")["session_id"] =
            json!({"type": "str", "show": true, "value": value});
        component(&graph(&flow), GREETING).session
    };
    assert!(takes("") && !takes("mine"));
    assert!(!component(&graph(&hello()), GREETING).session);
}
