//! `/v1/t/{slug}/edge/{flow}/env`: a flow's encrypted environment, for tokens that may build and the
//! operator; and the ciphertext below `targets/`, for agents.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use colophon_model::{FlowId, Sha256};
use colophon_store::rows::FlowHead;
use colophon_trust::EnvName;
use colophon_trust::limits::MAX_ENVIRONMENT;

use super::body::read_body;
use super::flows::owner;
use super::path::Segments;
use super::representation::Representation;
use super::{ApiError, auth, etag};
use crate::app::{App, SharedApp};
use crate::ciphertext::{Ciphertext, InvalidCiphertext};
use crate::feed::environment::{EnvError, EnvRemoved, EnvStatus, version};
use crate::tokens::Scope;

/// Takes an age file. Whoever may build a flow may set this: its code could read every value anyway.
pub(super) async fn set(
    State(app): State<SharedApp>,
    Segments((slug, flow)): Segments<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    // Nobody's body is read before it is known whose it is.
    let (reader, asked, named) = (app.clone(), headers.clone(), slug.clone());
    let allowed = move || owner(&reader, &reader.press.store.view()?, &asked, &named, Scope::Build);
    app.reads.run(allowed).await??;
    let body = read_body(&app, body, MAX_ENVIRONMENT as usize).await?;
    let place = app.builds.admit()?;
    let set = move || {
        let tenant = owner(&app, &app.press.store.view()?, &headers, &slug, Scope::Build)?;
        let flow = FlowId::new(flow).map_err(|_| ApiError::not_found())?;
        let ciphertext = Ciphertext::parse(body.into()).map_err(|e| unencrypted(&e))?;
        let expected = etag::expected(&headers);
        let done = app.press.set_environment_expected(&tenant, &flow, &ciphertext, &expected);
        let done = done.map_err(|error| refused(&error))?;
        Ok(etag::tagged(&version(done.status.seq), Json(done)))
    };
    place.run(set).await?
}

/// Tells what is known of it, which is nothing of what is in it.
pub(super) async fn show(
    State(app): State<SharedApp>,
    Segments((slug, flow)): Segments<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let reader = app.clone();
    let read = move || {
        let view = reader.press.store.view()?;
        let tenant = owner(&reader, &view, &headers, &slug, Scope::Records)?;
        let flow = FlowId::new(flow).map_err(|_| ApiError::not_found())?;
        let status = EnvStatus::read(&view, &tenant, &flow)?.ok_or_else(ApiError::not_found)?;
        Ok(etag::tagged(&version(status.seq), Json(status)))
    };
    app.reads.run(read).await?
}

/// Takes it away from agents.
pub(super) async fn remove(
    State(app): State<SharedApp>,
    Segments((slug, flow)): Segments<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<EnvRemoved>, ApiError> {
    let place = app.builds.admit()?;
    let remove = move || {
        let tenant = owner(&app, &app.press.store.view()?, &headers, &slug, Scope::Build)?;
        let flow = FlowId::new(flow).map_err(|_| ApiError::not_found())?;
        let expected = etag::expected(&headers);
        let done = app.press.remove_environment_expected(&tenant, &flow, &expected);
        done.map(Json).map_err(|error| refused(&error))
    };
    place.run(remove).await?
}

fn unencrypted(error: &InvalidCiphertext) -> ApiError {
    let (status, code) = match error {
        InvalidCiphertext::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large"),
        _ => (StatusCode::UNPROCESSABLE_ENTITY, "not-encrypted"),
    };
    ApiError::new(status, code, error.to_string()).hint(
        "encrypt it on your machine, for the recipients of the devices: `colophon edge env set`, or \
         `age -r age1…`; what was sent in clear has been seen by this server: change it",
    )
}

fn refused(error: &EnvError) -> ApiError {
    match error {
        EnvError::Build(cause) => ApiError::build(cause),
        EnvError::NoEdgePart(_) => {
            ApiError::new(StatusCode::CONFLICT, "no-edge-part", error.to_string())
        }
    }
}

/// An environment below `targets/`, by its hash and name.
pub(super) struct Named {
    sha256: Sha256,
    name: EnvName,
}

impl Named {
    /// What has this file name; `None` for a bundle's.
    pub(super) fn read(file: &str) -> Option<Self> {
        let (sha256, name) = file.split_once('.')?;
        Some(Self { sha256: sha256.parse().ok()?, name: name.parse().ok()? })
    }

    /// The ciphertext, for a token of the tenant, while it is the current one.
    pub(super) fn answer(
        &self,
        app: &App,
        slug: &str,
        headers: &HeaderMap,
    ) -> Result<Response, ApiError> {
        let view = app.press.store.view()?;
        let tenant = auth::path_tenant(app, &view, headers, slug, Scope::Edge)?;
        let head = view.get::<FlowHead>(&(tenant.uid, self.name.flow().clone()))?;
        let env = head.and_then(|head| head.env);
        let env = env.filter(|env| env.sha256 == self.sha256 && *self.name.slug() == tenant.slug);
        let env = env.ok_or_else(ApiError::not_found)?;
        let bytes = view.read_blob(tenant.uid, &env.digest)?.ok_or_else(ApiError::not_found)?;
        Representation {
            media: "application/octet-stream",
            tag: format!("\"sha256:{}\"", env.sha256),
            sha256: env.sha256,
            bytes: bytes.into(),
        }
        .respond(headers)
    }
}
