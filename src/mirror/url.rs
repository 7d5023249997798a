//! Where a mirror is.

use std::fmt;
use std::net::IpAddr;

use ureq::http::Uri;

/// URL of an upstream repository: `https://`, without credentials, query or fragment. Plain `http://`
/// on this machine alone, unless the configuration allows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorUrl(String);

/// Longest URL, in bytes.
const LONGEST: usize = 1024;

/// Why a text is not the URL of a mirror.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// It is no URL at all, or too long.
    #[error(
        "the URL is not one of at most {LONGEST} bytes, such as `https://github.com/acme/flows.git`"
    )]
    Malformed,
    /// Nothing protects the credential on its way.
    #[error(
        "the URL must begin with `https://`; `http://` is for this machine, or for a trusted network with \
         `mirror.plain_http` in the configuration"
    )]
    Scheme,
    /// A URL is shown and logged.
    #[error(
        "the URL holds a user name or password; give them with `--username` and `--credential`"
    )]
    Credentials,
    /// A repository is named by a path alone.
    #[error("the URL must name a repository by its path, without `?` or `#`")]
    Path,
}

impl MirrorUrl {
    /// Checks a URL; `plain_http` allows `http://` to other machines.
    pub fn parse(text: &str, plain_http: bool) -> Result<Self, InvalidUrl> {
        let text = text.trim_end_matches('/');
        if text.contains('#') {
            return Err(InvalidUrl::Path);
        }
        let uri: Uri = text.parse().map_err(|_| InvalidUrl::Malformed)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(InvalidUrl::Malformed);
        };
        if text.len() > LONGEST || authority.host().is_empty() {
            return Err(InvalidUrl::Malformed);
        }
        if authority.as_str().contains('@') {
            return Err(InvalidUrl::Credentials);
        }
        let path = uri.path();
        if uri.query().is_some() || path == "/" {
            return Err(InvalidUrl::Path);
        }
        let is_safe = match scheme {
            "https" => true,
            "http" => plain_http || is_loopback(authority.host()),
            _ => false,
        };
        if !is_safe {
            return Err(InvalidUrl::Scheme);
        }
        Ok(Self(format!("{scheme}://{}{path}", authority.as_str().to_ascii_lowercase())))
    }

    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What two spellings of one repository have in common on most forges.
    pub fn identity(&self) -> String {
        self.0.strip_suffix(".git").unwrap_or(&self.0).to_ascii_lowercase()
    }
}

impl fmt::Display for MirrorUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_loopback(host: &str) -> bool {
    let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    host.eq_ignore_ascii_case("localhost") || address.is_some_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, InvalidUrl> {
        MirrorUrl::parse(text, false).map(|url| url.0)
    }

    #[test]
    fn urls_are_accepted_as_they_are_pushed_to() {
        let plain = "https://github.com/acme/Flows.git";
        assert_eq!(parse(plain).unwrap(), plain);
        assert_eq!(parse("https://GitHub.com/acme/Flows.git/").unwrap(), plain);
        for local in ["http://127.0.0.1:3000/a.git", "http://[::1]:1/a", "http://localhost/a"] {
            assert_eq!(parse(local).unwrap(), local);
        }
        let inside = "http://gitea.internal/a";
        assert_eq!(MirrorUrl::parse(inside, true).unwrap().as_str(), inside);
        let id = |text| MirrorUrl::parse(text, false).unwrap().identity();
        assert_eq!(id(plain), id("https://github.com/Acme/flows"));
    }

    #[test]
    fn what_would_leak_or_cannot_be_a_repository_is_refused() {
        for (bad, why) in [
            ("", InvalidUrl::Malformed),
            ("github.com/acme", InvalidUrl::Malformed),
            ("/acme", InvalidUrl::Malformed),
            ("https://", InvalidUrl::Malformed),
            ("https://a b/c", InvalidUrl::Malformed),
            ("http://gitea.internal/a", InvalidUrl::Scheme),
            ("http://127.0.0.1.evil.example/a", InvalidUrl::Scheme),
            ("ssh://git@github.com/a", InvalidUrl::Credentials),
            ("ssh://github.com/a", InvalidUrl::Scheme),
            ("file://host/a", InvalidUrl::Scheme),
            ("https://token@github.com/a", InvalidUrl::Credentials),
            ("https://u:p@github.com/a", InvalidUrl::Credentials),
            ("https://github.com", InvalidUrl::Path),
            ("https://github.com/", InvalidUrl::Path),
            ("https://github.com/a?x=1", InvalidUrl::Path),
            ("https://github.com/a#x", InvalidUrl::Path),
        ] {
            assert_eq!(parse(bad), Err(why), "{bad}");
        }
        assert_eq!(parse(&format!("https://a/{}", "x".repeat(2_000))), Err(InvalidUrl::Malformed));
    }
}
