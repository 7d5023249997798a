//! The one place that turns errors into answers: RFC 9457 problem details with a stable code.

mod events;
mod intake;
mod outbound;

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use colophon_compiler::{Problem, Problems};
use colophon_gitbridge::Error as GitError;
use colophon_model::BuildRecord;
use colophon_store::{CommitError, Error as StoreError};
use colophon_trust::Error as TrustError;
use serde::Serialize;

use super::{auth, edge};
use crate::bundles::FilesError;
use crate::export::{ExportError, RestoreError};
use crate::feed::FeedError;
use crate::maintenance::{JobError, OutError};
use crate::mirror::MirrorError;
use crate::pipeline::{BuildError, refusal};
use crate::projection::RebuildError;
use crate::tasks::TaskError;
use crate::telemetry::request::About;
use crate::tenants::TenantError;
use crate::zips::ZipError;

/// An answer that says why a request was refused. One pointer, so that results stay small.
#[derive(Debug)]
pub struct ApiError(Box<Refusal>);

#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    code: &'static str,
    detail: String,
    hint: Option<String>,
    errors: Vec<ProblemView>,
    retry_after: Option<u64>,
    challenge: Option<&'static str>,
}

/// One problem of a flow, as clients see it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = FlowProblem)]
pub(super) struct ProblemView {
    code: &'static str,
    pointer: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    detail: String,
}

impl ProblemView {
    /// What `problem` says.
    pub(super) fn new(problem: &Problem) -> Self {
        Self {
            code: problem.code,
            pointer: problem.pointer.to_string(),
            node: problem.node.clone(),
            detail: problem.detail.clone(),
        }
    }
}

/// The body of an answer with `Content-Type: application/problem+json` (RFC 9457 §3).
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub(super) struct Body<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    code: &'a str,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [ProblemView],
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
}

impl ApiError {
    /// An error with a stable code and a text for people.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self(Box::new(Refusal {
            status,
            code,
            detail: detail.into(),
            hint: None,
            errors: Vec::new(),
            retry_after: None,
            challenge: None,
        }))
    }

    /// The status.
    pub const fn status(&self) -> u16 {
        self.0.status.as_u16()
    }

    /// The stable code.
    pub const fn code(&self) -> &'static str {
        self.0.code
    }

    /// What is wrong, for a person.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// What the client can do about it.
    pub(super) fn told_hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Adds what the client can do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Asks for credentials in the given scheme (RFC 9110 §11.6.1).
    #[must_use]
    pub fn challenge(mut self, scheme: &'static str) -> Self {
        self.0.challenge = Some(scheme);
        self
    }

    fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    /// 404, the same for what does not exist and for what belongs to another tenant.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "there is no such thing here")
    }

    /// 429 for a tenant whose other requests did not end in time.
    pub fn busy_tenant() -> Self {
        let text = "too many Git requests of this tenant are being answered";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "busy", text).retry_after(5)
    }

    /// 401 for a missing, unknown or expired token.
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "a valid token is required")
            .challenge(auth::BEARER)
    }

    /// 403 for a credential that is good for something else.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// 403 for a good credential of a tenant that is suspended.
    pub fn suspended() -> Self {
        Self::new(StatusCode::FORBIDDEN, "tenant-suspended", "the tenant is suspended")
            .hint("the operator of this server knows why; nothing of the tenant is lost")
    }

    /// Whether it says that the credential is not good for this.
    pub(super) fn is_unauthorized(&self) -> bool {
        self.0.status == StatusCode::UNAUTHORIZED
    }

    /// 400 for a request that cannot be understood.
    pub fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// 500: logged with its cause here, told to the client without it.
    pub fn internal(cause: &dyn std::error::Error) -> Self {
        tracing::error!(error = %chain(cause), "request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the server could not complete the request; its log says why",
        )
    }

    fn stopped(cause: &dyn std::error::Error) -> Self {
        tracing::error!(error = %chain(cause), "the store has stopped");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "store-stopped",
            "the store stopped after a failed write; the server must be restarted",
        )
        .retry_after(30)
    }

    /// 507: nothing was written, and nothing is until there is room. How much is left is for the log.
    fn full(cause: &CommitError) -> Self {
        tracing::warn!("{cause}");
        let text = "the server's disk is full; nothing was written";
        Self::new(StatusCode::INSUFFICIENT_STORAGE, "disk-full", text)
            .hint("the operator gives the disk room, or runs `colophon purge` and `colophon gc`")
            .retry_after(60)
    }

    /// 412: what `If-Match` names is not what is there.
    pub(super) fn unexpected(detail: String) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, "precondition-failed", detail)
            .hint("read it again, and send its `ETag` in `If-Match`")
    }

    /// 409: one maintenance job runs at a time.
    pub(super) fn maintenance_runs() -> Self {
        let text = "another maintenance job is running";
        Self::new(StatusCode::CONFLICT, "maintenance-runs", text)
            .hint("try again when it has ended")
    }

    fn commit(cause: &CommitError) -> Self {
        match cause {
            CommitError::Full { .. } => Self::full(cause),
            CommitError::Conflict(_) => Self::internal(cause),
            CommitError::Stopped(_) => Self::stopped(cause),
        }
    }

    fn store(cause: &StoreError) -> Self {
        match cause {
            StoreError::Busy => Self::maintenance_runs(),
            StoreError::Commit(cause) => Self::commit(cause),
            other => Self::internal(other),
        }
    }

    fn flow(problems: &Problems) -> Self {
        let errors: Vec<ProblemView> = problems.as_slice().iter().map(ProblemView::new).collect();
        let malformed = errors.iter().any(|e| e.code == "E_JSON");
        let (status, code, detail) = if malformed {
            (
                StatusCode::BAD_REQUEST,
                "malformed-json",
                "the body is not well-formed JSON".to_owned(),
            )
        } else {
            let detail = format!("the flow has {} problem(s)", errors.len());
            (StatusCode::UNPROCESSABLE_ENTITY, "invalid-flow", detail)
        };
        let mut error = Self::new(status, code, detail);
        error.0.errors = errors;
        error
    }
}

