//! Signed documents: licences and what the vendor says about them (R64).
//!
//! The bytes that were signed are kept as they came and never written anew. A [`Document`] that was read with
//! [`Document::read`] or [`Document::verify`] is genuine; one that comes out of a store is only well formed, and is
//! verified at its loading by whoever knows the keys.
//!
//! Bytes: format (1), length of the key id (1), key id, content as JSON, signature (64). The signature covers all
//! before it, under a prefix of its own, so that nothing else signed with the key can be taken for a document.

use super::armour::{self, ArmourError};
use super::key::{Keys, Refused, Signer};
use super::terms::{Body, DocumentKind, SCHEMA, moment};
use ed25519_dalek::Signature;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const FORMAT: u8 = 1;
const PREFIX: &[u8] = b"nantucket licence document\0";
/// How far a document may be dated ahead: clocks of machines differ a little.
const SKEW: u64 = 86_400;

/// Why a document is refused. Nothing changes then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// The text around it is damaged.
    #[error(transparent)]
    Armour(#[from] ArmourError),
    /// It is in a form this program does not know.
    #[error("the document is of a form this program does not know: update Nantucket")]
    Format,
    /// It is signed with a key that is not configured.
    #[error("the document is signed with the key {0:?}, which is not among the vendor's keys of this installation")]
    UnknownKey(String),
    /// It is signed with the demo key or a test key.
    #[error(
        "the document is signed with {0:?}, a demo or test key: as a vendor's key is configured, it is not accepted"
    )]
    DemoKey(String),
    /// The signature is not of these bytes.
    #[error("the signature does not match: the document was changed after the vendor signed it with {0:?}")]
    Signature(String),
    /// Its content is of a newer shape.
    #[error("the document is of schema {0}, but this program knows schema {SCHEMA} only: update Nantucket")]
    Schema(u32),
    /// Its content cannot be read.
    #[error("the document's content cannot be read: {0}")]
    Content(String),
    /// Its content contradicts itself.
    #[error("the document makes no sense: {0}")]
    Terms(String),
    /// It is genuine but not what was asked for.
    #[error("the document is a {found}, not a {expected}")]
    WrongKind {
        /// What was asked for.
        expected: DocumentKind,
        /// What it is.
        found: DocumentKind,
    },
    /// Its time is over.
    #[error("the document {id} expired on {}", moment(*.at))]
    Expired {
        /// Which one.
        id: String,
        /// When, in Unix seconds.
        at: u64,
    },
    /// It is dated ahead of this machine's time.
    #[error("the document {id} was issued on {}, but here it is {}: set this machine's clock", moment(*.issued), moment(*.now))]
    NotYet {
        /// Which one.
        id: String,
        /// Its date, in Unix seconds.
        issued: u64,
        /// The licence time here, in Unix seconds.
        now: u64,
    },
    /// A later issue of it is there.
    #[error("the document {id} was issued on {}, but one issued on {} is installed", moment(*.issued), moment(*.installed))]
    Older {
        /// Which one.
        id: String,
        /// Its date, in Unix seconds.
        issued: u64,
        /// The date of the one installed.
        installed: u64,
    },
    /// It would be longer than a QR code holds.
    #[error("the document would have {0} bytes, more than the {max} that fit", max = armour::MAX)]
    TooLong(usize),
}

/// A signed document.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Document {
    bytes: Arc<[u8]>,
    key: String,
    body: Body,
}

impl DocumentError {
    /// A code that stays, for programs.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Armour(ArmourError::Missing) => "document-missing",
            Self::Armour(ArmourError::Several) => "document-several",
            Self::Armour(_) => "document-damaged",
            Self::Format => "document-format",
            Self::UnknownKey(_) => "document-unknown-key",
            Self::DemoKey(_) => "document-demo-key",
            Self::Signature(_) => "document-signature",
            Self::Schema(_) => "document-schema",
            Self::Content(_) => "document-content",
            Self::Terms(_) => "document-terms",
            Self::WrongKind { .. } => "document-wrong-kind",
            Self::Expired { .. } => "document-expired",
            Self::NotYet { .. } => "document-not-yet",
            Self::Older { .. } => "document-older",
            Self::TooLong(_) => "document-too-long",
        }
    }
}

impl Document {
    /// Signs a content.
    pub fn issue(body: &Body, signer: &Signer) -> Result<Self, DocumentError> {
        body.check().map_err(DocumentError::Terms)?;
        let content = serde_json::to_vec(body).map_err(|error| DocumentError::Content(error.to_string()))?;
        let id = u8::try_from(signer.id().len()).map_err(|_| DocumentError::Format)?;
        let mut bytes = vec![FORMAT, id];
        bytes.extend_from_slice(signer.id().as_bytes());
        bytes.extend_from_slice(&content);
        let signature = signer.sign(&message(&bytes));
        bytes.extend_from_slice(&signature);
        if bytes.len() > armour::MAX {
            return Err(DocumentError::TooLong(bytes.len()));
        }
        Sealed::open(bytes)?.document()
    }

