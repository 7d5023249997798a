//! Erasing a tenant, and the signed statement about it.
//!
//! The statement names the tenant, so it is handed out and not kept: the data directory holds
//! nothing of the tenant afterwards.

mod bucket;

use colophon_model::audit::{Action, Chain, Subject};
use colophon_model::{TenantSlug, TenantUid};
use colophon_store::rows::{ExportKey, ExportPlace, MirrorRow, TenantRow};
use colophon_store::{Erased, Report, View};
use colophon_trust::dsse::Envelope;
use serde::{Deserialize, Serialize};

use super::drill::forget_drill;
use super::shred::{Shred, Shredded};
use super::{Job, JobError, Site};
use crate::artifacts;
use crate::audit::By;

/// The type of a [`Statement`] in its envelope.
pub const ERASURE_TYPE: &str = "application/vnd.colophon.erasure+json";

/// Whom to erase.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Erase {
    /// The tenant.
    pub slug: TenantSlug,
    /// Its name again.
    pub confirm: String,
    /// Who approved it, told in the report and beside what was exported.
    #[serde(default)]
    pub approved_by: Option<String>,
    /// Go on when copies of the key of sealed exports cannot be destroyed, or that cannot be written down beside them.
    #[serde(default)]
    pub leave_keys: bool,
}

/// What was erased, when, and what is beyond this server's reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// The tenant's uid.
    pub tenant: TenantUid,
    /// Its name.
    pub slug: TenantSlug,
    /// When the tenant was made, RFC 3339.
    pub created: String,
    /// When the erasure began, RFC 3339.
    pub started: String,
    /// When it was complete and durable, RFC 3339.
    pub finished: String,
    /// Version of the program that did it.
    pub program: String,
    /// Who approved it, as far as that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    /// What was removed.
    pub erased: Erased,
    /// What was removed of the bucket for bundles.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub artifacts: Option<ClearedBucket>,
    /// What became of the key of its sealed exports; left out when there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shredded: Option<Shredded>,
    /// What the data directory keeps.
    pub kept: String,
    /// What may hold the tenant's data elsewhere, and is to be erased there.
    pub outside: Vec<Outside>,
}

/// What was removed of the bucket for bundles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClearedBucket {
    /// Which bucket of which store.
    pub place: String,
    /// Bundles that were removed there, with their old versions.
    pub removed: u64,
    /// What could not be deleted, with the reason.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub left: Vec<String>,
    /// Why nobody could look for old versions; left out when somebody could.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub unseen: Option<String>,
}

/// A place that this server cannot reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outside {
    /// What.
    pub what: String,
    /// What to do about it.
    pub how: String,
}

/// A statement and its signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasureReport {
    /// What was done.
    pub statement: Statement,
    /// The same, signed (DSSE).
    pub envelope: Envelope,
    /// The key that signed it, in PEM.
    pub key: String,
}

impl Job for Erase {
    type Outcome = ErasureReport;

    fn run(&self, site: Site<'_>, report: Report<'_>) -> Result<ErasureReport, JobError> {
        self.check()?;
        let tenant = self.tenant(site)?;
        let press = site.press;
        let view = press.store.view()?;
        let mirror = view.get::<MirrorRow>(&tenant.uid)?;
        let exports = exports(&view, tenant.uid)?;
        let mut buckets = artifacts::places(&view, tenant.uid)?;
        let key = view.get::<ExportKey>(&tenant.uid)?;
        drop(view);
        if tenant.held.is_some() {
            return Err(JobError::Held(tenant.slug));
        }
        let started = press.clock.now();
        let subject = Subject::new("tenant", Chain::pseudonym(tenant.uid));
        let mut act = By::here().did(Action::TenantErase, subject);
        // Copies of the key go first: once the store has forgotten them, nobody would find them.
        let shred = match &key {
            Some(key) => {
                act = act.with("key", &key.id);
                Some(Shred::begin(site, (&tenant, key), self, &exports, started)?)
            }
            None => None,
        };
        let drill = forget_drill(&site.config.data);
        let erased = press.store.erase(&self.slug, &act, started, report);
        press.forget(tenant.uid);
        let erased = match erased {
            Err(error) => return Err(Self::cut(site, &tenant, shred, error)),
            Ok(erased) => erased,
        };
        let erased = erased.ok_or_else(|| JobError::Unknown(self.slug.clone()))?;
        let cleared = bucket::clear(site, &tenant.slug);
        buckets.retain(|place| Some(place.as_str()) != press.artifacts.name());
        let mut outside = outside(mirror.as_ref(), &exports);
        outside.splice(0..0, bucket::outside(press.artifacts.name(), &cleared, &buckets));
        outside.extend(drill.as_ref().err().map(left_of_drill));
        let shredded = shred.map(|shred| shred.finish(press.clock.now())).transpose()?;
        sign(
            site,
            &Statement {
                tenant: tenant.uid,
                slug: tenant.slug,
                created: tenant.created.rfc3339(),
                started: started.rfc3339(),
                finished: press.clock.now().rfc3339(),
                program: concat!("colophon ", env!("CARGO_PKG_VERSION")).to_owned(),
                approved_by: self.approved_by.clone(),
                erased,
                artifacts: cleared.ok().flatten(),
                shredded,
                kept: KEPT.to_owned(),
                outside,
            },
        )
    }
}

