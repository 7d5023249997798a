//! The use case: a delivered flow becomes a build, or turns out to be one already.
//!
//! 1. receive: parse, plan, key. A body seen a moment ago skips this.
//! 2. decide (`order.rs`): no-op, stale, over quota, or a build to make.
//! 3. compile: pure, in parallel, outside the tenant's lane.
//! 4. gates (`src/gates.rs`): a refusal is written down (`refused.rs`) and changes nothing else.
//! 5. assemble (`assemble.rs`): in the lane, everything that the build changes, in one transaction.
//! 6. wait until that transaction is durable.

mod assemble;
mod branch;
mod delete;
mod delivery;
mod dry_run;
mod dry_runs;
mod error;
mod expecting;
mod files;
mod follow;
mod memo;
mod naming;
mod observed;
mod order;
mod recompile;
mod refused;
mod revert;
mod rollback;
mod timing;
mod versions;
mod writable;

use std::sync::Arc;
use std::time::Instant;

use colophon_compiler::{Compiled, Compiler, Limits, Plan, Problem};
use colophon_gitbridge::Cache;
use colophon_model::{
    BuildId, BuildKey, BuildKind, BuildRecord, Digest, FlowId, FlowSource, GateResult, Oid, Stamp,
    TenantBranch, TenantUid,
};
use colophon_store::quota::Rule;
use colophon_store::rows::TenantRow;
use colophon_store::{Change, CommitError, Lane, PreparedBlob, Store, View};

use assemble::{Cause, Entry};
pub use delivery::{Delivery, Origin};
pub use dry_run::{DryRun, FileChange};
use dry_runs::DryRuns;
pub use error::{BuildError, refusal};
pub use files::{FilesError, puts, with_manifest};
pub(crate) use files::{manifest_file, manifest_path, put};
use memo::{Known, Memo};
use order::Decision;
pub use recompile::Recompiled;
pub use timing::Timing;
pub(crate) use writable::writable;

use crate::artifacts::Artifacts;
use crate::audit::Gathered;
use crate::bundles::Bundles;
use crate::clock::SharedClock;
use crate::config::{self, SecretsConfig};
use crate::evidence::Attester;
use crate::fair;
use crate::feed::status::EndingRoots;
use crate::gates::{Gates, Refused};
use crate::intake::Flights;
use crate::intake::log::DeliveryLog;
use crate::keys::MasterKey;
use crate::metrics::Metrics;
use crate::outbound::Outbound;
use crate::progress::{Progress, Stage};
use crate::projection::{KeySigner, Recent};
use crate::recall::Recall;
use crate::secrets::Secrets;

/// What a build needs: the store, the compiler, keys, and the time.
pub struct Press {
    /// The store.
    pub store: Store,
    /// The compiler, its templates parsed once.
    pub compiler: Compiler,
    /// The server's secrets.
    pub keys: MasterKey,
    /// Signs commits and tags.
    pub signer: KeySigner,
    /// Signs what is written about bundles.
    pub attester: Attester,
    /// The time.
    pub clock: SharedClock,
    /// How many builds a tenant may make, per target.
    pub quota: Rule,
    /// How large a flow may be.
    pub limits: Limits,
    /// What a build must pass.
    pub gates: Gates,
    /// Git objects that were asked for before, of all tenants.
    pub objects: Cache,
    /// Git objects that the next commits rest on, of all tenants.
    pub recent: Recent,
    /// What was made of bundles before, of all tenants.
    pub bundles: Bundles,
    /// What was read of the store before and still stands, of all tenants.
    pub recall: Recall,
    /// Whether tenants may have roots of ceremonies only.
    pub offline_roots: bool,
    /// Where secrets of others are found, such as the credentials of mirrors.
    pub secrets: Secrets,
    /// How many tenants need a ceremony.
    pub ending_roots: EndingRoots,
    /// What came in and is to be told of.
    pub deliveries: DeliveryLog,
    /// How far deliveries are that are worked on.
    pub progress: Progress,
    /// Acts that wait to be written down in the audit log.
    pub gathered: Gathered,
    /// Where events go.
    pub outbound: Outbound,
    /// The bucket that bundles are brought to.
    pub artifacts: Artifacts,
    /// Whether builds ask to be exported.
    pub export_builds: bool,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    memo: Memo,
    flights: Flights,
    dry_runs: DryRuns,
}

