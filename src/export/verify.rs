//! The check of an export, as an auditor does it: everything is read from the place, and nothing of the store that it
//! was made from is needed.

mod blobs;
mod erasures;
pub(super) mod payload;
mod sealed;
mod strays;
mod tags;

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Bytes;
use colophon_model::audit::{Chain, Walk};
use colophon_model::{BuildId, Digest, Oid, Sha256, TenantSlug};
use colophon_store::{Progress, Report};
use colophon_trust::attest::PublicKey;
use serde::{Deserialize, Serialize};

use super::envelope::{KeyId, Opener};
use super::error::{ExportError, Trouble};
use super::head::Head;
use super::layout::{self, BagName};
use super::place::{Place, TOO_LARGE};
use super::upload::{Carrier, Retry};
use crate::config::ExportConfig;
pub use erasures::ErasedExport;
pub(super) use tags::Tags;

/// How an export is checked.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// The key that must have signed it; none: the one that lies there, which whoever can write there can replace.
    pub key: Option<PublicKey>,
    /// How many of a hundred blobs are read, drawn anew each time. Whether the others are there is looked at.
    pub percent: u8,
    /// Requests at a time.
    pub concurrency: usize,
    /// Opens what is sealed, as far as it has the keys.
    pub opener: Opener,
}

/// What the check of one tenant's export has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// The folder, below the place.
    pub folder: String,
    /// Whose, as far as it could be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantSlug>,
    /// The id of the key that the bags are signed with.
    pub key: String,
    /// Whether the key was given; else it was taken from the place itself.
    pub key_given: bool,
    /// Bags that follow each other up to the newest.
    pub bags: u64,
    /// Builds in them.
    pub builds: u64,
    /// Lines of the audit log in them.
    pub lines: u64,
    /// Blobs that they name.
    pub blobs: u64,
    /// Blobs that were read.
    pub blobs_read: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Keys that bags or blobs are sealed with; left out when all is plain.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sealed: Vec<KeyId>,
    /// Files of bags, and blobs, that could not be looked into: their keys were not given. That they are there and unaltered
    /// was checked all the same.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unopened: u64,
    /// When the tenant was erased, as signed statements beside the bags say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub erased: Vec<ErasedExport>,
    /// What is wrong; empty when nothing is.
    pub findings: Vec<Finding>,
    /// Complete bags behind the one that `HEAD.json` names: an export is under way or was cut just then, or an older
    /// `HEAD.json` was put back. The latter for certain when there is more than one, which is a finding.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ahead: Vec<BagName>,
    /// Complete bags that none names: another exporter came before them. They harm nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orphaned: Vec<BagName>,
    /// Bags without a signature: an export is under way, or was cut.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unfinished: Vec<BagName>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// With which object.
    pub at: String,
    /// What.
    pub problem: String,
}

impl Verified {
    /// Whether nothing is wrong.
    pub const fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    fn wrong(&mut self, at: impl Into<String>, problem: impl Into<String>) {
        self.findings.push(Finding { at: at.into(), problem: problem.into() });
    }
}

/// Checks every tenant's export at `place`, or the one whose folder `place` is itself.
///
/// # Errors
/// When the place cannot be read, or there is no export. What is wrong with one is in the report.
pub fn verify_all(
    place: &Place,
    tenant: Option<&TenantSlug>,
    config: &ExportConfig,
    options: &VerifyOptions,
    report: Report<'_>,
) -> Result<Vec<Verified>, ExportError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(ExportError::Aside)?.block_on(async {
        let mut checked = Vec::new();
        for folder in folders(place, tenant, config).await? {
            let carrier = reader(place, folder.clone(), config);
            checked.push(verify(&carrier, folder, options, report).await?);
        }
        Ok(checked)
    })
}

/// Reads what is in a folder of a place.
pub(super) fn reader<'a>(place: &'a Place, folder: String, config: &ExportConfig) -> Carrier<'a> {
    let retry = Retry { attempts: config.attempts, first: super::run::FIRST_WAIT };
    Carrier::new(place, folder, 0, retry)
}

