//! Where an act came from.

use serde::{Deserialize, Serialize};

use crate::Sha256;

/// Where an act came from. An address may be personal data, so it is kept beside the chain and can be
/// forgotten; the chain holds the SHA-256 of its JSON, which tells whether one that is shown is the true one.
///
/// The salt keeps those who hold the chain alone from trying all addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// The network address.
    pub address: String,
    /// What the client calls itself; at most 200 characters.
    pub agent: String,
    /// 32 random hex digits.
    pub salt: String,
    /// The request's trace id (W3C Trace Context), or nothing.
    pub trace: String,
}

impl Origin {
    /// The JSON: canonical as in RFC 8785, since the members stand in the order of their names.
    fn to_json(&self) -> String {
        serde_json::to_string(self).expect("four texts are JSON")
    }

    /// What the chain holds of it.
    pub fn commitment(&self) -> Sha256 {
        Sha256::of(self.to_json().as_bytes())
    }
}
