//! What the user sees: text for people or JSON lines on stdout, problems on stderr.

use std::error::Error as _;
use std::io::Write;
use std::time::Duration;

use colophon_edge_fetch::{
    Agent, Applied, Cache, Enrolled, Entry, EnvOffer, Error, Exit, Fetched, Generation, Intact,
    Offer, Outcome, Stage, Standing, Status, Transport, Via,
};
use colophon_model::{FlowId, UnixMillis};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

/// Writes results in the form that was asked for.
pub(crate) struct Output {
    json: bool,
}

/// How a thing that `doctor` looked at is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Ok,
    Warn,
    Fail,
}

impl Level {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

impl Output {
    pub(crate) const fn new(json: bool) -> Self {
        Self { json }
    }

    /// A bar on stderr, when that is a terminal and people read it.
    pub(crate) fn progress(&self) -> impl FnMut(u64, u64) + use<> {
        let hidden = self.json;
        let mut current: Option<ProgressBar> = None;
        move |have, total| {
            let bar = current.get_or_insert_with(|| new_bar(total, hidden));
            bar.set_position(have);
            if have == total {
                bar.finish_and_clear();
                current = None;
            }
        }
    }

    pub(crate) fn enrolled(&self, cache: &Cache, enrolled: &Enrolled) {
        let Enrolled { config, roots, recipient } = enrolled;
        let (tenant, url, dir) = (&config.tenant, &config.url, cache.dir().display());
        let text = format!(
            "enrolled for tenant {tenant} at {url} in {dir}{}\nsecrets for it are encrypted for {recipient}",
            root_note(roots)
        );
        let json = json!({"event": "enrolled", "tenant": tenant, "url": url, "roots": roots,
            "dir": cache.dir(), "recipient": recipient});
        self.line(&text, &json);
    }

    /// Passes on what came of asking, and says when it was not asked for in one request.
    pub(crate) fn after_sync<T: Transport, R>(&self, agent: &Agent<T>, result: R) -> R {
        if let Some(problem) = agent.sync_problem() {
            self.event(&json!({"event": "sync", "sync": false, "problem": problem}));
        }
        result
    }

    /// `estimate` is how many bytes an update would cost, where it is known.
    pub(crate) fn offer(&self, offer: &Offer, estimate: Option<u64>) {
        let (facts, name) = (&offer.file.custom, &offer.name);
        let (word, state) = match offer.standing {
            Standing::Current => ("current", "up to date".to_owned()),
            Standing::Update => {
                let size = estimate.map_or_else(
                    || format!("{} bytes", offer.file.length),
                    |bytes| format!("about {bytes} bytes to fetch"),
                );
                ("update", format!("update available ({size})"))
            }
            Standing::Refused => ("refused", "failed here; waits for a higher number".to_owned()),
            Standing::Unsupported => ("unsupported", "does not run on this machine".to_owned()),
        };
        let mut json = describe("bundle", offer);
        json["standing"] = word.into();
        if let Some(estimate) = estimate {
            json["to_fetch"] = estimate.into();
        }
        json["active_seq"] = offer.active.as_ref().map(colophon_edge_fetch::Generation::seq).into();
        let secrets = match &offer.env {
            EnvOffer::Update(_) => "; new secrets",
            EnvOffer::Removed => "; secrets removed",
            EnvOffer::None | EnvOffer::Current(_) => "",
        };
        self.line(&format!("{name} {}: {state}{secrets}", facts.version), &json);
    }

    pub(crate) fn fetched(&self, offer: &Offer, fetched: &Fetched) {
        let (name, version) = (&offer.name, &offer.file.custom.version);
        let text = format!("{name} {version}: verified, {}", came(fetched));
        let mut json = describe("fetched", offer);
        describe_fetched(&mut json, fetched);
        self.line(&text, &json);
    }

    /// A generation whose files are those that were signed.
    pub(crate) fn intact(&self, flow: &FlowId, Intact { installed, path }: &Intact) {
        let text = format!("{flow}: {} is as it was signed", installed.generation);
        let json = json!({"event": "verified", "flow": flow, "path": path,
            "generation": installed.generation, "tree": installed.tree});
        self.line(&text, &json);
    }

