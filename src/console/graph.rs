//! A flow's graph as a drawing: layers from top to bottom, made here, so that the page needs no program.

mod layout;
mod read;

use colophon_model::BuildRecord;
use colophon_store::Error;
use serde::Serialize;

use super::build::{Place, canonical};
use layout::Layout;

/// Largest flow that is drawn, in bytes.
const LARGEST: u64 = 1024 * 1024;
/// Most nodes that are drawn.
const NODES: usize = 300;
/// Most edges that are drawn.
const EDGES: usize = 1_000;

/// What is connected with what.
#[derive(Debug, Default, PartialEq, Eq)]
struct Graph {
    nodes: Vec<Node>,
    edges: Vec<Edge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Node {
    id: String,
    label: String,
    kind: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Edge {
    from: usize,
    to: usize,
    label: String,
}

/// The page.
#[derive(Debug, Serialize)]
pub struct GraphPage {
    name: String,
    flow: String,
    drawing: Option<Layout>,
    /// The same in words.
    nodes: Vec<InWords>,
    /// Why there is no drawing.
    note: Option<String>,
}

#[derive(Debug, Serialize)]
struct InWords {
    label: String,
    id: String,
    kind: String,
    leads_to: Vec<String>,
}

/// The graph of the flow that `record` built; none: it has no flow that the viewer may read.
///
/// # Errors
/// When the store cannot be read.
pub fn page(place: &Place<'_>, record: &BuildRecord) -> Result<Option<GraphPage>, Error> {
    let Some(file) = canonical(record) else { return Ok(None) };
    let (name, flow) = (record.name.clone(), record.flow.to_string());
    let without = |note: String| {
        let (name, flow) = (name.clone(), flow.clone());
        Ok(Some(GraphPage { name, flow, drawing: None, nodes: Vec::new(), note: Some(note) }))
    };
    if file.size > LARGEST {
        return without("The flow is too large to draw.".to_owned());
    }
    let bytes = place.view.read_blob(place.tenant.uid, &file.digest)?;
    let json = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let graph = json.map(|json| read::graph(record.source, &json)).unwrap_or_default();
    if graph.nodes.is_empty() {
        return without("The flow has no nodes that can be drawn.".to_owned());
    }
    if graph.nodes.len() > NODES || graph.edges.len() > EDGES {
        let note = format!(
            "{} nodes and {} edges are too many to draw.",
            graph.nodes.len(),
            graph.edges.len()
        );
        return without(note);
    }
    let nodes = in_words(&graph);
    Ok(Some(GraphPage { name, flow, drawing: Some(layout::draw(&graph)), nodes, note: None }))
}

fn in_words(graph: &Graph) -> Vec<InWords> {
    let to = |edge: &Edge| {
        let node = &graph.nodes[edge.to];
        if edge.label.is_empty() {
            node.label.clone()
        } else {
            format!("{} ({})", node.label, edge.label)
        }
    };
    let line = |(at, node): (usize, &Node)| InWords {
        label: node.label.clone(),
        id: node.id.clone(),
        kind: node.kind.clone(),
        leads_to: graph.edges.iter().filter(|edge| edge.from == at).map(to).collect(),
    };
    graph.nodes.iter().enumerate().map(line).collect()
}
