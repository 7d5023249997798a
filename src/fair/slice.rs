//! How a thread competes for processors with others of the program. Linux gives all threads slices of one length, and looks
//! whether one has ended when something happens, or at a tick (every 4 ms with 250 of them a second): until then, a thread
//! that has woken up may wait. With a shorter slice than the one that runs it does not, and has no more of the
//! processors in all (`sched_setattr(2)`: `sched_runtime` of `SCHED_OTHER`, since Linux 6.12). A thread that works for long
//! takes a processor from nobody when it wakes up (`SCHED_BATCH`, `sched(7)`).

use std::cell::Cell;

thread_local! {
    static IS_SHORT: Cell<Option<bool>> = const { Cell::new(None) };
}

/// The thread at hand does what is short, such as to answer requests: it goes before those that work for long, whatever
/// they are at. Costs nothing when it does so already. Nothing happens where the system knows no such thing or does not
/// let us.
pub fn short() {
    set(true);
}

/// The thread at hand works for long. So does a new one, which else would have the ways of the thread that started it.
pub fn long() {
    set(false);
}

/// One of the two.
pub(super) fn set(is_short: bool) {
    if IS_SHORT.replace(Some(is_short)) != Some(is_short) {
        #[cfg(all(target_os = "linux", target_env = "gnu"))]
        linux::ask(is_short);
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod linux {
    use std::time::Duration;

    use thread_priority::unix::{
        DeadlineFlags, NormalThreadSchedulePolicy, RealtimeThreadSchedulePolicy, ThreadId,
        ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
    };
    use thread_priority::{Error, ThreadPriority, ThreadPriorityOsValue};

    /// The shortest that Linux gives.
    const SHORT: Duration = Duration::from_micros(100);
    /// Whatever the system gives.
    const USUAL: Duration = Duration::ZERO;
    /// The thread at hand.
    const SELF: ThreadId = 0;
    /// `SCHED_FLAG_KEEP_POLICY` of `linux/sched.h`. The crate makes this call to ask for deadlines; with the flag it asks
    /// for a slice alone.
    const KEEP_POLICY: DeadlineFlags = DeadlineFlags::from_bits_retain(0x08);

    /// The nice value is part of the calls. Somebody has chosen one that is not 0, and is not to lose it.
    pub(super) fn ask(is_short: bool) {
        if rustix::process::getpriority_process(None) != Ok(0) {
            return;
        }
        let (policy, runtime) = if is_short {
            (NormalThreadSchedulePolicy::Other, SHORT)
        } else {
            (NormalThreadSchedulePolicy::Batch, USUAL)
        };
        if let Err(error) = compete(policy).and_then(|()| slice(runtime)) {
            tracing::debug!(%error, "the system does not let threads compete as they should");
        }
    }

    /// A thread keeps its slice with another policy.
    fn compete(policy: NormalThreadSchedulePolicy) -> Result<(), Error> {
        let nice = ThreadPriority::Os(ThreadPriorityOsValue::default());
        let policy = ThreadSchedulePolicy::Normal(policy);
        set_thread_priority_and_policy(thread_native_id(), nice, policy)
    }

    fn slice(runtime: Duration) -> Result<(), Error> {
        let (deadline, period) = (Duration::ZERO, Duration::ZERO);
        let wanted = ThreadPriority::Deadline { runtime, deadline, period, flags: KEEP_POLICY };
        let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Deadline);
        set_thread_priority_and_policy(SELF, wanted, policy)
    }
}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
pub(crate) mod tests {
    use std::fs;

    /// The policy and the slice, in nanoseconds, of the thread at hand, as the kernel tells them. None, said loudly: there
    /// are none to give here.
    pub(crate) fn told() -> Option<(u64, u64)> {
        let told = read();
        if told.is_none() {
            eprintln!(
                "NOT RUN: how threads compete (it takes Linux 6.12 that tells of it, and a nice value of 0)"
            );
        }
        told
    }

    fn read() -> Option<(u64, u64)> {
        if rustix::process::getpriority_process(None) != Ok(0) {
            return None;
        }
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
        let mut numbers = release.split(['.', '-']).map_while(|n| n.parse::<u32>().ok());
        if (numbers.next()?, numbers.next()?) < (6, 12) {
            return None;
        }
        let told = fs::read_to_string("/proc/thread-self/sched").ok()?;
        let of = |name: &str| {
            let line = told.lines().find(|line| line.split([' ', ':']).next() == Some(name))?;
            line.rsplit_once(':')?.1.trim().parse().ok()
        };
        Some((of("policy")?, of("se.slice")?))
    }

    /// `SCHED_OTHER` and `SCHED_BATCH` of `linux/sched.h`.
    pub(crate) const OTHER: u64 = 0;
    pub(crate) const BATCH: u64 = 3;

    /// A thread with a short slice must not pass it on to those that work for long, or nobody goes before them; nor may
    /// one that worked for long keep any of that when it answers.
    #[test]
    fn a_thread_competes_as_what_it_does_and_passes_nothing_on() {
        let test = || {
            let Some((_, usual)) = told() else { return };
            super::short();
            assert_eq!(told(), Some((OTHER, 100_000)));
            let child = || {
                super::long();
                let working = told();
                super::short();
                (working, told())
            };
            let (working, answering) = std::thread::spawn(child).join().unwrap();
            assert_eq!(working, Some((BATCH, usual)));
            assert_eq!(answering, Some((OTHER, 100_000)));
        };
        std::thread::spawn(test).join().unwrap();
    }
}
