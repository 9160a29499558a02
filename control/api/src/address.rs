//! What an address is, whatever name led there: a job, and an outgoing webhook, are led to public ones alone unless an operator
//! says otherwise.
//!
//! Sources: IANA's special-purpose address registries for IPv4 and IPv6 (RFC 6890 and its updates), and what clouds
//! publish of the addresses at which a machine learns its own credentials.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is to whoever may not be led astray.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// On the public internet.
    Public,
    /// On somebody's own network: reached only where the operator named host and port.
    Private(&'static str),
    /// Never reached: nobody has anything to look for there.
    Never(&'static str),
}

use Standing::{Never, Private, Public};

/// Networks that are not public: address, length of the prefix, what it is. The first that fits counts.
const V4: &[([u8; 4], u32, Standing)] = &[
    ([169, 254, 0, 0], 16, Never("link-local (where clouds tell a machine its credentials)")),
    ([100, 100, 100, 200], 32, Never("a cloud's metadata")),
    ([168, 63, 129, 16], 32, Never("a cloud's metadata")),
    ([10, 0, 0, 0], 8, Private("a private network")),
    ([172, 16, 0, 0], 12, Private("a private network")),
    ([192, 168, 0, 0], 16, Private("a private network")),
    ([127, 0, 0, 0], 8, Private("this machine's loopback")),
    ([100, 64, 0, 0], 10, Private("a carrier's shared network")),
    // Not anybody's, and so in use on networks that are closed off.
    ([198, 18, 0, 0], 15, Private("a network for benchmarks")),
    ([0, 0, 0, 0], 8, Never("no host at all")),
    ([192, 0, 0, 0], 24, Never("kept for protocols")),
    ([192, 0, 2, 0], 24, Private("a network kept for documentation")),
    ([198, 51, 100, 0], 24, Private("a network kept for documentation")),
    ([203, 0, 113, 0], 24, Private("a network kept for documentation")),
    ([192, 88, 99, 0], 24, Never("a relay to other addresses")),
    ([224, 0, 0, 0], 4, Never("multicast")),
    ([240, 0, 0, 0], 4, Never("reserved")),
];

const V6: &[([u16; 8], u32, Standing)] = &[
    ([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128, Never("a cloud's metadata")),
    ([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128, Never("a cloud's metadata")),
    ([0, 0, 0, 0, 0, 0, 0, 1], 128, Private("this machine's loopback")),
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, Private("a private network")),
    ([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, Private("a private network")),
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, Never("link-local")),
    ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, Never("multicast")),
    ([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, Never("another address in disguise (IPv4-mapped)")),
    ([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, Never("another address in disguise (local NAT64)")),
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, Never("another address in disguise (6to4)")),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, Private("a network kept for documentation")),
    // Teredo, ORCHID, benchmarks and whatever comes.
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, Never("kept for protocols")),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, Private("a network kept for documentation")),
    ([0x2000, 0, 0, 0, 0, 0, 0, 0], 3, Public),
    ([0, 0, 0, 0, 0, 0, 0, 0], 0, Never("reserved")),
];

/// `64:ff9b::/96`, by which a network without IPv4 reaches it: what counts is the address within.
const NAT64: u128 = 0x64_ff9b << 96;

/// Returns what an address is.
pub fn standing(address: IpAddr) -> Standing {
    match address {
        IpAddr::V4(address) => standing_v4(address),
        IpAddr::V6(address) => standing_v6(address),
    }
}

fn standing_v4(address: Ipv4Addr) -> Standing {
    let found = V4.iter().find(|(network, length, _)| {
        let mask = u32::MAX << (32 - length);
        address.to_bits() & mask == Ipv4Addr::from(*network).to_bits()
    });
    found.map_or(Public, |(.., standing)| *standing)
}

fn standing_v6(address: Ipv6Addr) -> Standing {
    let bits = address.to_bits();
    if bits & !u128::from(u32::MAX) == NAT64 {
        #[expect(clippy::cast_possible_truncation, reason = "the low 32 bits are the address within")]
        let within = standing_v4(Ipv4Addr::from_bits(bits as u32));
        return match within {
            Public => Public,
            Private(what) | Never(what) => Never(what),
        };
    }
    let found = V6.iter().find(|(network, length, _)| {
        let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
        bits & mask == Ipv6Addr::from(*network).to_bits()
    });
    found.map_or(Never("reserved"), |(.., standing)| *standing)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> Standing {
        standing(text.parse().unwrap())
    }

    #[test]
    fn only_the_public_internet_is_public() {
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00::1",
            "2001:200::1",
            "2001:4860:4860::8888",
            "64:ff9b::8.8.8.8",
        ] {
            assert_eq!(of(public), Public, "{public}");
        }
        for private in [
            "10.0.0.1",
            "10.255.255.255",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "100.64.0.1",
            "100.127.255.255",
            "198.18.0.1",
            "198.19.255.255",
            "::1",
            "fc00::1",
            "fdff::1",
            "192.0.2.1",
            "198.51.100.1",
            "203.0.113.255",
            "2001:db8::1",
            "3fff::1",
            "fec0::1",
        ] {
            assert!(matches!(of(private), Private(_)), "{private}");
        }
        for never in [
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "169.254.0.23",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "192.88.99.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::2",
            "::7f00:1",
            "fe80::1",
            "febf::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "64:ff9b::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::8.8.8.8",
            "2002:7f00:1::",
            "2002:808:808::",
            "2001::1",
            "2001:0:4136:e378::",
            "2001:10::1",
            "2001:20::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "100::1",
            "5f00::1",
            "4000::1",
            "64:ff9b::1:0:0",
        ] {
            assert!(matches!(of(never), Never(_)), "{never}");
        }
    }

    proptest! {
        /// The standard library's own tests, where they are stable, say the same.
        #[test]
        fn nothing_the_standard_library_calls_special_is_public(bits in any::<u32>(), high in any::<u128>()) {
            let v4 = Ipv4Addr::from_bits(bits);
            let special = v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_broadcast()
                || v4.is_documentation() || v4.is_multicast() || v4.is_unspecified();
            prop_assert!(!special || standing(v4.into()) != Public, "{v4}");
            // However an address that is not public is wrapped, it stays so.
            for wrapped in [
                v4.to_ipv6_mapped(),
                v4.to_ipv6_compatible(),
                Ipv6Addr::from_bits(NAT64 | u128::from(bits)),
                Ipv6Addr::from_bits(0x2002 << 112 | u128::from(bits) << 80 | (high & ((1 << 80) - 1))),
                Ipv6Addr::from_bits(0x2001_0000 << 96 | (high & !u128::from(u32::MAX) & ((1 << 96) - 1)) | u128::from(!bits)),
            ] {
                prop_assert!(standing(wrapped.into()) != Public || standing(v4.into()) == Public, "{wrapped}");
            }
            let v6 = Ipv6Addr::from_bits(high);
            let special = v6.is_unspecified() || v6.is_loopback() || v6.is_multicast() || v6.is_unique_local()
                || v6.is_unicast_link_local();
            prop_assert!(!special || standing(v6.into()) != Public, "{v6}");
            prop_assert!(standing(v6.into()) != Public || v6.segments()[0] >> 13 == 1 || high >> 32 == NAT64 >> 32);
        }

        #[test]
        fn networks_are_decided_as_a_whole(at in 0..V4.len(), low in any::<u32>()) {
            let (network, length, _) = V4[at];
            let address = Ipv4Addr::from_bits(Ipv4Addr::from(network).to_bits() | (low & !(u32::MAX << (32 - length))));
            prop_assert!(standing(address.into()) != Public, "{address}");
        }
    }
}
