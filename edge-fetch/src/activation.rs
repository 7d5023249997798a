//! Which generation of a flow is active, on trial, or refused here: `state.json` beside the pointer.
//!
//! `state.json` is decided first, and the pointer follows. A process that dies in between leaves a
//! pointer that names the generation from before, and the next run makes it follow.

use colophon_model::{Digest, FlowId, UnixMillis};
use serde::{Deserialize, Serialize};

use crate::disk;
use crate::generation::Generations;
use crate::history::{Event, History};
use crate::{Cache, Error, Generation};

/// `state.json` of a flow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FlowState {
    /// The generation that was committed last.
    pub active: Option<Installed>,
    /// The one that was committed before it: where a rollback goes.
    pub previous: Option<Installed>,
    /// One that is on trial. While there is one, the pointer names it.
    pub pending: Option<Pending>,
    /// Bundles that failed here. They are not taken again; a higher sequence number is.
    pub bad: Vec<Refused>,
    /// The lowest sequence number that the tenant still allows, as last signed.
    pub min_seq: u64,
}

/// A generation on the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    /// Its name.
    pub generation: Generation,
    /// The signed digest of its files.
    pub tree: Digest,
    /// When the pointer was set to it.
    pub since: UnixMillis,
}

/// A generation on trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Which.
    #[serde(flatten)]
    pub installed: Installed,
    /// How often the health command was started for it; 0 while it waits for `commit`.
    pub trials: u32,
}

/// A bundle that failed here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Its sequence number.
    pub seq: u64,
    /// The digest of its files.
    pub tree: Digest,
    /// Why.
    pub reason: String,
}

/// More entries than this are forgotten, the oldest first.
const BAD: usize = 32;

impl FlowState {
    /// What the pointer is to name.
    pub fn current(&self) -> Option<&Installed> {
        self.pending.as_ref().map(|pending| &pending.installed).or(self.active.as_ref())
    }

    /// Whether this very bundle failed here.
    pub fn refuses(&self, seq: u64, tree: &Digest) -> Option<&Refused> {
        self.bad.iter().find(|bad| bad.seq == seq && bad.tree == *tree)
    }

    /// Everything that can be run or gone back to.
    pub(crate) fn installed(&self) -> impl Iterator<Item = &Installed> {
        let pending = self.pending.as_ref().map(|pending| &pending.installed);
        [self.active.as_ref(), self.previous.as_ref(), pending].into_iter().flatten()
    }

    /// The generations that must stay.
    pub(crate) fn kept(&self) -> impl Iterator<Item = &Generation> {
        self.installed().map(|installed| &installed.generation)
    }

    /// The pending generation takes over. Being asked to commit what is active is fine.
    fn commit(&mut self) -> bool {
        let Some(Pending { installed, .. }) = self.pending.take() else { return false };
        let before = self.active.replace(installed);
        // A repair of the active generation does not push out the one before it.
        let same = |a: &Installed, b: &Installed| a.generation.is_same_bundle(&b.generation);
        let repaired = before.as_ref().zip(self.active.as_ref()).is_some_and(|(a, b)| same(a, b));
        if !repaired && before.is_some() {
            self.previous = before;
        }
        true
    }

    fn refuse(&mut self, installed: &Installed, reason: &str) {
        let (seq, tree) = (installed.generation.seq(), installed.tree);
        self.bad.retain(|bad| (bad.seq, bad.tree) != (seq, tree));
        self.bad.push(Refused { seq, tree, reason: reason.to_owned() });
        let surplus = self.bad.len().saturating_sub(BAD);
        self.bad.drain(..surplus);
    }
}

/// One flow's state and pointer. Only the process that has the folder's lock may change them.
pub(crate) struct Activation<'a> {
    generations: Generations<'a>,
    history: History,
    path: std::path::PathBuf,
    flow: &'a FlowId,
    now: UnixMillis,
}

impl<'a> Activation<'a> {
    pub(crate) fn of(cache: &'a Cache, flow: &'a FlowId, now: UnixMillis) -> Self {
        let path = cache.flow(flow).join("state.json");
        let generations = Generations::of(cache, flow);
        Self { generations, history: History::of(cache, flow), path, flow, now }
    }

    pub(crate) const fn flow(&self) -> &FlowId {
        self.flow
    }

