//! `POST /v1/hooks/{id}`, for senders that cannot set a tenant header; and hooks for the operator: `GET`
//! and `POST /v1/tenants/{slug}/hooks`, `DELETE …/hooks/{id}`.

use std::net::IpAddr;
use std::time::Instant;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use colophon_model::TenantSlug;
use colophon_store::View;
use colophon_store::rows::{DeliveryKey, HookId, HookRow, SlugOf, TenantRow};
use serde::Serialize;

use super::body::read_body;
use super::builds;
use super::delivering::{self, Told};
use super::path::Segments;
use super::sender::{self, Sender};
use super::{ApiError, auth};
use crate::app::{App, SharedApp};
use crate::intake::hooks::{self, CreateHook, HookError, HookList, HookScheme, HookView};
use crate::intake::pull::Event;
use crate::intake::{Proof, pulls};
use crate::pipeline::{Delivery, Press};
use crate::telemetry::request;

/// Largest request of the operator, in bytes.
const BODY_LIMIT: usize = 16 * 1024;

/// What came in at a hook.
enum Taken {
    /// A flow, or an event that was refused, and what became of it.
    Flow(Box<TenantRow>, Told),
    /// An event, and what is done about it.
    Event(Box<TenantRow>, DeliveryKey, &'static str),
}

/// What is said of an event.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = EventTaken)]
pub(super) struct EventView {
    /// `accepted`: the flow is read and built soon. `ignored`: it is about something else.
    outcome: &'static str,
    /// Its name in the log.
    #[schema(value_type = String)]
    delivery: DeliveryKey,
}

/// Takes a delivery of the tenant that the hook is of. An unknown hook is a wrong signature.
pub(super) async fn take(
    State(app): State<SharedApp>,
    Segments(id): Segments<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let (start, from) = (Instant::now(), request::remote());
    let held = app.bodies.hold(request::party())?;
    let body = read_body(&app, body, app.config.limits.body_bytes).await?;
    let (prover, worker, sent) = (app.clone(), app.clone(), body.clone());
    let prove = move || {
        let (hook, sender) = prove(&prover, &id, &headers, &sent)?;
        drop(held);
        Ok((sender.tenant.uid, (hook, id, sender)))
    };
    let run = move |(hook, id, sender): (Option<HookRow>, String, Sender)| {
        deliver(&worker, (hook, &id), sender, from, &body, start)
    };
    Ok(match app.builds.run_proven(prove, run).await? {
        Taken::Flow(tenant, told) => builds::answer_of(&app, &tenant, told, start),
        Taken::Event(tenant, key, outcome) => event_answer(&tenant, key, outcome),
    })
}

fn event_answer(tenant: &TenantRow, key: DeliveryKey, outcome: &'static str) -> Response {
    let status = if outcome == "accepted" { StatusCode::ACCEPTED } else { StatusCode::OK };
    let mut response = (status, Json(EventView { outcome, delivery: key })).into_response();
    let location = format!("/v1/t/{}/deliveries/{key}", tenant.slug);
    if let Ok(value) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    delivering::named(response, key)
}

/// The hook, and who sends to it.
fn prove(
    app: &App,
    id: &str,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<(Option<HookRow>, Sender), ApiError> {
    let view = app.press.store.view()?;
    let (hook, tenant) = find(&view, id)?;
    let scheme = hook.as_ref().and_then(HookScheme::of);
    let sender = match (scheme, tenant) {
        (Some(HookScheme::Url), Some(tenant)) => sender::by_url(tenant)?,
        (scheme, tenant) => {
            // For an unknown hook the work of a wrong signature, in whatever scheme.
            let proof = Proof::read(headers, scheme.and_then(HookScheme::proof));
            let tenant = tenant.filter(|_| scheme.is_some());
            sender::proven(app, &view, tenant, &proof, headers, body)?
        }
    };
    Ok((hook, sender))
}

fn deliver(
    app: &App,
    (hook, id): (Option<HookRow>, &str),
    sender: Sender,
    from: Option<IpAddr>,
    body: &Bytes,
    start: Instant,
) -> Result<Taken, ApiError> {
    let about = sender.about(from);
    let Sender { tenant, origin, .. } = sender;
    let received = app.press.clock.now();
    let delivery = Delivery::new(tenant.clone(), body.clone(), received).with(origin);
    let reads = hook.filter(|hook| hook.pull.is_some()).and_then(|_| id.parse().ok());
    let Some(hook) = reads else {
        let told =
            delivering::run(&app.press, delivery, about, (start, app.config.gates.status), None)?;
        return Ok(Taken::Flow(Box::new(tenant), told));
    };
    let draft = delivering::draft(&delivery, about, (start, app.config.gates.status))?;
    let key = draft.key;
    let event = Event::parse(body)
        .map_err(|error| ApiError::bad_request("invalid-event", error.to_string()));
    let taken = event.and_then(|event| pulls::take(&app.press, &tenant, hook, event, &draft));
    Ok(match taken {
        Ok(outcome) => Taken::Event(Box::new(tenant), key, outcome),
        Err(refused) => {
            let told = delivering::refused(&app.press, &tenant, draft, refused);
            Taken::Flow(Box::new(tenant), told)
        }
    })
}

fn find(view: &View, id: &str) -> Result<(Option<HookRow>, Option<TenantRow>), ApiError> {
    let id: Option<HookId> = id.parse().ok();
    let hook = id.map(|id| view.get::<HookRow>(&id)).transpose()?.flatten();
    let Some(hook) = hook else { return Ok((None, None)) };
    let slug = view.get::<SlugOf>(&hook.tenant)?;
    let tenant = slug.map(|row| view.get::<TenantRow>(&row.slug)).transpose()?.flatten();
    Ok((Some(hook), tenant))
}

/// Makes a hook.
pub(super) async fn create(
    State(app): State<SharedApp>,
    Segments(slug): Segments<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<HookView>), ApiError> {
    auth::check_operator(&app, &headers)?;
    let body = read_body(&app, body, BODY_LIMIT).await?;
    let wanted: CreateHook = serde_json::from_slice(&body)
        .map_err(|e| ApiError::bad_request("invalid-request", e.to_string()))?;
    let plain = app.config.intake.plain_http;
    let made =
        about(&app, &slug, move |press, slug| hooks::create(press, plain, slug, &wanted)).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Lists a tenant's hooks.
pub(super) async fn list(
    State(app): State<SharedApp>,
    Segments(slug): Segments<String>,
    headers: HeaderMap,
) -> Result<Json<HookList>, ApiError> {
    auth::check_operator(&app, &headers)?;
    about(&app, &slug, hooks::list).await.map(Json)
}

/// Takes a hook away.
pub(super) async fn delete(
    State(app): State<SharedApp>,
    Segments((slug, id)): Segments<(String, String)>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    auth::check_operator(&app, &headers)?;
    let id: HookId = id.parse().map_err(|_| ApiError::from(HookError::Unknown))?;
    about(&app, &slug, move |press, slug| hooks::delete(press, slug, id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn about<T: Send + 'static>(
    app: &SharedApp,
    slug: &str,
    work: impl FnOnce(&Press, &TenantSlug) -> Result<T, HookError> + Send + 'static,
) -> Result<T, ApiError> {
    let slug: TenantSlug = slug.parse().map_err(|_| ApiError::not_found())?;
    let press = app.press.clone();
    Ok(app.reads.run(move || work(&press, &slug)).await??)
}
