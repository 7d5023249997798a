//! What changed between two texts, in hunks of a unified diff.

use serde::Serialize;
use similar::{ChangeTag, TextDiff};

use super::code::{self, Part};

/// Lines around a change.
const CONTEXT: usize = 3;

/// Lines that belong together.
#[derive(Debug, Serialize)]
pub struct Hunk {
    /// Where it is, as in `@@ -1,2 +1,3 @@`.
    head: String,
    lines: Vec<Line>,
}

#[derive(Debug, Serialize)]
struct Line {
    /// `+`, `-` or a space.
    sign: &'static str,
    /// What it says for those who do not see the sign.
    said: &'static str,
    /// `added`, `removed` or `same`.
    class: &'static str,
    old: Option<usize>,
    new: Option<usize>,
    parts: Vec<Part>,
}

/// What changed from `old` to `new`, in the colours of `path`'s language.
pub fn hunks(path: &str, old: &str, new: &str) -> Vec<Hunk> {
    let diff = TextDiff::from_lines(old, new);
    let (old, new) = (code::lines(path, old), code::lines(path, new));
    let parts = |lines: &[Vec<Part>], at: usize| lines.get(at).cloned().unwrap_or_default();
    let mut unified = diff.unified_diff();
    let hunks = unified.context_radius(CONTEXT).iter_hunks();
    let line = |change: similar::Change<&str>| {
        let (before, after) = (change.old_index(), change.new_index());
        let (sign, said, class) = match change.tag() {
            ChangeTag::Equal => (" ", "", "same"),
            ChangeTag::Delete => ("-", "removed", "removed"),
            ChangeTag::Insert => ("+", "added", "added"),
        };
        let parts = match (before, after) {
            (_, Some(at)) => parts(&new, at),
            (Some(at), None) => parts(&old, at),
            (None, None) => Vec::new(),
        };
        let number = |at: Option<usize>| at.map(|at| at + 1);
        Line { sign, said, class, old: number(before), new: number(after), parts }
    };
    let hunk = |hunk: similar::udiff::UnifiedDiffHunk<'_, '_, '_, str>| Hunk {
        head: hunk.header().to_string(),
        lines: hunk.iter_changes().map(line).collect(),
    };
    hunks.map(hunk).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_changed_stand_with_their_neighbours() {
        let old = (1..=20).map(|n| format!("line {n}\n")).collect::<Vec<_>>().concat();
        let new = old.replace("line 10\n", "line ten\nand more\n");
        let hunks = hunks("a.txt", &old, &new);
        assert_eq!(hunks.len(), 1);
        assert_eq!(hunks[0].head, "@@ -7,7 +7,8 @@");
        let text = |line: &Line| {
            let text: String = line.parts.iter().map(|part| part.text.as_str()).collect();
            format!("{}{text}", line.sign)
        };
        let told: Vec<String> = hunks[0].lines.iter().map(text).collect();
        assert_eq!(told[2..7], [" line 9", "-line 10", "+line ten", "+and more", " line 11"]);
        let changed = &hunks[0].lines[3];
        assert_eq!((changed.old, changed.new), (Some(10), None));
        assert!(super::hunks("a.txt", &old, &old).is_empty());
    }
}
