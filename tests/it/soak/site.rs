//! The server under test as its clients see it: a place that is there, or is not for a moment.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::support::numbers::Numbers;
use crate::support::process::ServerProcess;
use crate::support::sign::Headers;
use crate::support::{Answer, read_whole};

/// No answer may take longer, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// A data directory, and the process that serves it at one address through all its lives.
pub(super) struct Site {
    pub(super) url: String,
    args: Vec<String>,
    data: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
    wrong: Mutex<Vec<String>>,
    counts: Mutex<BTreeMap<&'static str, u64>>,
}

#[derive(Default)]
struct State {
    /// Even while a server runs; each death and each birth counts.
    epoch: u64,
    stopped: bool,
    process: Option<ServerProcess>,
}

/// Tells everybody to stop when it is dropped.
pub(super) struct Stop<'a>(&'a Site);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.state.lock().unwrap().stopped = true;
        self.0.changed.notify_all();
    }
}

impl Site {
    pub(super) fn start(data: &Path, quota: u64, numbers: &mut Numbers) -> Self {
        let listen = free_address(numbers);
        let args = ["--listen", &listen, "--builds-per-day", &quota.to_string()];
        let site = Self {
            url: format!("http://{listen}"),
            args: args.map(str::to_owned).into(),
            data: data.to_owned(),
            state: Mutex::new(State { epoch: 1, ..State::default() }),
            changed: Condvar::new(),
            wrong: Mutex::default(),
            counts: Mutex::default(),
        };
        site.revive();
        site
    }

    /// Starts the server at once where it was.
    pub(super) fn revive(&self) {
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        let process = ServerProcess::run(&self.data, &args, &[], Stdio::inherit());
        let mut state = self.state.lock().unwrap();
        state.process = Some(process);
        state.epoch += 1;
        drop(state);
        self.changed.notify_all();
    }

    /// SIGKILL. Whoever is told of an error from now on knows why.
    pub(super) fn kill(&self) {
        let mut state = self.state.lock().unwrap();
        state.epoch += 1;
        let process = state.process.take();
        drop(state);
        process.unwrap().kill();
    }

    /// SIGTERM, after which the server must end by itself and well.
    pub(super) fn terminate(&self) {
        let process = self.state.lock().unwrap().process.take();
        let ended = process.unwrap().terminate();
        assert!(ended.success(), "the server ended with {ended}");
    }

    /// The process, while one runs.
    pub(super) fn pid(&self) -> Option<u32> {
        self.state.lock().unwrap().process.as_ref().map(ServerProcess::pid)
    }

    pub(super) fn epoch(&self) -> u64 {
        self.state.lock().unwrap().epoch
    }

    /// Whether the server ran from `epoch` until now without being killed.
    pub(super) fn ran_since(&self, epoch: u64) -> bool {
        epoch.is_multiple_of(2) && self.epoch() == epoch
    }

    pub(super) fn stop_at_the_end(&self) -> Stop<'_> {
        Stop(self)
    }

    /// Waits until a server runs. The kills end with the load, so this comes to an end.
    pub(super) fn until_it_runs(&self) {
        let state = self.state.lock().unwrap();
        let down = |state: &mut State| !state.epoch.is_multiple_of(2) && !state.stopped;
        drop(self.changed.wait_timeout_while(state, PATIENCE, down).unwrap());
    }

    /// The pace of a client. False: it is time to stop.
    pub(super) fn pause(&self, time: Duration) -> bool {
        let state = self.state.lock().unwrap();
        let (state, _) =
            self.changed.wait_timeout_while(state, time, |state| !state.stopped).unwrap();
        !state.stopped
    }

    /// Writes down what must not be.
    pub(super) fn is_wrong(&self, finding: impl Into<String>) {
        let finding = finding.into();
        eprintln!("soak: WRONG: {finding}");
        self.wrong.lock().unwrap().push(finding);
    }

    pub(super) fn wrong(&self) -> Vec<String> {
        self.wrong.lock().unwrap().clone()
    }

    pub(super) fn count(&self, what: &'static str) {
        *self.counts.lock().unwrap().entry(what).or_default() += 1;
    }

    pub(super) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.counts.lock().unwrap().clone()
    }

    /// One request. `None`: the server was killed meanwhile, or is not there.
    pub(super) fn ask(
        &self,
        (method, path): (&str, &str),
        headers: &Headers,
        body: &[u8],
    ) -> Option<Answer> {
        let epoch = self.epoch();
        let begun = Instant::now();
        let told = send(method, &format!("{}{path}", self.url), headers, body);
        match told {
            Ok(answer) => {
                self.look_at(&answer, method, path);
                if begun.elapsed() > Duration::from_secs(30) {
                    self.count("answers after 30 s");
                }
                Some(answer)
            }
            Err(_) if !self.ran_since(epoch) => {
                self.count("requests cut off by a kill");
                None
            }
            Err(error) => {
                self.is_wrong(format!("{method} {path}: no answer of a server that runs: {error}"));
                None
            }
        }
    }

    /// The same until there is an answer that is more than "later". `lost` counts the attempts of which nothing
    /// is known.
    pub(super) fn insist(
        &self,
        lost: &mut u32,
        mut attempt: impl FnMut() -> Option<Answer>,
    ) -> Option<Answer> {
        for _ in 0..600 {
            match attempt() {
                None => {
                    *lost += 1;
                    self.until_it_runs();
                }
                Some(answer) if answer.status == 503 || is_busy(&answer) => {
                    self.count("answers `later`");
                    // Shorter than asked for: a client that is less polite than it should be.
                    std::thread::sleep(Duration::from_millis(200));
                }
                Some(answer) => return Some(answer),
            }
        }
        self.is_wrong("a request was put off 600 times");
        None
    }

    /// What no answer may be.
    fn look_at(&self, answer: &Answer, method: &str, path: &str) {
        self.count("requests");
        let said = || String::from_utf8_lossy(&answer.bytes).into_owned();
        let later = !answer.header("retry-after").is_empty();
        if answer.status >= 500 && !(answer.status == 503 && later) {
            self.is_wrong(format!("{method} {path}: {} {}", answer.status, said()));
        }
        if answer.status >= 400 && answer.header("content-type") != "application/problem+json" {
            self.is_wrong(format!("{method} {path}: {} is no problem: {}", answer.status, said()));
        }
    }
}

fn is_busy(answer: &Answer) -> bool {
    answer.status == 429 && answer.code() == "busy"
        || answer.status == 409 && answer.code() == "delivery-in-flight"
}

/// A connection of its own for each request: one that was kept may be closed by either side at any time.
fn send(method: &str, url: &str, headers: &Headers, body: &[u8]) -> Result<Answer, ureq::Error> {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(PATIENCE))
        .max_idle_connections(0);
    let agent: ureq::Agent = config.build().into();
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let sent = match method {
        "GET" | "DELETE" => agent.run(request.body(()).unwrap()),
        _ => agent.run(request.body(body).unwrap()),
    };
    read_whole(sent?)
}

/// An address that no test gets from the system, and that the server can take again right after a kill.
fn free_address(numbers: &mut Numbers) -> String {
    let mut addresses =
        std::iter::repeat_with(|| format!("127.0.0.1:{}", 20_000 + numbers.below(12_000)));
    addresses.by_ref().take(1_000).find(|address| TcpListener::bind(address).is_ok()).unwrap()
}
