//! `[gates]`: what a build must pass before it is committed.

use std::collections::BTreeSet;
use std::path::PathBuf;

use colophon_model::Target;
use serde::{Deserialize, Serialize};

use super::users::UserRange;
use crate::units::{Size, Span};

/// What a build must pass before it is committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GatesConfig {
    /// The smoke gate: import the generated modules, build the graph, run its smoke test.
    pub smoke: Mode,
    /// `ruff check` of every generated module, rules `E9` and `F`.
    pub ruff: Mode,
    /// The interpreter, in which langgraph is installed. A name is looked up in `PATH`.
    pub python: PathBuf,
    /// The program `ruff`. A name is looked up in `PATH`.
    pub ruff_program: PathBuf,
    /// Whether what a gate runs must be confined.
    pub sandbox: Mode,
    /// Gates of all builds that run at a time.
    pub at_once: usize,
    /// Longest time of a smoke test, and of a command that says nothing else.
    pub timeout: Span,
    /// Memory of a smoke test beyond that of the worker, and of a command that says nothing else.
    pub memory: Size,
    /// Smoke tests after which the worker is replaced by a fresh one.
    pub runs: u32,
    /// The HTTP status of a build that a gate refused: 422 or 400.
    pub status: u16,
    /// Users that tools of a server that is root run as, each one of its own. No account may have any of them.
    pub users: UserRange,
    /// Folder in which the folders of gates are made; default the system's for temporary files.
    pub dir: Option<PathBuf>,
    /// The program that starts gates in their sandbox; default this one.
    pub launcher: Option<PathBuf>,
    /// Commands of the operator's.
    pub command: Vec<CommandConfig>,
}

/// Whether a gate, or the sandbox, must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Without it, builds get 503.
    Required,
    /// Without it, builds go on, and their records say so.
    Auto,
    /// It is not used.
    Off,
}

/// A command that a build must pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandConfig {
    /// Its name in records and answers.
    pub name: String,
    /// The program and its arguments. No shell reads them. It runs in the folder of the files.
    pub argv: Vec<String>,
    /// The target whose files it checks; default all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// Whether it must be there.
    #[serde(default = "required")]
    pub mode: Mode,
    /// Longest time; default as for all gates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// Memory of one process; default as for all gates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Size>,
    /// Whether it may use the network.
    #[serde(default)]
    pub network: bool,
    /// What it may read beside its folder, the system's programs and libraries, and the interpreter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub read: Vec<PathBuf>,
}

const fn required() -> Mode {
    Mode::Required
}

impl Default for GatesConfig {
    fn default() -> Self {
        Self {
            smoke: Mode::Required,
            ruff: Mode::Off,
            python: PathBuf::from("python3"),
            ruff_program: PathBuf::from("ruff"),
            sandbox: Mode::Required,
            at_once: 4,
            timeout: Span::seconds(10),
            memory: Size::mib(512),
            runs: 1000,
            status: 422,
            users: UserRange::DEFAULT,
            dir: None,
            launcher: None,
            command: Vec::new(),
        }
    }
}

impl GatesConfig {
    /// For trying things out: what is required becomes what is used when it is there.
    pub fn relax(&mut self) {
        let modes = [&mut self.smoke, &mut self.ruff, &mut self.sandbox];
        for mode in modes.into_iter().chain(self.command.iter_mut().map(|c| &mut c.mode)) {
            if *mode == Mode::Required {
                *mode = Mode::Auto;
            }
        }
    }

    /// What is wrong with it.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |holds: bool, text: &str| {
            if !holds {
                problems.push(text.to_owned());
            }
        };
        check((1..=256).contains(&self.at_once), "`gates.at_once` must be 1 to 256");
        check(self.timeout.millis() > 0, "`gates.timeout` must be more than 0");
        check(self.memory.get() >= 1 << 20, "`gates.memory` must be at least 1MiB");
        check(self.runs > 0, "`gates.runs` must be more than 0");
        // Beside the tools there are workers: one, and those that have just been replaced.
        let room = self.users.len() >= self.at_once + 8;
        check(room, "`gates.users` must hold at least 8 more than `gates.at_once`");
        check(matches!(self.status, 400 | 422), "`gates.status` must be 400 or 422");
        let mut names = BTreeSet::from(["parse", "shape", "format", "smoke", "ruff"]);
        for command in &self.command {
            let name = &command.name;
            let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
            let fits = plain && (1..=32).contains(&name.len());
            check(fits, "a `gates.command.name` must be 1 to 32 letters, digits, `-` and `_`");
            check(names.insert(name), &format!("the gate `{name}` is there twice"));
            let given = command.argv.first().is_some_and(|program| !program.is_empty());
            check(given, &format!("`argv` of the gate `{name}` names no program"));
        }
        problems
    }
}
