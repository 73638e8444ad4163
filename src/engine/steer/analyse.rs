//! What a request says about where it goes: tokens in Route and Request-URI (RFC 3261 §16.4).
//!
//! From outside, a request may name our entries, our own host as a preloaded outbound proxy, and
//! what we hid from the client; nothing else (F04). From inside, it must carry a client's token.
//! The table is only asked what a host stands for; choosing a target is the pipeline's.

use super::entry::{User, read, read_text};
use super::{BackendRef, Keys, Scratch, Side, SteerError, TOKEN_PARAM, loops};
use crate::engine::token::{FlowRef, OpenError, Recent, Token};
use crate::ids::{Flow, InstanceId, Transport};
use crate::route::snapshot::{Host, Instance, Proxy, Snapshot};
use crate::sip::bad::Bad;
use crate::sip::host;
use crate::sip::method::Method;
use crate::sip::name_addr::NameAddr;
use crate::sip::uri::{Scheme, Uri};
use crate::sip::view::{Name, View};
use std::net::{IpAddr, SocketAddr};

/// How a request came.
#[derive(Clone, Copy)]
pub struct Arrival<'a> {
    /// From which side.
    pub side: Side,
    /// The way it came.
    pub flow: Flow,
    /// The proxy whose listener it is; none on the inside.
    pub proxy: Option<&'a Proxy>,
    /// The node's inside addresses.
    pub inside: [Option<SocketAddr>; 2],
}

/// Where a request's own words send it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// Nowhere in particular: the table decides.
    Table,
    /// In a dialog: to this address of the instance, whatever the table says (R75).
    Backend(BackendRef),
    /// Over this client's flow and no other (P05).
    Client(FlowRef),
}

/// What [`analyse`] found. It points into the [`Scratch`] it was made with, until the next one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Inbound {
    /// Where tokens send it.
    pub way: Way,
    /// The instance a token or a masked URI names.
    pub instance: Option<InstanceId>,
    /// From inside, in a dialog: the instance's end as the dialog began.
    pub backend: Option<BackendRef>,
    /// From outside, in a dialog: the client's end as the dialog began.
    pub client: Option<FlowRef>,
    /// What the Request-URI's host stands for, where that was looked up.
    pub host: Option<Host>,
    /// For the branch.
    pub loop_hash: u32,
    /// How many Route values at the top are ours and go.
    pub(super) pops: usize,
    /// Whether the last Route value became the Request-URI and goes (F01).
    pub(super) last_used: bool,
    /// The Request-URI, where it is another one than came: start and end in the scratch.
    uri: Option<(usize, usize)>,
}

impl Inbound {
    /// The Request-URI to go on with.
    pub fn uri<'s>(&self, view: &View<'s>, scratch: &'s Scratch) -> &'s [u8] {
        self.new_uri(&scratch.text).unwrap_or(view.uri())
    }

    pub(super) fn new_uri<'s>(&self, text: &'s [u8]) -> Option<&'s [u8]> {
        let (start, end) = self.uri?;
        text.get(start..end)
    }

    /// Whether a request from inside may come from `source`: a backend of the instance, or the
    /// backend its dialog began with.
    pub fn is_from(&self, instance: Option<&Instance>, source: IpAddr) -> bool {
        let source = source.to_canonical();
        let is = |address: &SocketAddr| address.ip().to_canonical() == source;
        self.backend.is_some_and(|b| is(&b.address))
            || instance.is_some_and(|i| i.backends.iter().any(|b| is(&b.address)))
    }
}

