//! Why a blob lives: where it is, who has it, and what names it.

use colophon_model::{Digest, TenantSlug, TenantUid, UnixMillis};
use serde::{Deserialize, Serialize};

use crate::blob::{BlobRow, Condemned, Member, Place};
use crate::delta;
use crate::reach::{self, Reason};
use crate::reader::Stored;
use crate::row::Row;
use crate::rows::{Document, SlugOf};
use crate::{Error, Store, Table, View};

/// Everything the store knows of one blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Its address.
    pub digest: Digest,
    /// Its size, in bytes.
    pub size: u64,
    /// What it takes as it is stored, in bytes; `None` when that is lost.
    pub stored: Option<u64>,
    /// The blob that it is stored as a difference from.
    pub rests_on: Option<Digest>,
    /// How many blobs are decoded to read it at most, this one not counted.
    pub depth: u8,
    /// How many blobs are stored as differences from this one.
    pub base_of: u64,
    /// How its bytes are encoded: a number of the table in `docs/store-format.md`.
    pub codec: u8,
    /// Where its bytes are.
    pub place: String,
    /// Whether its bytes are lost or wrong.
    pub damaged: bool,
    /// Who has it. A blob that nobody has goes with the next collection.
    pub tenants: Vec<Holder>,
}

/// A tenant that has the blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The tenant.
    pub tenant: TenantUid,
    /// Its name.
    pub slug: Option<TenantSlug>,
    /// Since when a collection found nothing that names the blob.
    pub condemned: Option<UnixMillis>,
    /// What names it now, in words.
    pub reasons: Vec<String>,
}

impl Store {
    /// Says why blob `digest` lives. `None` when the store has no such blob.
    pub fn explain(&self, digest: &Digest) -> Result<Option<Explanation>, Error> {
        let view = self.view()?;
        let row = view.snapshot().get(Table::Blob, digest.as_bytes()).map_err(Error::Read)?;
        let Some(row) = row else { return Ok(None) };
        let row = BlobRow::decode(&row).map_err(|e| e.of(Table::Blob))?;
        let damaged = match view.read_any(digest) {
            Ok(_) => false,
            Err(Error::Corrupt { .. }) => true,
            Err(error) => return Err(error),
        };
        let stored = view.durable().stored(digest).map_err(Error::Read)?;
        let base_of = delta::resting_on(view.snapshot(), digest).map_err(Error::Read)?;
        Ok(Some(Explanation {
            digest: *digest,
            size: u64::from(row.raw_len),
            stored: stored.as_ref().map(Stored::len),
            rests_on: stored.as_ref().and_then(Stored::base),
            depth: row.codec.depth(),
            base_of: base_of.len() as u64,
            codec: row.codec.number(),
            place: place(row.place),
            damaged,
            tenants: holders(&view, digest)?,
        }))
    }
}

fn place(place: Place) -> String {
    match place {
        Place::Inline(number) => format!("metadata, number {number}"),
        Place::Segment(at) => {
            format!("segment {:016x}, {} bytes at {}", at.segment, at.length, at.offset)
        }
    }
}

fn holders(view: &View, digest: &Digest) -> Result<Vec<Holder>, Error> {
    let mut holders = Vec::new();
    for row in view.scan::<Member>(digest) {
        let ((_, tenant), _) = row?;
        let reasons = reach::reasons(view, tenant, digest)?;
        holders.push(Holder {
            tenant,
            slug: view.get::<SlugOf>(&tenant)?.map(|row| row.slug),
            condemned: view.get::<Condemned>(&(*digest, tenant))?.map(|row| row.at),
            reasons: reasons.iter().map(words).collect(),
        });
    }
    Ok(holders)
}

fn words(reason: &Reason) -> String {
    match reason {
        Reason::Body(build) => format!("the flow as received for build {build}"),
        Reason::Manifest(build) => format!("manifest.json of build {build}"),
        Reason::Tree(build) => format!("a list of files of build {build}"),
        Reason::File(build, path) => format!("{path} of build {build}"),
        Reason::Environment(flow) => format!("encrypted environment of flow {flow}"),
        Reason::Delivery(key) => format!("body of delivery {key}, which was refused"),
        Reason::Head(flow) => format!("current build of flow {flow}"),
        Reason::Bundle(sha256) => format!("a list of files of bundle {sha256}"),
        Reason::Document(sha256, document) => format!("{} of bundle {sha256}", kind(*document)),
        Reason::BundleFile(sha256, path) => format!("{path} of bundle {sha256}"),
        Reason::Tuf(name) => format!("edge metadata {name}"),
        Reason::Planted(path) => format!("{path} as first planted"),
        Reason::GitObject(ordinal) => format!("object {} of the Git log", ordinal.get()),
    }
}

const fn kind(document: Document) -> &'static str {
    match document {
        Document::Provenance => "provenance",
        Document::Minisig => "signature",
        Document::Sbom => "bill of materials",
    }
}