/// An error and its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

impl From<BuildError> for ApiError {
    fn from(error: BuildError) -> Self {
        Self::build(&error)
    }
}

impl ApiError {
    pub(crate) fn build(error: &BuildError) -> Self {
        match error {
            BuildError::Flow(problems) => Self::flow(problems),
            BuildError::Stale { .. } => {
                Self::new(StatusCode::CONFLICT, "stale-revision", error.to_string())
                    .hint("send a revision above the current one")
            }
            BuildError::StaleDelivery { .. } | BuildError::InFlight | BuildError::IdReused => {
                Self::delivery(error)
            }
            BuildError::SeenBefore { .. } => {
                Self::new(StatusCode::CONFLICT, "seen-before", error.to_string()).hint(
                    "a delivery that repeats older content is refused as a replay; \
                     change the flow, or send a `revision`",
                )
            }
            BuildError::Deleted { .. } => {
                Self::new(StatusCode::CONFLICT, "flow-deleted", error.to_string()).hint(
                    "to bring the flow back, send a revision above every one built, or content \
                     that was never built",
                )
            }
            BuildError::Quota { retry_after, .. } | BuildError::DryRuns { retry_after, .. } => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "quota-exceeded", error.to_string())
                    .retry_after(*retry_after)
            }
            BuildError::Unexpected { .. } => Self::unexpected(error.to_string()),
            BuildError::Suspended => Self::suspended(),
            BuildError::Archived => {
                Self::new(StatusCode::CONFLICT, "tenant-archived", error.to_string())
                    .hint("the operator restores it: `colophon tenant restore`")
            }
            BuildError::OtherTarget { .. } => {
                Self::new(StatusCode::FORBIDDEN, "target-not-allowed", error.to_string())
            }
            BuildError::Gate(record) => Self::gate(record),
            BuildError::GateMissing { .. } => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "gate-unavailable", error.to_string())
                    .retry_after(10)
            }
            BuildError::Contended => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "contended", error.to_string())
                    .retry_after(1)
            }
            BuildError::NoBuild { .. } => {
                Self::new(StatusCode::CONFLICT, "no-build", error.to_string())
                    .hint("name one of the flow's builds that is not its current one")
            }
            BuildError::NoBundle { .. } => {
                Self::new(StatusCode::CONFLICT, "no-bundle", error.to_string())
                    .hint("a build's bundle is kept as long as its tags (`retention.tags`)")
            }
            BuildError::NoFlow { .. } | BuildError::TenantGone => Self::not_found(),
            BuildError::Full(cause) | BuildError::Stopped(cause) => Self::commit(cause),
            BuildError::Store(cause) => Self::store(cause),
            BuildError::NoFreeName { .. } => {
                Self::new(StatusCode::CONFLICT, "no-free-name", error.to_string())
                    .hint("rename the flow in its builder")
            }
            BuildError::Git(cause @ (GitError::Collision | GitError::Path { .. })) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "refused-content", cause.to_string())
            }
            BuildError::Git(cause) => Self::internal(cause),
            BuildError::Feed(FeedError::Trust(cause @ TrustError::Unpublishable { .. })) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "too-many-bundles", cause.to_string())
                    .hint("the tenant has more edge bundles than its metadata can list")
            }
            BuildError::Feed(_) | BuildError::Encoding(_) | BuildError::Zip(_) => {
                Self::internal(error)
            }
        }
    }
}

