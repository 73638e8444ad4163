//! What is wrong with a row: where, why, and a code that never changes.
//!
//! Made by `compile` (what is loaded) and `control::validate` (what is asked for), shown by the API,
//! the CLI and the log.

use crate::licence::Refusal;
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// One thing that is wrong with one field of one row.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = RowProblem)]
pub struct Problem {
    /// Kind and name of the row, as in `instance/acme`; `table` for the whole.
    pub row: String,
    /// The field in JSON's spelling, as in `backends[0].address`; empty for the whole row.
    pub field: String,
    /// For people.
    pub reason: String,
    /// For programs.
    pub code: Code,
}

impl Problem {
    /// A problem of one field.
    pub fn new(row: impl Into<String>, field: impl Into<String>, code: Code, reason: impl Into<String>) -> Self {
        Self { row: row.into(), field: field.into(), reason: reason.into(), code }
    }
}

impl Problem {
    /// What the licence book refuses: its reason names the rule.
    pub fn refused(row: impl Into<String>, field: impl Into<String>, refusal: &Refusal) -> Self {
        Self::new(row, field, Code::of(refusal.code), refusal.to_string())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { row, field, reason, code } = self;
        f.write_str(row)?;
        if !field.is_empty() {
            write!(f, " {field}")?;
        }
        write!(f, ": {reason} ({})", code.text())
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// The stable code of a problem.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "kebab-case")]
        #[schema(as = RowProblemCode)]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// As it is written in answers, logs and metrics.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Every code.
            const ALL: &'static [Self] = &[$(Self::$name,)*];
        }
    };
}

impl Code {
    /// The code of a refusal of the licence book, by its text. One that is not known here is a document's fault.
    pub fn of(text: &str) -> Self {
        Self::ALL.iter().copied().find(|code| code.text() == text).unwrap_or(Self::DocumentTerms)
    }
}

