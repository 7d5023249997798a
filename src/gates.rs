//! Gates outside of the compiler: what a build must pass before it is committed.
//!
//! They run after rendering and before the tenant's lane, a bounded number at a time. What runs in
//! them is taken for hostile, so it runs in a sandbox.

mod cached;
mod command;
mod config;
mod folder;
mod home;
mod program;
pub mod sandbox;
mod smoke;
mod users;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use colophon_compiler::Compiled;
use colophon_model::{GateResult, GateStatus, SandboxLevel, SandboxReport};

pub use config::{CommandConfig, GatesConfig, Mode};
pub use users::{InvalidUsers, UserRange};

use crate::fair::{self, Bounds, Fair, Party, Share, slice};

use cached::Cached;
use command::Tool;
use home::Home;
use program::Python;
use sandbox::{Applied, Launcher, Policy};
use smoke::Worker;
use users::{NOBODY, User};

/// Most bytes of a gate's words that are kept.
const MOST_WORDS: usize = 16 * 1024;

/// Everything that a build must pass, in order.
pub struct Gates {
    config: GatesConfig,
    launcher: Launcher,
    tools: Vec<Tool>,
    /// The smoke worker, started when it is first needed.
    worker: Cached<Arc<Worker>>,
    /// Where commands have their folders.
    home: Cached<Arc<Home>>,
    places: Fair,
}

/// Why a build does not go on.
#[derive(Debug)]
pub enum Refused {
    /// A gate that is required cannot run. Later it may.
    Missing {
        /// The gate.
        gate: String,
        /// Why not, and what helps.
        reason: String,
    },
    /// A gate refused it: every result so far, the last one the refusal.
    Failed(Vec<GateResult>),
}

/// What a gate that ran found.
struct Finding {
    /// Why it refuses the build. `None`: it does not.
    words: Option<String>,
    sandbox: SandboxReport,
}

impl Gates {
    /// The gates that `config` names. Nothing is started yet.
    pub fn new(config: &GatesConfig) -> Self {
        let program = config.launcher.clone().map_or_else(std::env::current_exe, Ok);
        let launcher = Launcher::new(program.unwrap_or_else(|_| PathBuf::from("/proc/self/exe")));
        Self {
            launcher,
            tools: Tool::all(config),
            worker: Cached::new(),
            home: Cached::new(),
            places: Fair::new(Bounds::all_but_one(config.at_once, 0)),
            config: config.clone(),
        }
    }

