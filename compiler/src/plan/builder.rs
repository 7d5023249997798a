//! The graph of a Builder flow, after checks and after the split into cloud and edge.

use std::collections::BTreeMap;

use colophon_model::{EdgeRuntime, Sha256};
use serde_json::Value;

use super::Ident;

/// A Builder flow's nodes as they run.
#[derive(Debug, Clone, PartialEq)]
pub struct BuilderGraph {
    /// Inputs of a run, by name.
    pub inputs: BTreeMap<String, Input>,
    /// Language of the edge scripts.
    pub edge_runtime: EdgeRuntime,
    /// Environment variables of the edge scripts, each filled from a credential on the agent.
    pub edge_env: BTreeMap<String, CredentialRef>,
    /// Python packages of the edge scripts, `name==version`, sorted.
    pub edge_requirements: Vec<String>,
    /// Those of them whose wheels are in the bundle.
    pub edge_wheels: Vec<String>,
    /// Everything outside loop bodies.
    pub top: Region,
}

impl BuilderGraph {
    /// The parts that run at the edge, in order.
    pub fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.top.steps.iter().filter_map(|step| match &step.work {
            Work::Segment(segment) => Some(segment),
            Work::Node(_) => None,
        })
    }

    /// Whether anything runs at the edge.
    pub fn has_edge_part(&self) -> bool {
        self.segments().next().is_some()
    }
}

/// One declared input of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// Whether a run without it is refused.
    pub required: bool,
    /// The value of a run that leaves it out.
    pub default: Value,
}

/// Steps that run as one graph: the flow itself, or the body of a loop.
#[derive(Debug, Clone, PartialEq)]
pub struct Region {
    /// In an order in which every step comes after the steps it waits for; ties by identifier.
    pub steps: Vec<Step>,
}

/// One vertex of the generated cloud graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What it waits for. It runs when at least one of these is live.
    pub after: Vec<After>,
    /// What it does.
    pub work: Work,
}

impl Step {
    /// The identifier of the node or segment.
    pub const fn ident(&self) -> &Ident {
        match &self.work {
            Work::Node(node) => &node.id,
            Work::Segment(segment) => &segment.id,
        }
    }
}

/// An incoming edge: the step it comes from, and the router's branch when it comes from one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct After {
    /// The node that the edge leaves.
    pub node: Ident,
    /// The step that holds this node: the node itself, or its segment.
    pub step: Ident,
    /// The branch that must have been taken.
    pub branch: Option<Ident>,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    /// Runs one node in the cloud.
    Node(Node<CloudKind>),
    /// Hands over to the edge and waits for the answer.
    Segment(Segment),
}

/// A maximal connected set of edge nodes, entered at one node.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// The identifier of the node at which it is entered.
    pub id: Ident,
    /// Its nodes in running order.
    pub nodes: Vec<Node<EdgeKind>>,
    /// Exactly the values of the cloud that it reads, sorted.
    pub payload: Vec<Reference>,
}

/// One node, with a kind that can run where it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Node<K> {
    /// Its id, which the Builder already spells as an identifier.
    pub id: Ident,
    /// What happens to the run when the node fails.
    pub on_error: OnError,
    /// How often a failed attempt is repeated, 0 to 5.
    pub retry: u8,
    /// Limit of one attempt, in milliseconds, at most an hour.
    pub timeout_ms: Option<u32>,
    /// What it does.
    pub kind: K,
}

impl<K> Node<K> {
    /// The same node with another kind, when `convert` knows one.
    pub(crate) fn convert<L>(self, convert: impl FnOnce(K) -> Option<L>) -> Option<Node<L>> {
        let Self { id, on_error, retry, timeout_ms, kind } = self;
        Some(Node { id, on_error, retry, timeout_ms, kind: convert(kind)? })
    }
}

/// What happens to the run when a node fails after its last attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// The run fails.
    Fail,
    /// The node's output becomes `{"error": message}` and the run goes on.
    Continue,
}

/// What a node does in the cloud.
#[derive(Debug, Clone, PartialEq)]
pub enum CloudKind {
    /// Starts a run; its output is the run's input.
    Trigger(Trigger),
    /// Asks a language model.
    LlmChat(LlmChat),
    /// Sends an HTTP request.
    HttpRequest(HttpRequest),
    /// Builds an object from values.
    DataMap(BTreeMap<String, Template>),
    /// Chooses branches.
    Router(Router),
    /// Runs a region once per item.
    Loop(Loop),
    /// Runs JavaScript that the flow brings.
    CodeJs(CodeJs),
}

/// What a node does at the edge.
#[derive(Debug, Clone, PartialEq)]
pub enum EdgeKind {
    /// Builds an object from values.
    DataMap(BTreeMap<String, Template>),
    /// Drives a web page.
    Browser(Vec<BrowserAction>),
    /// Drives the programs of a desktop.
    Desktop(Vec<DesktopAction>),
    /// Runs cmdlets.
    Shell(Vec<Cmdlet>),
}

/// How a run starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trigger {
    /// By hand.
    Manual,
    /// By a webhook.
    Webhook,
    /// By the clock; five fields of a crontab.
    Schedule(String),
}

/// `llm.chat`.
#[derive(Debug, Clone, PartialEq)]
pub struct LlmChat {
    /// The model's name.
    pub model: String,
    /// The system message.
    pub system: Option<Template>,
    /// The user message.
    pub prompt: Template,
    /// 0 to 2.
    pub temperature: Option<f64>,
    /// The key; without one, the environment's default key is used.
    pub api_key: Option<CredentialRef>,
}