impl Erase {
    /// Whether it is confirmed.
    pub fn check(&self) -> Result<(), JobError> {
        if self.confirm == self.slug.as_str() {
            return Ok(());
        }
        let (slug, given) = (self.slug.clone(), self.confirm.clone());
        Err(JobError::Unconfirmed { slug, given })
    }

    /// What is done at once when the store cannot erase, or not to the end; returns what the operator is told.
    fn cut(
        site: Site<'_>,
        tenant: &TenantRow,
        shred: Option<Shred<'_>>,
        error: colophon_store::Error,
    ) -> JobError {
        let there = site.press.store.view().and_then(|view| view.get::<TenantRow>(&tenant.slug));
        match there {
            Err(unreadable) => return unreadable.into(),
            // A hold came in between, or the store refused: the tenant is as it was.
            Ok(Some(_)) => {
                if let Some(Err(trouble)) = shred.map(Shred::give_up) {
                    return trouble;
                }
            }
            // The server does the rest by itself. What is left in the bucket now is found when that is compared.
            Ok(None) => {
                if let Err(trouble) = bucket::clear(site, &tenant.slug) {
                    tracing::warn!(%trouble, "bundles of a tenant that is erased are left in the bucket");
                }
            }
        }
        error.into()
    }

    fn tenant(&self, site: Site<'_>) -> Result<TenantRow, JobError> {
        let store = &site.press.store;
        if let Some(tenant) = store.view()?.get::<TenantRow>(&self.slug)? {
            return Ok(tenant);
        }
        let slug = self.slug.clone();
        Err(if store.is_retired(&slug)? { JobError::Erased(slug) } else { JobError::Unknown(slug) })
    }
}

fn sign(site: Site<'_>, statement: &Statement) -> Result<ErasureReport, JobError> {
    let key = site.press.keys.statement_key();
    let payload = serde_json::to_vec(statement)?;
    Ok(ErasureReport {
        statement: statement.clone(),
        envelope: Envelope::sign(ERASURE_TYPE, &payload, &key),
        key: key.public().to_pem(),
    })
}

const KEPT: &str = "a digest of the name, so that it is not given to another tenant; files that other \
                    tenants have too";

/// Places that the tenant was exported to.
fn exports(view: &View, tenant: TenantUid) -> Result<Vec<ExportPlace>, JobError> {
    let rows = view.scan::<ExportPlace>(&tenant);
    Ok(rows.map(|row| row.map(|(_, place)| place)).collect::<Result<_, _>>()?)
}

/// What could not be taken away of a drill that was killed.
fn left_of_drill(error: &std::io::Error) -> Outside {
    Outside {
        what: format!(
            "`drill` in the data directory, where an export was restored for trial: {error}"
        ),
        how: "delete that folder".to_owned(),
    }
}

/// What to do about an export.
fn export(place: &ExportPlace) -> Outside {
    let (url, sealed) = (&place.url, place.sealed);
    let delete = "delete the tenant's folder there, old versions included; what is locked, when its lock ends, or by who may \
                  go around it";
    let (what, how) = if sealed == 0 {
        (format!("what was exported for auditors to {url}"), delete.to_owned())
    } else if sealed < place.sequence {
        let plain = place.sequence - sealed;
        let what = format!("what was exported for auditors to {url}: {plain} bags are not sealed");
        (what, format!("{delete}; what is sealed nobody can read any more"))
    } else {
        let what = format!("what was exported for auditors to {url}, sealed");
        let how = "nobody can read it any more, unless somebody was given the key and kept it: ask them to \
                   destroy it; what is left are hashes, times and kinds of acts";
        (what, how.to_owned())
    };
    Outside { what, how }
}

fn outside(mirror: Option<&MirrorRow>, exports: &[ExportPlace]) -> Vec<Outside> {
    let upstream = mirror.map(|mirror| Outside {
        what: format!("the tenant's mirror at {}", mirror.url),
        how: "delete that repository and its forks; it is not pushed to any more".to_owned(),
    });
    let places = [
        ("backups of the data directory", "delete those made before `finished`, or restore, erase and back up again; this server does not know of them. With the master key, they open what was exported sealed"),
        ("clones and mirrors of the tenant's branch", "ask whoever has cloned it; a forge that mirrors it deletes the repository and its caches itself"),
        ("bundles on agents' machines", "remove the folder of `edge-fetch` on each: an agent keeps what it applied last"),
        ("files that the tenant's people downloaded or exported, object storage among it", "delete them where they went, old versions included"),
        ("snapshots of the file system, and blocks that it has freed", "delete snapshots made before `finished`; use an encrypted disk, or let the device discard what is free"),
        ("logs and traces of this server and of proxies before it", "they name the tenant and its flows, not their content; delete them by their own retention"),
    ]
    .map(|(what, how)| Outside { what: what.to_owned(), how: how.to_owned() });
    let exports = exports.iter().map(export);
    upstream.into_iter().chain(exports).chain(places).collect()
}
