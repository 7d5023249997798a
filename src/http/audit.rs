//! The audit log: `GET /v1/t/{slug}/audit` for whoever may read all of a tenant's records and for the operator,
//! `GET /v1/audit` for the operator; `…/lines` gives the lines as they were written, `…/checkpoint` the newest signed
//! note; `GET /v1/keys/audit` verifies it.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use colophon_model::audit::Chain;
use colophon_store::View;
use serde::{Deserialize, Serialize};

use super::path::Segments;
use super::{ApiError, auth};
use crate::app::{App, SharedApp};
use crate::audit::{self, Page, Wanted};
use crate::tokens::Scope;

/// Entries of a page when none says how many.
const USUAL: usize = 100;
/// Most entries of a page.
const MOST: usize = 1_000;
/// Lines of one answer: some hundred bytes each.
const LINES: usize = 10_000;

/// Which part of a chain.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    /// The number of the first entry.
    from: Option<u64>,
    /// Most entries, 1 to 1,000.
    limit: Option<usize>,
    /// `asc` or `desc`, the newest first, which is usual.
    order: Option<Direction>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Direction {
    Asc,
    Desc,
}

impl Part {
    fn wanted(&self) -> Result<Wanted, ApiError> {
        let limit = self.limit.unwrap_or(USUAL);
        if !(1..=MOST).contains(&limit) {
            let text = format!("`limit` is 1 to {MOST}");
            return Err(ApiError::bad_request("invalid-query", text));
        }
        let descending = self.order != Some(Direction::Asc);
        Ok(Wanted { from: self.from, limit, descending })
    }
}

type Asked = Result<Query<Part>, QueryRejection>;

fn part(asked: Asked) -> Result<Part, ApiError> {
    let Query(part) =
        asked.map_err(|error| ApiError::bad_request("invalid-query", error.body_text()))?;
    Ok(part)
}

/// Whose chain: that of the tenant in the path or, without one, the system's.
struct Whose(Option<String>);

impl Whose {
    fn chain(&self, app: &App, view: &View, headers: &HeaderMap) -> Result<Chain, ApiError> {
        match &self.0 {
            None => auth::check_operator(app, headers).map(|_| Chain::System),
            Some(slug) => auth::owner_caller(app, view, headers, slug, Scope::Audit)
                .map(|(_, tenant)| Chain::Tenant(tenant.uid)),
        }
    }
}

/// Does `work` with the chain that may be read, in its place.
async fn read<T: Send + 'static>(
    app: SharedApp,
    whose: Whose,
    headers: HeaderMap,
    work: impl FnOnce(&View, Chain) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let reader = app.clone();
    let work = move || {
        let view = reader.press.store.view()?;
        let chain = whose.chain(&reader, &view, &headers)?;
        work(&view, chain)
    };
    app.reads.run(work).await?
}

async fn entries(
    app: SharedApp,
    whose: Whose,
    headers: HeaderMap,
    asked: Asked,
) -> Result<Json<Page>, ApiError> {
    let page = move |view: &View, chain| Ok(audit::page(view, chain, part(asked)?.wanted()?)?);
    read(app, whose, headers, page).await.map(Json)
}

async fn raw(
    app: SharedApp,
    whose: Whose,
    headers: HeaderMap,
    asked: Asked,
) -> Result<Response, ApiError> {
    let lines = move |view: &View, chain| {
        Ok(audit::lines(view, chain, part(asked)?.from.unwrap_or(1), LINES)?)
    };
    let text = read(app, whose, headers, lines).await?;
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], text).into_response())
}

async fn note(app: SharedApp, whose: Whose, headers: HeaderMap) -> Result<String, ApiError> {
    let newest =
        |view: &View, chain| audit::newest_checkpoint(view, chain)?.ok_or_else(ApiError::not_found);
    read(app, whose, headers, newest).await
}

/// The tenant's entries.
pub(super) async fn of_tenant(
    State(app): State<SharedApp>,
    Segments(slug): Segments<String>,
    query: Asked,
    headers: HeaderMap,
) -> Result<Json<Page>, ApiError> {
    entries(app, Whose(Some(slug)), headers, query).await
}

/// The tenant's lines.
pub(super) async fn lines_of_tenant(
    State(app): State<SharedApp>,
    Segments(slug): Segments<String>,
    query: Asked,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    raw(app, Whose(Some(slug)), headers, query).await
}

/// The tenant's newest checkpoint.
pub(super) async fn checkpoint_of_tenant(
    State(app): State<SharedApp>,
    Segments(slug): Segments<String>,
    headers: HeaderMap,
) -> Result<String, ApiError> {
    note(app, Whose(Some(slug)), headers).await
}

/// The system's entries.
pub(super) async fn of_system(
    State(app): State<SharedApp>,
    query: Asked,
    headers: HeaderMap,
) -> Result<Json<Page>, ApiError> {
    entries(app, Whose(None), headers, query).await
}

/// The system's lines.
pub(super) async fn lines_of_system(
    State(app): State<SharedApp>,
    query: Asked,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    raw(app, Whose(None), headers, query).await
}

/// The system's newest checkpoint.
pub(super) async fn checkpoint_of_system(
    State(app): State<SharedApp>,
    headers: HeaderMap,
) -> Result<String, ApiError> {
    note(app, Whose(None), headers).await
}

/// The public key of checkpoints.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct AuditKey {
    /// Its name, with which the origin of every checkpoint begins.
    name: String,
    /// As `name+id+key`, for programs that read signed notes.
    vkey: String,
    pem: String,
}

/// What verifies checkpoints, for anyone.
pub(super) async fn key(State(app): State<SharedApp>) -> Json<AuditKey> {
    let key = app.press.keys.note_key().verifier();
    let (name, vkey, pem) = (key.name().to_owned(), key.to_vkey(), key.public().to_pem());
    Json(AuditKey { name, vkey, pem })
}
