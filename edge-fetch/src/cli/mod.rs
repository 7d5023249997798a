//! The command line: arguments, folder and token, dispatch.

mod attest;
mod doctor;
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
    Agent, BaseUrl, Cache, Config, Error, Exit, HttpTransport, Network, Offer, Platform, Settings,
    Standing, Token, attestation_keys, commit, enroll_attested, history, recipient, roll_back,
    status,
};
use colophon_model::{FlowId, TenantSlug, UnixMillis};

use serde_json::json;

use options::{NetworkOptions, TrialOptions};
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
    Enroll {
        /// The server, such as `https://colophon.example`
        #[arg(long)]
        url: BaseUrl,
        /// The tenant's slug
        #[arg(long)]
        tenant: TenantSlug,
        /// The tenant's root metadata (root.json), received by a way you trust
        #[arg(long, value_name = "FILE")]
        root: PathBuf,
        /// Take only bundles that were attested with the keys in this PEM file; several times for all of them
        #[arg(long = "attestation-key", value_name = "FILE")]
        attestation_keys: Vec<PathBuf>,
        /// Under which name the server lists this machine [default: its own]
        #[arg(long)]
        name: Option<String>,
    },
    /// Say what is new; 10 when there is an update
    Check,
    /// Download and verify bundles without activating them
    Fetch {
        /// Only this flow's
        flow: Option<FlowId>,
        /// Fetch whole bundles, without telling the server which one is here
        #[arg(long)]
        no_delta: bool,
    },
    /// Download, verify, unpack and activate bundles
    Apply {
        /// Only this flow's
        flow: Option<FlowId>,
        /// Fetch whole bundles, without telling the server which one is here
        #[arg(long)]
        no_delta: bool,
        #[command(flatten)]
        trial: TrialOptions,
    },
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
    Run {
        /// The flow
        flow: FlowId,
        /// Which of its segments; not needed when there is only one
        #[arg(long)]
        segment: Option<String>,
        /// Fetch the bundle again when its files were changed; takes an update along
        #[arg(long)]
        repair: bool,
        /// Arguments of the script
        #[arg(last = true)]
        args: Vec<String>,
    },
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

/// For how many updates `check` asks how large they are.
const ESTIMATES: usize = 16;

/// Runs the command line of this process.
pub(crate) fn run(clock: fn() -> UnixMillis) -> ExitCode {
    let cli = Cli::parse();
    let mut output = Output::new(cli.json);
    dispatch(&cli, clock, &mut output).unwrap_or_else(|error| {
        output.error(&error);
        ExitCode::from(error.exit() as u8)
    })
}

fn run_segment(
    cli: &Cli,
    cache: &Cache,
    now: UnixMillis,
    (flow, segment, args, repair): (&FlowId, Option<&str>, &[String], bool),
) -> Result<ExitCode, Error> {
    let command = match run::command(cache, flow, segment, args) {
        Err(error) if repair && error.is_damage() => {
            upkeep::repair(cli, cache, flow, now)?;
            run::command(cache, flow, segment, args)?
        }
        command => command?,
    };
    run::become_it(flow, command)
}

fn dispatch(cli: &Cli, clock: fn() -> UnixMillis, output: &mut Output) -> Result<ExitCode, Error> {
    if let Command::Attest(attest) = &cli.command {
        return Ok(ExitCode::from(attest.run(output)? as u8)); // it needs no folder
    }
    let cache = Cache::new(folder(cli.dir.as_deref())?).waiting(cli.wait);
    let now = clock();
    let exit = match &cli.command {
        Command::Run { flow, segment, repair, args } => {
            return run_segment(cli, &cache, now, (flow, segment.as_deref(), args, *repair));
        }
        Command::TufClient(command) => {
            return Ok(command.run(&cli.network.over(&Settings::default()), now));
        }
        Command::Watch(options) => watch::watch(cli, options, &cache, clock, output)?,
        Command::Upkeep(command) => upkeep::run(cli, command, &cache, now, output)?,
        Command::Doctor => doctor::doctor(cli, &cache, now, output),
        Command::Enroll { url, tenant, root, attestation_keys: files, name } => {
            let token_file = cli.token_file.as_deref().map(absolute).transpose()?;
            if token_file.is_some() {
                network(cli, &cache)?.check_token_is_safe(url)?;
            }
            let config = Config {
                url: url.clone(),
                tenant: tenant.clone(),
                token_file,
                device: tell::new_device(),
                name: Some(name.clone().unwrap_or_else(tell::machine)),
            };
            let keys: Result<Vec<_>, _> = files.iter().map(|file| attestation_keys(file)).collect();
            let enrolled = enroll_attested(&cache, config, &input(root)?, &keys?.concat())?;
            output.enrolled(&cache, &enrolled);
            Exit::Ok
        }
        Command::Check => {
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
            let update = offers.iter().any(update);
            if update { Exit::UpdateAvailable } else { Exit::Ok }
        }
        Command::Fetch { flow, no_delta } => {
            let agent = agent(cli, cache, now)?.with_delta(!no_delta);
            let outcomes = agent.fetch(flow.as_ref(), &mut output.progress());
            let outcomes = output.after_sync(&agent, outcomes)?;
            output.outcomes(&outcomes, Output::fetched)
        }
        Command::Apply { flow, no_delta, trial } => {
            let policy = trial.policy(&Settings::of(&cache)?);
            let agent = agent(cli, cache.clone(), now)?.with_policy(policy).with_delta(!no_delta);
            let outcomes = agent.apply(flow.as_ref(), &mut output.progress());
            let outcomes = output.after_sync(&agent, outcomes);
            let line = agent.close();
            let trouble = tell::trouble(&outcomes);
            let exit = output.ended(&outcomes);
            tell::tell(cli, &cache, Some(line), now, trouble.as_deref(), output);
            exit
        }
        Command::Commit { flow } => {
            let (flow, done) = commit(&cache, flow.as_ref(), now)?;
            output.committed(&flow, done);
            tell::tell(cli, &cache, None, now, None, output);
            Exit::Ok
        }
        Command::Rollback { flow, reason } => {
            let (flow, back) = roll_back(&cache, flow.as_ref(), now, reason)?;
            output.rolled_back(&flow, back.as_ref());
            tell::tell(cli, &cache, None, now, None, output);
            Exit::Ok
        }
        Command::History { flow } => {
            let flows = flow.clone().map_or_else(|| cache.flows(), |flow| Ok(vec![flow]))?;
            for flow in flows {
                output.history(&flow, &history(&cache, &flow)?);
            }
            Exit::Ok
        }
        Command::Status => {
            output.status(&status(&cache)?);
            Exit::Ok
        }
        Command::Recipient => {
            let recipient = recipient(&cache)?;
            output.say(&recipient, &json!({"event": "recipient", "recipient": recipient}));
            Exit::Ok
        }
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
