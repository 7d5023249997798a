//! Packs that take little work: whoever has nothing else under way gets them from the thread that answers, and waits for
//! no other to wake up.
//!
//! That a pack takes little is known from the last time that the same was asked for. It holds the same objects again when
//! it names them by their ids. Tags that come along, and refs that are asked for by name, grow build by build; each answer
//! is measured, so the first that takes long is the last that is made here.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::HeaderMap;
use colophon_model::{Digest, TenantUid};
use colophon_store::Store;
use rustix::time::{ClockId, clock_gettime};

use super::git_stream::Answer;
use crate::app::App;
use crate::fair::{Share, Turn};
use crate::recall::Recall;

/// What a thread that answers may do for one request.
const BRIEF: Duration = Duration::from_millis(1);

/// The longest request that is looked at, in bytes. One that lists so much takes long by itself.
const MOST: usize = 64 * 1024;

const PROTOCOL: &str = "git-protocol";
const ENCODING: &str = "content-encoding";

/// A request for a pack, by everything that its answer depends on but the repository's history.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    tenant: TenantUid,
    /// None for one that is too long.
    digest: Option<Digest>,
}

impl Asked {
    pub(super) fn new(tenant: TenantUid, repo: &str, headers: &HeaderMap, body: &Bytes) -> Self {
        let value = |name: &str| headers.get(name).map_or(&b""[..], |value| value.as_bytes());
        let parts = [repo.as_bytes(), value(PROTOCOL), value(ENCODING), body];
        if parts.iter().map(|part| part.len()).sum::<usize>() > MOST {
            return Self { tenant, digest: None };
        }
        let mut bytes = Vec::new();
        for part in parts {
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
            bytes.extend_from_slice(part);
        }
        Self { tenant, digest: Some(Digest::of(&bytes)) }
    }

    /// A turn to answer on the thread at hand, for what took little the last time.
    pub(super) fn turn(self, app: &App) -> Option<Turn> {
        let is_brief = app.press.recall.is_brief(self.tenant, self.digest?);
        is_brief.then(|| app.reads.alone(Share::Tenant(self.tenant))).flatten()
    }

    /// Makes the answer, and remembers whether it is a pack that took little. A list of refs grows with the builds, so
    /// that what it took says nothing of the next time.
    pub(super) fn answer<E>(
        self,
        (recall, store): (&Recall, &Store),
        make: impl FnOnce() -> Result<Answer, E>,
    ) -> Result<Answer, E> {
        let (era, start) = (store.era(), worked());
        let answer = make()?;
        let is_brief = answer.is_whole_pack() && worked().saturating_sub(start) <= BRIEF;
        if let Some(digest) = self.digest {
            recall.keep_brief((store, era), (self.tenant, digest), is_brief);
        }
        Ok(answer)
    }
}

/// For how long the thread at hand has had a processor.
fn worked() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::config;

    const TENANT: TenantUid = TenantUid::from_bytes([1; 16]);

    fn asked(tenant: TenantUid, repo: &str, protocol: &'static str, body: &'static str) -> Asked {
        let mut headers = HeaderMap::new();
        headers.insert(PROTOCOL, protocol.parse().unwrap());
        Asked::new(tenant, repo, &headers, &Bytes::from_static(body.as_bytes()))
    }

    /// Two requests that may be answered differently must not share what is known of one.
    #[test]
    fn requests_are_told_apart_by_all_that_is_in_them() {
        let one = asked(TENANT, "a.git", "version=2", "want").digest;
        assert_eq!(one, asked(TENANT, "a.git", "version=2", "want").digest);
        for other in [
            asked(TENANT, "a+all.git", "version=2", "want"),
            asked(TENANT, "a.git", "version=1", "want"),
            asked(TENANT, "a.git", "version=2", "wants"),
            asked(TENANT, "a.gitv", "ersion=2", "want"),
        ] {
            assert_ne!(one, other.digest);
        }
        let long = Bytes::from(vec![b'x'; MOST + 1]);
        assert!(Asked::new(TENANT, "a.git", &HeaderMap::new(), &long).digest.is_none());
    }

    /// What takes long, is not all there, or is no pack must not hold up a thread that answers others.
    #[test]
    fn only_a_whole_pack_that_took_little_is_brief() {
        let recall = Recall::new(&config::Edge::default());
        let store = Store::in_memory().unwrap();
        let pack = asked(TENANT, "a.git", "version=2", "want");
        let digest = pack.digest.unwrap();
        let is_brief_after = |has_pack: bool, work: Duration| {
            let answer = pack.answer((&recall, &store), || {
                let start = worked();
                while worked().saturating_sub(start) < work {}
                let (head, refs) = (Vec::new(), Vec::new());
                Ok::<_, Infallible>(Answer { uid: TENANT, head, refs, has_pack, pack: None })
            });
            assert!(answer.is_ok());
            recall.is_brief(TENANT, digest)
        };
        assert!(!is_brief_after(false, Duration::ZERO), "a list of refs");
        assert!(is_brief_after(true, Duration::ZERO));
        let other = TenantUid::from_bytes([2; 16]);
        assert!(!recall.is_brief(other, digest), "it is one tenant's");
        assert!(!is_brief_after(true, BRIEF), "it became long");
        assert!(is_brief_after(true, Duration::ZERO));
        recall.forget(TENANT);
        assert!(!recall.is_brief(TENANT, digest));
    }
}
