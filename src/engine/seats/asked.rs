//! What a REGISTER asks for, as far as seats are concerned.

use crate::engine::device::instance_id;
use crate::licence::ledger::Device;
use crate::sip::name_addr::NameAddr;
use crate::sip::uri::Scheme;
use crate::sip::view::{Name, View, delta_seconds};

/// Seconds a contact is bound for where nobody says (RFC 3261 §10.2.1.1).
pub(in crate::engine) const DEFAULT_EXPIRES: u32 = 3_600;

/// A REGISTER that binds at least one SIP contact.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Asked<'a> {
    /// User part of its To.
    pub account: &'a [u8],
    /// Its User-Agent.
    pub user_agent: &'a [u8],
    /// The device of its first contact.
    pub device: Device<'a>,
    /// Devices its contacts are: 1, or 2 for more than one.
    pub devices: usize,
    /// The most seconds asked for.
    pub ttl: u32,
    /// Whether it carries credentials (R65).
    pub credentials: bool,
}

impl<'a> Asked<'a> {
    /// What a REGISTER asks for; `None` if it binds nothing: a query, a removal, or contacts that are no SIP ones
    /// (R68).
    pub fn read(register: &View<'a>) -> Option<Self> {
        let account = register.to().and_then(|to| to.user()).ok()??;
        let user_agent = register.value(Name::UserAgent).unwrap_or_default();
        let default = register.expires().unwrap_or(DEFAULT_EXPIRES);
        let mut asked: Option<Self> = None;
        for contact in register.contacts().flatten() {
            let ttl = contact.expires().and_then(delta_seconds).unwrap_or(default);
            let Some(device) = device(&contact, user_agent).filter(|_| ttl > 0) else { continue };
            match &mut asked {
                None => {
                    let credentials =
                        register.count(Name::Authorization) + register.count(Name::ProxyAuthorization) > 0;
                    asked = Some(Self { account, user_agent, device, devices: 1, ttl, credentials });
                }
                Some(first) => {
                    first.ttl = first.ttl.max(ttl);
                    // P10: several reg-ids of one instance are one device; contacts without one are a device each.
                    let same = matches!((first.device, device), (Device::Instance(one), Device::Instance(other))
                        if one.eq_ignore_ascii_case(other));
                    if !same {
                        first.devices = 2;
                    }
                }
            }
        }
        asked
    }
}

/// The device of a SIP contact (R43).
fn device<'a>(contact: &NameAddr<'a>, user_agent: &'a [u8]) -> Option<Device<'a>> {
    let uri = contact.uri().ok().filter(|uri| matches!(uri.scheme, Scheme::Sip | Scheme::Sips))?;
    Some(match instance_id(contact) {
        Some(instance) => Device::Instance(instance),
        None => Device::Phone { user: uri.user.unwrap_or_default(), agent: user_agent },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::limits::Limits;
    use crate::sip::view::Index;

    /// What a REGISTER with these rows asks for: devices, seconds, credentials.
    fn asked(rows: &str) -> Option<(usize, u32, bool)> {
        let text = format!(
            "REGISTER sip:acme SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:bob@acme>;tag=1\r\n\
             To: <sip:bob@acme>\r\nCall-ID: x\r\nCSeq: 1 REGISTER\r\nUser-Agent: Phone/1\r\n{rows}\r\n"
        );
        let mut index = Index::new();
        let view = View::read(text.as_bytes(), &mut index, &Limits::DEFAULT).unwrap();
        let asked = Asked::read(&view)?;
        assert_eq!((asked.account, asked.user_agent), (&b"bob"[..], &b"Phone/1"[..]));
        Some((asked.devices, asked.ttl, asked.credentials))
    }

    #[test]
    fn what_binds_nothing_asks_for_nothing() {
        // R68: a query, removals, and contacts that are no SIP ones
        for rows in [
            "",
            "Contact: *\r\nExpires: 0\r\n",
            "Contact: <sip:bob@10.0.0.5>;expires=0\r\n",
            "Contact: <sip:bob@10.0.0.5>\r\nExpires: 0\r\n",
            "Contact: <mailto:bob@example.com>\r\n",
            "Contact: <tel:+49110>;expires=60\r\n",
        ] {
            assert_eq!(asked(rows), None, "{rows}");
        }
    }

    #[test]
    fn seconds_are_the_contacts_then_the_fields_then_an_hour() {
        // R68
        let contact = "Contact: <sip:bob@10.0.0.5>";
        assert_eq!(asked(&format!("{contact};expires=60\r\nExpires: 90\r\n")), Some((1, 60, false)));
        assert_eq!(asked(&format!("{contact}\r\nExpires: 90\r\n")), Some((1, 90, false)));
        assert_eq!(asked(&format!("{contact}\r\n")), Some((1, 3_600, false)));
        let two = "Contact: <sip:bob@10.0.0.5>;expires=0, <sip:bob@10.0.0.6>;expires=30\r\n";
        assert_eq!(asked(two), Some((1, 30, false)), "a removal beside it is no device");
    }

    #[test]
    fn each_contact_is_a_device_but_reg_ids_of_one_instance_are_one() {
        // R68 P10
        let contact = |n: u8, params: &str| format!("Contact: <sip:bob@10.0.0.{n}>{params}\r\n");
        let uuid = |n: u8, reg: u8| contact(n, &format!(";reg-id={reg};+sip.instance=\"<urn:uuid:00A{n}>\""));
        assert_eq!(asked(&(contact(1, "") + &contact(2, ""))).unwrap().0, 2);
        assert_eq!(asked(&(uuid(1, 1) + &uuid(1, 2))).unwrap().0, 1);
        assert_eq!(asked(&(uuid(1, 1) + &uuid(2, 1))).unwrap().0, 2);
        assert_eq!(asked(&(uuid(1, 1) + &contact(1, ""))).unwrap().0, 2);
        assert_eq!(asked(&(uuid(1, 1) + "Contact: <mailto:bob@example.com>\r\n")).unwrap().0, 1);
    }

    #[test]
    fn credentials_are_either_fields() {
        // R65
        let contact = "Contact: <sip:bob@10.0.0.5>;expires=60\r\n";
        for (row, expected) in
            [("", false), ("Authorization: Digest x\r\n", true), ("Proxy-Authorization: Digest x\r\n", true)]
        {
            assert_eq!(asked(&format!("{contact}{row}")), Some((1, 60, expected)));
        }
    }
}
