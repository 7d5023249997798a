//! Looks up where a name leads, and lets only addresses through that may be sent to. The connection is made
//! to what comes out of here, so nothing can change between the check and the use of an address (no DNS
//! rebinding). A literal address in a URL goes through here too.

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::policy::{Forbidden, Policy};

/// A resolver behind a policy.
#[derive(Debug)]
pub(super) struct Guarded<R> {
    pub(super) policy: Policy,
    pub(super) inner: R,
}

impl<R: Resolver> Resolver for Guarded<R> {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let host = uri.host().unwrap_or_default();
        let all = self.inner.resolve(uri, config, timeout)?;
        let (mut good, mut refused) = (self.empty(), None::<Forbidden>);
        for address in &all {
            match self.policy.check(host, *address) {
                Ok(()) => good.push(*address),
                Err(why) => refused = refused.or(Some(why)),
            }
        }
        match refused {
            _ if !good.is_empty() => Ok(good),
            Some(why) => Err(Error::Other(Box::new(why))),
            None => Err(Error::HostNotFound),
        }
    }
}

/// What the guard said, if it was it that ended a request.
pub(super) fn forbidden(error: &Error) -> Option<&Forbidden> {
    match error {
        Error::Other(why) => why.downcast_ref(),
        _ => None,
    }
}
