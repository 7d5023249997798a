//! Which addresses are public. What is not could be a machine that only this server reaches.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether anybody on the Internet could be sent to under this address, so that nothing is given away by
/// doing so: globally reachable unicast by IANA's special-purpose registries (RFC 6890), and no form in which
/// an IPv4 address hides in an IPv6 one.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// Networks that are not globally reachable, and a metadata service that hides in a public one.
const NOT_PUBLIC_V4: &[([u8; 4], u32, &str)] = &[
    ([0, 0, 0, 0], 8, "this network, RFC 791"),
    ([10, 0, 0, 0], 8, "private, RFC 1918"),
    ([100, 64, 0, 0], 10, "shared by carriers, RFC 6598; Alibaba's metadata"),
    ([127, 0, 0, 0], 8, "loopback, RFC 1122"),
    ([168, 63, 129, 16], 32, "Azure's metadata and DNS"),
    ([169, 254, 0, 0], 16, "link-local, RFC 3927; metadata of most clouds"),
    ([172, 16, 0, 0], 12, "private, RFC 1918"),
    ([192, 0, 0, 0], 24, "IETF protocols, RFC 6890; Oracle's metadata"),
    ([192, 0, 2, 0], 24, "documentation, RFC 5737"),
    ([192, 31, 196, 0], 24, "AS112, RFC 7535"),
    ([192, 52, 193, 0], 24, "AMT, RFC 7450"),
    ([192, 88, 99, 0], 24, "6to4 relays, RFC 7526"),
    ([192, 168, 0, 0], 16, "private, RFC 1918"),
    ([192, 175, 48, 0], 24, "AS112, RFC 7534"),
    ([198, 18, 0, 0], 15, "benchmarks, RFC 2544"),
    ([198, 51, 100, 0], 24, "documentation, RFC 5737"),
    ([203, 0, 113, 0], 24, "documentation, RFC 5737"),
    ([224, 0, 0, 0], 4, "multicast, RFC 1112"),
    ([240, 0, 0, 0], 4, "reserved and broadcast, RFC 1112"),
];

fn is_public_v4(address: Ipv4Addr) -> bool {
    let within = |(network, bits, _): &([u8; 4], u32, &str)| {
        let mask = u32::MAX << (32 - bits);
        u32::from(address) & mask == u32::from_be_bytes(*network)
    };
    !NOT_PUBLIC_V4.iter().any(within)
}

/// Parts of 2000::/3 that are not globally reachable, or that lead to an IPv4 address.
const NOT_PUBLIC_V6: &[(u128, u32, &str)] = &[
    (0x2001 << 112, 23, "IETF protocols, RFC 2928: Teredo, ORCHID, benchmarks"),
    (0x2001_0db8 << 96, 32, "documentation, RFC 3849"),
    (0x2002 << 112, 16, "6to4, RFC 3056"),
    (0x2620_004f_8000 << 80, 48, "AS112, RFC 7534"),
    (0x3fff << 112, 20, "documentation, RFC 9637"),
];

/// Outside of 2000::/3 (RFC 4291 §2.4, IANA's global unicast space) nothing is public: loopback, mapped and
/// translated addresses (`::ffff:0:0/96`, `64:ff9b::/96`, `64:ff9b:1::/48`), unique local, link-local,
/// site-local and multicast.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let bits_of = u128::from(address);
    let within = |network: u128, bits: u32| bits_of & (u128::MAX << (128 - bits)) == network;
    within(0x2000 << 112, 3) && !NOT_PUBLIC_V6.iter().any(|(net, bits, _)| within(*net, *bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(text: &str) -> bool {
        is_public(text.parse().unwrap())
    }

    #[test]
    fn addresses_of_the_internet_are_public() {
        for good in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "192.169.0.0",
            "168.63.129.15",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2001:4860:4860::8888",
            "2a00:1450:4001::1",
            "2001:200::1",
        ] {
            assert!(public(good), "{good}");
        }
    }

    /// Both ends of each network, since a mask that is off by one shows there.
    #[test]
    fn what_only_this_server_reaches_is_not_public() {
        for bad in [
            "0.0.0.0",
            "0.255.255.255",
            "10.0.0.0",
            "10.255.255.255",
            "100.64.0.0",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "168.63.129.16",
            "169.254.0.0",
            "169.254.169.254",
            "169.254.255.255",
            "172.16.0.0",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.0",
            "192.168.255.255",
            "198.18.0.0",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
        ] {
            assert!(!public(bad), "{bad}");
        }
    }

    /// An IPv4 address must not come in as an IPv6 one: mapped, compatible, by NAT64, 6to4 or Teredo, or by
    /// ISATAP within a link-local one.
    #[test]
    fn no_form_of_ipv6_leads_inside() {
        for bad in [
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:8.8.8.8",
            "::ffff:0:10.0.0.1",
            "::10.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::8.8.8.8",
            "64:ff9b:1::a00:1",
            "100::1",
            "2001::1",
            "2001:0:7f00:1::",
            "2001:10::1",
            "2001:1ff:ffff::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "3fff::1",
            "3fff:fff:ffff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fe80::1",
            "fe80::5efe:10.0.0.1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "ff0e::1",
        ] {
            assert!(!public(bad), "{bad}");
        }
    }
}
