//! What a pack is put together from, shared with the memory it comes from.

use std::sync::Arc;

use crate::{Held, Made, PackedTag, SentPage};

/// Some of a pack on its way out: an entry, or some.
#[derive(Debug, Default)]
pub(crate) struct Piece {
    head: Vec<u8>,
    body: Body,
    /// Bytes of both that were handed out.
    taken: usize,
}

/// Bytes that are behind the head of an entry.
#[derive(Debug, Default)]
pub(crate) enum Body {
    #[default]
    Nothing,
    /// As in the log.
    Held(Held),
    Made(Arc<Made>),
    Tag(Arc<PackedTag>),
    /// Entries with their heads.
    Page(Arc<SentPage>),
}

impl Body {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Nothing => &[],
            Self::Held(entry) => &entry.deflated,
            Self::Made(made) => &made.deflated,
            Self::Tag(tag) => &tag.deflated,
            Self::Page(page) => page.bytes(),
        }
    }
}

impl Piece {
    pub(crate) const fn new(head: Vec<u8>, body: Body) -> Self {
        Self { head, body, taken: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.head.len() + self.body.bytes().len()
    }

    pub(crate) fn is_taken(&self) -> bool {
        self.taken == self.len()
    }

    /// Puts the next bytes behind `out`, at most `most`.
    pub(crate) fn give(&mut self, most: usize, out: &mut Vec<u8>) {
        let head = &self.head[self.taken.min(self.head.len())..];
        let head = &head[..head.len().min(most)];
        out.extend_from_slice(head);
        self.taken += head.len();
        let body = self.taken.checked_sub(self.head.len()).map(|from| &self.body.bytes()[from..]);
        let body = body.unwrap_or_default();
        let body = &body[..body.len().min(most - head.len())];
        out.extend_from_slice(body);
        self.taken += body.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// However small the bites are, they are the head and then the body.
        #[test]
        fn pieces_are_given_whole(head: Vec<u8>, deflated: Vec<u8>, most in 1_usize..40) {
            let made = Made { base: None, inflated: 0, deflated };
            let whole = [&head[..], &made.deflated].concat();
            let mut piece = Piece::new(head, Body::Made(made.into()));
            let mut out = Vec::new();
            while !piece.is_taken() {
                let before = out.len();
                piece.give(most, &mut out);
                prop_assert!((1..=most).contains(&(out.len() - before)));
            }
            prop_assert_eq!(out, whole);
        }
    }
}
