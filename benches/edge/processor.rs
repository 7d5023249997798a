//! Processor time finer than the ticks of `/proc/<pid>/stat`.

use std::fs;

/// Nanoseconds on a processor of the threads that a process has now (`schedstat`, Linux'
/// Documentation/scheduler/sched-stats). The sum falls when a thread ends.
pub(crate) fn nanos(pid: u32) -> anyhow::Result<i64> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let schedule = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        sum += schedule.split_whitespace().next().map_or(Ok(0), str::parse::<i64>)?;
    }
    Ok(sum)
}

/// Nanoseconds of a process and those that it started.
pub(crate) fn family(pid: u32) -> anyhow::Result<i64> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    let mut sum = nanos(pid)?;
    for child in children.split_whitespace() {
        sum += nanos(child.parse()?)?;
    }
    Ok(sum)
}
