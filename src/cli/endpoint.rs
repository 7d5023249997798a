//! `colophon endpoint`.

use clap::{Args, Subcommand};
use colophon_model::{FlowId, TenantSlug};
use colophon_store::rows::{EndpointId, EventKey};

use super::out::Out;
use crate::config::{Config, Overrides};
use crate::outbound::{EventKind, Replay, SetEndpoint};
use crate::units::Span;

mod ask;
mod text;

/// Subcommands.
#[derive(Debug, Subcommand)]
pub(super) enum Endpoint {
    /// Have a tenant's events sent to a URL from now on; the secret that signs them is shown once
    Create(Create),
    /// List a tenant's endpoints and how they fare
    List {
        /// The tenant
        slug: TenantSlug,
        #[command(flatten)]
        overrides: Overrides,
    },
    /// Show an endpoint
    Show(One),
    /// Set an endpoint anew; what is not said stays as it is
    Update(Update),
    /// Send to it again
    Enable(One),
    /// Send nothing to it; what waits is dropped, and can be replayed once it is enabled
    Disable(One),
    /// Take an endpoint away
    Delete(One),
    /// Make a new secret; those before it sign beside it until the overlap is over
    Rotate {
        #[command(flatten)]
        one: One,
        /// How long the secrets before it stay good; `0s` for no longer
        #[arg(long, value_name = "TIME", default_value = "24h")]
        overlap: Span,
    },
    /// End a secret at once
    Revoke {
        #[command(flatten)]
        one: One,
        /// Which, as `colophon endpoint show` numbers it
        #[arg(long, value_name = "N")]
        generation: u32,
    },
    /// Send a test event
    Test(One),
    /// List attempts to deliver events to an endpoint, newest first
    Attempts(Attempts),
    /// List events that were sent, newest first, or show one with its payload and attempts
    Events(Events),
    /// Send an event, or all since a time, once more: with the same ids and bodies
    Replay(Again),
}

/// An endpoint as it is asked for.
#[derive(Debug, Args)]
pub(super) struct Create {
    /// The tenant
    slug: TenantSlug,
    /// Where events are sent, such as `https://runner.example/hooks/colophon`
    url: String,
    /// A type of events; may be given several times [default: build.succeeded and build.failed]
    #[arg(long = "event", value_enum, value_name = "TYPE")]
    events: Vec<EventKind>,
    /// Only events about this flow
    #[arg(long)]
    flow: Option<FlowId>,
    /// A word by which people recognise it
    #[arg(long, default_value = "")]
    label: String,
    #[command(flatten)]
    overrides: Overrides,
}

/// Which endpoint.
#[derive(Debug, Args)]
pub(super) struct One {
    /// The tenant
    slug: TenantSlug,
    /// The endpoint, as `colophon endpoint list` shows it
    endpoint: EndpointId,
    #[command(flatten)]
    overrides: Overrides,
}

/// What is set anew.
#[derive(Debug, Args)]
pub(super) struct Update {
    #[command(flatten)]
    one: One,
    /// Where events are sent
    #[arg(long)]
    url: Option<String>,
    /// A type of events; may be given several times, and replaces all before
    #[arg(long = "event", value_enum, value_name = "TYPE")]
    events: Vec<EventKind>,
    /// Only events about this flow
    #[arg(long, conflicts_with = "every_flow")]
    flow: Option<FlowId>,
    /// Events about every flow
    #[arg(long)]
    every_flow: bool,
    /// A word by which people recognise it
    #[arg(long)]
    label: Option<String>,
}

/// Which attempts.
#[derive(Debug, Args)]
pub(super) struct Attempts {
    #[command(flatten)]
    one: One,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=200))]
    limit: u16,
    /// Those before this one, as the list before ends with
    #[arg(long)]
    cursor: Option<EventKey>,
    /// Those of one event
    #[arg(long)]
    event: Option<EventKey>,
}

