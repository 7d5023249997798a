//! Paths of generated files: one rule for the compiler, the Git tree, the zip and the agent's disk.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A relative path that every client can check out and every agent can write.
///
/// `/` separates components. At most 240 bytes, of printable ASCII without `\ : * ? " < > |`; no
/// component that is empty, `.` or `..`, ends in a dot or space, begins with a space, is a Windows
/// device name or the short name of another file on NTFS (`git~1`), or that a Git client would read
/// as its own (`.git`, `.gitmodules`, `.gitattributes`, `.gitignore`, `.mailmap`, `.lfsconfig` in any
/// letter case). Stricter than `git fsck --strict`, which lets backslashes, colons and device names
/// through.
///
/// ASCII only is a choice: paths are made of fixed words and identifiers, so nobody misses more, and
/// what Unicode brings cannot be said at all: two normal forms of one name, letters that only fold
/// together on some systems, code points that HFS+ ignores, superscript digits in device names.
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
    } else if is_short_name(name) {
        Some("a component must not have `~` before a digit, as short names of Windows do")
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

/// What a Git client, or its extension for large files, takes instructions from.
fn is_git_name(name: &str) -> bool {
    let own = [".git", ".gitmodules", ".gitattributes", ".gitignore", ".mailmap", ".lfsconfig"];
    own.iter().any(|own| name.eq_ignore_ascii_case(own))
}

/// NTFS gives every file a second name such as `GITMOD~1`, `GI7EBA~1` or `~1000000`; which one cannot
/// be told from the first, so none is let through.
fn is_short_name(name: &str) -> bool {
    name.as_bytes().windows(2).any(|pair| pair[0] == b'~' && pair[1].is_ascii_digit())
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
            "~",
            ".github",
            ".gitkeep",
            "git",
            "common.py",
            "com10",
            "auxiliary",
            "nul_.txt",
        ] {
            assert!(ArtifactPath::new(good).is_ok(), "{good}");
        }
    }

    /// By what they do. Git's own tests (t0060, t1014, t1450) have most of them.
    const TRICKS: &[(&str, &[&str])] = &[
        ("leaves the folder", &["", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/.", "../a"]),
        (
            "means something else on Windows",
            &["a\\b", "..\\a", "C:x", "a:b", "a:$DATA", "a*", "a?", "a\"", "a<", "a>", "a|"],
        ),
        ("is dropped by Windows", &["a.", "a ", "a. .", "a/b./c", "..."]),
        ("is trimmed by people's tools", &[" a", "a/ b"]),
        ("hides in a terminal", &["a\0", "a\n", "a\r", "a\t", "a\u{1b}[2J", "a\u{7f}"]),
        (
            "is a device",
            &[
                "CON",
                "con.txt",
                "con .txt",
                "Aux",
                "aux.c",
                "nul.tar.gz",
                "prn",
                "a/PRN.x/b",
                "COM1",
                "com0",
                "com9.log",
                "lpt9.x",
                "LPT0",
                "conin$",
                "CONOUT$.txt",
                "clock$",
                "com\u{b9}",
                "COM\u{b2}.txt",
                "lpt\u{b3}",
            ],
        ),
        (
            "is the repository",
            &[
                ".git",
                ".GIT/config",
                ".Git",
                "a/.git/b",
                ".git/hooks/post-checkout",
                "git~1",
                "GIT~1",
                "git~2",
                ".git ",
                ".git.",
                ".git. . ",
                ".git...",
                ".git::$INDEX_ALLOCATION",
                ".git:a",
                ".git\\config",
                ".\u{200c}git",
                ".g\u{200d}it",
                ".git\u{feff}",
                ".\u{206a}Git",
                "\u{feff}.git",
            ],
        ),
        (
            "instructs a client",
            &[
                ".gitmodules",
                ".gitModules",
                ".gitmodules ",
                ".gitmodules.",
                ".gitmodules:$DATA",
                "gitmod~1",
                "GITMOD~4",
                "gi7eba~1",
                "GI7EBA~9",
                "GI7EB~10",
                "GI7E~123",
                "~1000000",
                ".git\u{200c}modules",
                ".gitattributes",
                ".GITATTRIBUTES",
                "a/.gitattributes",
                "gitatt~1",
                "gi7d29~1",
                ".gitignore",
                "gitign~1",
                "gi250a~1",
                ".mailmap",
                "mailma~1",
                "maba30~1",
                ".lfsconfig",
                "lfscon~1",
                "github~1",
            ],
        ),
        (
            "is one file with another",
            &["\u{e9}", "e\u{301}", "\u{212a}", "\u{130}", "\u{df}", "\u{fb01}", "\u{ff21}"],
        ),
    ];

    #[test]
    fn every_known_trick_is_refused() {
        let long = "a".repeat(241);
        let tricks = TRICKS.iter().flat_map(|(does, names)| names.iter().map(move |n| (*does, *n)));
        for (does, bad) in tricks.chain([("is too long", long.as_str())]) {
            assert!(ArtifactPath::new(bad).is_err(), "{bad:?} {does}");
            assert!(ArtifactPath::new(format!("app/{bad}/x.py")).is_err(), "{bad:?} {does}");
            let json = serde_json::to_string(bad).unwrap();
            assert!(serde_json::from_str::<ArtifactPath>(&json).is_err(), "{bad:?} {does}");
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
