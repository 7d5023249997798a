//! Git's smart HTTP protocol, read-only: `/git/<slug>.git`.

use std::borrow::Cow;
use std::io::Read as _;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use colophon_gitbridge::{Limits, PackStream, Protocol, UploadPack};
use colophon_model::{TenantBranch, TenantUid};
use colophon_store::rows::TenantRow;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::body::read_body;
use super::path::Segments;
use super::{ApiError, auth, chain};
use crate::app::{App, SharedApp};
use crate::projection::TenantLog;
use crate::tokens::Scope;

/// Largest request, inflated, in bytes: Git's own default (`http.maxRequestBuffer`).
const REQUEST_LIMIT: usize = 10 * 1024 * 1024;

/// Chunks of a pack that may wait for a slow reader: about 256 KiB.
const CHUNKS_AHEAD: usize = 4;

/// The service a client asks for.
#[derive(Debug, Deserialize)]
pub(super) struct Service {
    service: Option<String>,
}

/// `GET /git/<slug>.git/info/refs?service=git-upload-pack`.
pub(super) async fn advertise(
    State(app): State<SharedApp>,
    Segments(repo): Segments<String>,
    query: Result<Query<Service>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let service = query.ok().and_then(|Query(Service { service })| service);
    match service.as_deref() {
        Some("git-upload-pack") => {}
        Some("git-receive-pack") => return refuse_push().await,
        _ => {
            return Err(ApiError::forbidden("only the smart HTTP protocol is served")
                .hint("use a Git client that speaks smart HTTP (1.6.6 or later)"));
        }
    }
    let reader = app.clone();
    app.reads.run(move || advertisement(&reader, &repo, &headers)).await?
}

fn advertisement(app: &App, repo: &str, headers: &HeaderMap) -> Result<Response, ApiError> {
    let tenant = tenant(app, repo, headers)?;
    let view = app.press.store.view()?;
    let log = TenantLog::new(&view, tenant.uid);
    let body =
        door(&tenant).advertise(&log, protocol(headers)).map_err(|e| ApiError::internal(&e))?;
    answer("application/x-git-upload-pack-advertisement", Body::from(body))
}

/// `POST /git/<slug>.git/git-upload-pack`: the plan is made in one snapshot, the pack is streamed
/// by short reads, so that a slow reader pins nothing.
pub(super) async fn upload_pack(
    State(app): State<SharedApp>,
    Segments(repo): Segments<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let place = app.reads.admit()?;
    // Nobody's body is read before it is known whose it is.
    let (reader, credentials) = (app.clone(), headers.clone());
    let tenant = app.reads.resume(move || tenant(&reader, &repo, &credentials)).await??;
    let body = read_body(body, REQUEST_LIMIT).await?;
    let reader = app.clone();
    let planned = place.run(move || plan(&reader, &tenant, &headers, &body)).await??;
    let (uid, head, pack) = planned;
    let body = match pack {
        None => Body::from(head),
        Some(pack) => stream(app, uid, head, pack),
    };
    answer("application/x-git-upload-pack-result", body)
}

type Planned = (TenantUid, Vec<u8>, Option<PackStream>);