    pub(crate) fn applied(&self, offer: &Offer, applied: &Applied) {
        let word = match (applied.pending, applied.changed) {
            (true, _) => "on trial until `commit` or `rollback`",
            (false, true) => "now active",
            (false, false) => "already active",
        };
        let (version, path) = (&offer.file.custom.version, applied.path.display());
        let secrets = if applied.env_changed { ", with other secrets" } else { "" };
        let text = format!("{} {version}: {word}{secrets}, in {path}", offer.name);
        let mut json = describe("applied", offer);
        json["generation"] = applied.generation.to_string().into();
        json["path"] = json!(applied.path);
        json["changed"] = applied.changed.into();
        json["pending"] = applied.pending.into();
        json["env_changed"] = applied.env_changed.into();
        if let Some(fetched) = &applied.fetched {
            describe_fetched(&mut json, fetched);
        }
        self.line(&text, &json);
    }

    pub(crate) fn committed(&self, flow: &FlowId, done: bool) {
        let word = if done { "committed" } else { "nothing is on trial" };
        let json = json!({"event": "committed", "flow": flow, "changed": done});
        self.line(&format!("{flow}: {word}"), &json);
    }

    pub(crate) fn rolled_back(&self, flow: &FlowId, back: Option<&Generation>) {
        let name = back.map(ToString::to_string);
        let word = name.as_deref().unwrap_or("nothing");
        let json = json!({"event": "rolled_back", "flow": flow, "generation": name});
        self.line(&format!("{flow}: rolled back, {word} is active"), &json);
    }

    pub(crate) fn history(&self, flow: &FlowId, entries: &[Entry]) {
        for entry in entries {
            let reason = entry.reason.as_ref().map(|reason| format!(" ({reason})"));
            let (at, what) = (time(entry.at), &entry.what);
            let text =
                format!("{at} {flow} {what} {}{}", entry.generation, reason.unwrap_or_default());
            let mut json = json!(entry);
            json["event"] = "history".into();
            json["flow"] = json!(flow);
            self.line(&text, &json);
        }
    }

    /// Reports how an `apply` ended.
    pub(crate) fn ended(&self, outcomes: &Result<Vec<Outcome<Applied>>, Error>) -> Exit {
        match outcomes {
            Ok(outcomes) => self.outcomes(outcomes, Self::applied),
            Err(error) => {
                self.error(error);
                error.exit()
            }
        }
    }

    /// Reports what a poll changed or could not change; the exit code of the first failure.
    pub(crate) fn polled(&self, outcomes: &[Outcome<Applied>]) -> Exit {
        let news = |outcome: &&Outcome<Applied>| match &outcome.result {
            Ok(applied) => applied.changed || applied.env_changed,
            Err(error) => !matches!(error, Error::Refused { .. }),
        };
        let mut exit = Exit::Ok;
        for Outcome { offer, result } in outcomes.iter().filter(news) {
            match result {
                Ok(applied) => self.applied(offer, applied),
                Err(error) => {
                    self.error(error);
                    exit = if exit == Exit::Ok { error.exit() } else { exit };
                }
            }
        }
        exit
    }

    pub(crate) fn waiting(&self, wait: Duration) {
        self.event(&json!({"event": "waiting", "milliseconds": wait.as_millis() as u64}));
    }

    pub(crate) fn reported(&self) {
        self.event(&json!({"event": "reported"}));
    }

    /// A report that did not come through: worth a word, and no failure.
    pub(crate) fn not_reported(&self, error: &Error) {
        let message = with_causes(error);
        let _ = writeln!(std::io::stderr().lock(), "warning: no report was sent: {message}");
        self.event(&json!({"event": "not_reported", "message": message}));
    }

    pub(crate) fn stopped(&self) {
        self.event(&json!({"event": "stopped"}));
    }

    /// What only programs want to know.
    fn event(&self, json: &Value) {
        if self.json {
            self.line("", json);
        }
    }

    pub(crate) fn finding(&self, level: Level, name: &str, detail: &str, hint: &str) {
        let word = level.as_str();
        let hint = if level == Level::Ok { "" } else { hint };
        let mut text = format!("{word:<4} {name}: {detail}");
        if !hint.is_empty() {
            text.push_str(" (");
            text.push_str(hint);
            text.push(')');
        }
        let json = json!({"event": "finding", "level": word, "name": name, "detail": detail, "hint": hint});
        self.line(&text, &json);
    }

    /// One line of a result that is simple.
    pub(crate) fn say(&self, text: &str, json: &Value) {
        self.line(text, json);
    }