/// Reads where a request's own words send it.
///
/// # Errors
/// [`SteerError`]: the request must be refused. An ACK is dropped instead, by the caller.
pub fn analyse(
    view: &View<'_>,
    from: &Arrival<'_>,
    keys: Keys<'_>,
    snapshot: &Snapshot,
    scratch: &mut Scratch,
) -> Result<Inbound, SteerError> {
    if view.value(Name::MaxBreadth).is_some_and(|value| !value.is_empty() && value.iter().all(|b| *b == b'0')) {
        return Err(SteerError::Breadth);
    }
    scratch.text.clear();
    let mut walk = Walk {
        from,
        keys,
        snapshot,
        way: Way::Table,
        instance: None,
        backend: None,
        client: None,
        host: None,
        expect: Expect::Any,
    };

    let came = view.request_uri().map_err(SteerError::Malformed)?;
    let routes = view.routes().count();
    let last_used = walk.request_uri_is_ours(&came, &mut scratch.token)?;
    let left = routes.checked_sub(usize::from(last_used)).ok_or(SteerError::Malformed(Bad::Missing(Name::Route)))?;

    let mut pops = 0;
    for route in view.routes().take(left) {
        let route = route.map_err(SteerError::Malformed)?;
        if !walk.pops(&route, &mut scratch.token)? {
            break;
        }
        pops += 1;
    }
    for route in view.routes().take(left).skip(pops) {
        walk.check_left(&route.map_err(SteerError::Malformed)?, &mut scratch.token)?;
    }

    if matches!(walk.way, Way::Backend(_)) && !is_in_dialog(view) {
        // Nothing new begins at an address that may be somebody else's by now: the table decides where
        // the instance is.
        walk.way = Way::Table;
        walk.client = None;
    }

    let mut uri = came;
    let last = if last_used { view.routes().last() } else { None };
    if let Some(last) = last {
        uri = last.and_then(|route| route.uri()).map_err(SteerError::Malformed)?;
    }
    let Scratch { token, text } = scratch;
    walk.request_uri(&uri, token, text)?;
    if text.is_empty() {
        walk.plain_uri(&uri, last_used, text);
    }
    let changed = (!text.is_empty()).then_some((0, text.len()));
    let hash = loops::hash(view, &walk.way, if changed.is_some() { text } else { came.text }, pops);
    if loops::came_round(view, hash) {
        return Err(SteerError::Loop);
    }
    let Walk { way, instance, backend, client, host, .. } = walk;
    Ok(Inbound { way, instance, backend, client, host, loop_hash: hash, pops, last_used, uri: changed })
}

/// The instance a URI's host names at the proxy a request came to.
pub(super) fn resolve(uri: &Uri<'_>, from: &Arrival<'_>, now_unix: u64, snapshot: &Snapshot) -> Option<InstanceId> {
    match snapshot.resolve_host(from.proxy?, uri.host, now_unix) {
        Host::Instance { id, .. } => Some(id),
        Host::Proxy | Host::Unknown => None,
    }
}

/// Which token of ours may come next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// The first: none has come.
    Any,
    /// The other half of the pair.
    Partner,
    /// None: what follows is for whoever comes after us.
    Nothing,
}

struct Walk<'a> {
    from: &'a Arrival<'a>,
    keys: Keys<'a>,
    snapshot: &'a Snapshot,
    way: Way,
    instance: Option<InstanceId>,
    backend: Option<BackendRef>,
    client: Option<FlowRef>,
    host: Option<Host>,
    expect: Expect,
}

