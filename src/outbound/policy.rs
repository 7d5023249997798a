//! Where events may be sent: what keeps a tenant from having the server ask machines that only it reaches
//! (server-side request forgery).
//!
//! It is asked twice: about a URL when an endpoint is set, and about each address that a name leads to,
//! right before that very address is connected to (`resolver.rs`).

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::address::is_public;
use crate::config;

/// A network or a host that the operator lets endpoints be in: `10.0.0.0/8`, `fd00::/8`, `10.1.2.3`,
/// `runner.internal`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Allowed {
    /// Every address of a network.
    Network(IpNet),
    /// A host of this name, in lower case, wherever the name leads.
    Host(String),
}

/// A text that is neither a network nor the name of a host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is neither a network, such as `10.0.0.0/8`, nor the name of a host, such as `runner.internal`"
)]
pub struct InvalidAllowed(String);

impl FromStr for Allowed {
    type Err = InvalidAllowed;

    fn from_str(text: &str) -> Result<Self, InvalidAllowed> {
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(Self::Network(network.trunc()));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Network(address.into()));
        }
        let host = text.trim_end_matches('.').to_ascii_lowercase();
        if is_name(&host) { Ok(Self::Host(host)) } else { Err(InvalidAllowed(text.to_owned())) }
    }
}

impl TryFrom<String> for Allowed {
    type Error = InvalidAllowed;

    fn try_from(text: String) -> Result<Self, InvalidAllowed> {
        text.parse()
    }
}

impl From<Allowed> for String {
    fn from(allowed: Allowed) -> Self {
        allowed.to_string()
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => write!(f, "{network}"),
            Self::Host(host) => f.write_str(host),
        }
    }
}

/// Whether a text is the name of a host, and no spelling of an address: labels of letters, digits, `-` and
/// `_`, of which the last is no number. Libraries read `127.1`, `0x7f.1`, `0177.0.0.1` and `2130706433` as
/// addresses (WHATWG URL §3.5, "ends in a number").
pub(super) fn is_name(host: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let is_label = |l: &str| (1..=63).contains(&l.len()) && l.bytes().all(plain);
    let host = host.strip_suffix('.').unwrap_or(host);
    let last = host.rsplit('.').next().unwrap_or_default();
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    let is_number = last.bytes().all(|b| b.is_ascii_digit())
        || hex.is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
    host.len() <= 253 && host.split('.').all(is_label) && !is_number
}

/// Why something is not sent somewhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// The address is none of the Internet's.
    #[error(
        "`{0}` is not a public address; the operator can let endpoints be there with `outbound.allow` in the \
         configuration"
    )]
    Address(IpAddr),
    /// The port is that of something else.
    #[error("port {0} is not sent to; the operator can change that with `outbound.ports`")]
    Port(u16),
}

/// Where events may be sent.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    allow: Vec<Allowed>,
    ports: Vec<u16>,
    plain_http: bool,
}

/// Ports above 1024 on which something else than HTTP listens, as browsers know them (Fetch §2.9, "bad
/// port"), and databases.
const OTHERS: &[u16] = &[
    1433, 1521, 1719, 1720, 1723, 2049, 2375, 2379, 2380, 3306, 3389, 3659, 4045, 4190, 5060, 5061,
    5432, 5900, 6000, 6379, 6443, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 9042, 10080,
    10250, 11211, 27017,
];

impl Policy {
    /// The policy of a configuration.
    pub fn new(config: &config::Outbound) -> Self {
        let config::Outbound { allow, ports, plain_http, .. } = config.clone();
        Self { allow, ports, plain_http }
    }

    /// Whether `http://` URLs are sent to.
    pub(super) const fn plain_http(&self) -> bool {
        self.plain_http
    }

    /// Whether the host of this name, as it stands in a URL, is let in by its name.
    pub(super) fn names(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.allow.iter().any(|allowed| matches!(allowed, Allowed::Host(name) if *name == host))
    }

