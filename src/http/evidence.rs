//! What is written about bundles, and the keys to verify it with.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use colophon_model::{FlowId, Sha256, TenantUid};
use colophon_store::View;
use colophon_store::rows::{BundleAlias, Document, FlowHead, TenantRow};
use serde::Serialize;

use super::path::Segments;
use super::{ApiError, auth, etag};
use crate::app::{App, SharedApp};
use crate::artifacts::SignedUrl;
use crate::tokens::Scope;

/// `GET /v1/t/{slug}/edge/{flow}/{provenance,sbom}.json`: about the flow's current bundle.
pub(super) async fn of_flow(
    State(app): State<SharedApp>,
    Segments((slug, flow, name)): Segments<(String, String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let reader = app.clone();
    let load = move || {
        let view = reader.press.store.view()?;
        let uid = auth::path_tenant(&reader, &view, &headers, &slug, Scope::Edge)?.uid;
        let flow: FlowId = flow.parse().map_err(|_| ApiError::not_found())?;
        let head = view.get::<FlowHead>(&(uid, flow))?.and_then(|head| head.edge);
        let sha256 = head.ok_or_else(ApiError::not_found)?.output.sha256;
        document(&view, uid, &sha256, kind(&name)?, &headers)
    };
    app.reads.run(load).await?
}

/// `GET /v1/t/{slug}/bundles/{sha256}/{provenance,sbom,location}.json`: about any bundle that can be had.
pub(super) async fn of_bundle(
    State(app): State<SharedApp>,
    Segments((slug, sha256, name)): Segments<(String, String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let reader = app.clone();
    let load = move || {
        let view = reader.press.store.view()?;
        let tenant = auth::path_tenant(&reader, &view, &headers, &slug, Scope::Edge)?;
        let sha256: Sha256 = sha256.parse().map_err(|_| ApiError::not_found())?;
        if name == LOCATION {
            return location(&reader, &tenant, &sha256);
        }
        document(&view, tenant.uid, &sha256, kind(&name)?, &headers)
    };
    app.reads.run(load).await?
}

/// What tells where else a bundle can be had.
const LOCATION: &str = "location.json";

/// Where a bundle lies beside here, for an agent that wants all of it.
#[derive(Debug, Serialize)]
struct LocationView {
    /// Good without a token.
    url: String,
    url_expires: String,
}

/// A URL into the bucket; 404 for what does not lie there, as for what nobody has.
fn location(app: &App, tenant: &TenantRow, sha256: &Sha256) -> Result<Response, ApiError> {
    let found = app.press.artifacts.url(&app.press.store, tenant, sha256);
    let SignedUrl { url, expires } = found.ok_or_else(ApiError::not_found)?;
    let view = LocationView { url, url_expires: expires.rfc3339_seconds() };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(view)).into_response())
}

fn kind(name: &str) -> Result<Document, ApiError> {
    match name {
        "provenance.json" => Ok(Document::Provenance),
        "sbom.json" => Ok(Document::Sbom),
        _ => Err(ApiError::not_found()),
    }
}

const fn media_type(document: Document) -> &'static str {
    match document {
        Document::Provenance => "application/vnd.dsse.envelope.v1+json",
        Document::Sbom => "application/vnd.cyclonedx+json; version=1.6",
        Document::Minisig => "text/plain; charset=utf-8",
    }
}

/// A document as it was written.
fn document(
    view: &View,
    uid: TenantUid,
    sha256: &Sha256,
    document: Document,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let alias = view.get::<BundleAlias>(&(uid, *sha256))?.ok_or_else(ApiError::not_found)?;
    let digest = alias.documents.get(&document).ok_or_else(ApiError::not_found)?;
    let tag = format!("\"{digest}\"");
    let described = [
        (header::CONTENT_TYPE, media_type(document).to_owned()),
        (header::ETAG, tag.clone()),
        (header::CACHE_CONTROL, "no-cache".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    if etag::is_known(headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, described).into_response());
    }
    let bytes = view.read_blob(uid, digest)?.ok_or_else(ApiError::not_found)?;
    Ok((described, bytes).into_response())
}

