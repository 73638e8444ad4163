//! What operators are told of, and how it is written down. Pure.

use crate::ids::InstanceId;
use crate::model::Kind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Something that happened to licences or seats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "topic", rename_all = "kebab-case")]
pub enum Event {
    /// So many percent of the seats of an instance are in use (R72).
    SeatsWarning {
        /// The instance's name.
        instance: String,
        /// Its id.
        instance_id: InstanceId,
        /// Which seats.
        kind: Counted,
        /// The step that was passed: 80, 90 or 100.
        percent: u8,
        /// Users with a seat.
        used: u64,
        /// How many it is licensed for.
        licensed: u64,
    },
    /// The licences of instances became valid, invalid, or their time is over (R58, R63).
    LicenceState {
        /// `active`, `unlicensed` or `deactivated`.
        state: String,
        /// The instances, at most a hundred of them.
        instances: Vec<String>,
        /// How many there are.
        count: usize,
    },
    /// The licences of instances end soon (R60).
    LicenceDeadline {
        /// Days that are left: 7, 3 or 1.
        days: u64,
        /// Unix seconds of the end.
        deadline: u64,
        /// The instances, at most a hundred of them.
        instances: Vec<String>,
        /// How many there are.
        count: usize,
    },
    /// More users are booked than the volume licence has (R22); with 0, no more.
    OverAllocated {
        /// Full or light.
        kind: Kind,
        /// How many users too many.
        by: u32,
    },
    /// A certificate ends soon, or has ended (R82).
    CertificateExpiry {
        /// Its name.
        certificate: String,
        /// Unix seconds of its end.
        not_after: u64,
        /// Days that are left: 30, 14, 7, 1, or 0 when it has ended.
        days: u64,
    },
    /// A licence document or the installation changed its state.
    Licence {
        /// Id of the licence, or `installation`.
        licence: String,
        /// The new state, as in `temporary`.
        state: String,
        /// What happened, for people.
        detail: String,
    },
    /// Somebody was banned, or a person lifted a ban. Bans that may rest on a lie about the source are not told of.
    Ban {
        /// Its number.
        id: u64,
        /// How far it reaches: `account`, `instance` or `source`.
        scope: String,
        /// Where from.
        source: String,
        /// The instance's name; absent for all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instance: Option<String>,
        /// The account; absent for all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        account: Option<String>,
        /// Why.
        reason: String,
        /// Unix seconds of its end.
        until: u64,
        /// Whether it was lifted.
        lifted: bool,
    },
}

/// What kind of event it is: the value of `topic`, and what webhooks choose by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    /// Seats are running out.
    SeatsWarning,
    /// Licences became valid or invalid.
    LicenceState,
    /// Licences end soon.
    LicenceDeadline,
    /// More is booked than licensed.
    OverAllocated,
    /// A certificate ends soon.
    CertificateExpiry,
    /// A licence document or the installation changed.
    Licence,
    /// A ban was made or lifted.
    Ban,
}

/// Which seats a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Counted {
    /// Those of full users.
    Full,
    /// Those of light users.
    Light,
    /// All, where both kinds together are limited (R16, R51) and both are in use.
    All,
}

impl From<Kind> for Counted {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Full => Self::Full,
            Kind::Light => Self::Light,
        }
    }
}

/// An event that was written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Recorded {
    /// Its number, growing without end.
    pub id: u64,
    /// Unix seconds.
    pub at: u64,
    /// What happened, for people.
    pub text: String,
    /// What happened, for programs.
    #[serde(flatten)]
    pub event: Event,
}

impl Topic {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::SeatsWarning,
        Self::LicenceState,
        Self::LicenceDeadline,
        Self::OverAllocated,
        Self::CertificateExpiry,
        Self::Licence,
        Self::Ban,
    ];

    /// The word on the wire.
    pub const fn word(self) -> &'static str {
        match self {
            Self::SeatsWarning => "seats-warning",
            Self::LicenceState => "licence-state",
            Self::LicenceDeadline => "licence-deadline",
            Self::OverAllocated => "over-allocated",
            Self::CertificateExpiry => "certificate-expiry",
            Self::Licence => "licence",
            Self::Ban => "ban",
        }
    }
}

