//! What an operator can set about the tokens of tenants.

use serde::{Deserialize, Serialize};

/// How long tokens last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tokens {
    /// Days that a token lasts at most. Those that exist keep the end they have.
    pub longest_days: u32,
    /// Days that a token lasts when nobody says how many, as far as `longest_days` allows.
    pub default_days: u32,
}

impl Default for Tokens {
    fn default() -> Self {
        Self { longest_days: 366, default_days: 90 }
    }
}

impl Tokens {
    /// What types cannot say.
    pub(super) fn problems(&self) -> Vec<String> {
        let days = [("longest_days", self.longest_days), ("default_days", self.default_days)];
        let wrong = days.into_iter().filter(|(_, days)| !(1..=3660).contains(days));
        wrong.map(|(name, _)| format!("`tokens.{name}` must be 1 to 3660")).collect()
    }
}
