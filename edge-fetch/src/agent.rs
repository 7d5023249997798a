//! What an enrolled agent does: check, fetch, apply.

use std::path::PathBuf;

use colophon_model::{Digest, FileSet, FlowId, TenantSlug, UnixMillis};
use colophon_trust::{EnvFile, EnvName, Role, TargetFile, TargetName, TrustedTargets};

use crate::activation::{Activation, FlowState};
use crate::attestation::Required;
use crate::clock;
use crate::download::Progress;
use crate::environment::Environments;
use crate::fetch::{Fetch, Fetched};
use crate::fork;
use crate::objects::Objects;
use crate::refresh::{self, Refresh};
use crate::removal;
use crate::sync::Ahead;
use crate::transport::Offline;
use crate::trial::Trials;
use crate::{Cache, EnvOffer, Error, Generation, Lock, Platform, Policy, Transport};

/// An enrolled agent at one moment, with its folder locked.
pub struct Agent<T> {
    pub(crate) cache: Cache,
    pub(crate) transport: Ahead<T>,
    tenant: TenantSlug,
    platform: Platform,
    policy: Policy,
    attestation: Option<Required>,
    delta: bool,
    sync: bool,
    offline: bool,
    now: UnixMillis,
    _lock: Lock,
}

/// A bundle that the tenant offers.
#[derive(Debug, Clone)]
pub struct Offer {
    /// Its name.
    pub name: TargetName,
    /// What is signed about it.
    pub file: TargetFile,
    /// The generation of the same flow that is active here.
    pub active: Option<Generation>,
    /// How the two compare.
    pub standing: Standing,
    /// How the flow's secrets compare.
    pub env: EnvOffer,
}

/// How an offered bundle compares with the active one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is the active one, whether or not its files were changed on disk.
    Current,
    /// It is newer, or none is active.
    Update,
    /// It failed here, and waits for one with a higher number.
    Refused,
    /// It does not run on this machine.
    Unsupported,
}

/// What became of one bundle. One that fails does not hold up the others.
#[derive(Debug)]
pub struct Outcome<R> {
    /// The bundle.
    pub offer: Offer,
    /// What was done.
    pub result: Result<R, Error>,
}

/// An active generation.
#[derive(Debug)]
pub struct Applied {
    /// Its name.
    pub generation: Generation,
    /// The folder that holds its files.
    pub path: PathBuf,
    /// Whether another one, or none, was active before. A repair counts: its files are elsewhere.
    pub changed: bool,
    /// Whether it is on trial, until `commit` or `rollback`.
    pub pending: bool,
    /// Whether its flow got other secrets, or lost them.
    pub env_changed: bool,
    /// How its files came.
    pub fetched: Option<Fetched>,
}

impl Agent<Offline> {
    /// Opens an enrolled folder without a way to any server: the stored metadata counts as the newest
    /// while it has not expired, and what is not here is [`Error::Absent`].
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub fn offline(cache: Cache, platform: Platform, now: UnixMillis) -> Result<Self, Error> {
        Ok(Self { offline: true, ..Self::open(cache, Offline, platform, now)? })
    }
}

impl<T: Transport> Agent<T> {
    /// Opens an enrolled folder. `now` decides what has expired; the transport is made for the
    /// tenant's URL.
    ///
    /// # Errors
    /// [`Error::NotEnrolled`], [`Error::Locked`] when another process works there, and when the keys of
    /// attestations that are required cannot be read.
    pub fn open(
        cache: Cache,
        transport: T,
        platform: Platform,
        now: UnixMillis,
    ) -> Result<Self, Error> {
        let tenant = cache.config()?.tenant;
        let lock = cache.lock()?;
        let (policy, attestation) = (Policy::default(), Required::of(&cache)?);
        let transport = Ahead::of(transport);
        let (delta, sync, offline) = (true, true, false);
        Ok(Self {
            cache,
            transport,
            tenant,
            platform,
            policy,
            attestation,
            delta,
            sync,
            offline,
            now,
            _lock: lock,
        })
    }

