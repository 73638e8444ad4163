//! The hardware id: what a machine is recognised by (R57).
//!
//! Pure: the properties and the key are read elsewhere and given in.

use super::base32;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::str::FromStr;
use utoipa::ToSchema;

const BYTES: usize = 20;
const GROUP: usize = 4;

/// What identifies a machine, in clear.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Properties of the CPU, in a fixed order.
    pub cpu: Vec<Property>,
    /// Public half of the key pair made at installation.
    pub key: [u8; 32],
}

/// A property with its value, as in `model name` = `…`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Property {
    /// What it is called.
    pub name: String,
    /// What it says.
    pub value: String,
}

/// The hash of a [`Machine`]: 160 bits, written in groups of four characters. The default is no machine's.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HardwareId([u8; BYTES]);

/// A text that is no hardware id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no hardware id: 32 letters and digits in groups of four are expected, as `nantucket licence hardware` shows them"
)]
pub struct NoHardwareId(String);

impl Machine {
    /// Its id: another CPU or another key pair is another machine (R57).
    pub fn id(&self) -> HardwareId {
        let mut hash = Sha256::new_with_prefix(b"nantucket hardware 1");
        let mut add = |bytes: &[u8]| {
            // Each part with its length: no two machines are the same string.
            hash.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(bytes);
        };
        add(&self.key);
        for Property { name, value } in &self.cpu {
            add(name.as_bytes());
            add(value.as_bytes());
        }
        HardwareId(hash.finalize().first_chunk().copied().unwrap_or_default())
    }
}

impl fmt::Display for HardwareId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, character) in base32::encode(&self.0).chars().enumerate() {
            if n > 0 && n % GROUP == 0 {
                f.write_str("-")?;
            }
            write!(f, "{character}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for HardwareId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for HardwareId {
    type Err = NoHardwareId;

    fn from_str(text: &str) -> Result<Self, NoHardwareId> {
        let wrong = || NoHardwareId(text.chars().take(60).collect());
        let characters = text.chars().filter(|character| *character != '-' && !character.is_whitespace());
        let values: Option<Vec<u8>> =
            characters.map(|character| base32::value(character.to_ascii_uppercase())).take(BYTES * 2).collect();
        let bytes = values.and_then(|values| base32::decode(&values)).ok_or_else(wrong)?;
        bytes.try_into().map(Self).map_err(|_| wrong())
    }
}

impl TryFrom<String> for HardwareId {
    type Error = NoHardwareId;

    fn try_from(text: String) -> Result<Self, NoHardwareId> {
        text.parse()
    }
}

impl From<HardwareId> for String {
    fn from(id: HardwareId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(cpu: &[(&str, &str)], key: u8) -> Machine {
        let property = |(name, value): &(&str, &str)| Property { name: (*name).into(), value: (*value).into() };
        Machine { cpu: cpu.iter().map(property).collect(), key: [key; 32] }
    }

    #[test]
    fn another_cpu_or_another_key_pair_is_another_machine() {
        // R57
        let here = machine(&[("model", "A"), ("stepping", "1")], 1);
        assert_eq!(here.id(), here.clone().id());
        for other in [
            machine(&[("model", "A"), ("stepping", "1")], 2),
            machine(&[("model", "B"), ("stepping", "1")], 1),
            machine(&[("model", "A"), ("stepping", "2")], 1),
            machine(&[("model", "A")], 1),
            machine(&[("model", "A1"), ("stepping", "")], 1),
            machine(&[("modelA", ""), ("stepping", "1")], 1),
        ] {
            assert_ne!(other.id(), here.id(), "{other:?}");
        }
    }

    #[test]
    fn it_is_read_as_people_copy_it() {
        let id = machine(&[("model", "A")], 1).id();
        let text = id.to_string();
        assert_eq!((text.len(), text.matches('-').count()), (39, 7));
        for text in [text.clone(), text.replace('-', ""), text.replace('-', " "), text.to_lowercase()] {
            assert_eq!(text.parse::<HardwareId>(), Ok(id));
        }
        for wrong in ["", "AAAA", &text[1..], &format!("{text}A"), &text.replace('-', "1")] {
            assert!(wrong.parse::<HardwareId>().is_err(), "{wrong}");
        }
        assert_eq!(serde_json::from_value::<HardwareId>(serde_json::to_value(id).unwrap()).unwrap(), id);
    }
}
