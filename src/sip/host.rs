//! Hosts: names, IPv4 and IPv6 literals as SIP writes them.

use super::chars::is_host;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address of an IP literal, with or without brackets; `None` for a name. IPv4-mapped IPv6 is
/// IPv4 (RFC 5118 §4.9), and one superfluous colon is forgiven (RFC 5118 §4.10).
pub fn ip(host: &[u8]) -> Option<IpAddr> {
    // A literal starts with a bracket, a hex digit or a colon; names mostly fail here.
    if !host.first().is_some_and(|b| b.is_ascii_hexdigit() || matches!(b, b'[' | b':')) || host.len() > 48 {
        return None;
    }
    if let Some(address) = v4(host) {
        return Some(IpAddr::V4(address));
    }
    let bare = host.strip_prefix(b"[").map_or(Some(host), |rest| rest.strip_suffix(b"]"))?;
    if !bare.contains(&b':') {
        return None;
    }
    let text = std::str::from_utf8(bare).ok()?;
    let address = text.parse::<Ipv6Addr>().ok().or_else(|| three_colons(text))?;
    Some(IpAddr::V6(address).to_canonical())
}

/// Appends an address as text, without brackets.
pub fn write(address: IpAddr, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(v4) => {
            // In one piece: each append has its price.
            let (mut room, mut length) = ([0; 16], 0);
            let mut places = room.iter_mut();
            let mut put = |byte: u8| {
                if let Some(place) = places.next() {
                    *place = byte;
                    length += 1;
                }
            };
            for octet in v4.octets() {
                if octet >= 100 {
                    put(b'0' + octet / 100);
                }
                if octet >= 10 {
                    put(b'0' + octet / 10 % 10);
                }
                put(b'0' + octet % 10);
                put(b'.');
            }
            out.extend_from_slice(room.get(..length - 1).unwrap_or_default());
        }
        // A Vec takes every write.
        IpAddr::V6(v6) => drop(write!(out, "{v6}")),
    }
}

/// Four numbers without leading zeros.
fn v4(text: &[u8]) -> Option<Ipv4Addr> {
    let (mut address, mut dots) = (0_u32, 0);
    let (mut octet, mut digits) = (0_u32, 0);
    for byte in text {
        match byte.wrapping_sub(b'0') {
            digit @ 0..=9 if digits == 0 || octet > 0 => {
                octet = octet * 10 + u32::from(digit);
                digits += 1;
                if octet > 255 {
                    return None;
                }
            }
            _ if *byte == b'.' && digits > 0 && dots < 3 => {
                address = address << 8 | octet;
                dots += 1;
                (octet, digits) = (0, 0);
            }
            _ => return None,
        }
    }
    (dots == 3 && digits > 0).then(|| Ipv4Addr::from(address << 8 | octet))
}

fn three_colons(text: &str) -> Option<Ipv6Addr> {
    let (head, tail) = text.split_once(":::")?;
    let mut room = [0u8; 48];
    let length = head.len() + 2 + tail.len();
    let target = room.get_mut(..length)?;
    for (slot, byte) in target.iter_mut().zip(head.bytes().chain(*b"::").chain(tail.bytes())) {
        *slot = byte;
    }
    std::str::from_utf8(target).ok()?.parse().ok()
}

/// Whether it is a name of letters, digits, `-`, `_` and `.`, or a literal; IPv6 only in brackets.
pub fn is_valid(host: &[u8]) -> bool {
    match host.first() {
        None => false,
        Some(b'[') => ip(host).is_some(),
        Some(_) => host.iter().all(|b| is_host(*b)),
    }
}

/// Whether two hosts are the same: names in any case and with or without the root's dot, literals
/// by their address.
pub fn same(one: &[u8], other: &[u8]) -> bool {
    let root = |host: &[u8]| host.strip_suffix(b".").map_or(host.len(), <[u8]>::len);
    let (left, right) = (one.get(..root(one)).unwrap_or_default(), other.get(..root(other)).unwrap_or_default());
    left.eq_ignore_ascii_case(right) || ip(one).is_some_and(|address| ip(other) == Some(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_read_with_and_without_brackets() {
        // X13
        for (text, address) in [
            ("192.0.2.1", "192.0.2.1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[::ffff:192.0.2.1]", "192.0.2.1"),
            ("[2001:db8:::192.0.2.1]", "2001:db8::c000:201"),
            ("[1:2:3:4:5:6:255.255.255.255]", "1:2:3:4:5:6:ffff:ffff"),
        ] {
            assert_eq!(ip(text.as_bytes()), Some(address.parse().unwrap()), "{text}");
            let mut out = Vec::new();
            write(address.parse().unwrap(), &mut out);
            assert_eq!(out, address.as_bytes());
        }
        for name in [
            "",
            "[192.0.2.1]",
            "01.2.3.4",
            "1.2.3.04",
            "1..3.4",
            "1.2.3.",
            "1.2.3.0004",
            "1.2.3.-4",
            "a.b",
            "[::1",
            "::1]",
            "[::1]]",
            "1.2.3",
            "1.2.3.4.5",
            "[:::::1]",
            "256.1.1.1",
            "1.2.3.256",
            "1.2.3.00",
            ".1.2.3",
            "1.2.3.4.",
            "4294967297.1.1.1",
            "[]",
        ] {
            assert_eq!(ip(name.as_bytes()), None, "{name}");
        }
        assert_eq!(ip("a".repeat(10_000).as_bytes()), None);
    }

    #[test]
    fn hosts_are_the_same_in_any_case_and_spelling() {
        // R4 V15
        for (one, other) in
            [("Acme", "aCME"), ("acme.", "acme"), ("[2001:db8::1]", "[2001:DB8:0::1]"), ("[::ffff:1.2.3.4]", "1.2.3.4")]
        {
            assert!(same(one.as_bytes(), other.as_bytes()), "{one} {other}");
        }
        for (one, other) in [("acme", "acm"), ("acme..", "acme"), ("1.2.3.4", "1.2.3.5"), ("", "a")] {
            assert!(!same(one.as_bytes(), other.as_bytes()), "{one} {other}");
        }
    }

    #[test]
    fn only_names_and_literals_are_valid() {
        for good in ["a", "A-b_c.d", "1.2.3.4", "[::1]", "xn--mnchen-3ya"] {
            assert!(is_valid(good.as_bytes()), "{good}");
        }
        for bad in ["", "a b", "a/b", "a%00b", "[a]", "[", "a\0", "ü", "a,b", "::1"] {
            assert!(!is_valid(bad.as_bytes()), "{bad}");
        }
    }
}
