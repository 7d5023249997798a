//! Measuring: how small blobs get and how long that takes, beside zstd without dictionaries.

#![expect(clippy::cast_precision_loss, reason = "no sum of sizes comes near 2^52")]

use std::hint::black_box;
use std::time::Instant;

use colophon_model::{Artifact, Digest, FileMode};
use colophon_store::PreparedBlob;
use zstd::bulk::{Compressor, Decompressor};

/// Every time is the shortest of so many tries: other work on the machine only adds to it.
const TRIES: usize = 5;

/// What packing some blobs and reading them back took. Reading checks the digest, as the store does.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cost {
    raw: usize,
    packed: usize,
    pack_seconds: f64,
    read_seconds: f64,
}

impl Cost {
    pub(crate) fn megabytes(&self) -> f64 {
        self.raw as f64 / 1e6
    }

    pub(crate) fn ratio(&self) -> f64 {
        self.raw as f64 / self.packed as f64
    }

    pub(crate) fn pack_speed(&self) -> f64 {
        self.megabytes() / self.pack_seconds
    }

    pub(crate) fn read_speed(&self) -> f64 {
        self.megabytes() / self.read_seconds
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.raw += other.raw;
        self.packed += other.packed;
        self.pack_seconds += other.pack_seconds;
        self.read_seconds += other.read_seconds;
    }
}

/// The store's own way. The digests are known before, as they are of generated files.
pub(crate) fn store(blobs: &[Vec<u8>]) -> anyhow::Result<Cost> {
    let artifacts: Vec<Artifact> =
        blobs.iter().map(|blob| Artifact::new(FileMode::Regular, blob.clone())).collect();
    let (pack_seconds, packed) = shortest(|| {
        artifacts.iter().map(PreparedBlob::of_artifact).collect::<Result<Vec<_>, _>>()
    })?;
    let (read_seconds, ()) = shortest(|| {
        for blob in &packed {
            black_box(blob.frame().unpack());
        }
        anyhow::Ok(())
    })?;
    Ok(Cost {
        raw: blobs.iter().map(Vec::len).sum(),
        packed: packed.iter().map(|blob| blob.frame().payload().len()).sum(),
        pack_seconds,
        read_seconds,
    })
}

/// zstd at `level`, with `dictionary` unless that is empty.
pub(crate) fn zstd(blobs: &[Vec<u8>], level: i32, dictionary: &[u8]) -> anyhow::Result<Cost> {
    let mut pack = Compressor::with_dictionary(level, dictionary)?;
    let mut unpack = Decompressor::with_dictionary(dictionary)?;
    let (pack_seconds, packed) =
        shortest(|| blobs.iter().map(|blob| pack.compress(blob)).collect::<Result<Vec<_>, _>>())?;
    let (read_seconds, ()) = shortest(|| {
        for (packed, raw) in packed.iter().zip(blobs) {
            black_box(Digest::of(&unpack.decompress(packed, raw.len())?));
        }
        anyhow::Ok(())
    })?;
    let stored = |(packed, raw): (&Vec<u8>, &Vec<u8>)| packed.len().min(raw.len());
    Ok(Cost {
        raw: blobs.iter().map(Vec::len).sum(),
        packed: packed.iter().zip(blobs).map(stored).sum(),
        pack_seconds,
        read_seconds,
    })
}

/// Seconds to hash and pack all of `blobs` on all cores.
pub(crate) fn ingest(blobs: &[Vec<u8>]) -> anyhow::Result<f64> {
    let cores = std::thread::available_parallelism()?.get();
    let share = blobs.len().div_ceil(cores).max(1);
    let pack = |blobs: &[Vec<u8>]| blobs.iter().try_for_each(|b| PreparedBlob::new(b).map(drop));
    let (seconds, ()) = shortest(|| {
        std::thread::scope(|scope| {
            let parts: Vec<_> = blobs.chunks(share).map(|p| scope.spawn(move || pack(p))).collect();
            parts.into_iter().try_for_each(|part| part.join().expect("a part panicked"))
        })
    })?;
    Ok(seconds)
}

/// The shortest time of all tries, in seconds, and the last one's result.
fn shortest<T, E>(mut work: impl FnMut() -> Result<T, E>) -> Result<(f64, T), E> {
    let (mut best, mut result) = (f64::INFINITY, None);
    for _ in 0..TRIES {
        drop(result.take());
        let from = Instant::now();
        let made = work()?;
        best = best.min(from.elapsed().as_secs_f64());
        result = Some(made);
    }
    Ok((best, result.expect("there is more than one try")))
}
