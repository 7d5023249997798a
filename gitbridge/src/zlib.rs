//! zlib streams (RFC 1950), as pack entries hold them.

use std::io::Read as _;

/// Compresses with libdeflate at level 6: smaller and faster than zlib at the same level. The
/// compressor keeps tables of a few hundred KiB, so one serves many objects.
pub(crate) struct Deflater(libdeflater::Compressor);

impl Deflater {
    pub(crate) fn new() -> Self {
        Self(libdeflater::Compressor::new(libdeflater::CompressionLvl::default()))
    }

    pub(crate) fn deflate(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![0; self.0.zlib_compress_bound(bytes.len())];
        let length = self
            .0
            .zlib_compress(bytes, &mut out)
            .expect("the buffer has the size that the compressor asked for");
        out.truncate(length);
        out
    }
}

/// The bytes behind `deflated`, when they are exactly `size` long and nothing follows the stream.
/// Memory grows with what the stream really holds and never passes `size`.
pub(crate) fn inflate(deflated: &[u8], size: u64) -> Option<Vec<u8>> {
    let mut decoder = flate2::read::ZlibDecoder::new(deflated);
    let mut out = Vec::new();
    decoder.by_ref().take(size.saturating_add(1)).read_to_end(&mut out).ok()?;
    let whole = decoder.total_in() == deflated.len() as u64;
    (out.len() as u64 == size && whole).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_stream_that_is_not_what_was_recorded_is_refused() {
        let bomb = Deflater::new().deflate(&vec![0; 1 << 20]);
        assert_eq!(inflate(&bomb, 10), None, "longer than recorded");
        assert_eq!(inflate(&bomb, 1 << 21), None, "shorter than recorded");
        assert_eq!(inflate(&bomb[..bomb.len() - 1], 1 << 20), None, "cut");
        assert_eq!(inflate(&[&bomb[..], b"x"].concat(), 1 << 20), None, "followed by more");
        assert_eq!(inflate(b"", 0), None, "not a stream");
    }

    proptest! {
        #[test]
        fn streams_round_trip(bytes: Vec<u8>) {
            let deflated = Deflater::new().deflate(&bytes);
            prop_assert_eq!(inflate(&deflated, bytes.len() as u64), Some(bytes));
        }
    }
}
