//! Commands that look after the folder, and that carry bundles by hand.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use colophon_edge_fetch::{
    Agent, Cache, Error, Exit, FolderTransport, Platform, Settings, cache_size, clean_cache, gc,
    inspect_digest, inspect_file, verify, verify_objects,
};
use colophon_model::{Digest, FlowId, UnixMillis};
use serde_json::json;

use super::options::TrialOptions;
use super::output::Output;
use super::{Cli, agent};

#[derive(Debug, Subcommand)]
pub(super) enum Upkeep {
    /// Compare the current bundles with what was signed; 6 when files were changed
    Verify {
        /// Also read every download that is kept
        #[arg(long)]
        deep: bool,
        /// Fetch again what was changed
        #[arg(long)]
        repair: bool,
    },
    /// Remove old bundles; the active, the previous and one on trial always stay
    Gc {
        /// How many others stay, of every flow
        #[arg(long, default_value_t = 3)]
        keep: usize,
    },
    /// The agent's folder
    #[command(subcommand)]
    Cache(CacheCommand),
    /// Say what a file is, or where a digest is used
    Inspect {
        /// A zip, a metadata file, a list of files; or the BLAKE3 of a file or a tree
        what: String,
    },
    /// Write all of the tenant's bundles and metadata to a folder, for `import` or any TUF client
    Export {
        /// The folder
        #[arg(long, value_name = "DIR")]
        tuf: PathBuf,
    },
    /// Apply the bundles in a folder that `export` wrote, without a network
    Import {
        /// The folder
        folder: PathBuf,
        #[command(flatten)]
        trial: TrialOptions,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum CacheCommand {
    /// Print where it is
    Dir,
    /// Print how many bytes its parts have
    Size,
    /// Remove downloads; what is unpacked stays
    Clean,
}

pub(super) fn run(
    cli: &Cli,
    command: &Upkeep,
    cache: &Cache,
    now: UnixMillis,
    output: &mut Output,
) -> Result<Exit, Error> {
    match command {
        Upkeep::Verify { deep, repair } => check(cli, cache, now, (*deep, *repair), output),
        Upkeep::Gc { keep } => {
            let done = gc(cache, *keep)?;
            let text =
                format!("{} generations and {} objects removed", done.generations, done.objects);
            let json = json!({"event": "gc", "generations": done.generations,
                "objects": done.objects});
            output.say(&text, &json);
            Ok(Exit::Ok)
        }
        Upkeep::Cache(command) => folder(cache, command, output),
        Upkeep::Inspect { what } => {
            let found = match (what.parse::<Digest>(), Path::new(what).exists()) {
                (Ok(digest), false) => inspect_digest(cache, &digest)?,
                _ => inspect_file(Path::new(what))?,
            };
            let text = serde_json::to_string_pretty(&found).unwrap_or_default();
            output.say(&text, &found);
            Ok(Exit::Ok)
        }
        Upkeep::Export { tuf } => {
            let done = agent(cli, cache.clone(), now)?.export(tuf)?;
            let text = format!(
                "{} bundles and {} metadata files in {}",
                done.bundles,
                done.metadata,
                tuf.display()
            );
            let json = json!({"event": "exported", "bundles": done.bundles,
                "metadata": done.metadata, "path": tuf});
            output.say(&text, &json);
            Ok(Exit::Ok)
        }
        Upkeep::Import { folder, trial } => {
            let policy = trial.policy(&Settings::of(cache)?);
            let transport = FolderTransport::new(folder.clone())?;
            let agent = Agent::open(cache.clone(), transport, Platform::current(), now)?;
            let outcomes = agent.with_policy(policy).apply(None, &mut output.progress())?;
            Ok(output.outcomes(&outcomes, Output::applied))
        }
    }
}

fn folder(cache: &Cache, command: &CacheCommand, output: &Output) -> Result<Exit, Error> {
    let size = match command {
        CacheCommand::Dir => {
            let text = cache.dir().display().to_string();
            output.say(&text, &json!({"event": "cache", "dir": cache.dir()}));
            return Ok(Exit::Ok);
        }
        CacheCommand::Size => cache_size(cache)?,
        CacheCommand::Clean => clean_cache(cache)?,
    };
    let word = if matches!(command, CacheCommand::Clean) { "removed" } else { "kept" };
    let text = format!(
        "{} bytes of downloads {word}, {} unfinished; bundles have {} bytes",
        size.objects, size.unfinished, size.flows
    );
    let json = json!({"event": "cache", "objects": size.objects, "unfinished": size.unfinished,
        "flows": size.flows, "removed": word == "removed"});
    output.say(&text, &json);
    Ok(Exit::Ok)
}

fn check(
    cli: &Cli,
    cache: &Cache,
    now: UnixMillis,
    (deep, mend): (bool, bool),
    output: &Output,
) -> Result<Exit, Error> {
    cache.config()?;
    let mut exit = Exit::Ok;
    for flow in cache.flows()? {
        let found = match verify(cache, &flow) {
            Err(Error::Damaged { .. }) if mend => {
                repair(cli, cache, &flow, now).and_then(|()| verify(cache, &flow))
            }
            // Nothing of it is active.
            Err(Error::NotInstalled { .. }) => continue,
            found => found,
        };
        match found {
            Ok(intact) => output.intact(&flow, &intact),
            Err(error) => {
                output.error(&error);
                exit = if exit == Exit::Ok { error.exit() } else { exit };
            }
        }
    }
    if deep {
        let (whole, damaged) = verify_objects(cache, mend)?;
        let text = format!("{whole} downloads are whole, {damaged} are not");
        let json = json!({"event": "objects", "whole": whole, "damaged": damaged});
        output.say(&text, &json);
        exit = if exit == Exit::Ok && damaged > 0 && !mend { Exit::Verification } else { exit };
    }
    Ok(exit)
}

/// Fetches a flow's bundle again.
pub(super) fn repair(
    cli: &Cli,
    cache: &Cache,
    flow: &FlowId,
    now: UnixMillis,
) -> Result<(), Error> {
    let outcomes = agent(cli, cache.clone(), now)?.apply(Some(flow), &mut |_, _| {})?;
    outcomes.into_iter().try_for_each(|outcome| outcome.result.map(drop))
}