/// The end of a zip's name that asks for its signature.
const MINISIG: &str = ".minisig";
/// The list of checksums among the bundles.
const CHECKSUMS: &str = "SHA256SUMS";

/// What stands beside the zips below `targets/`.
pub(super) enum Beside {
    /// The checksums of all current zips.
    Checksums,
    /// The signature for minisign of the zip with this name.
    Minisig(String),
}

impl Beside {
    /// What has this name; `None` for a zip's.
    pub(super) fn named(name: &str) -> Option<Self> {
        if name == CHECKSUMS {
            return Some(Self::Checksums);
        }
        name.strip_suffix(MINISIG).map(|zip| Self::Minisig(zip.to_owned()))
    }

    /// Its text, for a token of the tenant.
    pub(super) fn answer(
        &self,
        app: &App,
        slug: &str,
        headers: &HeaderMap,
    ) -> Result<Response, ApiError> {
        match self {
            Self::Checksums => checksums(app, slug, headers),
            Self::Minisig(zip) => minisig(app, slug, zip, headers),
        }
    }
}

fn minisig(app: &App, slug: &str, zip: &str, headers: &HeaderMap) -> Result<Response, ApiError> {
    let view = app.press.store.view()?;
    let uid = auth::path_tenant(app, &view, headers, slug, Scope::Edge)?.uid;
    let (sha256, target) = zip.split_once('.').ok_or_else(ApiError::not_found)?;
    let sha256: Sha256 = sha256.parse().map_err(|_| ApiError::not_found())?;
    let alias = view.get::<BundleAlias>(&(uid, sha256))?;
    alias.filter(|alias| alias.name == target).ok_or_else(ApiError::not_found)?;
    document(&view, uid, &sha256, Document::Minisig, headers)
}

/// The current bundles as `sha256sum -c` reads them, by their names below `targets/`.
fn checksums(app: &App, slug: &str, headers: &HeaderMap) -> Result<Response, ApiError> {
    use std::fmt::Write as _;

    let view = app.press.store.view()?;
    let uid = auth::path_tenant(app, &view, headers, slug, Scope::Edge)?.uid;
    let mut lines = String::new();
    for row in view.scan::<FlowHead>(&uid) {
        if let Some(edge) = row?.1.edge {
            let (sha256, name) = (edge.output.sha256, edge.output.target_name);
            let _ = writeln!(lines, "{sha256}  {sha256}.{name}"); // a String takes all
        }
    }
    Ok(([(header::CACHE_CONTROL, "no-cache")], lines).into_response())
}

/// A public key of attestations.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct KeyView {
    /// The id under which envelopes name it.
    keyid: String,
    keytype: &'static str,
    scheme: &'static str,
    /// `SubjectPublicKeyInfo`.
    pem: String,
}

/// What verifies everything that this server writes about bundles.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct KeysView {
    /// Each signs every attestation.
    keys: Vec<KeyView>,
    /// A public key file for minisign.
    minisign: String,
}

/// `GET /v1/keys/attestation`: all keys, for anyone.
pub(super) async fn keys(State(app): State<SharedApp>) -> Json<KeysView> {
    let attester = &app.press.attester;
    let view = |key: &colophon_trust::attest::PublicKey| {
        let (keytype, scheme) = key.scheme();
        KeyView { keyid: key.id(), keytype, scheme, pem: key.to_pem() }
    };
    let keys = attester.public().iter().map(view).collect();
    Json(KeysView { keys, minisign: attester.minisign() })
}

/// `GET /v1/keys/attestation/{ed25519.pem,p256.pem,minisign.pub}`: one as a file.
pub(super) async fn key(
    State(app): State<SharedApp>,
    Segments(name): Segments<String>,
) -> Result<String, ApiError> {
    let attester = &app.press.attester;
    let [ed25519, p256] = attester.public();
    match name.as_str() {
        "ed25519.pem" => Ok(ed25519.to_pem()),
        "p256.pem" => Ok(p256.to_pem()),
        "minisign.pub" => Ok(attester.minisign()),
        _ => Err(ApiError::not_found()),
    }
}
