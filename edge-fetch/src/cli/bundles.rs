//! `check`, `fetch` and `apply`: what the tenant offers, and getting it.

use clap::Args;
use colophon_edge_fetch::{
    Agent, BundleDigest, Cache, Error, Exactly, Exit, Offer, Platform, Settings, Standing,
    Transport,
};
use colophon_model::{FlowId, UnixMillis};

use super::options::TrialOptions;
use super::output::Output;
use super::{Cli, agent, tell};

#[derive(Debug, Args)]
pub(super) struct FetchOptions {
    /// Only this flow's
    flow: Option<FlowId>,
    /// Fetch this very bundle: blake3:… of its tree or sha256:… of its zip. It must be what the tenant
    /// offers now, or installed here; with any other digest this ends with 4 and fetches nothing
    #[arg(long, value_name = "DIGEST")]
    to: Option<BundleDigest>,
    /// Fetch whole bundles, without telling the server which one is here
    #[arg(long)]
    no_delta: bool,
    /// Ask nobody: verify that what the stored metadata lists is all here. 4 when something is not, 7 when
    /// the metadata has expired
    #[arg(long)]
    offline: bool,
}

#[derive(Debug, Args)]
pub(super) struct ApplyOptions {
    /// Only this flow's
    flow: Option<FlowId>,
    /// Fetch whole bundles, without telling the server which one is here
    #[arg(long)]
    no_delta: bool,
    #[command(flatten)]
    trial: TrialOptions,
}

/// For how many updates `check` asks how large they are.
const ESTIMATES: usize = 16;

/// Says what is new, and what it would cost.
pub(super) fn check(
    cli: &Cli,
    cache: Cache,
    now: UnixMillis,
    output: &Output,
) -> Result<Exit, Error> {
    let agent = agent(cli, cache, now)?;
    let offers = output.after_sync(&agent, agent.check())?;
    let mut estimates = ESTIMATES;
    for offer in &offers {
        let asks = offer.standing == Standing::Update && estimates > 0;
        estimates -= usize::from(asks);
        output.offer(offer, if asks { agent.estimate(offer) } else { None });
    }
    let update = |offer: &Offer| match offer.standing {
        Standing::Unsupported => false,
        standing => standing == Standing::Update || offer.env.is_news(),
    };
    Ok(if offers.iter().any(update) { Exit::UpdateAvailable } else { Exit::Ok })
}

/// Downloads and verifies, or only looks whether all is here.
pub(super) fn fetch(
    cli: &Cli,
    options: &FetchOptions,
    cache: Cache,
    now: UnixMillis,
    output: &Output,
) -> Result<Exit, Error> {
    if options.offline {
        // Without token and settings of the network too: it has no way out.
        return fetch_with(&Agent::offline(cache, Platform::current(), now)?, options, output);
    }
    let agent = agent(cli, cache, now)?.with_delta(!options.no_delta);
    fetch_with(&agent, options, output)
}

fn fetch_with<T: Transport>(
    agent: &Agent<T>,
    FetchOptions { flow, to, .. }: &FetchOptions,
    output: &Output,
) -> Result<Exit, Error> {
    let progress = &mut output.progress();
    let Some(to) = to else {
        let outcomes = output.after_sync(agent, agent.fetch(flow.as_ref(), progress))?;
        return Ok(output.outcomes(&outcomes, Output::fetched));
    };
    match output.after_sync(agent, agent.fetch_exactly(flow.as_ref(), to, progress))? {
        Exactly::Offered(outcomes) => Ok(output.outcomes(&outcomes, Output::fetched)),
        Exactly::Installed(flow, intact) => {
            output.intact(&flow, &intact);
            Ok(Exit::Ok)
        }
    }
}

/// Makes what is new the active bundle, and tells the server.
pub(super) fn apply(
    cli: &Cli,
    ApplyOptions { flow, no_delta, trial }: &ApplyOptions,
    cache: &Cache,
    now: UnixMillis,
    output: &Output,
) -> Result<Exit, Error> {
    let policy = trial.policy(&Settings::of(cache)?);
    let agent = agent(cli, cache.clone(), now)?.with_policy(policy).with_delta(!no_delta);
    let outcomes = agent.apply(flow.as_ref(), &mut output.progress());
    let outcomes = output.after_sync(&agent, outcomes);
    let line = agent.close();
    let trouble = tell::trouble(&outcomes);
    let exit = output.ended(&outcomes);
    tell::tell(cli, cache, Some(line), now, trouble.as_deref(), output);
    Ok(exit)
}
