//! Deaths, power cuts and full disks at every step of an apply. Only for tests.

pub(crate) mod power;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, Cursor, Write};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use colophon_model::{
    Artifact, EdgeRuntime, FileMode, FileSet, FlowId, Sha256, TenantUid, UnixMillis,
};
use colophon_trust::{
    BundleFacts, Channel, FactsSchema, Seed, TargetFile, TenantKeys, initial_root, publish,
};

use self::power::Loss;
use crate::removal::remove_flows;
use crate::{
    Agent, Cache, Config, Error, Exit, FolderTransport, Generation, Health, NetworkError, Platform,
    Policy, Response, Resume, Transport, enroll, flow_state, verify,
};

/// What happens to steps on the disk.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    None,
    /// This many work, and then none does: what is on the disk is what a kill leaves.
    Kill(u32),
    /// This many work, then the disk is full for all that need space.
    Full(u32),
}

thread_local! {
    static FAULT: Cell<Fault> = const { Cell::new(Fault::None) };
}

/// Called before each step; `grows` when it needs space.
pub(crate) fn step(grows: bool) -> io::Result<()> {
    FAULT.with(|fault| {
        let (next, result) = match fault.get() {
            Fault::None => (Fault::None, Ok(())),
            Fault::Kill(0) => (Fault::Kill(0), Err(io::Error::other("killed"))),
            Fault::Kill(left) => (Fault::Kill(left - 1), Ok(())),
            Fault::Full(0) if grows => (Fault::Full(0), Err(io::ErrorKind::StorageFull.into())),
            Fault::Full(0) => (Fault::Full(0), Ok(())),
            Fault::Full(left) => (Fault::Full(left - 1), Ok(())),
        };
        fault.set(next);
        result
    })
}

const NOW: UnixMillis = UnixMillis::new(1_800_000_000_000);

fn flow() -> FlowId {
    "order".parse().unwrap()
}

fn tenant_keys() -> TenantKeys {
    TenantKeys::derive(&Seed::new([7; 32]), TenantUid::from_bytes([9; 16]))
}

