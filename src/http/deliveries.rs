//! The log of a tenant's deliveries: `GET /v1/t/{slug}/deliveries`, `GET …/{id}` and
//! `POST …/{id}/replay`, for the tenant itself and for the operator.

use crate::audit::By;
use colophon_model::audit::{Action, Chain, Subject};
use colophon_store::Error as StoreError;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use colophon_model::{BuildId, Digest, FlowId, UnixMillis};
use colophon_store::View;
use colophon_store::rows::{DeliveryKey, DeliveryRow, TenantRow};
use serde::{Deserialize, Serialize};

use super::delivering::{self, About};
use super::paging::{limit, query};
use super::path::Segments;
use super::{ApiError, auth, flows};
use crate::app::SharedApp;
use crate::intake::secrets;
use crate::pipeline::{Delivery, Origin, Press};
use crate::telemetry::request;
use crate::tokens::Scope;

/// Rows that one request looks at, whatever it filters.
const LOOKED_AT: usize = 10_000;
/// Most deliveries of one answer.
const MOST: usize = 200;

/// Which deliveries are asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    /// At most so many, 1 to 200; default 50.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Those before this one: `next` of the page before.
    #[serde(rename = "cursor", alias = "before", skip_serializing_if = "Option::is_none")]
    pub before: Option<DeliveryKey>,
    /// Those that were `built`, `noop`, `replayed` or `refused`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Those that were refused with this code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Those of one flow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow: Option<FlowId>,
}

/// Deliveries, newest first.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DeliveryList {
    /// The deliveries.
    pub deliveries: Vec<DeliveryView>,
    /// `cursor` of the next page; left out on the last one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>)]
    pub next: Option<DeliveryKey>,
}

/// A delivery.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DeliveryView {
    /// Its name in the log.
    #[schema(value_type = String)]
    pub delivery: DeliveryKey,
    /// When it was received.
    pub at: String,
    /// How it was proven: a scheme, `token` or `operator`.
    pub by: String,
    /// Generation of the secret, when one proved it.
    pub secret: Option<u32>,
    /// Address that it came from.
    pub from: Option<String>,
    /// What the sender calls it.
    pub id: Option<String>,
    /// When it was signed.
    pub signed: Option<String>,
    /// The delivery that was run again.
    #[schema(value_type = Option<String>)]
    pub replay_of: Option<DeliveryKey>,
    /// BLAKE3 of the body.
    #[schema(value_type = String)]
    pub body: Digest,
    /// Size of the body, in bytes.
    pub size: u64,
    /// What became of it.
    pub outcome: String,
    /// Status of the answer.
    pub status: u16,
    /// Code of a refusal.
    pub code: Option<String>,
    /// The flow, as far as it is known.
    #[schema(value_type = Option<String>)]
    pub flow: Option<FlowId>,
    /// The build that came of it.
    #[schema(value_type = Option<String>)]
    pub build: Option<BuildId>,
    /// How long it took, in milliseconds.
    pub millis: f64,
    /// Whether the body is still there, to be run again. Told of a single delivery only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub replayable: Option<bool>,
}

impl DeliveryView {
    fn new(delivery: DeliveryKey, row: DeliveryRow) -> Self {
        Self {
            delivery,
            at: row.at.rfc3339(),
            by: row.by,
            secret: row.secret,
            from: row.from,
            id: row.id,
            signed: row.signed.map(UnixMillis::rfc3339),
            replay_of: row.replay_of,
            body: row.body,
            size: row.size,
            outcome: row.outcome,
            status: row.status,
            code: row.code,
            flow: row.flow,
            build: row.build,
            millis: (Duration::from_micros(row.micros).as_secs_f64() * 1e6).round() / 1e3,
            replayable: None,
        }
    }
}

impl DeliveryList {
    /// The deliveries of `tenant` that the filter lets through.
    pub fn read(
        press: &Press,
        tenant: &TenantRow,
        filter: &Filter,
    ) -> Result<Self, colophon_store::Error> {
        press.deliveries.flush(&press.store);
        let view = press.store.view()?;
        let mut rows = view.scan::<DeliveryRow>(&tenant.uid).descending();
        if let Some(before) = filter.before {
            rows = rows.starting_at(&(tenant.uid, before));
        }
        let limit = filter.limit.unwrap_or(50).clamp(1, MOST);
        let mut list = Self { deliveries: Vec::new(), next: None };
        for (looked, row) in rows.enumerate() {
            let ((_, key), row) = row?;
            if Some(key) == filter.before {
                continue;
            }
            if filter.passes(&row) {
                list.deliveries.push(DeliveryView::new(key, row));
            }
            if list.deliveries.len() == limit || looked == LOOKED_AT {
                list.next = Some(key);
                break;
            }
        }
        Ok(list)
    }
}

impl Filter {
    fn passes(&self, row: &DeliveryRow) -> bool {
        let same =
            |wanted: &Option<String>, is: Option<&str>| wanted.is_none() || wanted.as_deref() == is;
        same(&self.outcome, Some(&row.outcome))
            && same(&self.code, row.code.as_deref())
            && (self.flow.is_none() || self.flow == row.flow)
    }
}

