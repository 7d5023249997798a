//! Reading one node: what all kinds share.

use std::collections::BTreeSet;

use colophon_model::Target;
use serde_json::Value;

use super::expr::Use;
use super::object::Object;
use super::{kinds, steps};
use crate::plan::Ident;
use crate::plan::builder::{CloudKind, EdgeKind, Node, OnError};
use crate::problem::{Findings, Pointer};

/// What a node does, before it is known where it runs.
#[derive(Clone)]
pub(super) enum Kind {
    /// Something that the cloud can do.
    Cloud(CloudKind),
    /// Something that only the edge can do.
    Edge(EdgeKind),
}

/// A node as read, before its place in the graph is known.
pub(super) struct RawNode {
    /// The id as the flow spells it; empty when it has none.
    pub(super) id: String,
    /// Where it stands.
    pub(super) place: Pointer,
    /// Where it asks to run.
    pub(super) target: Option<Target>,
    /// Its kind's word, when it is a known one.
    pub(super) word: Option<&'static str>,
    /// The typed node, when nothing is wrong with it.
    pub(super) node: Option<Node<Kind>>,
    /// What it refers to.
    pub(super) uses: Vec<Use>,
    /// Ids of the nodes of a loop's body.
    pub(super) body: Vec<String>,
    /// Names of a router's branches.
    pub(super) branches: Vec<String>,
}

impl RawNode {
    /// Whether it starts a run.
    pub(super) fn is_trigger(&self) -> bool {
        self.word.is_some_and(|word| word.starts_with("trigger."))
    }

    /// Whether it chooses branches.
    pub(super) fn is_router(&self) -> bool {
        self.word == Some("logic.router")
    }

    /// Whether it repeats a body.
    pub(super) fn is_loop(&self) -> bool {
        self.word == Some("logic.loop")
    }

    /// Names of its outputs, for kinds whose outputs are fixed.
    pub(super) fn outputs(&self) -> Option<BTreeSet<&str>> {
        let kind = match &self.node.as_ref()?.kind {
            Kind::Edge(kind) => return Some(steps::outputs(kind)),
            Kind::Cloud(kind) => kind,
        };
        match kind {
            CloudKind::DataMap(fields) => Some(fields.keys().map(String::as_str).collect()),
            CloudKind::Router(_) => Some(BTreeSet::from(["branches"])),
            CloudKind::LlmChat(_) => Some(BTreeSet::from(["text", "model", "usage"])),
            CloudKind::HttpRequest(_) => Some(BTreeSet::from(["status", "headers", "body"])),
            CloudKind::Loop(_) => Some(BTreeSet::from(["results", "count"])),
            CloudKind::Trigger(_) | CloudKind::CodeJs(_) => None,
        }
    }
}

/// Reads the node at `place`.
pub(super) fn read(value: &Value, place: Pointer, findings: &mut Findings) -> Option<RawNode> {
    let mut object = Object::read(value, place, None, findings)?;
    let id = object.text("id").unwrap_or_default();
    if !id.is_empty() {
        object.set_node(id);
    }
    let ident = read_id(&mut object, id);
    let word = read_kind(&mut object);
    let label = object.optional_text("label");
    label.inspect(|label| object.line("label", label, 200));
    let target = object.optional("target").map(|_| object.word("target", &["cloud", "edge"]));
    let on_error = object.word("on_error", &["fail", "continue"]);
    let retry = object.integer("retry", 0..=5).unwrap_or(0);
    let timeout_ms = object.integer("timeout_ms", 1..=3_600_000);
    object.optional("position");

    let mut raw = RawNode {
        id: id.to_owned(),
        place: object.place().clone(),
        target: target.map(|t| if t == "edge" { Target::Edge } else { Target::Cloud }),
        word,
        node: None,
        uses: Vec::new(),
        body: Vec::new(),
        branches: Vec::new(),
    };
    let kind = kinds::read(&mut object, &mut raw);
    if word == Some("shell.powershell") && timeout_ms.is_some() {
        object.report("E_SCHEMA", "timeout_ms", "a cmdlet has no time limit of its own");
    }
    if word.is_some() {
        object.finish();
    }
    raw.node = ident.zip(kind).map(|(id, kind)| Node {
        id,
        on_error: if on_error == "continue" { OnError::Continue } else { OnError::Fail },
        retry: retry as u8,
        timeout_ms: timeout_ms.map(|ms| ms as u32),
        kind,
    });
    Some(raw)
}

/// Words that stand for something else where ids are named.
const RESERVED: [&str; 4] = ["input", "credential", "payload", "env"];

fn read_id(object: &mut Object<'_, '_>, id: &str) -> Option<Ident> {
    let ident = Ident::new(id)
        .filter(|ident| ident.as_str().len() <= 48 && !RESERVED.contains(&ident.as_str()));
    if ident.is_none() {
        let detail = "an id is 1 to 48 lower-case letters, digits and underscores, does not begin \
                      with a digit or two underscores, and is no reserved word";
        object.report("E_IDENT", "id", detail);
    }
    ident
}

fn read_kind(object: &mut Object<'_, '_>) -> Option<&'static str> {
    let text = object.text("kind")?;
    let word = kinds::WORDS.into_iter().find(|word| *word == text);
    if word.is_none() {
        let shown: String = text.chars().take(60).collect();
        let known = kinds::WORDS.join(", ");
        let detail = format!("no kind is named `{}`; known are {known}", shown.escape_debug());
        object.report("E_UNKNOWN_KIND", "kind", detail);
    }
    word
}
