//! What kind of address is this? Everything that is not plainly global is refused by default.
//!
//! An IPv6 address can carry an IPv4 address inside, in half a dozen notations; each is decoded and judged by what it
//! carries. Which networks an operator allows nevertheless is decided in [`super::Dialer`], not here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The kind of an IP address. Only [`Class::Public`] is reachable without an entry in `MAILGRANT_ALLOW_NETWORKS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Globally routable unicast.
    Public,
    /// This machine: 127.0.0.0/8, `::1`.
    Loopback,
    /// Private use: RFC 1918, unique local (fc00::/7), the retired site-local fec0::/10, local-use NAT64.
    Private,
    /// Valid on one link only: 169.254.0.0/16 (cloud metadata lives there), fe80::/10.
    LinkLocal,
    /// Shared between a carrier and its customers: 100.64.0.0/10 (RFC 6598).
    CarrierNat,
    /// `0.0.0.0/8`, `::`; many systems connect these to themselves.
    Unspecified,
    /// Group addresses, and the limited broadcast address.
    Multicast,
    /// For examples and measurements only.
    Documentation,
    /// Anything else that is not global unicast.
    Reserved,
}

impl Class {
    /// The class in words, for an error message.
    pub fn describe(self) -> &'static str {
        match self {
            Class::Public => "public address",
            Class::Loopback => "loopback address",
            Class::Private => "private address",
            Class::LinkLocal => "link-local address",
            Class::CarrierNat => "carrier-internal address",
            Class::Unspecified => "unspecified address",
            Class::Multicast => "multicast address",
            Class::Documentation => "documentation address",
            Class::Reserved => "reserved address",
        }
    }
}

/// Classifies an address, looking through IPv4 addresses embedded in IPv6 ones.
pub fn class(ip: IpAddr) -> Class {
    match ip {
        IpAddr::V4(v4) => class_v4(v4),
        IpAddr::V6(v6) => class_v6(v6),
    }
}

/// An IPv4-mapped address as the IPv4 address the system would dial; any other address unchanged.
pub(super) fn canonical(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    }
}

fn class_v4(ip: Ipv4Addr) -> Class {
    let [a, b, c, d] = ip.octets();
    match (a, b, c, d) {
        (0, ..) => Class::Unspecified,
        (127, ..) => Class::Loopback,
        (10, ..) | (192, 168, ..) => Class::Private,
        (172, 16..=31, ..) => Class::Private,
        (100, 64..=127, ..) => Class::CarrierNat,
        (169, 254, ..) => Class::LinkLocal,
        (192, 0, 2, _) | (198, 51, 100, _) | (203, 0, 113, _) => Class::Documentation,
        (198, 18..=19, ..) => Class::Documentation,
        // Protocol assignments, and the withdrawn 6to4 relay anycast prefix.
        (192, 0, 0, _) | (192, 88, 99, _) => Class::Reserved,
        // Looks public, but is the host agent of every virtual machine at one large cloud.
        (168, 63, 129, 16) => Class::Reserved,
        (255, 255, 255, 255) | (224..=239, ..) => Class::Multicast,
        (240..=255, ..) => Class::Reserved,
        _ => Class::Public,
    }
}

fn class_v6(ip: Ipv6Addr) -> Class {
    if ip.is_loopback() {
        return Class::Loopback;
    }
    if ip.is_unspecified() {
        return Class::Unspecified;
    }
    for inner in embedded(ip) {
        let kind = class_v4(inner);
        if kind != Class::Public {
            return kind;
        }
    }
    let s = ip.segments();
    match s {
        // Mapped, and NAT64's well-known prefix: both reach exactly the (public) address they carry.
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => Class::Public,
        [0x64, 0xff9b, 1, ..] => Class::Private,
        // Protocol assignments: Teredo, ORCHID, benchmarking and friends.
        [0x2001, 0..=0x1ff, ..] => Class::Reserved,
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0x0fff, ..] => Class::Documentation,
        // 6to4 is withdrawn (RFC 7526); nobody serves mail there.
        [0x2002, ..] => Class::Reserved,
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => Class::Private,
        [0xfe80..=0xfebf, ..] => Class::LinkLocal,
        [0xff00..=0xffff, ..] => Class::Multicast,
        [0x2000..=0x3fff, ..] => Class::Public,
        _ => Class::Reserved,
    }
}

