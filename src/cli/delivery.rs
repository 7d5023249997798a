//! `colophon delivery`.

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use colophon_model::{FlowId, TenantSlug};
use colophon_store::rows::DeliveryKey;

use super::admin::{self, Access};
use super::job::row;
use super::out::Out;
use crate::config::{Config, Overrides};
use crate::http::deliveries::{self, Actor, DeliveryList, DeliveryView, Filter};
use crate::tenants;

/// Subcommands.
#[derive(Debug, Subcommand)]
pub(super) enum Delivery {
    /// List a tenant's deliveries, newest first
    List(List),
    /// Show one delivery
    Show(One),
    /// Run a delivery's body again, under the same rules of order
    Replay(One),
}

/// Which deliveries.
#[derive(Debug, Args)]
pub(super) struct List {
    /// The tenant
    slug: TenantSlug,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=200))]
    limit: u16,
    /// Those before this one, as the list before ends with
    #[arg(long, alias = "before", value_name = "CURSOR")]
    cursor: Option<DeliveryKey>,
    /// Those of which this became
    #[arg(long, value_enum)]
    outcome: Option<Ended>,
    /// Those that were refused with this code
    #[arg(long)]
    code: Option<String>,
    /// Those of one flow
    #[arg(long)]
    flow: Option<FlowId>,
    #[command(flatten)]
    overrides: Overrides,
}

/// Which delivery.
#[derive(Debug, Args)]
pub(super) struct One {
    /// The tenant
    slug: TenantSlug,
    /// The delivery, as `colophon delivery list` shows it
    delivery: DeliveryKey,
    #[command(flatten)]
    overrides: Overrides,
}

/// What can become of a delivery.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Ended {
    /// A build
    Built,
    /// Nothing: it is the flow's current one
    Noop,
    /// The build of its first attempt
    Replayed,
    /// A refusal
    Refused,
}

impl Ended {
    const fn word(self) -> &'static str {
        match self {
            Self::Built => "built",
            Self::Noop => "noop",
            Self::Replayed => "replayed",
            Self::Refused => "refused",
        }
    }
}

impl Delivery {
    pub(super) fn run(self, out: Out) -> anyhow::Result<()> {
        match self {
            Self::List(wanted) => out.data(&list(&wanted)?, list_text),
            Self::Show(one) => out.data(&show(&one)?, text),
            Self::Replay(one) => out.data(&replay(&one)?, text),
        }
    }
}

fn list(wanted: &List) -> anyhow::Result<DeliveryList> {
    let filter = Filter {
        limit: Some(usize::from(wanted.limit)),
        before: wanted.cursor,
        outcome: wanted.outcome.map(|ended| ended.word().to_owned()),
        code: wanted.code.clone(),
        flow: wanted.flow.clone(),
    };
    match admin::open(&Config::load(&wanted.overrides)?)? {
        Access::Direct(press) => {
            let tenant = tenants::find(&press.store.view()?, &wanted.slug)?;
            Ok(DeliveryList::read(&press, &tenant, &filter)?)
        }
        Access::Server(client) => {
            client.get(&format!("/v1/t/{}/deliveries?{}", wanted.slug, query(&filter)?))
        }
    }
}

/// The filter as a query. What is in it needs no escapes: a code that would is none of ours.
fn query(filter: &Filter) -> anyhow::Result<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    let fields = serde_json::to_value(filter)?;
    let mut pairs = Vec::new();
    for (name, value) in fields.as_object().into_iter().flatten() {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        anyhow::ensure!(text.chars().all(plain), "`{text}` is no {name}");
        pairs.push(format!("{name}={text}"));
    }
    Ok(pairs.join("&"))
}

fn show(one: &One) -> anyhow::Result<DeliveryView> {
    match admin::open(&Config::load(&one.overrides)?)? {
        Access::Direct(press) => {
            let tenant = tenants::find(&press.store.view()?, &one.slug)?;
            deliveries::show(&press, &tenant, one.delivery)?.context(UNKNOWN)
        }
        Access::Server(client) => client.find(&path(one))?.context(UNKNOWN),
    }
}

const UNKNOWN: &str = "there is no such delivery, or no longer";

fn replay(one: &One) -> anyhow::Result<DeliveryView> {
    let config = Config::load(&one.overrides)?;
    match admin::open(&config)? {
        Access::Direct(press) => {
            let tenant = tenants::find(&press.store.view()?, &one.slug)?;
            let status = config.gates.status;
            let told = deliveries::replay(&press, status, &tenant, one.delivery, Actor::OPERATOR);
            told.map_err(|refused| anyhow::anyhow!("{}", refused.detail()))?.context(UNKNOWN)
        }
        Access::Server(client) => client.post(&format!("{}/replay", path(one)), &()),
    }
}

fn path(one: &One) -> String {
    format!("/v1/t/{}/deliveries/{}", one.slug, one.delivery)
}

fn list_text(list: &DeliveryList) -> String {
    let line = |d: &DeliveryView| {
        let flow = d.flow.as_ref().map_or("-", FlowId::as_str);
        let code = d.code.as_deref().unwrap_or_default();
        format!(
            "{}  {}  {:8}  {}  {:8}  {flow}  {code}",
            d.delivery, d.at, d.by, d.status, d.outcome
        )
    };
    let mut lines: Vec<String> = list.deliveries.iter().map(line).collect();
    if lines.is_empty() {
        lines.push("no deliveries".to_owned());
    }
    lines.extend(list.next.map(|next| format!("more with --cursor {next}")));
    lines.join("\n")
}

fn text(delivery: &DeliveryView) -> String {
    let d = delivery;
    let mut lines = vec![format!("delivery {}", d.delivery)];
    let mut say = |label, text: Option<String>| lines.extend(text.map(|text| row(label, text)));
    say("at", Some(d.at.clone()));
    let secret = d.secret.map_or_else(String::new, |n| format!(", secret {n}"));
    say("by", Some(format!("{}{secret}", d.by)));
    say("from", d.from.clone());
    say("id", d.id.clone());
    say("signed", d.signed.clone());
    say("replay of", d.replay_of.map(|key| key.to_string()));
    say("body", Some(format!("{} bytes, {}", d.size, d.body)));
    let code = d.code.as_ref().map_or_else(String::new, |code| format!(", {code}"));
    say("outcome", Some(format!("{} ({}{code})", d.outcome, d.status)));
    say("flow", d.flow.as_ref().map(ToString::to_string));
    say("build", d.build.map(|build| build.to_string()));
    say("took", Some(format!("{} ms", d.millis)));
    say(
        "replay",
        d.replayable
            .map(|yes| if yes { "possible" } else { "the body is kept no more" }.to_owned()),
    );
    lines.join("\n")
}
