//! What a document says: its kinds and their fields, and which of them make sense together (R18, R50 to R55, R59).
//!
//! Parsed and checked here; whether it is genuine is for `document`, what it does is for `book`.

use super::edition::Edition;
use super::hardware::HardwareId;
use super::release::Release;
use crate::model::{Kind, Seats};
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// The schema of documents.
pub const SCHEMA: u32 = 1;

const MAX_ID: usize = 64;
const MAX_HOLDER: usize = 200;

/// The content of a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// Version of this document's shape.
    pub schema: u32,
    /// Unique among the vendor's documents; a later issue of the same id replaces the earlier.
    pub id: String,
    /// When it was issued, in Unix seconds.
    pub issued: u64,
    /// Whom it was issued to.
    pub holder: String,
    /// From when on it is worth nothing, in Unix seconds: trials and licences not for resale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    /// What it grants or does.
    pub terms: Terms,
}

/// What a document grants or does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Terms {
    /// The pool of cloud instances (R18).
    Volume(Volume),
    /// One environment (R50).
    Server(Server),
    /// Users on top of a server licence (R51).
    Pack(Pack),
    /// Rights on top of a server licence.
    Feature(Feature),
    /// Releases to come, for a server licence and all that is attached to it (R54).
    Contract(Contract),
    /// The move of a licence to another machine is final (R61).
    Confirmation(Confirmation),
    /// A licence leaves the update contract of its server licence (R55).
    Detachment(Detachment),
}

/// A volume licence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// Users of each kind.
    pub users: Seats,
    /// What its users may use besides phones.
    #[serde(default = "softphone")]
    pub rights: Vec<Right>,
    /// The machine it was issued for; none is bound to the one it is first installed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub hardware: Option<HardwareId>,
}

/// A server licence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// What it was sold as.
    pub edition: Edition,
    /// Full users that come with it: its edition's number.
    pub included: u32,
    /// The newest release it may be used with.
    #[schema(value_type = String)]
    pub entitlement: Release,
    /// What its users may use besides phones.
    #[serde(default)]
    pub rights: Vec<Right>,
    /// The machine it was issued for; none is bound to the one it is first installed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub hardware: Option<HardwareId>,
}

/// A user pack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Pack {
    /// Full or light.
    pub kind: Kind,
    /// How many users.
    pub count: u32,
    /// The newest release it may be used with.
    #[schema(value_type = String)]
    pub entitlement: Release,
    /// The only server licence it may be attached to; none leaves it to the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
}

/// A feature licence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    /// What it allows.
    pub rights: Vec<Right>,
    /// The newest release it may be used with.
    #[schema(value_type = String)]
    pub entitlement: Release,
    /// The server licence it belongs to.
    pub server: String,
}

/// An update contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Contract {
    /// The server licence it covers, with all that is attached.
    pub server: String,
    /// The release it entitles to.
    #[schema(value_type = String)]
    pub release: Release,
    /// From when on it runs, in Unix seconds.
    pub from: u64,
    /// From when on it runs no more, in Unix seconds.
    pub until: u64,
}

/// The vendor's consent to a move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    /// The volume or server licence that moved.
    pub licence: String,
    /// The machine it is on now.
    #[schema(value_type = String)]
    pub hardware: HardwareId,
    /// The machine it was on, where it is worth nothing any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub revoked: Option<HardwareId>,
}

/// The end of a contract for one licence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Detachment {
    /// The pack or feature licence.
    pub licence: String,
    /// The server licence it leaves.
    pub server: String,
}

/// What users may use besides phones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    /// Soft clients on computers and mobiles (UCC).
    Softphone,
}

/// The kinds of documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DocumentKind {
    /// Volume licence.
    Volume,
    /// Server licence.
    Server,
    /// User pack.
    Pack,
    /// Feature licence.
    Feature,
    /// Update contract.
    Contract,
    /// Confirmation of a move.
    Confirmation,
    /// Detachment from a contract.
    Detachment,
}

impl Terms {
    /// Which kind it is.
    pub const fn kind(&self) -> DocumentKind {
        match self {
            Self::Volume(_) => DocumentKind::Volume,
            Self::Server(_) => DocumentKind::Server,
            Self::Pack(_) => DocumentKind::Pack,
            Self::Feature(_) => DocumentKind::Feature,
            Self::Contract(_) => DocumentKind::Contract,
            Self::Confirmation(_) => DocumentKind::Confirmation,
            Self::Detachment(_) => DocumentKind::Detachment,
        }
    }
}

impl DocumentKind {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Volume, Self::Server, Self::Pack, Self::Feature, Self::Contract, Self::Confirmation, Self::Detachment];

    /// Its name in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Volume => "volume",
            Self::Server => "server",
            Self::Pack => "pack",
            Self::Feature => "feature",
            Self::Contract => "contract",
            Self::Confirmation => "confirmation",
            Self::Detachment => "detachment",
        }
    }

    /// What people call it.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Volume => "volume licence",
            Self::Server => "server licence",
            Self::Pack => "user pack",
            Self::Feature => "feature licence",
            Self::Contract => "update contract",
            Self::Confirmation => "confirmation of a move",
            Self::Detachment => "detachment",
        }
    }
}

impl fmt::Display for DocumentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())
    }
}