impl ApiError {
    /// 422 with the gate's words. The operator may want 400 instead: [`Self::gate_status`].
    fn gate(record: &BuildRecord) -> Self {
        let (gate, words) = refusal(record).map_or(("", ""), |gate| {
            (gate.name.as_str(), gate.words.as_deref().unwrap_or_default())
        });
        let code = match gate {
            "smoke" => "E_GATE_SMOKE",
            "ruff" => "E_GATE_RUFF",
            _ => "E_GATE_COMMAND",
        };
        let text = format!("the build was refused by the gate `{gate}`");
        let mut error = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "gate-failed", text)
            .hint(format!("build {} keeps what was said; nothing else has changed", record.id));
        error.0.errors = vec![ProblemView {
            code,
            pointer: String::new(),
            node: None,
            detail: words.to_owned(),
        }];
        error
    }

    /// The same with another status, when it says that a gate refused a build.
    #[must_use]
    pub(super) fn gate_status(mut self, status: u16) -> Self {
        if self.0.code == "gate-failed"
            && let Ok(status) = StatusCode::from_u16(status)
        {
            self.0.status = status;
        }
        self
    }
}

impl From<TenantError> for ApiError {
    fn from(error: TenantError) -> Self {
        match &error {
            TenantError::Exists(_) => {
                Self::new(StatusCode::CONFLICT, "tenant-exists", error.to_string())
            }
            TenantError::Retired(_) => {
                Self::new(StatusCode::CONFLICT, "tenant-erased", error.to_string())
                    .hint("choose another name")
            }
            TenantError::Unknown(_) => Self::not_found(),
            TenantError::Full(cause) | TenantError::Stopped(cause) => Self::commit(cause),
            TenantError::Store(cause) => Self::store(cause),
            TenantError::PoolEmpty => {
                Self::new(StatusCode::CONFLICT, "no-offline-root", error.to_string())
                    .hint("hold a ceremony: `colophon keys request`")
            }
            TenantError::RootTaken | TenantError::Contended => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "contended", error.to_string())
                    .retry_after(1)
            }
            TenantError::Git(_)
            | TenantError::Feed(_)
            | TenantError::Files(_)
            | TenantError::Random(_)
            | TenantError::TokenTaken => Self::internal(&error),
        }
    }
}

