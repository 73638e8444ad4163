//! What a light user has not (RULES D): a soft client (R46), and SIP beyond calls (R45). Here is told what is one; what
//! becomes of it is decided by the engine, at a REGISTER and at every other request.

use super::softphones::Softphones;
use crate::ids::Transport;
use crate::model::DeviceClass;
use crate::sip::method::Method;

/// A device that registers, as far as it says what it is.
#[derive(Clone, Copy, Debug)]
pub struct Device<'a> {
    /// What the list of users says of its user's device.
    pub class: DeviceClass,
    /// How it came.
    pub transport: Transport,
    /// The user part of its address.
    pub account: &'a [u8],
    /// Its User-Agent header field; empty without one.
    pub user_agent: &'a [u8],
}

/// What shows that a device is a soft client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sign {
    /// The device class of its user.
    Class,
    /// A WebSocket.
    Transport,
    /// The pattern of its account.
    Account,
    /// The pattern of its User-Agent.
    UserAgent,
}

impl Sign {
    /// Its stable word.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Class => "device-class",
            Self::Transport => "websocket",
            Self::Account => "account",
            Self::UserAgent => "user-agent",
        }
    }
}

/// What shows that a device is a soft client (R46); nothing is allocated.
pub fn sign(device: &Device<'_>, known: &Softphones) -> Option<Sign> {
    if device.class == DeviceClass::Softphone {
        Some(Sign::Class)
    } else if matches!(device.transport, Transport::Ws | Transport::Wss) {
        Some(Sign::Transport)
    } else if known.has_account(device.account) {
        Some(Sign::Account)
    } else if known.has_user_agent(device.user_agent) {
        Some(Sign::UserAgent)
    } else {
        None
    }
}

/// Whether a device is a soft client (R46).
pub fn is_softphone(device: &Device<'_>, known: &Softphones) -> bool {
    sign(device, known).is_some()
}

/// Whether a request is a call's, a registration's or a question for voice messages: what a light user's licence covers
/// (R44, R45). `event` is the Event header field.
pub fn allows(method: Method<'_>, event: Option<&[u8]>) -> bool {
    match method {
        Method::Invite
        | Method::Ack
        | Method::Bye
        | Method::Cancel
        | Method::Prack
        | Method::Update
        | Method::Info
        | Method::Options
        | Method::Refer
        | Method::Register => true,
        Method::Notify => is_package(event, b"refer"),
        Method::Subscribe => is_package(event, b"message-summary"),
        Method::Message | Method::Publish | Method::Other(_) => false,
    }
}

/// Whether an Event header field names a package, whatever its parameters (RFC 6665 §8.4).
fn is_package(event: Option<&[u8]>, package: &[u8]) -> bool {
    let name = event.and_then(|event| event.split(|byte| *byte == b';').next());
    name.is_some_and(|name| name.trim_ascii().eq_ignore_ascii_case(package))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device<'a>(account: &'a str, user_agent: &'a str) -> Device<'a> {
        Device {
            class: DeviceClass::Phone,
            transport: Transport::Udp,
            account: account.as_bytes(),
            user_agent: user_agent.as_bytes(),
        }
    }

    #[test]
    fn a_soft_client_is_known_by_four_signs() {
        // R46
        let known = Softphones::built_in();
        let desk = device("10", "Yealink SIP-T46U 108.86.0.20");
        assert_eq!(sign(&desk, &known), None);
        assert_eq!(sign(&Device { class: DeviceClass::Softphone, ..desk }, &known), Some(Sign::Class));
        for (transport, expected) in [
            (Transport::Udp, None),
            (Transport::Tcp, None),
            (Transport::Tls, None),
            (Transport::Ws, Some(Sign::Transport)),
            (Transport::Wss, Some(Sign::Transport)),
        ] {
            assert_eq!(sign(&Device { transport, ..desk }, &known), expected, "{transport}");
        }
        assert_eq!(sign(&device("ann.SFiphone", ""), &known), Some(Sign::Account));
        assert_eq!(sign(&device("ann.sfANDROID", ""), &known), Some(Sign::Account));
        assert_eq!(sign(&device("10", "Z 5.6.1 v2.10.19.9"), &known), Some(Sign::UserAgent));
        for class in [DeviceClass::Fax, DeviceClass::Dect, DeviceClass::Adapter, DeviceClass::Camera, DeviceClass::Door]
        {
            assert!(!is_softphone(&Device { class, ..desk }, &known), "{class:?}");
        }
    }

    #[test]
    fn a_light_user_has_calls_and_nothing_else() {
        // R44 R45
        for method in ["INVITE", "ACK", "BYE", "CANCEL", "PRACK", "UPDATE", "INFO", "OPTIONS", "REFER", "REGISTER"] {
            assert!(allows(Method::of(method.as_bytes()), None), "{method}");
        }
        for method in ["PUBLISH", "MESSAGE", "NOTIFY", "SUBSCRIBE", "SERVICE", "invite"] {
            assert!(!allows(Method::of(method.as_bytes()), None), "{method}");
        }
        let with = |method: &str, event: &str| allows(Method::of(method.as_bytes()), Some(event.as_bytes()));
        for event in ["message-summary", "Message-Summary", "message-summary;id=7", " message-summary "] {
            assert!(with("SUBSCRIBE", event), "{event}");
            assert!(!with("NOTIFY", event), "{event}");
        }
        for event in ["refer", "refer;id=93809823"] {
            assert!(with("NOTIFY", event), "{event}");
            assert!(!with("SUBSCRIBE", event), "{event}");
        }
        for event in ["dialog", "presence", "reg", "message-summary.winfo", "message-summaryx", "", ";message-summary"]
        {
            assert!(!with("SUBSCRIBE", event) && !with("NOTIFY", event), "{event}");
        }
        assert!(!with("PUBLISH", "message-summary"));
    }
}
