//! What a Git user sees.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};

use super::super::out::Out;

/// Clones, then shows the log, the tree, and what `git fsck --strict` says.
pub(super) fn tour(out: Out, url: &str, token: &str, clone: &Path) -> anyhow::Result<()> {
    let header = format!("http.extraHeader=Authorization: Bearer {token}");
    let folder = clone.display().to_string();
    out.say(&format!("   $ git clone {url}"))?;
    git(&["-c", &header, "clone", "--quiet", url, &folder])?;
    for args in [
        &["log", "--oneline", "--decorate"][..],
        &["ls-tree", "-r", "--name-only", "HEAD"],
        &["fsck", "--strict", "--full"],
    ] {
        out.say(&format!("   $ git {}", args.join(" ")))?;
        let text = git(&[&["-C", &folder], args].concat())?;
        for line in text.lines() {
            out.say(&format!("     {line}"))?;
        }
    }
    out.say("     fsck found nothing wrong")
}

/// Runs git without the user's configuration, so that the tour looks the same everywhere.
fn git(args: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("git")
        .args(args)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", if cfg!(windows) { "NUL" } else { "/dev/null" })
        .env("GIT_TERMINAL_PROMPT", "0")
        .output()
        .context("git is needed for this part; install it and run the demo again")?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("git failed: {stderr}");
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned() + stderr.trim_end())
}