/// The folders of tenants at a place, or the place itself when it is one's; at least one.
pub(super) async fn folders(
    place: &Place,
    tenant: Option<&TenantSlug>,
    config: &ExportConfig,
) -> Result<Vec<String>, ExportError> {
    let here = reader(place, String::new(), config);
    let folders = match tenant {
        Some(slug) => vec![layout::tenant(slug)],
        None if here.find_within(layout::HEAD, SMALL).await?.is_some() => vec![String::new()],
        None => {
            let slugs = here.again(async || place.folders(layout::VERSION).await).await;
            let slugs = slugs.map_err(|failure| failure.into_trouble(layout::VERSION))?;
            let tenants = slugs.iter().filter(|name| name.parse::<TenantSlug>().is_ok());
            tenants.map(|slug| format!("{}/{slug}", layout::VERSION)).collect()
        }
    };
    if folders.is_empty() { Err(nothing(place.url())) } else { Ok(folders) }
}

fn nothing(at: impl std::fmt::Display) -> ExportError {
    Trouble::new("export-missing", format!("there is no export at {at}"))
        .hint("name the place that was exported to, or a tenant's folder in it")
        .into()
}

/// What is carried from one bag to the next.
struct Check<'a> {
    carrier: &'a Carrier<'a>,
    opener: &'a Opener,
    found: Verified,
    /// The audit log so far.
    walk: Option<Walk>,
    last_line: Sha256,
    builds: u64,
    last_build: Option<BuildId>,
    tip: Option<Oid>,
    /// When erasures were given up.
    given_up: Vec<String>,
    /// Every blob that is named, by SHA-256.
    blobs: BTreeMap<Sha256, Named>,
    /// Public keys by path, as far as a bag vouches for them.
    keys: BTreeMap<String, PublicKey>,
    /// Texts that say how to check, as bags name them, that were read.
    guides: BTreeSet<String>,
}

/// What is said of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Named {
    /// BLAKE3 of the file; none: that is said in a list that could not be opened.
    pub(super) digest: Option<Digest>,
    pub(super) size: u64,
    /// Whether it is sealed.
    pub(super) sealed: bool,
}

/// What a check has found good: where the chain ends, and its bags from the first to the newest.
pub(super) struct Proven {
    pub(super) head: Head,
    pub(super) bags: Vec<Tags>,
}

async fn verify(
    carrier: &Carrier<'_>,
    folder: String,
    options: &VerifyOptions,
    report: Report<'_>,
) -> Result<Verified, ExportError> {
    Ok(examine(carrier, folder, options, report).await?.0)
}

/// Checks an export; what is told of it beside the findings is only there when its end can be believed.
pub(super) async fn examine(
    carrier: &Carrier<'_>,
    folder: String,
    options: &VerifyOptions,
    report: Report<'_>,
) -> Result<(Verified, Option<Proven>), ExportError> {
    let Some(bytes) = carrier.find_within(&carrier.key(layout::HEAD), SMALL).await? else {
        return Err(nothing(format!("{}/{folder}", carrier.place.url())));
    };
    let mut check = Check::new(carrier, folder, &options.opener);
    let Some(key) = check.key(&bytes, options).await? else { return Ok((check.found, None)) };
    let head = match Head::open(&bytes, &key) {
        Ok(head) => head,
        Err(what) => {
            check.found.wrong(layout::HEAD, what);
            return Ok((check.found, None));
        }
    };
    check.found.tenant = Some(head.tenant.slug.clone());
    if !lies_right(&head, &format!("{}/{}", carrier.place.url(), check.found.folder)) {
        let text = format!("is that of tenant `{}`, in the folder of another", head.tenant.slug);
        check.found.wrong(layout::HEAD, text);
        return Ok((check.found, None));
    }
    check.walk = Some(Walk::new(Chain::Tenant(head.tenant.uid)));
    let mut chain = check.chain(&head, &key, report).await?;
    let total = chain.len() as u64;
    for (done, tags) in chain.iter().rev().enumerate() {
        check.bag(tags, &head).await?;
        check.found.bags += 1;
        report(Progress { stage: "checking bags", done: done as u64 + 1, total: Some(total) });
    }
    check.ends_at(&head);
    check.read_blobs(options, report).await?;
    check.erasures(&head, &key).await?;
    check.strays((&head, &key), &chain.iter().map(|tags| tags.name.clone()).collect()).await?;
    chain.reverse();
    Ok((check.found, Some(Proven { head, bags: chain })))
}

/// Whether a folder that has a tenant's name is that tenant's: one key signs for all, so another one's export would be
/// good there.
fn lies_right(head: &Head, at: &str) -> bool {
    let mut parts = at.trim_end_matches('/').rsplit('/');
    let (name, above) = (parts.next(), parts.next());
    above != Some(layout::VERSION) || name == Some(head.tenant.slug.as_str())
}

