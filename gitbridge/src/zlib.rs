//! zlib streams (RFC 1950), as pack entries hold them.

use std::cell::RefCell;
use std::sync::{Mutex, MutexGuard, PoisonError};

use flate2::{Decompress, FlushDecompress, Status};

/// Compressors that are kept for whoever needs one next.
const SPARE: usize = 8;

static POOL: Mutex<Vec<libdeflater::Compressor>> = Mutex::new(Vec::new());

/// Compresses with libdeflate at level 6: smaller and faster than zlib at the same level. The
/// compressor keeps tables of a few hundred KiB, so one serves many objects, and a few are kept. What it
/// has compressed before changes nothing.
pub(crate) struct Deflater(Option<libdeflater::Compressor>);

impl Deflater {
    pub(crate) fn new() -> Self {
        Self(pool().pop())
    }

    pub(crate) fn deflate(&mut self, bytes: &[u8]) -> Vec<u8> {
        let level = libdeflater::CompressionLvl::default();
        let zlib = self.0.get_or_insert_with(|| libdeflater::Compressor::new(level));
        let mut out = vec![0; zlib.zlib_compress_bound(bytes.len())];
        let length = zlib
            .zlib_compress(bytes, &mut out)
            .expect("the buffer has the size that the compressor asked for");
        out.truncate(length);
        out
    }
}

impl Drop for Deflater {
    fn drop(&mut self) {
        let mut pool = pool();
        if pool.len() < SPARE {
            pool.extend(self.0.take());
        }
    }
}

fn pool() -> MutexGuard<'static, Vec<libdeflater::Compressor>> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes that are set aside for a stream before it has shown that it holds as many.
const AT_FIRST: usize = 64 * 1024;

thread_local! {
    // To make one takes longer than to inflate a small object.
    static INFLATER: RefCell<Decompress> = RefCell::new(Decompress::new(true));
}

/// The bytes behind `deflated`, when they are exactly `size` long and nothing follows the stream.
/// Memory grows with what the stream really holds and never passes `size` by more than a byte.
pub(crate) fn inflate(deflated: &[u8], size: u64) -> Option<Vec<u8>> {
    let size = usize::try_from(size).ok()?;
    let most = size.checked_add(1)?;
    let mut out = Vec::with_capacity(most.min(AT_FIRST));
    INFLATER.with_borrow_mut(|zlib| {
        zlib.reset(true);
        loop {
            let rest = deflated.get(usize::try_from(zlib.total_in()).ok()?..)?;
            let before = (zlib.total_in(), out.len());
            let status = zlib.decompress_vec(rest, &mut out, FlushDecompress::None).ok()?;
            if status == Status::StreamEnd {
                return (zlib.total_in() == deflated.len() as u64).then_some(());
            }
            if out.len() > size {
                return None;
            }
            if out.len() == out.capacity() {
                out.reserve_exact(out.len().min(most - out.len()));
            } else if before == (zlib.total_in(), out.len()) {
                return None; // it is cut
            }
        }
    })?;
    (out.len() == size).then_some(out)
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

    /// Also of those that are longer than what is set aside for them at first.
    #[test]
    fn a_long_stream_round_trips() {
        for length in [AT_FIRST - 1, AT_FIRST, AT_FIRST + 1, 5 * AT_FIRST + 7] {
            let bytes: Vec<u8> = (0..length).map(|n| ((n * n) >> 3) as u8).collect();
            let deflated = Deflater::new().deflate(&bytes);
            assert_eq!(inflate(&deflated, length as u64 - 1), None);
            assert_eq!(inflate(&deflated, length as u64), Some(bytes));
        }
    }

    proptest! {
        #[test]
        fn streams_round_trip(bytes: Vec<u8>) {
            let deflated = Deflater::new().deflate(&bytes);
            prop_assert_eq!(inflate(&deflated, bytes.len() as u64), Some(bytes));
        }
    }
}
