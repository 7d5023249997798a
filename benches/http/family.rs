//! Processor time of a process and all that it starts, whether those still run or have ended.

use crate::process;

/// Seconds of processor time of `pid`, its children and theirs. What ended is counted by whoever waited for
/// it, so nothing is counted twice.
pub(crate) fn seconds(pid: u32) -> anyhow::Result<f64> {
    let mut sum = process::cpu(pid)?;
    for child in process::below(pid) {
        // One that ends meanwhile is its parent's the next time.
        sum += process::cpu(child).unwrap_or_default();
    }
    Ok(sum)
}
