//! The graph of a LangFlow export.

use std::collections::{BTreeMap, BTreeSet};

use colophon_model::Sha256;
use serde_json::{Map, Value};

use super::Ident;

/// The vertices of a flow that run, and the release they were made for.
#[derive(Debug, Clone, PartialEq)]
pub struct LangflowGraph {
    /// The lfx release that knows the flow's components.
    pub lfx: &'static str,
    /// The vertices outside any loop body, each after all that feed it.
    pub nodes: Vec<LangflowNode>,
    /// Components that give what no state can hold, such as a tool or a model: each is run by those
    /// that it feeds, and is a node as well only when another of its outputs is data. Each after all
    /// of them that feed it.
    pub resources: Vec<Component>,
    /// Where a run can begin, the default first; empty when there is one way only.
    pub entries: Vec<LangflowEntry>,
}

/// A place where a run can begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LangflowEntry {
    /// `webhook` or `chat`.
    pub name: &'static str,
    /// Ids of the vertices that run then.
    pub runs: BTreeSet<String>,
}

/// By router, the outputs of it that lead to a vertex. When a router stops all of these, the vertex
/// is left out.
pub type Routes = BTreeMap<String, BTreeSet<String>>;

/// One vertex.
#[derive(Debug, Clone, PartialEq)]
pub enum LangflowNode {
    /// A component, run from its own source.
    Component(Component),
    /// A Loop, compiled natively: its body runs once per item.
    Loop(LangflowLoop),
}

impl LangflowNode {
    /// The vertex id in the export. Data.
    pub fn id(&self) -> &str {
        match self {
            Self::Component(component) => &component.id,
            Self::Loop(repeat) => &repeat.id,
        }
    }

    /// Its name in generated code.
    pub const fn ident(&self) -> &Ident {
        match self {
            Self::Component(component) => &component.ident,
            Self::Loop(repeat) => &repeat.ident,
        }
    }

    /// Fields that edges feed.
    pub fn inputs(&self) -> &[LangflowInput] {
        match self {
            Self::Component(component) => &component.inputs,
            Self::Loop(repeat) => &repeat.inputs,
        }
    }
}

/// A component with everything that decides what it does.
#[derive(Debug, Clone, PartialEq)]
pub struct Component {
    /// The vertex id in the export. Data.
    pub id: String,
    /// Its name in generated code.
    pub ident: Ident,
    /// The component's name in LangFlow, which finds the class in the source. Data.
    pub class: String,
    /// SHA-256 of the source, which names the file that carries it.
    pub code_sha256: Sha256,
    /// The source.
    pub code: String,
    /// Values of fields that no edge feeds.
    pub params: Map<String, Value>,
    /// Fields that edges feed.
    pub inputs: Vec<LangflowInput>,
    /// Outputs that have a consumer, sorted; empty means all.
    pub outputs: Vec<String>,
    /// Names of all outputs that the export declares, in order, and of the methods that give them.
    pub methods: Vec<(String, String)>,
    /// Who an agent speaks as: the `sender_name` of the flow's chat output.
    pub speaker: Option<String>,
    /// Fields whose value is the name of a variable of the environment, sorted.
    pub env: Vec<String>,
    /// Fields whose value is a table, which the component expects as a data frame, sorted.
    pub frames: Vec<String>,
    /// The field that takes the run's input.
    pub run_input: Option<&'static str>,
    /// The only entry for which it does.
    pub entry: Option<&'static str>,
    /// Whether its empty field `session_id` takes the run's session.
    pub session: bool,
    /// Routers that can leave it out.
    pub routes: Routes,
    /// Whether it is the last of a Loop's body, whose output is the result of an iteration.
    pub ends_iteration: bool,
}

/// One edge, seen from the vertex it feeds.
#[derive(Debug, Clone, PartialEq)]
pub struct LangflowInput {
    /// The field fed.
    pub field: String,
    /// Id of the vertex that feeds it. Inside a loop's body, the loop itself gives `item`.
    pub from: String,
    /// The output of that vertex.
    pub output: String,
    /// Whether the field collects several values.
    pub list: bool,
    /// The vertex that feeds it, when it is run for this edge and not found in the state.
    pub resource: Option<Ident>,
    /// What the field is when a router left out the vertex that feeds it.
    pub default: Value,
}

/// A Loop and its body.
#[derive(Debug, Clone, PartialEq)]
pub struct LangflowLoop {
    /// The vertex id in the export. Data.
    pub id: String,
    /// Its name in generated code.
    pub ident: Ident,
    /// The vertices that run once per item, each after all that feed it.
    pub body: Vec<LangflowNode>,
    /// Id of the vertex that gives the result of an iteration, and the output that does.
    pub tail: (String, String),
    /// The type of `done`.
    pub done_as: DoneAs,
    /// Fields that edges feed.
    pub inputs: Vec<LangflowInput>,
    /// Routers that can leave it out.
    pub routes: Routes,
}

/// What a Loop's `done` output is: it changed between LangFlow 1.4 and 1.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DoneAs {
    /// A list of `Data`.
    List,
    /// A `DataFrame`.
    DataFrame,
}
