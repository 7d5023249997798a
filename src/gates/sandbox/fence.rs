//! Which files a confined program may read and write: landlock.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, LandlockStatus, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use super::Policy;

/// What every program needs: the system's programs and libraries, and a few files without secrets.
const SYSTEM: &[&str] = &[
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/bin",
    "/sbin",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/alternatives",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/ssl/openssl.cnf",
    "/etc/ssl/certs",
    "/dev/urandom",
    "/dev/random",
    "/dev/zero",
];

/// What name resolution needs, when there is a network.
const NETWORK: &[&str] = &["/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"];

/// What the smoke worker reads before it forks: its own sizes. Its children cannot.
const WORKER: &[&str] = &["/proc"];

/// The newest version that this list of rights was written for.
const NEWEST: ABI = ABI::V6;

/// Everything that is readable under `policy`. What does not exist is left out.
pub(super) fn readable(policy: &Policy) -> Vec<PathBuf> {
    let mut paths: Vec<&str> = SYSTEM.to_vec();
    paths.extend(NETWORK.iter().filter(|_| policy.network));
    paths.extend(WORKER.iter().filter(|_| policy.forks));
    let listed = policy.read.iter().cloned();
    paths.into_iter().map(PathBuf::from).chain(listed).filter(|path| path.exists()).collect()
}

/// Fences the calling process in. Returns the version of landlock that does it; `None` when the
/// kernel has none.
pub(super) fn restrict(policy: &Policy) -> Result<Option<u32>, RulesetError> {
    let all = AccessFs::from_all(NEWEST);
    let mut ruleset = Ruleset::default().handle_access(all)?.scope(Scope::from_all(NEWEST))?;
    if !policy.network {
        ruleset = ruleset.handle_access(AccessNet::from_all(NEWEST))?;
    }
    let read: BitFlags<AccessFs> = AccessFs::from_read(NEWEST);
    let device = read | AccessFs::WriteFile;
    let status = ruleset
        .create()?
        .add_rules(path_beneath_rules(readable(policy), read))?
        .add_rules(path_beneath_rules([Path::new("/dev/null")], device))?
        .add_rules(path_beneath_rules(&policy.write, all))?
        .restrict_self()?;
    Ok(match (status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, _) => None,
        (_, LandlockStatus::Available { effective_abi, .. }) => Some(effective_abi as u32),
        _ => None,
    })
}
