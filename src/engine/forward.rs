//! A request goes on: edited, with a branch of its own, in a client transaction (RFC 3261 §16.6).

use super::branch::Branch;
use super::contract::Dest;
use super::core::{Engine, Moment};
use super::ends;
use super::steer::{self, Inbound, Place, Plan, Side};
use super::tables::{NewClient, Owner, ServerId};
use super::target::Target;
use super::transaction::client;
use crate::ids::Transport;
use crate::sip::view::View;

/// Above this a request should not go over UDP (RFC 3261 §18.1.1); it does, and is counted (X02).
const DATAGRAM: usize = 1_300;

impl Engine {
    /// Sends a request with a transaction to a target. False if it could not be written.
    pub(super) fn forward(
        &mut self,
        moment: Moment<'_>,
        id: ServerId,
        view: &View<'_>,
        inbound: &Inbound,
        target: Target,
    ) -> bool {
        let timing = self.config.timing;
        if !self.tables.has_room_for_branch() {
            return false;
        }
        let client_id = self.tables.next_client(self.rng.u32(..));
        let branch = Branch {
            shard: self.config.shard,
            ack: false,
            index: client_id.index,
            nonce: client_id.nonce,
            loop_hash: inbound.loop_hash,
        };
        let Some(server) = self.tables.server_mut(id) else { return false };
        server.client = Some(client_id);
        if let Some(permit) = &mut server.permit {
            permit.sent();
        }
        if let Some(backend) = target.backend {
            server.backend = backend;
            server.tried.push(backend.address, backend.transport);
        } else {
            server.tried.push(server.flow.peer(), server.flow.transport());
        }
        let (kind, source) = (server.machine.kind, server.flow.peer());
        let Some(server) = self.tables.server(id) else { return false };
        let Some(ends) = ends::of_server(moment, &self.config, server) else { return false };
        let mut text = std::mem::take(&mut self.room.text);
        text.clear();
        let sent_by = self.write_request(moment, view, inbound, &branch, &target, &ends, source, &mut text);
        let Some(sent_by) = sent_by else {
            self.room.text = text;
            return false;
        };
        let transport = transport_of(&target.dest);
        let mut machine = client::Machine::new(kind, transport.is_reliable(), &timing);
        let plan = machine.start(&timing, target.more);
        let dest = target.dest;
        let new = NewClient {
            machine,
            server: id,
            request: &text,
            dest,
            health: target.health,
            sent_by,
            started: moment.now.tick,
        };
        self.tables.open_client(client_id, new);
        self.tables.apply(Owner::Client(client_id), plan, moment.now.tick);
        self.out.send(dest, client_id.ticket(), |out| out.extend_from_slice(&text));
        self.own.requests_forwarded.inc();
        if transport == Transport::Udp && text.len() > DATAGRAM {
            self.shared.stats.oversized_datagrams.inc();
        }
        self.room.text = text;
        true
    }

    /// Writes the request as it goes to a target, and answers with the hash of its sent-by.
    #[allow(clippy::too_many_arguments, reason = "the parts of one message")]
    pub(super) fn write_request(
        &mut self,
        moment: Moment<'_>,
        view: &View<'_>,
        inbound: &Inbound,
        branch: &Branch,
        target: &Target,
        ends: &steer::Ends<'_>,
        source: std::net::SocketAddr,
        text: &mut Vec<u8>,
    ) -> Option<u64> {
        let sent_by = match target.dest {
            Dest::Backend { address, transport, .. } => {
                Place::At(ends::sent_by_inside(&self.config.inside, address.ip(), transport)?)
            }
            Dest::Flow(_) | Dest::Reply { .. } => ends.outside,
        };
        let to = if target.backend.is_some() { Side::Instance } else { Side::Client };
        self.room.branch.clear();
        branch.write(&mut self.room.branch);
        let keys = steer::Keys { ring: &self.ring, now_unix: moment.now.unix };
        let plan = Plan {
            to,
            ends: *ends,
            profile: target.profile,
            branch: &self.room.branch,
            sent_by,
            source,
            strict_path: self.config.strict_path,
        };
        steer::request_out(view, inbound, &plan, keys, &mut self.room.splices, &mut self.room.steer).ok()?;
        self.room.splices.write(view, text).ok()?;
        Some(self.place_hash(&sent_by))
    }

    /// F13: a `sips` request goes to its next hop over TLS or not at all; there is no exception for the last one
    /// (RFC 5630 §4).
    pub(super) fn is_barred(&self, view: &View<'_>, inbound: &Inbound, target: &Target) -> bool {
        let is_sips = inbound.uri(view, &self.room.steer).get(..5).is_some_and(|it| it.eq_ignore_ascii_case(b"sips:"));
        is_sips && !matches!(transport_of(&target.dest), Transport::Tls | Transport::Wss)
    }

    /// Tries the next target of a request whose branch failed. False if there is none.
    pub(super) fn try_next(&mut self, moment: Moment<'_>, id: ServerId) -> bool {
        let gone = self.proceed(moment, id);
        if gone {
            self.shared.stats.failovers.inc();
        }
        gone
    }

    /// Sends a request on from where it was left. False if there is no target left, or it may not go on any more.
    pub(super) fn proceed(&mut self, moment: Moment<'_>, id: ServerId) -> bool {
        let Some(server) = self.tables.server(id) else { return false };
        if server.cancelled || !server.machine.is_open() {
            return false;
        }
        let Some(target) = self.next_target(moment, server) else { return false };
        let (flow, request) = (server.flow, self.tables.lend_request(id));
        let mut index = std::mem::take(&mut self.room.own_index);
        let mut steering = std::mem::take(&mut self.room.steer);
        let mut gone = false;
        if let Ok(view) = View::read(request.bytes(), index.get(), &self.config.limits) {
            let decided = self.decide(moment, flow, &view, &mut steering);
            self.room.steer = std::mem::take(&mut steering);
            // The table may have changed: what is refused now goes nowhere else.
            gone = decided.is_ok_and(|(_, inbound)| {
                !self.is_barred(&view, &inbound, &target) && self.forward(moment, id, &view, &inbound, target)
            });
        }
        self.room.own_index = index;
        self.tables.return_request(id, request);
        gone
    }

    /// The hash of a sent-by of ours; that of an address is known from the message before.
    fn place_hash(&mut self, place: &Place<'_>) -> u64 {
        let Place::At(address) = *place else { return self.text_hash(place) };
        match self.sent_by {
            Some((known, hash)) if known == address => hash,
            _ => {
                let hash = self.text_hash(place);
                self.sent_by = Some((address, hash));
                hash
            }
        }
    }

    fn text_hash(&mut self, place: &Place<'_>) -> u64 {
        self.room.branch.clear();
        place.write(&mut self.room.branch);
        let text = self.room.branch.as_slice();
        let colon = memchr::memrchr(b':', text).filter(|at| text.get(at + 1..).is_some_and(|p| !p.contains(&b']')));
        let (host, port) = match colon {
            Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default()),
            None => (text, &b""[..]),
        };
        let port = std::str::from_utf8(port).ok().and_then(|port| port.parse().ok());
        self.keyer.sent_by(host, port)
    }
}

const fn transport_of(dest: &Dest) -> Transport {
    match dest {
        Dest::Backend { transport, .. } => *transport,
        Dest::Flow(flow) | Dest::Reply { flow, .. } => flow.transport(),
    }
}
