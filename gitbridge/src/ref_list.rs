//! A list of refs as it is sent.

use bytes::Bytes;

use crate::{Ref, pkt};

/// How refs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefForm {
    /// A line each (gitprotocol-v2, `ls-refs`).
    Listed,
    /// The same, with what a tag points to (`peel`).
    Peeled,
    /// A line each, and one for what a tag points to (gitprotocol-pack, "Reference Discovery").
    Advertised,
}

/// Refs in order of their names, as packets. A part of it costs no copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefList {
    packets: Bytes,
    /// Where each ref begins.
    starts: Vec<usize>,
}

impl RefList {
    /// Writes `refs`, which are sorted by name in byte order.
    pub(crate) fn new(refs: &[Ref], form: RefForm) -> Self {
        let (mut out, mut starts) = (Vec::new(), Vec::with_capacity(refs.len()));
        for found in refs {
            starts.push(out.len());
            put(&mut out, found, form);
        }
        out.shrink_to_fit();
        Self { packets: out.into(), starts }
    }

    /// All of it.
    pub(crate) fn all(&self) -> Bytes {
        self.packets.clone()
    }

    /// The refs whose names start with `prefix`.
    pub(crate) fn starting_with(&self, prefix: &str) -> Bytes {
        let prefix = prefix.as_bytes();
        let from = self.starts.partition_point(|at| self.name(*at) < prefix);
        let found = self.starts[from..].partition_point(|at| self.name(*at).starts_with(prefix));
        let place = |index: usize| self.starts.get(index).copied().unwrap_or(self.packets.len());
        self.packets.slice(place(from)..place(from + found))
    }

    /// The name in the packet at `at`: behind the length and an id, up to a blank or the line's end.
    fn name(&self, at: usize) -> &[u8] {
        let line = &self.packets[at + NAME..];
        let end = line.iter().position(|byte| matches!(byte, b' ' | b'\n'));
        &line[..end.unwrap_or(line.len())]
    }

    /// What it takes up, in bytes.
    pub(crate) const fn weight(&self) -> usize {
        self.packets.len() + size_of::<usize>() * self.starts.len()
    }
}

/// Where a ref's name begins: a length of four digits, an id of forty, a blank.
const NAME: usize = 4 + 40 + 1;

/// Appends a ref to an answer.
pub(crate) fn put(out: &mut Vec<u8>, found: &Ref, form: RefForm) {
    let (oid, name) = (pkt::oid(&found.oid), found.name.as_bytes());
    let peeled = found.peeled.map(|oid| pkt::oid(&oid));
    match (form, &peeled) {
        (RefForm::Peeled, Some(peeled)) => {
            pkt::put_parts(out, &[&oid, b" ", name, b" peeled:", peeled, b"\n"]);
        }
        (RefForm::Advertised, Some(peeled)) => {
            pkt::put_parts(out, &[&oid, b" ", name, b"\n"]);
            pkt::put_parts(out, &[peeled, b" ", name, b"^{}\n"]);
        }
        _ => pkt::put_parts(out, &[&oid, b" ", name, b"\n"]),
    }
}

#[cfg(test)]
mod tests {
    use colophon_model::Oid;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A part of the list is the list of that part, whatever the names.
        #[test]
        fn parts_are_what_they_would_be_alone(
            names in proptest::collection::btree_set("refs/[ab]{1,3}(/[ab.-]{1,3})?", 0..20),
            prefix in "(refs/[ab/]{0,4}|re|x|refs0|)",
        ) {
            let make = |name: &String| Ref {
                name: name.clone(),
                oid: Oid::from_bytes([7; Oid::LEN]),
                peeled: name.contains('b').then_some(Oid::from_bytes([9; Oid::LEN])),
            };
            let refs: Vec<_> = names.iter().map(make).collect();
            let part: Vec<_> =
                refs.iter().filter(|r| r.name.starts_with(&prefix)).cloned().collect();
            for form in [RefForm::Listed, RefForm::Peeled, RefForm::Advertised] {
                let list = RefList::new(&refs, form);
                prop_assert_eq!(list.starting_with(&prefix), RefList::new(&part, form).all());
            }
        }
    }
}
