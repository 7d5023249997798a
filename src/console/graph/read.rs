//! Nodes and edges of a canonical flow, for each builder.

use std::collections::HashMap;

use colophon_model::FlowSource;
use serde_json::Value;

use super::{Edge, Graph, Node};

/// Steps within steps that are followed.
const DEEPEST: usize = 64;

/// The graph of `flow` as that builder writes it. What has no form that is known here is left out.
pub(super) fn graph(source: FlowSource, flow: &Value) -> Graph {
    match source {
        FlowSource::Builder => builder(flow),
        FlowSource::Langflow => langflow(flow),
        FlowSource::Activepieces => activepieces(flow),
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn or<'a>(text: &'a str, other: &'a str) -> String {
    if text.is_empty() { other } else { text }.to_owned()
}

/// The edges of `list` between nodes that there are.
fn edges(nodes: &[Node], list: &[Value], [from, to, label]: [&str; 3]) -> Vec<Edge> {
    let places: HashMap<&str, usize> =
        nodes.iter().enumerate().map(|(at, node)| (node.id.as_str(), at)).collect();
    let edge = |edge: &Value| {
        let (from, to) = (*places.get(text(edge, from))?, *places.get(text(edge, to))?);
        Some(Edge { from, to, label: text(edge, label).to_owned() })
    };
    list.iter().filter_map(edge).collect()
}

fn builder(flow: &Value) -> Graph {
    let node = |node: &Value| {
        let id = text(node, "/id").to_owned();
        Node { label: or(text(node, "/label"), &id), kind: text(node, "/kind").to_owned(), id }
    };
    let nodes: Vec<Node> = list(flow, "/nodes").iter().map(node).collect();
    let edges = edges(&nodes, list(flow, "/edges"), ["/from", "/to", "/branch"]);
    Graph { nodes, edges }
}

fn langflow(flow: &Value) -> Graph {
    let node = |node: &Value| {
        let (id, kind) = (text(node, "/id").to_owned(), text(node, "/data/type").to_owned());
        Node { label: or(text(node, "/data/node/display_name"), &kind), id, kind }
    };
    let drawn =
        |node: &&Value| text(node, "/data/type") != "note" && text(node, "/type") != "noteNode";
    let nodes: Vec<Node> = list(flow, "/data/nodes").iter().filter(drawn).map(node).collect();
    let edges = edges(
        &nodes,
        list(flow, "/data/edges"),
        ["/source", "/target", "/data/targetHandle/fieldName"],
    );
    Graph { nodes, edges }
}

fn activepieces(flow: &Value) -> Graph {
    let mut graph = Graph::default();
    let places = ["/trigger", "/version/trigger", "/template/trigger"];
    if let Some(trigger) = places.into_iter().find_map(|at| flow.pointer(at)) {
        steps(&mut graph, Some(trigger), Vec::new(), 0);
    }
    graph
}

/// Adds a chain of steps that follows on `from`; returns where it ends.
fn steps(
    graph: &mut Graph,
    first: Option<&Value>,
    mut from: Vec<(usize, String)>,
    depth: usize,
) -> Vec<(usize, String)> {
    let mut next = first.filter(|step| step.is_object());
    while let Some(step) = next {
        let at = graph.nodes.len();
        let (id, piece) = (text(step, "/name").to_owned(), text(step, "/settings/pieceName"));
        let kind = or(piece.rsplit('/').next().unwrap_or_default(), text(step, "/type"));
        graph.nodes.push(Node { label: or(text(step, "/displayName"), &id), id, kind });
        let edge = |(from, label): (usize, String)| Edge { from, to: at, label };
        graph.edges.extend(from.drain(..).map(edge));
        from =
            if depth < DEEPEST { inner(graph, step, at, depth) } else { vec![(at, String::new())] };
        next = step.get("nextAction").filter(|step| step.is_object());
    }
    from
}

/// Adds what is in the step at `at`; returns what the next step follows on.
fn inner(graph: &mut Graph, step: &Value, at: usize, depth: usize) -> Vec<(usize, String)> {
    if let Some(body) = step.get("firstLoopAction").filter(|body| body.is_object()) {
        steps(graph, Some(body), vec![(at, "each".to_owned())], depth + 1);
        return vec![(at, "then".to_owned())];
    }
    let branches = list(step, "/settings/branches");
    let name =
        |n: usize| branches.get(n).map_or("", |branch| text(branch, "/branchName")).to_owned();
    let mut ends = Vec::new();
    for (n, child) in list(step, "/children").iter().enumerate() {
        ends.extend(steps(graph, Some(child), vec![(at, name(n))], depth + 1));
    }
    if ends.is_empty() { vec![(at, String::new())] } else { ends }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(graph: &Graph) -> Vec<String> {
        let name = |at: usize| graph.nodes[at].id.as_str();
        let edge = |e: &Edge| format!("{}>{}>{}", name(e.from), e.label, name(e.to));
        graph.edges.iter().map(edge).collect()
    }

    #[test]
    fn each_builder_has_its_form() {
        let flow = json!({
            "nodes": [{"id": "a", "kind": "x"}, {"id": "b", "kind": "y", "label": "Bee"}],
            "edges": [{"from": "a", "to": "b", "branch": "yes"}, {"from": "a", "to": "gone"}],
        });
        let graph = builder(&flow);
        assert_eq!(told(&graph), ["a>yes>b"]);
        assert_eq!((graph.nodes[0].label.as_str(), graph.nodes[1].label.as_str()), ("a", "Bee"));
        let flow = json!({"data": {
            "nodes": [{"id": "n1", "data": {"type": "ChatInput", "node": {"display_name": "Chat"}}},
                {"id": "n2", "data": {"type": "Prompt"}}, {"id": "n3", "data": {"type": "note"}}],
            "edges": [{"source": "n1", "target": "n2", "data": {"targetHandle": {"fieldName": "text"}}}],
        }});
        let graph = langflow(&flow);
        assert_eq!((told(&graph), graph.nodes.len()), (vec!["n1>text>n2".to_owned()], 2));
    }

    #[test]
    fn steps_follow_on_loops_and_branches() {
        let flow = json!({"trigger": {"name": "t", "type": "PIECE_TRIGGER", "nextAction": {
            "name": "loop", "type": "LOOP_ON_ITEMS", "firstLoopAction": {"name": "body", "type": "CODE"},
            "nextAction": {"name": "r", "type": "ROUTER",
                "settings": {"branches": [{"branchName": "big"}, {"branchName": "small"}]},
                "children": [{"name": "one", "type": "CODE"}, null],
                "nextAction": {"name": "end", "type": "CODE"}}}}});
        let edges =
            ["t>>loop", "loop>each>body", "loop>then>r", "r>big>one", "one>>end", "r>small>end"];
        assert_eq!(told(&activepieces(&flow)), edges);
    }
}