    /// Reads a document that somebody gave: it is genuine, and valid at this moment of the licence clock.
    pub fn read(text: &str, keys: &Keys, now: u64) -> Result<Self, DocumentError> {
        let document = Self::verify(text, keys)?;
        document.check_time(now)?;
        Ok(document)
    }

    /// Reads a document whatever its time: it is genuine.
    pub fn verify(text: &str, keys: &Keys) -> Result<Self, DocumentError> {
        let sealed = Sealed::open(armour::read(text)?)?;
        // Nobody else's content is looked into.
        sealed.verify(keys)?;
        sealed.document()
    }

    /// Reads a document without asking who signed it, to show what it says.
    pub fn parse(text: &str) -> Result<Self, DocumentError> {
        Sealed::open(armour::read(text)?)?.document()
    }

    /// Whether it is genuine, by these keys.
    pub fn check_signature(&self, keys: &Keys) -> Result<(), DocumentError> {
        Sealed::open(self.bytes.to_vec())?.verify(keys)
    }

    /// Whether it is valid at this moment of the licence clock.
    pub fn check_time(&self, now: u64) -> Result<(), DocumentError> {
        let id = || self.body.id.clone();
        match self.body.expires {
            Some(at) if at <= now => Err(DocumentError::Expired { id: id(), at }),
            _ if self.body.issued > now.saturating_add(SKEW) => {
                Err(DocumentError::NotYet { id: id(), issued: self.body.issued, now })
            }
            _ => Ok(()),
        }
    }

    /// Whether it is of the kind asked for.
    pub fn check_kind(&self, expected: DocumentKind) -> Result<(), DocumentError> {
        let found = self.kind();
        if found == expected { Ok(()) } else { Err(DocumentError::WrongKind { expected, found }) }
    }

    /// Its content.
    pub const fn body(&self) -> &Body {
        &self.body
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.body.id
    }

    /// Its kind.
    pub const fn kind(&self) -> DocumentKind {
        self.body.terms.kind()
    }

    /// The id of the key it is signed with.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Its text in lines.
    pub fn text(&self) -> String {
        armour::lines(&self.bytes)
    }

    /// Its text on one line, for a QR code.
    pub fn line(&self) -> String {
        armour::line(&self.bytes)
    }
}

/// The same bytes.
impl PartialEq for Document {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Document {}

impl From<Document> for String {
    fn from(document: Document) -> Self {
        document.text()
    }
}

impl TryFrom<String> for Document {
    type Error = DocumentError;

    fn try_from(text: String) -> Result<Self, DocumentError> {
        Self::parse(&text)
    }
}

/// The parts of a document, before anybody looked at its content.
struct Sealed {
    bytes: Vec<u8>,
    key: String,
    signature: [u8; Signature::BYTE_SIZE],
}

impl Sealed {
    fn open(bytes: Vec<u8>) -> Result<Self, DocumentError> {
        let (FORMAT, rest) = bytes.split_first().map(|(format, rest)| (*format, rest)).ok_or(DocumentError::Format)?
        else {
            return Err(DocumentError::Format);
        };
        let (length, rest) = rest.split_first().ok_or(DocumentError::Format)?;
        let (key, rest) = rest.split_at_checked(usize::from(*length)).ok_or(DocumentError::Format)?;
        let key = std::str::from_utf8(key).map_err(|_| DocumentError::Format)?.to_owned();
        let signature = *rest.last_chunk().ok_or(DocumentError::Format)?;
        Ok(Self { bytes, key, signature })
    }

    fn verify(&self, keys: &Keys) -> Result<(), DocumentError> {
        let key = keys.find(&self.key).map_err(|refused| match refused {
            Refused::Unknown => DocumentError::UnknownKey(self.key.clone()),
            Refused::Demo => DocumentError::DemoKey(self.key.clone()),
        })?;
        let (signed, signature) = (message(self.signed()), Signature::from_bytes(&self.signature));
        key.verify_strict(&signed, &signature).map_err(|_| DocumentError::Signature(self.key.clone()))
    }

    fn document(self) -> Result<Document, DocumentError> {
        #[derive(Deserialize)]
        struct Shape {
            schema: u32,
        }
        let content = self.signed().get(2 + self.key.len()..).unwrap_or_default();
        let unread = |error: serde_json::Error| DocumentError::Content(error.to_string());
        let Shape { schema } = serde_json::from_slice(content).map_err(unread)?;
        if schema != SCHEMA {
            return Err(DocumentError::Schema(schema));
        }
        let body: Body = serde_json::from_slice(content).map_err(unread)?;
        body.check().map_err(DocumentError::Terms)?;
        Ok(Document { bytes: self.bytes.into(), key: self.key, body })
    }

    /// What the signature covers.
    fn signed(&self) -> &[u8] {
        let end = self.bytes.len().saturating_sub(Signature::BYTE_SIZE);
        self.bytes.get(..end).unwrap_or_default()
    }
}

fn message(signed: &[u8]) -> Vec<u8> {
    [PREFIX, signed].concat()
}

#[cfg(test)]
mod tests;