    /// Puts a build through every gate. Returns what they said.
    #[tracing::instrument(target = "trace", name = "test", skip_all, fields(
        openinference.span.kind = "TOOL",
        cicd.pipeline.task.name = "test",
        cicd.pipeline.task.run.result = tracing::field::Empty,
    ))]
    pub fn check(&self, compiled: &Compiled) -> Result<Vec<GateResult>, Refused> {
        let result = self.check_all(compiled);
        let word = match &result {
            Ok(results) if results.is_empty() => "skip",
            Ok(_) => "success",
            Err(Refused::Failed(_)) => "failure",
            Err(Refused::Missing { .. }) => "error",
        };
        tracing::Span::current().record("cicd.pipeline.task.run.result", word);
        result
    }

    fn check_all(&self, compiled: &Compiled) -> Result<Vec<GateResult>, Refused> {
        if self.tools.is_empty() && self.config.smoke == Mode::Off {
            return Ok(Vec::new());
        }
        let share = fair::share();
        // What runs in a gate is a process of its own: the build's turn on a processor is others' meanwhile.
        fair::aside(|| self.check_in_turn(share, compiled))
    }

    fn check_in_turn(&self, share: Share, compiled: &Compiled) -> Result<Vec<GateResult>, Refused> {
        let mut results = Vec::new();
        let _place = self.places.enter_patiently(Party::of(share)).block();
        // What is started here competes as this thread does, for as long as it runs.
        slice::long();
        let (ruff, commands): (Vec<_>, Vec<_>) = self.tools.iter().partition(|t| t.is_ruff());
        for tool in ruff {
            gate(&mut results, &tool.name, tool.mode, || self.run(tool, compiled))?;
        }
        if let Some(test) = smoke::test_of(compiled) {
            let run = || self.smoke(compiled, &test);
            gate(&mut results, "smoke", self.config.smoke, run)?;
        }
        for tool in commands {
            gate(&mut results, &tool.name, tool.mode, || self.run(tool, compiled))?;
        }
        Ok(results)
    }

    /// Starts what takes long to start, so that the first build does not wait for it.
    pub fn warm_up(&self) {
        if self.config.smoke != Mode::Off
            && let Err(reason) = self.worker()
        {
            let required = self.config.smoke == Mode::Required;
            tracing::warn!(required, reason, "the smoke gate cannot run");
        }
    }

    /// Whether all that is required is there, or the gate that is not and why. Does not wait.
    pub fn ready(&self) -> Result<(), (String, String)> {
        if self.config.smoke == Mode::Required {
            self.worker.there().map_err(|reason| ("smoke".to_owned(), reason))?;
        }
        Ok(())
    }

    /// Whether [`Self::warm_up`] should be called again: what was missing may be there by now.
    pub fn is_worth_a_try(&self) -> bool {
        self.config.smoke != Mode::Off && self.worker.is_stale()
    }

    /// Everything that is missing, one line for each: the gate, whether it is required, and why.
    pub fn missing(&self) -> Vec<(String, Mode, String)> {
        let mut missing = Vec::new();
        if self.config.smoke != Mode::Off
            && let Err(reason) = self.worker()
        {
            missing.push(("smoke".to_owned(), self.config.smoke, reason));
        }
        for tool in &self.tools {
            if let Err(reason) = tool.prepared(self) {
                missing.push((tool.name.clone(), tool.mode, reason));
            }
        }
        missing
    }

    fn run(&self, tool: &Tool, compiled: &Compiled) -> Result<Finding, String> {
        let (policy, sandbox) = tool.prepared(self)?;
        let dir = self.dir();
        let home = self.home.get(|| {
            let home =
                Home::new(&dir).map_err(|e| format!("no folder in `{}`: {e}", dir.display()));
            home.map(Arc::new)
        })?;
        let user = self.own(&policy)?;
        let words = tool.run(&self.launcher, home.path(), (&policy, user.as_ref()), compiled)?;
        Ok(Finding { words, sandbox })
    }

    /// The smoke worker, which runs from then on.
    fn worker(&self) -> Result<Arc<Worker>, String> {
        self.worker.get(|| self.start_worker())
    }

    fn start_worker(&self) -> Result<Arc<Worker>, String> {
        let python = Python::ask(&self.config.python)?;
        let needed = python.paths.iter().chain([&python.program]);
        let policy = Policy {
            confined: self.config.sandbox != Mode::Off,
            user: self.user(needed),
            ..Policy::default()
        };
        let (home, policy) = Worker::prepare(&self.quick_dir(), &python, policy)?;
        let (mut policy, applied) = self.applied(policy)?;
        let user = self.own(&policy)?;
        policy.user = user.as_ref().map_or(policy.user, |user| Some(user.number()));
        let lfx = python.packages.contains_key("lfx");
        Worker::start(&self.launcher, (home, user), &policy, &applied, lfx).map(Arc::new)
    }

    fn dir(&self) -> PathBuf {
        self.config.dir.clone().unwrap_or_else(std::env::temp_dir)
    }

    /// Where smoke tests have their files: in memory when there is such a place, since nothing but the
    /// server writes there, and not for long.
    fn quick_dir(&self) -> PathBuf {
        let memory = PathBuf::from("/dev/shm");
        let usable = self.config.dir.is_none() && tempfile::tempdir_in(&memory).is_ok();
        if usable { memory } else { self.dir() }
    }

    /// A user to try out for tools: the server is root, and everything they need can be read by everybody.
    fn user<'a>(&'a self, needed: impl Iterator<Item = &'a PathBuf>) -> Option<u32> {
        let mut needed = needed.chain([self.launcher.program()]);
        let drops = sandbox::is_root()
            && program::is_public(&self.dir())
            && needed.all(|p| program::is_public(p));
        drops.then_some(self.config.users.last())
    }

    /// The user that a tool has for itself, when those of the range work here. Keep it until the tool has ended.
    fn own(&self, policy: &Policy) -> Result<Option<User>, String> {
        let owns = policy.confined && policy.user == Some(self.config.users.last());
        owns.then(|| User::take(self.config.users)).transpose()
    }

    /// The policy with a user that works here, and what confines a tool then, when that is enough. A container
    /// may have few users: then tools share `nobody`, and where that is missing too they keep the server's number.
    fn applied(&self, mut policy: Policy) -> Result<(Policy, Applied), String> {
        let mut applied = self.launcher.probe(&policy)?;
        for next in [Some(NOBODY), None] {
            if !policy.confined || policy.user.is_none() || applied.unprivileged {
                break;
            }
            policy.user = next;
            applied = self.launcher.probe(&policy)?;
        }
        let report = applied.report();
        if self.config.sandbox == Mode::Required && report.level != SandboxLevel::Full {
            return Err(format!(
                "the sandbox lacks {}; with `[gates] sandbox = \"auto\"` gates run without",
                report.missing.join(", ")
            ));
        }
        Ok((policy, applied))
    }
}

