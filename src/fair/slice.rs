//! How long a thread has a processor at a time. Linux gives all threads slices of one length, and looks whether one
//! has ended when something happens, or at a tick (every 4 ms with 250 of them a second): until then, a thread that has
//! woken up may wait. With a shorter slice than the one that runs it does not, and has no more of the processors in all.
//! That takes Linux 6.12 (`sched_setattr(2)`: `sched_runtime` of `SCHED_OTHER`).

use std::cell::Cell;

thread_local! {
    static IS_SHORT: Cell<bool> = const { Cell::new(false) };
}

/// Gives the thread at hand, which answers requests, a short slice. Costs nothing when it has that already. Nothing happens
/// where the system knows no such thing or does not let us.
pub fn short() {
    if !IS_SHORT.replace(true) {
        #[cfg(all(target_os = "linux", target_env = "gnu"))]
        linux::ask(linux::SHORT);
    }
}

/// Gives a new thread the slice that those have who did not ask: it has that of the thread which started it.
pub fn usual() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    linux::ask(linux::USUAL);
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod linux {
    use std::time::Duration;

    use thread_priority::ThreadPriority;
    use thread_priority::unix::{
        DeadlineFlags, RealtimeThreadSchedulePolicy, ThreadId, ThreadSchedulePolicy,
        set_thread_priority_and_policy,
    };

    /// The shortest that Linux gives.
    pub(super) const SHORT: Duration = Duration::from_micros(100);
    /// Whatever the system gives.
    pub(super) const USUAL: Duration = Duration::ZERO;

    /// The thread at hand.
    const SELF: ThreadId = 0;
    /// `SCHED_FLAG_KEEP_POLICY` of `linux/sched.h`. The crate makes this call to ask for deadlines; with the flag it asks
    /// for a slice alone.
    const KEEP_POLICY: DeadlineFlags = DeadlineFlags::from_bits_retain(0x08);

    /// The nice value is part of the call. Somebody has chosen one that is not 0, and is not to lose it.
    pub(super) fn ask(runtime: Duration) {
        if rustix::process::getpriority_process(None) != Ok(0) {
            return;
        }
        let (deadline, period) = (Duration::ZERO, Duration::ZERO);
        let wanted = ThreadPriority::Deadline { runtime, deadline, period, flags: KEEP_POLICY };
        let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Deadline);
        if let Err(error) = set_thread_priority_and_policy(SELF, wanted, policy) {
            tracing::debug!(%error, "the system gives no slice");
        }
    }
}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
pub(crate) mod tests {
    use std::fs;

    /// The slice of the thread at hand, in nanoseconds, as the kernel tells it. None, said loudly: there is none to give
    /// here.
    pub(crate) fn slice() -> Option<u64> {
        let told = told();
        if told.is_none() {
            eprintln!(
                "NOT RUN: slices of threads (they take Linux 6.12 that tells of them, and a nice value of 0)"
            );
        }
        told
    }

    fn told() -> Option<u64> {
        if rustix::process::getpriority_process(None) != Ok(0) {
            return None;
        }
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
        let mut numbers = release.split(['.', '-']).map_while(|n| n.parse::<u32>().ok());
        if (numbers.next()?, numbers.next()?) < (6, 12) {
            return None;
        }
        let told = fs::read_to_string("/proc/thread-self/sched").ok()?;
        let line = told.lines().find(|line| line.starts_with("se.slice"))?;
        line.split_once(':')?.1.trim().parse().ok()
    }

    /// A thread with a short slice must not pass it on to those that work for long, or nobody goes before them.
    #[test]
    fn a_slice_is_asked_for_and_not_passed_on() {
        let test = || {
            let Some(before) = slice() else { return };
            super::short();
            assert_eq!(slice(), Some(100_000));
            let child = || {
                super::usual();
                slice()
            };
            assert_eq!(std::thread::spawn(child).join().unwrap(), Some(before));
        };
        std::thread::spawn(test).join().unwrap();
    }
}
