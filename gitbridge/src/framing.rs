//! How pack bytes are wrapped for a client (gitprotocol-pack, "Packfile Data").

use crate::pkt;

/// How pack bytes are wrapped for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Packets of up to 65,520 bytes, marked with the number of a band.
    SideBand64k,
    /// The same with packets of up to 1,000 bytes.
    SideBand,
    /// Nothing around the pack.
    Raw,
}

/// Marks pack data in a side band.
const BAND_DATA: u8 = 1;
/// Marks an error that ends the answer.
const BAND_ERROR: u8 = 3;

impl Framing {
    /// The most pack bytes in one piece.
    pub(crate) const fn payload(self) -> usize {
        match self {
            Self::SideBand64k | Self::Raw => pkt::MAX_PACKET - 5,
            Self::SideBand => 1_000 - 5,
        }
    }

    /// Begins a piece at the end of `out`, so that its bytes are written where they stay.
    pub(crate) fn open(self, out: &mut Vec<u8>) {
        if self != Self::Raw {
            out.extend_from_slice(&[0, 0, 0, 0, BAND_DATA]);
        }
    }

    /// Ends the piece that begins at `start`: now its length is known.
    pub(crate) fn close(self, start: usize, out: &mut [u8]) {
        if self != Self::Raw {
            let length = pkt::length(out.len() - start);
            out[start..start + 4].copy_from_slice(&length);
        }
    }

    /// The words that end an answer. Empty without bands.
    pub(crate) fn error(self, text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        if self != Self::Raw {
            pkt::put_parts(&mut out, &[&[BAND_ERROR], text.as_bytes()]);
        }
        out
    }

    /// What stands behind the last piece.
    pub(crate) const fn end(self) -> &'static [u8] {
        match self {
            Self::Raw => &[],
            Self::SideBand64k | Self::SideBand => pkt::FLUSH,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_fit_their_band() {
        for (framing, size) in [(Framing::SideBand64k, 65_520), (Framing::SideBand, 1_000)] {
            let mut out = b"before".to_vec();
            framing.open(&mut out);
            out.extend(vec![0; framing.payload()]);
            framing.close(6, &mut out);
            assert_eq!(out.len() - 6, size);
            assert_eq!(&out[..11], format!("before{size:04x}\u{1}").as_bytes());
        }
    }
}
