//! Warnings 30, 14, 7 and 1 days before the end of a certificate, and at its end, each once (R82). Pure.
//!
//! What was told before a restart is read back from the journal and shown by [`Expiry::told`].

use super::event::Event;
use std::collections::HashMap;

/// The steps, in days.
pub const STEPS: [u64; 5] = [30, 14, 7, 1, 0];
const DAY: u64 = 86_400;

/// What was told of each certificate.
#[derive(Clone, Debug, Default)]
pub struct Expiry {
    /// The end that was told of, and the last step.
    told: HashMap<String, (u64, u64)>,
}

impl Expiry {
    /// Takes note of what was told before.
    pub fn told(&mut self, event: &Event) {
        if let Event::CertificateExpiry { certificate, not_after, days } = event {
            let known = self.told.entry(certificate.clone()).or_insert((*not_after, u64::MAX));
            if known.0 < *not_after {
                *known = (*not_after, u64::MAX);
            }
            if known.0 == *not_after {
                known.1 = known.1.min(*days);
            }
        }
    }

    /// Looks at all certificates and their ends: of several steps that were passed only the last is told.
    pub fn look<'a>(&mut self, all: impl Iterator<Item = (&'a str, u64)>, now_unix: u64) -> Vec<Event> {
        let mut events = Vec::new();
        for (name, not_after) in all {
            let left = not_after.saturating_sub(now_unix);
            let Some(days) = STEPS.into_iter().filter(|days| left <= days * DAY).min() else { continue };
            let is_new = self.told.get(name).is_none_or(|(end, last)| *end != not_after || *last > days);
            if is_new {
                let event = Event::CertificateExpiry { certificate: name.to_owned(), not_after, days };
                self.told.insert(name.to_owned(), (not_after, days));
                events.push(event);
            }
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: u64 = 1_800_000_000;

    fn days(events: &[Event]) -> Vec<u64> {
        let of = |event: &Event| match event {
            Event::CertificateExpiry { days, .. } => *days,
            _ => unreachable!(),
        };
        events.iter().map(of).collect()
    }

    #[test]
    fn each_step_is_told_once_and_a_renewed_certificate_begins_anew() {
        // R82
        let mut expiry = Expiry::default();
        let mut look = |end: u64, left: u64| days(&expiry.look([("own", end)].into_iter(), end - left));
        assert_eq!(look(END, 31 * DAY), [0u64; 0]);
        assert_eq!(look(END, 30 * DAY), [30]);
        assert_eq!(look(END, 30 * DAY), [0u64; 0]);
        assert_eq!(look(END, 29 * DAY), [0u64; 0]);
        assert_eq!(look(END, 2 * DAY), [7], "14 was passed with it");
        assert_eq!(look(END, DAY), [1]);
        assert_eq!(look(END, 0), [0]);
        assert_eq!(look(END, 0), [0u64; 0]);
        assert_eq!(look(END + 90 * DAY, 90 * DAY), [0u64; 0]);
        assert_eq!(look(END + 90 * DAY, 14 * DAY), [14]);
    }

    #[test]
    fn what_was_told_before_a_restart_is_not_told_again() {
        // R82
        let told = Event::CertificateExpiry { certificate: "own".into(), not_after: END, days: 7 };
        let earlier = Event::CertificateExpiry { certificate: "own".into(), not_after: END, days: 30 };
        let mut expiry = Expiry::default();
        expiry.told(&told);
        expiry.told(&earlier);
        assert!(expiry.look([("own", END)].into_iter(), END - 3 * DAY).is_empty());
        assert_eq!(days(&expiry.look([("own", END)].into_iter(), END - 3_600)), [1]);
    }
}
