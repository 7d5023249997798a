//! Pages of a log as packs hold them.
//!
//! Packs of everything from the first object on begin alike, however much history follows: what
//! stands at an ordinal never changes, and deltas name their base by its distance. So a page that was
//! put together for one clone serves the next ones.

use colophon_model::LogEntry;
use sha1::{Digest as _, Sha1};

use crate::pack;

/// Tells where each entry of a pack began, up to the end of a page. Two packs of one log in which
/// that is the same hold the same bytes in the next page.
pub(crate) type Trace = [u8; 20];

/// The trace of a pack in which a page whose entries begin at `offsets` follows `before`.
pub(crate) fn trace(before: &Trace, offsets: &[u64]) -> Trace {
    let mut hasher = Sha1::new_with_prefix(before);
    for offset in offsets {
        hasher.update(offset.to_be_bytes());
    }
    hasher.finalize().into()
}

/// A page of a log as it stands in a pack of all objects from the first one on.
#[derive(Debug, PartialEq, Eq)]
pub struct SentPage {
    /// Of the pack up to this page.
    before: Trace,
    /// Where each entry begins in the pack.
    offsets: Vec<u64>,
    bytes: Vec<u8>,
}

impl SentPage {
    /// Puts `entries` behind a pack whose entries began at `sent`, one for each ordinal, and that is
    /// `made` bytes long. `None` when one rests on what such a pack does not hold before it.
    pub(crate) fn make<'a>(
        before: Trace,
        sent: &[u64],
        made: u64,
        entries: impl Iterator<Item = &'a LogEntry>,
    ) -> Option<Self> {
        let mut page = Self { before, offsets: Vec::new(), bytes: Vec::new() };
        for entry in entries {
            let here = made + page.bytes.len() as u64;
            let head = match entry.base {
                None => pack::whole(entry.kind, entry.size),
                Some(base) => {
                    let base = base.get() as usize;
                    let inside = || page.offsets.get(base - sent.len());
                    let offset = sent.get(base).or_else(inside)?;
                    pack::ofs_delta(entry.inflated, here - offset)
                }
            };
            page.offsets.push(here);
            page.bytes.extend_from_slice(&head);
            page.bytes.extend_from_slice(&entry.deflated);
        }
        page.bytes.shrink_to_fit();
        Some(page)
    }

    /// Whether these are the bytes that follow a pack with the trace `before`.
    pub(crate) fn follows(&self, before: &Trace) -> bool {
        self.before == *before
    }

    pub(crate) fn offsets(&self) -> &[u64] {
        &self.offsets
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What it takes in memory, in bytes.
    pub(crate) const fn weight(&self) -> usize {
        size_of::<Self>() + size_of::<u64>() * self.offsets.len() + self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use colophon_model::{GitKind, Oid, Ordinal};
    use proptest::prelude::*;

    fn entry(base: Option<u32>) -> LogEntry {
        LogEntry {
            oid: Oid::from_bytes([1; 20]),
            kind: GitKind::Blob,
            size: 3,
            base: base.map(Ordinal::new),
            depth: 0,
            inflated: 3,
            deflated: vec![9; 5],
            blob: None,
        }
    }

    #[test]
    fn what_rests_on_later_objects_is_in_no_page() {
        let page = |base| SentPage::make([0; 20], &[12, 40], 60, [entry(base)].iter());
        assert!(page(None).is_some() && page(Some(1)).is_some());
        assert_eq!(page(Some(2)), None, "it rests on itself");
        assert_eq!(page(Some(3)), None, "its base comes later");
    }

    #[test]
    fn deltas_name_bases_before_and_in_their_page() {
        let entries = [entry(Some(1)), entry(Some(2))];
        let page = SentPage::make([0; 20], &[12, 40], 60, entries.iter()).unwrap();
        assert_eq!(page.offsets(), [60, 67]);
        let sent = |distance| [&[0x63, distance][..], &[9; 5]].concat();
        assert_eq!(page.bytes(), [sent(20), sent(7)].concat());
    }

    proptest! {
        /// Packs in which any entry began elsewhere have other traces.
        #[test]
        fn traces_tell_offsets_apart(a: Vec<u64>, b: Vec<u64>, at in 0_u64..9) {
            prop_assert_eq!(trace(&[0; 20], &a) == trace(&[0; 20], &b), a == b);
            let (one, other) = (trace(&[0; 20], &[at]), trace(&[0; 20], &[at + 1]));
            prop_assert_ne!(trace(&one, &a), trace(&other, &a));
        }
    }
}
