//! Git's smart HTTP protocol, read-only: `/git/<slug>.git`.

use std::borrow::Cow;
use std::io::Read as _;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use colophon_gitbridge::{Limits, Protocol, Response as GitResponse, Tags, UploadPack};
use colophon_model::{TenantBranch, TenantUid};
use colophon_store::rows::TenantRow;
use serde::Deserialize;
use tokio::time::timeout;

use super::body::read_body;
use super::brief::Asked;
use super::git_stream::{Answer, StreamError, whole};
use super::path::Segments;
use super::{ApiError, auth};
use crate::app::{App, SharedApp};
use crate::fair::{Party, Share};
use crate::projection::TenantLog;
use crate::tokens::Scope;

/// Largest request, inflated, in bytes: Git's own default (`http.maxRequestBuffer`).
const REQUEST_LIMIT: usize = 10 * 1024 * 1024;

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
    let repo = Repo::open(app, repo, headers)?;
    let uid = repo.tenant.uid;
    let turn = app.press.objects.turn();
    let view = app.press.store.view()?;
    let log = TenantLog::new(&view, uid);
    let log = app.press.objects.over(turn, *uid.as_bytes(), &log);
    let begun = repo.door.advertise(&log, protocol(headers)).map_err(|e| ApiError::internal(&e))?;
    answer("application/x-git-upload-pack-advertisement", whole(begun.head, begun.refs))
}

/// `POST /git/<slug>.git/git-upload-pack`: the answer is planned in one snapshot, and streamed when
/// it is long.
pub(super) async fn upload_pack(
    State(app): State<SharedApp>,
    Segments(repo): Segments<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    // Nobody's body is read before it is known whose it is. Whose token is remembered need not be asked for first.
    let (reader, name, credentials) = (app.clone(), repo.clone(), headers.clone());
    let open = move || Repo::open(&reader, &name, &credentials);
    let slug = split(&repo).map(|(slug, _)| slug);
    let known =
        match slug.and_then(|slug| auth::remembered_tenant(&app, &headers, slug, Scope::Git)) {
            Some(uid) => Known::Sender(uid, open),
            None => Known::Repo(Box::new(app.reads.run(open).await??)),
        };
    let share = Share::Tenant(known.uid());
    // Who waits for the tenant's other requests takes no place that another tenant could have.
    let passage = app.git_turnstiles.pass(known.uid()).await.ok_or_else(ApiError::busy_tenant)?;
    let _held = app.bodies.hold(Party::of(share))?;
    let longest = app.config.git.longest.get();
    let body =
        timeout(longest, read_body(&app, body, REQUEST_LIMIT)).await.map_err(|_| too_slow())??;
    let reader = app.clone();
    let begun = match known {
        Known::Repo(repo) => {
            let plan = move || begin(&reader, &repo, &headers, &body);
            app.reads.resume_for(share, plan).await??
        }
        Known::Sender(uid, open) => {
            let asked = Asked::new(uid, &repo, &headers, &body);
            let plan = move || {
                let known = (&reader.press.recall, &reader.press.store);
                asked.answer(known, || begin(&reader, &open()?, &headers, &body))
            };
            match asked.turn(&app) {
                Some(_turn) => plan()?,
                None => app.reads.resume_for(share, plan).await??,
            }
        }
    };
    answer("application/x-git-upload-pack-result", begun.body(app, passage))
}

/// What is known of a request before its body is read.
enum Known<F> {
    /// Whose token it brings, and what opens the repository that it names.
    Sender(TenantUid, F),
    /// The repository, which that token may read.
    Repo(Box<Repo>),
}

impl<F> Known<F> {
    const fn uid(&self) -> TenantUid {
        match self {
            Self::Sender(uid, _) => *uid,
            Self::Repo(repo) => repo.tenant.uid,
        }
    }
}

fn too_slow() -> ApiError {
    ApiError::new(StatusCode::REQUEST_TIMEOUT, "request-timeout", "the body took too long to come")
}

/// Plans the answer and makes as much of it as goes out at once.
fn begin(app: &App, repo: &Repo, headers: &HeaderMap, body: &Bytes) -> Result<Answer, ApiError> {
    let uid = repo.tenant.uid;
    let request = inflate(headers, body)?;
    let turn = app.press.objects.turn();
    let view = app.press.store.view()?;
    let log = TenantLog::new(&view, uid);
    let log = app.press.objects.over(turn, *uid.as_bytes(), &log);
    match repo.door.answer(&log, protocol(headers), &request) {
        Ok(response) => {
            let GitResponse { head, refs, pack } = response;
            let has_pack = pack.is_some();
            let mut answer = Answer { uid, head, refs, has_pack, pack };
            answer.fill(app).map_err(|e: StreamError| ApiError::internal(&e))?;
            Ok(answer)
        }
        Err(error) if error.is_clients() => Ok(Answer {
            uid,
            head: error.to_packet(),
            refs: Vec::new(),
            has_pack: false,
            pack: None,
        }),
        Err(error) => Err(ApiError::internal(&error)),
    }
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

/// A repository that the request's token may read, as its name shows it.
struct Repo {
    tenant: TenantRow,
    door: UploadPack,
}

/// The slug that a repository's name holds, and whether the one with every tag is meant.
fn split(name: &str) -> Option<(&str, bool)> {
    let name = name.strip_suffix(".git")?;
    Some(name.strip_suffix("+all").map_or((name, false), |slug| (slug, true)))
}

impl Repo {
    /// `<slug>.git`, or `<slug>+all.git` with every tag. Git asks for credentials when it sees the
    /// challenge.
    fn open(app: &App, name: &str, headers: &HeaderMap) -> Result<Self, ApiError> {
        let view = app.press.store.view()?;
        let tenant = auth::token_tenant(app, &view, headers, Scope::Git).map_err(|e| {
            if e.is_unauthorized() { e.challenge("Basic realm=\"colophon\"") } else { e }
        })?;
        let (slug, has_all) = split(name).ok_or_else(ApiError::not_found)?;
        let tags = if has_all { Tags::All } else { Tags::Newest(app.config.git.tags) };
        if slug != tenant.slug.as_str() {
            return Err(ApiError::not_found());
        }
        let branch = TenantBranch::new(tenant.slug.clone());
        let agent = concat!("colophon/", env!("CARGO_PKG_VERSION"));
        let ref_in_want = app.config.git.ref_in_want;
        let door = UploadPack { branch, agent, tags, ref_in_want, limits: Limits::default() };
        Ok(Self { tenant, door })
    }
}

fn protocol(headers: &HeaderMap) -> Protocol {
    Protocol::from_header(headers.get("git-protocol").and_then(|v| v.to_str().ok()))
}

/// A request's body, unpacked if the client packed it, and bounded after that too.
fn inflate<'a>(headers: &HeaderMap, body: &'a Bytes) -> Result<Cow<'a, [u8]>, ApiError> {
    let encoding = headers.get(header::CONTENT_ENCODING).map_or(&b""[..], |v| v.as_bytes());
    let gzip = [&b"gzip"[..], b"x-gzip"].iter().any(|name| encoding.eq_ignore_ascii_case(name));
    if !gzip {
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
