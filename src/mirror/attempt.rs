//! One attempt at one mirror: read the remote's refs, push once, and read them again. Blocks.

use std::sync::atomic::{AtomicBool, Ordering};

use colophon_gitbridge::{Advertisement, Push, Step};
use colophon_store::rows::{MirrorRow, MirrorState, TenantRow};

use super::client::{Client, Remote};
use super::fault::{Fault, rejection};
use super::ledger::{Ledger, Look};
use super::outgoing::Outgoing;
use super::state::{Outcome, Timing};
use super::url::MirrorUrl;
use crate::keys::random_bytes;
use crate::pipeline::Press;
use crate::secrets::{InvalidRef, Secret, SecretRef, Secrets};

/// What an attempt is about.
pub(super) struct Attempt<'a> {
    pub(super) press: &'a Press,
    pub(super) client: &'a Client,
    pub(super) tenant: &'a TenantRow,
    pub(super) mirror: &'a MirrorRow,
    /// Whether `http://` to other machines is allowed.
    pub(super) plain_http: bool,
    /// Milliseconds between two pushes to one remote.
    pub(super) pace: u64,
    /// Set when the server stops.
    pub(super) stopping: &'a AtomicBool,
}

/// The credential in use, read anew when it is refused.
struct Session<'a> {
    url: &'a MirrorUrl,
    secrets: &'a Secrets,
    from: Option<SecretRef>,
    secret: Option<Secret>,
}

impl Attempt<'_> {
    /// Does it, and records what came of it. `None`: the mirror changed meanwhile, or the server stops.
    ///
    /// # Errors
    /// When what came of it could not be recorded.
    pub(super) fn run(&self) -> Result<Option<(Outcome, MirrorState)>, Fault> {
        let (store, tenant, mirror) = (&self.press.store, self.tenant, self.mirror);
        let ledger = Ledger { store, tenant, mirror };
        let (outcome, look) = match self.prepare() {
            Ok((url, from)) => {
                let mut session =
                    Session { url: &url, secrets: &self.press.secrets, from, secret: None };
                match self.push(&ledger, &mut session) {
                    Ok((outcome, look)) => (outcome, Some(look)),
                    Err(fault) => (session.failure(&fault), None),
                }
            }
            Err(fault) => (failure(&fault), None),
        };
        if self.is_stopping() && matches!(outcome, Outcome::Failed(..)) {
            return Ok(None); // it was cut here
        }
        let now = self.press.clock.now();
        let chance = random_bytes::<1>().map_or(u8::MAX, |[byte]| byte);
        let timing = Timing { now, pace: self.pace, chance };
        match ledger.record(&outcome, look.as_ref(), timing) {
            Ok(state) => Ok(state.map(|state| (outcome, state))),
            Err(Fault::Obsolete) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// What was stored is checked again: the configuration may have changed since.
    fn prepare(&self) -> Result<(MirrorUrl, Option<SecretRef>), Fault> {
        let url = MirrorUrl::parse(&self.mirror.url, self.plain_http);
        let url = url.map_err(|e| Fault::Settings(e.to_string()))?;
        let from = self.mirror.credential.as_deref().map(str::parse).transpose();
        Ok((url, from.map_err(|e: InvalidRef| Fault::Settings(format!("the credential: {e}")))?))
    }

    fn push(
        &self,
        ledger: &Ledger<'_>,
        session: &mut Session<'_>,
    ) -> Result<(Outcome, Look), Fault> {
        session.renew(false)?;
        let seen = self.refs(session)?;
        let look = ledger.look(&seen)?;
        match look.step {
            Step::Push(push) => self.send(ledger, session, *push),
            _ => Ok(reached(look)),
        }
    }

    /// Sends one push. What counts afterwards is what the remote shows: it may have taken in a push
    /// whose answer was lost, and refused one that it answered well.
    fn send(
        &self,
        ledger: &Ledger<'_>,
        session: &Session<'_>,
        push: Push,
    ) -> Result<(Outcome, Look), Fault> {
        let commands = push.commands().to_vec();
        tracing::debug!(refs = commands.len(), objects = push.objects(), "pushing");
        ledger.intend(&commands)?;
        if self.is_stopping() {
            return Err(Fault::Obsolete);
        }
        let remote = session.remote(self.client, &self.mirror.username);
        let side_band = push.side_band();
        let (store, uid) = (&self.press.store, self.tenant.uid);
        let mut body = Outgoing::new(store, uid, self.stopping, push.request());
        let answer = remote.push(&mut body, side_band);
        let seen = match remote.refs() {
            Ok(seen) => seen,
            Err(fault) => return Err(answer.err().unwrap_or(fault)),
        };
        let look = ledger.look(&seen)?;
        if seen.shows(&commands) || matches!(look.step, Step::Diverged(_)) {
            return Ok(reached(look));
        }
        let fault = answer.map_or_else(|fault| fault, |report| rejection(&report, &commands));
        Ok((session.failure(&fault), look)) // some of it may have come through
    }

    /// Reads the remote's refs; once more when it refuses the credential and another is there by now.
    fn refs(&self, session: &mut Session<'_>) -> Result<Advertisement, Fault> {
        let ask = |session: &Session<'_>| session.remote(self.client, &self.mirror.username).refs();
        match ask(session) {
            Err(fault) if fault.is_about_credential() => {
                if session.renew(true)? {
                    ask(session)
                } else {
                    Err(fault)
                }
            }
            other => other,
        }
    }
}

/// What a look at the remote says about where the mirror stands.
fn reached(look: Look) -> (Outcome, Look) {
    let outcome = match &look.step {
        Step::UpToDate => Outcome::Settled,
        Step::Push(_) => Outcome::Progress,
        Step::Diverged(found) => Outcome::Diverged(found.clone()),
    };
    (outcome, look)
}

fn failure(fault: &Fault) -> Outcome {
    Outcome::Failed(fault.consequence(), fault.text())
}

impl Session<'_> {
    /// Reads the credential as it is now, after a refusal from where it is; whether it is another than
    /// before.
    fn renew(&mut self, refused: bool) -> Result<bool, Fault> {
        let Some(from) = &self.from else { return Ok(false) };
        let read = if refused { self.secrets.read_anew(from) } else { self.secrets.read(from) };
        let now = Some(read.map_err(|e| Fault::Credential(e.to_string()))?);
        let changed = now != self.secret;
        self.secret = now;
        Ok(changed)
    }

    fn remote<'a>(&'a self, client: &'a Client, username: &str) -> Remote<'a> {
        let authorization = self.secret.as_ref().map(|secret| secret.basic(username));
        Remote { client, url: self.url, authorization }
    }

    /// A remote may repeat what it was sent; the secret is taken out of its words.
    fn failure(&self, fault: &Fault) -> Outcome {
        let text = fault.text();
        let text = self.secret.as_ref().map_or_else(|| text.clone(), |secret| secret.blot(&text));
        Outcome::Failed(fault.consequence(), text)
    }
}
