//! Which system calls a confined program may make: all that it needs, and none that leads out.
//!
//! What is refused fails with `EPERM`, so that a program can say so. Calls newer than this list fail
//! with `ENOSYS`, as on an older kernel; programs know how to do without.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};

/// What a program is allowed beyond the ordinary.
#[expect(
    clippy::struct_excessive_bools,
    reason = "five things that have nothing to do with each other"
)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Calls {
    /// Sockets.
    pub(super) network: bool,
    /// New processes. Threads are always allowed.
    pub(super) processes: bool,
    /// Signals to other processes.
    pub(super) signals: bool,
    /// Other programs.
    pub(super) programs: bool,
    /// A user namespace of its own, and nothing else that is new.
    pub(super) user_namespace: bool,
}

/// The first call that is not in this list: Linux 6.10 ended with `mseal`, 462. Numbers from here on
/// are the same on every machine. The second interface of x86-64 (x32) lies far above.
const FIRST_UNKNOWN: u32 = 463;

/// Ways out of the sandbox, or to harm beyond it, whoever asks.
const NEVER: &[i64] = &[
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_setpriority,
    libc::SYS_ioprio_set,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setattr,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    // File systems and namespaces.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_chroot,
    libc::SYS_setns,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_quotactl,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_fanotify_init,
    // Landlock does not keep from watching: it would tell the names of files that cannot be opened.
    libc::SYS_inotify_init1,
    libc::SYS_inotify_add_watch,
    // What landlock does not see: owners, modes, times, attributes, lengths by path.
    libc::SYS_truncate,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchmodat2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_mknodat,
    libc::SYS_utimensat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    // Ways around this filter, and doors into the kernel.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_personality,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    // What outlives a process, or holds memory that its limits do not count.
    libc::SYS_memfd_create,
    libc::SYS_memfd_secret,
    libc::SYS_shmget,
    libc::SYS_msgget,
    libc::SYS_semget,
    libc::SYS_mq_open,
];

/// The same on machines that still have calls without a folder to begin from.
#[cfg(target_arch = "x86_64")]
const NEVER_OLD: &[i64] = &[
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_mknod,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
    libc::SYS_inotify_init,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
];
#[cfg(not(target_arch = "x86_64"))]
const NEVER_OLD: &[i64] = &[];

const SIGNALS: &[i64] = &[
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_tgkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
];

#[cfg(target_arch = "x86_64")]
const PROCESSES: &[i64] = &[libc::SYS_fork, libc::SYS_vfork];
#[cfg(not(target_arch = "x86_64"))]
const PROCESSES: &[i64] = &[];

const PROGRAMS: &[i64] = &[libc::SYS_execve, libc::SYS_execveat];

/// Commands of `fcntl` by which the kernel sends a signal of one's choice to a process of one's choice
/// (fcntl_setown(2)), which `kill` is refused for.
const OWNERS: &[libc::c_int] = &[libc::F_SETOWN, F_SETSIG, F_SETOWN_EX];
/// `F_SETSIG` and `F_SETOWN_EX` of `<bits/fcntl-linux.h>`.
const F_SETSIG: libc::c_int = 10;
const F_SETOWN_EX: libc::c_int = 15;

/// Commands of `ioctl` that do the same, and what a terminal would take for typed: `FIOSETOWN`, `SIOCSPGRP`, `TIOCSTI`.
const CONTROLS: &[u64] = &[0x8901, 0x8902, libc::TIOCSTI];

/// New namespaces, which `clone` can make too.
const NAMESPACES: &[libc::c_int] = &[
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// The filter as a program for the kernel. `None`: there is none for this machine.
pub(super) fn program(calls: Calls) -> Option<BpfProgram> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).ok()?;
    let refuse = SeccompAction::Errno(libc::EPERM as u32);
    let filter = SeccompFilter::new(rules(calls)?, SeccompAction::Allow, refuse, arch).ok()?;
    let checked: BpfProgram = filter.try_into().ok()?;
    Some(newer_calls().into_iter().chain(checked).collect())
}

