//! Events as lines: JSON for programs, words for people, a bar while files are fetched.

use std::cell::RefCell;

use indicatif::{ProgressBar, ProgressStyle};

use crate::checkout::{Event, Status};
use crate::cli::job::{count, row};
use crate::cli::out::Out;

/// Tells events as they come.
pub(super) struct Teller {
    out: Out,
    bar: RefCell<Option<ProgressBar>>,
    /// Why the first line could not be printed: its reader has gone, perhaps. The folder is kept all the same.
    failed: RefCell<Option<anyhow::Error>>,
}

impl Teller {
    pub(super) const fn new(out: Out) -> Self {
        Self { out, bar: RefCell::new(None), failed: RefCell::new(None) }
    }

    pub(super) fn tell(&self, event: &Event) {
        match event {
            Event::Progress { done, total } if !self.out.is_json() => self.progress(*done, *total),
            _ => {
                drop(self.bar.take());
                if let Err(error) = self.out.data(event, text) {
                    self.failed.borrow_mut().get_or_insert(error);
                }
            }
        }
    }

    /// One line on stderr that is written over, when that is a terminal.
    fn progress(&self, done: u64, total: u64) {
        let mut bar = self.bar.borrow_mut();
        let bar = bar.get_or_insert_with(|| {
            let style = "{spinner} fetching [{bar:30}] {pos}/{len} files";
            let style = ProgressStyle::with_template(style);
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(total).with_style(style.progress_chars("=> "))
        });
        bar.set_position(done);
        if done == total {
            bar.finish_and_clear();
        }
    }

    /// What went wrong with telling.
    pub(super) fn end(&self) -> anyhow::Result<()> {
        self.failed.borrow_mut().take().map_or(Ok(()), Err)
    }
}

fn text(event: &Event) -> String {
    match event {
        Event::Progress { done, total } => format!("{done} of {total} files"),
        Event::Switched { old, new, files, fetched, millis, backwards, .. } => {
            let from = old.map_or_else(String::new, |old| format!(" from {old}"));
            let back = if *backwards { ", which is older" } else { "" };
            let files = count(*files as u64, "file");
            format!("at {new}{from}{back}: {files}, {fetched} fetched, {millis} ms")
        }
        Event::Unchanged { .. } => unchanged_text(event),
        Event::Damaged { commit, found } => format!("{commit} is damaged: {found}; making it anew"),
        Event::NoFlow { flow } => {
            format!("the branch has no flow `{flow}` any more: its files are left out")
        }
        Event::Stuck { version, detail } => format!("{version} stays: {detail}"),
        Event::Hook { ok: true, millis, .. } => format!("what follows was done in {millis} ms"),
        Event::Hook { detail, .. } => detail.clone().unwrap_or_default(),
        Event::Failed { detail, retry_millis, .. } => {
            format!("{detail}; trying again in {retry_millis} ms")
        }
        Event::Recovered { failures } => {
            format!("all is well again, after {}", count(u64::from(*failures), "failure"))
        }
        Event::Stopped => "stopped".to_owned(),
    }
}

pub(super) fn unchanged_text(event: &Event) -> String {
    match event {
        Event::Unchanged { commit } => format!("at {commit} as before"),
        other => text(other),
    }
}

pub(super) fn status_text(status: &Status) -> String {
    let state = &status.state;
    let never = || "never".to_owned();
    let mut lines = vec![
        format!("tenant {} of {}", status.owner.tenant, status.owner.server),
        row("commit", status.commit),
        row("committed", &status.committed_at),
        row("files", status.files),
        row("watched", if status.watched { "yes" } else { "no" }),
        row("checked", state.checked_at.clone().unwrap_or_else(never)),
        row("switched", state.switched_at.clone().unwrap_or_else(never)),
        row("kept", count(status.kept.len() as u64, "other version")),
    ];
    if status.verified == Some(true) {
        lines.push(row("verified", "every file is what it is named"));
    }
    if let Some(problem) = &state.problem {
        let times = count(u64::from(problem.failures), "time");
        lines.push(row("problem", format!("{} ({times} since {})", problem.detail, problem.since)));
    }
    lines.join("\n")
}
