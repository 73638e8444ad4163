//! What must hold after each step of a simulation, whatever the weather.

use super::msg::Msg;
use crate::engine::contract::Dest;
use crate::ids::Flow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// Identifies a request: where it came from, top branch, method and number. From another address it may meet
/// another shard, and is another request.
type Asked = (SocketAddr, String, String, u32);

/// The judge.
#[derive(Default)]
pub struct Judge {
    /// Requests that came, and the final answer each has got.
    asked: BTreeMap<Asked, Option<(u16, String)>>,
    /// Branches we have put on a request.
    branches: BTreeSet<String>,
    /// Requests in dialogs that nobody had.
    pub strangers: usize,
    /// Messages judged.
    pub judged: usize,
}

impl Judge {
    /// The engine was restarted: what it answers from now on it has not answered before.
    pub fn forget_transactions(&mut self) {
        for answer in self.asked.values_mut() {
            *answer = None;
        }
    }

    /// A message goes into an engine.
    pub fn came(&mut self, flow: &Flow, text: &str) {
        let msg = Msg::read(text);
        if msg.status() == 0 {
            self.asked.entry(name(flow.peer(), &msg)).or_default();
        }
    }

    /// A message comes out of an engine.
    pub fn goes(&mut self, to: &Dest, text: &str) {
        self.judged += 1;
        let msg = Msg::read(text);
        let (outside, peer) = match to {
            Dest::Backend { address, .. } => (false, *address),
            Dest::Flow(flow) | Dest::Reply { flow, .. } => (!flow.listener().is_inside(), flow.peer()),
        };
        // R8
        assert!(!(outside && text.contains("198.51.")), "an inside address is told: {text}");
        if msg.status() == 0 {
            self.request(&msg, to, text);
        } else {
            self.response(peer, &msg, text);
        }
    }

    fn request(&mut self, msg: &Msg, to: &Dest, text: &str) {
        let hops: u32 = msg.get("max-forwards").parse().unwrap();
        assert!(hops == 69 || matches!(msg.method(), "ACK" | "CANCEL") && hops == 70, "{text}");
        assert!(msg.branch().starts_with("z9hG4bKNt"), "{text}");
        self.branches.insert(msg.branch().to_owned());
        if let Dest::Backend { instance, .. } = to {
            let name = super::world::NAMES[instance.0 as usize - 1];
            assert!(msg.get("call-id").starts_with(&format!("{name}-")), "traffic of another instance: {text}");
        }
        assert!(msg.find("route").is_none_or(|route| !route.contains("198.51.100.1")), "our Route goes on: {text}");
    }

    fn response(&mut self, peer: SocketAddr, msg: &Msg, text: &str) {
        let (status, key) = (msg.status(), name(peer, msg));
        let Some(answer) = self.asked.get_mut(&key) else {
            // One that followed its device.
            let same = |asked: &Asked| (&asked.1, &asked.2, asked.3) == (&key.1, &key.2, key.3);
            return assert!(self.asked.keys().any(same), "a response without its request: {text}");
        };
        if msg.method() != "INVITE" {
            // RFC 4320
            assert!(status == 100 || status >= 200 && status != 408, "{text}");
        }
        assert!(!self.branches.contains(msg.branch()), "our own Via is on top: {text}");
        let final_answer = (status, text.to_owned());
        // A refusal of ours has no transaction: after a reload the same request may be welcome.
        if answer.as_ref().is_some_and(|(_, text)| text.contains("\r\nWarning: 399 nantucket")) {
            *answer = None;
        }
        match answer {
            _ if status < 200 && answer.is_none() => {}
            Some((old, _)) if status < 200 => panic!("{status} after {old}: {text}"),
            Some((200..=299, _)) if (200..300).contains(&status) && msg.method() == "INVITE" => {}
            Some(old) => assert_eq!((old.0, &old.1), (status, &final_answer.1), "a second final answer"),
            None => *answer = Some(final_answer),
        }
    }
}

fn name(peer: SocketAddr, msg: &Msg) -> Asked {
    (peer, msg.branch().to_owned(), msg.method().to_owned(), msg.cseq())
}