/// `ENOSYS` for what is not in the list, and for `clone3`, whose flags a filter cannot see: the C
/// library then uses `clone`.
fn newer_calls() -> [sock_filter; 5] {
    let load_number = sock_filter { code: 0x20, jt: 0, jf: 0, k: 0 };
    let is_newer = sock_filter { code: 0x35, jt: 1, jf: 0, k: FIRST_UNKNOWN };
    let is_clone3 = sock_filter { code: 0x15, jt: 0, jf: 1, k: libc::SYS_clone3 as u32 };
    let k = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
    let no_such_call = sock_filter { code: 0x06, jt: 0, jf: 0, k };
    // Falls through to the rest. The kernel wants no empty jump, so this one does nothing.
    let go_on = sock_filter { code: 0x05, jt: 0, jf: 0, k: 0 };
    [load_number, is_newer, is_clone3, no_such_call, go_on]
}

/// Calls that are refused: always, or when one of the rules holds.
fn rules(calls: Calls) -> Option<BTreeMap<i64, Vec<SeccompRule>>> {
    let mut refused: Vec<&[i64]> = vec![NEVER, NEVER_OLD];
    let groups = [
        (calls.signals, SIGNALS),
        (calls.processes, PROCESSES),
        (calls.programs, PROGRAMS),
        (calls.network, &[libc::SYS_socket]),
    ];
    refused.extend(groups.iter().filter(|(allowed, _)| !allowed).map(|(_, group)| *group));
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        refused.concat().into_iter().map(|call| (call, Vec::new())).collect();
    // Limits and processors of other processes.
    rules.insert(libc::SYS_prlimit64, vec![rule(0, SeccompCmpOp::Ne, 0)?]);
    rules.insert(libc::SYS_sched_setaffinity, vec![rule(0, SeccompCmpOp::Ne, 0)?]);
    rules.insert(libc::SYS_clone, clone_rules(calls)?);
    let command = |command: u64| word(1, SeccompCmpOp::Eq, command);
    let controls = CONTROLS.iter().copied().map(command).collect::<Option<_>>()?;
    rules.insert(libc::SYS_ioctl, controls);
    let owners = OWNERS.iter().map(|owner| command(u64::from(owner.cast_unsigned())));
    rules.insert(libc::SYS_fcntl, owners.collect::<Option<_>>()?);
    let user = u64::from(libc::CLONE_NEWUSER.cast_unsigned());
    let others =
        if calls.user_namespace { vec![rule(0, SeccompCmpOp::Ne, user)?] } else { Vec::new() };
    rules.insert(libc::SYS_unshare, others);
    Some(rules)
}

fn clone_rules(calls: Calls) -> Option<Vec<SeccompRule>> {
    let flags = NAMESPACES.iter().map(|flag| u64::from(flag.cast_unsigned()));
    let rules = flags.map(|flag| rule(0, SeccompCmpOp::MaskedEq(flag), flag));
    let mut rules = rules.collect::<Option<Vec<_>>>()?;
    if !calls.processes {
        let thread = u64::from(libc::CLONE_THREAD.cast_unsigned());
        rules.push(rule(0, SeccompCmpOp::MaskedEq(thread), 0)?);
    }
    Some(rules)
}

fn rule(argument: u8, operator: SeccompCmpOp, value: u64) -> Option<SeccompRule> {
    compare(argument, SeccompCmpArgLen::Qword, operator, value)
}

/// Of an argument of which the kernel takes 32 bits: whatever stands in the others must not lead past the rule.
fn word(argument: u8, operator: SeccompCmpOp, value: u64) -> Option<SeccompRule> {
    compare(argument, SeccompCmpArgLen::Dword, operator, value)
}

fn compare(
    argument: u8,
    length: SeccompCmpArgLen,
    operator: SeccompCmpOp,
    value: u64,
) -> Option<SeccompRule> {
    let condition = SeccompCondition::new(argument, length, operator, value);
    SeccompRule::new(vec![condition.ok()?]).ok()
}
