//! What the remote says became of a push: `report-status`, in a side band or alone.

use std::collections::BTreeMap;

use super::RemoteError;
use super::packets::{Answered, Packets};

/// The remote's word on each ref, and what it had to say beside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Why the pack was not taken in, if it was not.
    pub unpack: Option<String>,
    /// By full name: taken, or why not, such as `pre-receive hook declined`.
    pub refs: BTreeMap<String, Result<(), String>>,
    /// What the remote printed, such as the words of a hook: on one line, without control
    /// characters, cut to about 600 characters.
    pub messages: String,
}

impl Report {
    /// Longest answer that is read, in bytes.
    pub const MAX_BYTES: usize = 1 << 20;

    /// Reads the body of the answer to a push that asked for `side_band` or not.
    pub fn parse(body: &[u8], side_band: bool) -> Result<Self, RemoteError> {
        if body.len() > Self::MAX_BYTES {
            return Err(RemoteError::TooLong(Self::MAX_BYTES));
        }
        if !side_band {
            return Self::default().read(body);
        }
        let (mut status, mut told) = (Vec::new(), Vec::new());
        let mut packets = Packets::new(body);
        while let Some(Answered::Data(data)) = packets.next()? {
            match data.split_first() {
                Some((1, bytes)) => status.extend_from_slice(bytes),
                Some((2, bytes)) => told.extend_from_slice(bytes),
                Some((3, bytes)) => return Err(RemoteError::Refused(visible(bytes))),
                _ => return Err(RemoteError::Malformed("a packet is in no known band")),
            }
        }
        Self { messages: visible(&told), ..Self::default() }.read(&status)
    }

    /// A remote without `report-status` says nothing at all.
    fn read(mut self, status: &[u8]) -> Result<Self, RemoteError> {
        let mut packets = Packets::new(status);
        while let Some(Answered::Data(data)) = packets.next()? {
            let line = str::from_utf8(data.strip_suffix(b"\n").unwrap_or(data));
            let line = line.map_err(|_| RemoteError::Malformed("a status is not UTF-8"))?;
            self.add(line)?;
        }
        Ok(self)
    }

    fn add(&mut self, line: &str) -> Result<(), RemoteError> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb {
            "unpack" if rest == "ok" => {}
            "unpack" => self.unpack = Some(visible(rest.as_bytes())),
            "ok" => drop(self.refs.insert(rest.to_owned(), Ok(()))),
            "ng" => {
                let (name, reason) = rest.split_once(' ').unwrap_or((rest, "no reason given"));
                self.refs.insert(name.to_owned(), Err(visible(reason.as_bytes())));
            }
            _ => return Err(RemoteError::Malformed("a status is neither ok nor ng")),
        }
        Ok(())
    }
}

/// A remote's text as it can be logged and shown: one line, without control characters, cut to about
/// 600 characters.
pub fn visible(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let lines = text.split(['\n', '\r']).map(str::trim).filter(|line| !line.is_empty());
    let joined = lines.take(40).collect::<Vec<_>>().join(" / ");
    joined.chars().take(600).map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pkt;
    use proptest::prelude::*;

    fn packets(lines: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        for line in lines {
            pkt::put(&mut out, line);
        }
        [&out, pkt::FLUSH].concat()
    }

    fn banded(parts: &[(u8, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (band, bytes) in parts {
            pkt::put(&mut out, [&[*band], *bytes].concat());
        }
        [&out, pkt::FLUSH].concat()
    }

    #[test]
    fn each_ref_has_its_result() {
        let status = packets(&["unpack ok\n", "ok refs/heads/a\n", "ng refs/tags/b fetch first\n"]);
        let report = Report::parse(&status, false).unwrap();
        assert_eq!(report.unpack, None);
        assert_eq!(report.refs["refs/heads/a"], Ok(()));
        assert_eq!(report.refs["refs/tags/b"], Err("fetch first".to_owned()));
        // A status may be split anywhere between packets of the band.
        let (left, right) = status.split_at(7);
        let words: &[u8] = b"GH013: Repository rule\nviolations \x1b[31m\n";
        let body = banded(&[(2, words), (1, left), (1, right)]);
        let banded = Report::parse(&body, true).unwrap();
        assert_eq!(banded.messages, "GH013: Repository rule / violations ?[31m");
        assert_eq!(Report { messages: String::new(), ..banded }, report);
    }

    #[test]
    fn a_failed_unpack_a_fatal_band_and_silence_are_told_apart() {
        let failed = Report::parse(&packets(&["unpack index-pack failed\n"]), false).unwrap();
        assert_eq!(failed.unpack.as_deref(), Some("index-pack failed"));
        let fatal = Report::parse(&banded(&[(3, b"disk full")]), true);
        assert_eq!(fatal, Err(RemoteError::Refused("disk full".to_owned())));
        assert_eq!(Report::parse(b"", true), Ok(Report::default()));
        assert!(Report::parse(&banded(&[(4, b"x")]), true).is_err());
        assert!(Report::parse(&packets(&["perhaps refs/heads/a"]), false).is_err());
        assert!(Report::parse(&vec![0; Report::MAX_BYTES + 1], false).is_err());
    }

    proptest! {
        #[test]
        fn junk_never_panics(
            body: Vec<u8>, lines: Vec<String>, bands in proptest::collection::vec((0_u8..5, any::<Vec<u8>>()), 0..6),
        ) {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let bands: Vec<(u8, &[u8])> = bands.iter().map(|(n, b)| (*n, b.as_slice())).collect();
            for side_band in [false, true] {
                let _ = Report::parse(&body, side_band);
                let _ = Report::parse(&packets(&lines), side_band);
                let _ = Report::parse(&banded(&bands), side_band);
            }
        }
    }
}
