//! Component sources that are known from released packages.

use std::sync::LazyLock;

use colophon_model::Sha256;

/// `sha256  lfx-version  class`, one per line, sorted, and for a component that runs code it is given
/// `  runs-code`; made by `data/make_table.py`, which says which those are.
static TABLE: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    include_str!("../../data/lfx-components.txt").lines().filter(|l| !l.starts_with('#')).collect()
});

/// A source that a release of lfx holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    /// The newest release that does.
    pub(super) release: &'static str,
    /// Whether its purpose is to run code, or start a program, that its fields give or a model
    /// writes.
    pub(super) runs_code: bool,
}

/// Looks a source up. The whole hash is compared: the 12 digits that an export carries as
/// `code_hash` can be forged, as can the component's name.
pub(super) fn find(source: Sha256) -> Option<Known> {
    let hash = source.to_string();
    let found = TABLE.binary_search_by(|line| line[..hash.len()].cmp(&hash)).ok()?;
    let mut columns = TABLE[found].split("  ").skip(1);
    Some(Known { release: columns.next()?, runs_code: columns.nth(1) == Some("runs-code") })
}

/// The newest release in the table.
pub(super) fn newest_release() -> &'static str {
    let releases = TABLE.iter().filter_map(|line| line.split_whitespace().nth(1));
    releases.max_by_key(|release| version(release)).unwrap_or_default()
}

/// The numbers of a release such as `1.10.1rc3`, for comparison; nothing for another text.
pub(super) fn version(text: &str) -> Option<Vec<u32>> {
    let number = |part: &str| {
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    };
    let plain = text.len() <= 32 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.');
    if !plain {
        return None;
    }
    text.split('.').take(3).map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_well_formed() {
        assert!(TABLE.len() > 100);
        assert!(TABLE.is_sorted());
        for line in TABLE.iter() {
            let columns: Vec<_> = line.split("  ").collect();
            let ([hash, release, class] | [hash, release, class, "runs-code"]) = columns[..] else {
                panic!("{line}");
            };
            assert!(Sha256::from_hex(hash).is_ok() && version(release).is_some(), "{line}");
            assert!(!class.is_empty());
            let known = Known { release, runs_code: columns.len() == 4 };
            assert_eq!(find(Sha256::from_hex(hash).unwrap()), Some(known));
        }
    }

    /// Through these, anyone could run code without bringing a source of their own.
    #[test]
    fn interpreters_are_marked() {
        let is_marked = |line: &&&str| line.ends_with("  runs-code");
        let marked: Vec<_> = TABLE.iter().filter(is_marked).collect();
        let classes = [
            "CSVAgent",
            "MCPTools",
            "PythonFunction",
            "PythonREPLComponent",
            "PythonREPLTool",
            "Smart Transform",
        ];
        for class in classes {
            let named = format!("  {class}  runs-code");
            assert!(marked.iter().any(|line| line.ends_with(&named)), "{class}");
        }
        assert_eq!(marked.len(), classes.len());
    }

    #[test]
    fn a_hash_that_agrees_in_part_is_not_known() {
        let mut bytes = *Sha256::from_hex(&TABLE[0][..64]).unwrap().as_bytes();
        bytes[31] ^= 1;
        assert_eq!(find(Sha256::from_bytes(bytes)), None);
    }

    #[test]
    fn releases_compare_by_number() {
        assert!(version("1.10.1rc3") > version("1.9.12"));
        assert_eq!(version("1.4'; import os"), None);
        assert_eq!(newest_release(), "1.13.0");
    }
}
