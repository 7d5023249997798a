//! The page of an audit log.

use colophon_model::audit::{Chain, Entry, Word};
use colophon_store::{Error, View};
use serde::Serialize;

use super::words::{Badge, people, short};
use crate::audit::{self, ChainReport, Shown, Wanted};

/// Entries of one page.
const PAGE: usize = 50;

/// The page.
#[derive(Debug, Serialize)]
pub struct AuditPage {
    entries: Vec<Line>,
    older_href: Option<String>,
    /// Where to post for a check.
    verify_href: String,
    /// What the newest checkpoint says.
    checkpoint: Option<String>,
    /// What a check has found, when one was asked for.
    verified: Option<Verified>,
}

#[derive(Debug, Serialize)]
struct Line {
    seq: u64,
    time: String,
    action: String,
    actor: String,
    subject: String,
    state: Badge,
    count: u64,
    from: Option<String>,
    detail: Vec<(String, String)>,
    hash: String,
}

#[derive(Debug, Serialize)]
struct Verified {
    state: Badge,
    entries: u64,
    checkpoints: u64,
    signed_up_to: u64,
    root: String,
    problems: Vec<String>,
}

/// The entries of `chain` from number `from` down; `here` is the page's own address.
///
/// # Errors
/// When the store cannot be read.
pub fn page(
    view: &View,
    chain: Chain,
    here: &str,
    from: Option<u64>,
    verified: Option<ChainReport>,
) -> Result<AuditPage, Error> {
    let found = audit::page(view, chain, Wanted { from, limit: PAGE, descending: true })?;
    Ok(AuditPage {
        entries: found.entries.into_iter().map(line).collect(),
        older_href: found.next.map(|from| format!("{here}?from={from}")),
        verify_href: format!("{here}/verify"),
        checkpoint: audit::newest_checkpoint(view, chain)?,
        verified: verified.map(checked),
    })
}

fn line(Shown { entry, hash, from }: Shown) -> Line {
    let Entry { action, actor, code, count, detail, outcome, seq, subject, time, .. } = entry;
    let kind = word(&actor.kind);
    Line {
        seq,
        time: people(&time),
        action: action.to_string(),
        actor: named(&kind, &actor.id),
        subject: named(&subject.kind, &subject.id),
        state: match (outcome, code) {
            (Word::Success, _) => Badge::good("success"),
            (Word::Refused, code) => Badge::warn(named("refused", &code.unwrap_or_default())),
            (Word::Failed, code) => Badge::bad(named("failed", &code.unwrap_or_default())),
        },
        count,
        from: from.map(|origin| origin.address),
        detail: detail.into_iter().collect(),
        hash: short(hash),
    }
}

fn word(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

fn named(kind: &str, id: &str) -> String {
    if id.is_empty() { kind.to_owned() } else { format!("{kind} {id}") }
}

fn checked(report: ChainReport) -> Verified {
    Verified {
        state: if report.problems.is_empty() {
            Badge::good("verified")
        } else {
            Badge::bad("broken")
        },
        entries: report.entries,
        checkpoints: report.checkpoints,
        signed_up_to: report.signed_up_to,
        root: report.root.to_string(),
        problems: report.problems,
    }
}
