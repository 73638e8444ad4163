//! Entitlement: which release a licence may be used with, and what update contracts do to it (R54 to R56).

use super::refusal::Refusal;
use super::release::Release;
use super::terms::Contract;

/// Whether a contract ran at any moment after `before`, up to and including `now`.
pub(super) const fn ran(contract: &Contract, before: u64, now: u64) -> bool {
    contract.from <= now && contract.until > before
}

/// Whether a licence may be used with a server licence: its entitlement is at least the server's (R55, R56).
pub fn counts(entitlement: Release, server: Release) -> bool {
    entitlement >= server
}

/// Refuses a licence whose entitlement is less than the server's (R55).
pub fn may_attach(licence: &str, entitlement: Release, server: Release) -> Result<(), Refusal> {
    if counts(entitlement, server) {
        return Ok(());
    }
    Err(Refusal::new(
        "R55",
        "entitlement-too-low",
        format!(
            "{licence} entitles to release {entitlement}, the server licence to {server}: it cannot be used with it"
        ),
    ))
}

/// Refuses a release beyond the server licence's entitlement (R56). An empty one is not known, and not refused; one
/// that is no release is.
pub fn may_run(version: &str, entitlement: Release) -> Result<(), Refusal> {
    if version.is_empty() {
        return Ok(());
    }
    let refused = |text: String| Err(Refusal::new("R56", "version-not-entitled", text));
    match version.parse::<Release>() {
        Ok(release) if release <= entitlement => Ok(()),
        Ok(release) => {
            refused(format!("release {release} is beyond {entitlement}, which the server licence entitles to"))
        }
        Err(error) => refused(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(text: &str) -> Release {
        text.parse().unwrap()
    }

    #[test]
    fn a_licence_of_a_lower_entitlement_is_not_used() {
        // R55 R56
        for (licence, fits) in [("8.0", false), ("8.1", true), ("8.2", true), ("8.0.9", false), ("8.10", true)] {
            assert_eq!(may_attach("P", release(licence), release("8.1")).is_ok(), fits, "{licence}");
        }
        assert_eq!(may_attach("P", release("8.0"), release("8.1")).unwrap_err().rule, "R55");
    }

    #[test]
    fn a_version_does_not_exceed_the_entitlement() {
        // R56
        for (version, fits) in [
            ("8.0", true),
            ("8.1", true),
            ("8.1.0", true),
            ("8.1.1", false),
            ("8.2", false),
            ("", true),
            ("new", false),
        ] {
            assert_eq!(may_run(version, release("8.1")).is_ok(), fits, "{version}");
        }
    }

    #[test]
    fn a_contract_runs_from_its_start_until_its_end() {
        // R54
        let contract = Contract { server: "S".into(), release: release("8.0"), from: 10, until: 20 };
        for (before, now, runs) in [(0, 9, false), (0, 10, true), (19, 19, true), (20, 20, false), (5, 50, true)] {
            assert_eq!(ran(&contract, before, now), runs, "{before} to {now}");
        }
    }
}
