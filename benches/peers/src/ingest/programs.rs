//! The programs: restic, borg and git, with the commands that their users give.

use std::path::Path;
use std::process::Command;

use super::Contender;
use crate::bench::Bench;
use crate::children::{find, version};

/// Those that are here or can be installed. One that cannot be had is said loudly.
pub(super) fn all(bench: &Bench, corpus: &Path, notes: &mut Vec<String>) -> Vec<Contender> {
    let mut found = Vec::new();
    for (name, package, version_flag) in [
        ("restic", "restic", "version"),
        ("borg", "borgbackup", "--version"),
        ("git", "git", "--version"),
    ] {
        let Some(program) = find(name, package) else {
            println!("**{name} cannot be had here: ITS ROWS DID NOT RUN.**");
            notes.push(format!("**{name} did not run: it cannot be installed here**"));
            continue;
        };
        notes.push(version(&program, version_flag));
        match name {
            "restic" => found.push(restic(bench, corpus)),
            "borg" => found.push(borg(bench, corpus)),
            _ => {
                found.push(git(bench, corpus, "fsync"));
                found.push(git(bench, corpus, "batch"));
            }
        }
    }
    found
}

fn restic(bench: &Bench, corpus: &Path) -> Contender {
    let dir = bench.path("restic");
    let command = |args: &[&str]| {
        let mut command = Command::new("restic");
        command.arg("--repo").arg(dir.join("repo")).arg("--cache-dir").arg(dir.join("cache"));
        command.args(["--quiet"]).args(args).env("RESTIC_PASSWORD", "benchmark");
        command
    };
    let backup = || {
        let mut command = command(&["backup"]);
        command.arg(corpus);
        command
    };
    Contender {
        key: "restic".to_owned(),
        name: "restic (defaults: encrypted, zstd)".to_owned(),
        init: vec![command(&["init"])],
        first: backup(),
        again: backup(),
        open: command(&["cat", "config"]),
        pack: None,
    }
}

fn borg(bench: &Bench, corpus: &Path) -> Contender {
    let dir = bench.path("borg");
    let command = |args: &[&str]| {
        let mut command = Command::new("borg");
        command.args(args).env("BORG_BASE_DIR", &dir).env("BORG_REPO", dir.join("repo"));
        command.env("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes");
        command
    };
    let create = |archive: &str| {
        let mut command = command(&["create", "--compression", "zstd,1", archive]);
        command.arg(corpus);
        command
    };
    Contender {
        key: "borg".to_owned(),
        name: "borg (no encryption, zstd 1)".to_owned(),
        init: vec![command(&["init", "--encryption", "none"])],
        first: create("::one"),
        again: create("::two"),
        open: command(&["list", "--short"]),
        pack: None,
    }
}

/// `git add` and a commit, all of it synced. `method` is the value of `core.fsyncMethod`.
fn git(bench: &Bench, corpus: &Path, method: &str) -> Contender {
    let key = format!("git-{method}");
    let repo = bench.path(&key).join("repo");
    let command = |program: &str, args: &[&str]| {
        let mut command = Command::new(program);
        command.args(args).env("GIT_DIR", &repo).env("GIT_WORK_TREE", corpus);
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
        command
    };
    let set = |name: &str, value: &str| command("git", &["config", name, value]);
    let name = match method {
        "batch" => "git add + commit, core.fsync=all, batch",
        _ => "git add + commit, core.fsync=all",
    };
    Contender {
        name: name.to_owned(),
        init: vec![
            command("git", &["init", "--quiet"]),
            set("user.name", "bench"),
            set("user.email", "bench@example.com"),
            set("core.fsync", "all"),
            set("core.fsyncMethod", method),
            set("gc.auto", "0"),
        ],
        first: command(
            "sh",
            &["-c", "cd \"$GIT_WORK_TREE\" && git add -A . && git commit -qm one"],
        ),
        again: command(
            "sh",
            &["-c", "cd \"$GIT_WORK_TREE\" && git add -A . && git diff --cached --quiet"],
        ),
        open: command("git", &["rev-parse", "--verify", "--quiet", "HEAD"]),
        pack: Some(command("git", &["gc", "--quiet"])),
        key,
    }
}
