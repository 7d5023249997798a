//! From files in memory to an active generation: place, try out, commit or go back.

use std::collections::BTreeMap;

use colophon_model::{FileSet, FlowId, UnixMillis};

use crate::activation::{Activation, FlowState, Installed, Pending};
use crate::agent::{Applied, Offer};
use crate::generation::Generations;
use crate::{Cache, Error, Generation, Health, Lock, Unhealthy};

/// Who decides whether a new generation stays. By default it stays.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// It is on trial until somebody commits or rolls back.
    pub no_commit: bool,
    /// Take bundles that failed here before once more.
    pub again: bool,
    /// The command that decides for every flow.
    pub health: Option<Health>,
    /// The command that decides for one flow, where there is none for every.
    pub flows: BTreeMap<FlowId, Health>,
}

impl Policy {
    fn health(&self, flow: &FlowId) -> Option<&Health> {
        self.health.as_ref().or_else(|| self.flows.get(flow))
    }
}

/// How often a health command is started for one generation when runs are cut off.
const TRIALS: u32 = 3;

/// Changes the flows of a folder that this process has locked.
pub(crate) struct Trials<'a> {
    pub(crate) cache: &'a Cache,
    pub(crate) policy: &'a Policy,
    pub(crate) now: UnixMillis,
}

impl Trials<'_> {
    /// Puts the bundle's files in place and makes them active, on trial where the policy says so.
    pub(crate) fn install(&self, offer: &Offer, files: &FileSet) -> Result<Applied, Error> {
        let facts = &offer.file.custom;
        let mut state = self.resolve(&facts.flow)?;
        let activation = Activation::of(self.cache, &facts.flow, self.now);
        activation.raise_floor(&mut state, facts.min_seq.unwrap_or(0))?;
        self.check_not_refused(&state, offer)?;
        let generations = Generations::of(self.cache, &facts.flow);
        let generation = generations.place(&Generation::of(facts), files)?;
        let changed = state.current().is_none_or(|current| current.generation != generation);
        if changed {
            let installed =
                Installed { generation: generation.clone(), tree: facts.tree, since: self.now };
            self.switch(&activation, &mut state, installed)?;
        }
        generations.drop_damaged(&generation)?;
        let path = generations.path(&generation);
        let pending = state.pending.is_some();
        Ok(Applied { generation, path, changed, pending, env_changed: false, fetched: None })
    }

    /// Refuses what failed here before.
    pub(crate) fn check_not_refused(&self, state: &FlowState, offer: &Offer) -> Result<(), Error> {
        let facts = &offer.file.custom;
        match state.refuses(facts.seq, &facts.tree) {
            Some(bad) if !self.policy.again => {
                Err(Error::Refused { name: offer.name.clone(), reason: bad.reason.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Ends what an earlier run began. A trial that was cut off is run again; what comes of it is in
    /// the state.
    pub(crate) fn resolve(&self, flow: &FlowId) -> Result<FlowState, Error> {
        let activation = Activation::of(self.cache, flow, self.now);
        let mut state = activation.recover()?;
        let Some(Pending { installed, trials: cut_off @ 1.. }) = state.pending.clone() else {
            return Ok(state);
        };
        let ended = match self.policy.health(flow) {
            None => activation.commit(&mut state).map(drop),
            Some(_) if cut_off >= TRIALS => {
                give_up(&activation, &mut state, Unhealthy::CutOff(cut_off))
            }
            Some(health) => {
                let pending = Pending { installed, trials: cut_off + 1 };
                self.decide(&activation, &mut state, pending, health)
            }
        };
        match ended {
            Ok(()) | Err(Error::Unhealthy { .. }) => Ok(state),
            Err(error) => Err(error),
        }
    }

    fn switch(
        &self,
        activation: &Activation<'_>,
        state: &mut FlowState,
        installed: Installed,
    ) -> Result<(), Error> {
        let current = state.current();
        let repair =
            current.is_some_and(|now| now.generation.is_same_bundle(&installed.generation));
        if let (true, Some(Pending { trials, .. })) = (repair, &state.pending) {
            let trials = *trials;
            return activation.try_out(state, &Pending { installed, trials });
        }
        match self.policy.health(activation.flow()) {
            Some(health) if !repair => {
                self.decide(activation, state, Pending { installed, trials: 1 }, health)
            }
            None if self.policy.no_commit && !repair => {
                activation.try_out(state, &Pending { installed, trials: 0 })
            }
            _ => activation.activate(state, installed),
        }
    }

    /// Points at the generation, asks the health command, and commits or goes back.
    fn decide(
        &self,
        activation: &Activation<'_>,
        state: &mut FlowState,
        pending: Pending,
        health: &Health,
    ) -> Result<(), Error> {
        activation.try_out(state, &pending)?;
        let folder =
            Generations::of(self.cache, activation.flow()).path(&pending.installed.generation);
        match health.check(&folder) {
            Err(why) => give_up(activation, state, why),
            Ok(()) if self.policy.no_commit => {
                activation.try_out(state, &Pending { trials: 0, ..pending })
            }
            Ok(()) => activation.commit(state).map(drop),
        }
    }
}

fn give_up(
    activation: &Activation<'_>,
    state: &mut FlowState,
    why: Unhealthy,
) -> Result<(), Error> {
    activation.roll_back(state, &why.to_string())?;
    Err(Error::Unhealthy { flow: activation.flow().clone(), source: why })
}

/// Commits what is on trial of `flow`, or of the only flow. False when nothing is on trial.
///
/// # Errors
/// [`Error::WhichFlow`] when there are several and none is named.
pub fn commit(
    cache: &Cache,
    flow: Option<&FlowId>,
    now: UnixMillis,
) -> Result<(FlowId, bool), Error> {
    change(cache, flow, now, |activation, state| {
        let pending = activation.commit(state)?;
        Ok(pending)
    })
}

/// Goes back to the generation before the current one of `flow`, or of the only flow.
///
/// # Errors
/// [`Error::NothingBefore`], and [`Error::BelowFloor`] when the tenant has forbidden that one.
pub fn roll_back(
    cache: &Cache,
    flow: Option<&FlowId>,
    now: UnixMillis,
    reason: &str,
) -> Result<(FlowId, Option<Generation>), Error> {
    change(cache, flow, now, |activation, state| {
        activation.roll_back(state, reason)?;
        Ok(state.current().map(|current| current.generation.clone()))
    })
}

fn change<R>(
    cache: &Cache,
    flow: Option<&FlowId>,
    now: UnixMillis,
    work: impl FnOnce(&Activation<'_>, &mut FlowState) -> Result<R, Error>,
) -> Result<(FlowId, R), Error> {
    cache.config()?;
    let _lock: Lock = cache.lock()?;
    let flow = chosen(cache, flow)?;
    let activation = Activation::of(cache, &flow, now);
    let mut state = activation.recover()?;
    let done = work(&activation, &mut state)?;
    Ok((flow, done))
}

/// The flow that is named, when it is here, else the only one.
pub(crate) fn chosen(cache: &Cache, named: Option<&FlowId>) -> Result<FlowId, Error> {
    let flows = cache.flows()?;
    match (named, flows.as_slice()) {
        (Some(flow), all) if all.contains(flow) => Ok(flow.clone()),
        (Some(flow), _) => Err(Error::NotInstalled { flow: flow.clone() }),
        (None, [only]) => Ok(only.clone()),
        (None, _) => Err(Error::WhichFlow { flows }),
    }
}
