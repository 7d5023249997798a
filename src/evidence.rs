//! What is written about a bundle when it is made, and signed there: who made it from what, a signature
//! for minisign, and what it is made of. Nothing here depends on more than the build's own facts, so the
//! same build gives the same bytes.

mod provenance;
mod sbom;

use std::collections::BTreeMap;

use colophon_model::{
    BuildId, Digest, EdgeManifest, EdgeOutput, FileSet, FlowId, FlowSource, Sha256, TenantSlug,
    UnixMillis,
};
use colophon_store::Change;
use colophon_store::rows::{BundleAlias, Document};
use colophon_trust::attest::{AttestationKeys, IN_TOTO, PublicKey};
use colophon_trust::minisign::{Comment, MinisignKey};
use serde_json::Value;

use crate::feed;
use crate::keys::MasterKey;

/// What a build knows of the bundle it made.
#[derive(Debug, Clone, Copy)]
pub struct Made<'a> {
    /// Whose.
    pub tenant: &'a TenantSlug,
    /// Of which flow.
    pub flow: &'a FlowId,
    /// The builder the flow was drawn in.
    pub source: FlowSource,
    /// Its revision there.
    pub revision: Option<u64>,
    /// The flow as received.
    pub body: &'a [u8],
    /// Digest of all templates.
    pub templates: Digest,
    /// By which build.
    pub build: BuildId,
    /// When the flow came in.
    pub received: UnixMillis,
    /// When the build was committed.
    pub finished: UnixMillis,
    /// The bundle.
    pub output: &'a EdgeOutput,
    /// What the bundle says of itself.
    pub manifest: &'a EdgeManifest,
    /// Its files.
    pub files: &'a FileSet,
    /// Its zip.
    pub zip: &'a [u8],
}

/// The keys that sign what is written about bundles.
#[derive(Debug)]
pub struct Attester {
    attestation: AttestationKeys,
    minisign: MinisignKey,
}

/// The documents of one bundle.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    documents: BTreeMap<Document, Digest>,
    /// The bytes of those that the store does not have yet.
    new: Vec<(Document, Vec<u8>)>,
    /// SHA-256 of the provenance's envelope.
    pub attestation: Option<Sha256>,
}

impl Attester {
    /// The keys of a server.
    pub fn new(keys: &MasterKey) -> Self {
        Self { attestation: keys.attestation_keys(), minisign: keys.minisign_key() }
    }

    /// The public keys of attestations.
    pub fn public(&self) -> [PublicKey; 2] {
        self.attestation.public()
    }

    /// The public key for minisign, as a file.
    pub fn minisign(&self) -> String {
        self.minisign.public()
    }

    /// Writes and signs what there is to say about a bundle.
    pub fn attest(&self, made: &Made<'_>) -> Evidence {
        let provenance = self.attestation.sign(IN_TOTO, &encode(&provenance::statement(made)));
        let provenance = encode(&serde_json::json!(provenance));
        let signature = self.minisig((made.tenant, made.flow), made.output, made.zip);
        let attestation = Some(Sha256::of(&provenance));
        let new = vec![
            (Document::Provenance, provenance),
            (Document::Minisig, signature),
            (Document::Sbom, encode(&sbom::bill(made))),
        ];
        let documents = new.iter().map(|(kind, bytes)| (*kind, Digest::of(bytes))).collect();
        Evidence { documents, new, attestation }
    }
}

impl Attester {
    /// The signature of a zip for minisign. It names the bundle's number, so it is made again when the
    /// same zip is published under another.
    pub fn minisig(
        &self,
        whose: (&TenantSlug, &FlowId),
        output: &EdgeOutput,
        zip: &[u8],
    ) -> Vec<u8> {
        self.minisign.sign(zip, &comment(whose, output)).into_bytes()
    }
}

impl Evidence {
    /// What was written about the same bundle before; `None` when that was nothing.
    pub fn kept(alias: BundleAlias, attestation: Option<Sha256>) -> Option<Self> {
        attestation?;
        Some(Self { documents: alias.documents, new: Vec::new(), attestation })
    }

    /// The documents, by what they are.
    pub const fn documents(&self) -> &BTreeMap<Document, Digest> {
        &self.documents
    }

    /// Those documents that the store does not have yet.
    pub fn new_documents(&self) -> impl Iterator<Item = (Document, &[u8])> {
        self.new.iter().map(|(kind, bytes)| (*kind, bytes.as_slice()))
    }

    /// Names the documents again that the store has, in the change that publishes the bundle.
    pub fn keep(&self, change: &mut Change, uid: colophon_model::TenantUid) {
        if self.new.is_empty() {
            for digest in self.documents.values() {
                change.keep(uid, *digest);
            }
        }
    }
}

fn comment((tenant, flow): (&TenantSlug, &FlowId), output: &EdgeOutput) -> Comment {
    let EdgeOutput { target_name, seq, sha256, .. } = output;
    let version = feed::version(*seq);
    Comment::new(format!(
        "colophon v1 tenant:{tenant} flow:{flow} target:{target_name} version:{version} seq:{seq} \
         sha256:{sha256}"
    ))
    .expect("names, numbers and hashes have no line break")
}

/// JSON with sorted keys and without white space.
fn encode(json: &Value) -> Vec<u8> {
    json.to_string().into_bytes()
}
