//! Where a request comes from.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, header};
use ipnet::IpNet;

/// Who is at the other end of the connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// The address of the client: the peer's, or what trusted proxies say of theirs. Each hop adds the
/// address that it saw, so the last one that no trusted proxy has is the first that can be believed.
pub(super) fn client(peer: Option<Peer>, headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let trusts = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = peer?.0.ip().to_canonical();
    let told = forwarded(headers).into_iter().rev();
    for hop in told {
        if !trusts(&client) {
            break;
        }
        // What cannot be read was not said by one of ours.
        let Some(address) = hop else { break };
        client = address;
    }
    Some(client)
}

/// What the hops say, the client's own first: `Forwarded` (RFC 7239), else `X-Forwarded-For`.
fn forwarded(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let lists = |name| headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    if headers.contains_key(header::FORWARDED) {
        let hops = lists(header::FORWARDED).flat_map(|list| list.split(','));
        return hops.map(|hop| hop.split(';').find_map(origin).and_then(address)).collect();
    }
    let hops = lists(header::HeaderName::from_static("x-forwarded-for"));
    hops.flat_map(|list| list.split(',')).map(address).collect()
}

fn origin(pair: &str) -> Option<&str> {
    let (name, value) = pair.trim().split_once('=')?;
    name.eq_ignore_ascii_case("for").then_some(value)
}

/// An address, perhaps with a port, perhaps in quotes.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    let bare = text.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(ip, _)| ip);
    let ip = bare.unwrap_or(text).parse().ok();
    let ip = ip.or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    ip.map(|ip: IpAddr| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, headers: &[(&'static str, &str)]) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let trusted = ["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let peer = Peer(SocketAddr::new(peer.parse().unwrap(), 1));
        client(Some(peer), &map, &trusted).unwrap().to_string()
    }

    #[test]
    fn proxies_that_are_trusted_are_believed_and_no_others() {
        let xff = "x-forwarded-for";
        assert_eq!(seen("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(seen("192.0.2.9", &[(xff, "203.0.113.7")]), "192.0.2.9", "nobody's proxy");
        assert_eq!(seen("10.0.0.1", &[(xff, "203.0.113.7")]), "203.0.113.7");
        // What the client itself wrote stands before what the proxy saw.
        assert_eq!(seen("10.0.0.1", &[(xff, "1.1.1.1, 203.0.113.7, 10.9.9.9")]), "203.0.113.7");
        assert_eq!(seen("10.0.0.1", &[(xff, "1.1.1.1"), (xff, "203.0.113.7")]), "203.0.113.7");
        assert_eq!(seen("10.0.0.1", &[(xff, "1.1.1.1, <script>")]), "10.0.0.1");
    }

    /// The examples of RFC 7239 §4 and §6.
    #[test]
    fn the_standard_header_is_read_first() {
        let for_ =
            |value: &str| seen("::1", &[("forwarded", value), ("x-forwarded-for", "1.1.1.1")]);
        assert_eq!(for_("for=192.0.2.43"), "192.0.2.43");
        assert_eq!(for_("For=\"[2001:db8:cafe::17]:4711\""), "2001:db8:cafe::17");
        assert_eq!(for_("for=192.0.2.60;proto=http;by=203.0.113.43"), "192.0.2.60");
        assert_eq!(for_("for=192.0.2.43, for=\"198.51.100.17:80\""), "198.51.100.17");
        assert_eq!(for_("for=unknown"), "::1");
    }
}
