//! The worker process, as the server sees it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use colophon_model::SandboxReport;

use super::Bounds;
use super::wire::{self, Answer, Request, Setup};
use crate::gates::home::Home;
use crate::gates::program::Python;
use crate::gates::sandbox::{self, Applied, Launcher, Policy};
use crate::gates::users::User;

const SCRIPT: &str = include_str!("../worker.py");
/// What it is called in the worker's folder.
const SCRIPT_NAME: &str = "worker.py";

/// How long the imports may take.
const START: Duration = Duration::from_mins(1);
/// Most threads of a test.
const THREADS: u64 = 256;
/// Most threads of all tests at a time where they cannot be counted by themselves, so that one without end does not
/// take all that the machine has.
const PROCESSES: u64 = 2048;
/// How much longer than a test the worker may take to say that it ended it.
const SLACK: Duration = Duration::from_secs(10);

/// A running worker; ended when dropped.
pub(in crate::gates) struct Worker {
    keeper: Mutex<Child>,
    requests: Mutex<Option<ChildStdin>>,
    waiting: Arc<Mutex<Waiting>>,
    next: AtomicU64,
    /// Where its script and the folders of builds are.
    home: Home,
    /// Its own, until it has ended.
    user: Option<User>,
    /// How its children are confined.
    pub(in crate::gates) sandbox: SandboxReport,
}

/// Who waits for which answer. `None`: there will be none.
type Waiting = Option<HashMap<u64, SyncSender<Answer>>>;

impl Worker {
    /// A folder for a worker in `parent`, and how it is started there.
    pub(in crate::gates) fn prepare(
        parent: &Path,
        python: &Python,
        policy: Policy,
    ) -> Result<(Home, Policy), String> {
        let home = script_folder(parent)
            .map_err(|e| format!("no folder in `{}`: {e}", parent.display()))?;
        let program = python.program.display().to_string();
        let script = home.path().join(SCRIPT_NAME).display().to_string();
        let mut read = python.paths.clone();
        read.push(home.path().to_owned());
        let env = [("LANG", "C.UTF-8"), ("HOME", "/nonexistent"), ("PATH", "/usr/bin:/bin")];
        // Threads of numerical libraries would not survive a fork.
        let threads = [("OPENBLAS_NUM_THREADS", "1"), ("OMP_NUM_THREADS", "1")];
        let env = env.into_iter().chain(threads);
        let policy = Policy {
            argv: vec![program, "-I".to_owned(), "-B".to_owned(), script],
            env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            dir: PathBuf::from("/"),
            read,
            forks: true,
            ..policy
        };
        Ok((home, policy))
    }

    /// Starts it and waits until its imports are done.
    pub(in crate::gates) fn start(
        launcher: &Launcher,
        (home, user): (Home, Option<User>),
        policy: &Policy,
        applied: &Applied,
        lfx: bool,
    ) -> Result<Self, String> {
        let mut log = tempfile::tempfile().map_err(|e| format!("no file for its log: {e}"))?;
        let mut command = launcher.command(policy);
        let stderr = log.try_clone().map_err(|e| format!("no file for its log: {e}"))?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
        let mut keeper =
            command.spawn().map_err(|e| format!("the smoke worker does not start: {e}"))?;
        let (requests, answers) = (keeper.stdin.take(), keeper.stdout.take());
        let worker = Self {
            keeper: Mutex::new(keeper),
            requests: Mutex::new(requests),
            waiting: Arc::new(Mutex::new(Some(HashMap::new()))),
            next: AtomicU64::new(1),
            home,
            user,
            sandbox: applied.report(),
        };
        let setup = Setup {
            confined: policy.confined,
            landlock: applied.landlock.is_some(),
            filter: if applied.seccomp { sandbox::child_filter() } else { String::new() },
            read: sandbox::readable_by_child(
                policy,
                worker.home.path(),
                &worker.home.path().join(SCRIPT_NAME),
            ),
            lfx,
            threads: THREADS,
            // Of a user that others have too, it would count what is not the worker's.
            processes: worker.user.as_ref().map(|_| PROCESSES),
        };
        let ready = worker.expect(0);
        worker.hear(answers);
        let sent = worker.send(|requests| wire::set_up(requests, &setup));
        match ready.filter(|_| sent).and_then(|ready| ready.recv_timeout(START).ok()) {
            Some(_) => Ok(worker),
            None => Err(format!("the smoke worker does not start: {}", last_words(&mut log))),
        }
    }

    /// Tests a build whose folder is in [`Self::home`]. `None`: the worker ended. An error is why the
    /// build is refused.
    pub(in crate::gates) fn test(
        &self,
        folder: &Path,
        test: &str,
        bounds: Bounds,
    ) -> Option<Result<(), String>> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let answer = self.expect(id)?;
        let limit_ms = bounds.time.as_millis() as u64;
        let memory = bounds.memory;
        let request = Request { folder, test, limit_ms, memory };
        if !self.send(|requests| wire::ask(requests, id, &request)) {
            return None;
        }
        let answer = answer.recv_timeout(bounds.time + SLACK).ok()?;
        Some(answer.verdict(limit_ms))
    }

    /// Where folders of builds are made.
    pub(in crate::gates) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Whether it has just done so many tests that it is time for a fresh one.
    pub(in crate::gates) fn is_due(&self, runs: u32) -> bool {
        let done = self.next.load(Ordering::Relaxed) - 1;
        done >= u64::from(runs) && self.next.fetch_add(1 << 32, Ordering::Relaxed) < 1 << 32
    }

    fn expect(&self, id: u64) -> Option<Receiver<Answer>> {
        let (sender, receiver) = mpsc::sync_channel(1);
        lock(&self.waiting).as_mut()?.insert(id, sender);
        Some(receiver)
    }

    fn send(&self, write: impl FnOnce(&mut ChildStdin) -> std::io::Result<()>) -> bool {
        let mut requests = lock(&self.requests);
        requests.as_mut().is_some_and(|requests| write(requests).is_ok())
    }

    /// Hands answers to who waits for them. Its end is the worker's: then nobody waits any more.
    fn hear(&self, answers: Option<ChildStdout>) {
        let waiting = self.waiting.clone();
        let hear = move || {
            let Some(mut answers) = answers else { return };
            while let Ok(answer) = wire::read(&mut answers) {
                let sender = lock(&waiting).as_mut().and_then(|w| w.remove(&answer.id));
                if let Some(sender) = sender {
                    let _ = sender.send(answer);
                }
            }
            *lock(&waiting) = None;
        };
        std::thread::spawn(hear);
    }
}

impl Drop for Worker {
    /// The starter and all that came of it end with the keeper.
    fn drop(&mut self) {
        drop(lock(&self.requests).take());
        let mut keeper = lock(&self.keeper);
        let _ = keeper.kill();
        let _ = keeper.wait();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn script_folder(parent: &Path) -> std::io::Result<Home> {
    let home = Home::new(parent)?;
    std::fs::write(home.path().join(SCRIPT_NAME), SCRIPT)?;
    Ok(home)
}

/// The end of what the worker wrote to standard error.
fn last_words(log: &mut File) -> String {
    let mut text = Vec::new();
    let _ = log.rewind();
    let _ = log.read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text);
    let last = text.trim().lines().next_back().unwrap_or("it says nothing");
    last.chars().take(500).collect()
}
