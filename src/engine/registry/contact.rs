//! One registered contact as it is kept, in few bytes: there may be a million of them.

use super::packed::Packed;
use crate::clock::seconds;
use crate::dense::{Arena, NONE};
use std::borrow::Cow;
use std::collections::VecDeque;

/// User-Agents of one instance, those seen last, of which there is one copy each.
const AGENTS: usize = 32;
/// What an instance id is nearly always (RFC 5626 §4.1): `<urn:uuid:` and `>` around a UUID.
const PREFIX: &[u8] = b"<urn:uuid:";
const URN: usize = 47;
/// The groups of hexadecimal digits of such an id: where they begin, and which of the digits they are.
const GROUPS: [(usize, usize, usize); 5] = [(10, 0, 8), (19, 8, 12), (24, 12, 16), (29, 16, 20), (34, 20, 32)];

/// A contact of an account.
#[derive(Debug)]
pub(super) struct Contact {
    /// The URI as the device wrote it, and behind it the instance id.
    text: Box<[u8]>,
    shape: Shape,
    /// Its User-Agent, as long as it is among the instance's contacts.
    pub agent: AgentId,
    /// The way to the device; none for one that was registered past this node.
    pub flow: Option<Packed>,
    /// Unix seconds of the first REGISTER seen.
    pub since: u32,
    /// Unix seconds at which it ends unless refreshed.
    pub expires: u32,
    /// Its account's place.
    pub account: u32,
    /// The next contact of the account.
    pub next: u32,
}

/// Bytes of the URI, and in the two lowest bits how the instance id is kept.
#[derive(Clone, Copy, Debug)]
struct Shape(u32);

impl Shape {
    const fn new(uri: &[u8], form: Form) -> Self {
        // A message has fewer than 2^24 bytes.
        Self((uri.len() as u32) << 2 | form as u32)
    }

    const fn cut(self) -> usize {
        (self.0 >> 2) as usize
    }

    const fn form(self) -> Form {
        match self.0 & 3 {
            1 => Form::Lower,
            2 => Form::Upper,
            _ => Form::Text,
        }
    }
}

/// How the instance id is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    /// As it came; empty for none.
    Text,
    /// The 16 bytes of a UUID that was written in small letters.
    Lower,
    /// In capitals.
    Upper,
}

/// Names a User-Agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct AgentId(u32);

#[derive(Debug)]
struct Agent {
    text: Box<[u8]>,
    /// Contacts that have it.
    users: u32,
}

/// User-Agents that several contacts share: a fleet of phones has few.
#[derive(Default, Debug)]
pub(super) struct Agents {
    all: Arena<Agent>,
    /// Those that were seen last: a new contact's is looked for among them.
    recent: VecDeque<u32>,
}

impl Contact {
    pub fn new(account: u32, uri: &[u8], device: &[u8], agent: AgentId, (since, expires): (u64, u64)) -> Self {
        let (since, expires) = (seconds(since), seconds(expires));
        let (text, form) = pack(uri, device);
        let shape = Shape::new(uri, form);
        Self { text, shape, agent, flow: None, since, expires, account, next: NONE }
    }

    /// The URI as the device wrote it.
    pub fn uri(&self) -> &[u8] {
        self.text.get(..self.shape.cut()).unwrap_or_default()
    }

    /// The instance id of the device, if it has one.
    pub fn device(&self) -> Option<Cow<'_, str>> {
        let kept = self.kept();
        match self.shape.form() {
            Form::Text if kept.is_empty() => None,
            Form::Text => Some(text(kept)),
            form @ (Form::Lower | Form::Upper) => {
                let mut urn = *b"<urn:uuid:00000000-0000-0000-0000-000000000000>";
                let digits = digits(kept, form);
                for (start, first, last) in GROUPS {
                    if let (Some(room), Some(group)) =
                        (urn.get_mut(start..start + last - first), digits.get(first..last))
                    {
                        room.copy_from_slice(group);
                    }
                }
                Some(Cow::Owned(text(&urn).into_owned()))
            }
        }
    }

    /// The device or its software may be another one now.
    pub fn change(&mut self, device: &[u8], agent: &[u8], agents: &mut Agents) {
        if agents.text(self.agent) != agent {
            agents.release(self.agent);
            self.agent = agents.share(agent);
        }
        if !self.is_of(device) {
            let (text, form) = pack(self.uri(), device);
            (self.text, self.shape) = (text, Shape::new(self.uri(), form));
        }
    }

    /// Whether this is the instance id that is kept.
    fn is_of(&self, device: &[u8]) -> bool {
        let form = self.shape.form();
        if form == Form::Text {
            return self.kept() == device;
        }
        let digits = digits(self.kept(), form);
        let same = |&(start, first, last): &(usize, usize, usize)| {
            device.get(start..start + last - first) == digits.get(first..last)
        };
        is_urn(device) && GROUPS.iter().all(same)
    }

    fn kept(&self) -> &[u8] {
        self.text.get(self.shape.cut()..).unwrap_or_default()
    }
}

/// The text that is kept of a URI and an instance id.
fn pack(uri: &[u8], device: &[u8]) -> (Box<[u8]>, Form) {
    match uuid(device) {
        Some((uuid, form)) => ([uri, &uuid].concat().into(), form),
        None => ([uri, device].concat().into(), Form::Text),
    }
}

/// Whether a text has the shape of a UUID's URN; its digits are not looked at.
fn is_urn(device: &[u8]) -> bool {
    let hyphens = [18, 23, 28, 33];
    device.len() == URN
        && device.starts_with(PREFIX)
        && device.ends_with(b">")
        && hyphens.into_iter().all(|at| device.get(at) == Some(&b'-'))
}

