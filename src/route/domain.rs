//! What a name may look like, and what a host stands for (R2 to R5, R9, R11, R13).
//!
//! It reads the names of one snapshot; it does not decide which instance a whole SIP or HTTP request
//! belongs to. Called by `compile` and `control::validate` for the shape of names, by `engine` and
//! `http` for look-ups, which fold the host on the stack and allocate nothing.

use super::names::Directory;
use super::snapshot::{Host, Proxy, Snapshot};
use std::fmt;
use std::net::IpAddr;

/// The longest DNS label, and so the longest name (R2).
pub const MAX_NAME: usize = 63;
/// The longest host name, without its trailing dot.
pub const MAX_HOST: usize = 253;
/// Names nobody may take (R13); every proxy's name is reserved too.
pub const RESERVED: [&str; 5] = ["controller", "pg", "www", "api", "admin"];

/// What is wrong with a name (R2) or a host name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NameFault {
    /// Nothing at all, or an empty label inside a host name.
    Empty,
    /// More bytes than allowed.
    TooLong {
        /// How many there are.
        length: usize,
        /// How many there may be.
        most: usize,
    },
    /// A character that is neither letter, digit nor `-`.
    Character(char),
    /// `-` at the start or end of a new name.
    Edge,
    /// An IP address where a name is wanted.
    Address,
}

impl fmt::Display for NameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("is empty"),
            Self::TooLong { length, most } => write!(f, "has {length} characters, at most {most} are allowed"),
            Self::Character(c) => {
                f.write_str("holds the character ")?;
                match c {
                    '\0' => f.write_str("NUL")?,
                    ' ' => f.write_str("blank")?,
                    c if c.is_control() || c.is_whitespace() => write!(f, "U+{:04X}", u32::from(*c))?,
                    c => write!(f, "\"{c}\"")?,
                }
                f.write_str("; only letters A-Z, digits and \"-\" are allowed")
            }
            Self::Edge => f.write_str("starts or ends with the character \"-\""),
            Self::Address => f.write_str("is an IP address, not a host name"),
        }
    }
}

/// Checks a name that exists (R2): `^[A-Za-z0-9-]{1,63}$`.
pub fn check_name(name: &str) -> Result<(), NameFault> {
    if name.is_empty() {
        return Err(NameFault::Empty);
    }
    if let Some(bad) = name.chars().find(|c| !(c.is_ascii_alphanumeric() || *c == '-')) {
        return Err(NameFault::Character(bad));
    }
    if name.len() > MAX_NAME {
        return Err(NameFault::TooLong { length: name.len(), most: MAX_NAME });
    }
    Ok(())
}

/// Checks a name that is to be given: as [`check_name`], and no `-` at either end (R2).
pub fn check_new_name(name: &str) -> Result<(), NameFault> {
    check_name(name)?;
    if name.starts_with('-') || name.ends_with('-') { Err(NameFault::Edge) } else { Ok(()) }
}

/// Checks a host name: labels of [`check_new_name`] joined by dots, one trailing dot allowed, not an
/// IP address.
pub fn check_host(host: &str) -> Result<(), NameFault> {
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.is_empty() {
        return Err(NameFault::Empty);
    }
    if host.len() > MAX_HOST {
        return Err(NameFault::TooLong { length: host.len(), most: MAX_HOST });
    }
    if address(host).is_some() {
        return Err(NameFault::Address);
    }
    host.split('.').try_for_each(check_new_name)
}

