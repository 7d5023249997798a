//! `colophon doctor`: everything that a server needs, looked at one by one.

mod network;
mod place;
mod service;

use anyhow::bail;
use serde::Serialize;

use super::job::count;
use super::out::Out;
use crate::config::{Config, Overrides};
use crate::http::chain;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    Warn,
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    level: Level,
    check: &'static str,
    detail: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'static str>,
}

/// Tells each finding as soon as it is there, and counts.
struct Doctor {
    out: Out,
    failed: u64,
    /// That the reader has gone, perhaps.
    said: anyhow::Result<()>,
}

/// Looks at everything. Fails when something is found that keeps a server from its work.
pub(super) fn run(overrides: &Overrides, out: Out) -> anyhow::Result<()> {
    let mut doctor = Doctor { out, failed: 0, said: Ok(()) };
    match Config::load(overrides) {
        Ok(config) => {
            doctor.ok("configuration", "it is valid");
            doctor.look(&config);
        }
        Err(error) => {
            let hint = "`colophon check-config --example` shows every setting";
            doctor.fail("configuration", chain(error.as_ref()), hint);
        }
    }
    doctor.said?;
    match doctor.failed {
        0 => Ok(()),
        failed => bail!("{} found", count(failed, "problem")),
    }
}

impl Doctor {
    fn look(&mut self, config: &Config) {
        place::look(self, config);
        service::look(self, config);
        network::look(self, config);
    }

    fn ok(&mut self, check: &'static str, detail: impl Into<String>) {
        self.say(Level::Ok, check, detail.into(), None);
    }

    fn warn(&mut self, check: &'static str, detail: impl Into<String>, hint: &'static str) {
        self.say(Level::Warn, check, detail.into(), Some(hint));
    }

    fn fail(&mut self, check: &'static str, detail: impl Into<String>, hint: &'static str) {
        self.failed += 1;
        self.say(Level::Fail, check, detail.into(), Some(hint));
    }

    fn say(
        &mut self,
        level: Level,
        check: &'static str,
        detail: String,
        hint: Option<&'static str>,
    ) {
        let finding = Finding { level, check, detail, hint };
        let said = self.out.data(&finding, text);
        if self.said.is_ok() {
            self.said = said;
        }
    }
}

fn text(finding: &Finding) -> String {
    let word = match finding.level {
        Level::Ok => "ok  ",
        Level::Warn => "warn",
        Level::Fail => "FAIL",
    };
    let line = format!("{word} {:<14} {}", finding.check, finding.detail);
    finding.hint.map_or(line.clone(), |hint| format!("{line}\n     hint: {hint}"))
}
