//! A short text of bytes that is held many times: the name of an account or a user.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// Bytes that fit without room of their own.
const INLINE: usize = 14;

/// A name: 16 bytes, and nothing else for nearly all of them. Longer ones share their bytes.
#[derive(Clone)]
pub struct Name(Kind);

#[derive(Clone)]
enum Kind {
    Short { len: u8, bytes: [u8; INLINE] },
    Long(Arc<Vec<u8>>),
}

impl Deref for Name {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Kind::Short { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or(bytes),
            Kind::Long(bytes) => bytes,
        }
    }
}

impl From<&[u8]> for Name {
    fn from(text: &[u8]) -> Self {
        let mut bytes = [0; INLINE];
        match bytes.get_mut(..text.len()) {
            Some(room) => {
                room.copy_from_slice(text);
                Self(Kind::Short { len: text.len() as u8, bytes })
            }
            None => Self(Kind::Long(Arc::new(text.to_vec()))),
        }
    }
}

impl From<Vec<u8>> for Name {
    fn from(text: Vec<u8>) -> Self {
        if text.len() > INLINE { Self(Kind::Long(Arc::new(text))) } else { Self::from(text.as_slice()) }
    }
}

impl Default for Name {
    fn default() -> Self {
        Self(Kind::Short { len: 0, bytes: [0; INLINE] })
    }
}

impl Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Name {}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl Hash for Name {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (**self).hash(hasher);
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_its_bytes() {
        assert_eq!((size_of::<Name>(), size_of::<Option<Name>>()), (16, 16));
        let text = b"4915112345678901";
        for len in 0..=text.len() {
            let name = Name::from(&text[..len]);
            let other = Name::from(text[..len].to_vec());
            assert_eq!((&*name, &name, &name.clone()), (&text[..len], &other, &other));
        }
        assert!(Name::from(&b"bob"[..]) < Name::from(&b"eve"[..]) && Name::from(&text[..]) < Name::from(&b"5"[..]));
        assert_eq!(format!("{:?}", Name::from(&b"b\xff"[..])), "\"b\\xff\"");
    }
}
