//! What an edge agent does.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use super::super::out::Out;

/// Enrols an agent, lets it fetch and unpack, and lists what it unpacked.
pub(super) fn tour(
    out: Out,
    url: &str,
    tenant: &str,
    token: &str,
    dir: &Path,
) -> anyhow::Result<()> {
    let agent = dir.join("agent");
    let root = dir.join("root.json").display().to_string();
    for args in [
        &["enroll", "--url", url, "--tenant", tenant, "--root", &root][..],
        &["check"],
        &["fetch"],
        &["apply"],
        &["status"],
    ] {
        out.say(&format!("   $ edge-fetch {}", args.first().unwrap_or(&"")))?;
        for line in edge_fetch(&agent, token, args)?.lines() {
            out.say(&format!("     {line}"))?;
        }
    }
    for file in files(&agent.join("flows"))? {
        out.say(&format!("     {}", file.display()))?;
    }
    Ok(())
}

/// Exit code of `edge-fetch check` when an update waits.
const UPDATE_AVAILABLE: i32 = 10;

fn edge_fetch(agent: &Path, token: &str, args: &[&str]) -> anyhow::Result<String> {
    let program = program()?;
    let output = Command::new(&program)
        .args(args)
        .env("EDGE_FETCH_DIR", agent)
        .env("EDGE_FETCH_TOKEN", token)
        .output()
        .with_context(|| format!("`{}` could not be run", program.display()))?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    if output.status.success() || output.status.code() == Some(UPDATE_AVAILABLE) {
        return Ok(told + &stderr);
    }
    bail!("edge-fetch {} failed: {stderr}", args.join(" "))
}

/// `edge-fetch` beside this program, where a build puts it.
fn program() -> anyhow::Result<PathBuf> {
    let here = std::env::current_exe()?;
    let beside = here.with_file_name(format!("edge-fetch{}", std::env::consts::EXE_SUFFIX));
    if !beside.exists() {
        bail!("`{}` is missing; build it with `cargo build --workspace`", beside.display());
    }
    Ok(beside)
}

fn files(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    Ok(found.into_iter().filter_map(|p| p.strip_prefix(dir).ok().map(Path::to_owned)).collect())
}