codes! {
    /// A name or host that breaks R2.
    NameInvalid = "name-invalid",
    /// A name, alias or FQDN that is somebody else's (R3, R13).
    NameTaken = "name-taken",
    /// A reserved name (R13).
    NameReserved = "name-reserved",
    /// A change of name outside of a rename (R7).
    RenameExplicit = "rename-explicit",
    /// An id that the control plane did not give, or gave to another row.
    IdInvalid = "id-invalid",
    /// No id is left to give.
    IdsExhausted = "ids-exhausted",
    /// A document of a later program version, or one that cannot be read.
    SchemaUnknown = "schema-unknown",
    /// A text that is too long or holds control characters.
    TextInvalid = "text-invalid",
    /// An address that is none, or that nothing can be sent to.
    AddressInvalid = "address-invalid",
    /// A host name without an address at present.
    AddressUnresolved = "address-unresolved",
    /// A transport that is not spoken there.
    TransportUnsupported = "transport-unsupported",
    /// A URL of the wrong shape.
    UrlInvalid = "url-invalid",
    /// The same entry twice.
    Duplicate = "duplicate",
    /// More entries than allowed.
    TooMany = "too-many",
    /// A number outside its range.
    OutOfRange = "out-of-range",
    /// A listener on an address that another one has.
    ListenerConflict = "listener-conflict",
    /// A reference to a row that does not exist.
    ReferenceUnknown = "reference-unknown",
    /// A row that others refer to.
    InUse = "in-use",
    /// A certificate chain that cannot be read.
    CertificateInvalid = "certificate-invalid",
    /// A private key that cannot be read.
    KeyInvalid = "key-invalid",
    /// A private key of another certificate.
    KeyMismatch = "key-mismatch",
    /// A certificate without subject alternative names.
    CertificateNoSan = "certificate-no-san",
    /// A certificate whose time is over.
    CertificateExpired = "certificate-expired",
    /// Something that must be given is not.
    Missing = "missing",
    /// An account that is no user part of a SIP address.
    AccountInvalid = "account-invalid",
    /// More users than a community instance has (R16, R26).
    CommunityUsers = "community-users",
    /// More community instances than an installation has (R15).
    CommunityInstances = "community-instances",
    /// More users than the volume licence has left (R18, R24).
    PoolExhausted = "pool-exhausted",
    /// More users are booked than the volume licence has: no booking may grow (R22).
    PoolOverAllocated = "pool-over-allocated",
    /// More users than a cloud instance is booked (R20).
    BookedUsers = "booked-users",
    /// More users than a server licence has (R56).
    ServerUsers = "server-users",
    /// More users than there would be in another mode (R26).
    ModeTooSmall = "mode-too-small",
    /// A booking or a server licence that does not go with the mode (R14, R18, R23).
    ModeMismatch = "mode-mismatch",
    /// A server licence that is not installed (R53).
    NoServerLicence = "no-server-licence",
    /// A server licence that another instance uses (R53).
    ServerLicenceUsed = "server-licence-used",
    /// The volume licence, of which users are booked (R18).
    VolumeLicenceUsed = "volume-licence-used",
    /// A release beyond the server licence's entitlement (R56).
    VersionNotEntitled = "version-not-entitled",
    /// What the free edition has not (R52).
    FreeEdition = "free-edition",
    /// More users than an edition has (R51).
    EditionFull = "edition-full",
    /// An entitlement below the server licence's (R55).
    EntitlementTooLow = "entitlement-too-low",
    /// A licence that is attached to another server licence (R53).
    AttachedElsewhere = "attached-elsewhere",
    /// A licence that belongs to another server licence (R53, R55).
    OtherServerLicence = "other-server-licence",
    /// A document that is attached to nothing (R53).
    NotAttachable = "not-attachable",
    /// A licence that is attached to no server licence (R53).
    NotAttached = "not-attached",
    /// A licence that is not installed.
    NoLicence = "no-licence",
    /// A document that stays: a confirmation or a detachment (R55, R61).
    NotRemovable = "not-removable",
    /// An update contract whose time is over (R54).
    ContractOver = "contract-over",
    /// A licence that is bound to another machine: to be confirmed (R59).
    BoundElsewhere = "bound-elsewhere",
    /// A licence that the vendor took from this machine (R61).
    HardwareRevoked = "hardware-revoked",
    /// A confirmation for another machine (R61).
    OtherHardware = "other-hardware",
    /// A text without a document (R64).
    DocumentMissing = "document-missing",
    /// A text with more than one document where one is expected.
    DocumentSeveral = "document-several",
    /// A document that was cut or changed on its way (R64).
    DocumentDamaged = "document-damaged",
    /// A document of a later form.
    DocumentFormat = "document-format",
    /// A document of a key that is not accepted (R64).
    DocumentUnknownKey = "document-unknown-key",
    /// A document of the demo key or a test key, where a vendor's key is configured.
    DocumentDemoKey = "document-demo-key",
    /// A document that is not what was signed (R64).
    DocumentSignature = "document-signature",
    /// A document of a later program version.
    DocumentSchema = "document-schema",
    /// A document whose content cannot be read.
    DocumentContent = "document-content",
    /// A document whose content makes no sense.
    DocumentTerms = "document-terms",
    /// A document of another kind than the one it follows.
    DocumentWrongKind = "document-wrong-kind",
    /// A document whose time is over.
    DocumentExpired = "document-expired",
    /// A document from the future: this machine's clock is behind.
    DocumentNotYet = "document-not-yet",
    /// A document that is older than the one installed.
    DocumentOlder = "document-older",
    /// A document that is too long.
    DocumentTooLong = "document-too-long",
    /// The store is away: what is served may not be the newest (R76).
    StoreUnavailable = "store-unavailable",
    /// The store is at an older revision than what is served (R74).
    TableOlder = "table-older",
    /// Rows, but not a sound one among them: the whole table is refused (R74).
    TableBroken = "table-broken",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_written_code_is_the_serialized_one() {
        for code in Code::ALL {
            assert_eq!(serde_json::to_string(code).unwrap(), format!("\"{}\"", code.text()));
        }
    }
}
