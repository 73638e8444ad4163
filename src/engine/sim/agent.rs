//! A phone or a PBX of the simulation: transactions with retransmission, dialogs, and habits drawn from a seed.

use super::msg::{Msg, inner};
use std::collections::BTreeMap;

const T1: u64 = 500;
const T2: u64 = 4_000;
const PATIENCE: u64 = 32_000;

/// What an agent wants sent: to the proxy (phones) or to this address (PBXs).
#[derive(Clone, Debug)]
pub struct Post {
    /// `host:port`; empty for a phone, which only knows its proxy.
    pub to: String,
    /// The message.
    pub text: String,
}

/// What an agent is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Role {
    /// A phone with its account.
    Phone,
    /// The PBX of an instance.
    Pbx,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum About {
    Register,
    Invite,
    Cancel,
    Other,
}

struct Asked {
    branch: String,
    method: String,
    text: String,
    to: String,
    about: About,
    /// When it is sent again; none once that is over.
    again: Option<u64>,
    interval: u64,
    end: u64,
    ringing: bool,
    cancel_at: Option<u64>,
    done: bool,
}

struct Answered {
    branch: String,
    method: String,
    call: String,
    request: Msg,
    to: String,
    text: String,
    again: Option<u64>,
    interval: u64,
    end: u64,
    /// When the pending final answer is given, and which.
    answer_at: Option<(u64, u16)>,
    finished: bool,
}

/// One end of a call.
struct Dialog {
    call: String,
    local: String,
    remote: String,
    target: String,
    routes: Vec<String>,
    from: String,
    to: String,
    cseq: u32,
    next_at: u64,
    left: u8,
    over: bool,
}

/// One phone or PBX.
pub struct Agent {
    /// The account of a phone; `pbx` for a PBX.
    pub name: String,
    /// The instance it belongs to.
    pub instance: String,
    /// What it is.
    pub role: Role,
    /// What it writes into Via and Contact.
    pub host: String,
    /// UDP or TCP, as in Via.
    pub transport: &'static str,
    calls: Vec<Dialog>,
    /// Ended calls, by Call-ID and its tag.
    past: Vec<(String, String)>,
    /// Registered phones: account to Contact, Path and end.
    registered: BTreeMap<String, (String, String, u64)>,
    /// Requests that ended without any answer, by method.
    pub unanswered: BTreeMap<String, usize>,
    /// Final answers heard, by method and status.
    pub finals: BTreeMap<(String, u16), usize>,
    /// Dialogs it was asked in and does not know, by Call-ID and its tag.
    pub strangers: Vec<(String, String)>,
    asked: Vec<Asked>,
    answered: Vec<Answered>,
    rng: fastrand::Rng,
    serial: u32,
    register_at: u64,
    act_at: u64,
    /// Whether it does nothing of its own accord any more.
    pub quiet: bool,
    /// Whether it always answers; otherwise it is as moody as PBXs are.
    pub kind: bool,
}

impl Agent {
    /// A phone or PBX that has done nothing yet.
    pub fn new(role: Role, instance: &str, name: &str, host: &str, transport: &'static str, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let first = rng.u64(0..5_000);
        Self {
            name: name.to_owned(),
            instance: instance.to_owned(),
            register_at: if role == Role::Phone { first } else { u64::MAX },
            act_at: first + rng.u64(2_000..20_000),
            role,
            host: host.to_owned(),
            transport,
            calls: Vec::new(),
            past: Vec::new(),
            registered: BTreeMap::new(),
            unanswered: BTreeMap::new(),
            finals: BTreeMap::new(),
            strangers: Vec::new(),
            asked: Vec::new(),
            answered: Vec::new(),
            rng,
            serial: 0,
            quiet: false,
            kind: false,
        }
    }

    /// When it wants to be woken.
    pub fn next(&self) -> u64 {
        let asked =
            self.asked.iter().flat_map(|a| [a.again.unwrap_or(u64::MAX), a.end, a.cancel_at.unwrap_or(u64::MAX)]);
        let answered = self
            .answered
            .iter()
            .flat_map(|a| [a.again.unwrap_or(u64::MAX), a.end, a.answer_at.map_or(u64::MAX, |x| x.0)]);
        let calls = self.calls.iter().map(|c| c.next_at);
        let own = if self.quiet { u64::MAX } else { self.register_at.min(self.act_at) };
        asked.chain(answered).chain(calls).fold(own, u64::min)
    }

