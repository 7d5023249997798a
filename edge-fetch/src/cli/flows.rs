//! Commands about what is installed. None of them needs the server; what changes is told to it.

use colophon_edge_fetch::{Cache, Error, Exit, commit, history, recipient, roll_back};
use colophon_model::{FlowId, UnixMillis};
use serde_json::json;

use super::output::Output;
use super::{Cli, tell};

/// Commits what is on trial.
pub(super) fn keep(
    cli: &Cli,
    cache: &Cache,
    flow: Option<&FlowId>,
    now: UnixMillis,
    output: &Output,
) -> Result<Exit, Error> {
    let (flow, done) = commit(cache, flow, now)?;
    output.committed(&flow, done);
    tell::tell(cli, cache, None, now, None, output);
    Ok(Exit::Ok)
}

/// Goes back to the bundle before, for a reason.
pub(super) fn go_back(
    cli: &Cli,
    cache: &Cache,
    (flow, reason): (Option<&FlowId>, &str),
    now: UnixMillis,
    output: &Output,
) -> Result<Exit, Error> {
    let (flow, back) = roll_back(cache, flow, now, reason)?;
    output.rolled_back(&flow, back.as_ref());
    tell::tell(cli, cache, None, now, None, output);
    Ok(Exit::Ok)
}

/// Prints the history of a flow, or of all.
pub(super) fn what_happened(
    cache: &Cache,
    flow: Option<&FlowId>,
    output: &Output,
) -> Result<Exit, Error> {
    let flows = flow.map_or_else(|| cache.flows(), |flow| Ok(vec![flow.clone()]))?;
    for flow in flows {
        output.history(&flow, &history(cache, &flow)?);
    }
    Ok(Exit::Ok)
}

/// Prints for whom secrets are encrypted.
pub(super) fn print_recipient(cache: &Cache, output: &Output) -> Result<Exit, Error> {
    let recipient = recipient(cache)?;
    output.say(&recipient, &json!({"event": "recipient", "recipient": recipient}));
    Ok(Exit::Ok)
}
