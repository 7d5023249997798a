//! URLs of endpoints.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ureq::http::Uri;

use super::policy::{Forbidden, Policy, is_name};

/// Longest URL, in bytes.
const LONGEST: usize = 1024;

/// URL of an endpoint: `https://`, without credentials or fragment, to a host that may be sent to as far as
/// the URL tells. Plain `http://` if the configuration allows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointUrl(String);

/// Why a text is not the URL of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// It is no URL at all, or too long.
    #[error(
        "the URL is not one of at most {LONGEST} bytes, such as `https://runner.example/hooks/colophon`"
    )]
    Malformed,
    /// Nothing protects what is sent.
    #[error(
        "the URL must begin with `https://`; `http://` is for trusted networks, with `outbound.plain_http` in \
         the configuration"
    )]
    Scheme,
    /// A URL is shown and logged.
    #[error("the URL holds a user name or password; a receiver checks the signature instead")]
    Credentials,
    /// The host is neither a name nor an address as it is usually written.
    #[error("`{0}` is neither the name of a host nor an IP address in its usual form")]
    Host(String),
    /// It must not be sent to.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
}

impl EndpointUrl {
    /// Checks a URL against `policy`. Where a name leads is not looked up here: that is checked whenever
    /// something is sent.
    pub fn parse(text: &str, policy: &Policy) -> Result<Self, InvalidUrl> {
        if text.len() > LONGEST || text.contains('#') {
            return Err(InvalidUrl::Malformed);
        }
        let uri: Uri = text.parse().map_err(|_| InvalidUrl::Malformed)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(InvalidUrl::Malformed);
        };
        if authority.as_str().contains('@') {
            return Err(InvalidUrl::Credentials);
        }
        let usual = match scheme {
            "https" => 443,
            "http" if policy.plain_http() => 80,
            _ => return Err(InvalidUrl::Scheme),
        };
        let host = authority.host();
        let port = match authority.as_str().strip_prefix(host) {
            Some("") => usual,
            Some(_) => authority.port_u16().ok_or(InvalidUrl::Malformed)?,
            None => return Err(InvalidUrl::Malformed),
        };
        check(host, port, policy)?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let authority = authority.as_str().to_ascii_lowercase();
        Ok(Self(format!("{scheme}://{authority}{path}")))
    }

    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A name may lead to any address, of which only the port is known.
fn check(host: &str, port: u16, policy: &Policy) -> Result<(), InvalidUrl> {
    let literal = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').and_then(|text| text.parse().ok()).map(IpAddr::V6),
        None => host.parse().ok().map(IpAddr::V4),
    };
    match literal {
        Some(address) => policy.check(host, SocketAddr::new(address, port))?,
        None if !is_name(host) => return Err(InvalidUrl::Host(host.to_owned())),
        None => {}
    }
    Ok(())
}

impl fmt::Display for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::policy::tests::policy;
    use super::*;

    fn parse(text: &str) -> Result<String, InvalidUrl> {
        EndpointUrl::parse(text, &policy(&[], false)).map(|url| url.0)
    }

    #[test]
    fn urls_are_kept_as_they_are_sent_to() {
        let plain = "https://runner.example/Hooks?x=Y";
        assert_eq!(parse(plain).unwrap(), plain);
        assert_eq!(parse("HTTPS://Runner.Example/Hooks?x=Y").unwrap(), plain);
        assert_eq!(parse("https://runner.example").unwrap(), "https://runner.example/");
        for good in
            ["https://8.8.8.8/x", "https://[2606:4700:4700::1111]:8443/x", "https://x:8443/"]
        {
            assert_eq!(parse(good).unwrap(), good);
        }
        let inside = policy(&["10.0.0.0/8", "runner.internal"], true);
        for good in ["http://10.1.2.3:8000/x", "http://runner.internal/x", "https://10.0.0.1/"] {
            assert_eq!(EndpointUrl::parse(good, &inside).unwrap().as_str(), good);
        }
    }

    #[test]
    fn what_gives_something_away_is_refused() {
        for bad in ["https://user@x/", "https://user:pass@x/", "https://8.8.8.8@127.0.0.1/"] {
            assert_eq!(parse(bad), Err(InvalidUrl::Credentials), "{bad}");
        }
        for bad in ["http://runner.example/x", "ftp://x/", "file://x/y", "gopher://x/", "ws://x/"] {
            assert_eq!(parse(bad), Err(InvalidUrl::Scheme), "{bad}");
        }
        let long = format!("https://x/{}", "x".repeat(2_000));
        for bad in
            ["", "x", "/x", "https://", "https://x/#y", "https://a b/", "https://x:99999/", &long]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    /// Every spelling that some resolver reads as 127.0.0.1 or another address inside.
    #[test]
    fn odd_spellings_of_addresses_are_refused() {
        for bad in [
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0x7f.0.0.1/",
            "https://0177.0.0.1/",
            "https://127.1/",
            "https://127.0.1/",
            "https://0/",
            "https://0x/",
            "https://017700000001/",
            "https://127.0.0.1./",
            "https://1.1.1.1.1/",
            "https://256.1.1.1/",
            "https://x.0x7f/",
            "https://127%2e0%2e0%2e1/",
            "https://[::1%25lo]/",
            "https://[127.0.0.1]/",
        ] {
            let refused = parse(bad);
            let is_host = matches!(refused, Err(InvalidUrl::Host(_) | InvalidUrl::Malformed));
            assert!(is_host, "{bad}: {refused:?}");
        }
        for bad in [
            "https://127.0.0.1/",
            "https://10.0.0.1/",
            "https://169.254.169.254/latest/meta-data/",
            "https://100.100.100.200/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:7f00:1]/",
            "https://[64:ff9b::7f00:1]/",
            "https://[2002:7f00:1::]/",
            "https://[fd00:ec2::254]/",
            "https://[fe80::1]/",
            "https://0.0.0.0/",
            "https://8.8.8.8:25/",
        ] {
            assert!(matches!(parse(bad), Err(InvalidUrl::Forbidden(_))), "{bad}: {:?}", parse(bad));
        }
    }
}