/// Every IPv4 address that some transition mechanism would read out of this IPv6 address.
fn embedded(ip: Ipv6Addr) -> impl Iterator<Item = Ipv4Addr> {
    let s = ip.segments();
    let v4 = |hi: u16, lo: u16| Ipv4Addr::from((u32::from(hi) << 16) | u32::from(lo));
    let last = v4(s[6], s[7]);
    let mut found = [None; 2];
    match s {
        // IPv4-compatible, -mapped and -translated (RFC 4291, RFC 2765).
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => found[0] = Some(last),
        // NAT64 with a /96 prefix (RFC 6052), well-known and local-use.
        [0x64, 0xff9b, 0, 0, 0, 0, ..] | [0x64, 0xff9b, 1, ..] => found[0] = Some(last),
        // 6to4 (RFC 3056).
        [0x2002, hi, lo, ..] => found[0] = Some(v4(hi, lo)),
        // Teredo (RFC 4380): the server's address, and the client's with all bits flipped.
        [0x2001, 0, hi, lo, ..] => found = [Some(v4(hi, lo)), Some(v4(!s[6], !s[7]))],
        _ => {}
    }
    // ISATAP (RFC 5214) can sit below any prefix.
    let isatap = matches!(s, [_, _, _, _, 0 | 0x200, 0x5efe, ..]).then_some(last);
    found.into_iter().flatten().chain(isatap)
}

