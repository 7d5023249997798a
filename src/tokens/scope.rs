//! What tokens are for, and what they allow.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// What a tenant's token is for; visible in its prefix.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum TokenKind {
    /// Post builds and read their results
    Api,
    /// Clone and fetch
    Git,
    /// Read edge metadata and bundles
    Edge,
    /// Read what happened: builds, flows, agents and the audit log, but no blobs
    Auditor,
}

impl TokenKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Api, Self::Git, Self::Edge, Self::Auditor];

    /// The word in the token's prefix.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Git => "git",
            Self::Edge => "edge",
            Self::Auditor => "auditor",
        }
    }

    /// What a token of this kind may do, unless it is narrowed.
    pub fn scopes(self) -> Scopes {
        let scopes: &[Scope] = match self {
            Self::Api => &[Scope::Build, Scope::Read],
            Self::Git => &[Scope::Git],
            Self::Edge => &[Scope::Edge],
            Self::Auditor => &[Scope::Records, Scope::Audit],
        };
        Scopes(scopes.iter().copied().collect())
    }
}

/// One thing a credential may do within its tenant.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    clap::ValueEnum,
    utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Post builds, delete flows, set environments
    Build,
    /// Read records, and every blob: flows as they were received, and outputs
    Read,
    /// Read what is recorded: builds, flows, manifests, agents, deliveries
    Records,
    /// Clone and fetch
    Git,
    /// Read TUF metadata and bundles, and report as an agent
    Edge,
    /// Read the audit log
    Audit,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 6] =
        [Self::Build, Self::Read, Self::Records, Self::Git, Self::Edge, Self::Audit];

    /// The word stored with a token.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Read => "read",
            Self::Records => "records",
            Self::Git => "git",
            Self::Edge => "edge",
            Self::Audit => "audit",
        }
    }

    /// The scope with this word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.word() == word)
    }

    /// Whether it is `wanted` or more: who may read everything may read records.
    pub const fn covers(self, wanted: Self) -> bool {
        self as u8 == wanted as u8 || matches!((self, wanted), (Self::Read, Self::Records))
    }
}

/// What a token allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
pub struct Scopes(BTreeSet<Scope>);

impl Scopes {
    /// These scopes.
    pub fn new(scopes: impl IntoIterator<Item = Scope>) -> Self {
        Self(scopes.into_iter().collect())
    }

    /// Those that are stored with a token. A word of a newer program allows nothing here.
    pub fn stored(words: &[String]) -> Self {
        Self::new(words.iter().filter_map(|word| Scope::of(word)))
    }

    /// The words to store.
    pub fn words(&self) -> Vec<String> {
        self.0.iter().map(|scope| scope.word().to_owned()).collect()
    }

    /// Whether `wanted` is allowed.
    pub fn allow(&self, wanted: Scope) -> bool {
        self.0.iter().any(|scope| scope.covers(wanted))
    }

    /// Whether there is something in it, and nothing that `others` do not allow.
    pub fn narrows(&self, others: &Self) -> bool {
        !self.0.is_empty() && self.0.iter().all(|scope| others.allow(*scope))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scope_allows_itself_and_reading_alone_allows_another() {
        for one in Scope::ALL {
            assert_eq!(Scope::of(one.word()), Some(one));
            for other in Scope::ALL {
                let expected = one == other || (one, other) == (Scope::Read, Scope::Records);
                assert_eq!(Scopes::new([one]).allow(other), expected, "{one:?} {other:?}");
            }
        }
    }

    /// An auditor sees what happened and nothing that a flow may hold.
    #[test]
    fn an_auditor_only_reads_and_reads_no_blobs() {
        let auditor = TokenKind::Auditor.scopes();
        for scope in [Scope::Build, Scope::Read, Scope::Git, Scope::Edge] {
            assert!(!auditor.allow(scope), "{scope:?}");
        }
    }

    #[test]
    fn a_kind_is_narrowed_and_never_widened() {
        let api = TokenKind::Api.scopes();
        assert!(Scopes::new([Scope::Build]).narrows(&api));
        assert!(Scopes::new([Scope::Records]).narrows(&api));
        assert!(!Scopes::new([]).narrows(&api));
        assert!(!Scopes::new([Scope::Build, Scope::Git]).narrows(&api));
        assert!(!Scopes::new([Scope::Read]).narrows(&TokenKind::Auditor.scopes()));
    }

    /// Tokens outlive programs: the words must not change.
    #[test]
    fn stored_words_are_read_back() {
        assert_eq!(TokenKind::Api.scopes().words(), ["build", "read"]);
        assert_eq!(TokenKind::Auditor.scopes().words(), ["records", "audit"]);
        let stored = ["read".to_owned(), "of-tomorrow".to_owned()];
        assert_eq!(Scopes::stored(&stored), Scopes::new([Scope::Read]));
    }
}
