//! What of a flow runs, what runs once per item of a Loop, and in which order.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::edge::{Edge, End};
use super::export::Export;
use super::routes::Routing;
use super::vertex::Vertex;
use super::{known, params};
use crate::plan::langflow::{
    Component, LangflowEntry, LangflowGraph, LangflowInput, LangflowLoop, LangflowNode,
};
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
    let lfx = release(export, vertices);
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

/// Where runs begin (`find_start_component_id`): at a webhook, at a chat input. The first is the
/// default.
struct Entries(Vec<(&'static str, usize)>);

impl Entries {
    fn of(vertices: &[Vertex<'_>]) -> Self {
        let first = |name: &'static str, class: &str| {
            let is_entry = |v: &Vertex<'_>| v.class == class && v.id.to_lowercase().contains(name);
            vertices.iter().position(is_entry).map(|at| (name, at))
        };
        Self(first("webhook", "Webhook").into_iter().chain(first("chat", "ChatInput")).collect())
    }

    /// What runs from each entry, when there are several.
    fn several(&self, vertices: &[Vertex<'_>], links: &Links<'_>) -> Vec<LangflowEntry> {
        if self.0.len() < 2 {
            return Vec::new();
        }
        let ids = |at| running(links, at).iter().map(|at| vertices[*at].id.to_owned()).collect();
        self.0.iter().map(|(name, at)| LangflowEntry { name, runs: ids(*at) }).collect()
    }

    /// The field of a vertex that takes the run's input, and the only entry for which it does: the
    /// webhook that is the entry, or any chat input.
    fn input(
        &self,
        vertices: &[Vertex<'_>],
        at: usize,
    ) -> Option<(&'static str, Option<&'static str>)> {
        let is_webhook = self.0.contains(&("webhook", at));
        let is_chat = vertices[at].class == "ChatInput";
        let of = |name| (self.0.len() > 1).then_some(name);
        match self.0.as_slice() {
            _ if is_webhook => Some(("data", of("webhook"))),
            [("webhook", _)] => None,
            _ => is_chat.then(|| ("input_value", of("chat"))),
        }
    }
}

/// A tool that nothing uses would run with no input. lfx leaves it out
/// (`Graph._orphaned_tool_vertex_ids`).
fn is_orphaned_tool(vertex: &Vertex<'_>, links: &Links<'_>, at: usize) -> bool {
    vertex.node.get("tool_mode").and_then(Value::as_bool) == Some(true)
        && links.leaving[at].is_empty()
}

/// By vertex, the outputs that any edge reads and that a state can hold: the others would call a
/// model or a service for nothing.
fn consumed(count: usize, edges: &[Edge<'_>]) -> Vec<BTreeSet<String>> {
    let mut outputs = vec![BTreeSet::new(); count];
    for edge in edges.iter().filter(|edge| !edge.is_resource) {
        outputs[edge.from].insert(edge.output.to_owned());
    }
    outputs
}

/// By vertex, what its edges carry.
struct Uses(Vec<(bool, bool)>);

impl Uses {
    fn of(count: usize, edges: &[Edge<'_>]) -> Self {
        let mut uses = vec![(false, false); count];
        for edge in edges {
            let (resource, data) = &mut uses[edge.from];
            *(if edge.is_resource { resource } else { data }) = true;
        }
        Self(uses)
    }

    /// Whether another vertex runs this one to get what no state can hold.
    fn is_resource(&self, at: usize) -> bool {
        self.0[at].0
    }

    /// Whether it is a node of the graph: unless all it gives is a resource.
    fn is_node(&self, at: usize) -> bool {
        self.0[at] != (true, false)
    }
}

/// What is reachable from the entry, and all that those vertices need.
fn running(links: &Links<'_>, entry: usize) -> BTreeSet<usize> {
    let count = links.leaving.len();
    let reachable = walk(count, [entry], |at| links.leaving[at].iter().map(|e| e.to));
    walk(count, reachable, |at| links.entering[at].iter().map(|e| e.from)).into_iter().collect()
}

/// The edges of each vertex, so that a walk over the flow costs as much as the flow is large.
struct Links<'a> {
    leaving: Vec<Vec<Edge<'a>>>,
    entering: Vec<Vec<Edge<'a>>>,
}

impl<'a> Links<'a> {
    fn of(count: usize, edges: &[Edge<'a>]) -> Self {
        let mut links =
            Self { leaving: vec![Vec::new(); count], entering: vec![Vec::new(); count] };
        for edge in edges {
            links.leaving[edge.from].push(*edge);
            links.entering[edge.to].push(*edge);
        }
        links
    }
}

fn warn_of_idle(vertices: &[Vertex<'_>], running: &BTreeSet<usize>, findings: &mut Findings) {
    for (_, vertex) in vertices.iter().enumerate().filter(|(index, _)| !running.contains(index)) {
        let detail = "no path leads from the flow's input to this vertex; it does not run";
        findings.add_at("W_UNREACHABLE", &vertex.at, vertex.id, detail);
    }
}

/// All of `count` vertices that steps lead to, those in `from` among them, each once.
fn walk<I: Iterator<Item = usize>>(
    count: usize,
    from: impl IntoIterator<Item = usize>,
    step: impl Fn(usize) -> I,
) -> Vec<usize> {
    let mut open: Vec<_> = from.into_iter().collect();
    let mut seen = vec![false; count];
    let mut reached = Vec::new();
    while let Some(at) = open.pop() {
        if !std::mem::replace(&mut seen[at], true) {
            reached.push(at);
            open.extend(step(at));
        }
    }
    reached
}

/// The lfx release for the flow: the newest that its sources are known from, else the newest that
/// its vertices or the flow name, else the newest known at all.
fn release(export: &Export, vertices: &[Vertex<'_>]) -> String {
    let newest = |releases: &mut dyn Iterator<Item = &str>| {
        let plain = releases.filter(|release| known::version(release).is_some());
        plain.max_by_key(|release| known::version(release)).map(str::to_owned)
    };
    let named =
        |v: &Vertex<'_>| v.node.get("lf_version").and_then(Value::as_str).map(str::to_owned);
    let named: Vec<_> = vertices.iter().filter_map(named).collect();
    let tested = export.head.get("last_tested_version").and_then(Value::as_str);
    newest(&mut vertices.iter().filter_map(|v| v.known.map(|known| known.release)))
        .or_else(|| newest(&mut named.iter().map(String::as_str)))
        .or_else(|| newest(&mut tested.into_iter()))
        .unwrap_or_else(|| known::newest_release().to_owned())
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
        Component {
            id: vertex.id.to_owned(),
            ident: self.idents[index].clone(),
            class: vertex.class.to_owned(),
            code_sha256: vertex.code_sha256,
            code: vertex.code.clone().into_owned(),
            params: params.values,
            inputs,
            outputs: self.outputs[index].iter().cloned().collect(),
            env: params.env,
            frames: params.frames,
            run_input,
            entry: entry.flatten(),
            routes: self.routing.to(index).clone(),
            ends_iteration: self.regions.tails.values().any(|(tail, _)| *tail == index),
        }
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
