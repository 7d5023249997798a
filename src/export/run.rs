//! One export of a tenant, from a look at what is there to `HEAD.json`.

mod make;
mod preview;
mod sealed;

use std::path::Path;
use std::time::{Duration, Instant};

use colophon_model::audit::{Action, Chain, Subject};
use colophon_model::{Sha256, TenantSlug};
use colophon_store::rows::{ExportPlace, KnownHead, PlannedExport, TenantRow};
use colophon_store::{Progress, Report};
use colophon_trust::detached::DetachedKey;
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use super::cursor::Cursor;
use super::envelope::KeyId;
use super::error::ExportError;
use super::head::{Head, Owner};
use super::increment::{Limits, NAMES, Until, fitting, until};
use super::keys::PublicKeys;
use super::layout::{self, BagName};
use super::ledger::{Ledger, reached};
use super::place::{Place, Version};
use super::probe::{Probe, probe};
use super::upload::{Carrier, Retry};
use crate::audit::By;
use crate::config::ExportConfig;
use crate::pipeline::Press;
use sealed::Sealers;

/// How an export is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked {
    /// Write nothing, and say what would be written.
    pub dry_run: bool,
    /// Go on at a place that has no conditional writes.
    pub allow_unconditional: bool,
    /// Take what is there as it is, though it is not what was left there.
    pub anew: bool,
}

/// What was exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exported {
    /// Whose.
    pub tenant: TenantSlug,
    /// The folder it is in, below the place.
    pub folder: String,
    /// The bags that were made, or would be; none when nothing was new.
    pub bags: Vec<Increment>,
    /// The number of the newest bag there.
    pub sequence: u64,
    /// Bags of this run that another exporter came before. They lie there, and no other names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orphaned: Vec<BagName>,
    /// Whether nothing was written.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

impl Exported {
    /// Objects that were written.
    fn objects(&self) -> u64 {
        self.bags.iter().map(|bag| bag.objects).sum()
    }
}

/// One bag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Increment {
    /// Its name.
    pub name: BagName,
    /// Builds in it.
    pub builds: u64,
    /// Lines of the audit log in it.
    pub lines: u64,
    /// Blobs that were new there.
    pub blobs: u64,
    /// Objects that were written, those blobs among them.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// SHA-256 of its tag manifest; zeros in a dry run.
    pub tagmanifest: Sha256,
    /// The key that it is sealed with; left out when it is plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyId>,
}

/// Lines of the audit log in one bag.
const LINES: u64 = 20_000;
/// How long it is believed that a place refuses what it must.
const PROBE_EVERY: u64 = 24 * 60 * 60 * 1000;
/// Most of a `bag-info.txt` that is read, in bytes.
const INFO: u64 = 1 << 20;
/// How often a run begins again when another exporter came before it.
const ATTEMPTS: usize = 3;
/// The first wait before a request is repeated.
pub(super) const FIRST_WAIT: Duration = Duration::from_millis(200);

/// Exports what `tenant` has beyond the bags that are at `place`, bag by bag, and writes down that it does.
///
/// # Errors
/// [`ExportError`]. Nothing that is there was written over; the next run goes on.
pub fn export(
    (press, config, aside): (&Press, &ExportConfig, &Path),
    place: &Place,
    tenant: &TenantRow,
    asked: Asked,
    report: Report<'_>,
) -> Result<Exported, ExportError> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(ExportError::Aside)?;
    let retry = Retry { attempts: config.attempts, first: FIRST_WAIT };
    let folder = layout::tenant(&tenant.slug);
    let sealers = if asked.dry_run {
        Sealers::NONE
    } else {
        sealed::sealers((press, config, &runtime), tenant, place.url())?
    };
    let run = Run {
        press,
        config,
        aside,
        tenant,
        asked,
        report,
        runtime,
        sealers,
        carrier: Carrier::new(place, folder, config.bytes_per_second.get(), retry),
        ledger: Ledger { store: &press.store, tenant, place: place.id() },
        key: press.keys.export_key(),
        public: PublicKeys::of(&press.keys).with_former(&press.store.view()?, tenant.uid)?,
    };
    let (began, before) = (Instant::now(), place.traffic());
    let done = run.run();
    let now = place.traffic();
    let (requests, sent) = (now.0 - before.0, now.1 - before.1);
    press.metrics.export_traffic(requests, sent);
    if !asked.dry_run {
        let objects = done.as_ref().map_or(0, Exported::objects);
        press.metrics.exported(done.is_ok(), began.elapsed(), objects);
    }
    tracing::info!(
        tenant = %tenant.slug, requests, sent, retries = run.carrier.retries(),
        bags = done.as_ref().map_or(0, |done| done.bags.len()), well = done.is_ok(), "an export ended"
    );
    done
}

