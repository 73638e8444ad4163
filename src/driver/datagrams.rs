//! Reading a datagram socket: keep-alives answered, junk counted, the rest to the engine.

use super::machine::Machine;
use super::worker::Worker;
use crate::clock::Now;
use crate::engine::contract::Input;
use crate::ids::Flow;
use crate::net::counters::Loss;
use crate::net::demux::{Datagram, Junk, classify};
use crate::net::stun;
use crate::net::udp::{Received, UdpSocket};
use std::rc::Rc;
use tokio::io::Ready;

/// Readings of a socket before others get their turn.
const READINGS: usize = 8;

/// Reads `socket` for ever; its task is aborted.
pub(super) async fn serve<M: Machine + 'static>(worker: Rc<Worker<M>>, socket: Rc<UdpSocket>) {
    while let Ok(mut ready) = socket.ready().await {
        if ready.ready().is_error() {
            worker.read_failures(&socket);
            ready.clear_ready_matching(Ready::ERROR);
        }
        let more = worker.read_datagrams(&socket);
        if !more {
            // Nothing is lost by that: what came after the last reading is told of anew.
            ready.clear_ready();
        }
        drop(ready);
        worker.settle();
        if more {
            tokio::task::yield_now().await;
        }
    }
}

impl<M: Machine + 'static> Worker<M> {
    /// Reads until the queue is empty, or until others must have their turn: then true.
    fn read_datagrams(&self, socket: &UdpSocket) -> bool {
        let mut batch = self.batch.borrow_mut();
        for _ in 0..READINGS {
            // Otherwise it is the error of an earlier datagram; the error queue has the details.
            let Ok(more) = socket.receive(&mut batch) else { continue };
            let now = self.common.clock.now();
            for (received, bytes) in batch.datagrams() {
                self.read_datagram(socket, received, bytes, now);
            }
            if !more {
                return false;
            }
        }
        true
    }

    fn read_datagram(&self, socket: &UdpSocket, received: Received, bytes: &[u8], now: Now) {
        let stats = &self.common.stats;
        stats.datagrams_in.inc();
        if self.keeps_datagram_out(socket, received, now) {
            return self.lose(Loss::Banned, received.peer);
        }
        let kind = classify(bytes);
        if kind == Datagram::KeepAlive {
            stats.keep_alives.inc();
            return self.tell_keep_alive(socket, received, now);
        }
        if received.peer.port() == 0 {
            // Nobody can be answered there.
            return self.lose(Loss::Junk, received.peer);
        }
        if !self.admits(socket, received, now) {
            return self.lose(Loss::NewFlows, received.peer);
        }
        match kind {
            Datagram::Sip => {
                let Received { peer, local, .. } = received;
                self.deliver_at(
                    now,
                    Input::Message { flow: Flow::Udp { listener: socket.listener(), local, peer }, bytes },
                );
            }
            Datagram::Stun => {
                let mut answer = Vec::with_capacity(64);
                if stun::answer(bytes, received.peer, &mut answer) {
                    stats.keep_alives.inc();
                    let _ = socket.send(&answer, received.local, received.peer);
                    self.tell_keep_alive(socket, received, now);
                } else {
                    self.lose(Loss::Stun, received.peer);
                }
            }
            Datagram::Junk(Junk::Rtp) => self.lose(Loss::Rtp, received.peer),
            Datagram::Junk(Junk::Dtls) => self.lose(Loss::Dtls, received.peer),
            Datagram::Junk(Junk::Other) => self.lose(Loss::Junk, received.peer),
            Datagram::KeepAlive => {}
        }
    }

    fn tell_keep_alive(&self, socket: &UdpSocket, received: Received, now: Now) {
        let Received { peer, local, .. } = received;
        if !socket.listener().is_inside() {
            self.deliver_at(now, Input::KeepAlive { flow: Flow::Udp { listener: socket.listener(), local, peer } });
        }
    }

    /// Whether a datagram comes from a banned source: then not a byte of it is looked at.
    fn keeps_datagram_out(&self, socket: &UdpSocket, received: Received, now: Now) -> bool {
        let guard = &self.common.guard;
        !guard.is_idle() && !socket.listener().is_inside() && !guard.admits(received.peer.ip(), false, now.tick)
    }

    /// Whether the flow is known, or its source may open another; instances are not limited here.
    fn admits(&self, socket: &UdpSocket, received: Received, now: Now) -> bool {
        if socket.listener().is_inside() {
            return true;
        }
        let now = now.tick;
        let mut recent = self.recent.borrow_mut();
        if recent.knows(received.peer, received.local.port(), now) {
            return true;
        }
        let admitted = self.common.sources.admit(received.peer.ip(), now);
        if admitted {
            recent.note(received.peer, received.local.port(), now);
        }
        admitted
    }

    fn read_failures(&self, socket: &UdpSocket) {
        let mut batch = self.batch.borrow_mut();
        let buffer = batch.first();
        while let Ok(failure) = socket.failure(buffer) {
            self.common.stats.icmp_errors.inc();
            if failure.unreachable {
                let quoted = buffer.get(..failure.length).unwrap_or_default();
                self.deliver(Input::Unreachable { peer: failure.peer, quoted });
            }
        }
    }
}
