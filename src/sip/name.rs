//! The header fields the proxy knows, and how their names are written.

use super::seek;
use wide::u8x16;

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
        match Self::like(label, label.len()) {
            Some(name) if label.len() == 1 || label.eq_ignore_ascii_case(name.text().as_bytes()) => name,
            _ => Self::Other,
        }
    }

    /// The field whose name is at the start of a row with a colon right behind it, and how long the name is. `None`
    /// for any other, for what is longer than a block and for what is written in another way; then [`Self::of`] is to
    /// be asked.
    #[inline]
    pub(super) fn before_colon(row: &[u8; seek::BLOCK]) -> Option<(Self, usize)> {
        let block = u8x16::new(*row);
        // Made small, CR would be taken for `-`.
        let length = (seek::is(block, b':') | seek::is(block, b'\r')).to_bitmask().trailing_zeros() as usize;
        let word = seek::small_start(row, length).filter(|_| row.get(length) == Some(&b':'))?;
        let (known, name) = KNOWN.get(slot(word))?;
        (*known == word).then_some((*name, length))
    }

    /// The one field that a name of this length may be that starts as this text.
    #[inline]
    fn like(text: &[u8], length: usize) -> Option<Self> {
        let small = |place: usize| text.get(place).map(|b| b | 0x20);
        Some(match (length, small(0)?) {
            (1, letter) => return Some(Self::compact(letter)).filter(|name| *name != Self::Other),
            (2, b't') => Self::To,
            (3, b'v') => Self::Via,
            (4, b'f') => Self::From,
            (4, b'c') => Self::CSeq,
            (4, b'p') => Self::Path,
            (5, b'r') => Self::Route,
            (5, b'e') => Self::Event,
            (7, b'c') => match small(1) {
                Some(b'a') => Self::CallId,
                _ => Self::Contact,
            },
            (7, b'e') => Self::Expires,
            (7, b'p') => Self::Privacy,
            (7, b'r') => Self::Require,
            (8, b'r') => match small(3) {
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
            (19, b'p') => match small(1) {
                Some(b'-') => Self::PAssertedIdentity,
                _ => Self::ProxyAuthorization,
            },
            (20, b'p') => Self::PPreferredIdentity,
            _ => return None,
        })
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

/// All in their order.
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

/// Where a name is in [`KNOWN`]. The factor was drawn so that no two names meet.
#[inline(always)]
const fn slot(word: u128) -> usize {
    ((word as u64 ^ (word >> 64) as u64).wrapping_mul(0x3aaf_3e89_1526_5ec9) >> 58) as usize
}

/// Names of fields that fit a block, in small letters and as numbers, compact and long.
static KNOWN: [(u128, Name); 64] = known();

const fn known() -> [(u128, Name); 64] {
    let mut known = [(u128::MAX, Name::Other); 64];
    let mut names: &[Name] = &ALL;
    while let [name, others @ ..] = names {
        if name.text().len() < seek::BLOCK {
            put(&mut known, word(name.text().as_bytes()), *name);
        }
        names = others;
    }
    let mut letter = b'a';
    while letter <= b'z' {
        put(&mut known, letter as u128, Name::compact(letter));
        letter += 1;
    }
    known
}

const fn put(mut known: &mut [(u128, Name)], word: u128, name: Name) {
    let mut left = slot(word);
    while let Some((place, rest)) = known.split_first_mut() {
        if left == 0 && !matches!(name, Name::Other) {
            *place = (word, name);
        }
        left = left.wrapping_sub(1);
        known = rest;
    }
}

/// A name in small letters as one number, the first in its lowest bits.
const fn word(text: &[u8]) -> u128 {
    let (mut word, mut rest) = (0, text);
    while let [before @ .., last] = rest {
        word = word << 8 | last.to_ascii_lowercase() as u128;
        rest = before;
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_name_before_its_colon_is_the_same() {
        let rows = ["To\u{1}", "Call\rID", "Call Id", "To ", "Tx", "", "s", "Contact", "i", "Content-Lengtx", "X-Y"];
        let rows = rows.into_iter().chain(ALL.map(Name::text)).map(str::to_owned);
        for label in rows.flat_map(|row| [row.to_ascii_lowercase(), row.to_ascii_uppercase(), row]) {
            let row: Vec<u8> = label.bytes().chain(*b": <sip:alice@example.com>").take(seek::BLOCK).collect();
            let known = Name::of(label.as_bytes());
            let told = (known != Name::Other && label.len() < seek::BLOCK).then_some((known, label.len()));
            assert_eq!(Name::before_colon(row.first_chunk().unwrap()), told, "{label:?}");
        }
        assert_eq!(Name::before_colon(b"a name of no end"), None);
    }

    #[test]
    fn names_of_the_same_length_are_not_confused() {
        for label in ["Tx", "Vie", "Frob", "Rowte", "Content", "Retry-Af", "C%6Fntact", "Content-Lengtx", "", "To\u{1}"]
        {
            assert_eq!(Name::of(label.as_bytes()), Name::Other, "{label}");
        }
    }
}