struct Run<'a> {
    press: &'a Press,
    config: &'a ExportConfig,
    /// A folder for files without a name.
    aside: &'a Path,
    tenant: &'a TenantRow,
    asked: Asked,
    report: Report<'a>,
    runtime: Runtime,
    carrier: Carrier<'a>,
    ledger: Ledger<'a>,
    key: DetachedKey,
    /// Seal bags that are sealed, or were begun so.
    sealers: Sealers,
    public: PublicKeys,
}

/// What lies at the place.
struct There {
    head: Option<Head>,
    version: Option<Version>,
}

impl There {
    fn cursor(&self) -> Cursor {
        self.head.as_ref().map(|head| head.cursor.clone()).unwrap_or_default()
    }

    fn previous(&self) -> Option<(&BagName, Sha256)> {
        self.head.as_ref().map(|head| (&head.export, head.tagmanifest))
    }
}

impl Run<'_> {
    fn run(&self) -> Result<Exported, ExportError> {
        let mut done = Exported {
            tenant: self.tenant.slug.clone(),
            folder: layout::tenant(&self.tenant.slug),
            bags: Vec::new(),
            sequence: 0,
            orphaned: Vec::new(),
            dry_run: self.asked.dry_run,
        };
        if self.asked.dry_run {
            self.preview(&mut done)?;
            return Ok(done);
        }
        let mut row = self.ledger.place()?;
        row.url = self.carrier.place.url().to_string();
        (row.endpoint, row.region) = self.carrier.place.named();
        self.probe(&mut row)?;
        self.recall(&mut row)?;
        let (mut goal, mut attempts) = (None, 1);
        loop {
            self.ledger.check()?;
            let (there, until) = self.next(&mut row, &mut goal)?;
            done.sequence = there.cursor().sequence;
            let Some(until) = until else { break };
            match self.increment(&there, until, &mut row) {
                Ok(made) => {
                    done.sequence = made.name.sequence();
                    done.bags.push(made);
                    // `HEAD.json` is what this run made it: it is not asked for again after the last bag.
                    if goal.is_some_and(|goal: Until| until.reaches(goal)) {
                        break;
                    }
                }
                Err(ExportError::Overtaken(name)) if attempts < ATTEMPTS => {
                    if !self.is_named(&self.look(&mut row)?, &name)? {
                        tracing::warn!(%name, "another exporter came first; no bag names this one");
                        done.orphaned.push(name);
                    }
                    (goal, attempts, row.planned) = (None, attempts + 1, None);
                }
                Err(error @ ExportError::Taken { .. }) if attempts < ATTEMPTS => {
                    tracing::warn!(%error, "the bag is made anew under another name");
                    row.head = None;
                    (goal, attempts, row.planned) = (None, attempts + 1, None);
                }
                Err(error) => return Err(error),
            }
        }
        row.succeeded = Some(self.press.clock.now());
        self.ledger.set(&row)?;
        Ok(done)
    }

    /// What the next bag goes on from, and where it ends, if anything is new. What this server left there last is not asked
    /// for: when another was there since, the bag is overtaken, as one is whose exporter came second. But nobody says that
    /// nothing is new without having looked.
    fn next(
        &self,
        row: &mut ExportPlace,
        goal: &mut Option<Until>,
    ) -> Result<(There, Option<Until>), ExportError> {
        if let Some(there) = self.remembered(row)
            && let Some(until) = self.plan(&there, row, goal)?
        {
            return Ok((there, Some(until)));
        }
        let there = self.look(row)?;
        let until = self.plan(&there, row, goal)?;
        Ok((there, until))
    }

    /// The `HEAD.json` that this server left there, where a write says which version it goes over.
    fn remembered(&self, row: &ExportPlace) -> Option<There> {
        let KnownHead { text, tag, version } = row.head.as_ref()?;
        let trusted = row.probed.is_some() && self.carrier.place.is_conditional();
        if !trusted || self.asked.anew {
            return None;
        }
        let head = Head::open(text.as_bytes(), &self.key.public()).ok()?;
        let known = head.tenant == self.owner() && head.cursor.sequence == row.sequence;
        let version = Version::named(text, tag.clone(), version.clone());
        known.then_some(There { head: Some(head), version: Some(version) })
    }

    /// Keeps in mind what was left there.
    fn remember(&self, row: &mut ExportPlace, head: &Version) {
        let (tag, version) = head.names();
        let can_be_named = self.carrier.place.has_versions_of_etag() && tag.is_some();
        let text = str::from_utf8(head.bytes()).ok().filter(|_| can_be_named);
        row.head = text.map(|text| KnownHead {
            text: text.to_owned(),
            tag: tag.clone(),
            version: version.clone(),
        });
    }

    /// Tries the place, unless that was done lately.
    fn probe(&self, row: &mut ExportPlace) -> Result<(), ExportError> {
        let (now, place) = (self.press.clock.now(), self.carrier.place);
        let lately = row.probed.is_some_and(|at| now.get().saturating_sub(at.get()) < PROBE_EVERY);
        let locked = place.lock().is_some();
        if lately && (row.locks || !locked) {
            return Ok(());
        }
        (self.report)(Progress { stage: "trying the place", done: 0, total: None });
        let Probe { conditional, .. } =
            self.runtime.block_on(probe(&self.carrier, self.asked.allow_unconditional))?;
        if conditional {
            (row.probed, row.locks) = (Some(now), locked);
        } else {
            (row.probed, row.locks) = (None, false);
            place.give_up_conditions();
        }
        self.ledger.set(row)?;
        Ok(())
    }

    /// Looks which blobs lie there, where what is remembered of them may be of another time: before the first bag, whose run
    /// may have been cut, and where what is there is taken as it is.
    fn recall(&self, row: &mut ExportPlace) -> Result<(), ExportError> {
        if (row.sequence > 0 && !self.asked.anew) || !self.ledger.has_blobs()? {
            return Ok(());
        }
        let (carrier, key) = (&self.carrier, self.carrier.key(layout::BLOBS));
        let listed = carrier.again(async || carrier.place.list(&key).await);
        let listed = self.runtime.block_on(listed).map_err(|failure| failure.into_trouble(&key))?;
        let there = listed.iter().filter_map(|name| name.rsplit('/').next()?.parse().ok());
        self.ledger.keep(&there.collect())?;
        row.keys = None;
        Ok(())
    }

    /// What is there, and whether it is what this server left there.
    fn look(&self, row: &mut ExportPlace) -> Result<There, ExportError> {
        row.head = None;
        let found = self.runtime.block_on(self.carrier.find(&self.carrier.key(layout::HEAD)))?;
        let Some((bytes, version)) = found else {
            if row.sequence > 0 && !self.asked.anew {
                return Err(ExportError::WentBack {
                    seen: row.sequence,
                    found: "is not there".to_owned(),
                });
            }
            if row.sequence > 0 || row.keys.is_some() {
                self.ledger.clear()?;
                let ExportPlace { url, probed, locks, endpoint, region, .. } = std::mem::take(row);
                *row =
                    ExportPlace { url, probed, locks, endpoint, region, ..ExportPlace::default() };
                self.ledger.set(row)?;
            }
            return Ok(There { head: None, version: None });
        };
        let head = Head::open(&bytes, &self.key.public()).map_err(ExportError::Head)?;
        if head.tenant != self.owner() {
            return Err(ExportError::Head(format!("is of tenant {}", head.tenant.uid)));
        }
        if head.cursor.sequence < row.sequence && !self.asked.anew {
            let found = format!("says number {}", head.cursor.sequence);
            return Err(ExportError::WentBack { seen: row.sequence, found });
        }
        reached(row, &head.cursor);
        Ok(There { head: Some(head), version: Some(version) })
    }

    /// Whether a bag is one of the chain: another exporter may have made the same and gone on from it.
    fn is_named(&self, there: &There, name: &BagName) -> Result<bool, ExportError> {
        let mut next = there.head.as_ref().map(|head| head.export.clone());
        while let Some(newer) = next.take_if(|newer| newer.sequence() > name.sequence()) {
            let key = self.carrier.key(&newer.file(layout::INFO));
            let info = self.runtime.block_on(self.carrier.find_within(&key, INFO))?;
            let Some(info) = info else { break };
            let label = format!("{}: ", layout::PREVIOUS_NAME);
            let text = String::from_utf8_lossy(&info);
            let before = text.lines().find_map(|line| line.strip_prefix(&label));
            let before = before.and_then(|name| name.parse().ok());
            // Whoever can write there may have bags name each other.
            next = before.filter(|before: &BagName| before.sequence() < newer.sequence());
        }
        Ok(next.as_ref() == Some(name))
    }

    fn owner(&self) -> Owner {
        Owner { slug: self.tenant.slug.clone(), uid: self.tenant.uid }
    }

    fn limits(&self) -> Limits {
        Limits { builds: self.config.builds_per_bag, lines: LINES }
    }

    /// Where the next bag ends, within what there was when the run began. That it begins is written down before, and so
    /// is in the bag; a bag that was begun before is gone on with as it was.
    fn plan(
        &self,
        there: &There,
        row: &mut ExportPlace,
        goal: &mut Option<Until>,
    ) -> Result<Option<Until>, ExportError> {
        let (since, previous) = (there.cursor(), there.previous().map(|(_, sha256)| sha256));
        if let Some(plan) = &row.planned {
            // What was begun plain does not go on so once everything is to be sealed.
            let as_wanted = plan.sealed || !self.config.encrypt;
            if as_wanted && (plan.sequence, plan.previous) == (since.sequence + 1, previous) {
                return Ok(Some(Until { builds: plan.builds, lines: plan.lines }));
            }
            row.planned = None;
        }
        let unlimited = Limits { builds: u64::MAX, lines: u64::MAX };
        if goal.is_none() {
            if until(&self.press.store.view()?, self.tenant, &since, unlimited)?.is_none() {
                return Ok(None);
            }
            self.write_down(since.sequence + 1)?;
            *goal = until(&self.press.store.view()?, self.tenant, &since, unlimited)?;
        }
        let Some(goal) = *goal else { return Ok(None) };
        if since.builds >= goal.builds && since.audit.seq >= goal.lines {
            return Ok(None);
        }
        let Limits { builds, lines } = self.limits();
        let builds = goal.builds.min(since.builds.saturating_add(builds)).max(since.builds);
        let range = (since.builds, builds);
        let next = Until {
            builds: fitting(&self.press.store.view()?, self.tenant, range, NAMES)?,
            lines: goal.lines.min(since.audit.seq.saturating_add(lines)).max(since.audit.seq),
        };
        row.planned = Some(PlannedExport {
            sequence: since.sequence + 1,
            previous,
            builds: next.builds,
            lines: next.lines,
            sealed: self.config.encrypt,
            key: self
                .sealers
                .current()
                .filter(|_| self.config.encrypt)
                .map(|it| it.key().to_string()),
        });
        self.ledger.set(row)?;
        Ok(Some(next))
    }

    fn write_down(&self, sequence: u64) -> Result<(), ExportError> {
        let subject = Subject::new("place", self.carrier.place.url());
        let act = By::here().did(Action::TenantExport, subject).with("sequence", sequence);
        let done = self.press.write_down(Chain::Tenant(self.tenant.uid), &[act]);
        Ok(done.map_err(colophon_store::Error::from)?)
    }
}
