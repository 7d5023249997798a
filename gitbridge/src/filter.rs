//! What a partial clone leaves out (git-rev-list, `--filter`).

use colophon_model::GitKind;

use crate::Error;

/// Longest filter that is read, in bytes.
const MAX_SPEC: usize = 1_024;

/// Which objects a client does not want although its commits name them. What it names by id it gets
/// all the same.
///
/// Several filters leave out what any of them does, so that all of them together are two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Filter {
    /// Blobs of this many bytes and more are left out.
    blobs_from: Option<u64>,
    /// Trees and blobs at this depth and below are left out; the tree of a commit has depth 0.
    depth: Option<u64>,
}

impl Filter {
    /// Reads `blob:none`, `blob:limit=<n>[kmg]`, `tree:<depth>` and `combine:<filter>+<filter>…`,
    /// whose parts are percent-encoded.
    pub(crate) fn parse(spec: &str) -> Result<Self, Error> {
        if spec.len() > MAX_SPEC {
            return Err(Error::Limit { what: "bytes in its filter", most: MAX_SPEC });
        }
        match spec.strip_prefix("combine:") {
            Some(parts) => parts.split('+').try_fold(Self::default(), |all, part| {
                let part = percent_decode(part).ok_or_else(|| malformed(spec))?;
                Ok(all.and(Self::parse(&part)?))
            }),
            None => Self::parse_one(spec),
        }
    }

    fn parse_one(spec: &str) -> Result<Self, Error> {
        if spec == "blob:none" {
            return Ok(Self { blobs_from: Some(0), depth: None });
        }
        if let Some(size) = spec.strip_prefix("blob:limit=") {
            let size = parse_size(size).ok_or_else(|| malformed(spec))?;
            return Ok(Self { blobs_from: Some(size), depth: None });
        }
        if let Some(depth) = spec.strip_prefix("tree:") {
            let depth = depth.parse().map_err(|_| malformed(spec))?;
            return Ok(Self { blobs_from: None, depth: Some(depth) });
        }
        if spec.starts_with("sparse:") {
            return Err(Error::Unsupported("a `sparse:` filter"));
        }
        Err(malformed(spec))
    }

    fn and(self, other: Self) -> Self {
        let least = |a: Option<u64>, b: Option<u64>| a.into_iter().chain(b).min();
        Self {
            blobs_from: least(self.blobs_from, other.blobs_from),
            depth: least(self.depth, other.depth),
        }
    }

    /// Whether nothing is left out.
    pub(crate) const fn is_open(self) -> bool {
        self.blobs_from.is_none() && self.depth.is_none()
    }

    /// Whether how deep an object lies matters.
    pub(crate) const fn is_by_depth(self) -> bool {
        self.depth.is_some()
    }

    /// Whether trees and blobs at `depth` are wanted at all.
    pub(crate) fn admits_depth(self, depth: u64) -> bool {
        self.depth.is_none_or(|limit| depth < limit)
    }

    /// Whether an object of this kind and size is wanted, at whatever depth.
    pub(crate) fn admits(self, kind: GitKind, size: u64) -> bool {
        kind != GitKind::Blob || self.blobs_from.is_none_or(|limit| size < limit)
    }

    /// Whether a client that asked with this filter before has every object of `kind` that its
    /// commits name.
    pub(crate) fn leaves_whole(self, kind: GitKind) -> bool {
        match kind {
            GitKind::Blob => self.is_open(),
            GitKind::Tree => self.depth.is_none(),
            GitKind::Commit | GitKind::Tag => true,
        }
    }
}

fn malformed(spec: &str) -> Error {
    let shown: String = spec.chars().take(80).collect();
    Error::Protocol(format!("invalid filter `{shown}`"))
}

/// A number with Git's suffixes, which count in powers of 1,024.
fn parse_size(text: &str) -> Option<u64> {
    let shift = match text.as_bytes().last()?.to_ascii_lowercase() {
        b'k' => 10,
        b'm' => 20,
        b'g' => 30,
        _ => return text.parse().ok(),
    };
    text[..text.len() - 1].parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// RFC 3986 §2.1. A part of a combined filter has its `+` and `%` encoded, and others at will.
fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            out.push((digit(bytes.next())? * 16 + digit(bytes.next())?) as u8);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filter(blobs_from: Option<u64>, depth: Option<u64>) -> Filter {
        Filter { blobs_from, depth }
    }

    #[test]
    fn filters_are_read_as_git_writes_them() {
        for (spec, expected) in [
            ("blob:none", filter(Some(0), None)),
            ("blob:limit=10", filter(Some(10), None)),
            ("blob:limit=1k", filter(Some(1_024), None)),
            ("blob:limit=2M", filter(Some(2 << 20), None)),
            ("tree:0", filter(None, Some(0))),
            ("combine:blob:none+tree:3", filter(Some(0), Some(3))),
            ("combine:tree:3+tree:1+blob%3alimit%3D7", filter(Some(7), Some(1))),
            ("combine:combine%3Atree:2%2Bblob:none+tree:4", filter(Some(0), Some(2))),
        ] {
            assert_eq!(Filter::parse(spec).unwrap(), expected, "{spec}");
        }
    }

    #[test]
    fn what_is_not_a_filter_is_refused() {
        for bad in [
            "",
            "blob",
            "blob:limit=",
            "blob:limit=k",
            "blob:limit=-1",
            "tree:",
            "tree:x",
            "combine:",
        ] {
            assert!(matches!(Filter::parse(bad), Err(Error::Protocol(_))), "{bad}");
        }
        assert!(matches!(Filter::parse("combine:tree:1+%4"), Err(Error::Protocol(_))));
        assert!(matches!(Filter::parse("sparse:oid=x"), Err(Error::Unsupported(_))));
        let long = format!("combine:{}", "tree:1+".repeat(200));
        assert!(matches!(Filter::parse(&long), Err(Error::Limit { .. })));
    }

    #[test]
    fn a_limit_is_the_first_size_that_is_left_out() {
        let limit = Filter::parse("blob:limit=10").unwrap();
        assert!(limit.admits(GitKind::Blob, 9) && !limit.admits(GitKind::Blob, 10));
        assert!(limit.admits(GitKind::Tree, 10));
        assert!(!limit.leaves_whole(GitKind::Blob) && limit.leaves_whole(GitKind::Tree));
    }

    proptest! {
        #[test]
        fn parsing_never_panics(spec: String) {
            let _ = Filter::parse(&spec);
            let _ = Filter::parse(&format!("combine:{spec}"));
        }
    }
}