    /// Whether it has a dialog with this Call-ID and tag of its own.
    pub fn has_dialog(&self, call: &str, tag: &str) -> bool {
        self.calls.iter().any(|c| c.call == call && c.local == tag) || self.had_dialog(call, tag)
    }

    fn had_dialog(&self, call: &str, tag: &str) -> bool {
        self.past.iter().any(|(c, t)| c == call && t == tag)
    }

    /// Whether nothing of its own is going on.
    pub fn is_idle(&self) -> bool {
        self.asked.is_empty() && self.answered.is_empty() && self.calls.is_empty()
    }

    /// Forgets its connection: it registers anew.
    pub fn reconnect(&mut self, now: u64) {
        self.register_at = now + 10;
    }

    /// Does what is due.
    pub fn wake(&mut self, now: u64) -> Vec<Post> {
        let mut out = Vec::new();
        self.wake_asked(now, &mut out);
        self.wake_answered(now, &mut out);
        self.wake_calls(now, &mut out);
        if self.quiet {
            return out;
        }
        if now >= self.register_at {
            self.register_at = now + 30_000;
            let (account, instance) = (self.name.clone(), self.instance.clone());
            let aor = format!("sip:{account}@{instance}");
            let (branch, call) = self.ids("reg");
            let text = format!(
                "REGISTER sip:{instance} SIP/2.0\r\n{}From: <{aor}>;tag={branch}\r\nTo: <{aor}>\r\nCall-ID: {call}\r\n\
                 CSeq: 1 REGISTER\r\nContact: <sip:{account}@{}>\r\nExpires: 60\r\nContent-Length: 0\r\n\r\n",
                self.head(&branch),
                self.host
            );
            self.ask(now, branch, text, String::new(), About::Register, &mut out);
        }
        if now >= self.act_at {
            self.act_at = now + self.rng.u64(3_000..25_000);
            self.act(now, &mut out);
        }
        out
    }

    /// Takes a message. `from` is where it came from, for a PBX to answer to.
    pub fn hear(&mut self, now: u64, text: &str, from: &str) -> Vec<Post> {
        let msg = Msg::read(text);
        let mut out = Vec::new();
        let call = msg.get("call-id").to_owned();
        assert!(call.starts_with(&format!("{}-", self.instance)), "{} got what is not its own: {text}", self.name);
        if msg.status() > 0 {
            self.hear_answer(now, &msg, &mut out);
        } else {
            self.hear_request(now, &msg, from, &mut out);
        }
        out
    }

    fn act(&mut self, now: u64, out: &mut Vec<Post>) {
        let (branch, call) = self.ids("act");
        let head = self.head(&branch);
        let (uri, from, to, routes, hop) = match self.role {
            Role::Phone => {
                let callee = format!("sip:x{}@{}", self.rng.u8(0..9), self.instance);
                (callee.clone(), format!("sip:{}@{}", self.name, self.instance), callee, String::new(), String::new())
            }
            Role::Pbx => {
                self.registered.retain(|_, (_, _, end)| *end > now);
                let accounts: Vec<&String> = self.registered.keys().collect();
                if accounts.is_empty() {
                    return;
                }
                let account = accounts[self.rng.usize(0..accounts.len())].clone();
                let (contact, path, _) = self.registered[&account].clone();
                let hop = hop_of(&path);
                let to = format!("sip:{account}@{}", self.instance);
                (contact, format!("sip:x1@{}", self.instance), to, format!("Route: {path}\r\n"), hop)
            }
        };
        let method = *self.rng.choice(&["INVITE", "INVITE", "INVITE", "OPTIONS", "MESSAGE"]).unwrap();
        let text = format!(
            "{method} {uri} SIP/2.0\r\n{head}{routes}From: <{from}>;tag={branch}\r\nTo: <{to}>\r\nCall-ID: {call}\r\n\
             CSeq: 1 {method}\r\nContact: <sip:{}@{}>\r\nContent-Length: 0\r\n\r\n",
            self.name, self.host
        );
        let about = if method == "INVITE" { About::Invite } else { About::Other };
        self.ask(now, branch, text, hop, about, out);
        if method == "INVITE" && self.rng.u8(0..5) == 0 {
            let at = now + self.rng.u64(0..3_000);
            self.asked.last_mut().unwrap().cancel_at = Some(at);
        }
    }

