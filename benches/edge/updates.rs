//! Twenty versions of a bundle, delivered one after the other; after each the agents update, and the
//! other ways to send the same files are tried.

use std::path::{Path, PathBuf};

use crate::content::{Profile, VERSIONS};
use crate::machine::{Machine, Update};
use crate::peers::{Cost, NAMES, Peers};
use crate::place::{Place, Tenant, fresh};
use crate::served::Server;
use crate::stored::Stored;

/// How many versions the third agent leaves out.
const SKIPPED: usize = 5;

/// All that was seen.
pub(crate) struct Updates {
    /// The first install: with it, the server makes what agents ask for.
    pub(crate) install: Update,
    pub(crate) steps: Vec<Step>,
    /// Updates over five versions at once.
    pub(crate) jumps: Vec<Update>,
    /// What the blobs of the server take after the last version.
    pub(crate) stored: Stored,
    /// Bytes of casync's chunks.
    pub(crate) chunks: u64,
    /// Bytes of all zips.
    pub(crate) zips: u64,
}

/// One version more.
pub(crate) struct Step {
    /// The agent that asks first.
    pub(crate) first: Update,
    /// One that asks for the same after it.
    pub(crate) second: Update,
    pub(crate) peers: [Option<Cost>; NAMES.len()],
}

/// The versions of `profile` below `dir`. Returns what was seen, and the server that still runs.
pub(crate) fn run(
    profile: &Profile,
    dir: &Path,
    wheels: &Path,
) -> anyhow::Result<(Updates, Running)> {
    let dir = fresh(dir)?;
    let place = Place { data: dir.join("data"), wheels: wheels.to_owned() };
    let tenant = place.make()?;
    let server = place.start()?;
    let machine = |name: &str| Machine::new(dir.join(name), &server, &tenant);
    let [first, second, third] = [machine("first")?, machine("second")?, machine("third")?];
    let peers = Peers::new(dir.join("peers"), profile.is_small())?;
    let (mut install, mut steps, mut jumps, mut zips) = (None, Vec::new(), Vec::new(), 0);
    for (index, flow) in profile.versions()?.iter().enumerate() {
        eprintln!("{}: version {} of {VERSIONS}", profile.name, index + 1);
        tenant.deliver(&server, flow)?;
        let update = first.update(&server)?;
        let again = second.update(&server)?;
        let peers = peers.add(index + 1, &update.path)?;
        zips += update.zip;
        if index % SKIPPED == 0 {
            let jump = third.update(&server)?;
            jumps.extend((index > 0).then_some(jump));
        }
        if index == 0 {
            install = Some(update);
        } else {
            steps.push(Step { first: update, second: again, peers });
        }
    }
    let install = install.ok_or_else(|| anyhow::anyhow!("there are no versions"))?;
    let chunks = peers.stored_chunks()?;
    let updates = Updates { install, steps, jumps, stored: Stored::default(), chunks, zips };
    Ok((updates, Running { place, tenant, server }))
}

/// A server with the first two versions of `profile`, and the files of the second.
pub(crate) fn start(
    profile: &Profile,
    dir: &Path,
    wheels: &Path,
) -> anyhow::Result<(PathBuf, Running)> {
    let dir = fresh(dir)?;
    let place = Place { data: dir.join("data"), wheels: wheels.to_owned() };
    let tenant = place.make()?;
    let server = place.start()?;
    for flow in &profile.versions()?[..2] {
        tenant.deliver(&server, flow)?;
    }
    let files = Machine::new(dir.join("first"), &server, &tenant)?.update(&server)?.path;
    Ok((files, Running { place, tenant, server }))
}

/// A server with everything delivered.
pub(crate) struct Running {
    pub(crate) place: Place,
    pub(crate) tenant: Tenant,
    pub(crate) server: Server,
}

impl Running {
    /// Stops the server, and says what its blobs take.
    pub(crate) fn stop(self) -> anyhow::Result<Stored> {
        drop(self.server);
        self.place.stored()
    }
}
