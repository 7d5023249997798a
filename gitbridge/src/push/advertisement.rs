//! What the remote holds: the answer to `GET info/refs?service=git-receive-pack`.

use std::collections::BTreeMap;

use colophon_model::Oid;

use super::packets::Packets;
use super::{Command, RemoteError};

/// The remote's refs and capabilities at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Advertisement {
    /// Branches and tags by full name.
    refs: BTreeMap<String, Oid>,
    capabilities: String,
    shallow: bool,
}

impl Advertisement {
    /// Longest advertisement that is read, in bytes: 300,000 tags with room.
    pub const MAX_BYTES: usize = 32 << 20;

    /// Reads the body of the answer. Refs that are neither branches nor tags, and names that are not
    /// UTF-8, are none of ours and are left out.
    pub fn parse(body: &[u8]) -> Result<Self, RemoteError> {
        if body.len() > Self::MAX_BYTES {
            return Err(RemoteError::TooLong(Self::MAX_BYTES));
        }
        let mut packets = Packets::new(body);
        if packets.line()? != Some(b"# service=git-receive-pack") || packets.line()?.is_some() {
            return Err(RemoteError::Malformed("it is not the advertisement of a receive-pack"));
        }
        let mut found = Self::default();
        let mut first = true;
        while let Some(line) = packets.line()? {
            if !(first && line == b"version 1") {
                found.add(line, first)?;
                first = false;
            }
        }
        found.check_format()?;
        Ok(found)
    }

    fn add(&mut self, line: &[u8], first: bool) -> Result<(), RemoteError> {
        let nul = line.iter().position(|byte| *byte == 0).filter(|_| first);
        let (line, capabilities) = line.split_at(nul.unwrap_or(line.len()));
        if let Ok(text) = str::from_utf8(capabilities.get(1..).unwrap_or_default()) {
            self.capabilities.push_str(text);
        }
        if line.starts_with(b"shallow ") {
            self.shallow = true;
            return Ok(());
        }
        let malformed = RemoteError::Malformed("a line is no ref");
        let (hex, name) = line.split_at_checked(40).ok_or(malformed.clone())?;
        let hex = str::from_utf8(hex).map_err(|_| malformed.clone())?;
        let oid: Oid = hex.parse().map_err(|_| malformed.clone())?;
        let name = name.strip_prefix(b" ").ok_or(malformed)?;
        if let Ok(name) = str::from_utf8(name)
            && is_ours_to_name(name)
        {
            self.refs.insert(name.to_owned(), oid);
        }
        Ok(())
    }

    fn check_format(&self) -> Result<(), RemoteError> {
        match self.value("object-format") {
            None | Some("sha1") => Ok(()),
            Some(other) => Err(RemoteError::ObjectFormat(other.chars().take(20).collect())),
        }
    }

    /// Where the ref of this full name stands.
    pub fn get(&self, name: &str) -> Option<Oid> {
        self.refs.get(name).copied()
    }

    /// Whether every command has happened.
    pub fn shows(&self, commands: &[Command]) -> bool {
        commands.iter().all(|command| self.get(&command.name) == command.new)
    }

    /// Whether the capability was offered.
    pub(super) fn has(&self, capability: &str) -> bool {
        self.capabilities.split(' ').any(|offered| offered == capability)
    }

    /// The value of a capability such as `object-format=sha1`.
    pub(super) fn value(&self, capability: &str) -> Option<&str> {
        let values = self.capabilities.split(' ').filter_map(|offered| offered.split_once('='));
        values.into_iter().find(|(name, _)| *name == capability).map(|(_, value)| value)
    }

    /// Whether the remote lacks the older part of some history, so that having a commit does not
    /// mean having everything that came before it.
    pub(super) const fn is_shallow(&self) -> bool {
        self.shallow
    }
}

/// `capabilities^{}` stands in for the refs of an empty repository, `.have` for those of others.
fn is_ours_to_name(name: &str) -> bool {
    ["refs/heads/", "refs/tags/"].iter().any(|prefix| name.starts_with(prefix))
        && !name.ends_with("^{}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pkt;
    use proptest::prelude::*;

    const A: &str = "1111111111111111111111111111111111111111";
    const ZERO: &str = "0000000000000000000000000000000000000000";

    fn body(lines: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        pkt::put(&mut out, "# service=git-receive-pack\n");
        out.extend_from_slice(pkt::FLUSH);
        for line in lines {
            pkt::put(&mut out, line);
        }
        out.extend_from_slice(pkt::FLUSH);
        out
    }

    fn line(oid: &str, rest: &str) -> Vec<u8> {
        format!("{oid} {rest}\n").into_bytes()
    }

    #[test]
    fn refs_and_capabilities_are_read() {
        let lines = [
            line(A, "refs/heads/tenant/acme\0report-status ofs-delta object-format=sha1"),
            line(A, ".have"),
            line(A, "refs/pull/1/head"),
            line(A, "refs/tags/v1"),
            line(A, "refs/tags/v1^{}"),
            [A.as_bytes(), b" refs/heads/\xff\n"].concat(),
        ];
        let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
        let found = Advertisement::parse(&body(&lines)).unwrap();
        assert_eq!(
            found.refs.keys().collect::<Vec<_>>(),
            ["refs/heads/tenant/acme", "refs/tags/v1"]
        );
        assert!(found.has("report-status") && found.has("ofs-delta") && !found.has("report"));
        assert_eq!(found.value("object-format"), Some("sha1"));
        assert!(!found.is_shallow());
    }

    #[test]
    fn an_empty_repository_and_a_shallow_one_are_told() {
        let none = line(ZERO, "capabilities^{}\0report-status delete-refs");
        let empty = Advertisement::parse(&body(&[&none])).unwrap();
        assert!(empty.refs.is_empty() && empty.has("delete-refs"));
        let (head, shallow) = (line(A, "refs/heads/x\0"), format!("shallow {A}"));
        let found = Advertisement::parse(&body(&[b"version 1\n", &head, shallow.as_bytes()]));
        assert!(found.unwrap().is_shallow());
    }

    #[test]
    fn what_is_no_advertisement_is_refused() {
        let whole = body(&[&line(A, "refs/heads/x\0")]);
        for cut in 0..whole.len() {
            assert!(Advertisement::parse(&whole[..cut]).is_err(), "{cut}");
        }
        assert!(Advertisement::parse(b"<!DOCTYPE html>").is_err());
        assert!(Advertisement::parse(&body(&[b"refs/heads/x"])).is_err());
        let refused = Advertisement::parse(&body(&[b"ERR no\x1b[2J such repository"]));
        assert_eq!(refused, Err(RemoteError::Refused("no?[2J such repository".to_owned())));
        let sha256 = body(&[&line(ZERO, "capabilities^{}\0object-format=sha256")]);
        let refused = Advertisement::parse(&sha256);
        assert_eq!(refused, Err(RemoteError::ObjectFormat("sha256".to_owned())));
        let long = vec![b'0'; Advertisement::MAX_BYTES + 1];
        assert!(matches!(Advertisement::parse(&long), Err(RemoteError::TooLong(_))));
    }

    proptest! {
        /// Whatever a remote sends, inside and outside of well-formed packets.
        #[test]
        fn junk_never_panics(lines: Vec<Vec<u8>>, tail: Vec<u8>) {
            let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
            let _ = Advertisement::parse(&tail);
            let _ = Advertisement::parse(&[body(&lines), tail].concat());
        }
    }
}