/// What became of a delivery.
#[derive(Debug)]
pub enum Outcome {
    /// A new build, durable.
    Built(Box<BuildRecord>),
    /// The flow's current build has the same key; nothing was written.
    NoOp(Arc<BuildRecord>),
    /// The delivery was here before, under the same name; nothing was written. Its flow may have been
    /// built anew since.
    Replayed(Arc<BuildRecord>),
}

/// A delivery taken to its end.
#[derive(Debug)]
pub struct Finished {
    /// What became of it.
    pub outcome: Outcome,
    /// Where the time went.
    pub timing: Timing,
    /// What the compiler noticed but did not refuse. A body that was recognised is not read again,
    /// so only its first delivery tells.
    pub warnings: Vec<Problem>,
}

impl Outcome {
    /// The word for it in answers, logs and traces.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Built(_) => "built",
            Self::NoOp(_) => "noop",
            Self::Replayed(_) => "replayed",
        }
    }

    /// The build that came of the delivery, now or before.
    pub fn record(&self) -> &BuildRecord {
        match self {
            Self::Built(record) => record,
            Self::NoOp(record) | Self::Replayed(record) => record,
        }
    }
}

/// A build that is durable: made, or refused by a gate.
fn told(record: BuildRecord) -> Result<Outcome, BuildError> {
    let record = Box::new(record);
    if record.failure.is_some() {
        Err(BuildError::Gate(record))
    } else {
        Ok(Outcome::Built(record))
    }
}

/// How often a build is prepared again when another changed the tenant in between. Only a second
/// server on the same store, or a failed commit before this one, can make that happen.
pub(crate) const ATTEMPTS: usize = 8;

/// A plan with the names and keys that follow from it.
struct Job {
    delivery: Delivery,
    body: Digest,
    plan: Plan,
    /// Of the plan, which is hashed for it.
    digest: Digest,
    key: BuildKey,
}

impl Job {
    /// What is known of a build before it has tags, outputs or signatures.
    fn record(
        &self,
        press: &Press,
        id: BuildId,
        (number, stamp): (u64, Stamp),
        (flow, commit): (&FlowId, Oid),
        gates: Vec<GateResult>,
    ) -> BuildRecord {
        let plan = &self.plan;
        BuildRecord {
            id,
            tenant: self.delivery.tenant.uid,
            number,
            flow: flow.clone(),
            name: plan.name.to_string(),
            source: plan.source(),
            native: plan.native.clone(),
            revision: plan.revision,
            key: self.key,
            plan: self.digest,
            body: self.body,
            templates: press.compiler.templates(),
            compiler: Compiler::VERSION.to_owned(),
            received: self.delivery.received,
            stamp,
            commit,
            tags: Vec::new(),
            outputs: Vec::new(),
            gates,
            manifest: None,
            signatures: None,
            failure: None,
            kind: BuildKind::Delivery,
        }
    }
}

/// Outputs that may be committed, or what the gates said against them.
enum Gated {
    Passed(Box<Compiled>),
    Refused(Vec<GateResult>),
}

impl Gated {
    /// What the gates said.
    fn results(&self) -> &[GateResult] {
        match self {
            Self::Passed(compiled) => &compiled.gates,
            Self::Refused(gates) => gates,
        }
    }
}

/// A body whose key is remembered.
struct Recognised {
    /// The digest by which it is: its own, or that of all that differ from it in their layout alone.
    by: Digest,
    known: Known,
    /// The turn of its flow.
    turn: u64,
}

impl Press {
    /// A press over `store`.
    #[expect(clippy::too_many_arguments, reason = "each is a part it stands on, given once")]
    pub fn new(
        store: Store,
        compiler: Compiler,
        keys: MasterKey,
        clock: SharedClock,
        quota: Rule,
        limits: Limits,
        gates: Gates,
        objects: Cache,
        bundles: Bundles,
    ) -> Self {
        let signer = KeySigner(keys.git_key());
        let attester = Attester::new(&keys);
        let memo = Memo::default();
        let secrets = Secrets::new(&SecretsConfig::default(), clock.clone());
        Self {
            store,
            compiler,
            keys,
            signer,
            attester,
            clock,
            quota,
            limits,
            gates,
            objects,
            recent: Recent::default(),
            bundles,
            recall: Recall::new(&config::Edge::default()),
            memo,
            flights: Flights::default(),
            dry_runs: DryRuns::default(),
            deliveries: DeliveryLog::default(),
            progress: Progress::default(),
            gathered: Gathered::default(),
            outbound: Outbound::default(),
            artifacts: Artifacts::default(),
            export_builds: false,
            offline_roots: false,
            secrets,
            ending_roots: EndingRoots::default(),
            metrics: Arc::default(),
        }
    }

