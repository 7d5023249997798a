//! When tokens were used last, roughly: noted in memory by requests, written now and then by the
//! server's upkeep. What a crash loses is not missed.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use colophon_model::{Sha256, TenantUid, UnixMillis};
use colophon_store::rows::{TokenRow, TokenUsed};
use colophon_store::{Change, CommitError, Store};

/// A use is noted when the one noted before is older, in milliseconds: an hour.
const COARSE: u64 = 60 * 60 * 1000;
/// Uses that one transaction writes.
const BATCH: usize = 256;

/// The last uses of tokens that this process has seen.
#[derive(Debug, Default)]
pub struct Usage(Mutex<HashMap<Sha256, Noted>>);

#[derive(Debug, Clone, Copy)]
struct Noted {
    tenant: TenantUid,
    at: UnixMillis,
    written: bool,
}

impl Usage {
    /// Notes that the token with this digest, which is one of `tenant`, is used at `now`. Only tokens
    /// that are known and good are noted, and what was written is forgotten within some hours.
    pub fn note(&self, token: Sha256, tenant: TenantUid, now: UnixMillis) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = |before: &Noted| now.get().saturating_sub(before.at.get()) < COARSE;
        if !noted.get(&token).is_some_and(fresh) {
            noted.insert(token, Noted { tenant, at: now, written: false });
        }
    }

    /// When the token was noted last by this process.
    pub fn last(&self, token: &Sha256) -> Option<UnixMillis> {
        let noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.get(token).map(|noted| noted.at)
    }

    /// Writes what was noted and is not written. Tokens that are gone are forgotten. Returns how many
    /// uses were written; what could not be is tried again the next time.
    pub fn flush(&self, store: &Store) -> Result<u64, colophon_store::Error> {
        let open: Vec<(Sha256, Noted)> = {
            let noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            noted.iter().filter(|(_, one)| !one.written).map(|(key, one)| (*key, *one)).collect()
        };
        let mut written = 0;
        for batch in open.chunks(BATCH) {
            let (change, there, gone) = gather(store, batch)?;
            match store.commit(change) {
                Ok(()) => written += there.len() as u64,
                // A token was taken back meanwhile, or there is no room: later.
                Err(CommitError::Conflict(_) | CommitError::Full { .. }) => continue,
                Err(error) => return Err(error.into()),
            }
            self.settle(&there, &gone);
        }
        self.forget_old();
        Ok(written)
    }

    /// What is written and would be noted anew says no more than the store does.
    fn forget_old(&self) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = noted.values().map(|one| one.at.get()).max().unwrap_or_default();
        noted.retain(|_, one| !one.written || newest - one.at.get() < COARSE);
    }

    fn settle(&self, written: &[(Sha256, UnixMillis)], gone: &[Sha256]) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, at) in written {
            if let Some(one) = noted.get_mut(key).filter(|one| one.at == *at) {
                one.written = true;
            }
        }
        for key in gone {
            noted.remove(key);
        }
    }
}

type Gathered = (Change, Vec<(Sha256, UnixMillis)>, Vec<Sha256>);

/// The change that writes `batch`, what is in it, and which tokens are gone. A use must not outlive
/// its token: the token is checked with it.
fn gather(store: &Store, batch: &[(Sha256, Noted)]) -> Result<Gathered, colophon_store::Error> {
    let (view, mut change) = (store.view()?, Change::new());
    let (mut there, mut gone) = (Vec::new(), Vec::new());
    for (key, Noted { tenant, at, .. }) in batch {
        let Some(row) = view.get::<TokenRow>(key)? else {
            gone.push(*key);
            continue;
        };
        change.expect(key, Some(&row)).put(&(*tenant, *key), &TokenUsed { at: *at });
        there.push((*key, *at));
    }
    Ok((change, there, gone))
}

#[cfg(test)]
mod tests {
    use colophon_store::Store;

    use super::*;

    fn row(token: Sha256) -> TokenRow {
        TokenRow {
            id: token.to_string()[..12].to_owned(),
            tenant: TenantUid::from_bytes([1; 16]),
            scopes: vec!["git".to_owned()],
            label: String::new(),
            created: UnixMillis::new(0),
            expires: UnixMillis::new(1),
            kind: None,
            target: None,
            successor: None,
        }
    }

    /// However often a token is used, it costs one write an hour.
    #[test]
    fn a_use_is_written_once_an_hour_and_not_after_its_token() {
        let (store, usage) = (Store::in_memory().unwrap(), Usage::default());
        let (known, gone) = (Sha256::of(b"known"), Sha256::of(b"gone"));
        let tenant = TenantUid::from_bytes([1; 16]);
        let mut change = Change::new();
        change.put(&known, &row(known));
        store.commit(change).unwrap();
        let start = 10 * COARSE;
        for millis in [0, 1, COARSE - 1] {
            usage.note(known, tenant, UnixMillis::new(start + millis));
        }
        usage.note(gone, tenant, UnixMillis::new(start));
        assert_eq!(usage.flush(&store).unwrap(), 1);
        assert_eq!(usage.flush(&store).unwrap(), 0, "it is written once");
        assert_eq!(usage.last(&gone), None, "what is gone is forgotten");
        let stored = || store.view().unwrap().get::<TokenUsed>(&(tenant, known)).unwrap().unwrap();
        assert_eq!(stored().at, UnixMillis::new(start));
        usage.note(known, tenant, UnixMillis::new(start + COARSE));
        assert_eq!(usage.flush(&store).unwrap(), 1);
        assert_eq!(stored().at, UnixMillis::new(start + COARSE));
        assert!(usage.last(&known).is_some());
        let other = Sha256::of(b"other");
        let mut change = Change::new();
        change.put(&other, &row(other));
        store.commit(change).unwrap();
        usage.note(other, tenant, UnixMillis::new(start + 2 * COARSE));
        usage.flush(&store).unwrap();
        assert_eq!(usage.last(&known), None, "the store alone knows it now");
        assert!(usage.last(&other).is_some());
        assert!(store.view().unwrap().get::<TokenUsed>(&(tenant, gone)).unwrap().is_none());
    }
}