fn plan(
    app: &App,
    tenant: &TenantRow,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Planned, ApiError> {
    let view = app.press.store.view()?;
    let log = TenantLog::new(&view, tenant.uid);
    let request = inflate(headers, body)?;
    match door(tenant).answer(&log, protocol(headers), &request) {
        Ok(response) => Ok((tenant.uid, response.head, response.pack)),
        Err(error) if error.is_clients() => Ok((tenant.uid, error.to_packet(), None)),
        Err(error) => Err(ApiError::internal(&error)),
    }
}

fn door(tenant: &TenantRow) -> UploadPack {
    UploadPack {
        branch: TenantBranch::new(tenant.slug.clone()),
        agent: concat!("colophon/", env!("CARGO_PKG_VERSION")),
        limits: Limits::default(),
    }
}

/// Reads the pack chunk by chunk, each in a snapshot of its own, as fast as the client takes it.
fn stream(app: SharedApp, uid: TenantUid, head: Vec<u8>, pack: PackStream) -> Body {
    let (sender, receiver) = mpsc::channel::<Result<Bytes, std::io::Error>>(CHUNKS_AHEAD);
    tokio::spawn(async move {
        let mut pack = pack;
        let mut chunk = Some(head);
        while let Some(bytes) = chunk {
            if sender.send(Ok(Bytes::from(bytes))).await.is_err() {
                return; // the client is gone
            }
            let reader = app.clone();
            let read = app.reads.resume(move || {
                let chunk = next_chunk(&reader, uid, &mut pack);
                (pack, chunk)
            });
            match read.await {
                Ok((rest, Ok(next))) => (pack, chunk) = (rest, next),
                Ok((pack, Err(error))) => return cut(&sender, told(&pack, &error), &error).await,
                Err(error) => return cut(&sender, Vec::new(), &error).await,
            }
        }
    });
    Body::from_stream(ReceiverStream::new(receiver))
}

fn next_chunk(
    app: &App,
    uid: TenantUid,
    pack: &mut PackStream,
) -> Result<Option<Vec<u8>>, StreamError> {
    let view = app.press.store.view()?;
    Ok(pack.next(&TenantLog::new(&view, uid))?)
}

#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error(transparent)]
    Store(#[from] colophon_store::Error),
    #[error(transparent)]
    Git(#[from] colophon_gitbridge::Error),
}

/// What the client can be told of an error in the middle of a pack.
fn told(pack: &PackStream, error: &StreamError) -> Vec<u8> {
    match error {
        StreamError::Git(error) => pack.failure(error),
        StreamError::Store(_) => Vec::new(),
    }
}

/// Ends a stream in error: the client is told in its protocol, then the connection is cut, so that
/// it cannot take the pack for whole.
async fn cut(
    sender: &mpsc::Sender<Result<Bytes, std::io::Error>>,
    told: Vec<u8>,
    error: &(dyn std::error::Error + Sync),
) {
    tracing::error!(error = %chain(error), "a pack could not be sent to its end");
    let _ = sender.send(Ok(Bytes::from(told))).await;
    let _ = sender.send(Err(std::io::Error::other("the pack could not be read"))).await;
}

/// `POST /git/<slug>.git/git-receive-pack`, and the question before it: a push is refused in words
/// that Git shows to its user.
pub(super) async fn refuse_push() -> Result<Response, ApiError> {
    let text = "colophon repositories are read-only: the branch is written by builds\n";
    Response::builder()
        .status(StatusCode::FORBIDDEN)
        .header(header::CONTENT_TYPE, "text/plain; charset=utf-8")
        .body(Body::from(text))
        .map_err(|e| ApiError::internal(&e))
}

/// The tenant of a repository's name, if the request's token may read it. Git asks for
/// credentials when it sees the challenge.
fn tenant(app: &App, repo: &str, headers: &HeaderMap) -> Result<TenantRow, ApiError> {
    let view = app.press.store.view()?;
    let tenant = auth::token_tenant(app, &view, headers, Scope::Git)
        .map_err(|e| e.challenge("Basic realm=\"colophon\""))?;
    if repo.strip_suffix(".git") == Some(tenant.slug.as_str()) {
        Ok(tenant)
    } else {
        Err(ApiError::not_found())
    }
}

fn protocol(headers: &HeaderMap) -> Protocol {
    Protocol::from_header(headers.get("git-protocol").and_then(|v| v.to_str().ok()))
}

/// A request's body, unpacked if the client packed it, and bounded after that too.
fn inflate<'a>(headers: &HeaderMap, body: &'a Bytes) -> Result<Cow<'a, [u8]>, ApiError> {
    let encoding = headers.get(header::CONTENT_ENCODING).map_or(&b""[..], |v| v.as_bytes());
    if !matches!(encoding, b"gzip" | b"x-gzip") {
        return Ok(Cow::Borrowed(body));
    }
    let mut request = Vec::new();
    flate2::read::GzDecoder::new(&body[..])
        .take(REQUEST_LIMIT as u64 + 1)
        .read_to_end(&mut request)
        .map_err(|_| ApiError::bad_request("malformed-gzip", "the body is not gzip"))?;
    if request.len() > REQUEST_LIMIT {
        let text = format!("the request is larger than {REQUEST_LIMIT} bytes");
        return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", text));
    }
    Ok(Cow::Owned(request))
}

fn answer(content_type: &str, body: Body) -> Result<Response, ApiError> {
    Response::builder()
        .header(header::CONTENT_TYPE, content_type)
        .header(header::CACHE_CONTROL, "no-cache, max-age=0, must-revalidate")
        .body(body)
        .map_err(|e| ApiError::internal(&e))
}
