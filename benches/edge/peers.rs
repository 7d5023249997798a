//! The other ways to send an update: `zstd --patch-from`, bsdiff and casync, from Debian.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::ensure;

/// The sides, in the order of their tables.
pub(crate) const NAMES: [&str; 3] = ["zstd -19 --patch-from", "bsdiff", "casync"];

/// What an update takes with one of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) bytes: u64,
    pub(crate) requests: u64,
    /// Milliseconds to make what is sent.
    pub(crate) millis: f64,
}

/// The peers over the versions of one bundle, each as a folder.
pub(crate) struct Peers {
    dir: PathBuf,
    bsdiff: bool,
}

impl Peers {
    /// Works below `dir`. bsdiff takes minutes and 17 times the memory of a large bundle.
    pub(crate) fn new(dir: PathBuf, bsdiff: bool) -> anyhow::Result<Self> {
        fs::create_dir_all(&dir)?;
        let peers = Self { dir, bsdiff };
        fs::create_dir_all(peers.chunks())?;
        Ok(peers)
    }

    /// Takes version `version` from the folder `files`, and says what it costs who has the one before;
    /// nothing for those that did not run.
    pub(crate) fn add(
        &self,
        version: usize,
        files: &Path,
    ) -> anyhow::Result<[Option<Cost>; NAMES.len()]> {
        let (before, new) = (self.tar(version - 1), self.tar(version));
        let mut tar = Command::new("tar");
        tar.args(["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"]);
        run(tar.args(["--mode=u=rw,go=r", "-cf"]).arg(&new).arg("-C").arg(files).arg("."))?;
        let casync = self.casync(files)?;
        if version == 1 {
            return Ok([None, None, Some(casync)]);
        }
        let patch = self.dir.join("patch");
        let mut zstd = Command::new("zstd");
        zstd.args(["-19", "--long=27", "-qf"]).arg(&new).arg("-o").arg(&patch);
        let zstd = made(zstd.arg(format!("--patch-from={}", before.display())), &patch)?;
        let mut bsdiff = Command::new("bsdiff");
        bsdiff.arg(&before).arg(&new).arg(&patch);
        let bsdiff = self.bsdiff.then(|| made(&mut bsdiff, &patch)).transpose()?;
        Ok([Some(zstd), bsdiff, Some(casync)])
    }

    /// New chunks and the index.
    fn casync(&self, files: &Path) -> anyhow::Result<Cost> {
        let (before, from) = (weigh(&self.chunks())?, Instant::now());
        let index = self.dir.join("index.caidx");
        let mut casync = Command::new("casync");
        // Times and owners are no part of a bundle.
        casync
            .args(["make", "--without=all", "--with=permissions"])
            .arg("--store")
            .arg(self.chunks());
        run(casync.arg(&index).arg(files))?;
        let millis = from.elapsed().as_secs_f64() * 1e3;
        let after = weigh(&self.chunks())?;
        let bytes = after.1 - before.1 + fs::metadata(&index)?.len();
        Ok(Cost { bytes, requests: after.0 - before.0 + 1, millis })
    }

    /// Bytes of all chunks so far.
    pub(crate) fn stored_chunks(&self) -> anyhow::Result<u64> {
        Ok(weigh(&self.chunks())?.1)
    }

    fn chunks(&self) -> PathBuf {
        self.dir.join("chunks.castr")
    }

    fn tar(&self, version: usize) -> PathBuf {
        self.dir.join(format!("{version}.tar"))
    }
}

/// What the patch that `command` writes costs.
fn made(command: &mut Command, patch: &Path) -> anyhow::Result<Cost> {
    let from = Instant::now();
    run(command)?;
    let millis = from.elapsed().as_secs_f64() * 1e3;
    Ok(Cost { bytes: fs::metadata(patch)?.len(), requests: 1, millis })
}

/// How many files there are below a folder, and their bytes.
fn weigh(dir: &Path) -> anyhow::Result<(u64, u64)> {
    let (mut count, mut bytes) = (0, 0);
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let (files, size) = match entry.metadata()? {
            folder if folder.is_dir() => weigh(&entry.path())?,
            file => (1, file.len()),
        };
        count += files;
        bytes += size;
    }
    Ok((count, bytes))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}", said.trim());
    Ok(())
}