/// A host or name as it is compared: lower case, without a trailing dot.
pub fn fold(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// The IP address a host is, with or without brackets; IPv4-mapped ones as IPv4.
pub fn address(host: &str) -> Option<IpAddr> {
    // Names mostly end here: a literal ends with a digit, or has colons.
    if !host.ends_with(|last: char| last.is_ascii_digit()) && !host.contains(':') {
        return None;
    }
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    bare.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

/// A host folded on the stack.
struct Folded {
    bytes: [u8; MAX_HOST],
    length: usize,
}

impl Folded {
    fn new(host: &[u8]) -> Option<Self> {
        let host = host.strip_suffix(b".").unwrap_or(host);
        let mut bytes = [0; MAX_HOST];
        let room = bytes.get_mut(..host.len())?;
        room.copy_from_slice(host);
        room.make_ascii_lowercase();
        (!host.is_empty() && host.is_ascii()).then_some(Self { bytes, length: host.len() })
    }

    fn text(&self) -> &str {
        self.bytes.get(..self.length).and_then(|b| std::str::from_utf8(b).ok()).unwrap_or_default()
    }
}

impl Snapshot {
    /// What `host` (without port; brackets of an IPv6 address may stay) stands for at `proxy`.
    ///
    /// Case and one trailing dot do not matter (R4). An instance this proxy does not serve is
    /// [`Host::Unknown`], exactly like a name that does not exist (R9). An IP address is the proxy
    /// only if a listener is bound to it or advertises it: for one bound to every address the caller
    /// compares with the address the request came to.
    pub fn resolve_host(&self, proxy: &Proxy, host: &[u8], now_unix: u64) -> Host {
        let Some(folded) = Folded::new(host) else { return Host::Unknown };
        let text = folded.text();
        if let Some(ip) = address(text) {
            return if proxy.answers_to(ip) { Host::Proxy } else { Host::Unknown };
        }
        if text == &*proxy.fqdn || text == &*proxy.base_domain || proxy.advertises(text) {
            return Host::Proxy;
        }
        let label = match text.strip_suffix(&*proxy.base_domain).and_then(|rest| rest.strip_suffix('.')) {
            Some(label) => label,
            None => text,
        };
        if let Some(found) = self.served(proxy, &self.names.labels, label, now_unix) {
            return found;
        }
        self.served(proxy, &self.names.aliases, text, now_unix).unwrap_or(Host::Unknown)
    }

    /// What a bare name stands for at `proxy`, as in the path `/<name>/…` (R5).
    pub fn resolve_label(&self, proxy: &Proxy, label: &[u8], now_unix: u64) -> Host {
        if label.ends_with(b".") {
            return Host::Unknown;
        }
        Folded::new(label)
            .and_then(|folded| self.served(proxy, &self.names.labels, folded.text(), now_unix))
            .unwrap_or(Host::Unknown)
    }

    fn served(&self, proxy: &Proxy, names: &Directory, key: &str, now_unix: u64) -> Option<Host> {
        let named = names.get(key)?;
        if named.until.is_some_and(|until| now_unix > until) {
            return None;
        }
        proxy.serves(named.id).then_some(Host::Instance { id: named.id, former: named.until.is_some() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::testing::{compiled, instance, proxy, table};

    #[test]
    fn names_are_labels_and_the_fault_names_the_character() {
        // R2
        for good in ["a", "Acme", "0", "a-b", "xn--mller-kva", &"x".repeat(62), &"x".repeat(63)] {
            assert_eq!(check_new_name(good), Ok(()), "{good}");
        }
        for (bad, says) in [
            ("", "is empty"),
            ("a_b", "\"_\""),
            ("a.b", "\".\""),
            ("a b", "blank"),
            ("a/b", "\"/\""),
            ("a@b", "\"@\""),
            ("mü", "\"ü\""),
            ("a\0", "NUL"),
            ("a%20b", "\"%\""),
            ("a\tb", "U+0009"),
            ("a\u{1}", "U+0001"),
            (&"x".repeat(64), "64 characters, at most 63"),
            ("-a", "\"-\""),
            ("a-", "\"-\""),
        ] {
            let fault = check_new_name(bad).unwrap_err().to_string();
            assert!(fault.contains(says), "{bad:?}: {fault}");
        }
        assert_eq!(check_name("-old-"), Ok(()), "a name given before the rule stays");
    }

    #[test]
    fn hosts_are_labels_and_no_address() {
        for good in ["example.com", "a.b.c.", "localhost", "1.example"] {
            assert_eq!(check_host(good), Ok(()), "{good}");
        }
        assert_eq!(check_host("192.0.2.1"), Err(NameFault::Address));
        assert_eq!(check_host("[2001:db8::1]"), Err(NameFault::Address));
        assert_eq!(check_host("a..b"), Err(NameFault::Empty));
        assert_eq!(check_host("*.example.com"), Err(NameFault::Character('*')));
        let longest = format!("{}.{}.{}.{}", "a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61));
        assert_eq!(longest.len(), 253);
        assert_eq!(check_host(&longest), Ok(()));
        assert_eq!(check_host(&format!("{longest}d")), Err(NameFault::TooLong { length: 254, most: 253 }));
    }

    #[test]
    fn an_instance_is_reached_by_name_domain_and_alias_in_any_case() {
        // R4
        let mut acme = instance(1, "Acme");
        acme.aliases = vec!["pbx.acme.example".into()];
        let snapshot = compiled(&table([acme, instance(2, "other")], [proxy(1, "front")]));
        let front = snapshot.proxy_by_id(crate::ids::ProxyId(1)).unwrap();
        let acme = Host::Instance { id: crate::ids::InstanceId(1), former: false };
        for host in
            ["acme", "ACME", "acme.", "acme.pbx.example", "AcMe.PBX.example.", "pbx.acme.example", "PBX.ACME.EXAMPLE."]
        {
            assert_eq!(snapshot.resolve_host(front, host.as_bytes(), 0), acme, "{host}");
        }
        let other = Host::Instance { id: crate::ids::InstanceId(2), former: false };
        assert_eq!(snapshot.resolve_host(front, b"other", 0), other);
        // R5
        assert_eq!(snapshot.resolve_label(front, b"aCMe", 0), acme);
        for not_a_name in [&b"acme."[..], b"pbx.acme.example", b"acme.pbx.example", b"", b"acme/"] {
            assert_eq!(snapshot.resolve_label(front, not_a_name, 0), Host::Unknown);
        }
    }

    #[test]
    fn what_nobody_owns_is_unknown() {
        // R9
        let snapshot = compiled(&table([instance(1, "acme")], [proxy(1, "front")]));
        let front = snapshot.proxy_by_id(crate::ids::ProxyId(1)).unwrap();
        let long = [b'a'; 300];
        for host in [
            &b"nobody"[..],
            b"nobody.pbx.example",
            b"acme.elsewhere.example",
            b"x.acme.pbx.example",
            b"",
            b".",
            b"..",
            b"acme..",
            b"acme\0",
            b"acm\xc3\xa9",
            b"acme%00",
            b".pbx.example",
            b"192.0.2.99",
            b"[::9]",
            &long,
        ] {
            assert_eq!(snapshot.resolve_host(front, host, 0), Host::Unknown, "{host:?}");
        }
    }

    #[test]
    fn a_restricted_proxy_does_not_confirm_what_it_does_not_serve() {
        // R11
        let mut only_two = proxy(1, "front");
        only_two.instances = Some(vec!["two".into()]);
        let mut all = proxy(2, "second");
        all.fqdn = "second.example".into();
        let snapshot = compiled(&table([instance(1, "one"), instance(2, "two")], [only_two, all]));
        let front = snapshot.proxy_by_id(crate::ids::ProxyId(1)).unwrap();
        let second = snapshot.proxy_by_id(crate::ids::ProxyId(2)).unwrap();
        for host in [&b"one"[..], b"one.pbx.example"] {
            assert_eq!(snapshot.resolve_host(front, host, 0), Host::Unknown);
            assert!(matches!(snapshot.resolve_host(second, host, 0), Host::Instance { .. }));
        }
        assert!(matches!(snapshot.resolve_host(front, b"two", 0), Host::Instance { .. }));
        assert!(matches!(snapshot.resolve_host(second, b"two", 0), Host::Instance { .. }));
    }

    #[test]
    fn a_former_name_routes_until_its_date() {
        // R7
        let mut acme = instance(1, "acme");
        acme.former_names = vec![crate::model::FormerName { name: "Old".into(), until: 1_000 }];
        let snapshot = compiled(&table([acme], [proxy(1, "front")]));
        let front = snapshot.proxy_by_id(crate::ids::ProxyId(1)).unwrap();
        for (now, routes) in [(999, true), (1_000, true), (1_001, false)] {
            for host in [&b"old"[..], b"OLD.pbx.example"] {
                let found = snapshot.resolve_host(front, host, now);
                assert_eq!(matches!(found, Host::Instance { former: true, .. }), routes, "{now}");
            }
        }
        assert!(matches!(snapshot.resolve_host(front, b"acme", 0), Host::Instance { former: false, .. }));
    }

    #[test]
    fn the_proxy_is_known_by_its_names_and_addresses() {
        let mut row = proxy(1, "front");
        row.listeners[0].bind = "192.0.2.1:5060".parse().unwrap();
        row.listeners[0].advertise = Some("nat.example:5999".into());
        row.listeners[1].bind = "[2001:db8::1]:5060".parse().unwrap();
        row.listeners[1].advertise = Some("203.0.113.7".into());
        let snapshot = compiled(&table([instance(1, "acme")], [row]));
        let front = snapshot.proxy_by_id(crate::ids::ProxyId(1)).unwrap();
        for host in [
            "front.pbx.example",
            "FRONT.pbx.example.",
            "pbx.example",
            "192.0.2.1",
            "[2001:db8::1]",
            "2001:DB8::1",
            "nat.example",
            "203.0.113.7",
            "[::ffff:192.0.2.1]",
        ] {
            assert_eq!(snapshot.resolve_host(front, host.as_bytes(), 0), Host::Proxy, "{host}");
        }
    }
}
