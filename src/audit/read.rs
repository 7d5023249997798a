//! What is read of a chain: pages of lines, as they were written.

use colophon_model::Sha256;
use colophon_model::audit::{Chain, Entry, Origin};
use colophon_store::rows::{AuditCheckpoint, AuditLine, AuditOrigin};
use colophon_store::{Error, View};
use serde::{Deserialize, Serialize};

/// Entries of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = AuditPage)]
pub struct Page {
    /// The entries.
    pub entries: Vec<Shown>,
    /// The number to ask for next; none when there is nothing beyond.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// An entry, and what is kept beside the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = AuditEntry)]
pub struct Shown {
    /// What the chain says.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub entry: Entry,
    /// SHA-256 of the line.
    #[schema(value_type = String)]
    pub hash: Sha256,
    /// Where the act came from, while that is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub from: Option<Origin>,
}

/// Which entries are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// The number to begin at; none: at the newest.
    pub from: Option<u64>,
    /// Most entries.
    pub limit: usize,
    /// From the newest to the oldest.
    pub descending: bool,
}

/// Reads a page.
///
/// # Errors
/// When the store cannot be read, or a line is damaged.
pub fn page(view: &View, chain: Chain, wanted: Wanted) -> Result<Page, Error> {
    let mut shown = Page { entries: Vec::new(), next: None };
    for row in scan(view, chain, wanted) {
        let ((uid, seq), AuditLine(line)) = row?;
        if shown.entries.len() == wanted.limit {
            shown.next = Some(seq);
            break;
        }
        let Ok(entry) = serde_json::from_str(&line) else { continue }; // `verify` says that it is broken
        let from = view.get::<AuditOrigin>(&(uid, seq))?.map(|kept| kept.origin);
        shown.entries.push(Shown { entry, hash: Sha256::of(line.as_bytes()), from });
    }
    Ok(shown)
}

/// At most `limit` lines from number `from` on, byte for byte as they were written, each with a line break.
///
/// # Errors
/// When the store cannot be read.
pub fn lines(view: &View, chain: Chain, from: u64, limit: usize) -> Result<String, Error> {
    let wanted = Wanted { from: Some(from), limit, descending: false };
    let mut text = String::new();
    for row in scan(view, chain, wanted).take(limit) {
        text.push_str(&row?.1.0);
        text.push('\n');
    }
    Ok(text)
}

/// The newest checkpoint, if there is one.
///
/// # Errors
/// When the store cannot be read.
pub fn newest_checkpoint(view: &View, chain: Chain) -> Result<Option<String>, Error> {
    let newest = view.scan::<AuditCheckpoint>(&chain.uid()).descending().next().transpose()?;
    Ok(newest.map(|(_, kept)| kept.note))
}

fn scan(view: &View, chain: Chain, wanted: Wanted) -> colophon_store::Scan<'_, AuditLine> {
    let rows = view.scan::<AuditLine>(&chain.uid());
    let rows = if wanted.descending { rows.descending() } else { rows };
    match wanted.from {
        Some(from) => rows.starting_at(&(chain.uid(), from)),
        None => rows,
    }
}
