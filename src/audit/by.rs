//! By whom something is done.

use colophon_model::audit::{Act, Action, Actor, ActorKind, Chain, Origin, Outcome, Subject};

use super::gather::Key;
use crate::caller::{Caller, Who};
use crate::keys::random_bytes;
use crate::telemetry::request::About;

tokio::task_local! {
    static JOB: &'static str;
}

/// By whom something is done, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    actor: Actor,
    origin: Option<Origin>,
}

impl By {
    /// Whoever made the request that is being answered here; else the job of the server that runs here; else
    /// somebody on the server's machine, with the data directory at hand.
    pub fn here() -> Self {
        if let Some(about) = About::current() {
            return Self::request(&about);
        }
        let actor = match JOB.try_with(|job| *job) {
            Ok(job) => Actor::system(job),
            Err(_) => Actor::new(ActorKind::Local, ""),
        };
        Self { actor, origin: None }
    }

    /// Whoever made a request.
    pub fn request(about: &About) -> Self {
        Self { actor: who(about), origin: origin(about) }
    }

    /// What tells this act of whoever made the request that is being answered here from others, without what
    /// only the first of its kind is asked for.
    pub(super) fn kind_here(chain: Chain, what: (Action, Subject)) -> Option<Key> {
        let about = About::current()?;
        let address = about.remote().map(|address| address.to_string());
        Some(Key::done(chain, who(&about), address, what))
    }

    /// That they have done `action` to `subject`.
    pub fn did(&self, action: Action, subject: Subject) -> Act {
        Act::done(self.actor.clone(), action, subject).from(self.origin.clone())
    }

    /// That they wanted to, and it was refused with the problem of that code.
    pub fn was_refused(&self, action: Action, subject: Subject, code: &str) -> Act {
        self.did(action, subject).came_to(Outcome::Refused(code.to_owned()))
    }
}

/// Runs `work` as a job of the server, which then did what is done in it.
pub fn as_job<T>(job: &'static str, work: impl FnOnce() -> T) -> T {
    JOB.sync_scope(job, work)
}

fn who(about: &About) -> Actor {
    about.caller().map_or_else(|| Actor::new(ActorKind::Unknown, ""), actor)
}

fn actor(caller: &Caller) -> Actor {
    match &caller.who {
        Who::Operator => Actor::new(ActorKind::Operator, ""),
        Who::Token { id, .. } => Actor::new(ActorKind::Token, id.clone()),
        Who::Webhook { key } => Actor::new(ActorKind::Webhook, key.clone()),
        Who::SignedUrl => Actor::new(ActorKind::Url, ""),
    }
}

/// Where a request came from, as far as that is known.
fn origin(about: &About) -> Option<Origin> {
    Some(Origin {
        address: about.remote()?.to_string(),
        agent: about.agent().to_owned(),
        salt: hex::encode(random_bytes::<16>().ok()?),
        trace: about.trace().to_owned(),
    })
}
