//! How far builds are, as server-sent events: `GET /v1/builds/{id}/events`, the same below `/v1/t/{slug}`, and
//! `GET /v1/t/{slug}/builds/events`.
//!
//! An event's id is its place in what is stored: of one build the rank of a stage, of a list the build's number.
//! So a client that comes again is told exactly what it has not seen, by any server on the same store.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use colophon_model::{BuildId, BuildRecord, TenantUid};
use colophon_store::View;
use colophon_store::rows::{BuildNumber, DeliveryKey, DeliveryRow, TenantHead};
use serde::{Deserialize, Serialize};

use super::event_stream::{Admission, Admitted, News, Source, Then, open};
use super::paging::query;
use super::path::Segments;
use super::sse::{Events, last_seen};
use super::{ApiError, auth};
use crate::app::{App, SharedApp};
use crate::builds::BuildSummary;
use crate::progress::{Running, Told, of_delivery, of_record};
use crate::tokens::Scope;

/// Builds that are read of one snapshot.
const AT_ONCE: usize = 50;

/// How a list of builds is to be told.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// Builds with a number above this one. `Last-Event-ID` counts more.
    after: Option<u64>,
    /// Whether to wait for more; default true.
    follow: Option<bool>,
}

/// A build, or a delivery that is to become one, by id.
pub(super) async fn of_one(
    State(app): State<SharedApp>,
    Segments(id): Segments<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let source = One::new(&id, &headers);
    let admission = move |app: &SharedApp| {
        let view = app.press.store.view()?;
        let tenant = auth::token_tenant(app, &view, &headers, Scope::Records)?;
        Ok(Admitted { view, counted: Some(tenant.uid), tenant })
    };
    open(app, Box::new(admission), source).await
}

/// The same, for the operator too.
pub(super) async fn of_one_below(
    State(app): State<SharedApp>,
    Segments((slug, id)): Segments<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let source = One::new(&id, &headers);
    open(app, below(slug, headers), source).await
}

/// A tenant's builds, as they are made.
pub(super) async fn of_all(
    State(app): State<SharedApp>,
    Segments(slug): Segments<String>,
    asked: Result<Query<Asked>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let source = Builds::new(asked, &headers);
    open(app, below(slug, headers), source).await
}

/// Whoever may read the records of the tenant with this name.
fn below(slug: String, headers: HeaderMap) -> Admission {
    Box::new(move |app| {
        let view = app.press.store.view()?;
        let (_, tenant) = auth::owner_caller(app, &view, &headers, &slug, Scope::Records)?;
        let operator = auth::check_operator(app, &headers).is_ok();
        let counted = (!operator).then_some(tenant.uid);
        Ok(Admitted { view, tenant, counted })
    })
}

/// One build's stages.
struct One {
    id: String,
    /// The rank of the last stage that was told.
    seen: u64,
}

impl One {
    fn new(id: &str, headers: &HeaderMap) -> Self {
        Self { id: id.to_owned(), seen: last_seen(headers).unwrap_or(0) }
    }

    /// What is known, from memory while it happens and from the store ever after.
    fn told(&self, app: &App, Admitted { view, tenant, .. }: &Admitted) -> Result<Told, ApiError> {
        let (press, uid) = (&app.press, tenant.uid);
        // Both have the same form. A build's id is a hash, a delivery's is random: none is ever the other's.
        let build: BuildId = self.id.parse().map_err(|_| ApiError::not_found())?;
        let delivery: DeliveryKey = self.id.parse().map_err(|_| ApiError::not_found())?;
        if let Some(told) = press.progress.of(uid, delivery) {
            return Ok(told);
        }
        if let Some(record) = view.get::<BuildRecord>(&(uid, build))? {
            return Ok(of_record(&record));
        }
        press.deliveries.flush(&press.store);
        let view = press.store.view()?;
        let row = view.get::<DeliveryRow>(&(uid, delivery))?.ok_or_else(ApiError::not_found)?;
        Ok(of_delivery(&view, uid, delivery, &row)?)
    }
}

impl Source for One {
    fn look(&mut self, app: &App, admitted: &Admitted) -> Result<News, ApiError> {
        let Told { stages, ended } = self.told(app, admitted)?;
        let mut events = Events::default();
        for stage in stages.iter().filter(|stage| stage.rank() > self.seen) {
            let pushed = events.push(Some(stage.rank()), stage.word(), stage);
            pushed.map_err(|error| ApiError::internal(&error))?;
        }
        self.seen = self.seen.max(stages.last().map_or(0, crate::progress::Stage::rank));
        Ok(News { events, then: if ended { Then::End } else { Then::Wait } })
    }
}

/// A tenant's builds, by number, and what is worked on.
pub(super) struct Builds {
    /// What was asked for; a problem is told once it is known who asks.
    asked: Option<Result<Asked, ApiError>>,
    /// The number of the last build that was told of, once that is known.
    seen: Option<u64>,
    follow: bool,
    running: Vec<Running>,
}

/// Where a list begins that begins now.
#[derive(Debug, Serialize)]
struct Ready {
    /// How many builds there are.
    builds: u64,
}

/// What is worked on at this moment.
#[derive(Debug, Serialize)]
struct InWork<'a> {
    running: &'a [Running],
}

impl Builds {
    pub(super) fn new(asked: Result<Query<Asked>, QueryRejection>, headers: &HeaderMap) -> Self {
        let (asked, seen) = (Some(query(asked, |_| Ok(()))), last_seen(headers));
        Self { asked, seen, follow: true, running: Vec::new() }
    }

    /// Adds the builds that were not told of yet, as many as are read at once; whether there are more.
    fn add(&mut self, view: &View, uid: TenantUid, events: &mut Events) -> Result<bool, ApiError> {
        let count = view.get::<TenantHead>(&uid)?.unwrap_or_default().builds;
        // A client that has seen more than there is has seen another store, before it was restored.
        let Some(seen) = self.seen.filter(|seen| *seen <= count) else {
            self.seen = Some(count);
            push(events, Some(count), "ready", &Ready { builds: count })?;
            return Ok(false);
        };
        let mut last = seen;
        let numbers = view.scan::<BuildNumber>(&uid).starting_at(&(uid, seen + 1));
        for row in numbers.take(AT_ONCE) {
            let ((_, number), BuildNumber { build }) = row?;
            if let Some(record) = view.get::<BuildRecord>(&(uid, build))? {
                push(events, Some(number), "build", &BuildSummary::new(&record))?;
            }
            last = number;
        }
        self.seen = Some(last);
        Ok(last < count && last > seen)
    }
}

impl Source for Builds {
    fn look(&mut self, app: &App, admitted: &Admitted) -> Result<News, ApiError> {
        if let Some(asked) = self.asked.take() {
            let Asked { after, follow } = asked?;
            self.seen = self.seen.or(after);
            self.follow = follow.unwrap_or(true);
        }
        let mut events = Events::default();
        let uid = admitted.tenant.uid;
        if self.add(&admitted.view, uid, &mut events)? {
            return Ok(News { events, then: Then::More });
        }
        if !self.follow {
            return Ok(News { events, then: Then::End });
        }
        let running = app.press.progress.running(uid);
        if running != self.running {
            push(&mut events, None, "running", &InWork { running: &running })?;
            self.running = running;
        }
        Ok(News { events, then: Then::Wait })
    }
}

fn push(
    events: &mut Events,
    id: Option<u64>,
    event: &str,
    data: &impl Serialize,
) -> Result<(), ApiError> {
    events.push(id, event, data).map_err(|error| ApiError::internal(&error))
}
