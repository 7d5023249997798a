//! Both sides' answers in copies of what the client has: afterwards it must hold the same objects.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use crate::answer::Answer;
use crate::content::git;
use crate::requests::{History, Row};

/// Fails when the answers to `row` leave a client with different objects or shallow lines, or
/// with a line of history that has holes. Returns the number of objects that a client has then.
pub(crate) fn compare(
    row: Row,
    history: &History,
    bare: &Path,
    answers: [&[u8]; 2],
) -> anyhow::Result<usize> {
    let mut sides = Vec::new();
    for bytes in answers {
        let answer = Answer::parse(bytes)?;
        let client = client(row, history, bare)?;
        sides.push((take(client.path(), row, &answer, history)?, answer.shallow));
    }
    let ((ours, ours_shallow), (gits, gits_shallow)) = (&sides[0], &sides[1]);
    ensure!(
        ours == gits,
        "{}: of {} and {} objects, {} are ours alone and {} git's alone",
        row.name(),
        ours.len(),
        gits.len(),
        ours.difference(gits).count(),
        gits.difference(ours).count()
    );
    ensure!(ours_shallow == gits_shallow, "{}: shallow lines differ", row.name());
    Ok(ours.len())
}

/// A repository with what a client has that sends this request.
fn client(row: Row, history: &History, bare: &Path) -> anyhow::Result<tempfile::TempDir> {
    let dir = tempfile::tempdir_in(bare.parent().context("no parent")?)?;
    git(dir.path(), &["init", "-q", "--bare"])?;
    if let Row::Behind(builds) = row {
        let has = history.commits.get(builds).context("not so many builds")?;
        let pack = feed(bare, &["pack-objects", "--revs", "--stdout", "-q"], has.as_bytes())?;
        feed(dir.path(), &["index-pack", "--stdin"], &pack)?;
    }
    Ok(dir)
}

/// Puts an answer into the repository; returns the ids of all objects that are there then.
fn take(
    dir: &Path,
    row: Row,
    answer: &Answer,
    history: &History,
) -> anyhow::Result<BTreeSet<String>> {
    feed(dir, &["index-pack", "--stdin", "--fix-thin"], &answer.pack)?;
    if !answer.shallow.is_empty() {
        std::fs::write(dir.join("shallow"), answer.shallow.join("\n") + "\n")?;
    }
    let missing = if row == Row::Blobless { "--missing=allow-any" } else { "--missing=error" };
    git(dir, &["rev-list", "--objects", "--quiet", missing, &history.commits[0]])?;
    let all = ["cat-file", "--batch-all-objects", "--batch-check=%(objectname)"];
    Ok(git(dir, &all)?.lines().map(str::to_owned).collect())
}

/// Runs git with `input` and returns its output.
fn feed(dir: &Path, args: &[&str], input: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut command = Command::new("git");
    command.arg("-C").arg(dir).args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn()?;
    child.stdin.take().context("no input")?.write_all(input)?;
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "git {args:?} failed: {said}");
    Ok(output.stdout)
}