/// Writes version `seq` of the tenant's repository, whose bundle says `word` in two files.
fn publish_to(folder: &Path, keys: &TenantKeys, seq: u64, word: &str) {
    let paths = ["a.py", "z/b.py"];
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for path in paths {
        zip.start_file(path, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(word.as_bytes()).unwrap();
    }
    let zip = zip.finish().unwrap().into_inner();
    let artifact = || Artifact::new(FileMode::Regular, word.as_bytes().to_vec());
    let files = paths.map(|path| (path.parse().unwrap(), artifact()));
    let files = FileSet::new(files.into()).unwrap();
    let custom = BundleFacts {
        schema: FactsSchema,
        slug: "acme".parse().unwrap(),
        flow: flow(),
        channel: Channel::Stable,
        version: format!("1.0.{seq}"),
        seq,
        runtime: EdgeRuntime::Python,
        os: vec![std::env::consts::OS.to_owned()],
        cpu_arch: vec![std::env::consts::ARCH.to_owned()],
        requirements: vec![],
        tree: files.tree().digest(),
        unpacked: files.total_size(),
        files: files.len() as u64,
        min_seq: None,
        attestation: None,
    };
    let file = TargetFile { length: zip.len() as u64, sha256: Sha256::of(&zip), custom };
    let name = file.custom.target_name();
    std::fs::create_dir_all(folder.join("targets")).unwrap();
    std::fs::create_dir_all(folder.join("tuf")).unwrap();
    std::fs::write(folder.join("targets").join(name.file_name(&file.sha256)), zip).unwrap();
    let targets = BTreeMap::from([(name, file)]);
    let version = NonZeroU64::new(seq).unwrap();
    for (name, bytes) in publish(keys, version, &targets, NOW).unwrap().files {
        std::fs::write(folder.join("tuf").join(name), bytes).unwrap();
    }
}

/// A folder with ETags, so that downloads can be continued and what that needs is written down.
struct Tagged(FolderTransport);

impl Transport for Tagged {
    fn get(&self, path: &str, _: Option<&Resume>) -> Result<Response, NetworkError> {
        let etag = Some("\"tag\"".to_owned());
        Ok(Response { etag, ..self.0.get(path, None)? })
    }
}

/// An agent on version 1, and a repository at version 2.
struct World {
    dir: tempfile::TempDir,
    policy: Policy,
}

impl World {
    fn new(policy: Policy) -> Self {
        let world = Self::enrolled(policy);
        world.apply().unwrap();
        assert_eq!(world.word(), "one");
        publish_to(&world.repository(), &tenant_keys(), 2, "two");
        world
    }

    /// An agent that has nothing, and a repository at version 1.
    fn enrolled(policy: Policy) -> Self {
        let world = Self { dir: tempfile::tempdir().unwrap(), policy };
        publish_to(&world.repository(), &tenant_keys(), 1, "one");
        world.enroll().unwrap();
        world
    }

    fn enroll(&self) -> Result<(), Error> {
        let (url, tenant) = ("http://localhost".parse().unwrap(), "acme".parse().unwrap());
        let root = initial_root(&tenant_keys(), &tenant, NOW);
        let config = Config { url, tenant, token_file: None, device: None, name: None };
        enroll(&self.cache(), config, &root).map(drop)
    }

    fn repository(&self) -> PathBuf {
        self.dir.path().join("repository")
    }

    fn cache(&self) -> Cache {
        Cache::new(self.dir.path().join("agent"))
    }

    fn apply(&self) -> Result<(), Error> {
        let transport = Tagged(FolderTransport::new(self.repository())?);
        let agent = Agent::open(self.cache(), transport, Platform::current(), NOW)?;
        let outcomes = agent.with_policy(self.policy.clone()).apply(None, &mut |_, _| {})?;
        outcomes.into_iter().try_for_each(|outcome| outcome.result.map(drop))
    }

    /// Applies while `fault` holds; whether it came to its end.
    fn apply_with(&self, fault: Fault) -> Result<(), Error> {
        FAULT.set(fault);
        let result = self.apply();
        FAULT.set(Fault::None);
        result
    }

    /// What somebody finds who follows the pointer: one version, whole.
    fn word(&self) -> String {
        let folder = self.cache().flow(&flow());
        let current = std::fs::read_to_string(folder.join("current")).unwrap();
        let generation: Generation = current.trim_end().parse().unwrap();
        let read =
            |path| std::fs::read_to_string(folder.join(generation.to_string()).join(path)).unwrap();
        assert_eq!(read("a.py"), read("z/b.py"));
        read("a.py")
    }
}

/// Applies with a fault at every step in turn, until one apply has no more steps than that. After
/// each, the old version is there or the new one, and the next run gets to the new one. Returns how
/// many steps there were.
fn at_every_step(policy: &Policy, fault: fn(u32) -> Fault, exit: Option<Exit>) -> u32 {
    for step in 0..500 {
        let world = World::new(policy.clone());
        let ended = world.apply_with(fault(step));
        assert!(["one", "two"].contains(&world.word().as_str()), "step {step}");
        if ended.is_ok() && step > 0 {
            assert_eq!(world.word(), "two");
            return step;
        }
        if let (Err(error), Some(exit)) = (&ended, exit) {
            assert_eq!(error.exit(), exit, "step {step}: {error}");
        }
        world.apply().unwrap_or_else(|error| panic!("after step {step}: {error}"));
        assert_eq!(world.word(), "two", "after step {step}");
        verify(&world.cache(), &flow()).unwrap();
        let state = flow_state(&world.cache(), &flow()).unwrap();
        assert!(state.pending.is_none() && state.bad.is_empty(), "step {step}: {state:?}");
        assert_eq!(state.active.unwrap().generation.seq(), 2);
    }
    panic!("an apply does not have that many steps");
}

/// a process that dies leaves the old version or the new one, and never none.
#[test]
fn a_kill_at_every_step_leaves_a_whole_version() {
    let steps = at_every_step(&Policy::default(), Fault::Kill, None);
    assert!(steps > 60, "{steps} steps: the hook is no longer where the work is done");
}

/// The same while a health command decides; what was cut off is decided by the next run.
#[cfg(unix)]
#[test]
fn a_kill_at_every_step_of_a_trial_leaves_a_whole_version() {
    let health = Health::new(&["true".to_owned()], None);
    let policy = Policy { health, ..Policy::default() };
    at_every_step(&policy, Fault::Kill, None);
}

/// a disk that is full is told as such (14), and the next run with space ends what was begun.
#[test]
fn a_full_disk_at_every_step_leaves_a_whole_version() {
    at_every_step(&Policy::default(), Fault::Full, Some(Exit::DiskFull));
}

/// What is done with what a cut leaves: so many ways, or as many as `COLOPHON_POWER_LOSSES` says.
const LOSSES: u64 = 4;

fn losses(step: u32) -> impl Iterator<Item = Loss> {
    let wanted = std::env::var("COLOPHON_POWER_LOSSES").ok().and_then(|count| count.parse().ok());
    let drawn =
        (2..wanted.unwrap_or(LOSSES)).map(move |turn| Loss::Drawn(u64::from(step) << 8 | turn));
    [Loss::Everything, Loss::Contents].into_iter().chain(drawn)
}

/// Cuts the power before every step of `work` in turn and once after the last, with every loss; `check`
/// sees what is left, and whether `work` had come to its end. Returns how many steps there were.
fn cut_at_every_step(
    world: impl Fn() -> World,
    work: impl Fn(&World) -> Result<(), Error>,
    check: impl Fn(&World, bool, &str),
) -> u32 {
    for step in 0..500 {
        let world = world();
        power::watch(world.cache().dir());
        FAULT.set(Fault::Kill(step));
        let ended = work(&world).is_ok();
        FAULT.set(Fault::None);
        let record = power::cut();
        for loss in losses(step) {
            record.leave(loss);
            check(&world, ended, &format!("step {step}, {loss:?}"));
        }
        if ended {
            return step;
        }
    }
    panic!("it does not have that many steps");
}

/// Whatever was done and not synced is lost or not: the old version is there or the new one, whole; what
/// an apply said it did is done; and the next run gets to the new one.
fn a_cut_leaves_a_whole_version(policy: &Policy) -> u32 {
    let check = |world: &World, ended: bool, at: &str| {
        let word = world.word();
        assert!(word == "two" || !ended && word == "one", "{word} after {at}");
        world.apply().unwrap_or_else(|error| panic!("after {at}: {error}"));
        assert_eq!(world.word(), "two", "after {at}");
        verify(&world.cache(), &flow()).unwrap();
        let state = flow_state(&world.cache(), &flow()).unwrap();
        assert!(state.pending.is_none() && state.bad.is_empty(), "{at}: {state:?}");
    };
    cut_at_every_step(|| World::new(policy.clone()), World::apply, check)
}

/// a power cut leaves the old version or the new one, with all that was not synced gone as well.
#[test]
fn a_power_cut_at_every_step_leaves_a_whole_version() {
    let steps = a_cut_leaves_a_whole_version(&Policy::default());
    assert!(steps > 60, "{steps} steps: the hook is no longer where the work is done");
}

/// The same while a health command decides.
#[cfg(unix)]
#[test]
fn a_power_cut_at_every_step_of_a_trial_leaves_a_whole_version() {
    let health = Health::new(&["true".to_owned()], None);
    a_cut_leaves_a_whole_version(&Policy { health, ..Policy::default() });
}

/// A first apply that was cut is begun again and comes to its end.
#[test]
fn a_power_cut_at_every_step_of_the_first_apply_is_recovered_from() {
    let check = |world: &World, ended: bool, at: &str| {
        if ended {
            assert_eq!(world.word(), "one", "after {at}");
        }
        world.apply().unwrap_or_else(|error| panic!("after {at}: {error}"));
        assert_eq!(world.word(), "one", "after {at}");
        verify(&world.cache(), &flow()).unwrap();
    };
    cut_at_every_step(|| World::enrolled(Policy::default()), World::apply, check);
}

/// What an archived tenant had goes; a cut on the way leaves no pointer to what is half gone, and a tenant that is
/// restored is followed.
#[test]
fn a_power_cut_at_every_step_of_a_removal_leaves_nothing_half_removed() {
    let check = |world: &World, ended: bool, at: &str| {
        let is_there = world.cache().flow(&flow()).join("current").exists();
        assert!(!is_there || !ended && world.word() == "one", "after {at}");
        world.apply().unwrap_or_else(|error| panic!("after {at}: {error}"));
        assert_eq!(world.word(), "two", "after {at}");
        verify(&world.cache(), &flow()).unwrap();
    };
    let work = |world: &World| remove_flows(&world.cache()).map(drop);
    cut_at_every_step(|| World::new(Policy::default()), work, check);
}

/// What changes the disk goes through `disk`, where the faults are; the lock's file apart, which holds
/// nothing.
#[test]
fn no_file_changes_the_disk_by_itself() {
    let words =
        ["fs::write", "File::create", "OpenOptions", "fs::rename", "fs::remove", "fs::create"];
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in std::fs::read_dir(sources).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() || path.ends_with("disk.rs") || path.ends_with("faults.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        let found: Vec<_> = words.iter().filter(|word| code.contains(**word)).collect();
        assert!(found.is_empty(), "{}: {found:?}", path.display());
    }
}
