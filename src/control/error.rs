//! Why the control plane refused. `admin` turns a [`Kind`] into an HTTP status.

use super::store::StoreError;
use crate::route::problem::{Code, Problem};

/// A refusal; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The rows asked for are wrong.
    #[error("{}", list(.0))]
    Invalid(Vec<Problem>),
    /// The rows asked for are sound but meet others: a name that is taken, a row in use.
    #[error("{}", list(.0))]
    Conflict(Vec<Problem>),
    /// There is no such row.
    #[error("there is no {row}")]
    NotFound {
        /// Kind and name, as in `instance/acme`.
        row: String,
    },
    /// The row was changed since the caller read it.
    #[error("{row} was changed: it is at revision {revision} now")]
    Stale {
        /// Kind and name.
        row: String,
        /// Its revision now.
        revision: u64,
    },
    /// The store could not answer; the change may be tried again.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The kinds of refusal, for statuses, metrics and programs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Kind {
    /// 422: the caller has to change the rows.
    Invalid,
    /// 409: the caller has to choose otherwise.
    Conflict,
    /// 404.
    NotFound,
    /// 412: read again, then decide.
    Stale,
    /// 503: try again later.
    Unavailable,
}

impl ServiceError {
    /// `Invalid` or `Conflict`, whichever the problems are; `None` if there are none.
    pub fn of(problems: Vec<Problem>) -> Option<Self> {
        let conflict = |problem: &Problem| meets_others(problem.code);
        match problems {
            none if none.is_empty() => None,
            all if all.iter().all(conflict) => Some(Self::Conflict(all)),
            all => Some(Self::Invalid(all)),
        }
    }

    /// An instance has no list of users, where the request is about one.
    pub fn no_list(instance: &str) -> Self {
        let why = "with a list only its accounts register, so it is begun as a whole";
        Self::NotFound { row: format!("list of users of instance/{instance}: {why}") }
    }

    /// What kind of refusal it is.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Invalid(_) => Kind::Invalid,
            Self::Conflict(_) => Kind::Conflict,
            Self::NotFound { .. } => Kind::NotFound,
            Self::Stale { .. } => Kind::Stale,
            Self::Store(_) => Kind::Unavailable,
        }
    }

    /// The stable code of answers.
    pub const fn code(&self) -> &'static str {
        match self.kind() {
            Kind::Invalid => "invalid",
            Kind::Conflict => "conflict",
            Kind::NotFound => "not-found",
            Kind::Stale => "stale",
            Kind::Unavailable => "store-unavailable",
        }
    }

    /// What is wrong, field by field; empty for the other kinds.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Invalid(problems) | Self::Conflict(problems) => problems,
            _ => &[],
        }
    }
}

/// Whether a row is sound by itself, and refused for what else there is.
const fn meets_others(code: Code) -> bool {
    use Code as C;
    matches!(
        code,
        C::NameTaken
            | C::NameReserved
            | C::ListenerConflict
            | C::InUse
            | C::CommunityUsers
            | C::CommunityInstances
            | C::PoolExhausted
            | C::PoolOverAllocated
            | C::BookedUsers
            | C::ServerUsers
            | C::ModeTooSmall
            | C::NoServerLicence
            | C::ServerLicenceUsed
            | C::VolumeLicenceUsed
            | C::VersionNotEntitled
            | C::FreeEdition
            | C::EditionFull
            | C::EntitlementTooLow
            | C::AttachedElsewhere
            | C::OtherServerLicence
            | C::NotAttached
            | C::NotRemovable
            | C::BoundElsewhere
            | C::HardwareRevoked
            | C::OtherHardware
            | C::DocumentOlder
    )
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
