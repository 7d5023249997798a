//! A maintenance job from the command line: done here, or by the server that holds the data; with
//! the same progress and the same outcome.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::admin::{self, Access};
use super::out::Out;
use crate::config::{Config, Overrides};
use crate::maintenance::{Job, Site, Step, perform};
use crate::progress::Stage;

/// How a server is asked for the job.
pub(super) enum Request {
    /// `POST`, with the job as body.
    Post(&'static str),
    /// `DELETE`, with all of it in the path.
    Delete(String),
}

/// Does `job` where the data is, and shows how far it is.
pub(super) fn run<J: Job>(
    overrides: &Overrides,
    out: Out,
    job: &J,
    request: &Request,
) -> anyhow::Result<J::Outcome> {
    run_where(&Config::load(overrides)?, out, job, request, false)
}

/// The same, and makes the data directory where there is none if it is told to.
pub(super) fn run_where<J: Job>(
    config: &Config,
    out: Out,
    job: &J,
    request: &Request,
    create: bool,
) -> anyhow::Result<J::Outcome> {
    let bar = Bar::new(out);
    match if create { admin::open_or_create(config)? } else { admin::open(config)? } {
        Access::Direct(press) => {
            let site = Site { press: &press, config };
            Ok(perform(job, site, &|step| bar.show(&step.into()))?)
        }
        Access::Server(client) => client.job(request, job, |step| bar.show(&step)),
    }
}

const COUNTED: &str = "{spinner} {msg} [{bar:30}] {percent:>3} %";
const UNCOUNTED: &str = "{spinner} {msg}";

/// One line on stderr that is written over, when that is a terminal and people read it.
pub(super) struct Bar {
    bar: ProgressBar,
    counted: AtomicBool,
}

impl Bar {
    pub(super) fn new(out: Out) -> Self {
        let bar = if out.is_json() { ProgressBar::hidden() } else { ProgressBar::no_length() };
        bar.set_style(style(UNCOUNTED));
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { bar, counted: AtomicBool::new(false) }
    }

    /// Prints something while the line is out of the way.
    pub(super) fn above<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }

    pub(super) fn show(&self, step: &Step) {
        let counted = step.total.is_some();
        if counted != self.counted.swap(counted, Ordering::Relaxed) {
            self.bar.set_style(style(if counted { COUNTED } else { UNCOUNTED }));
        }
        let Step { stage, done, total } = step;
        match total {
            Some(total) => self.bar.set_length(*total),
            None => self.bar.unset_length(),
        }
        let known = total.is_some() || *done == 0;
        let message = if known { stage.to_string() } else { format!("{stage} {done}") };
        self.bar.set_message(message);
        self.bar.set_position(*done);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

/// How far a build is that has reached the stage of this name.
pub(super) fn building(stage: &str) -> Step {
    let (doing, done) = match stage {
        "accepted" => ("compiling", 1),
        "compiled" => ("running the gates", 2),
        "gated" => ("committing", 3),
        _ => ("done", Stage::LAST),
    };
    Step { stage: doing.into(), done, total: Some(Stage::LAST) }
}

/// A line of a report: a label, and what there is to say.
pub(super) fn row(label: &str, text: impl std::fmt::Display) -> String {
    format!("  {label:<12} {text}")
}

/// A number with its noun, in the plural where that is due.
pub(super) fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
