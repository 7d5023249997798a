//! What happened to a flow's generations, one JSON object per line.

use std::path::PathBuf;

use colophon_model::{FlowId, UnixMillis};
use serde::{Deserialize, Serialize};

use crate::activation::Installed;
use crate::disk;
use crate::{Cache, Error, Generation};

/// The newest this many lines are kept.
const LINES: usize = 500;

/// `history.jsonl` of a flow.
pub(crate) struct History {
    path: PathBuf,
}

/// Something that happens now.
pub(crate) struct Event<'a> {
    pub(crate) what: &'a str,
    pub(crate) generation: &'a Generation,
    pub(crate) reason: Option<&'a str>,
}

impl<'a> Event<'a> {
    pub(crate) const fn about(what: &'a str, installed: &'a Installed) -> Self {
        Self { what, generation: &installed.generation, reason: None }
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, by this machine's clock.
    pub at: UnixMillis,
    /// `applied`, `pending`, `committed` or `rolled_back`.
    pub what: String,
    /// Which generation it is about.
    pub generation: Generation,
    /// Why, where somebody or something said.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

impl History {
    pub(crate) fn of(cache: &Cache, flow: &FlowId) -> Self {
        Self { path: cache.flow(flow).join("history.jsonl") }
    }

    pub(crate) fn add(&self, at: UnixMillis, event: &Event<'_>) -> Result<(), Error> {
        let mut entries = self.entries()?;
        entries.push(Entry {
            at,
            what: event.what.to_owned(),
            generation: event.generation.clone(),
            reason: event.reason.map(str::to_owned),
        });
        let surplus = entries.len().saturating_sub(LINES);
        let line = |entry: &Entry| serde_json::to_string(entry).expect("an entry is plain data");
        let lines: Vec<String> = entries[surplus..].iter().map(line).collect();
        disk::replace(&self.path, format!("{}\n", lines.join("\n")).as_bytes())
    }

    /// The entries, the oldest first. A line that is not one is left out.
    pub(crate) fn entries(&self) -> Result<Vec<Entry>, Error> {
        let text = disk::read(&self.path)?.unwrap_or_default();
        let lines = text.split(|byte| *byte == b'\n');
        Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
    }
}

/// What happened to a flow here, the oldest first.
///
/// # Errors
/// When it cannot be read.
pub fn history(cache: &Cache, flow: &FlowId) -> Result<Vec<Entry>, Error> {
    History::of(cache, flow).entries()
}