    /// What was decided last.
    pub(crate) fn state(&self) -> Result<FlowState, Error> {
        let Some(bytes) = disk::read(&self.path)? else { return Ok(FlowState::default()) };
        serde_json::from_slice(&bytes)
            .map_err(|source| Error::Disk { path: self.path.clone(), source: source.into() })
    }

    /// Ends what a run before this one began: makes the pointer follow.
    pub(crate) fn recover(&self) -> Result<FlowState, Error> {
        let state = self.state()?;
        if state != FlowState::default() {
            self.follow(&state)?;
        }
        Ok(state)
    }

    fn follow(&self, state: &FlowState) -> Result<(), Error> {
        self.generations.point(state.current().map(|installed| &installed.generation))
    }

    fn decide(&self, state: &FlowState, event: &Event<'_>) -> Result<(), Error> {
        self.write(state)?;
        self.follow(state)?;
        self.history.add(self.now, event)
    }

    fn write(&self, state: &FlowState) -> Result<(), Error> {
        let mut text = serde_json::to_vec_pretty(state).expect("a state has only string keys");
        text.push(b'\n');
        disk::replace(&self.path, &text)
    }

    /// Raises the lowest number that is allowed here; it never sinks.
    pub(crate) fn raise_floor(&self, state: &mut FlowState, min_seq: u64) -> Result<(), Error> {
        if min_seq <= state.min_seq {
            return Ok(());
        }
        state.min_seq = min_seq;
        self.write(state)
    }

    /// Makes a generation that is in place the active one.
    pub(crate) fn activate(
        &self,
        state: &mut FlowState,
        installed: Installed,
    ) -> Result<(), Error> {
        state.pending = Some(Pending { installed, trials: 0 });
        self.commit_pending(state, "applied")
    }

    /// Puts a generation that is in place on trial. `trials` is 0 when somebody decides by hand.
    pub(crate) fn try_out(&self, state: &mut FlowState, pending: &Pending) -> Result<(), Error> {
        let event = Event::about("pending", &pending.installed);
        let mut next = state.clone();
        next.pending = Some(pending.clone());
        self.decide(&next, &event)?;
        *state = next;
        Ok(())
    }

    /// Commits what is on trial; false when nothing is.
    pub(crate) fn commit(&self, state: &mut FlowState) -> Result<bool, Error> {
        if state.pending.is_none() {
            return Ok(false);
        }
        self.commit_pending(state, "committed").map(|()| true)
    }

    fn commit_pending(&self, state: &mut FlowState, event: &str) -> Result<(), Error> {
        let mut next = state.clone();
        next.commit();
        if let Some(active) = &next.active {
            next.bad.retain(|bad| (bad.seq, bad.tree) != (active.generation.seq(), active.tree));
            self.decide(&next, &Event::about(event, active))?;
        }
        *state = next;
        Ok(())
    }

    /// Goes back: from what is on trial to the active generation, or from that to the one before it.
    /// What is left behind is not taken again.
    pub(crate) fn roll_back(&self, state: &mut FlowState, reason: &str) -> Result<(), Error> {
        let mut next = state.clone();
        let left = if let Some(pending) = next.pending.take() {
            pending.installed
        } else {
            let nothing = || Error::NothingBefore { flow: self.flow.clone() };
            let previous = next.previous.take().ok_or_else(nothing)?;
            let previous = Installed { since: self.now, ..previous };
            next.active.replace(previous).ok_or_else(nothing)?
        };
        self.check_floor(&next)?;
        next.refuse(&left, reason);
        let event = Event { reason: Some(reason), ..Event::about("rolled_back", &left) };
        self.decide(&next, &event)?;
        *state = next;
        Ok(())
    }

    fn check_floor(&self, next: &FlowState) -> Result<(), Error> {
        let seq = next.active.as_ref().map_or(u64::MAX, |active| active.generation.seq());
        if seq >= next.min_seq {
            return Ok(());
        }
        Err(Error::BelowFloor { flow: self.flow.clone(), seq, min_seq: next.min_seq })
    }
}

/// What the folder says of a flow, for those who only read.
///
/// # Errors
/// When it cannot be read.
pub fn flow_state(cache: &Cache, flow: &FlowId) -> Result<FlowState, Error> {
    Activation::of(cache, flow, UnixMillis::new(0)).state()
}