/// What of an address is counted as one caller: of IPv6 the network of 64 bits, which is the least that anybody is given;
/// of IPv4, and of what is no address, all of it.
pub fn network_of(address: &str) -> String {
    match address.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
        Ok(IpAddr::V6(ip)) => {
            let [a, b, c, d, ..] = ip.segments();
            format!("{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        Ok(IpAddr::V4(ip)) => ip.to_string(),
        Err(_) => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(text: &str) -> Class {
        class(text.parse().unwrap())
    }

    #[test]
    fn only_global_unicast_is_public() {
        let table = [
            ("8.8.8.8", Class::Public),
            ("1.1.1.1", Class::Public),
            ("172.15.255.255", Class::Public),
            ("172.32.0.1", Class::Public),
            ("100.63.255.255", Class::Public),
            ("100.128.0.1", Class::Public),
            ("169.253.1.1", Class::Public),
            ("192.167.1.1", Class::Public),
            ("223.255.255.255", Class::Public),
            ("0.0.0.0", Class::Unspecified),
            ("0.1.2.3", Class::Unspecified),
            ("127.0.0.1", Class::Loopback),
            ("127.255.255.254", Class::Loopback),
            ("10.0.0.1", Class::Private),
            ("172.16.0.1", Class::Private),
            ("172.31.255.255", Class::Private),
            ("192.168.1.1", Class::Private),
            ("100.64.0.1", Class::CarrierNat),
            ("100.100.100.200", Class::CarrierNat),
            ("169.254.169.254", Class::LinkLocal),
            ("192.0.2.1", Class::Documentation),
            ("198.51.100.1", Class::Documentation),
            ("203.0.113.1", Class::Documentation),
            ("198.18.0.1", Class::Documentation),
            ("192.0.0.1", Class::Reserved),
            ("192.88.99.1", Class::Reserved),
            ("168.63.129.16", Class::Reserved),
            ("224.0.0.1", Class::Multicast),
            ("255.255.255.255", Class::Multicast),
            ("240.0.0.1", Class::Reserved),
            ("2a00:1450:4001:830::200e", Class::Public),
            ("2606:4700:4700::1111", Class::Public),
            ("::", Class::Unspecified),
            ("::1", Class::Loopback),
            ("fc00::1", Class::Private),
            ("fd12:3456::1", Class::Private),
            ("fec0::1", Class::Private),
            ("fe80::1", Class::LinkLocal),
            ("ff02::1", Class::Multicast),
            ("2001:db8::1", Class::Documentation),
            ("3fff::1", Class::Documentation),
            ("100::1", Class::Reserved),
            ("5f00::1", Class::Reserved),
            ("4000::1", Class::Reserved),
            ("2001:10::1", Class::Reserved),
            // An IPv4 address inside an IPv6 one counts as what it is.
            ("::ffff:8.8.8.8", Class::Public),
            ("::ffff:127.0.0.1", Class::Loopback),
            ("::ffff:7f00:1", Class::Loopback),
            ("::ffff:10.0.0.1", Class::Private),
            ("::ffff:169.254.169.254", Class::LinkLocal),
            ("::127.0.0.1", Class::Loopback),
            ("::10.1.2.3", Class::Private),
            ("::8.8.8.8", Class::Reserved),
            ("::ffff:0:127.0.0.1", Class::Loopback),
            ("64:ff9b::8.8.8.8", Class::Public),
            ("64:ff9b::127.0.0.1", Class::Loopback),
            ("64:ff9b::169.254.169.254", Class::LinkLocal),
            ("64:ff9b:1::8.8.8.8", Class::Private),
            ("2002:7f00:1::", Class::Loopback),
            ("2002:0a00:0001::1", Class::Private),
            ("2002:0808:0808::1", Class::Reserved),
            ("2001:0:7f00:1::1", Class::Loopback),
            ("2001:0:0808:0808::f5ff:fffe", Class::Private),
            ("2a00:1::5efe:10.0.0.1", Class::Private),
            ("2a00:1::200:5efe:127.0.0.1", Class::Loopback),
            ("fe80::5efe:8.8.8.8", Class::LinkLocal),
        ];
        for (text, expected) in table {
            assert_eq!(of(text), expected, "{text}");
        }
    }

    /// Addresses nobody may reach by default.
    fn inner_v4() -> impl Strategy<Value = Ipv4Addr> {
        prop_oneof![
            any::<[u8; 3]>().prop_map(|[b, c, d]| Ipv4Addr::new(10, b, c, d)),
            any::<[u8; 3]>().prop_map(|[b, c, d]| Ipv4Addr::new(127, b, c, d)),
            any::<[u8; 2]>().prop_map(|[c, d]| Ipv4Addr::new(192, 168, c, d)),
            any::<[u8; 2]>().prop_map(|[c, d]| Ipv4Addr::new(169, 254, c, d)),
            (16u8..32, any::<[u8; 2]>()).prop_map(|(b, [c, d])| Ipv4Addr::new(172, b, c, d)),
        ]
    }

    proptest! {
        #[test]
        fn no_ipv6_notation_hides_an_inner_ipv4_address(inner in inner_v4(), noise in any::<[u16; 4]>()) {
            let bits = u32::from(inner);
            let (hi, lo) = ((bits >> 16) as u16, bits as u16);
            let [a, b, c, d] = noise;
            let spellings = [
                [0, 0, 0, 0, 0, 0, hi, lo],
                [0, 0, 0, 0, 0, 0xffff, hi, lo],
                [0, 0, 0, 0, 0xffff, 0, hi, lo],
                [0x64, 0xff9b, 0, 0, 0, 0, hi, lo],
                [0x64, 0xff9b, 1, a, b, c, hi, lo],
                [0x2002, hi, lo, a, b, c, d, 1],
                [0x2001, 0, hi, lo, a, b, c, d],
                [0x2001, 0, 0x0808, 0x0808, a, b, !hi, !lo],
                [a, b, c, d, 0, 0x5efe, hi, lo],
                [a, b, c, d, 0x200, 0x5efe, hi, lo],
            ];
            for s in spellings {
                let ip = IpAddr::V6(Ipv6Addr::from(s));
                prop_assert_ne!(class(ip), Class::Public, "{}", ip);
            }
        }

        #[test]
        fn an_ipv6_address_outside_global_unicast_is_never_public(bits in any::<u128>()) {
            let ip = Ipv6Addr::from(bits);
            let s = ip.segments();
            let carries = matches!(s, [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..]);
            if class(IpAddr::V6(ip)) == Class::Public {
                prop_assert!(carries || (0x2000..=0x3fff).contains(&s[0]), "{}", ip);
            }
        }
    }

    #[test]
    fn addresses_of_one_network_are_counted_as_one() {
        for (address, counted) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
            ("2001:db8:1:2:ffff::9", "2001:db8:1:2::/64"),
            ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
            ("unknown", "unknown"),
        ] {
            assert_eq!(network_of(address), counted);
        }
    }
}
