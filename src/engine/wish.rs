//! What a REGISTER asks for, as far as its answer needs it.
//!
//! Read when the REGISTER comes and kept with its transaction as places in its text ([`Places`]), so that nothing is
//! read again when the PBX grants it. One with several contacts, or without any that binds, is rare: it is read again.
//! Not a judge of seats: that is `seats`. Used by `request` and `learn`.

use super::device;
use super::seats::Asked;
use crate::ids::{DeviceId, Flow, InstanceId, Transport};
use crate::licence::ledger::Device;
use crate::sip::span::Span;
use crate::sip::uri::Uri;
use crate::sip::view::{Name, View};

/// What a REGISTER asks for.
pub(super) struct Wish<'a> {
    /// User part of its To.
    pub account: &'a [u8],
    /// Its User-Agent.
    pub user_agent: &'a [u8],
    /// Its Call-ID.
    pub call_id: &'a [u8],
    /// The instance id of its device; empty without one.
    pub instance_id: &'a [u8],
    /// What it asks for as far as seats are concerned.
    pub asked: Option<Asked<'a>>,
    /// Its Expires.
    pub expires: Option<u32>,
    /// Its `reg-id`; 0 without one.
    pub registration: u32,
    /// Whether its Contact names another address than it came from.
    pub is_behind_nat: bool,
    contacts: Contacts<'a>,
}

enum Contacts<'a> {
    One(&'a [u8]),
    All(View<'a>),
}

impl<'a> Wish<'a> {
    /// Reads a REGISTER that came over `flow`; `None` if it names no account.
    pub fn read(request: &View<'a>, flow: &Flow) -> Option<Self> {
        let account = request.to().and_then(|to| to.uri()).ok()?.user?;
        let instance_id = request.contacts().flatten().find_map(|contact| contact.instance_id());
        let first = request.contacts().flatten().find(|contact| !contact.is_star());
        let address = request.contacts().flatten().find_map(|contact| contact.uri().ok());
        Some(Self {
            account,
            user_agent: request.value(Name::UserAgent).unwrap_or_default(),
            call_id: request.call_id(),
            instance_id: instance_id.unwrap_or_default(),
            asked: Asked::read(request),
            expires: request.expires(),
            registration: first.map_or(0, |contact| device::registration(&contact)),
            is_behind_nat: address.is_some_and(|uri| device::is_behind_nat(&uri, flow)),
            contacts: Contacts::All(*request),
        })
    }

    /// The device that asks, and its `reg-id`, where it was not told when it came.
    pub fn device(&self, instance: InstanceId, transport: Transport) -> Option<(DeviceId, u32)> {
        match &self.contacts {
            Contacts::One(_) => None,
            Contacts::All(request) => device::of(request, instance, self.account, transport),
        }
    }

    /// Whether a contact in the answer is one that was asked for.
    pub fn names(&self, answered: &[u8]) -> bool {
        match &self.contacts {
            Contacts::One(asked) => is_same(asked, answered),
            Contacts::All(request) => request.contacts().flatten().any(|contact| is_same(contact.uri_text(), answered)),
        }
    }
}

/// A [`Wish`] for one contact, as places in the text of its REGISTER.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    account: Span,
    user_agent: Span,
    call_id: Span,
    contact: Span,
    device: Told,
    ttl: u32,
    expires: Option<u32>,
    registration: u32,
    credentials: bool,
    is_behind_nat: bool,
}

/// What a contact says of its device.
#[derive(Clone, Copy, Debug)]
enum Told {
    Instance(Span),
    User(Span),
}

impl Places {
    /// Those of a REGISTER that came over `flow`, in its message; `None` if it must be read again.
    pub(super) fn of(request: &View<'_>, flow: &Flow, asked: &Asked<'_>) -> Option<Self> {
        let mut contacts = request.contacts();
        let contact = contacts.next()?.ok()?;
        if asked.devices > 1 || contacts.next().is_some() {
            return None;
        }
        let message = request.message();
        let place = |part: &[u8]| Span::within(part, message);
        let device = match asked.device {
            Device::Instance(id) => Told::Instance(place(id)?),
            Device::Phone { user, .. } => Told::User(place(user)?),
        };
        Some(Self {
            account: place(asked.account)?,
            user_agent: place(asked.user_agent)?,
            call_id: place(request.call_id())?,
            contact: place(contact.uri_text())?,
            device,
            ttl: asked.ttl,
            expires: request.expires(),
            registration: device::registration(&contact),
            credentials: asked.credentials,
            is_behind_nat: device::is_behind_nat(&contact.uri().ok()?, flow),
        })
    }

