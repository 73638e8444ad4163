//! What tells a light user's device from another (R43).

/// Bytes of an identity that are looked at.
const LONGEST: usize = 256;

/// A device, as its REGISTER shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Device<'a> {
    /// Its `+sip.instance`, the same for every `reg-id` (P10).
    Instance(&'a [u8]),
    /// Its Contact's user part and its User-Agent.
    Phone {
        /// User part of the Contact.
        user: &'a [u8],
        /// User-Agent.
        agent: &'a [u8],
    },
}

impl Device<'_> {
    /// Whether this is the device whose identity was kept.
    pub fn is(&self, kept: &[u8]) -> bool {
        match *self {
            // RFC 4122 §3: the hexadecimal digits are compared without case.
            Self::Instance(instance) => cut(instance).eq_ignore_ascii_case(kept),
            Self::Phone { user, agent } => {
                let (user, agent) = (cut(user), cut(agent));
                kept.len() == user.len() + 1 + agent.len()
                    && kept.starts_with(user)
                    && kept.get(user.len()) == Some(&b' ')
                    && kept.ends_with(agent)
            }
        }
    }

    /// Its identity, to be kept.
    pub fn keep(&self) -> Box<[u8]> {
        match *self {
            Self::Instance(instance) => cut(instance).into(),
            Self::Phone { user, agent } => [cut(user), b" ", cut(agent)].concat().into(),
        }
    }
}

fn cut(text: &[u8]) -> &[u8] {
    text.get(..LONGEST).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_known_by_its_instance_or_by_contact_user_and_agent() {
        // R43
        let uuid = Device::Instance(b"<urn:uuid:00aB>");
        assert!(uuid.is(&uuid.keep()) && Device::Instance(b"<urn:uuid:00Ab>").is(&uuid.keep()));
        assert!(!Device::Instance(b"<urn:uuid:00ac>").is(&uuid.keep()));
        let phone = Device::Phone { user: b"bob", agent: b"Phone/1" };
        assert!(phone.is(&phone.keep()));
        assert!(!Device::Phone { user: b"bob", agent: b"Phone/2" }.is(&phone.keep()));
        assert!(!Device::Phone { user: b"eve", agent: b"Phone/1" }.is(&phone.keep()));
        assert!(!Device::Phone { user: b"b", agent: b"b Phone/1" }.is(&phone.keep()));
        assert!(!uuid.is(&phone.keep()) && !phone.is(&uuid.keep()));
        let long = [b'x'; 1_000];
        assert!(Device::Instance(&long).is(&Device::Instance(&long).keep()));
        assert_eq!(Device::Phone { user: &long, agent: &long }.keep().len(), 2 * LONGEST + 1);
    }
}
