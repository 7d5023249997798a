//! Whose work it is.

use std::net::{IpAddr, Ipv6Addr};

use colophon_model::TenantUid;

/// Who gets one share of what there is. All shares weigh the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Share {
    /// The server's own work.
    Server,
    /// The operator.
    Operator,
    /// A tenant whose credential was proven.
    Tenant(TenantUid),
    /// Whoever sends from a network and has proven nothing yet. What is claimed gives no other share, so
    /// nobody can use up another's.
    Network(Option<IpAddr>),
    /// The same, with what is claimed: for bounds on how much of a network's share one claim may have.
    Claim(Option<IpAddr>, u64),
}

/// A share and the line of it in which work waits. The lines of one share take turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Party {
    /// The share.
    pub share: Share,
    /// Which line: of those who have proven nothing, one for each claim, so that a builder that sends for
    /// all tenants from one address does not keep one waiting for another.
    pub line: u64,
}

impl Party {
    /// The server itself.
    pub const SERVER: Self = Self::of(Share::Server);

    /// Who has one line.
    pub const fn of(share: Share) -> Self {
        Self { share, line: 0 }
    }

    /// Somebody at `address` who claims something.
    pub fn stranger(address: Option<IpAddr>, claim: u64) -> Self {
        Self { share: Share::Network(address.map(network)), line: claim }
    }

    /// The share of what is claimed, of those that have proven nothing.
    pub const fn claim(self) -> Share {
        match self.share {
            Share::Network(network) => Share::Claim(network, self.line),
            share => share,
        }
    }
}

/// The network that one client usually has all of: an address of IPv4, 64 bits of IPv6 (RFC 6177 §2).
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Somebody with a whole network must not have a share for each address of it.
    #[test]
    fn a_network_of_ipv6_is_one_stranger() {
        let share = |text: &str| Party::stranger(Some(text.parse().unwrap()), 0).share;
        assert_eq!(share("2001:db8::1"), share("2001:db8::ffff:2"));
        assert_ne!(share("2001:db8::1"), share("2001:db8:0:1::1"));
        assert_eq!(share("::ffff:192.0.2.1"), share("192.0.2.1"));
        assert_ne!(share("192.0.2.1"), share("192.0.2.2"));
    }
}
