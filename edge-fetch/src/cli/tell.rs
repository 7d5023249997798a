//! Telling the server what runs here, after something may have changed. It never changes how a
//! command ends.

use colophon_edge_fetch::{
    Applied, Cache, Error, HttpTransport, Outcome, Platform, Settings, report,
};
use colophon_model::UnixMillis;

use super::output::{Output, with_causes};
use super::{Cli, transport};

/// Sends a report, unless the user does not want that. A server that takes none is fine. With `line`,
/// over the connection that is there already.
pub(super) fn tell(
    cli: &Cli,
    cache: &Cache,
    line: Option<HttpTransport>,
    now: UnixMillis,
    trouble: Option<&str>,
    output: &Output,
) {
    match send(cli, cache, line, now, trouble) {
        Ok(true) => output.reported(),
        Ok(false) | Err(Error::NotFound { .. }) => {}
        Err(error) => output.not_reported(&error),
    }
}

fn send(
    cli: &Cli,
    cache: &Cache,
    line: Option<HttpTransport>,
    now: UnixMillis,
    trouble: Option<&str>,
) -> Result<bool, Error> {
    if cli.network.no_report || Settings::of(cache)?.no_report {
        return Ok(false);
    }
    let line = line.map_or_else(|| transport(cli, cache), Ok)?;
    report(cache, &line, &Platform::current(), now, trouble)
}

/// What failed first.
pub(super) fn trouble(outcomes: &Result<Vec<Outcome<Applied>>, Error>) -> Option<String> {
    match outcomes {
        Err(error) => Some(with_causes(error)),
        Ok(all) => all.iter().find_map(|one| one.result.as_ref().err()).map(with_causes),
    }
}

/// An id for this machine. Without randomness it has none, and does not report.
pub(super) fn new_device() -> Option<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).ok()?;
    Some(format!("{:032x}", u128::from_be_bytes(bytes)))
}

/// What this machine is called.
#[cfg(unix)]
pub(super) fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// What this machine is called.
#[cfg(not(unix))]
pub(super) fn machine() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default()
}
