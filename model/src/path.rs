//! Paths of generated files: one rule for the compiler, the Git tree, the zip and the agent's disk.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A relative path that every client can check out and every agent can write.
///
/// `/` separates components. ASCII only (so NFC holds by construction), at most 240 bytes; no
/// component that is empty, `.` or `..`, ends in a dot or space, begins with a space, is a Windows
/// device name, or that a Git client would read as its own (`.git`, `git~1`, `.gitmodules`,
/// `.gitattributes`, `.gitignore`, `.mailmap` in any case). Stricter than `git fsck --strict`, which
/// lets backslashes, colons and device names through.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ArtifactPath(String);

/// Why a text is not an artifact path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` is not a safe file path: {rule}")]
pub struct InvalidPath {
    path: String,
    rule: &'static str,
}

/// Longest path, in bytes: leaves room for a checkout folder below Windows' 260.
const MAX_PATH: usize = 240;

impl ArtifactPath {
    /// Checks `path` against every rule.
    pub fn new(path: impl Into<String>) -> Result<Self, InvalidPath> {
        let path = path.into();
        match broken_rule(&path) {
            None => Ok(Self(path)),
            Some(rule) => Err(InvalidPath { path: path.chars().take(80).collect(), rule }),
        }
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The components, in order. Never empty.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// The form under which two paths are the same file on Windows and macOS.
    pub fn case_folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    /// This path below `parent`.
    pub fn below(&self, parent: &Self) -> Result<Self, InvalidPath> {
        Self::new(format!("{parent}/{self}"))
    }
}

fn broken_rule(path: &str) -> Option<&'static str> {
    if path.is_empty() || path.len() > MAX_PATH {
        return Some("it must have 1 to 240 characters");
    }
    path.split('/').find_map(broken_component_rule)
}

fn broken_component_rule(name: &str) -> Option<&'static str> {
    let forbidden = |b: u8| !(b == b' ' || b.is_ascii_graphic()) || br#"\:*?"<>|"#.contains(&b);
    if name.is_empty() {
        Some("empty component, or a slash at either end")
    } else if name.bytes().any(forbidden) {
        Some(r#"only printable ASCII without \ : * ? " < > | is allowed"#)
    } else if name.ends_with(['.', ' ']) || name.starts_with(' ') {
        Some("a component must not begin with a space, or end with a dot or space")
    } else if is_device(name) {
        Some("a component is a Windows device name")
    } else if is_git_name(name) {
        Some("a component is a name that Git gives a meaning")
    } else {
        None
    }
}

/// Windows opens a device for `CON`, `con.txt` and `con .txt` alike.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    let numbered = |p: &str| {
        stem.strip_prefix(p).is_some_and(|d| d.len() == 1 && d.as_bytes()[0].is_ascii_digit())
    };
    matches!(stem.as_str(), "con" | "prn" | "aux" | "nul" | "conin$" | "conout$" | "clock$")
        || numbered("com")
        || numbered("lpt")
}

fn is_git_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let own = [".git", ".gitmodules", ".gitattributes", ".gitignore", ".mailmap"];
    // NTFS short names of the same: git~1, gitmod~1, gi7eba~1 and so on.
    let short = |text: &str| {
        text.rsplit_once('~').is_some_and(|(stem, n)| {
            stem.starts_with("gi") && !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())
        })
    };
    own.contains(&lower.as_str()) || short(&lower)
}

impl fmt::Display for ArtifactPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ArtifactPath {
    type Err = InvalidPath;
    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        Self::new(text)
    }
}

impl TryFrom<String> for ArtifactPath {
    type Error = InvalidPath;
    fn try_from(path: String) -> Result<Self, InvalidPath> {
        Self::new(path)
    }
}

impl From<ArtifactPath> for String {
    fn from(path: ArtifactPath) -> Self {
        path.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ordinary_paths_pass() {
        for good in [
            "README.md",
            "app/flows/acme_inc/flow_a.py",
            ".github/workflows/ci.yml",
            "a b/c",
            "console.py",
            "gi.py",
            "a~b",
        ] {
            assert!(ArtifactPath::new(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn every_known_trick_is_refused() {
        let long = "a".repeat(241);
        for bad in [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "a/../b",
            "a/.",
            "a\\b",
            "C:x",
            "a:b",
            "a*",
            "a?",
            "a\"",
            "a<",
            "a>",
            "a|",
            "a\0",
            "a\n",
            "a\u{7f}",
            "é",
            "a.",
            "a ",
            " a",
            "CON",
            "con.txt",
            "aux",
            "nul.tar.gz",
            "COM1",
            "lpt9.x",
            "conin$",
            ".git",
            ".GIT/config",
            "a/.git/b",
            "git~1",
            "GIT~1",
            ".gitmodules",
            ".gitattributes",
            "gitmod~1",
            "gi7eba~1",
            ".gitignore",
            long.as_str(),
        ] {
            assert!(ArtifactPath::new(bad).is_err(), "{bad:?}");
            let json = serde_json::to_string(bad).unwrap();
            assert!(serde_json::from_str::<ArtifactPath>(&json).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn accepted_paths_stay_inside_a_folder(text in "[ -~é]{0,60}") {
            if let Ok(path) = ArtifactPath::new(text) {
                let joined = std::path::Path::new("/root").join(path.as_str());
                prop_assert!(joined.starts_with("/root"));
                prop_assert!(path.components().all(|c| c != ".." && c != "."));
            }
        }
    }
}
