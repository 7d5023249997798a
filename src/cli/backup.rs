//! `colophon backup` and `colophon restore`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use colophon_model::audit::{Action, Chain, Subject};
use colophon_store::{BackupReport, Change, Options, RestoreReport, Store, audit};

use super::job::{self, Bar, Request, count, row};
use super::{fsck, out::Out};
use crate::audit::By;
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Config, Overrides};
use crate::keys::MasterKey;
use crate::maintenance::{self, BackedUp};
use crate::units::Size;

/// Copies the data directory while it is in use.
#[derive(Debug, Args)]
pub(super) struct Backup {
    /// Where to: a directory that does not exist, or is empty
    dir: PathBuf,
    #[command(flatten)]
    overrides: Overrides,
}

impl Backup {
    pub(super) fn run(self, out: Out) -> anyhow::Result<()> {
        // A server stands elsewhere.
        let dir = std::path::absolute(&self.dir)
            .with_context(|| format!("`{}` is no path", self.dir.display()))?;
        let job = maintenance::Backup { dir };
        let done = job::run(&self.overrides, out, &job, &Request::Post("/v1/maintenance/backup"))?;
        out.data(&done, |BackedUp { dir, copied }| {
            format!(
                "backed up to {}\n{}\n`keys/master.key` is not in it: keep a copy of that apart, \
                 readable for you alone",
                dir.display(),
                copied_text(copied)
            )
        })
    }
}

/// Makes a data directory from a backup.
#[derive(Debug, Args)]
pub(super) struct Restore {
    /// What `colophon backup` made
    backup: PathBuf,
    /// Copy of `keys/master.key`, put in its place
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    #[command(flatten)]
    overrides: Overrides,
}

impl Restore {
    pub(super) fn run(self, out: Out) -> anyhow::Result<()> {
        let config = Config::load(&self.overrides)?;
        if self.key.is_some() && config.keys.master.is_some() {
            bail!(
                "`keys.master` says where the master key is; `--key` would put another beside it"
            );
        }
        let data = config.data;
        // The key is read first: a wrong one must not leave half of what was asked for.
        let key = self.key.as_deref().map(MasterKey::read).transpose()?;
        let bar = Bar::new(out);
        let report = colophon_store::restore(&self.backup, &data, &|step| bar.show(&step.into()))?;
        drop(bar);
        if let Some(key) = &key {
            key.install(&data)?;
        }
        out.data(&report, |report| {
            text(report, &data, key.is_some() || config.keys.master.is_some())
        })?;
        if !report.check.is_clean() {
            bail!("the backup is damaged; `{}` holds what it held", data.display());
        }
        if let Err(error) = write_down(&data) {
            eprintln!("warning: the audit log does not say that the store was restored: {error:#}");
        }
        Ok(())
    }
}

/// Says in the audit log of the store in `data` that it was made from a backup: whoever has a checkpoint of what came after
/// that finds out why it is not there.
fn write_down(data: &Path) -> anyhow::Result<()> {
    let store = Store::open(data, &Options { owner: "restore".to_owned(), ..Options::default() })?;
    let act = By::here().did(Action::StoreRestore, Subject::new("store", ""));
    let mut change = Change::new();
    change.use_reserve();
    Ok(audit::commit(&store, Chain::System, &change, &[act], SystemClock.now())?)
}

fn text(report: &RestoreReport, data: &Path, keyed: bool) -> String {
    let mut lines = vec![
        format!("restored to {}", data.display()),
        copied_text(&report.copied),
        fsck::text(&report.check),
    ];
    if !keyed {
        let place = data.join("keys").join("master.key");
        let place = place.display();
        lines.push(format!("put the copy of your master key at {place} before you start a server"));
    }
    lines.join("\n")
}

fn copied_text(copied: &BackupReport) -> String {
    let size = |bytes| Size::bytes(bytes).rounded();
    let segments = count(copied.segments, "file");
    format!(
        "{}\n{}",
        row("segments", format!("{segments}, {}", size(copied.segment_bytes))),
        row("metadata", size(copied.metadata_bytes))
    )
}
