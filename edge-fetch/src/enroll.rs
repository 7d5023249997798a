//! Enrolment and status: what needs no server.

use colophon_model::{Digest, FlowId};
use colophon_trust::attest::PublicKey;
use colophon_trust::{Role, RootChain};

use crate::activation::flow_state;
use crate::attestation;
use crate::generation::Generations;
use crate::refresh;
use crate::{Cache, Config, DeviceKey, Error, Generation};

/// What enrolment did.
#[derive(Debug)]
pub struct Enrolled {
    /// What was written down.
    pub config: Config,
    /// Where the tenant's root keys were made; `server` is worth telling the user.
    pub roots: String,
    /// For whom to encrypt what only this machine is to read.
    pub recipient: String,
}

/// Pins `root` for the tenant of `config`. Trust starts here: the file must come from somewhere
/// else than the network path that it is to protect.
///
/// # Errors
/// When the folder is enrolled already, or `root` is not a root of this tenant.
pub fn enroll(cache: &Cache, config: Config, root: &[u8]) -> Result<Enrolled, Error> {
    enroll_attested(cache, config, root, &[])
}

/// As [`enroll`]; from then on no bundle is taken that was not attested with all of `keys`.
///
/// # Errors
/// As for [`enroll`].
pub fn enroll_attested(
    cache: &Cache,
    config: Config,
    root: &[u8],
    keys: &[PublicKey],
) -> Result<Enrolled, Error> {
    let _lock = cache.lock()?;
    if let Some(Config { tenant, .. }) = cache.find_config()? {
        return Err(Error::AlreadyEnrolled { dir: cache.dir().to_owned(), tenant });
    }
    let roots = RootChain::pinned(root, &config.tenant)?.made_on().to_owned();
    attestation::pin(cache, keys)?;
    cache.store_metadata(Role::Root, root)?;
    let recipient = DeviceKey::find_or_make(cache)?.recipient();
    cache.write_config(&config)?;
    Ok(Enrolled { config, roots, recipient })
}

/// What is known without asking the server.
#[derive(Debug)]
pub struct Status {
    /// Server and tenant.
    pub config: Config,
    /// Where the tenant's root keys were made.
    pub roots: String,
    /// Whether the newest metadata that was verified here says that the tenant is archived.
    pub archived: bool,
    /// The flows that have an active bundle, by name.
    pub flows: Vec<FlowStatus>,
}

/// One flow's active bundle.
#[derive(Debug)]
pub struct FlowStatus {
    /// The flow.
    pub flow: FlowId,
    /// Its active generation.
    pub generation: Generation,
    /// The signed digest of its files; none when `state.json` is about another one.
    pub tree: Option<Digest>,
    /// The folder that holds its files.
    pub path: std::path::PathBuf,
}

/// Reads the folder. Takes no lock: everything it reads is replaced as a whole.
///
/// # Errors
/// [`Error::NotEnrolled`], or when the folder cannot be read.
pub fn status(cache: &Cache) -> Result<Status, Error> {
    let config = cache.config()?;
    let root = cache.metadata(Role::Root)?;
    let root = root.ok_or_else(|| Error::NotEnrolled { dir: cache.dir().to_owned() })?;
    let roots = RootChain::pinned(&root, &config.tenant)?.made_on().to_owned();
    let mut flows = Vec::new();
    for flow in cache.flows()? {
        let generations = Generations::of(cache, &flow);
        if let Some(generation) = generations.active()? {
            let path = generations.path(&generation);
            let state = flow_state(cache, &flow).unwrap_or_default();
            let installed = state.installed().find(|one| one.generation == generation);
            let tree = installed.map(|installed| installed.tree);
            flows.push(FlowStatus { flow, generation, tree, path });
        }
    }
    let archived = refresh::stored(cache)?.is_some_and(|targets| targets.is_archived());
    Ok(Status { config, roots, archived, flows })
}
