//! The ways to send: each a command as its users give it, with eight requests at a time.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::content::{TENANT, Tenant};
use crate::measure;
use crate::store::{BUCKET, KEY};

/// A way to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// `colophon export`, from the store.
    Colophon,
    /// `rclone copy` of what that has exported to a folder.
    Rclone,
    /// `restic backup` of the same.
    Restic,
}

/// What is sent.
pub(crate) struct Scene {
    data: PathBuf,
    /// What is in `data`, exported to a folder.
    files: PathBuf,
    /// Restic remembers what it sent in a folder, as we do in the store.
    cache: PathBuf,
}

impl Scene {
    pub(crate) fn new(dir: &Path, tenant: &Tenant) -> anyhow::Result<Self> {
        let scene = Self {
            data: tenant.data.clone(),
            files: dir.join("files"),
            cache: dir.join("restic-cache"),
        };
        for old in [&scene.files, &scene.cache] {
            if old.exists() {
                std::fs::remove_dir_all(old)?;
            }
        }
        Ok(scene)
    }

    /// Brings the folder up to date, which is not measured.
    pub(crate) fn export_files(&self) -> anyhow::Result<()> {
        let to = format!("file://{}", self.files.display());
        measure::run(&mut self.export(&to)).map(drop)
    }

    fn export(&self, to: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_colophon"));
        command.args(["export", to, "--tenant", TENANT, "--json", "--data"]).arg(&self.data);
        command
    }

    /// Files and bytes in the folder.
    pub(crate) fn size(&self) -> anyhow::Result<(u64, u64)> {
        fn add(dir: &Path, sum: &mut (u64, u64)) -> std::io::Result<()> {
            for entry in std::fs::read_dir(dir)? {
                let entry = entry?;
                let about = entry.metadata()?;
                if about.is_dir() {
                    add(&entry.path(), sum)?;
                } else {
                    *sum = (sum.0 + 1, sum.1 + about.len());
                }
            }
            Ok(())
        }
        let mut sum = (0, 0);
        add(&self.files, &mut sum)?;
        Ok(sum)
    }
}

impl Way {
    pub(crate) const ALL: [Self; 3] = [Self::Colophon, Self::Rclone, Self::Restic];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Colophon => "colophon export",
            Self::Rclone => "rclone copy --transfers 8 --checkers 8",
            Self::Restic => "restic backup -o s3.connections=8",
        }
    }

    /// What is done once and not measured.
    pub(crate) fn prepare(self, scene: &Scene, port: u16, round: usize) -> anyhow::Result<()> {
        if self == Self::Restic {
            measure::run(restic(scene, port, round).arg("init"))?;
        }
        Ok(())
    }

    /// What sends everything that is not there yet.
    pub(crate) fn command(self, scene: &Scene, port: u16, round: usize) -> Command {
        let endpoint = format!("http://127.0.0.1:{port}");
        match self {
            Self::Colophon => {
                // The place is known by its URL and the store's: a proxy is another.
                let mut command = scene.export(&format!("s3://{BUCKET}/colophon-{round}"));
                credentials(&mut command);
                command.args(["--endpoint", &endpoint]);
                command
            }
            Self::Rclone => {
                let mut command = Command::new("rclone");
                // It takes none, and ends when one is named.
                command
                    .env_remove("AWS_CA_BUNDLE")
                    .args(["copy", "--config", "/dev/null", "--transfers", "8", "--checkers", "8"])
                    .args(["--s3-provider", "Other", "--s3-endpoint", &endpoint])
                    .args(["--s3-access-key-id", KEY.0, "--s3-secret-access-key", KEY.1])
                    .arg(&scene.files)
                    .arg(format!(":s3:{BUCKET}/rclone-{round}"));
                command
            }
            Self::Restic => {
                let mut command = restic(scene, port, round);
                command.arg("backup").arg(&scene.files);
                command
            }
        }
    }
}

fn restic(scene: &Scene, port: u16, round: usize) -> Command {
    let mut command = Command::new("restic");
    credentials(&mut command);
    command
        .env("RESTIC_PASSWORD", "bench")
        .args(["-o", "s3.connections=8", "--quiet", "--cache-dir"])
        .arg(&scene.cache)
        .args(["-r", &format!("s3:http://127.0.0.1:{port}/{BUCKET}/restic-{round}")]);
    command
}

fn credentials(command: &mut Command) {
    command
        .env("AWS_ACCESS_KEY_ID", KEY.0)
        .env("AWS_SECRET_ACCESS_KEY", KEY.1)
        .env("AWS_REGION", "us-east-1");
}

/// The first line that a program says of its version.
pub(crate) fn version(program: &str) -> anyhow::Result<String> {
    let said = Command::new(program).arg("version").output()?;
    let text = String::from_utf8_lossy(&said.stdout);
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
