//! What the disk gives: the cost of a sync, and how much of it a directory takes.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::ensure;

use crate::table::percentile;

/// Appends measured at a time.
const APPENDS: usize = 400;

/// How long it takes to append 4 KiB and `fdatasync` it, in milliseconds.
#[derive(Clone, Copy)]
pub(crate) struct Baseline {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Baseline {
    /// Measures in `dir`, on one thread.
    pub(crate) fn measure(dir: &Path) -> anyhow::Result<Self> {
        let mut file = tempfile::tempfile_in(dir)?;
        let mut times = Vec::with_capacity(APPENDS);
        for _ in 0..APPENDS {
            let from = Instant::now();
            file.write_all(&[0x5a; 4096])?;
            file.sync_data()?;
            times.push(from.elapsed().as_secs_f64() * 1e3);
        }
        Ok(Self { p50: percentile(&mut times, 50), p99: percentile(&mut times, 99) })
    }

    /// How many times dearer the dearer of both is.
    pub(crate) fn moved(self, after: Self) -> f64 {
        (self.p50 / after.p50).max(after.p50 / self.p50)
    }
}

/// Writes out what earlier runs left dirty, so that no side pays for another.
pub(crate) fn settle() -> anyhow::Result<()> {
    ensure!(Command::new("sync").status()?.success(), "sync failed");
    Ok(())
}

/// Makes everything on the disk of `dir` durable, for peers that do not sync by themselves.
pub(crate) fn sync_file_system(dir: &Path) -> anyhow::Result<()> {
    ensure!(Command::new("sync").arg("-f").arg(dir).status()?.success(), "sync -f failed");
    Ok(())
}

/// Empties the page cache. False when this process may not.
pub(crate) fn drop_page_cache() -> anyhow::Result<bool> {
    settle()?;
    Ok(fs::write("/proc/sys/vm/drop_caches", "1").is_ok())
}

/// Bytes that the files below `dir` take from the disk.
pub(crate) fn used(dir: &Path) -> anyhow::Result<u64> {
    let own = fs::symlink_metadata(dir)?;
    let mut bytes = own.blocks() * 512;
    if own.is_dir() {
        for entry in fs::read_dir(dir)? {
            bytes += used(&entry?.path())?;
        }
    }
    Ok(bytes)
}

/// Makes new names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> anyhow::Result<()> {
    Ok(File::open(dir)?.sync_all()?)
}