impl Event {
    /// What kind of event it is.
    pub const fn topic(&self) -> Topic {
        match self {
            Self::SeatsWarning { .. } => Topic::SeatsWarning,
            Self::LicenceState { .. } => Topic::LicenceState,
            Self::LicenceDeadline { .. } => Topic::LicenceDeadline,
            Self::OverAllocated { .. } => Topic::OverAllocated,
            Self::CertificateExpiry { .. } => Topic::CertificateExpiry,
            Self::Licence { .. } => Topic::Licence,
            Self::Ban { .. } => Topic::Ban,
        }
    }

    /// The one instance it is about.
    pub fn instance(&self) -> Option<&str> {
        match self {
            Self::SeatsWarning { instance, .. } => Some(instance),
            Self::Ban { instance, .. } => instance.as_deref(),
            _ => None,
        }
    }

    /// What happened, in a sentence.
    pub fn text(&self) -> String {
        match self {
            Self::SeatsWarning { instance, kind, percent, used, licensed, .. } => {
                let users = match kind {
                    Counted::Full => "full users",
                    Counted::Light => "light users",
                    Counted::All => "users",
                };
                format!("{instance} has used {percent} % of its seats: {used} of {licensed} {users}")
            }
            Self::LicenceState { state, instances, count } => {
                format!("the licences of {} are now {state}", named(instances, *count))
            }
            Self::LicenceDeadline { days, instances, count, .. } => {
                let unit = if *days == 1 { "day" } else { "days" };
                format!("the licences of {} end in {days} {unit}", named(instances, *count))
            }
            Self::OverAllocated { kind, by: 0 } => {
                format!("no more {} users are booked than are licensed", word(*kind))
            }
            Self::OverAllocated { kind, by } => {
                format!("{by} more {} users are booked than are licensed: no booking may grow", word(*kind))
            }
            Self::Ban { source, instance, account, reason, lifted, .. } => {
                let whom = account.as_ref().map_or_else(String::new, |account| format!("{account} from "));
                let place = instance.as_ref().map_or_else(String::new, |name| format!(" at {name}"));
                let what = if *lifted { "is no longer banned" } else { "is banned" };
                format!("{whom}{source} {what}{place}: {reason}")
            }
            Self::CertificateExpiry { certificate, days: 0, .. } => format!("certificate {certificate} has ended"),
            Self::CertificateExpiry { certificate, days: 1, .. } => format!("certificate {certificate} ends in 1 day"),
            Self::CertificateExpiry { certificate, days, .. } => {
                format!("certificate {certificate} ends in {days} days")
            }
            Self::Licence { licence, state, detail } => format!("licence {licence} is {state}: {detail}"),
        }
    }
}

const fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Full => "full",
        Kind::Light => "light",
    }
}

fn named(instances: &[String], count: usize) -> String {
    let first: Vec<&str> = instances.iter().take(3).map(String::as_str).collect();
    match count.saturating_sub(first.len()) {
        0 => first.join(", "),
        more => format!("{} and {more} more instances", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warning() -> Event {
        Event::SeatsWarning {
            instance: "acme".into(),
            instance_id: InstanceId(1),
            kind: Counted::Full,
            percent: 90,
            used: 9,
            licensed: 10,
        }
    }

    #[test]
    fn a_topic_is_the_same_word_everywhere() {
        for topic in Topic::ALL {
            assert_eq!(serde_json::to_value(topic).unwrap(), topic.word());
        }
        assert_eq!(serde_json::to_value(warning()).unwrap()["topic"], warning().topic().word());
    }

    #[test]
    fn what_is_written_is_read() {
        let recorded = Recorded { id: 1, at: 2, text: warning().text(), event: warning() };
        let text = serde_json::to_string(&recorded).unwrap();
        assert_eq!(serde_json::from_str::<Recorded>(&text).unwrap(), recorded);
        assert!(text.contains("acme has used 90 % of its seats: 9 of 10 full users"), "{text}");
    }

    #[test]
    fn long_lists_are_cut_in_sentences() {
        let all: Vec<String> = ["a", "b", "c", "d"].map(Into::into).into();
        assert_eq!((named(&all[..1], 1), named(&all, 4)), ("a".into(), "a, b, c and 1 more instances".to_owned()));
    }
}
