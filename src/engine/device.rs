//! Which device a request is of: by its instance id where it has one, else by its Contact.
//!
//! The identity holds for one account of one instance, and nobody can make another's: it is a cryptographic hash,
//! and the registry moves a device only for its own account. A Contact over a connection often names a port that
//! is another one each time, so the User-Agent stands for it there.

use crate::ids::{DeviceId, Flow, InstanceId, Transport};
use crate::sip::name_addr::NameAddr;
use crate::sip::uri::{Scheme, Uri};
use crate::sip::view::{Name, View};
use sha2::{Digest as _, Sha256};

/// How most instance ids begin (RFC 5626 §4.1).
const UUID: &[u8] = b"<urn:uuid:";

/// The device of a request by this account, and its `reg-id`; 0 without one.
pub(super) fn of(
    view: &View<'_>,
    instance: InstanceId,
    account: &[u8],
    transport: Transport,
) -> Option<(DeviceId, u32)> {
    let contact = view.contacts().flatten().find(|contact| !contact.is_star())?;
    let mut hash = Sha256::new();
    hash.update(instance.0.to_be_bytes());
    part(&mut hash, account);
    let reg = match instance_id(&contact) {
        Some(id) => {
            // Most are of this form; without it all fits into one block of the hash.
            match id.split_at_checked(UUID.len()).filter(|(form, _)| form.eq_ignore_ascii_case(UUID)) {
                Some((_, id)) => lower(&mut hash, b'u', id),
                None => lower(&mut hash, b'i', id),
            }
            reg_id(&contact)
        }
        None => {
            let uri = contact.uri().ok().filter(|uri| matches!(uri.scheme, Scheme::Sip | Scheme::Sips))?;
            hash.update(b"c");
            part(&mut hash, uri.user.unwrap_or_default());
            lower(&mut hash, b'h', uri.host);
            if transport.is_reliable() {
                part(&mut hash, view.value(Name::UserAgent).unwrap_or_default());
            } else {
                hash.update(uri.port.unwrap_or(0).to_be_bytes());
            }
            0
        }
    };
    let digest = hash.finalize();
    let first = digest.first_chunk::<8>()?;
    Some((DeviceId(u64::from_be_bytes(*first)), reg))
}

/// Whether a request names its device by an instance id (RFC 5626 §4.1).
pub(super) fn instance_id<'a>(contact: &NameAddr<'a>) -> Option<&'a [u8]> {
    contact.instance_id().filter(|value| !value.is_empty())
}

/// The `reg-id` of a Contact, 0 without one; it counts only beside an instance id.
pub(super) fn registration(contact: &NameAddr<'_>) -> u32 {
    if instance_id(contact).is_some() { reg_id(contact) } else { 0 }
}

/// Whether a device names another address in its Contact than its request came from.
pub(super) fn is_behind_nat(contact: &Uri<'_>, flow: &Flow) -> bool {
    contact.port.unwrap_or(5060) != flow.peer().port() || contact.ip() != Some(flow.peer().ip().to_canonical())
}

fn reg_id(contact: &NameAddr<'_>) -> u32 {
    contact.reg_id().and_then(|text| std::str::from_utf8(text).ok()?.parse().ok()).unwrap_or(0)
}

/// A part and its length, so that no two lists of parts are the same bytes.
fn part(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u32).to_be_bytes());
    hash.update(bytes);
}

/// As [`part`] behind a mark, in any case (RFC 4122 §3, RFC 3261 §19.1.4).
fn lower(hash: &mut Sha256, mark: u8, bytes: &[u8]) {
    let [a, b, c, d] = (bytes.len() as u32).to_be_bytes();
    hash.update([mark, a, b, c, d]);
    // Not byte by byte: each update has its price.
    let mut room = [0; 64];
    for chunk in bytes.chunks(room.len()) {
        let Some(small) = room.get_mut(..chunk.len()) else { continue };
        small.copy_from_slice(chunk);
        small.make_ascii_lowercase();
        hash.update(small);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::limits::Limits;
    use crate::sip::view::Index;

    fn device(instance: u32, account: &str, contact: &str, transport: Transport) -> Option<(DeviceId, u32)> {
        let text = format!(
            "REGISTER sip:acme SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nUser-Agent: Phone/1\r\n\
             Contact: {contact}\r\n\r\n"
        );
        let mut index = Index::new();
        let view = View::read(text.as_bytes(), &mut index, &Limits::DEFAULT).unwrap();
        of(&view, InstanceId(instance), account.as_bytes(), transport)
    }

    #[test]
    fn the_instance_id_tells_and_nothing_beside_it() {
        // P10 R10 R43
        let one = device(1, "bob", "<sip:bob@10.0.0.5>;reg-id=1;+sip.instance=\"<urn:uuid:00aB>\"", Transport::Udp);
        let two = device(1, "bob", "<sip:bob@10.9.9.9:7>;+sip.instance=\"<urn:uuid:00Ab>\";reg-id=2", Transport::Tls);
        assert_eq!((one.unwrap().0, one.unwrap().1, two.unwrap().1), (two.unwrap().0, 1, 2));
        for (instance, account, id) in [(2, "bob", "00ab"), (1, "eve", "00ab"), (1, "bob", "00ac"), (1, "Bob", "00ab")]
        {
            let contact = format!("<sip:bob@10.0.0.5>;+sip.instance=\"<urn:uuid:{id}>\"");
            assert_ne!(device(instance, account, &contact, Transport::Udp).unwrap().0, one.unwrap().0);
        }
    }

    #[test]
    fn without_one_it_is_the_contact() {
        // R43
        let of = |contact: &str, transport| device(1, "bob", contact, transport).unwrap();
        let udp = of("<sip:bob@10.0.0.5:5060>;reg-id=4", Transport::Udp);
        assert_eq!(of("<sip:bob@10.0.0.5:5060;ob>;expires=3", Transport::Udp), udp);
        assert_eq!(udp.1, 0, "a reg-id counts only beside an instance id");
        assert_ne!(of("<sip:bob@10.0.0.5:5062>", Transport::Udp), udp);
        assert_ne!(of("<sip:bob@10.0.0.6:5060>", Transport::Udp), udp);
        let tcp = of("<sip:bob@10.0.0.5:40000>", Transport::Tcp);
        assert_eq!(of("<sip:bob@10.0.0.5:50000>", Transport::Tls), tcp, "the port is another one each time");
        assert_eq!(device(1, "bob", "*", Transport::Udp), None);
        assert_eq!(device(1, "bob", "<tel:+49110>", Transport::Udp), None);
    }
}