/// Largest object that is read whole, in bytes; blobs and bundles are not.
const SMALL: u64 = 64 << 20;

impl<'a> Check<'a> {
    fn new(carrier: &'a Carrier<'a>, folder: String, opener: &'a Opener) -> Self {
        let found = Verified {
            folder,
            tenant: None,
            key: String::new(),
            key_given: false,
            bags: 0,
            builds: 0,
            lines: 0,
            blobs: 0,
            blobs_read: 0,
            bytes: 0,
            sealed: Vec::new(),
            unopened: 0,
            erased: Vec::new(),
            findings: Vec::new(),
            ahead: Vec::new(),
            orphaned: Vec::new(),
            unfinished: Vec::new(),
        };
        Self {
            carrier,
            opener,
            found,
            walk: None,
            last_line: Sha256::from_bytes([0; 32]),
            builds: 0,
            last_build: None,
            tip: None,
            given_up: Vec::new(),
            blobs: BTreeMap::new(),
            keys: BTreeMap::new(),
            guides: BTreeSet::new(),
        }
    }

    /// Reads an object; one that is missing is a finding.
    async fn get(&mut self, path: &str) -> Result<Option<Bytes>, ExportError> {
        let found = match self.carrier.find_within(&self.carrier.key(path), SMALL).await {
            Err(error) if error.code() == TOO_LARGE => {
                self.found.wrong(path, format!("has more than {SMALL} bytes"));
                return Ok(None);
            }
            found => found?,
        };
        let Some(bytes) = found else {
            self.found.wrong(path, "is not there");
            return Ok(None);
        };
        self.found.bytes += bytes.len() as u64;
        Ok(Some(bytes))
    }

    /// The key that signs bags: the one that was given, or that which lies under the id that `HEAD.json` names.
    async fn key(
        &mut self,
        head: &[u8],
        options: &VerifyOptions,
    ) -> Result<Option<PublicKey>, ExportError> {
        self.found.key_given = options.key.is_some();
        if let Some(key) = &options.key {
            self.found.key = key.id();
            return Ok(Some(*key));
        }
        let Some(id) = Head::claimed_key(head) else {
            self.found.wrong(layout::HEAD, "names no key");
            return Ok(None);
        };
        let path = layout::key(&id);
        let Some(pem) = self.get(&path).await? else { return Ok(None) };
        match PublicKey::from_pem(&String::from_utf8_lossy(&pem)) {
            Ok(key) if key.id() == id => {
                self.found.key = id;
                Ok(Some(key))
            }
            _ => {
                self.found.wrong(path, "is not the key of that id");
                Ok(None)
            }
        }
    }

    /// The bags from the newest to the first, by what each says of the one before.
    async fn chain(
        &mut self,
        head: &Head,
        key: &PublicKey,
        report: Report<'_>,
    ) -> Result<Vec<Tags>, ExportError> {
        let (mut chain, mut next) = (Vec::new(), Some((head.export.clone(), head.tagmanifest)));
        let mut sequence = head.cursor.sequence;
        while let Some((name, sha256)) = next {
            let Some(tags) = self.tags(&name, sha256, key).await? else { break };
            if tags.info.number("Export-Sequence") != Some(sequence) || name.sequence() != sequence
            {
                self.found.wrong(
                    name.file(layout::INFO),
                    format!("is not number {sequence} of the chain"),
                );
                break;
            }
            next = tags.previous();
            if next.is_none() != (sequence == 1) {
                self.found.wrong(name.file(layout::INFO), "the chain does not begin with number 1");
                next = None;
            }
            chain.push(tags);
            report(Progress {
                stage: "following the chain",
                done: chain.len() as u64,
                total: Some(head.cursor.sequence),
            });
            // Number 0 is no bag's, whoever signs it.
            let Some(before) = sequence.checked_sub(1) else { break };
            sequence = before;
        }
        Ok(chain)
    }

    /// Whether the bags end where `HEAD.json` says.
    fn ends_at(&mut self, head: &Head) {
        let cursor = &head.cursor;
        let audit = self.walk.as_ref().is_some_and(|walk| walk.ends_at(&cursor.audit));
        if !audit
            || (self.builds, self.last_build, self.tip) != (cursor.builds, cursor.build, cursor.tip)
        {
            self.found.wrong(layout::HEAD, "the bags do not end where it says");
        }
    }
}