/// The bytes of a UUID, if its text can be made from them again.
fn uuid(device: &[u8]) -> Option<([u8; 16], Form)> {
    if !is_urn(device) {
        return None;
    }
    let groups = GROUPS.iter().filter_map(|(start, first, last)| device.get(*start..start + last - first));
    let mut digits = groups.flatten();
    let form = if digits.clone().any(u8::is_ascii_uppercase) { Form::Upper } else { Form::Lower };
    let mut value = || {
        let digit = *digits.next()?;
        let other = if form == Form::Upper { digit.is_ascii_lowercase() } else { digit.is_ascii_uppercase() };
        char::from(digit).to_digit(16).filter(|_| !other)
    };
    let mut uuid = [0; 16];
    for byte in &mut uuid {
        *byte = (value()? << 4 | value()?) as u8;
    }
    Some((uuid, form))
}

/// The hexadecimal digits of a UUID.
fn digits(uuid: &[u8], form: Form) -> [u8; 32] {
    // No table: so that the compiler does sixteen at once.
    let letters = if form == Form::Upper { b'A' - b'0' - 10 } else { b'a' - b'0' - 10 };
    let digit = |value: u8| value + b'0' + if value > 9 { letters } else { 0 };
    let mut digits = [0; 32];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(uuid) {
        pair.copy_from_slice(&[digit(byte >> 4), digit(*byte & 15)]);
    }
    digits
}

impl Agents {
    /// One copy of a User-Agent for all who have it, as far as it is among those that were seen last. Whoever has it
    /// gives it back with [`Self::release`].
    pub fn share(&mut self, text: &[u8]) -> AgentId {
        let all = &self.all;
        let known = self.recent.iter().copied().find(|at| all.get(*at).is_some_and(|agent| *agent.text == *text));
        if let Some(at) = known
            && let Some(agent) = self.all.get_mut(at)
        {
            agent.users += 1;
            return AgentId(at);
        }
        let at = self.all.insert(Agent { text: text.into(), users: 1 });
        if self.recent.len() >= AGENTS {
            self.recent.pop_front();
        }
        self.recent.push_back(at);
        AgentId(at)
    }

    /// One contact less has it.
    pub fn release(&mut self, AgentId(at): AgentId) {
        let Some(agent) = self.all.get_mut(at) else { return };
        agent.users -= 1;
        if agent.users == 0 {
            self.all.remove(at);
            self.recent.retain(|recent| *recent != at);
        }
    }

    /// The User-Agent.
    pub fn text(&self, AgentId(at): AgentId) -> &[u8] {
        self.all.get(at).map_or(b"", |agent| &agent.text)
    }
}

/// Bytes for people.
pub(super) fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_few_bytes() {
        assert_eq!(size_of::<Option<Contact>>(), 64);
        let contact = |device: &[u8]| Contact::new(0, b"sip:x@h", device, AgentId(0), (0, 0));
        let uuid = b"<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>";
        assert_eq!((contact(uuid).text.len(), contact(&uuid.to_ascii_uppercase()).text.len()), (7 + 16, 7 + URN));
    }

    #[test]
    fn an_instance_id_is_told_as_it_came() {
        // P10 R73
        let lower = "<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>";
        let upper = "<urn:uuid:F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6>";
        let mixed = "<urn:uuid:F81d4fae-7dec-11d0-a765-00a0c91e6bf6>";
        let odd = "<urn:uuid:f81d4fae-7dec-11d0-a765_00a0c91e6bf6>";
        let no_digit = "<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bfg>";
        let all = ["", "x", lower, upper, mixed, odd, no_digit, "<urn:uuid:00000000-0000-1000-8000-000000000000>"];
        let mut agents = Agents::default();
        for one in all {
            let mut contact = Contact::new(0, b"sip:x@h", one.as_bytes(), agents.share(b"Phone/1"), (0, 0));
            for other in all {
                assert_eq!(contact.is_of(other.as_bytes()), one == other, "{one} {other}");
            }
            for other in all {
                contact.change(other.as_bytes(), b"Phone/2", &mut agents);
                assert_eq!(contact.device().as_deref().unwrap_or_default(), other);
                assert_eq!((contact.uri(), agents.text(contact.agent)), (&b"sip:x@h"[..], &b"Phone/2"[..]));
            }
        }
    }

    #[test]
    fn a_user_agent_is_kept_once_and_as_long_as_it_is_used() {
        // T19
        let mut agents = Agents::default();
        let fleet: Vec<AgentId> = (0..100).map(|_| agents.share(b"Phone/1")).collect();
        assert_eq!((agents.all.len(), agents.text(fleet[0])), (1, &b"Phone/1"[..]));
        let others: Vec<AgentId> = (0..100).map(|n| agents.share(format!("Phone/{n}").as_bytes())).collect();
        assert_eq!((agents.all.len(), agents.recent.len(), others[1]), (100, AGENTS, fleet[0]));
        assert_eq!((agents.share(b"Phone/99"), agents.text(others[99])), (others[99], &b"Phone/99"[..]));
        fleet.into_iter().chain(others.iter().copied()).for_each(|one| agents.release(one));
        assert_eq!((agents.all.len(), agents.recent.len()), (1, 1));
        agents.release(others[99]);
        assert_eq!((agents.all.len(), agents.recent.len(), agents.text(others[99])), (0, 0, &b""[..]));
    }
}
