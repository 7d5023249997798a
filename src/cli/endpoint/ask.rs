//! What `colophon endpoint` asks for: done here, or by the server that holds the data.

use anyhow::Context as _;
use colophon_model::TenantSlug;
use colophon_store::rows::EventKey;
use serde::Serialize;

use super::super::admin::{self, Access};
use super::{Attempts, Events, One};
use crate::config::Config;
use crate::expected::Expected;
use crate::intake::secrets::Rotate;
use crate::outbound::{
    self, AttemptFilter, AttemptList, CreatedEndpoint, EndpointList, EndpointPhase, EndpointView,
    EventFilter, EventList, EventView, NewEndpointSecret, Queued, Replay, SetEndpoint,
};
use crate::tenants;
use crate::units::Span;

const UNKNOWN: &str = "the tenant has no such event, or no longer";

fn below(slug: &TenantSlug) -> String {
    format!("/v1/t/{slug}/endpoints")
}

impl One {
    fn path(&self) -> String {
        format!("{}/{}", below(&self.slug), self.endpoint)
    }

    fn open(&self) -> anyhow::Result<Access> {
        admin::open(&Config::load(&self.overrides)?)
    }
}

pub(super) fn create(
    config: &Config,
    slug: &TenantSlug,
    wanted: &SetEndpoint,
) -> anyhow::Result<CreatedEndpoint> {
    match admin::open(config)? {
        Access::Direct(press) => Ok(outbound::create(&press, slug, wanted)?),
        Access::Server(client) => client.post(&below(slug), wanted),
    }
}

pub(super) fn list(config: &Config, slug: &TenantSlug) -> anyhow::Result<EndpointList> {
    match admin::open(config)? {
        Access::Direct(press) => {
            let view = press.store.view()?;
            let tenant = tenants::find(&view, slug)?;
            Ok(outbound::endpoints(&view, &tenant, press.clock.now())?)
        }
        Access::Server(client) => client.get(&below(slug)),
    }
}

pub(super) fn show(one: &One) -> anyhow::Result<EndpointView> {
    match one.open()? {
        Access::Direct(press) => Ok(outbound::show(&press, &one.slug, one.endpoint)?),
        Access::Server(client) => client.get(&one.path()),
    }
}

/// Sets the endpoint to what it is with a change.
pub(super) fn update(one: &One, change: impl Fn(&mut SetEndpoint)) -> anyhow::Result<EndpointView> {
    let changed = |before: &EndpointView| {
        let mut set = SetEndpoint {
            url: before.url.clone(),
            events: before.events.clone(),
            flow: before.flow.clone(),
            label: before.label.clone(),
            enabled: before.phase != EndpointPhase::Disabled,
        };
        change(&mut set);
        set
    };
    match one.open()? {
        Access::Direct(press) => {
            let before = outbound::show(&press, &one.slug, one.endpoint)?;
            let expected = Expected::OneOf(vec![before.version.to_string()]);
            let wanted = changed(&before);
            Ok(outbound::update(&press, &one.slug, one.endpoint, &wanted, &expected)?)
        }
        Access::Server(client) => {
            let before: EndpointView = client.get(&one.path())?;
            client.put(&one.path(), &changed(&before))
        }
    }
}

pub(super) fn delete(one: &One) -> anyhow::Result<()> {
    match one.open()? {
        Access::Direct(press) => {
            Ok(outbound::delete(&press, &one.slug, one.endpoint, &Expected::Anything)?)
        }
        Access::Server(client) => client.delete(&one.path()),
    }
}

pub(super) fn rotate(one: &One, overlap: Span) -> anyhow::Result<NewEndpointSecret> {
    let wanted = Rotate { overlap };
    match one.open()? {
        Access::Direct(press) => Ok(outbound::rotate(&press, &one.slug, one.endpoint, wanted)?),
        Access::Server(client) => client.post(&format!("{}/secrets", one.path()), &wanted),
    }
}

pub(super) fn revoke(one: &One, generation: u32) -> anyhow::Result<EndpointView> {
    match one.open()? {
        Access::Direct(press) => Ok(outbound::revoke(&press, &one.slug, one.endpoint, generation)?),
        Access::Server(client) => {
            client.delete_for(&format!("{}/secrets/{generation}", one.path()))
        }
    }
}

pub(super) fn test(one: &One) -> anyhow::Result<Queued> {
    match one.open()? {
        Access::Direct(press) => Ok(outbound::test(&press, &one.slug, one.endpoint)?),
        Access::Server(client) => client.post(&format!("{}/test", one.path()), &()),
    }
}

pub(super) fn replay(one: &One, what: &Replay) -> anyhow::Result<Queued> {
    match one.open()? {
        Access::Direct(press) => Ok(outbound::replay(&press, &one.slug, one.endpoint, what)?),
        Access::Server(client) => client.post(&format!("{}/replay", one.path()), what),
    }
}

pub(super) fn attempts(wanted: &Attempts) -> anyhow::Result<AttemptList> {
    let Attempts { one, limit, cursor, event } = wanted;
    let (limit, cursor, event) = (Some(usize::from(*limit)), *cursor, *event);
    let filter = AttemptFilter { limit, cursor, event, outcome: None };
    match one.open()? {
        Access::Direct(press) => {
            let view = press.store.view()?;
            let tenant = tenants::find(&view, &one.slug)?;
            Ok(outbound::attempts(&view, &tenant, Some(one.endpoint), &filter)?)
        }
        Access::Server(client) => {
            client.get(&format!("{}/attempts?{}", one.path(), query(&filter)?))
        }
    }
}

pub(super) fn events(wanted: &Events) -> anyhow::Result<EventList> {
    let filter = EventFilter {
        limit: Some(usize::from(wanted.limit)),
        cursor: wanted.cursor,
        kind: wanted.kind.map(|kind| kind.word().to_owned()),
        flow: wanted.flow.clone(),
    };
    match admin::open(&Config::load(&wanted.overrides)?)? {
        Access::Direct(press) => {
            let view = press.store.view()?;
            Ok(outbound::events(&view, &tenants::find(&view, &wanted.slug)?, &filter)?)
        }
        Access::Server(client) => {
            client.get(&format!("/v1/t/{}/events?{}", wanted.slug, query(&filter)?))
        }
    }
}

pub(super) fn event(wanted: &Events, event: EventKey) -> anyhow::Result<EventView> {
    match admin::open(&Config::load(&wanted.overrides)?)? {
        Access::Direct(press) => {
            let view = press.store.view()?;
            let tenant = tenants::find(&view, &wanted.slug)?;
            outbound::event(&view, &tenant, event)?.context(UNKNOWN)
        }
        Access::Server(client) => {
            client.find(&format!("/v1/t/{}/events/{event}", wanted.slug))?.context(UNKNOWN)
        }
    }
}

/// A filter as a query: ids, numbers and words, which need no escapes.
fn query(filter: &impl Serialize) -> anyhow::Result<String> {
    let fields = serde_json::to_value(filter)?;
    let pair = |(name, value): (&String, &serde_json::Value)| {
        format!("{name}={}", value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    };
    Ok(fields.as_object().into_iter().flatten().map(pair).collect::<Vec<_>>().join("&"))
}