/// `http.request`.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpRequest {
    /// The method, in capitals.
    pub method: &'static str,
    /// The URL; a literal beginning is `http://` or `https://`.
    pub url: Template,
    /// Headers by name.
    pub headers: BTreeMap<String, Template>,
    /// The JSON body.
    pub json: Option<Template>,
}

/// `logic.router`.
#[derive(Debug, Clone, PartialEq)]
pub struct Router {
    /// Whether every branch that holds is taken, or the first one only.
    pub all: bool,
    /// The branches, in order.
    pub branches: Vec<Branch>,
}

/// One branch of a router.
#[derive(Debug, Clone, PartialEq)]
pub struct Branch {
    /// Its name.
    pub name: Ident,
    /// When it is taken.
    pub when: When,
}

/// When a branch is taken.
#[derive(Debug, Clone, PartialEq)]
pub enum When {
    /// When all conditions of any of these groups hold.
    Any(Vec<Vec<Condition>>),
    /// When no other branch is.
    Fallback,
}

/// One comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// The operator's word, of a closed set.
    pub op: &'static str,
    /// The value on the left.
    pub left: Template,
    /// The value on the right, for operators with two.
    pub right: Option<Template>,
    /// Whether letter case counts in text.
    pub case_sensitive: bool,
}

/// `logic.loop`.
#[derive(Debug, Clone, PartialEq)]
pub struct Loop {
    /// The list.
    pub items: Template,
    /// A longer list fails the node.
    pub max_items: u32,
    /// What runs per item, in order of the items.
    pub body: Region,
}

/// `code.js`: a code carrier, see [`crate::CodePolicy`].
#[derive(Debug, Clone, PartialEq)]
pub struct CodeJs {
    /// A module that exports a function by default.
    pub source: String,
    /// What the function is given, by name.
    pub input: BTreeMap<String, Template>,
}

impl CodeJs {
    /// The hash under which the source is kept.
    pub fn sha256(&self) -> Sha256 {
        Sha256::of(self.source.as_bytes())
    }
}

/// One step of a `browser.run`, of a closed vocabulary.
#[derive(Debug, Clone, PartialEq)]
pub enum BrowserAction {
    /// Opens a URL.
    Goto {
        /// Where.
        url: Template,
    },
    /// Does something to an element: `click`, `wait` or `check`.
    Touch {
        /// The word.
        op: &'static str,
        /// Which element.
        selector: Template,
    },
    /// Gives an element a value: `fill`, `select` or `press`.
    Set {
        /// The word.
        op: &'static str,
        /// Which element.
        selector: Template,
        /// The value.
        value: Template,
    },
    /// Reads an element: `read_text`, `read_value` or `count`.
    Read {
        /// The word.
        op: &'static str,
        /// Which element.
        selector: Template,
        /// The name of the result.
        name: Ident,
    },
}

/// One step of a `desktop.run`, of a closed vocabulary.
#[derive(Debug, Clone, PartialEq)]
pub enum DesktopAction {
    /// Does something with a window: `activate`, `wait_window` or `close`.
    Window {
        /// The word.
        op: &'static str,
        /// Its title, or `ahk_class` and `ahk_exe` with a name.
        window: Template,
    },
    /// Starts a program.
    Run {
        /// The program, without references.
        path: String,
        /// Its arguments, one by one: no shell reads them.
        args: Vec<Template>,
    },
    /// Gives a text away: `type` or `set_clipboard`.
    Text {
        /// The word.
        op: &'static str,
        /// The text.
        text: Template,
    },
    /// Presses keys of a closed list.
    Keys(Vec<&'static str>),
    /// Reads the clipboard.
    ReadClipboard {
        /// The name of the result.
        name: Ident,
    },
}

/// One step of a `shell.powershell`: a cmdlet of the allow-list.
#[derive(Debug, Clone, PartialEq)]
pub struct Cmdlet {
    /// Its name, as the allow-list spells it.
    pub cmdlet: &'static str,
    /// Its parameters by name, each with the word that says what it takes.
    pub params: BTreeMap<&'static str, (&'static str, Template)>,
    /// The name of the result, when it is kept.
    pub name: Option<Ident>,
}

/// A JSON value in which references may stand for values or parts of texts.
#[derive(Debug, Clone, PartialEq)]
pub enum Template {
    /// A value without references.
    Literal(Value),
    /// One reference, keeping the type of what it names.
    Reference(Reference),
    /// Text with references in it.
    Text(Vec<Part>),
    /// A list with a reference somewhere.
    List(Vec<Template>),
    /// An object with a reference somewhere.
    Object(BTreeMap<String, Template>),
}

/// A part of a text.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// As it stands.
    Text(String),
    /// Replaced by what it names.
    Reference(Reference),
}

/// `{{root.path}}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reference {
    /// A node's output, or what lies below it.
    Node(Ident, Vec<String>),
    /// An input of the run, or what lies below it.
    Input(String, Vec<String>),
    /// A secret.
    Credential(CredentialRef),
}

/// The name of a credential, and of one of its fields.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CredentialRef {
    /// The credential.
    pub name: String,
    /// The field, for a credential with several.
    pub field: Option<String>,
}