    /// The tenant's lane, once it is free. Whoever holds a lane may wait for a turn on a processor, so nobody
    /// with a turn may wait for a lane: the turn is put aside. One that is free is not waited for, and the turn
    /// goes on, since to wait for the next one in the middle of a build takes threads to be woken.
    pub(crate) fn lane(&self, tenant: TenantUid) -> Lane {
        let free = self.store.lane_now(tenant);
        free.unwrap_or_else(|| fair::aside(|| self.store.lane(tenant)))
    }

    /// Forgets what is remembered of a tenant that was erased.
    pub fn forget(&self, tenant: TenantUid) {
        self.memo.forget(tenant);
        self.dry_runs.forget(tenant);
        self.objects.forget(*tenant.as_bytes());
        self.recent.forget(tenant);
        self.bundles.forget(tenant);
        self.recall.forget(tenant);
        self.progress.forget(tenant);
    }

    /// Takes a delivery through every step. Blocks until the build is durable.
    pub fn run(&self, delivery: Delivery) -> Result<Finished, BuildError> {
        let tenant = delivery.tenant.clone();
        let body = delivery.digest();
        self.observe(&tenant, || {
            let result = self.build(delivery);
            self.announce_unbuilt(&tenant, body, &result);
            result
        })
    }

    /// The no-op that a delivery without a name of its own is, when that is remembered. It waits for nobody, so
    /// it may be asked on any thread. `None` says nothing: [`Self::run`] finds out.
    pub fn run_remembered(&self, delivery: &Delivery) -> Option<Finished> {
        let (tenant, body) = (&delivery.tenant, delivery.digest());
        if delivery.origin.claim.is_some() || tenant.archived.is_some() {
            return None;
        }
        let current = |digest| self.recall.current(&self.store, tenant.uid, digest);
        let record = current(body).or_else(|| current(delivery.shape(&self.limits)?))?;
        if self.store.is_damaged(&body) {
            return None; // it brings what was lost
        }
        delivery.check(record.outputs.iter().map(|output| output.target)).ok()?;
        let outcome = Outcome::NoOp(record);
        let finished = Finished { outcome, timing: Timing::default(), warnings: Vec::new() };
        self.observe(tenant, || Ok(finished)).ok()
    }

    /// Does the work of a delivery, and leaves in traces, logs and metrics what became of it.
    fn observe(
        &self,
        tenant: &TenantRow,
        work: impl FnOnce() -> Result<Finished, BuildError>,
    ) -> Result<Finished, BuildError> {
        let span = observed::span(tenant);
        let start = Instant::now();
        self.metrics.builds_in_flight.inc();
        let result = span.in_scope(work);
        self.metrics.builds_in_flight.dec();
        observed::end(&span, tenant, &result);
        self.note_delivery(tenant.uid, &result);
        observed::count(&self.metrics, tenant, &result, start.elapsed());
        result
    }

    fn build(&self, delivery: Delivery) -> Result<Finished, BuildError> {
        let mut timing = Timing::default();
        let body = delivery.digest();
        let uid = delivery.tenant.uid;
        let begin = |claim| self.flights.begin(uid, claim).ok_or(BuildError::InFlight);
        let _flight = delivery.origin.claim.map(begin).transpose()?;
        let known = self.recognise(&delivery);
        let view = self.store.view()?;
        writable(&view, &delivery.tenant)?;
        if let Some(record) = order::claimed(&view, &delivery, body)? {
            let outcome = Outcome::Replayed(record.into());
            return Ok(Finished { outcome, timing, warnings: Vec::new() });
        }
        if let Some(Recognised { by, known, turn }) = known
            && let Some(record) = order::current(&view, uid, &known.flow, &known.key)?
        {
            let record = record.into();
            self.recall.keep_current((&self.store, &view), (uid, turn), by, &record);
            drop(view);
            delivery.check(record.outputs.iter().map(|output| output.target))?;
            self.give_back(&delivery, body, &record)?;
            let outcome = Outcome::NoOp(record);
            return Ok(Finished { outcome, timing, warnings: Vec::new() });
        }
        drop(view); // it would keep pages of the database from being used anew
        let job = timing.receive.time(|| self.receive(delivery, body))?;
        let outcome = self.make(&job, &mut timing)?;
        self.give_back(&job.delivery, body, outcome.record())?;
        self.remember(&job, outcome.record());
        Ok(Finished { outcome, timing, warnings: job.plan.warnings })
    }

