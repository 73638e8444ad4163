//! The status each refusal has: the one place that maps reasons to SIP (DESIGN 11).

use crate::model::Language;
use crate::reason::Refusal;
use crate::sip::method::Method;
use std::io::Write as _;

/// How a refusal is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Reason phrase.
    pub reason: &'static str,
    /// What is told in `Warning`.
    pub text: &'static str,
    /// Seconds after which a 503 is worth trying again, where they are other than the usual.
    pub retry: Option<u32>,
}

const fn answer(status: u16, reason: &'static str, text: &'static str) -> Answer {
    Answer { status, reason, text, retry: None }
}

impl Answer {
    /// The answer for a reason; `method` where it makes a difference.
    pub const fn of(why: Refusal, method: Method<'_>) -> Self {
        match why {
            Refusal::Malformed => answer(400, "Bad Request", "the request is not sound"),
            Refusal::Scheme => answer(416, "Unsupported URI Scheme", "only sip and sips are routed here"),
            Refusal::Version => answer(505, "Version Not Supported", "only SIP/2.0 is spoken here"),
            Refusal::TooManyHops => answer(483, "Too Many Hops", "Max-Forwards is used up"),
            Refusal::Loop => answer(482, "Loop Detected", "the request came round unchanged"),
            Refusal::Breadth => answer(440, "Max-Breadth Exceeded", "no breadth is left for a branch"),
            Refusal::Extension => answer(420, "Bad Extension", "Proxy-Require asks for what is not known here"),
            Refusal::TooLarge => answer(513, "Message Too Large", "the message is longer than we take"),
            Refusal::Token => answer(403, "Forbidden", "the route token is not valid"),
            Refusal::ForeignRoute => answer(403, "Forbidden", "the Route leads elsewhere"),
            Refusal::NoToken => answer(403, "Forbidden", "no route token says where this goes"),
            Refusal::ForeignSource => answer(403, "Forbidden", "the sender is not an address of the instance"),
            Refusal::InstanceMismatch => {
                answer(403, "Forbidden", "Request-URI, To and From do not name the same instance")
            }
            Refusal::NameMismatch => {
                answer(403, "Wrong Server Name", "the TLS name or Host is of another instance than the request")
            }
            Refusal::Origin => answer(403, "Wrong Origin", "pages from there may not connect to this instance"),
            Refusal::DeviceIdentity => {
                answer(403, "Wrong Certificate", "the device's certificate names another account")
            }
            // RFC 5630 §4
            Refusal::SipsNotAllowed => answer(480, "SIPS Not Allowed", "the way to the other side is not over TLS"),
            Refusal::UnknownInstance => answer(404, "Not Found", "no such name here"),
            // R34
            Refusal::InstanceOff => match method {
                Method::Register => answer(503, "Service Unavailable", "the instance is switched off"),
                _ => answer(480, "Temporarily Unavailable", "the instance is switched off"),
            },
            Refusal::NoTarget => answer(503, "Service Unavailable", "the instance has no target that could serve"),
            Refusal::Unreachable => answer(503, "Service Unavailable", "the instance could not be reached"),
            Refusal::NodeBusy => answer(503, "Service Unavailable", "too many transactions on this node"),
            Refusal::InstanceBusy => answer(503, "Service Unavailable", "too many transactions of the instance"),
            Refusal::SeatsExhausted => answer(403, "No Licence Free", "every licensed seat is in use"),
            Refusal::LightSecondDevice => {
                answer(403, "Second Device", "a light user has one device, and another one is registered")
            }
            Refusal::LightSoftphone => answer(403, "Desk Phone Only", "a light user has no soft client"),
            Refusal::LightMethod => answer(403, "Calls Only", "a light user's licence covers calls only"),
            Refusal::NotLicensedUser => answer(403, "Not Licensed", "no licensed user has this account"),
            Refusal::LicenceDeactivated => answer(403, "Licence Inactive", "no valid licence is installed"),
            Refusal::SoftphoneRight => answer(403, "No Softphone Right", "soft clients are not licensed"),
            Refusal::SeatsPending => answer(503, "Licence Check Busy", "the last seats are being decided on"),
            Refusal::SeatsUnsaved => answer(503, "Licence Check Busy", "the seat could not be written down"),
            Refusal::RegistrarBusy => answer(503, "Registrar Busy", "more phones register than can be answered"),
            Refusal::FlowGone => answer(430, "Flow Failed", "the flow to the client is gone"),
            Refusal::Banned => answer(403, "Forbidden", "too many failures: banned for a while"),
            Refusal::SourceRefused => answer(403, "Forbidden", "no devices from this network"),
            Refusal::InstanceConnections => answer(503, "Service Unavailable", "too many connections to the instance"),
            Refusal::InstanceRate => answer(503, "Service Unavailable", "too many new requests for the instance"),
            Refusal::NoTransaction => {
                answer(481, "Call/Transaction Does Not Exist", "nothing that could be cancelled is known here")
            }
            Refusal::Timeout => answer(408, "Request Timeout", "no answer came in time"),
            Refusal::Cancelled => answer(487, "Request Terminated", "cancelled by the caller"),
            Refusal::Internal => answer(500, "Server Internal Error", "the request could not be passed on"),
        }
    }
}

