//! The `edge-fetch` program.

mod cli;

use std::process::ExitCode;

use colophon_model::UnixMillis;

fn main() -> ExitCode {
    cli::run(now)
}

/// The machine's clock.
#[expect(clippy::disallowed_methods, reason = "the one place where the agent reads the clock")]
fn now() -> UnixMillis {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    UnixMillis::new(since.map_or(0, |since| since.as_millis() as u64))
}
