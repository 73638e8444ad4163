//! What is wrong with a row: where, why, and a code that never changes.
//!
//! Made by `compile` (what is loaded) and `control::validate` (what is asked for), shown by the API,
//! the CLI and the log.

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

            #[cfg(test)]
            const ALL: &'static [Self] = &[$(Self::$name,)*];
        }
    };
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
    /// More users than the volume licence has left (R18, R22, R24).
    PoolExhausted = "pool-exhausted",
    /// A booking or a server licence that does not go with the mode (R14, R18, R23).
    ModeMismatch = "mode-mismatch",
    /// A text that is no genuine and valid licence (R64).
    LicenceInvalid = "licence-invalid",
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
