//! `run`: a segment of a flow, after its files were checked.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Args;
use colophon_edge_fetch::{Cache, Error, Intact, environment, verify};
use colophon_model::{ArtifactPath, EdgeManifest, EdgeRuntime, FlowId, UnixMillis};

use super::{Cli, upkeep};

#[derive(Debug, Args)]
pub(super) struct RunOptions {
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
}

/// Runs a segment and ends as it ends.
pub(super) fn run(
    cli: &Cli,
    options: &RunOptions,
    cache: &Cache,
    now: UnixMillis,
) -> Result<ExitCode, Error> {
    let RunOptions { flow, segment, repair, args } = options;
    let checked = || command(cache, flow, segment.as_deref(), args);
    let command = match checked() {
        Err(error) if *repair && error.is_damage() => {
            upkeep::repair(cli, cache, flow, now)?;
            checked()?
        }
        command => command?,
    };
    become_it(flow, command)
}

/// The command that runs a segment of a flow whose files are as signed.
fn command(
    cache: &Cache,
    flow: &FlowId,
    segment: Option<&str>,
    args: &[String],
) -> Result<Command, Error> {
    let Intact { path, .. } = verify(cache, flow)?;
    let refused = |why: String| Error::NotRunnable { flow: flow.clone(), why };
    let manifest = manifest(&path).map_err(refused)?;
    let script = script(&manifest, segment).map_err(refused)?;
    let mut command = interpreter(manifest.runtime, cache.dir()).map_err(refused)?;
    if let Some(secrets) = environment(cache, flow)? {
        // Only what the signed manifest names: a value must not become the path or the loader's options.
        let named = manifest.env.keys();
        command.envs(named.filter_map(|name| Some((name, secrets.get(name)?))));
    }
    command.arg(path.join(script.as_str())).args(args);
    Ok(command)
}

fn manifest(folder: &Path) -> Result<EdgeManifest, String> {
    let bytes = std::fs::read(folder.join("manifest.json"))
        .map_err(|error| format!("its manifest.json cannot be read ({error})"))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| format!("its manifest.json is no manifest ({error})"))
}

fn script<'a>(
    manifest: &'a EdgeManifest,
    segment: Option<&str>,
) -> Result<&'a ArtifactPath, String> {
    let names = || manifest.entrypoints.keys().cloned().collect::<Vec<_>>().join(", ");
    match segment {
        Some(name) => manifest
            .entrypoints
            .get(name)
            .ok_or_else(|| format!("it has no segment `{name}`; it has {}", names())),
        None if manifest.entrypoints.len() == 1 => {
            manifest.entrypoints.values().next().ok_or_else(|| "it has no segment".to_owned())
        }
        None => Err(format!("name one of its segments with --segment: {}", names())),
    }
}

/// The program for a language, with what must come before the script. Python neither reads nor
/// writes bytecode beside the scripts: nobody signed it.
fn interpreter(runtime: EdgeRuntime, dir: &Path) -> Result<Command, String> {
    let program = program(runtime)?;
    let mut command = Command::new(program);
    match runtime {
        EdgeRuntime::Python => {
            let nowhere = format!("pycache_prefix={}", dir.join("tmp").join("pycache").display());
            command.args(["-B", "-X", &nowhere])
        }
        EdgeRuntime::Ps1 => {
            command.args(["-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Bypass", "-File"])
        }
        EdgeRuntime::Ahk => command.arg("/ErrorStdOut"),
    };
    Ok(command)
}

/// Where the program of a language is: by a variable, else on the search path.
pub(super) fn program(runtime: EdgeRuntime) -> Result<PathBuf, String> {
    let (variable, names, called): (&str, &[&str], &str) = match runtime {
        EdgeRuntime::Python => ("EDGE_FETCH_PYTHON", &["python3", "python"], "Python 3"),
        EdgeRuntime::Ps1 => ("EDGE_FETCH_POWERSHELL", &["pwsh", "powershell"], "PowerShell"),
        EdgeRuntime::Ahk => ("COLOPHON_AUTOHOTKEY", &["AutoHotkey64"], "AutoHotkey v2"),
    };
    if let Some(named) = std::env::var_os(variable).filter(|named| !named.is_empty()) {
        return Ok(named.into());
    }
    let found = names.iter().find_map(|name| on_path(name));
    found.ok_or_else(|| format!("{called} is not installed; {variable} names it"))
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    std::env::split_paths(&path).map(|folder| folder.join(&file)).find(|program| program.is_file())
}

/// Becomes the command, so that signals and the exit code are its own.
#[cfg(unix)]
fn become_it(flow: &FlowId, mut command: Command) -> Result<ExitCode, Error> {
    use std::os::unix::process::CommandExt;
    Err(not_started(flow, &command.exec()))
}

/// Runs the command and ends as it ended; codes past 255 are 1.
#[cfg(not(unix))]
fn become_it(flow: &FlowId, mut command: Command) -> Result<ExitCode, Error> {
    let status = command.status().map_err(|error| not_started(flow, &error))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}

fn not_started(flow: &FlowId, error: &std::io::Error) -> Error {
    Error::NotRunnable {
        flow: flow.clone(),
        why: format!("its program cannot be started ({error})"),
    }
}