impl Answer {
    /// The same in the instance's language; the code in `Warning` is the same in every language. Phones show the
    /// reason phrase: it is short and has no letters beyond ASCII.
    pub const fn in_language(self, why: Refusal, language: Language) -> Self {
        let words = match language {
            Language::En => None,
            Language::De => german(why),
        };
        match words {
            Some((reason, text)) => Self { reason, text, ..self },
            None => self,
        }
    }
}

const fn german(why: Refusal) -> Option<(&'static str, &'static str)> {
    Some(match why {
        Refusal::NameMismatch => {
            ("Falscher Servername", "der TLS-Name oder Host ist der einer anderen Instanz als die Anfrage")
        }
        Refusal::Origin => ("Falsche Herkunft", "Seiten von dort dürfen sich mit dieser Instanz nicht verbinden"),
        Refusal::DeviceIdentity => ("Falsches Zertifikat", "das Zertifikat des Geräts nennt ein anderes Konto"),
        Refusal::SipsNotAllowed => ("SIPS nicht erlaubt", "der Weg zur anderen Seite ist nicht verschlüsselt"),
        Refusal::SeatsExhausted => ("Keine Lizenz frei", "alle lizenzierten Nutzer sind angemeldet"),
        Refusal::LightSecondDevice => {
            ("Zweites Telefon", "ein Light-Nutzer hat ein Telefon, und ein anderes ist angemeldet")
        }
        Refusal::LightSoftphone => ("Nur Tischtelefon", "ein Light-Nutzer hat keinen Softclient"),
        Refusal::LightMethod => ("Nur Anrufe", "die Lizenz eines Light-Nutzers umfasst nur Anrufe"),
        Refusal::NotLicensedUser => ("Nicht lizenziert", "dieses Konto hat kein lizenzierter Nutzer"),
        Refusal::LicenceDeactivated => ("Lizenz inaktiv", "es ist keine aktive Lizenz installiert"),
        Refusal::SoftphoneRight => ("Kein Softphone", "Softclients sind nicht lizenziert"),
        Refusal::SeatsPending => ("Bitte warten", "die letzten Lizenzen werden gerade vergeben"),
        Refusal::SeatsUnsaved => ("Bitte warten", "die Anmeldung konnte nicht gespeichert werden"),
        Refusal::RegistrarBusy => ("Bitte warten", "es melden sich mehr Telefone an, als bedient werden"),
        _ => return None,
    })
}

/// Appends the `Warning` row of a refusal: `code: text`, the same words as the metric's label.
pub fn write_warning(code: &str, text: &str, out: &mut Vec<u8>) {
    // A Vec takes every write.
    // RFC 5630 §5.7 has a number of its own.
    let number = if code == Refusal::SipsNotAllowed.kind() { 380 } else { 399 };
    let _ = write!(out, "Warning: {number} nantucket \"{code}: {text}\"\r\n");
}

/// Appends a `Retry-After` row.
pub fn write_retry_after(seconds: u32, out: &mut Vec<u8>) {
    let _ = write!(out, "Retry-After: {seconds}\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_a_final_failure_with_a_printable_text() {
        for why in Refusal::ALL {
            let a = Answer::of(*why, Method::Invite);
            assert!((400..600).contains(&a.status), "{why:?}");
            assert!(a.text.bytes().all(|b| (b' '..0x7f).contains(&b) && b != b'"' && b != b'\\'), "{why:?}");
        }
    }

    #[test]
    fn what_a_phone_shows_is_short_and_in_its_language() {
        // R69
        for why in Refusal::LICENCE.into_iter().chain([Refusal::RegistrarBusy]) {
            let english = Answer::of(why, Method::Register).in_language(why, Language::En);
            let german = Answer::of(why, Method::Register).in_language(why, Language::De);
            assert_eq!(english, Answer::of(why, Method::Register));
            assert!(german.reason != english.reason && german.text != english.text, "{why:?}");
            for answer in [english, german] {
                assert!(answer.reason.len() <= 20, "{why:?}: {}", answer.reason);
                assert!(format!("{}{}", answer.reason, answer.text).is_ascii(), "{why:?}");
                assert_eq!(answer.status, if why.passes() { 503 } else { 403 });
            }
        }
    }

    #[test]
    fn an_instance_that_is_off() {
        // R34
        assert_eq!(Answer::of(Refusal::InstanceOff, Method::Invite).status, 480);
        let register = Answer::of(Refusal::InstanceOff, Method::Register);
        assert_eq!(register.status, 503);
    }
}