    /// A body that was compiled a moment ago and is still its flow's current build needs no
    /// parsing: its key is known. So is that of one which differs in its layout alone.
    fn recognise(&self, delivery: &Delivery) -> Option<Recognised> {
        let uid = delivery.tenant.uid;
        let recall = |by| Some((by, self.memo.recall(&(uid, by))?));
        let known = recall(delivery.digest()).or_else(|| recall(delivery.shape(&self.limits)?));
        let (by, known) = known?;
        // Before there is a view: what that shows of the head is then of this turn or a later one.
        let turn = self.store.turn(&(uid, known.flow.clone()));
        Some(Recognised { by, known, turn })
    }

    /// Remembers which key a body has, and all that differ from it in their layout alone; but not when there was
    /// something to say of it, which whoever moves a node is told again.
    fn remember(&self, job: &Job, record: &BuildRecord) {
        let is_drawn = job.plan.source() == FlowSource::Langflow && job.plan.warnings.is_empty();
        let shape = if is_drawn { job.delivery.shape(&self.limits) } else { None };
        for digest in [Some(job.body), shape].into_iter().flatten() {
            let known = Known { flow: record.flow.clone(), key: job.key };
            self.memo.remember((job.delivery.tenant.uid, digest), known);
        }
    }

    /// A no-op writes nothing, except the flow as received when the store has lost just that.
    fn give_back(
        &self,
        delivery: &Delivery,
        body: Digest,
        record: &BuildRecord,
    ) -> Result<(), BuildError> {
        if record.body != body || !self.store.is_damaged(&body) {
            return Ok(());
        }
        let uid = delivery.tenant.uid;
        let mut change = Change::new();
        change.expect(&(uid, record.id), Some(record));
        change.blob(uid, PreparedBlob::new(&delivery.body)?);
        match self.store.commit(change) {
            Ok(()) | Err(CommitError::Conflict(_) | CommitError::Full { .. }) => Ok(()),
            Err(stopped) => Err(BuildError::Stopped(stopped)),
        }
    }