    fn ask(&mut self, now: u64, branch: String, text: String, to: String, about: About, out: &mut Vec<Post>) {
        let method = text.split(' ').next().unwrap().to_owned();
        out.push(Post { to: to.clone(), text: text.clone() });
        if method == "ACK" {
            return;
        }
        self.asked.push(Asked {
            branch,
            method,
            text,
            to,
            about,
            again: (self.transport == "UDP").then_some(now + T1),
            interval: T1,
            end: now + PATIENCE,
            ringing: false,
            cancel_at: None,
            done: false,
        });
    }

    fn wake_asked(&mut self, now: u64, out: &mut Vec<Post>) {
        let mut cancels = Vec::new();
        for asked in &mut self.asked {
            if asked.again.is_some_and(|at| at <= now) {
                asked.interval = if asked.method == "INVITE" { asked.interval * 2 } else { T2.min(asked.interval * 2) };
                asked.again = Some(now + asked.interval);
                out.push(Post { to: asked.to.clone(), text: asked.text.clone() });
            }
            if asked.cancel_at.is_some_and(|at| at <= now) {
                // Not before a provisional response has come.
                asked.cancel_at = None;
                if asked.ringing && !asked.done {
                    cancels.push((asked.branch.clone(), asked.text.clone(), asked.to.clone()));
                }
            }
        }
        for (branch, invite, to) in cancels {
            let text = invite.replacen("INVITE", "CANCEL", 1).replace("1 INVITE", "1 CANCEL");
            self.ask(now, branch, text, to, About::Cancel, out);
        }
        for asked in self.asked.iter().filter(|a| a.end <= now && !a.done) {
            *self.unanswered.entry(asked.method.clone()).or_default() += 1;
        }
        self.asked.retain(|asked| asked.end > now);
    }

    fn wake_answered(&mut self, now: u64, out: &mut Vec<Post>) {
        for at in 0..self.answered.len() {
            let answered = &mut self.answered[at];
            if answered.again.is_some_and(|again| again <= now) {
                answered.interval = T2.min(answered.interval * 2);
                answered.again = Some(now + answered.interval);
                out.push(Post { to: answered.to.clone(), text: answered.text.clone() });
            }
            if let Some((_, status)) = answered.answer_at.filter(|(when, _)| *when <= now) {
                answered.answer_at = None;
                self.answer(now, at, status, out);
            }
        }
        self.answered.retain(|answered| answered.end > now);
    }

    fn wake_calls(&mut self, now: u64, out: &mut Vec<Post>) {
        for at in 0..self.calls.len() {
            let call = &mut self.calls[at];
            if call.next_at > now {
                continue;
            }
            let method = match call.left {
                0 => "BYE",
                _ => *self.rng.choice(&["INVITE", "UPDATE", "INFO"]).unwrap(),
            };
            call.left = call.left.saturating_sub(1);
            call.over = method == "BYE";
            call.next_at = now + self.rng.u64(1_000..60_000);
            call.cseq += 1;
            self.ask_in_dialog(now, at, method, None, out);
        }
        self.forget_ended();
    }

    fn forget_ended(&mut self) {
        let (over, calls) = std::mem::take(&mut self.calls).into_iter().partition(|c| c.over);
        self.calls = calls;
        self.past.extend(over.into_iter().map(|c: Dialog| (c.call, c.local)));
    }

    fn ask_in_dialog(&mut self, now: u64, at: usize, method: &str, cseq: Option<u32>, out: &mut Vec<Post>) {
        let (branch, _) = self.ids("in");
        let head = self.head(&branch);
        let call = &self.calls[at];
        let routes: String = call.routes.iter().map(|r| format!("Route: {r}\r\n")).collect();
        let hop = match self.role {
            Role::Phone => String::new(),
            Role::Pbx => hop_of(&call.routes[0]),
        };
        let text = format!(
            "{method} {} SIP/2.0\r\n{head}{routes}From: <{}>;tag={}\r\nTo: <{}>;tag={}\r\nCall-ID: {}\r\n\
             CSeq: {} {method}\r\nContact: <sip:{}@{}>\r\nContent-Length: 0\r\n\r\n",
            call.target,
            call.from,
            call.local,
            call.to,
            call.remote,
            call.call,
            cseq.unwrap_or(call.cseq),
            self.name,
            self.host
        );
        let about = if method == "INVITE" { About::Invite } else { About::Other };
        self.ask(now, branch, text, hop, about, out);
    }

