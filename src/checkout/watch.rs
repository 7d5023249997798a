//! Looking again and again, until told to stop.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::event::millis;
use super::hook::{Hook, Step};
use super::state::{Problem, now};
use super::{Checkout, Event, Fault, Outcome, State, backoff, disk};
use crate::http::chain;
use crate::keys::random_bytes;

/// What is written down at least so often, while nothing happens.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// How often the server is asked.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// The time between two looks.
    pub interval: Duration,
}

/// A checkout with what follows it.
pub struct Watch<'a> {
    checkout: Checkout,
    hook: Hook,
    /// A file that is there while the folder holds a version and everything that follows it was done.
    ready: Option<PathBuf>,
    tell: Box<dyn FnMut(Event) + 'a>,
    state: State,
    written: Option<Instant>,
    /// Failures of the server or the disk in a row.
    failures: u32,
    hook_failures: u32,
    hook_due: Instant,
    /// Whether the folder was at the wanted version once.
    reached: bool,
}

impl<'a> Watch<'a> {
    /// Takes up what was written down before.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn new(
        checkout: Checkout,
        hook: Hook,
        ready: Option<PathBuf>,
        tell: impl FnMut(Event) + 'a,
    ) -> Result<Self, Fault> {
        let state = State::read(checkout.held().folder())?;
        let watch = Self {
            checkout,
            hook,
            ready,
            tell: Box::new(tell),
            state,
            written: None,
            failures: 0,
            hook_failures: 0,
            hook_due: Instant::now(),
            reached: false,
        };
        watch.mark(false)?;
        Ok(watch)
    }

    /// Brings the folder to the wanted version, and does what follows.
    ///
    /// # Errors
    /// When that cannot be done now.
    pub fn once(&mut self) -> Result<Outcome, Fault> {
        let (outcome, followed) = (self.look()?, self.follow(&|| false));
        self.write(true)?;
        followed?;
        self.mark(true)?;
        Ok(outcome)
    }

    /// Keeps the folder at the wanted version until the sender of `stop` is gone.
    ///
    /// # Errors
    /// What will not pass by itself, when it is the first thing that is met.
    pub fn run(&mut self, pace: Pace, stop: &Receiver<()>) -> Result<(), Fault> {
        loop {
            let wait = match self.turn(pace, stop) {
                Ok(()) => backoff::usual(pace.interval, chance()),
                Err(fault) if fault.is_permanent() && !self.reached => return Err(fault),
                Err(fault) => self.failed(&fault, pace),
            };
            match stop.recv_timeout(wait) {
                Err(RecvTimeoutError::Timeout) => {}
                _ => break,
            }
        }
        (self.tell)(Event::Stopped);
        Ok(())
    }

    fn turn(&mut self, pace: Pace, stop: &Receiver<()>) -> Result<(), Fault> {
        let outcome = self.look()?;
        if let (Outcome::Unchanged(commit), false) = (outcome, self.reached) {
            (self.tell)(Event::Unchanged { commit }); // the first time it is news
        }
        self.reached = true;
        let failures = std::mem::take(&mut self.failures);
        if failures > 0 {
            (self.tell)(Event::Recovered { failures });
        }
        if matches!(outcome, Outcome::Switched(_)) {
            self.hook_due = Instant::now();
            self.hook_failures = 0;
        }
        if Instant::now() >= self.hook_due {
            match self.follow(&|| is_stopped(stop)) {
                Ok(()) => self.mark(true)?,
                Err(fault) => self.hook_failed(&fault, pace),
            }
        }
        self.write(false)
    }

    /// One look at the server.
    fn look(&mut self) -> Result<Outcome, Fault> {
        let outcome = self.checkout.round(&mut *self.tell)?;
        if matches!(outcome, Outcome::Switched(_)) {
            self.state.switched_at = Some(now());
            self.written = None;
        }
        self.state.checked_at = Some(now());
        if self.state.problem.as_ref().is_some_and(|problem| problem.code != "hook") {
            self.state.problem = None;
            self.written = None;
        }
        Ok(outcome)
    }

    /// Does what follows a switch, unless it was done for this version.
    fn follow(&mut self, stopped: &dyn Fn() -> bool) -> Result<(), Fault> {
        let Some((new, commit)) = self.checkout.current() else { return Ok(()) };
        if !self.hook.is_set() || self.state.hooked.as_ref() == Some(&new) {
            return Ok(());
        }
        self.mark(false)?;
        let step = Step { old: self.state.hooked.clone(), new: new.clone() };
        let since = Instant::now();
        let done = self.hook.run(self.checkout.held(), &step, stopped);
        let detail = done.as_ref().err().map(|fault| chain(fault));
        (self.tell)(Event::Hook {
            commit,
            ok: done.is_ok(),
            detail,
            millis: millis(since.elapsed()),
        });
        done?;
        self.state.hooked = Some(new);
        self.state.problem = None;
        self.hook_failures = 0;
        self.write(true)
    }

    fn hook_failed(&mut self, fault: &Fault, pace: Pace) {
        self.hook_failures += 1;
        self.hook_due =
            Instant::now() + backoff::after(self.hook_failures, pace.interval, chance(), None);
        self.note(fault, self.hook_failures);
    }

    /// Tells of a failure, and how long to wait.
    fn failed(&mut self, fault: &Fault, pace: Pace) -> Duration {
        self.failures += 1;
        let wait = backoff::after(self.failures, pace.interval, chance(), fault.retry_after());
        (self.tell)(Event::Failed {
            code: fault.code().to_owned(),
            detail: words(fault),
            retry_millis: millis(wait),
        });
        self.note(fault, self.failures);
        let _ = self.write(true); // the disk may be what failed
        wait
    }

    fn note(&mut self, fault: &Fault, failures: u32) {
        let code = fault.code().to_owned();
        let same = self.state.problem.take().filter(|problem| problem.code == code);
        let since = same.map_or_else(now, |problem| problem.since);
        self.state.problem = Some(Problem { code, detail: words(fault), since, failures });
        self.written = None;
    }

    fn write(&mut self, at_once: bool) -> Result<(), Fault> {
        if at_once || self.written.is_none_or(|written| written.elapsed() >= HEARTBEAT) {
            self.state.write(self.checkout.held().folder())?;
            self.written = Some(Instant::now());
        }
        Ok(())
    }

    /// Makes or removes the file that says that the folder is ready.
    fn mark(&self, is_ready: bool) -> Result<(), Fault> {
        match &self.ready {
            Some(file) if is_ready && !file.exists() => disk::replace(file, b"", false),
            Some(file) if !is_ready => disk::remove(file),
            _ => Ok(()),
        }
    }
}

/// Whether a stop came: the sender is gone, which can be seen as often as one looks.
fn is_stopped(stop: &Receiver<()>) -> bool {
    !matches!(stop.try_recv(), Err(std::sync::mpsc::TryRecvError::Empty))
}

/// An error with what to do about it.
fn words(fault: &Fault) -> String {
    let text = chain(fault);
    fault.hint().map_or_else(|| text.clone(), |hint| format!("{text}; {hint}"))
}

fn chance() -> u8 {
    random_bytes::<1>().map_or(u8::MAX, |[byte]| byte)
}
