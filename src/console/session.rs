//! Who is logged in. Sessions live in memory: the end of the server ends them all.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use colophon_model::{Sha256, UnixMillis};

use crate::keys::random_bytes;
use crate::tokens::TokenKind;

/// A session's life, in milliseconds: 8 hours.
pub const LONGEST: u64 = 8 * 60 * 60 * 1000;
/// A session that nobody used for this long ends, in milliseconds: an hour.
const IDLE: u64 = 60 * 60 * 1000;
/// Sessions at a time. When there are more, the one that was unused the longest ends.
const MOST: usize = 1_000;

/// By what token somebody logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// The operator's.
    Operator,
    /// A tenant's; what it grants is looked up for each request.
    Token {
        /// SHA-256 of the token.
        digest: Sha256,
        /// What its prefix says.
        kind: TokenKind,
    },
}

/// Somebody who is logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// By what token.
    pub holder: Holder,
    /// What every form of theirs carries, so that no other site can post one for them.
    pub form_key: String,
    began: UnixMillis,
    used: UnixMillis,
}

/// The sessions, by the SHA-256 of what the cookie holds: whoever reads this memory has no cookie.
#[derive(Debug, Default)]
pub struct Sessions(Mutex<HashMap<Sha256, Session>>);

/// Whether a request is an act of a person, which keeps a session alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// A page was asked for.
    ByPerson,
    /// The script of a page looked for news.
    ByScript,
}

impl Sessions {
    /// Begins a session, and returns what the cookie is to hold.
    ///
    /// # Errors
    /// When the operating system has no random bytes.
    pub fn begin(&self, holder: Holder, now: UnixMillis) -> Result<String, getrandom::Error> {
        let (cookie, form_key) = (hex::encode(random_bytes::<32>()?), secret()?);
        let mut sessions = self.lock();
        sessions.retain(|_, session| session.is_alive(now));
        if sessions.len() >= MOST {
            let oldest = sessions.iter().min_by_key(|(_, session)| session.used);
            let oldest = oldest.map(|(name, _)| *name);
            oldest.and_then(|oldest| sessions.remove(&oldest));
        }
        let session = Session { holder, form_key, began: now, used: now };
        sessions.insert(name(&cookie), session);
        Ok(cookie)
    }

    /// The session of this cookie, if it is alive at `now`.
    pub fn find(&self, cookie: &str, now: UnixMillis, by: Use) -> Option<Session> {
        let (mut sessions, name) = (self.lock(), name(cookie));
        let session = sessions.get_mut(&name)?;
        if !session.is_alive(now) {
            sessions.remove(&name);
            return None;
        }
        if by == Use::ByPerson {
            session.used = now;
        }
        Some(session.clone())
    }

    /// Ends the session of this cookie.
    pub fn end(&self, cookie: &str) {
        self.lock().remove(&name(cookie));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Sha256, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn is_alive(&self, now: UnixMillis) -> bool {
        now < self.began.plus(LONGEST) && now < self.used.plus(IDLE)
    }
}

/// 128 random bits in hex: the key of a form.
///
/// # Errors
/// When the operating system has no random bytes.
pub fn secret() -> Result<String, getrandom::Error> {
    random_bytes::<16>().map(hex::encode)
}

fn name(cookie: &str) -> Sha256 {
    Sha256::of(cookie.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> UnixMillis {
        UnixMillis::new(millis)
    }

    #[test]
    fn a_session_ends_unused_and_at_last_and_when_told_to() {
        let sessions = Sessions::default();
        let cookie = sessions.begin(Holder::Operator, at(0)).unwrap();
        let found = |now, by| sessions.find(&cookie, at(now), by).is_some();
        assert!(found(IDLE - 1, Use::ByPerson));
        assert!(found(2 * IDLE - 2, Use::ByScript), "used since");
        assert!(!found(2 * IDLE - 1, Use::ByScript), "a script keeps nothing alive");
        let cookie = sessions.begin(Holder::Operator, at(0)).unwrap();
        let found = |now| sessions.find(&cookie, at(now), Use::ByPerson).is_some();
        assert!((0..LONGEST / 1000).step_by(600).all(|second| found(second * 1000)));
        assert!(!found(LONGEST), "used or not");
        let cookie = sessions.begin(Holder::Operator, at(0)).unwrap();
        sessions.end(&cookie);
        assert!(sessions.find(&cookie, at(1), Use::ByPerson).is_none());
    }

    #[test]
    fn a_cookie_that_is_made_up_is_no_session_and_memory_is_bounded() {
        let sessions = Sessions::default();
        let first = sessions.begin(Holder::Operator, at(0)).unwrap();
        assert!(sessions.find(&"0".repeat(64), at(1), Use::ByPerson).is_none());
        for n in 1..=MOST as u64 {
            sessions.begin(Holder::Operator, at(n)).unwrap();
        }
        assert_eq!(sessions.lock().len(), MOST);
        assert!(sessions.find(&first, at(1), Use::ByPerson).is_none(), "the oldest went");
    }
}
