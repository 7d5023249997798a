//! The compiler: a flow's JSON in, code for the cloud and for edge agents out.
//!
//! `parse → plan → split → render → gate → artifact`. Sync and pure: no I/O, no clock, no
//! randomness; the same flow gives the same bytes on any machine and at any thread count.
//! docs/compiler.md describes the stages, and templates/README.md the templates.

mod activepieces;
mod bootstrap;
mod builder;
mod bundle;
mod canonical;
mod cloud;
mod compiler;
mod edge;
mod error;
mod gate;
mod javascript;
mod json;
mod langflow;
mod layout;
mod literal;
mod module;
mod overrides;
mod place;
pub mod plan;
mod policy;
mod problem;
mod script_gate;
mod secrets;
mod shape;
mod templates;
mod texts;
mod wheels;

/// The JSON Schema (draft 2020-12) of Builder flows, as text.
pub const FLOW_SCHEMA: &str = include_str!("../../docs/flow-schema-1.0.json");

pub use bundle::{BundleError, MAX_FILES, MAX_UNPACKED, MAX_ZIP, Renderer};
pub use canonical::CanonicalFlow;
pub use compiler::{Compiled, Compiler, EdgeBundle};
pub use error::Error;
pub use layout::without_layout;
pub use overrides::{TemplateFiles, TemplateProblem};
pub use plan::Plan;
pub use policy::{CodePolicy, Limits};
pub use problem::{Pointer, Problem, Problems};
pub use wheels::Wheels;
