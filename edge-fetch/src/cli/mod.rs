//! The command line: arguments, folder and token, dispatch.

mod attest;
mod bundles;
mod doctor;
mod enroll;
mod flows;
mod options;
mod output;
mod run;
mod tell;
mod tuf_client;
mod upkeep;
mod watch;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use colophon_edge_fetch::{
    Agent, Cache, Error, Exit, HttpTransport, Network, Platform, Settings, Token, status,
};
use colophon_model::{FlowId, UnixMillis};

use options::NetworkOptions;
use output::Output;

/// Fetches, verifies and unpacks the signed bundles of a colophon tenant.
#[derive(Debug, Parser)]
#[command(name = "edge-fetch", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// The agent's folder [default: edge-fetch in the platform's data folder]
    #[arg(long, global = true, env = "EDGE_FETCH_DIR", value_name = "DIR")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    network: NetworkOptions,
    /// File with the tenant's token; EDGE_FETCH_TOKEN holds the token itself
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Wait for another edge-fetch in the same folder, instead of ending with 12
    #[arg(long, global = true)]
    wait: bool,
    /// Print one JSON object per line
    #[arg(long, global = true)]
    json: bool,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done or up to date, 1 disk error, 2 usage, 3 network (try again), 4 not found, 5 token \
refused, 6 verification failed, 7 metadata expired or clock wrong, 8 going back refused, 9 wrong \
architecture or system, 10 update available (check), 11 too large, 12 locked, 13 failed its trial and \
rolled back, 14 disk full, 15 secrets cannot be decrypted";

#[derive(Debug, Subcommand)]
enum Command {
    /// Pin a tenant's root and remember the server
    Enroll(enroll::EnrollOptions),
    /// Say what is new; 10 when there is an update
    Check,
    /// Download and verify bundles without activating them
    Fetch(bundles::FetchOptions),
    /// Download, verify, unpack and activate bundles
    Apply(bundles::ApplyOptions),
    /// Keep the bundle that is on trial
    Commit {
        /// Of this flow; not needed when there is only one
        flow: Option<FlowId>,
    },
    /// Go back to the bundle before the current one
    Rollback {
        /// Of this flow; not needed when there is only one
        flow: Option<FlowId>,
        /// Why; kept in the history and shown to the server
        #[arg(long, default_value = "by hand")]
        reason: String,
    },
    /// Check a flow's files and run one of its segments; ends as the script ends
    Run(run::RunOptions),
    /// Apply every new bundle, until it is stopped
    Watch(watch::WatchOptions),
    #[command(flatten)]
    Upkeep(upkeep::Upkeep),
    /// Look at everything that an agent needs, from the folder to the server
    Doctor,
    /// What happened to the bundles here
    History {
        /// Of this flow; of all without it
        flow: Option<FlowId>,
    },
    /// Print this device's age recipient, for whoever encrypts secrets for it
    Recipient,
    /// Say what is active, without asking the server
    Status,
    /// Check what is attested about a bundle
    #[command(subcommand)]
    Attest(attest::Attest),
    /// A client of any TUF repository, for the conformance suite
    #[command(hide = true)]
    TufClient(tuf_client::TufCommand),
}

/// Runs the command line of this process.
pub(crate) fn run(clock: fn() -> UnixMillis) -> ExitCode {
    let cli = Cli::parse();
    let mut output = Output::new(cli.json);
    dispatch(&cli, clock, &mut output).unwrap_or_else(|error| {
        output.error(&error);
        ExitCode::from(error.exit() as u8)
    })
}

