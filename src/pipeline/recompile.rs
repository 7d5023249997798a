//! The flows of a tenant that stand, compiled again because the templates or the compiler changed.

use colophon_compiler::Compiled;
use colophon_model::{BuildId, FlowId, GateResult, GateStatus};
use colophon_store::rows::{FlowHead, TenantRow};
use colophon_store::{CommitError, View};
use rayon::ThreadPool;
use rayon::prelude::*;

use crate::fair;

use super::assemble::{self, Cause, Entry};
use super::{ATTEMPTS, BuildError, Delivery, Gated, Job, Press, naming};

/// What became of a tenant's flows.
#[derive(Debug, Default)]
pub struct Recompiled {
    /// Flows that are as they would be compiled today.
    pub unchanged: u64,
    /// Flows that were built again, or would be.
    pub rebuilt: u64,
    /// Commits made: one, or none.
    pub commits: u64,
    /// Flows that no longer compile, or that a gate refused, with the reasons. They were left as they are.
    pub failed: Vec<(FlowId, Vec<String>)>,
}

/// A flow compiled again.
struct Again {
    job: Job,
    flow: FlowId,
    compiled: Compiled,
    /// The build that stood when it was read.
    stood: BuildId,
}

impl Press {
    /// Compiles every flow of `tenant` again whose key is not the one it would get today, all cores
    /// at once, and commits them together, free of quota; with `dry_run` compiles, and commits
    /// nothing. Tells `step` of each flow that is done. The work is done in `pool`, which should not
    /// be the one that deliveries are compiled in: gates keep its threads waiting.
    pub fn recompile(
        &self,
        tenant: &TenantRow,
        dry_run: bool,
        pool: &ThreadPool,
        step: &(dyn Fn() + Sync),
    ) -> Result<Recompiled, BuildError> {
        let view = self.store.view()?;
        let mut done = Recompiled::default();
        let heads = view.scan::<FlowHead>(&tenant.uid);
        let heads: Result<Vec<_>, _> =
            heads.map(|row| row.map(|((_, id), head)| (id, head))).collect();
        let is_current =
            |(_, head): &(FlowId, FlowHead)| self.compiler.is_current(head.plan, &head.key);
        let (current, stale): (Vec<_>, Vec<_>) = heads?.into_iter().partition(is_current);
        done.unchanged = current.len() as u64;
        for _ in &current {
            step();
        }
        let compile = |(flow, head): (FlowId, FlowHead)| {
            let again = self.again(&view, tenant, &flow, &head);
            step();
            again.map_err(|reasons| (flow, reasons))
        };
        let results: Vec<_> = pool.install(|| stale.into_par_iter().map(compile).collect());
        drop(view);
        let mut built = Vec::new();
        for result in results {
            match result {
                Ok(Some(again)) => built.push(again),
                Ok(None) => done.unchanged += 1,
                Err(reasons) => done.failed.push(reasons),
            }
        }
        done.rebuilt = built.len() as u64;
        if !dry_run && !built.is_empty() {
            done.rebuilt = self.commit_again(tenant, &built)?;
            done.commits = u64::from(done.rebuilt > 0);
        }
        Ok(done)
    }

    /// Compiles one flow from what was received. `None`: it would be as it is.
    fn again(
        &self,
        view: &View,
        tenant: &TenantRow,
        flow: &FlowId,
        head: &FlowHead,
    ) -> Result<Option<Again>, Vec<String>> {
        let words = |error: &dyn std::error::Error| vec![crate::http::chain(error)];
        let body = view.read_blob(tenant.uid, &head.body).map_err(|e| words(&e))?;
        let body = body.ok_or_else(|| vec!["the flow as received is lost".to_owned()])?;
        let delivery = Delivery::new(tenant.clone(), body, self.clock.now());
        let job = self.receive(delivery, head.body).map_err(reasons)?;
        if job.key == head.key {
            return Ok(None);
        }
        match naming::flow_id(view, tenant.uid, &job.plan) {
            Ok(named) if named == *flow => {}
            Ok(named) => return Err(vec![format!("it would be the flow `{named}` now")]),
            Err(error) => return Err(reasons(error)),
        }
        let compiled = self.compile(&job, flow).map_err(reasons)?;
        match self.gate(compiled).map_err(reasons)? {
            Gated::Passed(compiled) => {
                Ok(Some(Again { job, flow: flow.clone(), compiled: *compiled, stood: head.build }))
            }
            Gated::Refused(gates) => Err(gates.iter().filter_map(said).collect()),
        }
    }

    /// Commits what was compiled; a flow that was built or deleted meanwhile is left out. Returns how
    /// many flows are in the commit.
    fn commit_again(&self, tenant: &TenantRow, built: &[Again]) -> Result<u64, BuildError> {
        for _ in 0..ATTEMPTS {
            self.store.room()?;
            let lane = self.lane(tenant.uid);
            let view = lane.view()?;
            let mut entries = Vec::with_capacity(built.len());
            for Again { job, flow, compiled, stood } in built {
                let head = view.get::<FlowHead>(&(tenant.uid, flow.clone()))?;
                if head.is_some_and(|head| head.build == *stood) {
                    entries.push(Entry { job, flow, compiled, like: None });
                }
            }
            if entries.is_empty() {
                return Ok(0);
            }
            let what = (Cause::Rebuild, entries.as_slice());
            let (change, records) =
                assemble::assemble(self, &view, tenant, what, self.clock.now())?;
            match fair::aside(|| lane.submit(change).wait()) {
                Ok(()) => {
                    self.progress.changed(tenant.uid);
                    return Ok(records.len() as u64);
                }
                Err(CommitError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(BuildError::Contended)
    }
}

/// What a gate said against a flow.
fn said(gate: &GateResult) -> Option<String> {
    let words = gate.words.as_deref().unwrap_or_default();
    (gate.status == GateStatus::Failed).then(|| format!("the gate `{}`: {words}", gate.name))
}

/// A flow's problems in words, or what else went wrong.
fn reasons(error: BuildError) -> Vec<String> {
    match error {
        BuildError::Flow(problems) => problems.as_slice().iter().map(ToString::to_string).collect(),
        other => vec![crate::http::chain(&other)],
    }
}