    fn hear_answer(&mut self, now: u64, msg: &Msg, out: &mut Vec<Post>) {
        let status = msg.status();
        let same = |a: &&mut Asked| a.branch == msg.branch() && a.method == msg.method();
        let Some(asked) = self.asked.iter_mut().find(same) else { return };
        if status < 200 {
            asked.ringing = true;
            if asked.method == "INVITE" {
                asked.again = None;
                asked.end = now + 400_000;
            } else {
                assert_eq!(status, 100, "a provisional answer to a non-INVITE: {msg:?}");
            }
            return;
        }
        let (first, about, text, to) = (!asked.done, asked.about.clone(), asked.text.clone(), asked.to.clone());
        asked.done = true;
        asked.again = None;
        asked.end = now + PATIENCE;
        if first {
            *self.finals.entry((asked.method.clone(), status)).or_default() += 1;
        }
        if asked.method != "INVITE" {
            assert_ne!(status, 408, "a 408 to a non-INVITE: {msg:?}");
            return;
        }
        assert_eq!(about, About::Invite);
        if status < 300 {
            self.accept(now, msg, out);
        } else {
            let invite = Msg::read(&text);
            let ack: String = text
                .split("\r\n")
                .map(|row| match row {
                    row if row.starts_with("INVITE ") => row.replacen("INVITE", "ACK", 1),
                    row if row.starts_with("To:") => format!("To: {}", msg.get("to")),
                    row if row.starts_with("CSeq:") => format!("CSeq: {} ACK", invite.cseq()),
                    row => row.to_owned(),
                })
                .collect::<Vec<_>>()
                .join("\r\n");
            out.push(Post { to, text: ack });
        }
    }

    /// A 2xx to an INVITE of ours: each is acked; the first makes the dialog.
    fn accept(&mut self, now: u64, msg: &Msg, out: &mut Vec<Post>) {
        let (local, remote) = (msg.tag("from").unwrap().to_owned(), msg.tag("to").unwrap().to_owned());
        let call = msg.get("call-id").to_owned();
        if self.had_dialog(&call, &local) {
            return;
        }
        let known = self.calls.iter().position(|c| c.call == call && c.local == local && c.remote == remote);
        let at = known.unwrap_or_else(|| {
            let mut routes = msg.list("record-route");
            routes.reverse();
            self.calls.push(Dialog {
                local,
                remote,
                call,
                target: msg.uri("contact").to_owned(),
                routes,
                from: inner(msg.get("from")).to_owned(),
                to: inner(msg.get("to")).to_owned(),
                cseq: msg.cseq(),
                next_at: now + self.rng.u64(500..40_000),
                left: self.rng.u8(0..4),
                over: false,
            });
            self.calls.len() - 1
        });
        self.ask_in_dialog(now, at, "ACK", Some(msg.cseq()), out);
    }

    fn hear_request(&mut self, now: u64, msg: &Msg, from: &str, out: &mut Vec<Post>) {
        let method = msg.method().to_owned();
        if method == "ACK" {
            return self.hear_ack(msg);
        }
        if let Some(known) = self.answered.iter().find(|a| a.branch == msg.branch() && a.method == method) {
            if !known.text.is_empty() {
                out.push(Post { to: known.to.clone(), text: known.text.clone() });
            }
            return;
        }
        if method == "CANCEL" {
            return self.hear_cancel(now, msg, from, out);
        }
        if let Some(tag) = msg.tag("to") {
            let remote = msg.tag("from").unwrap();
            let call = msg.get("call-id");
            let dialog = self.calls.iter_mut().find(|c| c.call == call && c.local == tag && c.remote == remote);
            let Some(dialog) = dialog else {
                if self.had_dialog(call, tag) {
                    return out.push(Post { to: from.to_owned(), text: msg.answer(481, "none", "") });
                }
                // Its 2xx was lost, or the transaction with a restart of the proxy.
                self.strangers.push((call.to_owned(), tag.to_owned()));
                return out.push(Post { to: from.to_owned(), text: msg.answer(481, "none", "") });
            };
            dialog.over |= method == "BYE";
            self.forget_ended();
        }
        self.answered.push(Answered {
            branch: msg.branch().to_owned(),
            method: method.clone(),
            call: msg.get("call-id").to_owned(),
            request: msg.clone(),
            to: from.to_owned(),
            text: String::new(),
            again: None,
            interval: T1,
            end: now + 300_000,
            answer_at: None,
            finished: false,
        });
        let at = self.answered.len() - 1;
        if method == "REGISTER" {
            return self.bind(now, at, out);
        }
        let fresh = msg.tag("to").is_none();
        let mood = if self.kind || !fresh { 0 } else { self.rng.u8(0..12) };
        match (method.as_str(), mood) {
            (_, 9) => self.answered[at].end = now + PATIENCE, // says nothing at all
            (_, 10) => self.answer(now, at, 503, out),
            (_, 11) => self.answer(now, at, 486, out),
            ("INVITE", _) if fresh => {
                self.answer(now, at, 180, out);
                let after = self.rng.u64(10..6_000);
                self.answered[at].answer_at = Some((now + after, 200));
            }
            _ => self.answer(now, at, 200, out),
        }
    }