/// Runs one gate and writes down what it said.
fn gate(
    results: &mut Vec<GateResult>,
    name: &str,
    mode: Mode,
    run: impl FnOnce() -> Result<Finding, String>,
) -> Result<(), Refused> {
    if mode == Mode::Off {
        return Ok(());
    }
    let start = Instant::now();
    let mut result = GateResult::passed(name);
    match run() {
        Ok(Finding { words, sandbox }) => {
            result.micros = Some(start.elapsed().as_micros() as u64);
            result.sandbox = Some(sandbox);
            result.words = words;
        }
        Err(reason) if mode == Mode::Required => {
            return Err(Refused::Missing { gate: name.to_owned(), reason });
        }
        Err(reason) => {
            result.status = GateStatus::Skipped;
            result.words = Some(reason);
            results.push(result);
            return Ok(());
        }
    }
    if result.words.is_none() {
        results.push(result);
        return Ok(());
    }
    result.status = GateStatus::Failed;
    results.push(result);
    Err(Refused::Failed(std::mem::take(results)))
}

/// At most [`MOST_WORDS`] of what a tool said: its beginning and its end. Paths in `folder` become
/// relative.
fn words(bytes: &[u8], folder: &std::path::Path) -> String {
    let folder = folder.display().to_string();
    let text = String::from_utf8_lossy(bytes);
    let text = text.replace(&format!("{folder}/"), "").replace(&folder, ".");
    let text: String =
        text.chars().filter(|c| *c == '\n' || *c == '\t' || !c.is_control()).collect();
    let text = text.trim();
    if text.len() <= MOST_WORDS {
        return text.to_owned();
    }
    let (head, tail) = (text.floor_char_boundary(MOST_WORDS / 2), text.len() - MOST_WORDS / 2 + 8);
    format!("{}\n…\n{}", &text[..head], &text[text.floor_char_boundary(tail)..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// A tool cannot fill a record, and its words do not tell where the server keeps things.
    #[test]
    fn words_are_bounded_relative_and_plain() {
        let text = format!("/tmp/x/app/a.py:1 \u{1b}[31mbad\n{}end", "é".repeat(MOST_WORDS));
        let words = words(text.as_bytes(), Path::new("/tmp/x"));
        assert!(words.starts_with("app/a.py:1 [31mbad\n"), "{}", &words[..40]);
        assert!(words.ends_with("end") && words.len() <= MOST_WORDS, "{}", words.len());
    }
}
