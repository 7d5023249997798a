//! Endpoints, events and attempts as text.

use super::super::job::{count, row};
use crate::intake::secrets::{SecretState, SecretView};
use crate::outbound::{
    AttemptList, AttemptView, CreatedEndpoint, EndpointList, EndpointPhase, EndpointView,
    EventList, EventView, NewEndpointSecret, Queued,
};

pub(super) fn created(made: &CreatedEndpoint) -> String {
    let secret = row("secret", &made.secret);
    format!("{}\n{secret}\n  the secret is not shown again", endpoint(&made.endpoint))
}

pub(super) fn list(list: &EndpointList) -> String {
    if list.endpoints.is_empty() {
        return "no endpoints".to_owned();
    }
    list.endpoints.iter().map(endpoint).collect::<Vec<_>>().join("\n")
}

pub(super) fn endpoint(it: &EndpointView) -> String {
    let mut lines = vec![format!("endpoint {}", it.id), row("url", &it.url)];
    let mut say = |label, text: Option<String>| lines.extend(text.map(|text| row(label, text)));
    let state = match (it.phase, it.disabled_why.as_deref()) {
        (EndpointPhase::Active, _) => "active".to_owned(),
        (EndpointPhase::Failing, _) => "failing; another attempt follows".to_owned(),
        (EndpointPhase::Disabled, Some("gone")) => "disabled: it answered 410 Gone".to_owned(),
        (EndpointPhase::Disabled, Some("failing")) => "disabled: it failed for too long".to_owned(),
        (EndpointPhase::Disabled, _) => "disabled".to_owned(),
    };
    say("state", Some(state));
    say("since", it.disabled.clone());
    say("events", Some(it.events.join(", ")));
    say("flow", it.flow.as_ref().map(ToString::to_string));
    say("label", Some(it.label.clone()).filter(|label| !label.is_empty()));
    say("delivered", it.succeeded.clone());
    say(
        "failing",
        it.failing
            .as_ref()
            .map(|at| format!("{} since {at}", count(it.failures.into(), "failure"))),
    );
    say("why", it.trouble.clone());
    lines.extend(it.secrets.iter().map(secret));
    lines.join("\n")
}

fn secret(secret: &SecretView) -> String {
    let SecretView { generation, state, created, ends } = secret;
    let word = match state {
        SecretState::Active => "active",
        SecretState::Retiring => "retiring",
        SecretState::Retired => "retired",
        SecretState::Revoked => "revoked",
    };
    let ends = ends.as_ref().map_or_else(String::new, |ends| format!("  until {ends}"));
    row(&format!("secret {generation}"), format!("{word:8}  from {created}{ends}"))
}

pub(super) fn rotated(new: &NewEndpointSecret) -> String {
    [
        format!("secret {} signs from now on; it is not shown again", new.generation),
        row("secret", &new.secret),
        row("others end", &new.others_end),
    ]
    .join("\n")
}

pub(super) fn queued(queued: &Queued) -> String {
    match queued.event {
        Some(event) => format!("event {event} is sent soon"),
        None => format!("{} will be sent", count(queued.queued, "event")),
    }
}

fn attempt(it: &AttemptView) -> String {
    let status = it.status.map_or_else(|| "-".to_owned(), |status| status.to_string());
    let why = it.error.as_deref().unwrap_or_default();
    format!(
        "{}  {}  {}  {:3}  {:9}  {} ms  {why}",
        it.id, it.at, it.event, status, it.outcome, it.millis
    )
}

pub(super) fn attempts(list: &AttemptList) -> String {
    let mut lines: Vec<String> = list.attempts.iter().map(attempt).collect();
    if lines.is_empty() {
        lines.push("no attempts".to_owned());
    }
    lines.extend(list.next.map(|next| format!("more with --cursor {next}")));
    lines.join("\n")
}

pub(super) fn events(list: &EventList) -> String {
    let line = |it: &EventView| {
        let flow = it.flow.as_ref().map_or("-", |flow| flow.as_str());
        format!("{}  {}  {:15}  {flow}", it.id, it.at, it.r#type)
    };
    let mut lines: Vec<String> = list.events.iter().map(line).collect();
    if lines.is_empty() {
        lines.push("no events".to_owned());
    }
    lines.extend(list.next.map(|next| format!("more with --cursor {next}")));
    lines.join("\n")
}

pub(super) fn event(it: &EventView) -> String {
    let mut lines = vec![format!("event {}", it.id), row("type", &it.r#type), row("at", &it.at)];
    let mut say = |label, text: Option<String>| lines.extend(text.map(|text| row(label, text)));
    say("flow", it.flow.as_ref().map(ToString::to_string));
    say("build", it.build.map(|build| build.to_string()));
    for endpoint in it.waiting.iter().flatten() {
        say("waits for", Some(endpoint.to_string()));
    }
    say("payload", it.payload.as_ref().map(ToString::to_string));
    lines.extend(it.attempts.iter().flatten().map(attempt));
    lines.join("\n")
}