    /// Sets who decides whether a new generation stays. Without this it stays.
    #[must_use]
    pub fn with_policy(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// Sets whether a bundle may be told from the one that is here. Without this it may.
    #[must_use]
    pub fn with_delta(self, delta: bool) -> Self {
        Self { delta, ..self }
    }

    /// Lets go of the folder; the way to the server can be used on.
    pub fn close(self) -> T {
        self.transport.into_network()
    }

    /// Sets whether all may be asked for in one request. Without this it may.
    #[must_use]
    pub fn with_sync(self, sync: bool) -> Self {
        Self { sync, ..self }
    }

    /// Why asking for all in one request gave nothing, when it did; file by file was asked then.
    pub fn sync_problem(&self) -> Option<String> {
        self.transport.problem()
    }

    /// Refreshes the metadata and compares; changes nothing else. Sorted by name.
    ///
    /// # Errors
    /// Also [`Error::Rollback`] and [`Error::Fork`] when one offer contradicts what is active: then
    /// none of the metadata is believed. [`Error::Archived`] when the tenant has signed that it is.
    pub fn check(&self) -> Result<Vec<Offer>, Error> {
        self.offers(&[])
    }

    /// The same, asking also for what the bundles with these trees have become.
    fn offers(&self, trees: &[Digest]) -> Result<Vec<Offer>, Error> {
        let Self { cache, tenant, now, .. } = self;
        clock::check(cache, *now)?;
        let known = cache.metadata(Role::Targets)?;
        let targets = self.targets(trees)?;
        clock::remember(cache, *now)?;
        if targets.is_archived() {
            return Err(Error::Archived { tenant: tenant.clone(), removed: Vec::new() });
        }
        let env = |name| targets.envs().get(&EnvName::beside(name));
        let bundles = targets.bundles().iter();
        let offers = bundles.map(|(name, file)| self.compare(name, file, env(name))).collect();
        if let Err(Error::Fork { name, seq }) = &offers {
            fork::keep(cache, (name, *seq), known.as_deref(), targets.bytes())?;
        }
        offers
    }

    /// The newest targets: the server's, or those that are here.
    fn targets(&self, trees: &[Digest]) -> Result<TrustedTargets, Error> {
        let Self { cache, transport, tenant, now, .. } = self;
        if self.offline {
            return refresh::unrefreshed(cache, tenant, *now);
        }
        if self.sync {
            transport.ask(cache, trees, self.attestation.is_some());
        }
        Refresh { cache, transport, tenant, now: *now }.run()
    }

    fn compare(
        &self,
        name: &TargetName,
        file: &TargetFile,
        env: Option<&EnvFile>,
    ) -> Result<Offer, Error> {
        let state = self.state(name.flow())?;
        let standing = if self.platform.runs(&file.custom) {
            standing(name, &state, file)?
        } else {
            Standing::Unsupported
        };
        let active = state.current().map(|installed| installed.generation.clone());
        let env = Environments::of(&self.cache, name.flow()).compare(env)?;
        Ok(Offer { name: name.clone(), file: file.clone(), active, standing, env })
    }

    /// About how many bytes `offer` would cost, for one more request; `None` when nobody knows.
    pub fn estimate(&self, offer: &Offer) -> Option<u64> {
        let contents = offer.file.custom.contents();
        if Objects::of(&self.cache).bundle(&contents).ok()?.is_some() {
            return Some(0);
        }
        let pack = format!("pack/{}", contents.tree);
        let active = self.state(offer.name.flow()).ok()?.current().map(|installed| installed.tree);
        let delta = active.filter(|_| self.delta).and_then(|from| {
            self.transport.size(&format!("delta/{from}..{}", contents.tree)).ok().flatten()
        });
        delta.or_else(|| self.transport.size(&pack).ok().flatten())
    }

    /// Downloads and verifies bundles without unpacking them: of one flow, or all that run here.
    /// `progress` is told the bytes that are here and those there will be.
    ///
    /// # Errors
    /// What concerns all bundles; what concerns one is in its outcome.
    pub fn fetch(
        &self,
        flow: Option<&FlowId>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Vec<Outcome<Fetched>>, Error> {
        self.each(flow, |offer| self.fetch_one(offer, progress))
    }

    pub(crate) fn fetch_one(
        &self,
        offer: &Offer,
        progress: &mut Progress<'_>,
    ) -> Result<Fetched, Error> {
        self.environments(offer).fetch(&self.transport, &offer.env)?;
        Ok(self.download(offer, progress)?.1)
    }

    /// Downloads, verifies, unpacks and activates bundles: of one flow, or all that run here. Those of
    /// an archived tenant are removed, all of them.
    ///
    /// # Errors
    /// As for [`Self::fetch`].
    pub fn apply(
        &self,
        flow: Option<&FlowId>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Vec<Outcome<Applied>>, Error> {
        let outcomes = self.each(flow, |offer| {
            // First the secrets, which a new bundle may need; one that fails does not keep them back.
            let environments = self.environments(offer);
            environments.fetch(&self.transport, &offer.env)?;
            let env_changed = environments.install(&offer.env)?;
            self.trials().check_not_refused(&self.state(offer.name.flow())?, offer)?;
            let (files, fetched) = self.download(offer, progress)?;
            let applied = self.trials().install(offer, &files)?;
            Ok(Applied { fetched: Some(fetched), env_changed, ..applied })
        });
        match outcomes {
            Err(Error::Archived { tenant, .. }) => {
                Err(Error::Archived { tenant, removed: removal::remove_flows(&self.cache)? })
            }
            outcomes => outcomes,
        }
    }

    fn environments<'a>(&'a self, offer: &'a Offer) -> Environments<'a> {
        Environments::of(&self.cache, offer.name.flow())
    }

    fn trials(&self) -> Trials<'_> {
        Trials { cache: &self.cache, policy: &self.policy, now: self.now }
    }

    fn state(&self, flow: &FlowId) -> Result<FlowState, Error> {
        Activation::of(&self.cache, flow, self.now).state()
    }

    fn download(
        &self,
        offer: &Offer,
        progress: &mut Progress<'_>,
    ) -> Result<(FileSet, Fetched), Error> {
        let Self { cache, transport, attestation, delta, .. } = self;
        if let Some(required) = attestation {
            required.check(cache, transport, &offer.name, &offer.file)?;
        }
        let fetch = Fetch { cache, transport, name: &offer.name, file: &offer.file, delta: *delta };
        if self.offline { fetch.stored() } else { fetch.run(progress) }
    }

    /// Runs `work` on the bundles of `flow`, or all.
    fn each<R>(
        &self,
        flow: Option<&FlowId>,
        work: impl FnMut(&Offer) -> Result<R, Error>,
    ) -> Result<Vec<Outcome<R>>, Error> {
        let mut offers = self.offers_beside_bases(flow)?;
        if let Some(flow) = flow {
            offers.retain(|offer| offer.name.flow() == flow);
            if offers.is_empty() {
                return Err(Error::NoSuchFlow { flow: flow.clone() });
            }
        }
        self.each_of(offers, work)
    }

    /// Runs `work` on those of the offers that run here. That there are others only is an error.
    pub(crate) fn each_of<R>(
        &self,
        offers: Vec<Offer>,
        mut work: impl FnMut(&Offer) -> Result<R, Error>,
    ) -> Result<Vec<Outcome<R>>, Error> {
        let (offers, unsupported): (Vec<_>, Vec<_>) =
            offers.into_iter().partition(|offer| offer.standing != Standing::Unsupported);
        if let (true, Some(offer)) = (offers.is_empty(), unsupported.first()) {
            return Err(self.unsupported(offer));
        }
        let mut outcomes = Vec::new();
        for offer in offers {
            let result = work(&offer);
            let stop = result.as_ref().is_err_and(Error::concerns_all_bundles);
            outcomes.push(Outcome { offer, result });
            if stop {
                break;
            }
        }
        Ok(outcomes)
    }

    /// All offers, asking also for what is active of `flow`, or of all, has become.
    pub(crate) fn offers_beside_bases(&self, flow: Option<&FlowId>) -> Result<Vec<Offer>, Error> {
        self.offers(&self.bases(flow)?)
    }

    /// The trees of what is active of `flow`, or of all, when bundles may be told from them.
    fn bases(&self, flow: Option<&FlowId>) -> Result<Vec<Digest>, Error> {
        if !(self.delta && self.sync) {
            return Ok(Vec::new());
        }
        let flows = flow.map_or_else(|| self.cache.flows(), |flow| Ok(vec![flow.clone()]))?;
        // A state that cannot be read stops its own flow later, and no other.
        let states = flows.iter().filter_map(|flow| self.state(flow).ok());
        Ok(states.filter_map(|state| Some(state.current()?.tree)).collect())
    }

    fn unsupported(&self, offer: &Offer) -> Error {
        let facts = &offer.file.custom;
        let wants = format!("{}/{}", facts.os.join(","), facts.cpu_arch.join(","));
        Error::Unsupported { name: offer.name.clone(), wants, here: self.platform.to_string() }
    }
}

/// Compares sequence numbers with all that was ever taken here, on trial and refused ones too; a
/// higher version string does not make up for a lower number.
fn standing(name: &TargetName, state: &FlowState, file: &TargetFile) -> Result<Standing, Error> {
    let (seq, tree) = (file.custom.seq, file.custom.tree);
    let pending = state.pending.as_ref().map(|pending| &pending.installed);
    let installed = state.active.iter().chain(pending);
    let installed = installed.map(|one| (one.generation.seq(), one.tree));
    for (known, files) in installed.chain(state.bad.iter().map(|bad| (bad.seq, bad.tree))) {
        if seq < known {
            return Err(Error::Rollback { name: name.clone(), active: known, offered: seq });
        }
        if seq == known && tree != files {
            return Err(Error::Fork { name: name.clone(), seq });
        }
    }
    let current = state.current().is_some_and(|now| now.generation.seq() == seq);
    Ok(match state.refuses(seq, &tree) {
        _ if current => Standing::Current,
        Some(_) => Standing::Refused,
        None => Standing::Update,
    })
}

#[cfg(test)]
mod tests {
    use colophon_model::{EdgeRuntime, Sha256};
    use colophon_trust::limits::{MAX_FILES, MAX_UNPACKED, MAX_ZIP};
    use colophon_trust::{BundleFacts, Channel, FactsSchema};

    use super::*;
    use crate::{Config, Exit, NetworkError, Response, Resume};

    /// A network that must not be used.
    struct NoNetwork;

    impl Transport for NoNetwork {
        fn get(&self, path: &str, _: Option<&Resume>) -> Result<Response, NetworkError> {
            panic!("asked for {path}");
        }
    }

    fn agent(dir: &std::path::Path) -> Agent<NoNetwork> {
        let cache = Cache::new(dir);
        let (url, tenant) = ("http://localhost".parse().unwrap(), "acme".parse().unwrap());
        std::fs::create_dir_all(dir).unwrap();
        cache
            .write_config(&Config { url, tenant, token_file: None, device: None, name: None })
            .unwrap();
        Agent::open(cache, NoNetwork, Platform::current(), UnixMillis::new(0)).unwrap()
    }

    /// Whatever is asked of an agent that is offline, it does not ask anybody: this transport would end the
    /// test.
    #[test]
    fn offline_asks_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let agent = Agent { offline: true, ..agent(dir.path()) };
        let absent = |error: Error| matches!(error, Error::Absent { .. });
        assert!(absent(agent.check().unwrap_err()));
        assert!(absent(agent.fetch(None, &mut |_, _| {}).unwrap_err()));
        let digest = Digest::of(b"").to_string().parse().unwrap();
        assert!(absent(agent.fetch_exactly(None, &digest, &mut |_, _| {}).unwrap_err()));
        let error = agent.download(&offer(1, 1, 1), &mut |_, _| {}).unwrap_err();
        assert!(error.to_string().contains("the list of its files"), "{error}");
        assert_eq!(error.exit(), Exit::NotFound);
    }

    fn offer(length: u64, unpacked: u64, files: u64) -> Offer {
        let custom = BundleFacts {
            schema: FactsSchema,
            slug: "acme".parse().unwrap(),
            flow: "order".parse().unwrap(),
            channel: Channel::Stable,
            version: "1.0.1".to_owned(),
            seq: 1,
            runtime: EdgeRuntime::Python,
            os: vec![],
            cpu_arch: vec![],
            requirements: vec![],
            tree: Digest::of(b""),
            unpacked,
            files,
            min_seq: None,
            attestation: None,
        };
        let name = custom.target_name();
        let file = TargetFile { length, sha256: Sha256::of(b""), custom };
        Offer { name, file, active: None, standing: Standing::Update, env: EnvOffer::None }
    }

    /// The limits hold even for what is correctly signed, and before the first request.
    #[test]
    fn bundles_over_a_limit_are_not_downloaded() {
        let dir = tempfile::tempdir().unwrap();
        let agent = agent(dir.path());
        for offer in
            [offer(MAX_ZIP + 1, 1, 1), offer(1, MAX_UNPACKED + 1, 1), offer(1, 1, MAX_FILES + 1)]
        {
            let error = agent.download(&offer, &mut |_, _| {}).unwrap_err();
            assert_eq!(error.exit(), Exit::TooLarge, "{error}");
        }
    }
}
