//! The tree of an ActivePieces flow.

use std::collections::BTreeMap;

use colophon_model::Sha256;
use serde_json::Value;

use super::Ident;

/// The steps of a flow, and what they need of their surroundings.
#[derive(Debug, Clone, PartialEq)]
pub struct ActivepiecesGraph {
    /// What starts the flow.
    pub trigger: Trigger,
    /// The steps after it, in order.
    pub steps: Vec<Step>,
    /// The environment's variable of each connection, by the connection's id in the flow.
    pub connections: BTreeMap<String, String>,
    /// The environment's variable of each project variable, by its name in the flow.
    pub variables: BTreeMap<String, String>,
}

/// What starts a flow. Its payload is the run's input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// The step's name, under which expressions find the payload. Data.
    pub name: String,
    /// The kind: `webhook`, `schedule`, `form`, `chat`, `manual` or `callable`.
    pub kind: &'static str,
    /// When the flow is to run, for a schedule.
    pub schedule: Option<Schedule>,
}

/// When a flow is to run: for the operator, who starts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// A cron expression of five fields. Data.
    pub cron: String,
    /// A name of the IANA time zone database. Data.
    pub timezone: String,
}

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The step's name, under which expressions find its output. Data.
    pub name: String,
    /// Its name in generated code.
    pub ident: Ident,
    /// Whether the flow goes on when the step fails.
    pub continue_on_failure: bool,
    /// Whether the step is tried again when it fails.
    pub retry: bool,
    /// What it does.
    pub work: Work,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    /// Runs JavaScript in a process of its own.
    Code(Code),
    /// Runs a piece of the runtime.
    Piece {
        /// `piece/action`, a name of the front end's table of pieces.
        action: &'static str,
        /// Its properties.
        input: Expr,
        /// The connection that it signs in with.
        auth: Option<Expr>,
    },
    /// Runs its body once per item, one after the other.
    Loop {
        /// The items.
        items: Expr,
        /// The body.
        body: Vec<Step>,
    },
    /// Runs the steps of branches.
    Router(Router),
}

/// A CODE step: code of the flow's author.
#[derive(Debug, Clone, PartialEq)]
pub struct Code {
    /// What the function is called with.
    pub input: Expr,
    /// SHA-256 of the JavaScript, which names the file that carries it.
    pub sha256: Sha256,
    /// The JavaScript, an ECMAScript module.
    pub javascript: String,
}

/// A choice between branches.
#[derive(Debug, Clone, PartialEq)]
pub struct Router {
    /// Name of the place behind all branches, in generated code.
    pub join: Ident,
    /// Whether every branch that holds is run, in order; else the first alone.
    pub all: bool,
    /// The branches.
    pub branches: Vec<Branch>,
}

/// One branch of a router.
#[derive(Debug, Clone, PartialEq)]
pub struct Branch {
    /// Its name, which expressions of the flow may change.
    pub name: Expr,
    /// It is taken when all conditions of any group hold; None when no other branch is.
    pub any: Option<Vec<Vec<Condition>>>,
    /// The steps.
    pub steps: Vec<Step>,
}

/// One comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// One of ActivePieces' 22 operators.
    pub operator: &'static str,
    /// The value that is looked at.
    pub first: Expr,
    /// What it is compared with, for operators of two values.
    pub second: Option<Expr>,
    /// Whether letters are told from capitals.
    pub case_sensitive: bool,
}

/// A value with expressions in it. Keys of a path are texts: `a[0]` and `a['0']` are one in JavaScript.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// The value itself.
    Literal(Value),
    /// A step's output, and the way into it.
    Output(Vec<String>),
    /// A failed step's error, and the way into it. Schema 22 alone has it.
    Error(Vec<String>),
    /// A step's `{output, error}` as schema 22 shows it.
    Both(String),
    /// A connection: the environment's variable, and the way into its value.
    Connection(String, Vec<String>),
    /// A project variable: the environment's variable.
    Variable(String),
    /// The values at a way through lists, in one list.
    Flatten(Vec<String>, Vec<String>),
    /// Text and values, as text.
    Text(Vec<Expr>),
    /// As many texts as the longest list among the values has items.
    Zip(Vec<Expr>),
    /// A list.
    List(Vec<Expr>),
    /// An object.
    Object(BTreeMap<String, Expr>),
}

impl Expr {
    /// Whether a connection is part of it.
    pub fn has_connection(&self) -> bool {
        match self {
            Self::Connection(..) => true,
            Self::Text(parts) | Self::Zip(parts) | Self::List(parts) => {
                parts.iter().any(Self::has_connection)
            }
            Self::Object(members) => members.values().any(Self::has_connection),
            Self::Literal(_)
            | Self::Output(_)
            | Self::Error(_)
            | Self::Both(_)
            | Self::Variable(_)
            | Self::Flatten(..) => false,
        }
    }
}

impl Step {
    /// This step and all below it.
    pub fn each<'a>(&'a self, visit: &mut impl FnMut(&'a Self)) {
        visit(self);
        match &self.work {
            Work::Loop { body, .. } => body.iter().for_each(|step| step.each(visit)),
            Work::Router(router) => {
                for step in router.branches.iter().flat_map(|branch| &branch.steps) {
                    step.each(visit);
                }
            }
            Work::Code(_) | Work::Piece { .. } => {}
        }
    }
}
