//! When a certificate is renewed, and how long a failure is waited after. Pure.

use crate::model::Certificate;
use crate::route;

/// Seconds after the first failure.
const FIRST: u64 = 600;
/// The longest wait after a failure, without its share of chance.
const LONGEST: u64 = 43_200;

/// When a certificate is to be ordered (Unix seconds): at once where there is none, else at two thirds of its life
/// and up to a thirtieth later, always the same for one name, so that not all are renewed together.
pub fn due(row: &Certificate, now_unix: u64) -> u64 {
    let wants = |names: &[Box<str>]| {
        let wanted = row.acme.iter().flat_map(|acme| &acme.names);
        wanted.into_iter().all(|name| names.iter().any(|it| it.eq_ignore_ascii_case(name)))
    };
    match route::certificate_life(row) {
        Some((names, not_before, not_after)) if wants(&names) => {
            let life = not_after.saturating_sub(not_before);
            not_before + life / 3 * 2 + (life as f64 / 30.0 * share(&row.name)) as u64
        }
        // None yet, or one for other names.
        _ => now_unix,
    }
}

/// Seconds until the next try after so many failures in a row; `chance` in 0..1.
pub fn wait(failures: u32, chance: f64) -> u64 {
    let doubled = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(LONGEST);
    doubled + (doubled as f64 / 2.0 * chance) as u64
}

/// A number from 0 to 1 that belongs to a name.
fn share(name: &str) -> f64 {
    use sha2::{Digest as _, Sha256};
    let hash = Sha256::digest(name.to_ascii_lowercase());
    hash.iter().take(2).fold(0.0, |sum, byte| sum * 256.0 + f64::from(*byte)) / 65_536.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Acme, AcmeChallenge};
    use crate::route::testing;

    fn row(names: &[&str], wanted: &[&str]) -> Certificate {
        let acme = Acme {
            names: wanted.iter().map(|name| (*name).to_owned()).collect(),
            directory: "https://ca.example/directory".into(),
            contact: Vec::new(),
            terms_agreed: true,
            challenge: AcmeChallenge::Http01,
            root: String::new(),
        };
        Certificate { acme: Some(acme), ..testing::certificate("front", names) }
    }

    #[test]
    fn it_is_renewed_after_two_thirds_of_its_life_and_at_once_for_other_names() {
        // R82
        let good = row(&["a.example", "b.example"], &["A.example"]);
        let (_, begin, end) = route::certificate_life(&good).unwrap();
        let life = end - begin;
        let at = due(&good, 5);
        assert!(at >= begin + life / 3 * 2 && at <= begin + life / 3 * 2 + life / 30 + 1, "{at}");
        assert_eq!(at, due(&good, 6));
        assert_eq!(due(&row(&["a.example"], &["c.example"]), 5), 5);
        assert_eq!(due(&Certificate { chain: String::new(), ..good }, 5), 5);
    }

    #[test]
    fn failures_are_waited_after_longer_and_longer_and_never_for_ever() {
        // R82
        assert_eq!((wait(1, 0.0), wait(2, 0.0), wait(3, 0.0)), (FIRST, 2 * FIRST, 4 * FIRST));
        assert_eq!((wait(60, 0.0), wait(60, 1.0)), (LONGEST, LONGEST + LONGEST / 2));
        assert!(wait(1, 0.9) > wait(1, 0.1));
    }

    #[test]
    fn names_are_spread() {
        let shares: Vec<_> = (0..100).map(|n| share(&format!("c{n}"))).collect();
        assert!(shares.iter().all(|it| (0.0..1.0).contains(it)));
        assert!(shares.iter().any(|it| *it < 0.2) && shares.iter().any(|it| *it > 0.8));
    }
}