impl Body {
    /// Says what in it makes no sense: no such document is issued, and none is believed.
    pub fn check(&self) -> Result<(), String> {
        id("id", &self.id)?;
        if self.holder.trim().is_empty() || self.holder.chars().count() > MAX_HOLDER {
            return Err(format!("holder: 1 to {MAX_HOLDER} characters are expected"));
        }
        if self.holder.chars().any(char::is_control) {
            return Err("holder: a control character is in it".into());
        }
        if self.expires.is_some_and(|expires| expires <= self.issued) {
            return Err("expires: not after the date of issue".into());
        }
        self.terms.check()
    }
}

impl Terms {
    fn check(&self) -> Result<(), String> {
        match self {
            Self::Volume(it) if it.users == Seats::default() => Err("users: none at all".into()),
            Self::Server(it) if it.included != it.edition.included() => {
                // R50 R52
                let (edition, right) = (it.edition.name(), it.edition.included());
                Err(format!("included: {}, but the {edition} edition includes {right}", it.included))
            }
            // R51
            Self::Pack(it) if it.count == 0 => Err("count: a pack has at least one user".into()),
            Self::Feature(it) if it.rights.is_empty() => Err("rights: none at all".into()),
            Self::Contract(it) if it.until <= it.from => Err("until: not after its start".into()),
            Self::Confirmation(it) if it.revoked == Some(it.hardware) => {
                Err("revoked: the machine the licence is confirmed for".into())
            }
            Self::Volume(_) | Self::Server(_) => Ok(()),
            Self::Pack(it) => it.server.as_deref().map_or(Ok(()), |server| id("server", server)),
            Self::Feature(it) => id("server", &it.server),
            Self::Contract(it) => id("server", &it.server),
            Self::Confirmation(it) => id("licence", &it.licence),
            Self::Detachment(it) => id("licence", &it.licence).and_then(|()| id("server", &it.server)),
        }
    }
}

/// A moment as people read it.
pub fn moment(unix: u64) -> String {
    i64::try_from(unix)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .map_or_else(|| format!("second {unix}"), |at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

fn id(field: &str, text: &str) -> Result<(), String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if (1..=MAX_ID).contains(&text.len()) && text.bytes().all(fits) {
        return Ok(());
    }
    Err(format!("{field}: 1 to {MAX_ID} letters, digits, dots, dashes and underscores are expected"))
}

fn softphone() -> Vec<Right> {
    vec![Right::Softphone]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(terms: Terms) -> Body {
        Body { schema: SCHEMA, id: "X-1".into(), issued: 100, holder: "Acme".into(), expires: None, terms }
    }

    fn server(edition: Edition, included: u32) -> Body {
        let entitlement = "8.0".parse().unwrap();
        body(Terms::Server(Server { edition, included, entitlement, rights: Vec::new(), hardware: None }))
    }

    fn pack(count: u32) -> Body {
        body(Terms::Pack(Pack { kind: Kind::Full, count, entitlement: "8.0".parse().unwrap(), server: None }))
    }

    #[test]
    fn the_included_users_are_the_editions() {
        // R50 R52
        for (edition, right) in [(Edition::Appliance, 1), (Edition::Compact, 3), (Edition::Free, 3)] {
            assert!(server(edition, right).check().is_ok());
            assert!(server(edition, right - 1).check().is_err() && server(edition, right + 1).check().is_err());
        }
    }

    #[test]
    fn a_pack_has_any_positive_size() {
        // R51
        assert!(pack(0).check().is_err() && pack(1).check().is_ok() && pack(u32::MAX).check().is_ok());
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let with = |change: fn(&mut Body)| {
            let mut body = pack(1);
            change(&mut body);
            body.check().map_err(|reason| reason.split(':').next().unwrap_or_default().to_owned())
        };
        let refused = |field: &str| Err(field.to_owned());
        assert_eq!(with(|it| it.id = String::new()), refused("id"));
        assert_eq!(with(|it| it.id = "a/b".into()), refused("id"));
        assert_eq!(with(|it| it.id = "a".repeat(MAX_ID)), Ok(()));
        assert_eq!(with(|it| it.id = "a".repeat(MAX_ID + 1)), refused("id"));
        assert_eq!(with(|it| it.holder = " ".into()), refused("holder"));
        assert_eq!(with(|it| it.holder = "ä".repeat(MAX_HOLDER)), Ok(()));
        assert_eq!(with(|it| it.holder = "ä".repeat(MAX_HOLDER + 1)), refused("holder"));
        assert_eq!(with(|it| it.holder = "a\nb".into()), refused("holder"));
        assert_eq!(with(|it| it.expires = Some(100)), refused("expires"));
        assert_eq!(with(|it| it.expires = Some(101)), Ok(()));
        let contract = |from, until| {
            body(Terms::Contract(Contract { server: "S".into(), release: Release::default(), from, until })).check()
        };
        assert!(contract(5, 6).is_ok() && contract(5, 5).is_err());
        let users = Seats::default();
        assert!(body(Terms::Volume(Volume { users, rights: softphone(), hardware: None })).check().is_err());
    }

    #[test]
    fn a_volume_licence_has_soft_clients_unless_it_says_otherwise() {
        // R58
        let rights = |text: &str| serde_json::from_str::<Volume>(text).unwrap().rights;
        assert_eq!(rights(r#"{"users":{"full":1}}"#), [Right::Softphone]);
        assert_eq!(rights(r#"{"users":{"full":1},"rights":[]}"#), []);
    }

    #[test]
    fn moments_are_shown_in_utc() {
        assert_eq!(moment(1_795_208_028), "2026-11-20 20:53:48 UTC");
        assert_eq!(moment(u64::MAX), "second 18446744073709551615");
    }
}
