//! What code a tenant's flows may carry.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which component sources a tenant's LangFlow exports may carry. A source is code that will run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CodePolicy {
    /// None at all.
    None,
    /// Those whose full SHA-256 is in the table made from pinned releases.
    #[default]
    KnownOnly,
    /// Any.
    AllowCustom,
}

impl fmt::Display for CodePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::KnownOnly => "known-only",
            Self::AllowCustom => "allow-custom",
        })
    }
}
