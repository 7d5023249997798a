//! The page of a tenant's endpoints, and of what was sent to them.

use colophon_model::UnixMillis;
use colophon_store::View;
use colophon_store::rows::{EventKey, TenantRow};
use serde::Serialize;

use super::words::{Badge, people};
use crate::outbound::{self, AttemptFilter, AttemptView, EndpointPhase, EndpointView};

/// The page.
#[derive(Debug, Serialize)]
pub struct WebhooksPage {
    endpoints: Vec<Line>,
    attempts: Vec<Attempt>,
    older_href: Option<String>,
    /// The event that is sent again in a moment.
    replayed: Option<String>,
    /// Whether there are buttons.
    replays: bool,
}

#[derive(Debug, Serialize)]
struct Line {
    id: String,
    url: String,
    label: String,
    events: String,
    flow: Option<String>,
    state: Badge,
    succeeded: Option<String>,
    trouble: Option<String>,
}

#[derive(Debug, Serialize)]
struct Attempt {
    id: String,
    at: String,
    endpoint: String,
    event: String,
    number: u32,
    state: Badge,
    status: Option<u16>,
    error: Option<String>,
    excerpt: String,
    millis: u64,
    next: Option<String>,
    replay: bool,
    /// Where to post for another attempt; none when the endpoint is gone or disabled.
    replay_href: Option<String>,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked {
    /// Attempts before this one.
    pub before: Option<EventKey>,
    /// The event that is sent again.
    pub replayed: Option<EventKey>,
    /// Whether the viewer may have events sent again.
    pub replays: bool,
}

/// The endpoints of `tenant`.
///
/// # Errors
/// When the store cannot be read.
pub fn page(
    view: &View,
    tenant: &TenantRow,
    asked: Asked,
    now: UnixMillis,
) -> Result<WebhooksPage, colophon_store::Error> {
    let endpoints = outbound::endpoints(view, tenant, now)?.endpoints;
    let filter = AttemptFilter { cursor: asked.before, ..AttemptFilter::default() };
    let list = outbound::attempts(view, tenant, None, &filter)?;
    let here = format!("/console/t/{}/webhooks", tenant.slug);
    let awake = |attempt: &AttemptView| {
        let is =
            |it: &EndpointView| it.id == attempt.endpoint && it.phase != EndpointPhase::Disabled;
        asked.replays && endpoints.iter().any(is)
    };
    let attempts = list.attempts.into_iter().map(|it| {
        let href = format!("{here}/{}/replay/{}", it.endpoint, it.event);
        let replay_href = awake(&it).then_some(href);
        attempt(it, replay_href)
    });
    Ok(WebhooksPage {
        attempts: attempts.collect(),
        endpoints: endpoints.iter().map(line).collect(),
        older_href: list.next.map(|before| format!("{here}?before={before}")),
        replayed: asked.replayed.map(|event| event.to_string()),
        replays: asked.replays,
    })
}

fn line(it: &EndpointView) -> Line {
    let state = match (it.phase, it.disabled_why.as_deref()) {
        (EndpointPhase::Active, _) => Badge::good("active"),
        (EndpointPhase::Failing, _) => Badge::warn("failing"),
        (EndpointPhase::Disabled, Some("gone")) => Badge::bad("disabled: gone"),
        (EndpointPhase::Disabled, Some("failing")) => Badge::bad("disabled: failing"),
        (EndpointPhase::Disabled, _) => Badge::plain("disabled"),
    };
    Line {
        id: it.id.to_string(),
        url: it.url.clone(),
        label: it.label.clone(),
        events: it.events.join(", "),
        flow: it.flow.as_ref().map(ToString::to_string),
        state,
        succeeded: it.succeeded.as_deref().map(people),
        trouble: it.trouble.clone(),
    }
}

fn attempt(it: AttemptView, replay_href: Option<String>) -> Attempt {
    let state = match it.outcome.as_str() {
        "delivered" => Badge::good("delivered"),
        "failed" => Badge::warn("failed"),
        other => Badge::bad(other),
    };
    Attempt {
        id: it.id.to_string(),
        at: people(&it.at),
        endpoint: it.endpoint.to_string(),
        event: it.event.to_string(),
        number: it.number,
        state,
        status: it.status,
        error: it.error,
        excerpt: it.excerpt,
        millis: it.millis,
        next: it.next.as_deref().map(people),
        replay: it.replay,
        replay_href,
    }
}
