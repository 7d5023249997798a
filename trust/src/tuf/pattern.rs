//! Patterns of target paths, as delegations have them.

use serde::{Deserialize, Serialize};

/// A pattern such as `releases/*/app-?.zip` (specification §4.5): `*` stands for any characters but
/// `/`, `?` for one of them. All else stands for itself, brackets too.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Pattern(String);

impl Pattern {
    /// Whether all of `path` fits: part by part, so that a wildcard never reaches over a `/`.
    pub(crate) fn matches(&self, path: &str) -> bool {
        let (mut patterns, mut parts) = (self.0.split('/'), path.split('/'));
        loop {
            match (patterns.next(), parts.next()) {
                (None, None) => return true,
                (Some(pattern), Some(part)) if fits(pattern, part) => {}
                _ => return false,
            }
        }
    }
}

/// Matches greedily and returns to the last `*` only: at most pattern times text steps, where trying
/// every `*` anew would let a signed pattern take exponential time.
fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                p = at + 1;
                t = taken + 1;
            }
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stay_within_a_part_of_the_path() {
        for (pattern, path, expected) in [
            ("*", "a", true),
            ("*", "", true),
            ("*", "a/b", false),
            ("*.zip", "a.zip", true),
            ("*.zip", "a.zi", false),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            ("a?c", "ac", false),
            ("?", "é", true),
            ("releases/*/*", "releases/x/y", true),
            ("releases/*/*", "releases/x", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("*[a]*", "x[a]y", true),
            ("[ab]", "a", false),
            ("", "", true),
            ("**", "abc", true),
        ] {
            assert_eq!(Pattern(pattern.into()).matches(path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        let pattern = Pattern("*a".repeat(500) + "b");
        assert!(!pattern.matches(&"a".repeat(2_000)));
    }
}
