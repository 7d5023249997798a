//! Processes as `/proc` shows them (proc(5)).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;

/// Ticks of `/proc/<pid>/stat` in a second: `USER_HZ`, a part of Linux' interface.
const TICKS: f64 = 100.0;
/// How often children are looked at while their memory is measured.
const LOOK: Duration = Duration::from_millis(2);

/// Processor time of a process, all its threads, and the children that it has waited for, in
/// seconds.
pub(crate) fn cpu(pid: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in parentheses, may hold anything.
    let rest = stat.rsplit_once(')').context("no name in stat")?.1;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // utime, stime, cutime, cstime: fields 14 to 17, where the one after the name is the third.
    let ticks = fields.get(11..15).context("stat is short")?.iter().map(|field| field.parse());
    let ticks: Vec<f64> = ticks.collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / TICKS)
}

/// The same of this process.
pub(crate) fn cpu_of_self() -> anyhow::Result<f64> {
    cpu(std::process::id())
}

/// The largest resident set of a process so far, in MB.
pub(crate) fn peak(pid: u32) -> Option<f64> {
    memory(pid, "VmHWM:")
}

/// The resident set of a process, in MB.
pub(crate) fn resident(pid: u32) -> Option<f64> {
    memory(pid, "VmRSS:")
}

fn memory(pid: u32, name: &str) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kb: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kb * 1024.0 / 1e6)
}

/// Lets the largest resident set begin anew.
pub(crate) fn forget_peak(pid: u32) -> anyhow::Result<()> {
    Ok(std::fs::write(format!("/proc/{pid}/clear_refs"), "5")?)
}

/// The largest resident set of one descendant of `pid` that was seen until `stop`, in MB.
pub(crate) fn largest_below(pid: u32, stop: &AtomicBool) -> f64 {
    let mut seen = BTreeMap::<u32, f64>::new();
    while !stop.load(Ordering::Relaxed) {
        // A child that has not become git yet is still a copy of the server.
        for child in below(pid).into_iter().filter(|child| program(*child) != program(pid)) {
            if let Some(peak) = peak(child) {
                let most = seen.entry(child).or_default();
                *most = most.max(peak);
            }
        }
        std::thread::sleep(LOOK);
    }
    seen.into_values().fold(0.0, f64::max)
}

fn program(pid: u32) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// Every process that `pid` or one of those has started and that has not ended.
pub(crate) fn below(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let tasks = std::fs::read_dir(Path::new("/proc").join(pid.to_string()).join("task"));
    for task in tasks.into_iter().flatten().flatten() {
        let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|child| child.parse().ok()) {
            found.push(child);
            found.extend(below(child));
        }
    }
    found
}
