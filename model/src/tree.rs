//! The canonical list of a bundle's files. Its digest names the bundle.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ArtifactPath, Digest};

/// Whether a file may be executed. Nothing else about permissions is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileMode {
    /// Git mode 100644.
    Regular,
    /// Git mode 100755.
    Executable,
}

impl FileMode {
    /// Git's octal spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Regular => "100644",
            Self::Executable => "100755",
        }
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One file of a tree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TreeEntry {
    /// Where the file goes.
    pub path: ArtifactPath,
    /// Its mode.
    pub mode: FileMode,
    /// The address of its bytes.
    pub digest: Digest,
}

/// Files sorted by path, each path once, also when letter case is ignored.
///
/// Encoding (the bytes whose BLAKE3 names the tree): the line `colophon tree v1`, then a line
/// `<mode> <digest> <path>` per file, in byte order of the paths, each ended by `\n`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree(Vec<TreeEntry>);

/// Why bytes or entries are not a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTree {
    /// The first line is not that of a version this program knows.
    #[error("not a `colophon tree v1`")]
    Version,
    /// A line is not `<mode> <digest> <path>`, or the last one is cut.
    #[error("line {0} of the tree is malformed")]
    Line(usize),
    /// Entries are out of order.
    #[error("`{0}` is out of order in the tree")]
    Order(ArtifactPath),
    /// Two entries are the same file on some platform, or one is a folder of the other.
    #[error("`{0}` collides with another path of the tree")]
    Collision(ArtifactPath),
}

const HEADER: &str = "colophon tree v1";

impl Tree {
    /// Sorts `entries` and checks that no two collide.
    pub fn new(mut entries: Vec<TreeEntry>) -> Result<Self, InvalidTree> {
        entries.sort();
        check_collisions(entries.iter().map(|e| &e.path))?;
        Ok(Self(entries))
    }

    /// A tree of entries that are known not to collide, in order.
    pub(crate) const fn of_distinct(entries: Vec<TreeEntry>) -> Self {
        Self(entries)
    }

    /// The files, in order.
    pub fn entries(&self) -> &[TreeEntry] {
        &self.0
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let line =
            |TreeEntry { path, mode, digest }: &TreeEntry| format!("{mode} {digest} {path}\n");
        let lines: String = self.0.iter().map(line).collect();
        format!("{HEADER}\n{lines}").into_bytes()
    }

    /// Reads the canonical bytes; anything else is refused, so a tree has one encoding.
    pub fn decode(bytes: &[u8]) -> Result<Self, InvalidTree> {
        let text = std::str::from_utf8(bytes).map_err(|_| InvalidTree::Version)?;
        let body = text.strip_prefix(HEADER).and_then(|t| t.strip_prefix('\n'));
        let body = body.ok_or(InvalidTree::Version)?;
        let entries = body
            .split_inclusive('\n')
            .enumerate()
            .map(|(i, line)| decode_line(line).ok_or(InvalidTree::Line(i + 2)))
            .collect::<Result<Vec<_>, _>>()?;
        if let Some(pair) = entries.windows(2).find(|pair| pair[0].path >= pair[1].path) {
            return Err(InvalidTree::Order(pair[1].path.clone()));
        }
        check_collisions(entries.iter().map(|e| &e.path))?;
        Ok(Self(entries))
    }

    /// The digest that names this tree.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.encode())
    }
}

fn decode_line(line: &str) -> Option<TreeEntry> {
    let (mode, rest) = line.strip_suffix('\n')?.split_once(' ')?;
    let (digest, path) = rest.split_once(' ')?;
    let mode = match mode {
        "100644" => FileMode::Regular,
        "100755" => FileMode::Executable,
        _ => return None,
    };
    Some(TreeEntry { path: path.parse().ok()?, mode, digest: digest.parse().ok()? })
}

/// No two paths may be equal when letter case is ignored, and none may be a folder of another.
pub(crate) fn check_collisions<'a>(
    paths: impl Iterator<Item = &'a ArtifactPath> + Clone,
) -> Result<(), InvalidTree> {
    let mut files = BTreeSet::new();
    for path in paths.clone() {
        if !files.insert(path.case_folded()) {
            return Err(InvalidTree::Collision(path.clone()));
        }
    }
    let mut folders = std::collections::BTreeMap::new();
    for path in paths {
        for (at, _) in path.as_str().match_indices('/') {
            let folder = &path.as_str()[..at];
            let key = folder.to_ascii_lowercase();
            // A folder must not be a file too, and is spelled one way only.
            let is_file = files.contains(&key);
            if is_file || *folders.entry(key).or_insert(folder) != folder {
                return Err(InvalidTree::Collision(path.clone()));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(path: &str) -> TreeEntry {
        TreeEntry {
            path: path.parse().unwrap(),
            mode: FileMode::Regular,
            digest: Digest::of(path.as_bytes()),
        }
    }

    #[test]
    fn encoding_is_pinned() {
        let tree = Tree::new(vec![entry("b"), entry("a/c")]).unwrap();
        let text = String::from_utf8(tree.encode()).unwrap();
        assert_eq!(
            text,
            format!(
                "colophon tree v1\n100644 {} a/c\n100644 {} b\n",
                Digest::of(b"a/c"),
                Digest::of(b"b")
            )
        );
        assert_eq!(
            tree.digest().to_string(),
            "bfe3c842d1f8993ae6be4c3c76f53bd5d62357434932ba4ea9bde042d193805a"
        );
    }

    #[test]
    fn collisions_are_refused() {
        for pair in [["a", "a"], ["a", "A"], ["a", "a/b"], ["d/x", "D/y"], ["x/a", "X"]] {
            let entries = pair.map(entry).to_vec();
            assert!(matches!(Tree::new(entries), Err(InvalidTree::Collision(_))), "{pair:?}");
        }
    }

    #[test]
    fn only_canonical_bytes_decode() {
        let good = Tree::new(vec![entry("a"), entry("b")]).unwrap().encode();
        let text = String::from_utf8(good).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for bad in [
            String::new(),
            text.replace("v1", "v2"),
            text.trim_end().to_owned(),
            format!("{}\n{}\n{}\n", lines[0], lines[2], lines[1]),
            text.replace("100644", "120000"),
            text.replace(" a\n", " ../a\n"),
            format!("{text}\n"),
            text.replace('\n', "\r\n"),
        ] {
            assert!(Tree::decode(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn trees_round_trip(names in proptest::collection::btree_set("f[a-z]{0,7}(/f[a-z]{0,2})?", 0..20)) {
            let entries: Vec<_> = names.iter().map(|n| entry(n)).collect();
            if let Ok(tree) = Tree::new(entries) {
                prop_assert_eq!(Tree::decode(&tree.encode()), Ok(tree));
            }
        }
    }
}