impl Walk<'_> {
    /// F01: a strict router put our entry into the Request-URI.
    fn request_uri_is_ours(&mut self, uri: &Uri<'_>, scratch: &mut Recent) -> Result<bool, SteerError> {
        match read(uri, self.keys, scratch) {
            User::Token(_, token @ (Token::ToBackend { .. } | Token::ToClient { .. })) => {
                self.take(&token)?;
                Ok(true)
            }
            User::Token(..) => Err(SteerError::Misplaced),
            // Users may have names as long as a token.
            User::Absent | User::Plain | User::Refused(_) => Ok(false),
        }
    }

    /// Whether the topmost Route that is left is ours and goes.
    fn pops(&mut self, route: &NameAddr<'_>, scratch: &mut Recent) -> Result<bool, SteerError> {
        if self.expect == Expect::Nothing {
            return Ok(false);
        }
        let uri = route.uri().map_err(SteerError::Malformed)?;
        match read(&uri, self.keys, scratch) {
            User::Token(_, token) => self.take(&token),
            User::Refused(error) if self.expect == Expect::Any || self.is_ours(&uri) => Err(SteerError::Token(error)),
            User::Absent if self.is_ours(&uri) => self.preloaded(&uri),
            User::Plain if self.is_ours(&uri) => Err(SteerError::Token(OpenError::Malformed)),
            _ => Ok(false),
        }
    }

    /// A Route that is our own host without a token: an outbound proxy. One that names an instance
    /// claims it (R10).
    fn preloaded(&mut self, uri: &Uri<'_>) -> Result<bool, SteerError> {
        match resolve(uri, self.from, self.keys.now_unix, self.snapshot) {
            Some(instance) => self.claim(instance).map(|()| true),
            None => Ok(true),
        }
    }

    /// Takes a token from the top; false leaves it for whoever comes after us.
    fn take(&mut self, token: &Token<'_>) -> Result<bool, SteerError> {
        match (*token, self.from.side, self.expect) {
            (Token::ToBackend { instance, backend, address, transport }, Side::Client, Expect::Any) => {
                self.claim(instance)?;
                self.way = Way::Backend(BackendRef { id: backend, address, transport });
                self.expect = Expect::Partner;
                Ok(true)
            }
            (Token::ToClient { instance, flow }, Side::Instance, Expect::Any) => {
                self.claim(instance)?;
                self.way = Way::Client(flow);
                self.expect = Expect::Partner;
                Ok(true)
            }
            (Token::ToClient { instance, flow }, Side::Client, Expect::Partner) => {
                self.expect = Expect::Nothing;
                self.client = Some(flow);
                self.claim(instance).map(|()| true)
            }
            (Token::ToBackend { instance, backend, address, transport }, Side::Instance, Expect::Partner) => {
                self.expect = Expect::Nothing;
                self.claim(instance)?;
                self.backend = Some(BackendRef { id: backend, address, transport });
                Ok(true)
            }
            (Token::Mask { .. }, _, _) => {
                self.expect = Expect::Nothing;
                Ok(false)
            }
            // Another pair of a spiral begins: its turn comes later.
            (Token::ToBackend { .. } | Token::ToClient { .. }, _, Expect::Partner) => {
                self.expect = Expect::Nothing;
                Ok(false)
            }
            _ => Err(SteerError::Misplaced),
        }
    }

    /// Routes behind ours. From outside each must be one we gave out; from inside they are the
    /// client's own.
    fn check_left(&mut self, route: &NameAddr<'_>, scratch: &mut Recent) -> Result<(), SteerError> {
        if self.from.side == Side::Instance {
            return Ok(());
        }
        let uri = route.uri().map_err(SteerError::Malformed)?;
        match read(&uri, self.keys, scratch) {
            User::Token(_, Token::Contact { .. }) => Err(SteerError::Misplaced),
            User::Token(_, token) => self.claim(token.instance()),
            User::Refused(error) => Err(SteerError::Token(error)),
            User::Absent | User::Plain => Err(SteerError::ForeignRoute),
        }
    }

    /// A Request-URI that carries a token in its parameter: the URI behind it, into `text`.
    fn request_uri(&mut self, uri: &Uri<'_>, scratch: &mut Recent, text: &mut Vec<u8>) -> Result<(), SteerError> {
        let Some(value) = uri.param(TOKEN_PARAM) else {
            self.host = self.from.proxy.map(|proxy| self.snapshot.resolve_host(proxy, uri.host, self.keys.now_unix));
            return match self.host {
                // In a dialog the token says where; a name must not say otherwise.
                Some(Host::Instance { id: named, .. }) if self.instance.is_some_and(|instance| instance != named) => {
                    Err(SteerError::InstanceMismatch)
                }
                _ => Ok(()),
            };
        };
        match (read_text(value, self.keys, scratch), self.from.side) {
            (User::Token(_, Token::Mask { instance, text: hidden }), Side::Client) => {
                self.claim(instance)?;
                text.extend_from_slice(without_headers(hidden));
            }
            (User::Token(_, Token::Contact { instance, flow, uri }), Side::Instance) => {
                self.claim(instance)?;
                if self.way == Way::Table {
                    self.way = Way::Client(flow);
                }
                text.extend_from_slice(without_headers(uri));
            }
            // A PBX may dial what a client referred it to; no flow is in it.
            (User::Token(_, Token::Mask { .. }), Side::Instance) => {}
            (User::Token(..), _) => return Err(SteerError::Misplaced),
            (User::Refused(error), _) => return Err(SteerError::Token(error)),
            (User::Absent | User::Plain, _) => {}
        }
        Ok(())
    }

    /// The Request-URI without what may not or need not go on: header fields (§16.6-2) and a `maddr`
    /// that is ours (§16.4). A `maddr` of others is no instruction to us (F05). Writes nothing where
    /// nothing changes.
    fn plain_uri(&self, uri: &Uri<'_>, replaced: bool, text: &mut Vec<u8>) {
        let bare = up_to_headers(uri);
        if !uri.param(b"maddr").is_some_and(|maddr| self.names_us(maddr) && self.came_there(uri)) {
            if replaced || bare.len() < uri.text.len() {
                text.extend_from_slice(bare);
            }
            return;
        }
        text.extend_from_slice(up_to_host(uri));
        for (name, value) in uri.params() {
            if [&b"maddr"[..], b"transport"].iter().any(|gone| name.eq_ignore_ascii_case(gone)) {
                continue;
            }
            text.push(b';');
            text.extend_from_slice(name);
            if let Some(value) = value {
                text.push(b'=');
                text.extend_from_slice(value);
            }
        }
    }

    fn claim(&mut self, instance: InstanceId) -> Result<(), SteerError> {
        match self.instance {
            Some(other) if other != instance => Err(SteerError::InstanceMismatch),
            _ => {
                self.instance = Some(instance);
                Ok(())
            }
        }
    }

    /// Whether a Route's host is ours, token or not.
    fn is_ours(&self, uri: &Uri<'_>) -> bool {
        self.names_us(uri.host)
    }

    fn names_us(&self, name: &[u8]) -> bool {
        let ip = host::ip(name);
        if ip.is_some() && ip == Some(self.from.flow.local().ip().to_canonical()) {
            return true;
        }
        match (self.from.side, self.from.proxy) {
            (Side::Client, Some(proxy)) => self.snapshot.resolve_host(proxy, name, self.keys.now_unix) != Host::Unknown,
            _ => ip.is_some_and(|ip| self.from.inside.iter().flatten().any(|own| own.ip().to_canonical() == ip)),
        }
    }

    /// Whether the request came to the port and over the transport its URI names.
    fn came_there(&self, uri: &Uri<'_>) -> bool {
        let ours = self.from.flow.transport();
        let is_sips = uri.scheme == Scheme::Sips;
        let spoken = match uri.param(b"transport") {
            // F12: accepted, though nobody should write it.
            Some(name) => {
                name.eq_ignore_ascii_case(ours.uri_name().as_bytes())
                    || (ours == Transport::Tls && name.eq_ignore_ascii_case(b"tls"))
            }
            None => ours == if is_sips { Transport::Tls } else { Transport::Udp },
        };
        spoken && uri.port.unwrap_or(if is_sips { 5061 } else { 5060 }) == self.from.flow.local().port()
    }
}

/// Whether a request is part of a dialog. REGISTER and PUBLISH never are, whatever their To says.
fn is_in_dialog(view: &View<'_>) -> bool {
    !matches!(view.method(), Method::Register | Method::Publish) && view.to().is_ok_and(|to| to.tag().is_some())
}

/// A URI without its header fields.
fn without_headers(uri: &[u8]) -> &[u8] {
    Uri::parse(uri).map_or(uri, |parsed| up_to_headers(&parsed))
}

fn up_to_headers<'a>(uri: &Uri<'a>) -> &'a [u8] {
    let text = uri.text;
    uri.headers.map_or(text, |headers| text.get(..text.len() - headers.len() - 1).unwrap_or(text))
}

/// A URI's scheme, user part and host.
fn up_to_host<'a>(uri: &Uri<'a>) -> &'a [u8] {
    let behind = uri.params_text().into_iter().chain(uri.headers).map(|part| part.len() + 1).sum::<usize>();
    let hostport = uri.text.get(..uri.text.len() - behind).unwrap_or(uri.text);
    match uri.port.and(memchr::memrchr(b':', hostport)) {
        Some(colon) => hostport.get(..colon).unwrap_or(hostport),
        None => hostport,
    }
}
