//! How a stream's task waits and ends: its wake-ups, its deadlines, its last words.

use super::{Connection, End};
use crate::clock::Tick;
use crate::net::counters::Loss;
use crate::net::socket::Socket;
use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;
use tokio::io::Interest;
use tokio::time::Sleep;

/// For a peer that was told why to take leave, so that nothing overtakes the reason.
const LINGER: Duration = Duration::from_secs(1);
/// Bytes of such a peer that are read and thrown away.
const LATE: usize = 256 * 1024;

impl Connection {
    /// Whether a deadline has passed, which ends it. The runtime's timer is only set anew where a deadline is earlier
    /// than it, not with every message.
    pub(super) fn is_due(&self, cx: &mut Context<'_>, partial: Option<Tick>, mut timer: Pin<&mut Sleep>) -> bool {
        let due = self.clock.instant(self.deadline(partial).0).into();
        if due < timer.deadline() {
            timer.as_mut().reset(due);
        }
        while timer.as_mut().poll(cx).is_ready() {
            let (due, why) = self.deadline(partial);
            if due <= self.clock.now().tick {
                // Who is told why and does not read is not waited for again.
                self.cut.set(self.end.get().is_some());
                self.finish(End::Lost(why));
                return true;
            }
            timer.as_mut().reset(self.clock.instant(due).into());
        }
        false
    }

    pub(super) fn note_task(&self, cx: &Context<'_>) {
        let mut task = self.task.borrow_mut();
        match &mut *task {
            Some(task) => task.clone_from(cx.waker()),
            None => *task = Some(cx.waker().clone()),
        }
    }

    pub(super) fn wake(&self) {
        if let Some(task) = &*self.task.borrow() {
            task.wake_by_ref();
        }
    }

    /// The reason to end now, if there is one: our own close waits for what is to be written.
    pub(super) fn ended(&self, socket: &Socket) -> Option<End> {
        let end = self.end.get()?;
        if end == End::Lost(Loss::Stalled) {
            // Nobody reads: do not let the kernel keep what is left.
            socket.forget_unread();
        }
        let waits = end.is_polite() && !self.cut.get() && !self.layer.borrow().is_empty();
        (!waits).then_some(end)
    }

    pub(super) fn deadline(&self, partial: Option<Tick>) -> (Tick, Loss) {
        let limits = &self.limits;
        let quiet = if self.greeted.get() { (limits.idle, Loss::Idle) } else { (limits.first_byte, Loss::FirstByte) };
        let quiet = (self.active.get().after(quiet.0), quiet.1);
        let handshake = (!self.opened.get()).then(|| (self.since.get().after(limits.handshake), Loss::HandshakeSlow));
        let partial = partial.map(|since| (since.after(limits.partial), Loss::Partial));
        let stalled = self.stalled.get().map(|since| (since.after(limits.stall), Loss::Stalled));
        let all = [Some(quiet), handshake, partial, stalled];
        all.into_iter().flatten().min_by_key(|(due, _)| *due).unwrap_or(quiet)
    }

    /// The first reason stands, but a peer that is gone or stalled beats a polite close.
    pub(super) fn finish(&self, end: End) {
        if matches!(self.end.get(), None | Some(End::Ours)) {
            self.end.set(Some(end));
        }
        self.wake();
    }
}

/// Reads what is still under way, so that closing does not reset what was said last.
pub(super) async fn linger(socket: &Socket, buffer: &RefCell<Box<[u8]>>) {
    socket.end_sending();
    let gone = async {
        let mut left = LATE;
        while left > 0 && socket.ready(Interest::READABLE).await.is_ok() {
            match socket.read(&mut buffer.borrow_mut()) {
                Ok(0) => return,
                Ok(read) => left = left.saturating_sub(read),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    };
    // It has been told; whether it listens is its own affair.
    let _ = tokio::time::timeout(LINGER, gone).await;
}