    #[tracing::instrument(target = "trace", name = "received", skip_all, fields(
        openinference.span.kind = "TOOL",
        cicd.pipeline.task.name = "received",
        colophon.body.size = delivery.body.len(),
    ))]
    fn receive(&self, delivery: Delivery, body: Digest) -> Result<Job, BuildError> {
        let policy = delivery.tenant.policy;
        let plan = self.compiler.parse(&delivery.body, policy, &self.limits)?;
        delivery.check(plan.targets().iter().copied())?;
        let digest = plan.digest();
        let key = self.compiler.key_of(&plan, digest);
        fair::breathe();
        Ok(Job { delivery, body, plan, digest, key })
    }

    fn make(&self, job: &Job, timing: &mut Timing) -> Result<Outcome, BuildError> {
        let uid = job.delivery.tenant.uid;
        let mut gated: Option<(FlowId, Gated)> = None;
        for _ in 0..ATTEMPTS {
            let view = self.store.view()?;
            let flow = naming::flow_id(&view, uid, &job.plan)?;
            if let Some(done) = self.settled(&view, job, &flow)? {
                return Ok(done);
            }
            // Before the costly part. A no-op needs no room.
            self.store.room()?;
            let before = gated.take().filter(|(id, _)| *id == flow);
            let (flow, output) = if let Some(before) = before {
                before
            } else {
                let output = self.render(job, &flow, timing)?;
                (flow, output)
            };
            if let Some(outcome) = timing.commit.time(|| self.attempt(job, &flow, &output))? {
                return Ok(outcome);
            }
            gated = Some((flow, output));
        }
        Err(BuildError::Contended)
    }

    /// The answer that durable facts already give: a no-op or a refusal. `None`: there is a build to
    /// make, or the flow has another name by now.
    fn settled(
        &self,
        view: &View,
        job: &Job,
        flow: &FlowId,
    ) -> Result<Option<Outcome>, BuildError> {
        writable(view, &job.delivery.tenant)?;
        if naming::flow_id(view, job.delivery.tenant.uid, &job.plan)? != *flow {
            return Ok(None);
        }
        match order::decide(view, job, flow, self.quota, self.clock.now())? {
            Decision::NoOp(record) => Ok(Some(Outcome::NoOp(record.into()))),
            Decision::Replayed(record) => Ok(Some(Outcome::Replayed(record.into()))),
            Decision::Build => Ok(None),
        }
    }

    /// Compiles, and puts what came out through the gates.
    fn render(&self, job: &Job, flow: &FlowId, timing: &mut Timing) -> Result<Gated, BuildError> {
        let watch = &job.delivery.origin.watch;
        let compiled = timing.render.time(|| self.compile(job, flow))?;
        watch.tell(|| Stage::compiled(job.key, job.plan.name.to_string()));
        let gated = timing.gates.time(|| self.gate(compiled))?;
        watch.tell(|| Stage::gated(gated.results()));
        Ok(gated)
    }

    fn gate(&self, mut compiled: Compiled) -> Result<Gated, BuildError> {
        match self.gates.check(&compiled) {
            Ok(results) => {
                compiled.gates.extend(results);
                Ok(Gated::Passed(Box::new(compiled)))
            }
            Err(Refused::Failed(results)) => {
                compiled.gates.extend(results);
                Ok(Gated::Refused(compiled.gates))
            }
            Err(Refused::Missing { gate, reason }) => Err(BuildError::GateMissing { gate, reason }),
        }
    }

    #[tracing::instrument(target = "trace", name = "render", skip_all, fields(
        openinference.span.kind = "TOOL",
        cicd.pipeline.task.name = "render",
    ))]
    fn compile(&self, job: &Job, flow: &FlowId) -> Result<Compiled, BuildError> {
        let compiled = self.compiler.compile(&job.plan, &job.delivery.tenant.slug, flow);
        fair::breathe();
        Ok(compiled?)
    }

    /// One try in the lane. `None`: the tenant changed in between; try again.
    #[tracing::instrument(target = "trace", name = "commit", skip_all, fields(
        openinference.span.kind = "TOOL",
        cicd.pipeline.task.name = "commit",
        vcs.ref.head.name = %TenantBranch::new(job.delivery.tenant.slug.clone()),
        vcs.ref.head.type = "branch",
    ))]
    fn attempt(
        &self,
        job: &Job,
        flow: &FlowId,
        output: &Gated,
    ) -> Result<Option<Outcome>, BuildError> {
        let lane = self.lane(job.delivery.tenant.uid);
        let view = lane.view()?;
        let now = self.clock.now();
        let named = naming::flow_id(&view, job.delivery.tenant.uid, &job.plan)? == *flow;
        if !named
            || writable(&view, &job.delivery.tenant).is_err()
            || !matches!(order::decide(&view, job, flow, self.quota, now), Ok(Decision::Build))
        {
            // What speaks against the build may not be durable yet, and an answer must rest on what
            // is: wait, then look again.
            return self.settled(&fair::aside(|| lane.settled())?, job, flow);
        }
        let tenant = &job.delivery.tenant;
        let (change, mut records) = match output {
            Gated::Passed(compiled) => {
                let what = (Cause::Delivery, &[Entry { job, flow, compiled, like: None }][..]);
                assemble::assemble(self, &view, tenant, what, now)?
            }
            Gated::Refused(gates) => refused::refuse(self, &view, job, flow, gates.clone(), now)?,
        };
        match fair::at_last(|| lane.submit(change).wait()) {
            Ok(()) => {
                self.progress.changed(tenant.uid);
                if let Some(record) = records.last().filter(|record| record.failure.is_none()) {
                    job.delivery.origin.watch.tell(|| Stage::committed(record));
                }
                records.pop().map(told).transpose()
            }
            Err(CommitError::Conflict(_)) => {
                fair::resume();
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}