/// Which events.
#[derive(Debug, Args)]
pub(super) struct Events {
    /// The tenant
    slug: TenantSlug,
    /// One event, by its `webhook-id`
    event: Option<EventKey>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=200))]
    limit: u16,
    /// Those before this one, as the list before ends with
    #[arg(long)]
    cursor: Option<EventKey>,
    /// Those of one type
    #[arg(long = "type", value_enum)]
    kind: Option<EventKind>,
    /// Those of one flow
    #[arg(long)]
    flow: Option<FlowId>,
    #[command(flatten)]
    overrides: Overrides,
}

/// What is sent again.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub(super) struct Again {
    #[command(flatten)]
    one: One,
    /// One event
    #[arg(long, group = "what")]
    event: Option<EventKey>,
    /// Every event since this time that the endpoint wants to know of, such as `2026-11-30T08:00:00Z`
    #[arg(long, group = "what", value_name = "TIME")]
    since: Option<String>,
}

impl Endpoint {
    pub(super) fn run(self, out: Out) -> anyhow::Result<()> {
        match self {
            Self::Create(wanted) => {
                let config = Config::load(&wanted.overrides)?;
                let (slug, wanted) = wanted.into_parts();
                out.data(&ask::create(&config, &slug, &wanted)?, text::created)
            }
            Self::List { slug, overrides } => {
                out.data(&ask::list(&Config::load(&overrides)?, &slug)?, text::list)
            }
            Self::Show(one) => out.data(&ask::show(&one)?, text::endpoint),
            Self::Update(update) => out.data(
                &ask::update(&update.one, |set| {
                    let Update { url, events, flow, every_flow, label, .. } = &update;
                    if let Some(url) = url {
                        set.url.clone_from(url);
                    }
                    if !events.is_empty() {
                        set.events = words(events);
                    }
                    if flow.is_some() || *every_flow {
                        set.flow.clone_from(flow);
                    }
                    if let Some(label) = label {
                        set.label.clone_from(label);
                    }
                })?,
                text::endpoint,
            ),
            Self::Enable(one) => {
                out.data(&ask::update(&one, |set| set.enabled = true)?, text::endpoint)
            }
            Self::Disable(one) => {
                out.data(&ask::update(&one, |set| set.enabled = false)?, text::endpoint)
            }
            Self::Delete(one) => {
                ask::delete(&one)?;
                let done = serde_json::json!({ "id": one.endpoint, "deleted": true });
                out.data(&done, |_| format!("nothing more is sent to endpoint {}", one.endpoint))
            }
            Self::Rotate { one, overlap } => out.data(&ask::rotate(&one, overlap)?, text::rotated),
            Self::Revoke { one, generation } => {
                out.data(&ask::revoke(&one, generation)?, text::endpoint)
            }
            Self::Test(one) => out.data(&ask::test(&one)?, text::queued),
            Self::Attempts(wanted) => out.data(&ask::attempts(&wanted)?, text::attempts),
            Self::Events(wanted) => match wanted.event {
                Some(event) => out.data(&ask::event(&wanted, event)?, text::event),
                None => out.data(&ask::events(&wanted)?, text::events),
            },
            Self::Replay(Again { one, event, since }) => {
                let what = match (event, since) {
                    (Some(event), _) => Replay::Event(event),
                    (None, since) => Replay::Since(since.unwrap_or_default()),
                };
                out.data(&ask::replay(&one, &what)?, text::queued)
            }
        }
    }
}

impl Create {
    fn into_parts(self) -> (TenantSlug, SetEndpoint) {
        let Self { slug, url, events, flow, label, .. } = self;
        let usual = [EventKind::BuildSucceeded, EventKind::BuildFailed];
        let events = if events.is_empty() { words(&usual) } else { words(&events) };
        (slug, SetEndpoint { url, events, flow, label, enabled: true })
    }
}

fn words(kinds: &[EventKind]) -> Vec<String> {
    kinds.iter().map(|kind| kind.word().to_owned()).collect()
}
