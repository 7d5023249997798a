//! What the disk gives: one thread that appends 4 KiB and syncs.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::table::median;

/// Median milliseconds of one `fdatasync` after 4 KiB, over `time`, in a file below `dir`.
pub(crate) fn sync_millis(dir: &Path, time: Duration) -> anyhow::Result<f64> {
    let path = dir.join("baseline");
    let mut file = File::create(&path)?;
    let (start, mut times) = (Instant::now(), Vec::new());
    while start.elapsed() < time {
        let from = Instant::now();
        file.write_all(&[0x5a; 4096])?;
        file.sync_data()?;
        times.push(from.elapsed().as_secs_f64() * 1e3);
    }
    std::fs::remove_file(&path)?;
    Ok(median(times))
}
