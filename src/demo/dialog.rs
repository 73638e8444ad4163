//! The state of a dialog (RFC 3261 §12): identifiers, numbers, route set and remote target.
//!
//! Called by `phone`, `call` and `pbx`; sends nothing.

use super::message::{Field, Method, Request, Response};
use super::text::{Address, Uri};
use super::wire::Peer;

/// One side's view of a dialog.
#[derive(Clone, Debug)]
pub struct Dialog {
    /// Call-ID.
    pub call_id: String,
    /// Our From (To in what the other side sends), with our tag.
    pub local: String,
    /// The other side's, with its tag.
    pub remote: String,
    /// Remote target.
    pub target: String,
    /// Route set, as it goes into Route.
    pub routes: Vec<String>,
    /// The last CSeq number we used.
    pub number: u32,
}

impl Dialog {
    /// The caller's view, from its request and the response that makes the dialog.
    pub fn caller(request: &Request, response: &Response) -> Option<Self> {
        let mut routes: Vec<String> = response.fields.list(Field::RecordRoute).map(str::to_owned).collect();
        routes.reverse();
        Some(Self {
            call_id: response.fields.call_id().to_owned(),
            local: request.fields.first(Field::From)?.to_owned(),
            remote: response.fields.first(Field::To)?.to_owned(),
            target: Address::read(response.fields.first(Field::Contact)?).uri.to_owned(),
            routes,
            number: request.fields.cseq()?.0,
        })
    }

    /// The callee's view, from the request and its own response.
    pub fn callee(request: &Request, response: &Response) -> Option<Self> {
        Some(Self {
            call_id: request.fields.call_id().to_owned(),
            local: response.fields.first(Field::To)?.to_owned(),
            remote: request.fields.first(Field::From)?.to_owned(),
            target: Address::read(request.fields.first(Field::Contact)?).uri.to_owned(),
            routes: request.fields.list(Field::RecordRoute).map(str::to_owned).collect(),
            number: 0,
        })
    }

    /// Our tag.
    pub fn local_tag(&self) -> &str {
        Address::read(&self.local).tag().unwrap_or_default()
    }

    /// The user part of the other side.
    pub fn remote_user(&self) -> &str {
        Uri::read(Address::read(&self.remote).uri).map_or("", |uri| uri.user)
    }

    /// Whether a request of the other side belongs to it.
    pub fn owns(&self, request: &Request) -> bool {
        let remote_tag = Address::read(&self.remote).tag().unwrap_or_default();
        self.call_id == request.fields.call_id()
            && self.local_tag() == request.fields.to_tag()
            && remote_tag == request.fields.from_tag()
    }

    /// The next request inside it, or the ACK of the last INVITE.
    pub fn request(&mut self, method: Method) -> Request {
        if method != Method::Ack {
            self.number = self.number.saturating_add(1);
        }
        let mut request = Request::new(method, self.target.clone());
        for route in &self.routes {
            request.fields.push(Field::Route, route);
        }
        request.fields.push(Field::From, &self.local);
        request.fields.push(Field::To, &self.remote);
        request.fields.push(Field::CallId, &self.call_id);
        request.fields.push(Field::CSeq, format!("{} {method}", self.number));
        request
    }

    /// Takes the remote target from a message that may change it (RFC 3261 §12.2).
    pub fn retarget(&mut self, contact: Option<&str>) {
        if let Some(contact) = contact {
            self.target = Address::read(contact).uri.to_owned();
        }
    }

    /// Where its requests go, when that is an address: the first route, else the target.
    pub fn next_hop(&self) -> Option<Peer> {
        let first = self.routes.first().map_or(self.target.as_str(), |route| Address::read(route).uri);
        let (transport, address) = Uri::read(first)?.address()?;
        Some(Peer { transport, address })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Dialog, Dialog) {
        let mut invite = Request::new(Method::Invite, "sip:b@harbor");
        invite.fields.push(Field::From, "<sip:a@harbor>;tag=1");
        invite.fields.push(Field::To, "<sip:b@harbor>");
        invite.fields.push(Field::CallId, "c");
        invite.fields.push(Field::CSeq, "4 INVITE");
        invite.fields.push(Field::Contact, "<sip:a@127.0.0.1:1>");
        invite.fields.push(Field::RecordRoute, "<sip:in@127.0.0.1:3;lr>");
        invite.fields.push(Field::RecordRoute, "<sip:out@127.0.0.1:4;transport=tcp;lr>");
        let answer = invite.reply(200, "2").with(Field::Contact, "<sip:b@127.0.0.1:2>");
        (Dialog::caller(&invite, &answer).unwrap(), Dialog::callee(&invite, &answer).unwrap())
    }

    #[test]
    fn both_sides_see_one_dialog() {
        let (mut caller, mut callee) = pair();
        let bye = caller.request(Method::Bye);
        assert!(callee.owns(&bye));
        assert!(!caller.owns(&bye));
        assert!(caller.owns(&callee.request(Method::Bye)));
        assert_eq!(bye.fields.cseq(), Some((5, "BYE")));
        assert_eq!(bye.uri, "sip:b@127.0.0.1:2");
        assert_eq!(caller.remote_user(), "b");
    }

    #[test]
    fn the_caller_reverses_the_route_set() {
        let (caller, callee) = pair();
        assert_eq!(caller.next_hop().unwrap().to_string(), "tcp:127.0.0.1:4");
        assert_eq!(callee.next_hop().unwrap().to_string(), "udp:127.0.0.1:3");
    }

    #[test]
    fn an_ack_has_the_number_of_its_invite() {
        let (mut caller, _) = pair();
        assert_eq!(caller.request(Method::Ack).fields.cseq(), Some((4, "ACK")));
    }
}
