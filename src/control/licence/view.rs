//! Licences as they are shown: by the API, the command line and the audit.

use crate::licence::edition::Edition;
use crate::licence::hardware::Property;
use crate::licence::terms::{DocumentKind, Right};
use crate::model::{Licensing, Mode, Seats, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A document that is installed, and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct InstalledLicence {
    /// Its id.
    pub id: String,
    /// What it is.
    pub kind: DocumentKind,
    /// Whom it was issued to.
    pub holder: String,
    /// When it was issued, in Unix seconds.
    pub issued: u64,
    /// From when on it is worth nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    /// When it was installed.
    pub installed: u64,
    /// The id of the key it is signed with.
    pub key: String,
    /// Why it is worth nothing now; absent while it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub void: Option<String>,
    /// Users it grants: of a volume licence or a pack what it says, of a server licence the effective ones (R56).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<Seats>,
    /// What a server licence was sold as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edition: Option<Edition>,
    /// The newest release it may be used with now (R54, R55).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entitlement: Option<String>,
    /// What its users may use besides phones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rights: Vec<Right>,
    /// The server licence it belongs to (R53).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The instance whose server licence it is (R53).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The machine it is bound to; of volume and server licences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<Bound>,
    /// The document as it was signed.
    pub document: String,
}

/// How a licence is bound to this machine (R63).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Bound {
    /// The state now.
    pub state: BindingState,
    /// When a temporary binding ends, in Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<u64>,
    /// The hardware id it is bound to.
    pub hardware: String,
}

/// States of a binding (R63).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum BindingState {
    /// Bound to another machine.
    Unlicensed,
    /// Until its deadline.
    Temporary,
    /// For good.
    Permanent,
    /// Its deadline has passed.
    Deactivated,
}

/// What the licences come to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LicenceState {
    /// Unix seconds of the licence clock, which never goes back.
    pub at: u64,
    /// This machine.
    pub hardware: HardwareView,
    /// The volume licence and what is booked of it; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolView>,
    /// Community instances, of which there are 3 at most (R15).
    pub community: usize,
    /// What each instance may use.
    pub instances: Vec<InstanceLicence>,
    /// What needs attention.
    pub warnings: Vec<String>,
    /// When the licences change by themselves next, in Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_change: Option<u64>,
}

/// This machine: what its hardware id is made of, in clear (R57).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HardwareView {
    /// The id licences are bound to.
    pub id: String,
    /// Properties of the CPU.
    pub cpu: Vec<Property>,
    /// SHA-256 of the public half of the key pair made at installation, shortened, in hex.
    pub fingerprint: String,
}

/// The pool (R18).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PoolView {
    /// The volume licence.
    pub licence: String,
    /// Its users.
    pub licensed: Seats,
    /// Those booked by instances that are on.
    pub booked: Seats,
    /// Those that are nobody's.
    pub unassigned: Seats,
    /// Those booked beyond the licence (R22).
    pub over_allocated: Seats,
}

/// What an instance may use, and uses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct InstanceLicence {
    /// The instance.
    pub name: String,
    /// Where it is in its life.
    pub state: State,
    /// As it was asked for.
    pub licence: Licensing,
    /// Users of each kind it may have.
    pub seats: Seats,
    /// Users of both kinds together; absent where only the kinds are limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u32>,
    /// Whether the licences behind it are valid.
    pub standing: StandingView,
    /// When they end, in Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// Whether soft clients may register.
    pub softphones: bool,
    /// Users that have a seat now.
    pub used: Seats,
}

/// Whether licences are valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StandingView {
    /// They are.
    Active,
    /// There are none, or they belong to another machine.
    Unlicensed,
    /// Their time is over.
    Deactivated,
}

/// What would be refused right now, if something were different.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DryRun {
    /// The instances it concerns.
    pub instances: Vec<WouldRefuse>,
    /// Users that would be refused, of all instances.
    pub refused: u32,
    /// Why the change itself would be refused; empty if it would not.
    pub problems: Vec<crate::route::problem::Problem>,
    /// What it would mean besides.
    pub notes: Vec<String>,
}

/// What an instance's users would meet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WouldRefuse {
    /// The instance.
    pub name: String,
    /// Its mode then.
    pub mode: Mode,
    /// Users it may have now, and then.
    pub before: Seats,
    /// Users it may have then.
    pub after: Seats,
    /// Users that have a seat now.
    pub used: Seats,
    /// Users that have a seat now and would be refused if they registered anew: nobody is cut.
    pub refused: Seats,
    /// Their names, those who came last first; as many as the node knows.
    pub users: Vec<String>,
    /// Whether soft clients would be refused.
    pub softphones_refused: bool,
}

/// Documents to install, one or several in one text: all of them or none.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Install {
    /// The text with its header and footer lines, or the single line of a QR code.
    pub document: String,
    /// Accepts a licence that is bound to another machine: a temporary binding begins (R59).
    #[serde(default)]
    pub confirm: bool,
}

/// To which server licence something is attached.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Attach {
    /// The server licence's id.
    pub server: String,
}

/// What is supposed in a dry run: any of these, all at once.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Supposed {
    /// An instance with another mode or booking.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub booking: Option<SupposedBooking>,
    /// Documents that would be installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// Another machine: the CPU or the key pair of the installation changes, nothing else.
    pub moved: bool,
}

/// An instance as it would be licensed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SupposedBooking {
    /// The instance.
    pub instance: String,
    /// Its mode and booking then.
    pub licence: Licensing,
}
