//! By whom something is done.

use colophon_model::audit::{Act, Action, Actor, ActorKind, Origin, Outcome, Subject};

use crate::caller::{Caller, Who};

/// By whom something is done, and from where. Whatever changes something is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    actor: Actor,
    origin: Option<Origin>,
}

impl By {
    /// Somebody on the server's machine, with the data directory at hand.
    pub fn local() -> Self {
        Self { actor: Actor::new(ActorKind::Local, ""), origin: None }
    }

    /// A job of the server itself.
    pub fn system(job: &str) -> Self {
        Self { actor: Actor::system(job), origin: None }
    }

    /// Somebody without a good credential.
    pub fn unknown(origin: Option<Origin>) -> Self {
        Self { actor: Actor::new(ActorKind::Unknown, ""), origin }
    }

    /// Whoever asked over HTTP, from `origin`.
    pub fn caller(caller: &Caller, origin: Option<Origin>) -> Self {
        let actor = match &caller.who {
            Who::Operator => Actor::new(ActorKind::Operator, ""),
            Who::Token { id, .. } => Actor::new(ActorKind::Token, id.clone()),
            Who::Webhook { key } => Actor::new(ActorKind::Webhook, key.clone()),
            Who::SignedUrl => Actor::new(ActorKind::Url, ""),
        };
        Self { actor, origin }
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
