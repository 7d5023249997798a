//! Entries of the audit log: who did what, when, from where, and what came of it.
//!
//! A chain of entries is a file of lines. Each line is JSON in the canonical form of RFC 8785 and names the
//! SHA-256 of the line before it, so that none can be changed, removed or put in between unseen. All lines
//! together have a root as in RFC 6962 §2.1, which a signed checkpoint names: so the end cannot be cut off
//! either. `docs/audit.md` says how to check both with stock tools.

mod action;
mod chain;
mod merkle;
mod origin;

pub use action::{Action, InvalidAction};
pub use chain::{Broken, Chain, ChainHead, Entry, Hashes, Walk, Word};
pub use merkle::{Peaks, leaf};
pub use origin::Origin;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Something that was done, or refused, and is to be written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// Who did it.
    pub actor: Actor,
    /// What was done.
    pub action: Action,
    /// To what.
    pub subject: Subject,
    /// What came of it.
    pub outcome: Outcome,
    /// How often the same was done at about the same time; at least 1.
    pub count: u64,
    /// What else there is to know. Names and numbers, never content, secrets or personal data: a chain
    /// cannot forget.
    pub detail: BTreeMap<String, String>,
    /// From where it was asked for. Kept beside the chain, which holds a commitment to it only.
    pub origin: Option<Origin>,
}

impl Act {
    /// `actor` has done `action` to `subject`.
    pub fn done(actor: Actor, action: Action, subject: Subject) -> Self {
        let (outcome, detail) = (Outcome::Success, BTreeMap::new());
        Self { actor, action, subject, outcome, count: 1, detail, origin: None }
    }

    /// The same with another outcome.
    #[must_use]
    pub fn came_to(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// The same with one more detail.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "most values are small and made for this")]
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.detail.insert(name.to_owned(), value.to_string());
        self
    }

    /// The same, asked for from `origin`.
    #[must_use]
    pub fn from(mut self, origin: Option<Origin>) -> Self {
        self.origin = origin;
        self
    }
}

/// Who did something. Ids are pseudonyms: a token's is not the token.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Actor {
    /// The token's id, the number of the webhook secret, the name of the job; empty where the kind says it
    /// all.
    pub id: String,
    /// What kind of actor.
    pub kind: ActorKind,
}

/// Kinds of actors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActorKind {
    /// The operator, by the server's own credential.
    Operator,
    /// Whoever holds a token of the tenant.
    Token,
    /// A builder, by a signature with a secret of the tenant.
    Webhook,
    /// Whoever holds a signed URL.
    Url,
    /// Somebody on the server's machine, with the data directory at hand and no server over it.
    Local,
    /// The server itself.
    System,
    /// Somebody without a good credential.
    Unknown,
}

impl Actor {
    /// An actor of a kind.
    pub fn new(kind: ActorKind, id: impl Into<String>) -> Self {
        Self { id: id.into(), kind }
    }

    /// A job of the server.
    pub fn system(job: &str) -> Self {
        Self::new(ActorKind::System, job)
    }
}

/// What something was done to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// Its id among those of its kind; empty where there is one only.
    pub id: String,
    /// Its kind, such as `build`, `flow`, `token`: a word.
    pub kind: String,
}

impl Subject {
    /// The subject of that kind and id.
    #[expect(clippy::needless_pass_by_value, reason = "most ids are small and made for this")]
    pub fn new(kind: &'static str, id: impl ToString) -> Self {
        Self { id: id.to_string(), kind: kind.to_owned() }
    }
}

/// What came of an act.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// It was done.
    Success,
    /// It was not allowed or not possible; the stable code of the problem.
    Refused(String),
    /// It should have been possible and was not; the stable code of the problem.
    Failed(String),
}