/// One delivery. `None`: there is none of that name, or no longer.
pub fn show(
    press: &Press,
    tenant: &TenantRow,
    key: DeliveryKey,
) -> Result<Option<DeliveryView>, colophon_store::Error> {
    // First: what ends meanwhile is then in the log.
    let running = press.deliveries.running(tenant.uid, key);
    press.deliveries.flush(&press.store);
    let view = press.store.view()?;
    let Some(row) = view.get::<DeliveryRow>(&(tenant.uid, key))? else {
        return Ok(running.map(|row| DeliveryView::new(key, row)));
    };
    let replayable = Some(body(&view, tenant, &row)?.is_some());
    Ok(Some(DeliveryView { replayable, ..DeliveryView::new(key, row) }))
}

/// What came in, if the tenant still has it: as a build's, or kept with the refusal.
fn body(
    view: &View,
    tenant: &TenantRow,
    row: &DeliveryRow,
) -> Result<Option<Vec<u8>>, colophon_store::Error> {
    view.read_blob(tenant.uid, &row.body)
}

/// Runs a delivery's body again as `by`, whose act it is, under the same rules of order as before: with the
/// time that it was signed at, and without its id. Returns the new delivery, whatever became of it. `None`:
/// there is none of that name.
///
/// # Errors
/// 409 `no-body` when the body is not there any more.
pub fn replay(
    press: &Press,
    gate_status: u16,
    tenant: &TenantRow,
    key: DeliveryKey,
    by: Actor,
) -> Result<Option<DeliveryView>, ApiError> {
    let start = Instant::now();
    press.deliveries.flush(&press.store);
    let view = press.store.view()?;
    let Some(row) = view.get::<DeliveryRow>(&(tenant.uid, key))? else { return Ok(None) };
    let Some(body) = body(&view, tenant, &row)? else { return Err(no_body()) };
    let repeats = secrets::row(&view, tenant)?.repeats;
    drop(view);
    let act = By::here().did(Action::DeliveryReplay, Subject::new("delivery", key));
    press.write_down(Chain::Tenant(tenant.uid), &[act]).map_err(StoreError::from)?;
    let origin = Origin { signed: row.signed, repeats, ..Origin::default() };
    let delivery = Delivery::new(tenant.clone(), body, press.clock.now()).with(origin);
    let about = About { by: by.word, from: by.from, replay_of: Some(key), ..About::default() };
    let told = delivering::run(press, delivery, about, (start, gate_status), None)?;
    Ok(show(press, tenant, told.key)?)
}

/// Whose act a replay is.
#[derive(Debug, Clone, Copy)]
pub struct Actor {
    word: &'static str,
    from: Option<IpAddr>,
}

impl Actor {
    /// The operator, on the command line.
    pub const OPERATOR: Self = Self { word: "operator", from: None };

    /// The operator, from this address.
    pub const fn operator(from: Option<IpAddr>) -> Self {
        Self { word: "operator", from }
    }
}

fn no_body() -> ApiError {
    let text = "the body of this delivery is kept no more";
    ApiError::new(StatusCode::CONFLICT, "no-body", text)
        .hint("bodies of no-ops are not kept, those of refusals for `retention.refused_bodies`")
}

/// Lists a tenant's deliveries.
pub(super) async fn list(
    State(app): State<SharedApp>,
    Segments(slug): Segments<String>,
    filter: Result<Query<Filter>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Json<DeliveryList>, ApiError> {
    let filter = query(filter, |filter| limit(filter.limit, MOST))?;
    let reader = app.clone();
    let read = move || {
        let view = reader.press.store.view()?;
        let tenant = flows::owner(&reader, &view, &headers, &slug, Scope::Read)?;
        drop(view);
        Ok(Json(DeliveryList::read(&reader.press, &tenant, &filter)?))
    };
    app.reads.run(read).await?
}

/// Shows one delivery.
pub(super) async fn one(
    State(app): State<SharedApp>,
    Segments((slug, key)): Segments<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<DeliveryView>, ApiError> {
    let reader = app.clone();
    let read = move || {
        let view = reader.press.store.view()?;
        let tenant = flows::owner(&reader, &view, &headers, &slug, Scope::Read)?;
        drop(view);
        let key = key.parse().map_err(|_| ApiError::not_found())?;
        show(&reader.press, &tenant, key)?.map(Json).ok_or_else(ApiError::not_found)
    };
    app.reads.run(read).await?
}

/// Runs a delivery again.
pub(super) async fn run_again(
    State(app): State<SharedApp>,
    Segments((slug, key)): Segments<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<DeliveryView>, ApiError> {
    let (place, from) = (app.builds.admit()?, request::remote());
    let replay = move || {
        let press = &app.press;
        let tenant = flows::owner(&app, &press.store.view()?, &headers, &slug, Scope::Build)?;
        let key = key.parse().map_err(|_| ApiError::not_found())?;
        let is_operator = auth::check_operator(&app, &headers).is_ok();
        let word = if is_operator { "operator" } else { "token" };
        let told = replay(press, app.config.gates.status, &tenant, key, Actor { word, from })?;
        told.map(Json).ok_or_else(ApiError::not_found)
    };
    place.run(replay).await?
}
