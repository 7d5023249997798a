//! `watch`: apply, again and again, until it is told to stop.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use clap::Args;
use colophon_edge_fetch::{Backoff, Cache, Error, Exit, Settings};
use colophon_model::UnixMillis;

use super::options::TrialOptions;
use super::output::Output;
use super::tell::{tell, trouble};
use super::{Cli, agent};

#[derive(Debug, Args)]
pub(super) struct WatchOptions {
    /// How often to ask
    #[arg(long, env = "EDGE_FETCH_INTERVAL", default_value = "60s", value_name = "TIME", value_parser = humantime::parse_duration)]
    interval: Duration,
    /// By how much a wait may be off, so that machines do not ask at the same moment
    #[arg(long, default_value = "20%", value_name = "SHARE", value_parser = share)]
    jitter: f64,
    /// Ask once, at once, and end
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    trial: TrialOptions,
}

fn share(text: &str) -> Result<f64, String> {
    let percent: Option<u8> = text.strip_suffix('%').and_then(|number| number.parse().ok());
    match percent {
        Some(percent @ 0..=100) => Ok(f64::from(percent) / 100.0),
        _ => Err("write a share such as 20%".to_owned()),
    }
}

/// Polls until a signal comes. What is active stays, whatever fails.
pub(super) fn watch(
    cli: &Cli,
    options: &WatchOptions,
    cache: &Cache,
    clock: fn() -> UnixMillis,
    output: &mut Output,
) -> Result<Exit, Error> {
    cache.config()?;
    if options.once {
        return Ok(poll(cli, options, cache, clock(), output)?.exit);
    }
    let stop = signals()?;
    let mut backoff = Backoff::new(options.interval, options.jitter);
    let mut wait = backoff.first(&mut chance);
    while stopped(&stop, wait) == Stopped::No {
        wait = match poll(cli, options, cache, clock(), output) {
            Ok(Polled { exit: Exit::Ok | Exit::Activation, .. }) => backoff.success(&mut chance),
            Ok(Polled { asked, .. }) => backoff.failure(asked, &mut chance),
            Err(error @ Error::Archived { .. }) => {
                output.error(&error);
                backoff.success(&mut chance)
            }
            Err(error) => {
                output.error(&error);
                backoff.failure(error.retry_after(), &mut chance)
            }
        };
        output.waiting(wait);
    }
    output.stopped();
    Ok(Exit::Ok)
}

/// What came of asking once.
struct Polled {
    exit: Exit,
    /// How long the server asked to wait, when it had no time for something: the longest of it.
    asked: Option<Duration>,
}

fn poll(
    cli: &Cli,
    options: &WatchOptions,
    cache: &Cache,
    now: UnixMillis,
    output: &mut Output,
) -> Result<Polled, Error> {
    let policy = options.trial.policy(&Settings::of(cache)?);
    let agent = agent(cli, cache.clone(), now)?.with_policy(policy);
    let outcomes = agent.apply(None, &mut output.progress());
    let outcomes = output.after_sync(&agent, outcomes);
    let line = agent.close();
    let trouble = trouble(&outcomes);
    let ended = outcomes.map(|outcomes| {
        let errors = outcomes.iter().filter_map(|one| one.result.as_ref().err());
        let asked = errors.filter_map(Error::retry_after).max();
        Polled { exit: output.polled(&outcomes), asked }
    });
    tell(cli, cache, Some(line), now, trouble.as_deref(), output);
    ended
}

/// A channel that gets a message with every request to end.
fn signals() -> Result<Receiver<()>, Error> {
    let (send, receive) = channel();
    ctrlc::set_handler(move || {
        // Nobody listens any more once the loop has ended.
        let _ = send.send(());
    })
    .map_err(|error| super::unusable("signals".as_ref(), &error.to_string()))?;
    Ok(receive)
}

#[derive(PartialEq, Eq)]
enum Stopped {
    Yes,
    No,
}

fn stopped(stop: &Receiver<()>, wait: Duration) -> Stopped {
    match stop.recv_timeout(wait) {
        Err(RecvTimeoutError::Timeout) => Stopped::No,
        Ok(()) | Err(RecvTimeoutError::Disconnected) => Stopped::Yes,
    }
}

/// From 0 up to 1. A machine without randomness waits the middle.
fn chance() -> f64 {
    getrandom::u32().map_or(0.5, |random| f64::from(random) / (f64::from(u32::MAX) + 1.0))
}