impl From<MirrorError> for ApiError {
    fn from(error: MirrorError) -> Self {
        match error {
            MirrorError::Invalid(_) => Self::bad_request("invalid-mirror", error.to_string()),
            MirrorError::None(_) => {
                Self::new(StatusCode::NOT_FOUND, "no-mirror", error.to_string())
                    .hint("set one with `colophon mirror set`")
            }
            MirrorError::Unexpected(_) => Self::unexpected(error.to_string()),
            MirrorError::Taken { .. } => {
                Self::new(StatusCode::CONFLICT, "mirror-taken", error.to_string())
                    .hint("make a repository for this tenant")
            }
            // Only the operator asks, who may know which tenants there are.
            MirrorError::Tenant(cause @ TenantError::Unknown(_)) => {
                Self::new(StatusCode::NOT_FOUND, "not-found", cause.to_string())
            }
            MirrorError::Tenant(cause) => cause.into(),
            MirrorError::Store(cause) => Self::store(&cause),
            MirrorError::Commit(cause) => Self::commit(&cause),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::store(&error)
    }
}

impl From<JobError> for ApiError {
    fn from(error: JobError) -> Self {
        let code = match &error {
            JobError::Store(cause @ StoreError::NotEmpty { .. }) => {
                return Self::new(StatusCode::CONFLICT, "not-empty", cause.to_string());
            }
            JobError::Store(cause @ StoreError::Readers { .. }) => {
                return Self::new(StatusCode::SERVICE_UNAVAILABLE, "readers", cause.to_string())
                    .hint("the tenant is gone for its users; the server erases the rest by itself")
                    .retry_after(60);
            }
            JobError::Store(cause @ StoreError::Unreadable { .. }) => {
                return Self::new(StatusCode::SERVICE_UNAVAILABLE, "unreadable", cause.to_string())
                    .hint(
                        "the tenant is gone for its users; the server erases the rest by itself once it can be read",
                    )
                    .retry_after(60);
            }
            // The operator is told which file it is about: only the operator starts jobs.
            JobError::Store(cause @ StoreError::File { .. }) => {
                return Self::new(StatusCode::INTERNAL_SERVER_ERROR, "file", chain(cause));
            }
            JobError::Store(cause @ StoreError::Held) => {
                return Self::new(StatusCode::CONFLICT, "tenant-held", cause.to_string());
            }
            JobError::Store(cause) => return Self::store(cause),
            JobError::Encoding(cause) => return Self::internal(cause),
            JobError::Threads(cause) => return Self::internal(cause),
            JobError::OtherTemplates => {
                return Self::new(StatusCode::CONFLICT, "other-templates", error.to_string());
            }
            JobError::Build(cause) => return Self::build(cause),
            JobError::Rebuild(cause) => return Self::rebuild(cause),
            JobError::Out(cause) => return Self::out(cause),
            JobError::Export(cause) => return Self::export(cause),
            JobError::Import(cause) => return Self::import(cause),
            JobError::Rotate(cause) => return edge::refused_key(cause),
            JobError::Pool(cause) => return edge::refused_root(cause),
            JobError::Unknown(_) => {
                return Self::new(StatusCode::NOT_FOUND, "not-found", error.to_string());
            }
            JobError::Erased(_) => {
                return Self::new(StatusCode::CONFLICT, "tenant-erased", error.to_string());
            }
            JobError::Held(_) => {
                return Self::new(StatusCode::CONFLICT, "tenant-held", error.to_string());
            }
            JobError::KeysLeft { .. } => {
                return Self::new(StatusCode::CONFLICT, "export-keys-left", error.to_string());
            }
            JobError::NoKey(_) | JobError::OtherKey(..) => {
                return Self::new(StatusCode::NOT_FOUND, "export-no-key", error.to_string());
            }
            JobError::Unconfirmed { .. } => "unconfirmed",
            JobError::Relative(_) | JobError::Inside { .. } => "invalid-dir",
        };
        Self::bad_request(code, error.to_string())
    }
}

impl ApiError {
    fn rebuild(error: &RebuildError) -> Self {
        let code = match error {
            RebuildError::Differs { .. } => "rebuild-differs",
            RebuildError::Lost(_) => "facts-lost",
            RebuildError::Gone => return Self::not_found(),
            RebuildError::Store(cause) => return Self::store(cause),
            RebuildError::Git(_) | RebuildError::Encoding(_) | RebuildError::Aside(_) => {
                return Self::new(StatusCode::INTERNAL_SERVER_ERROR, "rebuild", chain(error));
            }
        };
        Self::new(StatusCode::CONFLICT, code, error.to_string())
    }

