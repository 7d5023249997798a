//! The keeper: gives a tool namespaces of its own, waits for it, and ends it in time.
//!
//! It has one thread and no secrets. In a process namespace of its own the tool is the first process,
//! so whatever it started ends with it, and waiting for it is waiting for all of them.

use std::os::fd::AsFd as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

use super::{NOT_STARTED, OUT_OF_TIME, Policy, STARTER};

/// How long the keeper sleeps between two looks at the tool, in milliseconds: short at first, since
/// most tools are quick, and longer with time.
const SHORTEST_TICK: u16 = 1;
const LONGEST_TICK: u16 = 20;

/// Starts what the policy says, waits for it, and returns the exit status to end with.
pub fn keep(text: &str) -> i32 {
    let Ok(policy) = serde_json::from_str::<Policy>(text) else {
        eprintln!("this is started by colophon itself, not by hand");
        return NOT_STARTED;
    };
    let namespaces = enter(&policy);
    let program = std::env::current_exe().unwrap_or_else(|_| "/proc/self/exe".into());
    let mut command = Command::new(program);
    command.arg(STARTER).arg(if namespaces { "1" } else { "0" }).arg(text);
    command.env_clear().process_group(0);
    // A worker reads its requests there; any other tool has nothing to read.
    if !policy.forks {
        command.stdin(Stdio::null());
    }
    match command.spawn() {
        Ok(child) => wait(child, &policy),
        Err(error) => {
            eprintln!("the starter could not be started: {error}");
            NOT_STARTED
        }
    }
}

/// Enters new namespaces: as root directly, else by way of a user namespace, in which the tool has
/// the number of `nobody`. Returns whether that worked.
fn enter(policy: &Policy) -> bool {
    let mut flags = CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWIPC;
    if policy.confined && !policy.network {
        flags |= CloneFlags::CLONE_NEWNET;
    }
    let (user, group) = (geteuid(), getegid());
    if user.is_root() && policy.user.is_some() {
        return unshare(flags).is_ok();
    }
    if user.is_root() {
        let _ = nix::unistd::setgroups(&[]);
    }
    if unshare(flags | CloneFlags::CLONE_NEWUSER).is_err() {
        return false;
    }
    let map = |file: &str, text: String| std::fs::write(format!("/proc/self/{file}"), text).is_ok();
    map("setgroups", "deny".to_owned());
    map("uid_map", format!("65534 {user} 1")) && map("gid_map", format!("65534 {group} 1"))
}

/// Waits until the tool ends, time runs out, or whoever asked for it has gone. A worker ends by itself
/// when its requests end, and has no time limit.
fn wait(mut child: Child, policy: &Policy) -> i32 {
    let deadline =
        policy.limits.wall_millis.map(|millis| Instant::now() + Duration::from_millis(millis));
    let mut tick = SHORTEST_TICK;
    loop {
        let ended = if policy.forks { child.wait().map(Some) } else { child.try_wait() };
        match ended {
            Ok(Some(status)) => return status.code().unwrap_or_else(|| killed(status.signal())),
            Ok(None) => {}
            Err(_) => return NOT_STARTED,
        }
        if is_left(tick) || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            let _ = child.kill();
            let _ = child.wait();
            return OUT_OF_TIME;
        }
        tick = tick.saturating_add(1).min(LONGEST_TICK);
    }
}

fn killed(signal: Option<i32>) -> i32 {
    128 + signal.unwrap_or_default()
}

/// Sleeps for `millis`, and less when the other end of standard input is closed; returns whether it
/// is. Nothing is ever written to it.
fn is_left(millis: u16) -> bool {
    let stdin = std::io::stdin();
    let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
    matches!(poll(&mut fds, PollTimeout::from(millis)), Ok(ready) if ready > 0)
}
