//! The header fields the proxy knows, and how their names are written.

/// The header fields the proxy looks at; every other is `Other`. Compact forms are the same field.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "each is the header field of its name")]
pub enum Name {
    Authorization,
    CallId,
    Contact,
    ContentLength,
    ContentType,
    CSeq,
    Event,
    Expires,
    From,
    MaxBreadth,
    MaxForwards,
    PAssertedIdentity,
    PPreferredIdentity,
    Path,
    Privacy,
    ProxyAuthorization,
    ProxyRequire,
    RecordRoute,
    ReferTo,
    Replaces,
    Require,
    Route,
    Supported,
    To,
    UserAgent,
    Via,
    Other,
}

impl Name {
    /// How many there are.
    pub const COUNT: usize = Self::Other as usize + 1;

    /// The field of this name as written: any case, compact or long (V12).
    pub fn of(label: &[u8]) -> Self {
        let Some(first) = label.first() else { return Self::Other };
        let first = first | 0x20;
        let name = match (label.len(), first) {
            (1, _) => return Self::compact(first),
            (2, b't') => Self::To,
            (3, b'v') => Self::Via,
            (4, b'f') => Self::From,
            (4, b'c') => Self::CSeq,
            (4, b'p') => Self::Path,
            (5, b'r') => Self::Route,
            (5, b'e') => Self::Event,
            (7, b'c') => match label.get(1).map(|b| b | 0x20) {
                Some(b'a') => Self::CallId,
                _ => Self::Contact,
            },
            (7, b'e') => Self::Expires,
            (7, b'p') => Self::Privacy,
            (7, b'r') => Self::Require,
            (8, b'r') => match label.get(3).map(|b| b | 0x20) {
                Some(b'e') => Self::ReferTo,
                _ => Self::Replaces,
            },
            (9, b's') => Self::Supported,
            (10, b'u') => Self::UserAgent,
            (11, b'm') => Self::MaxBreadth,
            (12, b'c') => Self::ContentType,
            (12, b'm') => Self::MaxForwards,
            (12, b'r') => Self::RecordRoute,
            (13, b'a') => Self::Authorization,
            (13, b'p') => Self::ProxyRequire,
            (14, b'c') => Self::ContentLength,
            (19, b'p') => match label.get(1) {
                Some(b'-') => Self::PAssertedIdentity,
                _ => Self::ProxyAuthorization,
            },
            (20, b'p') => Self::PPreferredIdentity,
            _ => return Self::Other,
        };
        let text = name.text().as_bytes();
        if label == text || label.eq_ignore_ascii_case(text) { name } else { Self::Other }
    }

    /// RFC 3261 §7.3.3, §20 and the later registrations.
    const fn compact(letter: u8) -> Self {
        match letter {
            b'i' => Self::CallId,
            b'm' => Self::Contact,
            b'l' => Self::ContentLength,
            b'c' => Self::ContentType,
            b'o' => Self::Event,
            b'f' => Self::From,
            b'r' => Self::ReferTo,
            b'k' => Self::Supported,
            b't' => Self::To,
            b'v' => Self::Via,
            _ => Self::Other,
        }
    }

    /// The long form, as we write it; empty for `Other`.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Authorization => "Authorization",
            Self::CallId => "Call-ID",
            Self::Contact => "Contact",
            Self::ContentLength => "Content-Length",
            Self::ContentType => "Content-Type",
            Self::CSeq => "CSeq",
            Self::Event => "Event",
            Self::Expires => "Expires",
            Self::From => "From",
            Self::MaxBreadth => "Max-Breadth",
            Self::MaxForwards => "Max-Forwards",
            Self::PAssertedIdentity => "P-Asserted-Identity",
            Self::PPreferredIdentity => "P-Preferred-Identity",
            Self::Path => "Path",
            Self::Privacy => "Privacy",
            Self::ProxyAuthorization => "Proxy-Authorization",
            Self::ProxyRequire => "Proxy-Require",
            Self::RecordRoute => "Record-Route",
            Self::ReferTo => "Refer-To",
            Self::Replaces => "Replaces",
            Self::Require => "Require",
            Self::Route => "Route",
            Self::Supported => "Supported",
            Self::To => "To",
            Self::UserAgent => "User-Agent",
            Self::Via => "Via",
            Self::Other => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Name; Name::COUNT] = [
        Name::Authorization,
        Name::CallId,
        Name::Contact,
        Name::ContentLength,
        Name::ContentType,
        Name::CSeq,
        Name::Event,
        Name::Expires,
        Name::From,
        Name::MaxBreadth,
        Name::MaxForwards,
        Name::PAssertedIdentity,
        Name::PPreferredIdentity,
        Name::Path,
        Name::Privacy,
        Name::ProxyAuthorization,
        Name::ProxyRequire,
        Name::RecordRoute,
        Name::ReferTo,
        Name::Replaces,
        Name::Require,
        Name::Route,
        Name::Supported,
        Name::To,
        Name::UserAgent,
        Name::Via,
        Name::Other,
    ];

    #[test]
    fn every_long_form_is_found_in_any_case() {
        // V12
        for (number, name) in ALL.into_iter().enumerate() {
            assert_eq!(name as usize, number);
            assert_eq!(Name::of(name.text().as_bytes()), name, "{name:?}");
            assert_eq!(Name::of(name.text().to_ascii_uppercase().as_bytes()), name);
            assert_eq!(Name::of(name.text().to_ascii_lowercase().as_bytes()), name);
        }
    }

    #[test]
    fn compact_forms_are_the_same_fields() {
        // V12
        for (letter, name) in [
            ("i", Name::CallId),
            ("m", Name::Contact),
            ("l", Name::ContentLength),
            ("c", Name::ContentType),
            ("o", Name::Event),
            ("f", Name::From),
            ("r", Name::ReferTo),
            ("k", Name::Supported),
            ("t", Name::To),
            ("v", Name::Via),
            ("s", Name::Other),
            ("e", Name::Other),
            ("x", Name::Other),
            ("b", Name::Other),
            ("u", Name::Other),
        ] {
            assert_eq!(Name::of(letter.as_bytes()), name, "{letter}");
            assert_eq!(Name::of(letter.to_ascii_uppercase().as_bytes()), name, "{letter}");
        }
    }

    #[test]
    fn names_of_the_same_length_are_not_confused() {
        for label in ["Tx", "Vie", "Frob", "Rowte", "Content", "Retry-Af", "C%6Fntact", "Content-Lengtx", "", "To\u{1}"]
        {
            assert_eq!(Name::of(label.as_bytes()), Name::Other, "{label}");
        }
    }
}
