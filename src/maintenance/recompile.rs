//! Compiling the flows of every tenant again, after the templates or the program changed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use colophon_model::{Digest, FlowId, TenantSlug};
use colophon_store::rows::{FlowHead, TenantRow};
use colophon_store::{Progress, Report};
use rayon::{ThreadPool, ThreadPoolBuilder};
use serde::{Deserialize, Serialize};

use super::{Job, JobError, Site};
use crate::pipeline::{BuildError, Press, Recompiled};
use crate::tenants::Standing;

/// Tenants at a time: while one waits for its commit to be durable, another compiles.
const TENANTS_AT_A_TIME: usize = 4;
/// Most failed flows that are named.
const NAMED: usize = 1_000;

/// Whose flows to compile again.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recompile {
    /// One tenant; default all.
    pub tenant: Option<TenantSlug>,
    /// Compile, say what would be committed, and commit nothing.
    pub dry_run: bool,
    /// Digest of the template set that is meant. With another one nothing is done; default whatever
    /// stands.
    pub templates: Option<Digest>,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecompileReport {
    /// Whether nothing was changed because that was asked for.
    pub dry_run: bool,
    /// Tenants that were looked at.
    pub tenants: u64,
    /// Their flows.
    pub flows: u64,
    /// Flows that stand as they would be compiled now.
    pub unchanged: u64,
    /// Flows that were built again, or would be.
    pub rebuilt: u64,
    /// Commits, one for each tenant of which a flow was built again.
    pub commits: u64,
    /// Flows that no longer compile; left as they are.
    pub failed: u64,
    /// The first thousand of them.
    pub failures: Vec<FailedFlow>,
}

/// A flow that no longer compiles.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FailedFlow {
    /// Whose.
    pub tenant: TenantSlug,
    /// The flow.
    pub flow: FlowId,
    /// Every reason.
    pub reasons: Vec<String>,
}

/// What a worker tells.
enum Told {
    Flow,
    Tenant(TenantSlug, Result<Recompiled, BuildError>),
}

impl Job for Recompile {
    type Outcome = RecompileReport;

    fn run(&self, site: Site<'_>, report: Report<'_>) -> Result<RecompileReport, JobError> {
        let templates = site.press.compiler.templates();
        if self.templates.is_some_and(|meant| meant != templates) {
            return Err(JobError::OtherTemplates);
        }
        let (tenants, total) = self.tenants(site.press)?;
        let mut outcome = RecompileReport { dry_run: self.dry_run, ..RecompileReport::default() };
        let pool = ThreadPoolBuilder::new().build().map_err(JobError::Threads)?;
        let next = AtomicUsize::new(0);
        let (sender, told) = mpsc::channel();
        std::thread::scope(|scope| {
            for _ in 0..TENANTS_AT_A_TIME.min(tenants.len()) {
                let (sender, next, tenants) = (sender.clone(), &next, &tenants);
                let work = (site.press, &pool);
                scope.spawn(move || self.work(work, tenants, next, &sender));
            }
            drop(sender);
            let mut done = 0;
            for told in told {
                match told {
                    Told::Flow => {
                        done += 1;
                        report(Progress { stage: "compiling flows", done, total: Some(total) });
                    }
                    Told::Tenant(slug, result) => {
                        outcome.add(&slug, result).inspect_err(|_| {
                            next.store(tenants.len(), Ordering::Relaxed); // the others stop
                        })?;
                    }
                }
            }
            Ok::<(), JobError>(())
        })?;
        outcome.failures.sort();
        outcome.failures.truncate(NAMED);
        Ok(outcome)
    }
}

impl Recompile {
    /// The tenants, and how many flows they have.
    fn tenants(&self, press: &Press) -> Result<(Vec<TenantRow>, u64), JobError> {
        let view = press.store.view()?;
        let tenants = if let Some(slug) = &self.tenant {
            vec![super::tenant(&view, slug)?]
        } else {
            let rows = view.scan::<TenantRow>(&String::new());
            let rows: Result<Vec<_>, _> = rows.map(|row| row.map(|(_, tenant)| tenant)).collect();
            let mut tenants = rows?;
            tenants.retain(|tenant| Standing::of(tenant) == Standing::Active);
            tenants
        };
        let mut flows = 0;
        for tenant in &tenants {
            flows += view.scan::<FlowHead>(&tenant.uid).count() as u64;
        }
        Ok((tenants, flows))
    }

    /// Takes tenant after tenant until none is left, or nobody listens.
    fn work(
        &self,
        (press, pool): (&Press, &ThreadPool),
        tenants: &[TenantRow],
        next: &AtomicUsize,
        sender: &mpsc::Sender<Told>,
    ) {
        while let Some(tenant) = tenants.get(next.fetch_add(1, Ordering::Relaxed)) {
            let steps = sender.clone();
            let step = || drop(steps.send(Told::Flow));
            let result = press.recompile(tenant, self.dry_run, pool, &step);
            if sender.send(Told::Tenant(tenant.slug.clone(), result)).is_err() {
                return;
            }
        }
    }
}

impl RecompileReport {
    fn add(
        &mut self,
        tenant: &TenantSlug,
        result: Result<Recompiled, BuildError>,
    ) -> Result<(), JobError> {
        let done = match result {
            // Erased in between, or at rest.
            Err(BuildError::TenantGone | BuildError::Suspended | BuildError::Archived) => {
                return Ok(());
            }
            other => other?,
        };
        self.tenants += 1;
        self.flows += done.unchanged + done.rebuilt + done.failed.len() as u64;
        self.unchanged += done.unchanged;
        self.rebuilt += done.rebuilt;
        self.commits += done.commits;
        self.failed += done.failed.len() as u64;
        let name = |(flow, reasons)| FailedFlow { tenant: tenant.clone(), flow, reasons };
        self.failures.extend(done.failed.into_iter().map(name));
        Ok(())
    }
}