    /// Reports every outcome; the exit code of the first that failed.
    pub(crate) fn outcomes<R>(
        &self,
        outcomes: &[Outcome<R>],
        done: impl Fn(&Self, &Offer, &R),
    ) -> Exit {
        let mut exit = Exit::Ok;
        for Outcome { offer, result } in outcomes {
            match result {
                Ok(result) => done(self, offer, result),
                Err(error) => {
                    self.error(error);
                    exit = if exit == Exit::Ok { error.exit() } else { exit };
                }
            }
        }
        if outcomes.is_empty() && !self.json {
            self.line("the tenant offers no bundle", &Value::Null);
        }
        exit
    }

    pub(crate) fn status(&self, status: &Status) {
        let (config, roots) = (&status.config, &status.roots);
        let archived = if status.archived { " (archived)" } else { "" };
        let text =
            format!("tenant {} at {}{}{archived}", config.tenant, config.url, root_note(roots));
        let json = json!({"event": "status", "tenant": config.tenant, "url": config.url,
            "roots": roots, "archived": status.archived});
        self.line(&text, &json);
        for flow in &status.flows {
            let tree = flow.tree.as_ref().map(|tree| format!("blake3:{tree}"));
            let shown = tree.as_ref().map(|tree| format!(" ({tree})")).unwrap_or_default();
            let (name, generation, path) = (&flow.flow, &flow.generation, flow.path.display());
            let text = format!("{name}: {generation}{shown}, in {path}");
            let json = json!({"event": "active", "flow": name, "seq": generation.seq(),
                "generation": generation.to_string(), "path": flow.path, "tree": tree});
            self.line(&text, &json);
        }
    }

    /// The error with its causes, and a hint, on stderr; with `--json` also as an object on stdout.
    pub(crate) fn error(&self, error: &Error) {
        let message = with_causes(error);
        // A reader of stderr who is gone must not turn one failure into another.
        let mut stderr = std::io::stderr().lock();
        let _ = writeln!(stderr, "error: {message}");
        if let Some(hint) = error.hint() {
            let _ = writeln!(stderr, "hint: {hint}");
        }
        if self.json {
            let exit = error.exit() as u8;
            let mut json = json!({"event": "error", "exit": exit, "message": message});
            if let Error::Archived { removed, .. } = error {
                json["archived"] = true.into();
                json["removed"] = json!(removed);
            }
            self.line("", &json);
        }
    }

    pub(super) fn line(&self, text: &str, json: &Value) {
        let mut stdout = std::io::stdout().lock();
        // As above: the work is done, whoever reads.
        let _ = if self.json { writeln!(stdout, "{json}") } else { writeln!(stdout, "{text}") };
    }
}

/// An error and what it came from, in one line.
pub(super) fn with_causes(error: &Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        message.push_str(": ");
        message.push_str(&source.to_string());
        cause = source.source();
    }
    message
}

/// A moment in RFC 3339.
fn time(at: UnixMillis) -> String {
    let since = std::time::Duration::from_millis(at.get());
    humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + since).to_string()
}

fn new_bar(total: u64, hidden: bool) -> ProgressBar {
    let bar = if hidden { ProgressBar::hidden() } else { ProgressBar::new(total) };
    match ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {eta}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// A server that holds the root keys can replace them; whoever relies on the bundles should know.
fn root_note(roots: &str) -> String {
    if roots == colophon_trust::SERVER_ROOTS {
        " (root keys made on the server)".to_owned()
    } else {
        String::new()
    }
}

/// What every line about a bundle has.
fn describe(event: &str, offer: &Offer) -> Value {
    let facts = &offer.file.custom;
    json!({
        "event": event, "target": offer.name, "flow": facts.flow, "runtime": facts.runtime,
        "version": facts.version, "seq": facts.seq, "length": offer.file.length,
        "sha256": offer.file.sha256, "tree": format!("blake3:{}", facts.tree), "env_seq": offer.env.file().map(|env| env.custom.seq),
    })
}

/// How a bundle came, for people.
fn came(fetched: &Fetched) -> String {
    match fetched.via {
        Via::Cache => "nothing to download".to_owned(),
        via => format!("{} bytes downloaded (by {via})", fetched.downloaded()),
    }
}

/// How a bundle came, with what did not work on the way.
fn describe_fetched(json: &mut Value, fetched: &Fetched) {
    let stage = |stage: &Stage| {
        let mut json = json!({"via": stage.via.to_string(), "bytes": stage.bytes});
        if let Some(problem) = &stage.problem {
            json["problem"] = problem.as_str().into();
        }
        json
    };
    json["via"] = fetched.via.to_string().into();
    json["downloaded"] = fetched.downloaded().into();
    json["resumed_from"] = fetched.resumed_from.into();
    json["stages"] = fetched.stages.iter().map(stage).collect();
}