    fn export(error: &ExportError) -> Self {
        let status = match error {
            ExportError::Store(cause) => return Self::store(cause),
            ExportError::Git(_) | ExportError::Aside(_) => StatusCode::INTERNAL_SERVER_ERROR,
            ExportError::Place(trouble) if trouble.passing => StatusCode::SERVICE_UNAVAILABLE,
            ExportError::Place(_) => StatusCode::BAD_GATEWAY,
            _ => StatusCode::CONFLICT,
        };
        let refused = Self::new(status, error.code(), chain(error));
        match error.hint() {
            Some(hint) => refused.hint(hint),
            None => refused,
        }
    }

    fn import(error: &RestoreError) -> Self {
        let status = match error {
            RestoreError::Place(cause) => return Self::export(cause),
            RestoreError::Store(cause) => return Self::store(cause),
            RestoreError::Feed(_) | RestoreError::Aside(_) => StatusCode::INTERNAL_SERVER_ERROR,
            RestoreError::Exists(_) | RestoreError::Erased(_) | RestoreError::OtherKey(_) => {
                StatusCode::CONFLICT
            }
            RestoreError::Git(_)
            | RestoreError::NotGood { .. }
            | RestoreError::UntrustedKey { .. }
            | RestoreError::Content { .. }
            | RestoreError::Identity(_)
            | RestoreError::Sealed { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        };
        let refused = Self::new(status, error.code(), chain(error));
        match error.hint() {
            Some(hint) => refused.hint(hint),
            None => refused,
        }
    }

    /// The operator is told which file it is about: only the operator starts jobs.
    fn out(error: &OutError) -> Self {
        let (status, code) = match error {
            OutError::Taken(_) => (StatusCode::CONFLICT, "not-empty"),
            OutError::UnknownRevision(_) => (StatusCode::BAD_REQUEST, "unknown-revision"),
            OutError::Nothing(_) => (StatusCode::CONFLICT, "nothing-new"),
            OutError::NoTip => (StatusCode::CONFLICT, "no-tip"),
            OutError::File { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "file"),
            OutError::Git(_) => (StatusCode::INTERNAL_SERVER_ERROR, "git"),
        };
        Self::new(status, code, chain(error))
    }
}

impl From<ZipError> for ApiError {
    fn from(error: ZipError) -> Self {
        match error {
            ZipError::Task(error) => error.into(),
            ZipError::Store(error) | ZipError::Files(FilesError::Store(error)) => error.into(),
            other => Self::internal(&other),
        }
    }
}

/// Whole seconds to wait, at most a minute: what is estimated for longer has changed by then.
fn seconds(again: Duration) -> u64 {
    again.as_millis().div_ceil(1000).clamp(1, 60) as u64
}

impl From<TaskError> for ApiError {
    fn from(error: TaskError) -> Self {
        match &error {
            TaskError::Busy(again) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", error.to_string())
                    .retry_after(seconds(*again))
            }
            TaskError::BusyTenant(again) => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "busy", error.to_string())
                    .hint("others are served; send less at a time, or wait")
                    .retry_after(seconds(*again))
            }
            TaskError::Stopped => Self::internal(&error),
        }
    }
}

impl Refusal {
    fn body(&self) -> Body<'_> {
        Body {
            r#type: format!("urn:colophon:problem:{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            code: self.code,
            detail: &self.detail,
            hint: self.hint.as_deref(),
            errors: &self.errors,
            trace_id: About::current().map(|about| about.trace().to_owned()),
        }
    }
}

impl ApiError {
    /// The problem alone, for where an answer has begun already.
    pub(super) fn problem(&self) -> serde_json::Value {
        serde_json::to_value(self.0.body()).unwrap_or_default()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let refusal = *self.0;
        let mut response = (refusal.status, Json(refusal.body())).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = refusal.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(scheme) = refusal.challenge {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
        }
        response
    }
}