    fn bind(&mut self, now: u64, at: usize, out: &mut Vec<Post>) {
        let request = self.answered[at].request.clone();
        let account = request.uri("to").trim_start_matches("sip:").split('@').next().unwrap().to_owned();
        let contact = request.uri("contact").to_owned();
        self.registered.insert(account, (contact.clone(), request.get("path").to_owned(), now + 60_000));
        self.answered[at].answer_at = None;
        let rows = format!("Contact: <{contact}>;expires=60\r\n");
        self.send_answer(now, at, 200, &rows, out);
    }

    fn answer(&mut self, now: u64, at: usize, status: u16, out: &mut Vec<Post>) {
        let rows = format!("Contact: <sip:{}@{}>\r\n", self.name, self.host);
        let request = self.answered[at].request.clone();
        if status == 200 && self.answered[at].method == "INVITE" && request.tag("to").is_none() {
            self.calls.push(Dialog {
                call: request.get("call-id").to_owned(),
                local: format!("{}{}", self.name, self.answered[at].branch),
                remote: request.tag("from").unwrap().to_owned(),
                target: request.uri("contact").to_owned(),
                routes: request.list("record-route"),
                from: inner(request.get("to")).to_owned(),
                to: inner(request.get("from")).to_owned(),
                cseq: 1,
                next_at: now + self.rng.u64(5_000..90_000),
                left: self.rng.u8(0..3),
                over: false,
            });
        }
        self.send_answer(now, at, status, &rows, out);
    }

    fn send_answer(&mut self, now: u64, at: usize, status: u16, rows: &str, out: &mut Vec<Post>) {
        let tag = format!("{}{}", self.name, self.answered[at].branch);
        let answered = &mut self.answered[at];
        answered.text = answered.request.answer(status, &tag, rows);
        if status >= 200 {
            answered.end = now + PATIENCE;
            answered.finished = true;
            answered.answer_at = None;
            // A 2xx is repeated over any transport, a failure over UDP only.
            let repeats = answered.method == "INVITE" && (status < 300 || self.transport == "UDP");
            answered.again = repeats.then_some(now + T1);
        }
        out.push(Post { to: answered.to.clone(), text: answered.text.clone() });
    }

    fn hear_ack(&mut self, msg: &Msg) {
        let call = msg.get("call-id");
        for answered in self.answered.iter_mut().filter(|a| a.method == "INVITE" && a.call == call) {
            if answered.request.cseq() == msg.cseq() {
                answered.again = None;
            }
        }
    }

    fn hear_cancel(&mut self, now: u64, msg: &Msg, from: &str, out: &mut Vec<Post>) {
        let found = self.answered.iter().position(|a| a.branch == msg.branch() && a.method == "INVITE");
        let Some(at) = found else {
            // Its INVITE was lost on the way.
            return out.push(Post { to: from.to_owned(), text: msg.answer(481, "none", "") });
        };
        out.push(Post { to: from.to_owned(), text: msg.answer(200, "cancel", "") });
        if !self.answered[at].finished {
            self.answer(now, at, 487, out);
        }
    }

    fn ids(&mut self, what: &str) -> (String, String) {
        self.serial += 1;
        let n = self.serial;
        let branch = format!("z9hG4bK{what}{}{}x{n}", self.instance, self.name);
        (branch, format!("{}-{what}-{}-{n}", self.instance, self.name))
    }

    fn head(&self, branch: &str) -> String {
        format!("Via: SIP/2.0/{} {};rport;branch={branch}\r\nMax-Forwards: 70\r\n", self.transport, self.host)
    }
}

/// `host:port` of a Route.
fn hop_of(route: &str) -> String {
    let uri = inner(route);
    uri.split('@').nth(1).unwrap_or_else(|| panic!("no user in {route}")).split(';').next().unwrap().to_owned()
}
