//! What was restored, and what has to be made anew.

use std::borrow::Cow;

use colophon_model::{Oid, TenantSlug, TenantUid};
use serde::{Deserialize, Serialize};

use super::Surveyed;
use super::compare::Compared;
use super::source::has;
use crate::export::envelope::KeyId;
use crate::export::layout::{self, BagName};

/// What was restored of a tenant, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Imported {
    /// Its name.
    pub tenant: TenantSlug,
    /// Its uid, which is that of before.
    pub uid: TenantUid,
    /// The folder, below the place.
    pub folder: String,
    /// The newest bag.
    pub export: BagName,
    /// Bags that were read.
    pub bags: u64,
    /// Builds.
    pub builds: u64,
    /// Lines of the audit log.
    pub lines: u64,
    /// Blobs that were fetched now.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Git objects on its branch.
    pub objects: u64,
    /// Its tags.
    pub tags: u64,
    /// The commit at the tip of its branch.
    pub tip: Option<Oid>,
    /// The id of the key that signed the export.
    pub key: String,
    /// The keys that it is sealed with; left out when all is plain.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sealed: Vec<KeyId>,
    /// The key that sealed exports go on with: the newest of those, or a new one when that was asked for. Left out when nothing is
    /// sealed, and when the new one is not made yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export_key: Option<KeyId>,
    /// Whether that is the key of this server: it has the old master key.
    pub same_key: bool,
    /// Whether agents go on with the root that they have pinned.
    pub edge_kept: bool,
    /// Whether it went on with what an earlier attempt had written.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resumed: bool,
    /// Whether nothing was written.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// What an export does not hold, and how to make it anew.
    pub missing: Vec<Missing>,
    /// How what was restored compares with the export, when that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared: Option<Compared>,
}

/// Something that an export does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// What.
    pub what: Cow<'static, str>,
    /// The command that makes it anew, or what to do.
    pub how: String,
}

impl Imported {
    pub(super) fn of(from: &Surveyed, resumed: bool, same_key: bool) -> Self {
        let (found, head) = (&from.verified, &from.proven.head);
        Self {
            tenant: from.tenant.slug.clone(),
            uid: from.tenant.uid,
            folder: from.folder.clone(),
            export: head.export.clone(),
            bags: found.bags,
            builds: found.builds,
            lines: found.lines,
            blobs: 0,
            bytes: 0,
            objects: 0,
            tags: 0,
            tip: head.cursor.tip,
            key: found.key.clone(),
            sealed: found.sealed.clone(),
            export_key: None,
            same_key,
            edge_kept: false,
            resumed,
            dry_run: false,
            missing: Vec::new(),
            compared: None,
        }
    }

    /// What would be restored of an export that was found good.
    pub fn preview(from: &Surveyed, same_key: bool, new_export_key: bool) -> Self {
        let has_edge = from.proven.bags.iter().any(|bag| has(bag, layout::EDGE));
        let mut done = Self::of(from, false, same_key);
        (done.dry_run, done.edge_kept) = (true, same_key && has_edge);
        done.export_key = done.sealed.last().filter(|_| !new_export_key).cloned();
        (done.blobs, done.bytes) = (from.verified.blobs, from.verified.bytes);
        done.missing = missing(&done);
        done
    }
}

/// What has to be made anew.
pub(super) fn missing(done: &Imported) -> Vec<Missing> {
    let slug = &done.tenant;
    let mut all = Vec::new();
    let mut add = |what: &'static str, how: String| all.push(Missing { what: what.into(), how });
    add("tokens", format!("colophon token create {slug} --kind KIND, for each"));
    add(
        "webhook secrets (those of before are good no more)",
        format!("colophon webhook secret rotate {slug}, and give the new one to the builder"),
    );
    add("hooks", format!("colophon hook create {slug}"));
    add("endpoints that events are sent to", format!("colophon endpoint create {slug} URL"));
    add("the upstream repository", format!("colophon mirror set {slug} URL"));
    add("encrypted environments of edge flows", format!("colophon edge env set {slug} FLOW"));
    add(
        "what was delivered and not built, names of deliveries, what agents reported, where acts came from",
        "gone with the old store".to_owned(),
    );
    if !done.edge_kept {
        add(
            "the edge repository's root: it is a new one of this server",
            format!("enroll every agent anew with `/v1/t/{slug}/tuf/1.root.json`"),
        );
    }
    if !done.same_key {
        add(
            "signatures by this server's key: commits, attestations and the audit log up to here verify with the old keys",
            "keep the old public keys: they lie beside the export, below `keys/`".to_owned(),
        );
        add(
            "the place of the export: only the old master key goes on there",
            "export to another place; the old one stays the evidence it is".to_owned(),
        );
    }
    all
}