fn dispatch(cli: &Cli, clock: fn() -> UnixMillis, output: &mut Output) -> Result<ExitCode, Error> {
    if let Command::Attest(attest) = &cli.command {
        return Ok(ExitCode::from(attest.run(output)? as u8)); // it needs no folder
    }
    let cache = Cache::new(folder(cli.dir.as_deref())?).waiting(cli.wait);
    let now = clock();
    let exit = match &cli.command {
        // These two end as something else ended.
        Command::Run(options) => return run::run(cli, options, &cache, now),
        Command::TufClient(command) => {
            return Ok(command.run(&cli.network.over(&Settings::default()), now));
        }
        Command::Enroll(options) => enroll::enroll(cli, options, &cache, output)?,
        Command::Check => bundles::check(cli, cache, now, output)?,
        Command::Fetch(options) => bundles::fetch(cli, options, cache, now, output)?,
        Command::Apply(options) => bundles::apply(cli, options, &cache, now, output)?,
        Command::Watch(options) => watch::watch(cli, options, &cache, clock, output)?,
        Command::Commit { flow } => flows::keep(cli, &cache, flow.as_ref(), now, output)?,
        Command::Rollback { flow, reason } => {
            flows::go_back(cli, &cache, (flow.as_ref(), reason), now, output)?
        }
        Command::Upkeep(command) => upkeep::run(cli, command, &cache, now, output)?,
        Command::Doctor => doctor::doctor(cli, &cache, now, output),
        Command::History { flow } => flows::what_happened(&cache, flow.as_ref(), output)?,
        Command::Status => {
            output.status(&status(&cache)?);
            Exit::Ok
        }
        Command::Recipient => flows::print_recipient(&cache, output)?,
        Command::Attest(attest) => attest.run(output)?,
    };
    Ok(ExitCode::from(exit as u8))
}

fn agent(cli: &Cli, cache: Cache, now: UnixMillis) -> Result<Agent<HttpTransport>, Error> {
    let transport = transport(cli, &cache)?;
    let agent = Agent::open(cache, transport, Platform::current(), now)?;
    Ok(agent.with_sync(!cli.network.no_sync))
}

fn transport(cli: &Cli, cache: &Cache) -> Result<HttpTransport, Error> {
    let config = cache.config()?;
    let token = token(cli.token_file.as_deref(), config.token_file.as_deref())?;
    HttpTransport::new(&config, &network(cli, cache)?, token)
}

fn network(cli: &Cli, cache: &Cache) -> Result<Network, Error> {
    Ok(cli.network.over(&Settings::of(cache)?))
}

/// The token of the file on the command line, else of the environment, else of the file that
/// enrolment remembered.
fn token(named: Option<&Path>, remembered: Option<&Path>) -> Result<Option<Token>, Error> {
    let environment = || std::env::var("EDGE_FETCH_TOKEN").ok().as_deref().and_then(Token::new);
    match (named, environment()) {
        (Some(file), _) => read_token(file).map(Some),
        (None, Some(token)) => Ok(Some(token)),
        (None, None) => remembered.map(read_token).transpose(),
    }
}

fn read_token(file: &Path) -> Result<Token, Error> {
    let text = input(file)?;
    Token::new(&String::from_utf8_lossy(&text))
        .ok_or_else(|| unusable(file, "the file holds no token"))
}

fn input(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::Input { path: path.to_owned(), source })
}

fn absolute(path: &Path) -> Result<PathBuf, Error> {
    std::path::absolute(path).map_err(|source| Error::Input { path: path.to_owned(), source })
}

fn unusable(path: &Path, why: &str) -> Error {
    Error::Input { path: path.to_owned(), source: std::io::Error::other(why) }
}

/// The folder that was named, else the platform's folder for data of a user's programs.
fn folder(named: Option<&Path>) -> Result<PathBuf, Error> {
    if let Some(dir) = named {
        return absolute(dir);
    }
    let variable = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let base = if cfg!(windows) {
        variable("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        variable("HOME").map(|home| home.join("Library/Application Support"))
    } else {
        variable("XDG_DATA_HOME").or_else(|| variable("HOME").map(|h| h.join(".local/share")))
    };
    base.map(|base| base.join("edge-fetch"))
        .ok_or_else(|| unusable(Path::new("--dir"), "there is no home folder to fall back to"))
}