    /// What they say in the text of their REGISTER.
    pub(super) fn wish<'a>(&self, text: &'a [u8]) -> Wish<'a> {
        let (account, user_agent) = (self.account.text(text), self.user_agent.text(text));
        let (device, instance_id) = match self.device {
            Told::Instance(id) => (Device::Instance(id.text(text)), id.text(text)),
            Told::User(user) => (Device::Phone { user: user.text(text), agent: user_agent }, &b""[..]),
        };
        let (ttl, credentials) = (self.ttl, self.credentials);
        Wish {
            account,
            user_agent,
            call_id: self.call_id.text(text),
            instance_id,
            asked: Some(Asked { account, user_agent, device, devices: 1, ttl, credentials }),
            expires: self.expires,
            registration: self.registration,
            is_behind_nat: self.is_behind_nat,
            contacts: Contacts::One(self.contact.text(text)),
        }
    }
}

/// Whether a contact in an answer is the one that was asked for: PBXs may write its parameters anew.
fn is_same(asked: &[u8], answered: &[u8]) -> bool {
    if asked == answered {
        return true;
    }
    let (Ok(asked), Ok(answered)) = (Uri::parse(asked), Uri::parse(answered)) else { return false };
    asked.scheme == answered.scheme
        && asked.user == answered.user
        && asked.host_eq(answered.host)
        && asked.port == answered.port
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ListenerId;
    use crate::sip::limits::Limits;
    use crate::sip::view::Index;

    /// Whether places are kept of a REGISTER with these rows; they say what it says.
    fn kept(rows: &str) -> bool {
        let text = format!(
            "REGISTER sip:acme SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:bob@acme>;tag=1\r\n\
             To: <sip:bob@acme>\r\nCall-ID: x\r\nCSeq: 1 REGISTER\r\n{rows}\r\n"
        );
        // Line ends before the message are not kept with it.
        let text = format!("\r\n{text}");
        let mut index = Index::new();
        let view = View::read(text.as_bytes(), &mut index, &Limits::DEFAULT).unwrap();
        let listener = ListenerId::INSIDE_V4;
        let local = "192.0.2.1:5060".parse().unwrap();
        let flow = Flow::Udp { listener, local, peer: "10.0.0.5:5060".parse().unwrap() };
        let Some(places) = Asked::read(&view).and_then(|asked| Places::of(&view, &flow, &asked)) else { return false };
        let (wish, read) = (places.wish(view.message()), Wish::read(&view, &flow).unwrap());
        let parts = |wish: &Wish<'_>| {
            let texts = [wish.account, wish.user_agent, wish.call_id, wish.instance_id].map(<[u8]>::to_vec);
            let asked = format!("{:?}", wish.asked);
            (texts, asked, wish.expires, wish.registration, wish.is_behind_nat, wish.names(b"sip:bob@10.0.0.5"))
        };
        assert_eq!(parts(&wish), parts(&read));
        true
    }

    #[test]
    fn places_say_what_the_register_says() {
        // R68 P16
        for rows in [
            "Contact: <sip:bob@10.0.0.5>\r\n",
            "User-Agent: Phone/1\r\nContact: \"Bob\" <sip:bob@10.0.0.5:7>;expires=60;x\r\nExpires: 7\r\n",
            "m: sip:bob@10.0.0.6;reg-id=3;+sip.instance=\"<urn:uuid:00aB>\"\r\nAuthorization: Digest x\r\n",
            "Contact: <sip:10.0.0.5>;+sip.instance\r\n",
        ] {
            assert!(kept(rows), "{rows}");
        }
        for rows in
            ["", "Contact: *\r\nExpires: 0\r\n", "m: <sip:bob@h>\r\nExpires: 0\r\n", "m: <sip:b@h>, <sip:c@h>\r\n"]
        {
            assert!(!kept(rows), "{rows}");
        }
    }
}
