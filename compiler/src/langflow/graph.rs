//! What of a flow runs, what runs once per item of a Loop, and in which order.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::edge::{Edge, End};
use super::entries::{Entries, running};
use super::export::Export;
use super::links::{Links, walk};
use super::routes::Routing;
use super::uses::{Uses, consumed};
use super::vertex::Vertex;
use super::{params, release};
use crate::plan::langflow::{Component, LangflowGraph, LangflowInput, LangflowLoop, LangflowNode};
use crate::plan::{Ident, Idents};
use crate::problem::{Findings, Pointer};

/// Builds the graph; nothing when there is a problem that leaves none.
pub(super) fn build(
    export: &Export,
    vertices: &[Vertex<'_>],
    edges: &[Edge<'_>],
    findings: &mut Findings,
) -> Option<LangflowGraph> {
    if vertices.is_empty() {
        if !findings.has_errors() {
            findings.add("E_SCHEMA", &Pointer::root().key("data").key("nodes"), "nothing to run");
        }
        return None;
    }
    let entries = Entries::of(vertices);
    let links = Links::of(vertices.len(), edges);
    // A vertex or an edge that was refused may have been the only path to others, so in a flow with
    // problems everything is looked at.
    let everything = entries.0.is_empty() || findings.has_errors();
    let running = if everything {
        (0..vertices.len()).filter(|at| !is_orphaned_tool(&vertices[*at], &links, *at)).collect()
    } else {
        entries.0.iter().flat_map(|(_, at)| running(&links, *at)).collect()
    };
    warn_of_idle(vertices, &running, findings);
    let outputs = consumed(vertices.len(), edges);
    let edges: Vec<_> = edges
        .iter()
        .filter(|edge| running.contains(&edge.from) && running.contains(&edge.to))
        .copied()
        .collect();
    let lfx = release::of(export, vertices);
    let regions = Regions::find(vertices, &edges, &running, findings)?;
    let mut idents = Idents::default();
    let idents = vertices.iter().map(|vertex| idents.derive(vertex.id)).collect();
    let waits = regions.waits(vertices.len(), &edges);
    let routing = Routing::of(vertices, &edges);
    let entry_nodes = entries.several(vertices, &links);
    let (uses, resources) = (Uses::of(vertices.len(), &edges), Vec::new());
    let mut builder = Builder {
        vertices,
        edges,
        regions,
        waits,
        idents,
        entries,
        outputs,
        routing,
        uses,
        resources,
        findings,
    };
    builder.check_regions();
    let nodes = builder.region(None, &running);
    Some(LangflowGraph { lfx, nodes, resources: builder.resources, entries: entry_nodes })
}

/// A tool that nothing uses would run with no input. lfx leaves it out
/// (`Graph._orphaned_tool_vertex_ids`).
fn is_orphaned_tool(vertex: &Vertex<'_>, links: &Links<'_>, at: usize) -> bool {
    vertex.node.get("tool_mode").and_then(Value::as_bool) == Some(true)
        && links.leaving[at].is_empty()
}

fn warn_of_idle(vertices: &[Vertex<'_>], running: &BTreeSet<usize>, findings: &mut Findings) {
    for (_, vertex) in vertices.iter().enumerate().filter(|(index, _)| !running.contains(index)) {
        let detail = "no path leads from the flow's input to this vertex; it does not run";
        findings.add_at("W_UNREACHABLE", &vertex.at, vertex.id, detail);
    }
}

/// Loop bodies.
struct Regions {
    /// The innermost loop around a vertex that is in a body.
    owner: BTreeMap<usize, usize>,
    /// The edge that ends an iteration, by loop: source vertex and output.
    tails: BTreeMap<usize, (usize, String)>,
}

impl Regions {
    /// A body is what can be reached from `item` without passing the vertex that feeds back
    /// (`lfx.base.flow_controls.loop_utils.get_loop_body_vertices`).
    fn find(
        vertices: &[Vertex<'_>],
        edges: &[Edge<'_>],
        running: &BTreeSet<usize>,
        findings: &mut Findings,
    ) -> Option<Self> {
        let links = Links::of(vertices.len(), edges);
        let mut tails = BTreeMap::new();
        let mut bodies = Vec::new();
        let loops: Vec<_> =
            running.iter().copied().filter(|&index| vertices[index].is_loop()).collect();
        for &index in &loops {
            match body(index, &links) {
                Ok((tail, members)) => {
                    tails.insert(index, tail);
                    bodies.push((index, members));
                }
                Err(detail) => {
                    findings.add_at("E_LF_LOOP", &vertices[index].at, vertices[index].id, detail);
                }
            }
        }
        // The smallest body around a vertex is the innermost.
        bodies.sort_by_key(|(index, members)| (members.len(), *index));
        let mut owner = BTreeMap::new();
        for (index, members) in &bodies {
            for member in members {
                owner.entry(*member).or_insert(*index);
            }
        }
        let regions = Self { owner, tails };
        let whole = bodies.len() == loops.len();
        (regions.is_nested(&loops, vertices, findings) && whole).then_some(regions)
    }

    /// Whether every loop is inside few others, and none inside itself. Else what follows a chain of
    /// owners would not come to an end.
    fn is_nested(&self, loops: &[usize], vertices: &[Vertex<'_>], findings: &mut Findings) -> bool {
        let mut nested = true;
        for &index in loops {
            let around: Vec<_> = self.around(index).take(MAX_NESTING).collect();
            let detail = if around.contains(&index) {
                "the Loop is inside the body of another, which is inside its own"
            } else if around.len() == MAX_NESTING {
                "the Loop is inside of eight others or more; at most seven are allowed"
            } else {
                continue;
            };
            findings.add_at("E_LF_LOOP", &vertices[index].at, vertices[index].id, detail);
            nested = false;
        }
        nested
    }

    /// For each vertex those that it waits for in its region: those that feed it, or something in its
    /// body. An edge counts in the innermost region that both its ends are in.
    fn waits(&self, count: usize, edges: &[Edge<'_>]) -> Vec<BTreeSet<usize>> {
        let mut waits = vec![BTreeSet::new(); count];
        for edge in edges.iter().filter(|edge| !edge.is_feedback()) {
            let mut regions = self.around(edge.from).map(Some).chain([None]);
            let ends = regions.find_map(|region| {
                Some((self.member(region, edge.from)?, self.member(region, edge.to)?))
            });
            // An edge between a loop and its own body is none between members.
            if let Some((from, to)) = ends
                && (from != to || edge.from == edge.to)
            {
                waits[to].insert(from);
            }
        }
        waits
    }

    /// The loops around a vertex, innermost first.
    fn around(&self, at: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(self.owner.get(&at).copied(), |at| self.owner.get(at).copied())
    }

    /// The vertex, or the loop around it, that is a member of `region`.
    fn member(&self, region: Option<usize>, at: usize) -> Option<usize> {
        let mut chain = std::iter::once(at).chain(self.around(at));
        chain.find(|at| self.owner.get(at).copied() == region)
    }
}

/// So many loops may be inside each other. Bodies are graphs of their own, made and run one inside
/// the other.
const MAX_NESTING: usize = 8;

type Tail = (usize, String);

fn body(index: usize, links: &Links<'_>) -> Result<(Tail, Vec<usize>), &'static str> {
    let mut tails = links.entering[index].iter().filter(|edge| edge.is_feedback());
    let (Some(tail), None) = (tails.next(), tails.next()) else {
        return Err("exactly one edge must lead back to the Loop's `item`");
    };
    let starts = links.leaving[index].iter().filter(|edge| edge.output == "item");
    let members = walk(links.leaving.len(), starts.map(|edge| edge.to), |at| {
        let passes = move |edge: &&Edge<'_>| at != tail.from && !edge.is_feedback();
        links.leaving[at].iter().filter(passes).map(|edge| edge.to)
    });
    if !members.contains(&tail.from) {
        return Err("the vertex that leads back to the Loop does not depend on its `item`");
    }
    if members.contains(&index) {
        return Err("the Loop's own input depends on its `item`");
    }
    Ok(((tail.from, tail.output.to_owned()), members))
}

struct Builder<'a, 'f> {
    vertices: &'a [Vertex<'a>],
    edges: Vec<Edge<'a>>,
    regions: Regions,
    waits: Vec<BTreeSet<usize>>,
    idents: Vec<Ident>,
    entries: Entries,
    outputs: Vec<BTreeSet<String>>,
    routing: Routing,
    uses: Uses,
    resources: Vec<Component>,
    findings: &'f mut Findings,
}

impl Builder<'_, '_> {
    /// Values enter a body from outside, but leave it through the Loop alone.
    fn check_regions(&mut self) {
        for edge in self.edges.iter().filter(|edge| !edge.is_feedback()) {
            let home = self.regions.owner.get(&edge.from);
            if home.is_some_and(|home| !self.regions.around(edge.to).any(|at| at == *home)) {
                let vertex = &self.vertices[edge.from];
                let detail = "the vertex is part of a Loop's body, and feeds one that is not";
                self.findings.add_at("E_LF_LOOP", &vertex.at, vertex.id, detail);
            }
        }
    }

    /// The members of `region` among `running`, in order.
    fn region(&mut self, region: Option<usize>, running: &BTreeSet<usize>) -> Vec<LangflowNode> {
        let is_member = |at: &&usize| self.regions.owner.get(at).copied() == region;
        let members: Vec<usize> = running.iter().filter(is_member).copied().collect();
        let mut nodes = Vec::new();
        for index in self.order(&members) {
            if self.vertices[index].is_loop() {
                nodes.push(LangflowNode::Loop(self.loop_node(index, running)));
                continue;
            }
            let component = self.component(index);
            if self.uses.is_resource(index) {
                self.resources.push(component.clone());
            }
            if self.uses.is_node(index) {
                nodes.push(LangflowNode::Component(component));
            }
        }
        nodes
    }

    /// Kahn's algorithm, smallest index first. What is left over holds a cycle.
    fn order(&mut self, members: &[usize]) -> Vec<usize> {
        let mut waits: BTreeMap<usize, BTreeSet<usize>> =
            members.iter().map(|at| (*at, std::mem::take(&mut self.waits[*at]))).collect();
        let mut order = Vec::new();
        while let Some(ready) = waits.iter().find(|(_, w)| w.is_empty()).map(|(at, _)| *at) {
            waits.remove(&ready);
            for others in waits.values_mut() {
                others.remove(&ready);
            }
            order.push(ready);
        }
        self.report_cycle(&waits);
        order
    }

    fn report_cycle(&mut self, waits: &BTreeMap<usize, BTreeSet<usize>>) {
        let Some(start) = waits.keys().next() else { return };
        // Every vertex left waits for one that is left, so following them comes back.
        let mut path = vec![*start];
        let again = loop {
            let last = path[path.len() - 1];
            let Some(next) = waits[&last].iter().find(|at| waits.contains_key(at)) else { return };
            if let Some(again) = path.iter().position(|at| at == next) {
                break again;
            }
            path.push(*next);
        };
        let cycle: Vec<_> = path[again..].iter().rev().collect();
        let vertex = &self.vertices[*cycle[0]];
        let names = cycle.iter().chain([&cycle[0]]);
        let names: Vec<_> =
            names.map(|at| self.vertices[**at].id.escape_debug().to_string()).collect();
        let detail = format!("these vertices wait for each other: {}", names.join(" -> "));
        self.findings.add_at("E_CYCLE", &vertex.at, vertex.id, detail);
    }

    fn component(&mut self, index: usize) -> Component {
        let vertices = self.vertices;
        let vertex = &vertices[index];
        let inputs = self.inputs(index);
        let fed = inputs.iter().map(|input| input.field.as_str()).collect();
        let params = params::read(vertex, &fed, self.findings);
        let (run_input, entry) = self.entries.input(vertices, index).unzip();
        let session = params::takes_session(vertex, &fed, &params);
        Component {
            session,
            id: vertex.id.to_owned(),
            ident: self.idents[index].clone(),
            class: vertex.class.to_owned(),
            code_sha256: vertex.code_sha256,
            code: vertex.code.clone().into_owned(),
            params: params.values,
            inputs,
            outputs: self.outputs[index].iter().cloned().collect(),
            methods: vertex.methods(),
            speaker: self.speaker(vertex),
            env: params.env,
            frames: params.frames,
            run_input,
            entry: entry.flatten(),
            routes: self.routing.to(index).clone(),
            ends_iteration: self.regions.tails.values().any(|(tail, _)| *tail == index),
        }
    }

    /// What `lfx.base.agents.utils.get_chat_output_sender_name` finds, which only agents ask for.
    fn speaker(&self, vertex: &Vertex<'_>) -> Option<String> {
        let output = self.vertices.iter().find(|vertex| vertex.class == "ChatOutput")?;
        let name = output.template.get("sender_name")?.get("value")?.as_str()?;
        (vertex.code.contains("agent") && !name.is_empty()).then(|| name.to_owned())
    }

    fn loop_node(&mut self, index: usize, running: &BTreeSet<usize>) -> LangflowLoop {
        let body = self.region(Some(index), running);
        let vertex = &self.vertices[index];
        let (tail, output) = self.regions.tails[&index].clone();
        LangflowLoop {
            id: vertex.id.to_owned(),
            ident: self.idents[index].clone(),
            body,
            tail: (self.vertices[tail].id.to_owned(), output),
            done_as: vertex.done_as(),
            inputs: self.inputs(index),
            routes: self.routing.to(index).clone(),
        }
    }

    /// By field; edges to one field keep their order.
    fn inputs(&self, index: usize) -> Vec<LangflowInput> {
        let input = |edge: &Edge<'_>| match edge.end {
            End::Field { name, list } if edge.to == index => Some(LangflowInput {
                field: name.to_owned(),
                from: self.vertices[edge.from].id.to_owned(),
                output: edge.output.to_owned(),
                list,
                resource: edge.is_resource.then(|| self.idents[edge.from].clone()),
                default: self.default(edge, name),
            }),
            _ => None,
        };
        let mut inputs: Vec<_> = self.edges.iter().filter_map(input).collect();
        inputs.sort_by(|a, b| a.field.cmp(&b.field));
        inputs
    }

    /// The field's own value, for when a router leaves out what feeds it
    /// (`ComponentVertex._get_result`).
    fn default(&self, edge: &Edge<'_>, field: &str) -> Value {
        let field = self.vertices[edge.to].template.get(field);
        let field = field.filter(|field| !super::vertex::is_secret(field));
        let value = field.and_then(|field| field.get("value"));
        let needed = !self.routing.to(edge.from).is_empty();
        value.filter(|_| needed).cloned().unwrap_or_default()
    }
}
