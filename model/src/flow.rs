//! Which flow a build is of.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Digest;
use crate::tenant::PYTHON_KEYWORDS;

/// A flow's identifier within its tenant: `[a-z][a-z0-9_]{0,47}`.
///
/// It names Python modules (`flow_<id>.py`) and directories, always with a prefix or as a
/// directory, so it may be any word but a Python keyword or a Windows device name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FlowId(String);

/// A text that is not a flow identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a flow identifier: use lower-case letters, digits and underscores, begin with \
     a letter, at most 48 characters, and no reserved word"
)]
pub struct InvalidFlowId(String);

/// Longest identifier, in bytes.
const MAX_FLOW_ID: usize = 48;

/// Windows device names that the grammar would let through.
const DEVICES: &[&str] = &[
    "con", "prn", "aux", "nul", "com0", "com1", "com2", "com3", "com4", "com5", "com6", "com7",
    "com8", "com9", "lpt0", "lpt1", "lpt2", "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9",
];

impl FlowId {
    /// Checks `text` against the grammar.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidFlowId> {
        let text = text.into();
        let grammar = text.len() <= MAX_FLOW_ID
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !grammar || is_reserved(&text) {
            return Err(InvalidFlowId(text.chars().take(80).collect()));
        }
        Ok(Self(text))
    }

    /// Makes an identifier from a flow's display name: letters and digits are kept in lower case,
    /// runs of anything else become one `_`. A name with nothing usable becomes `flow`.
    pub fn from_name(name: &str) -> Self {
        let mut id = String::new();
        for c in name.chars() {
            let c = c.to_ascii_lowercase();
            if c.is_ascii_alphanumeric() {
                id.push(c);
            } else if !id.is_empty() && !id.ends_with('_') {
                id.push('_');
            }
        }
        if !id.starts_with(|c: char| c.is_ascii_lowercase()) {
            id.insert_str(0, "flow_");
        }
        id.truncate(MAX_FLOW_ID);
        let id = id.trim_end_matches('_');
        if is_reserved(id) { Self(format!("{id}_flow")) } else { Self(id.to_owned()) }
    }

    /// The identifier for a flow whose name is taken by another: a short hash of where the flow comes
    /// from is appended. `attempt` is 0 at first and counts up while the answer is taken too.
    #[must_use]
    pub fn disambiguated(&self, source: FlowSource, native: &NativeFlowId, attempt: u32) -> Self {
        let origin = Digest::of(format!("{source}\0{native}\0{attempt}").as_bytes()).to_string();
        let base: String = self.0.chars().take(MAX_FLOW_ID - 9).collect();
        Self(format!("{}_{}", base.trim_end_matches('_'), &origin[..8]))
    }

    /// The identifier as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_reserved(text: &str) -> bool {
    PYTHON_KEYWORDS.contains(&text) || DEVICES.contains(&text)
}

impl fmt::Display for FlowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for FlowId {
    type Err = InvalidFlowId;
    fn from_str(text: &str) -> Result<Self, InvalidFlowId> {
        Self::new(text)
    }
}

impl TryFrom<String> for FlowId {
    type Error = InvalidFlowId;
    fn try_from(text: String) -> Result<Self, InvalidFlowId> {
        Self::new(text)
    }
}

impl From<FlowId> for String {
    fn from(id: FlowId) -> Self {
        id.0
    }
}

/// Which builder a flow was drawn in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FlowSource {
    /// The in-house Builder (FlowSchema 1.0).
    Builder,
    /// LangFlow 1.x exports.
    Langflow,
    /// ActivePieces flow versions and templates.
    Activepieces,
}

impl fmt::Display for FlowSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Builder => "builder",
            Self::Langflow => "langflow",
            Self::Activepieces => "activepieces",
        })
    }
}

/// The flow's id in the builder it comes from: opaque, 1 to 128 bytes of printable ASCII.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NativeFlowId(String);

impl NativeFlowId {
    /// Checks length and characters.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidFlowId> {
        let text = text.into();
        if text.is_empty() || text.len() > 128 || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(InvalidFlowId(text.chars().take(80).collect()));
        }
        Ok(Self(text))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NativeFlowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for NativeFlowId {
    type Error = InvalidFlowId;
    fn try_from(text: String) -> Result<Self, InvalidFlowId> {
        Self::new(text)
    }
}

impl From<NativeFlowId> for String {
    fn from(id: NativeFlowId) -> Self {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ArtifactPath;
    use proptest::prelude::*;

    #[test]
    fn grammar_is_enforced() {
        assert!(FlowId::new("a").is_ok());
        assert!(FlowId::new("order_intake_2").is_ok());
        for bad in ["", "_a", "1a", "A", "a-b", "a.b", "a/b", "class", "con", "a\n"] {
            assert!(FlowId::new(bad).is_err(), "{bad:?}");
        }
        assert!(FlowId::new("a".repeat(49)).is_err());
    }

    #[test]
    fn names_become_identifiers() {
        for (name, id) in [
            ("Basic Prompting", "basic_prompting"),
            ("  Document Q&A  ", "document_q_a"),
            ("42 things", "flow_42_things"),
            ("日本", "flow"),
            ("class", "class_flow"),
            ("../../etc", "etc"),
        ] {
            assert_eq!(FlowId::from_name(name).as_str(), id);
        }
    }

    /// An identifier is the name of a folder and the beginning of file names, so none may be a word
    /// that a path refuses.
    #[test]
    fn no_device_name_is_an_identifier() {
        let numbered = |p: &str| (0..10).map(|n| format!("{p}{n}")).collect::<Vec<_>>();
        let mut devices =
            ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"].map(str::to_owned).to_vec();
        devices.extend(numbered("COM"));
        devices.extend(numbered("LPT"));
        for device in devices {
            assert!(ArtifactPath::new(device.as_str()).is_err(), "{device}");
            assert!(FlowId::new(device.to_lowercase()).is_err(), "{device}");
            let made = FlowId::from_name(&device);
            assert!(ArtifactPath::new(format!("{made}/{made}.json")).is_ok(), "{made}");
        }
        for word in ["com", "com10", "lpt", "conin", "clock", "console"] {
            assert!(FlowId::new(word).is_ok(), "{word}");
            assert!(ArtifactPath::new(word).is_ok(), "{word}");
        }
    }

    #[test]
    fn a_taken_name_is_made_unique_by_its_origin() {
        let id = FlowId::from_name("x".repeat(60).as_str());
        let native = NativeFlowId::new("f1").unwrap();
        let unique = id.disambiguated(FlowSource::Langflow, &native, 0);
        assert_eq!(unique.as_str().len(), 48);
        assert_ne!(unique, id.disambiguated(FlowSource::Builder, &native, 0));
        assert_ne!(unique, id.disambiguated(FlowSource::Langflow, &native, 1));
        assert!(FlowId::new(unique.as_str()).is_ok());
    }

    proptest! {
        #[test]
        fn every_name_gives_a_valid_identifier(name in "\\PC{0,80}") {
            let id = FlowId::from_name(&name);
            prop_assert!(FlowId::new(id.as_str()).is_ok(), "{}", id);
        }

        #[test]
        fn every_identifier_is_a_valid_path(text in "[a-z][a-z0-9_]{0,47}|(com|lpt|con)[0-9]?") {
            if let Ok(id) = FlowId::new(text) {
                prop_assert!(ArtifactPath::new(format!("{id}/{id}.json")).is_ok(), "{}", id);
            }
        }
    }
}
