//! The table of docs/coverage.md: what becomes of every LangFlow export at hand.
//!
//! `make coverage-table` runs it; with the name of a folder it does that one. Each flow is compiled, gated, run and compared with lfx, which takes
//! some seconds; progress is on standard error, the table on standard output.

#![expect(clippy::unwrap_used, reason = "a tool of this repository: it stops where it fails")]
#![expect(clippy::print_stdout, reason = "the table is what it is for")]

#[path = "../tests/oracle/outcome.rs"]
mod outcome;
#[path = "../tests/oracle/peer.rs"]
mod peer;

use std::path::{Path, PathBuf};

use outcome::Outcome;
use peer::{Peer, repository};

/// Folders of `.cache`, and what is in them.
const SETS: [(&str, &str); 6] = [
    ("langflow-1.13.0", "Starter projects of LangFlow 1.13.0"),
    ("langflow-0.7.3", "Starter projects of LangFlow 1.7 (langflow-base 0.7.3)"),
    ("langflow-0.5.1", "Starter projects of LangFlow 1.5 (langflow-base 0.5.1)"),
    ("langflow-0.1.4", "Starter projects of LangFlow 1.1 (langflow-base 0.1.4)"),
    ("langflow-0.0.96", "Starter projects of LangFlow 1.0 (langflow-base 0.0.96)"),
    ("lfx-0.1.13", "Test data of lfx 0.1.13"),
];

const HEAD: &str = "# What becomes of real LangFlow flows

Made by `make coverage-table`; the flows are fetched, not kept here.

| column | says |
| --- | --- |
| compiles | under the policy `known-only`, or with `allow-custom` alone; or the codes for which the flow is refused |
| gates | the module's own smoke test passes: it imports, its graph builds, its sources match their hashes |
| runs | the generated module gives a result, with lfx 1.13.0, a model on loopback and no network; or its error |
| equal | every output of every component is the same as in `lfx run`, but for ids and times; `fails alike` when both end in \
the same error |

Flows that do not run need what is not there: a service, a file that a person would upload, a package (`astrapy`, `trustcall`…), or \
another lfx than 1.13.0, for which each flow's own requirements ask.";

fn main() {
    println!("{HEAD}");
    let Some(mut peer) = Peer::start() else { std::process::exit(1) };
    let chosen = std::env::args().nth(1);
    for (folder, title) in SETS.iter().filter(|(f, _)| chosen.as_ref().is_none_or(|c| c == f)) {
        let paths = exports(&repository().join(".cache").join(folder));
        println!(
            "\n## {title}\n\n| flow | compiles | gates | runs | equal |\n| --- | --- | --- | --- | --- |"
        );
        let mut counts = Counts::default();
        for (index, (name, path)) in paths.iter().enumerate() {
            eprintln!("{folder}: {}/{} {name}", index + 1, paths.len());
            let row = Row::of(&Outcome::of(path, &mut peer));
            counts.add(&row);
            println!(
                "| {name} | {} | {} | {} | {} |",
                row.compiles, row.gates, row.runs, row.equal
            );
        }
        counts.print(paths.len());
    }
}

/// The exports below a folder by name, sorted.
fn exports(folder: &Path) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(at) = open.pop() {
        for entry in std::fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "json") {
                let name = path.strip_prefix(folder).unwrap().with_extension("");
                found.push((name.to_str().unwrap().to_owned(), path));
            }
        }
    }
    found.sort();
    found
}

struct Row {
    compiles: String,
    gates: String,
    runs: String,
    equal: String,
}

impl Row {
    fn of(outcome: &Outcome) -> Self {
        let dash = || "–".to_owned();
        if let Err(problems) = &outcome.plan {
            let mut codes: Vec<_> = problems.as_slice().iter().map(|p| p.code).collect();
            codes.retain(|code| code.starts_with("E_"));
            codes.sort_unstable();
            codes.dedup();
            let codes = codes.iter().map(|code| format!("`{code}`")).collect::<Vec<_>>().join(", ");
            return Self { compiles: codes, gates: dash(), runs: dash(), equal: dash() };
        }
        let known = if outcome.is_known { "yes" } else { "`allow-custom`" };
        let differences = outcome.differences();
        let equal = match (&outcome.lfx, &outcome.generated) {
            (Ok(_), Ok(_)) if differences.is_empty() => "yes".to_owned(),
            (Err(lfx), Err(generated)) => both_fail(lfx, generated),
            (Err(lfx), Ok(_)) => format!("lfx fails: {}", short(lfx)),
            _ => format!("NO: {}", short(&differences[0])),
        };
        Self {
            compiles: known.to_owned(),
            gates: outcome.gates.as_ref().map_or_else(|error| short(error), |()| "yes".to_owned()),
            runs: outcome
                .generated
                .as_ref()
                .map_or_else(|error| short(error), |_| "yes".to_owned()),
            equal,
        }
    }
}

/// Neither gives a result: for the same reason, when one error is in the other.
fn both_fail(lfx: &str, generated: &str) -> String {
    let reason = generated.split_once(": ").map_or(generated, |(_, reason)| reason);
    let reason: String = reason.trim().chars().take(60).collect();
    let same = lfx.contains(reason.trim());
    if same { "fails alike".to_owned() } else { format!("lfx fails: {}", short(lfx)) }
}

/// One line of a message, without what would end a cell of the table.
fn short(text: &str) -> String {
    let text = text.trim_start_matches("RunError: Failed to execute graph: ");
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let line: String = line.chars().take(110).collect();
    line.replace('|', "/").replace('<', "&lt;")
}

#[derive(Default)]
struct Counts {
    compiles: usize,
    gates: usize,
    runs: usize,
    equal: usize,
}

impl Counts {
    fn add(&mut self, row: &Row) {
        self.compiles += usize::from(!row.compiles.starts_with("`E_"));
        self.gates += usize::from(row.gates == "yes");
        self.runs += usize::from(row.runs == "yes");
        self.equal += usize::from(row.equal == "yes" || row.equal == "fails alike");
    }

    fn print(&self, all: usize) {
        let Self { compiles, gates, runs, equal } = self;
        println!(
            "\nOf {all}: {compiles} compile, {gates} pass the gates, {runs} run, {equal} end as in lfx."
        );
    }
}
