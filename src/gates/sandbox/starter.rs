//! The starter: gives up every right that the tool is not to have, and becomes the tool.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::sys::prctl::{set_no_new_privs, set_pdeathsig};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid, geteuid, setgroups, setresgid, setresuid};

use super::calls::{self, Calls};
use super::{Applied, NOT_STARTED, Policy, fence};

/// Becomes the tool that the policy says. Returns only when it cannot, with the exit status.
/// `namespaces`: whether the keeper has entered new ones.
pub fn start(namespaces: bool, text: &str) -> i32 {
    let Ok(policy) = serde_json::from_str::<Policy>(text) else { return NOT_STARTED };
    let applied = match give_up(&policy, namespaces) {
        Ok(applied) => applied,
        Err(what) => {
            eprintln!("the sandbox does not hold: {what}");
            return NOT_STARTED;
        }
    };
    let Some((program, arguments)) = policy.argv.split_first() else {
        return report(&applied);
    };
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(policy.env).current_dir(&policy.dir);
    let error = command.exec();
    eprintln!("`{program}` does not start: {error}");
    NOT_STARTED
}

#[expect(clippy::print_stdout, reason = "this is what it was asked for")]
fn report(applied: &Applied) -> i32 {
    match serde_json::to_string(applied) {
        Ok(text) => {
            println!("{text}");
            0
        }
        Err(_) => NOT_STARTED,
    }
}

/// In this order: what a later step needs is not taken away before it.
fn give_up(policy: &Policy, namespaces: bool) -> Result<Applied, String> {
    limit(policy).map_err(|e| format!("limits: {e}"))?;
    let mut applied = Applied { namespaces, ..Applied::default() };
    if policy.confined {
        if geteuid().is_root()
            && let Some(user) = policy.user
        {
            // In a user namespace there may be no such user. Whoever tries it out is told so; a tool
            // starts only as the user that it is given.
            let became = become_user(user);
            if !policy.argv.is_empty() {
                became.map_err(|e| format!("become user {user}: {e}"))?;
            }
        }
        // In a user namespace rights end with the next program, since the number is not 0 there.
        applied.unprivileged = !geteuid().is_root();
    }
    // The keeper is the parent, and has one thread, so this is about the keeper's end.
    set_pdeathsig(Signal::SIGKILL).map_err(|e| format!("end with the keeper: {e}"))?;
    set_no_new_privs().map_err(|e| format!("no new privileges: {e}"))?;
    if policy.confined {
        applied.landlock = fence::restrict(policy).map_err(|e| format!("landlock: {e}"))?;
        applied.seccomp = filter(policy, namespaces);
    }
    Ok(applied)
}

fn limit(policy: &Policy) -> nix::Result<()> {
    let limits = policy.limits;
    let cpu = limits.wall_millis.map(|millis| millis.div_ceil(1000) + 1);
    for (resource, bound) in [
        (Resource::RLIMIT_CORE, Some(0)),
        (Resource::RLIMIT_NOFILE, Some(1024)),
        (Resource::RLIMIT_CPU, cpu),
        (Resource::RLIMIT_AS, limits.memory),
        (Resource::RLIMIT_FSIZE, limits.file),
        (Resource::RLIMIT_NPROC, limits.processes),
    ] {
        if let Some(bound) = bound {
            setrlimit(resource, bound, bound)?;
        }
    }
    Ok(())
}

fn become_user(number: u32) -> nix::Result<()> {
    let (user, group) = (Uid::from_raw(number), Gid::from_raw(number));
    setgroups(&[])?;
    setresgid(group, group, group)?;
    setresuid(user, user, user)
}

/// Filters system calls. Without a process namespace nothing would end what a tool leaves behind,
/// so it may not start any process then; the smoke worker ends its own.
fn filter(policy: &Policy, namespaces: bool) -> bool {
    let calls = Calls {
        network: policy.network,
        processes: namespaces || policy.forks,
        signals: policy.forks,
        programs: true,
        user_namespace: policy.forks,
    };
    let program = calls::program(calls);
    program.is_some_and(|program| seccompiler::apply_filter(&program).is_ok())
}