    /// Checks an address that `host` leads to.
    pub(super) fn check(&self, host: &str, address: SocketAddr) -> Result<(), Forbidden> {
        let ip = address.ip();
        if self.names(host) || self.has_network(ip) {
            return Ok(());
        }
        if !is_public(ip) {
            return Err(Forbidden::Address(ip));
        }
        self.check_port(address.port())
    }

    /// A mapped address is the IPv4 address that the packets go to.
    fn has_network(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        let holds =
            |allowed: &Allowed| matches!(allowed, Allowed::Network(net) if net.contains(&ip));
        self.allow.iter().any(holds)
    }

    /// Checks a port of a public address.
    fn check_port(&self, port: u16) -> Result<(), Forbidden> {
        let is_usual = match port {
            443 => true,
            80 => self.plain_http,
            0..1024 => false,
            _ => !OTHERS.contains(&port),
        };
        if is_usual || self.ports.contains(&port) { Ok(()) } else { Err(Forbidden::Port(port)) }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The policy of a section `outbound` with these two settings.
    pub(in crate::outbound) fn policy(allow: &[&str], plain_http: bool) -> Policy {
        let allow = allow.iter().map(|text| text.parse().unwrap()).collect();
        Policy::new(&config::Outbound { plain_http, allow, ..config::Outbound::default() })
    }

    #[test]
    fn what_the_operator_allows_is_let_in_and_nothing_beside_it() {
        let policy =
            policy(&["10.1.0.0/16", "runner.internal", "fd00:1::/32", "192.168.7.7"], false);
        let check = |host: &str, at: &str| policy.check(host, at.parse().unwrap());
        for (host, at) in [
            ("x", "10.1.2.3:443"),
            ("x", "10.1.2.3:80"),
            ("x", "192.168.7.7:6379"),
            ("x", "[fd00:1::5]:443"),
            ("x", "[::ffff:10.1.2.3]:443"),
            ("runner.internal", "10.9.9.9:8000"),
            ("Runner.Internal.", "127.0.0.1:8000"),
            ("x", "8.8.8.8:443"),
        ] {
            assert_eq!(check(host, at), Ok(()), "{host} {at}");
        }
        for (host, at) in [
            ("x", "10.2.0.1:443"),
            ("x", "192.168.7.8:443"),
            ("x", "[fd00:2::5]:443"),
            ("x", "[::ffff:10.2.0.1]:443"),
            ("x.runner.internal", "10.9.9.9:443"),
            ("runner.internal.evil.example", "10.9.9.9:443"),
            ("x", "[::1]:443"),
        ] {
            let ip = at.parse::<SocketAddr>().unwrap().ip();
            assert_eq!(check(host, at), Err(Forbidden::Address(ip)), "{host} {at}");
        }
    }

    #[test]
    fn ports_of_other_services_are_not_sent_to() {
        let ports = vec![990];
        let of = |plain_http| {
            Policy::new(&config::Outbound {
                plain_http,
                ports: ports.clone(),
                ..Default::default()
            })
        };
        let is_good =
            |port: u16| of(false).check("x", SocketAddr::from(([8, 8, 8, 8], port))).is_ok();
        for good in [443, 990, 1024, 8080, 8443, 65535] {
            assert!(is_good(good), "{good}");
        }
        for bad in
            [0, 22, 25, 53, 80, 110, 389, 445, 993, 2375, 3306, 5432, 6379, 6443, 11211, 27017]
        {
            assert!(!is_good(bad), "{bad}");
        }
        assert!(of(true).check("x", SocketAddr::from(([8, 8, 8, 8], 80))).is_ok());
    }

    #[test]
    fn settings_name_networks_and_hosts() {
        for (text, shown) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("::1", "::1/128"),
            ("Runner.Internal.", "runner.internal"),
            ("runner", "runner"),
        ] {
            assert_eq!(text.parse::<Allowed>().unwrap().to_string(), shown);
        }
        for bad in [
            "",
            "*",
            "*.internal",
            "10.0.0.0/33",
            "127.1",
            "0x7f.1",
            "a b",
            "a..b",
            "http://x",
            "x:1",
        ] {
            assert!(bad.parse::<Allowed>().is_err(), "{bad}");
        }
    }
}
