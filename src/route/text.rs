//! Short texts that are kept by the million: up to 22 bytes lie in place, with no allocation of their own.

use std::ops::Deref;

/// Bytes that lie in place.
const SHORT: usize = 22;

/// A text.
#[derive(Clone)]
pub(super) enum Text {
    /// Its length and its bytes.
    Short(u8, [u8; SHORT]),
    /// What is longer.
    Long(Box<str>),
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        let mut bytes = [0; SHORT];
        match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(room), Ok(length)) => {
                room.copy_from_slice(text.as_bytes());
                Self::Short(length, bytes)
            }
            _ => Self::Long(text.into()),
        }
    }
}

impl Text {
    /// Its bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Short(length, bytes) => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Self::Long(text) => text.as_bytes(),
        }
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Short(..) => std::str::from_utf8(self.bytes()).unwrap_or_default(),
            Self::Long(text) => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_back_as_it_was() {
        for length in [0, 1, SHORT - 1, SHORT, SHORT + 1, 253] {
            let text = "ä".repeat(length / 2) + &"x".repeat(length % 2);
            assert_eq!((&*Text::from(&*text), Text::from(&*text).bytes()), (&*text, text.as_bytes()));
        }
        assert_eq!(size_of::<Text>(), 24);
    }
}
