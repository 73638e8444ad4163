//! The plain way through us: a complete HTTP/1.1 request that asks for nothing but its answer, read from the client's
//! bytes and written on without a map of fields, a task or a channel in between; and the same of a stream of HTTP/2
//! without a body (`streams`), which hyper reads.
//!
//! It decides by the same table, gates and guard as every request. It takes no request of which it does not understand
//! every field that matters to a proxy: uploads under way, upgrades, expectations, trailers, anything odd or wrong, and
//! whatever we answer ourselves go, unread, to hyper (`connection`), and so does the rest of their connection.

mod answer;
mod ask;
mod buffers;
mod coding;
mod date;
mod exchange;
mod flow;
mod link;
mod plan;
mod request;
mod streams;
mod timer;

pub(super) use flow::Flow;
pub(super) use link::Link;
pub(super) use streams::Streams;

use super::front::Front;
use super::pulse::millis;
use super::stream::Stream;
use crate::clock::Tick;
use crate::route::cell::Reader;
use bytes::BytesMut;
use exchange::End;
use http::Version;
use plan::{Plan, Wanted};
use request::{Request, Terms};
use std::future::{Future as _, poll_fn};
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use timer::Timer;
use tokio_util::sync::CancellationToken;

/// How a connection went on.
pub(super) enum Left {
    /// Something that is not plain: to be read again from these bytes.
    Odd(BytesMut),
    /// It is over; the client may be told so.
    Over,
    /// The client takes no bytes.
    Stalled,
}

/// One connection of a client, as long as all on it is plain.
struct Lane<'a> {
    front: &'a Arc<Front>,
    snapshot: Reader,
    client: &'a mut Stream,
    /// What the client sent and was not answered yet.
    unread: Vec<u8>,
    timer: Timer,
    /// Since when it waits for a request.
    since: Tick,
    terms: Terms,
    stop: &'a CancellationToken,
    /// Whether the client was told that no other answer follows.
    last: bool,
}

impl Lane<'_> {
    /// Where the request goes with which `unread` begins, written into `out`; `None`: the other way has to see to it.
    fn plan(&mut self, out: &mut Vec<u8>) -> Option<(Request, Plan)> {
        let Self { front, snapshot, unread, terms, .. } = self;
        let text = |range: &Range<usize>| std::str::from_utf8(unread.get(range.clone())?).ok();
        let bytes = |range: &Option<Range<usize>>| range.clone().and_then(|range| unread.get(range));
        request::pass(out, unread, terms, |request| {
            let wanted = Wanted {
                method: &request.method,
                target: text(&request.target)?,
                host: text(&request.authority)?.get(..request.host)?,
                authorization: bytes(&request.authorization),
                user_agent: bytes(&request.user_agent),
                body: request.body as u64,
            };
            let plan = plan::plan(front, snapshot.load(), &wanted)?;
            Some((if plan.strips { plan.prefix } else { 0 }, plan))
        })
    }
}

/// Serves a connection that begins with `early` while its requests are plain.
pub(super) async fn run(front: &Arc<Front>, client: &mut Stream, early: BytesMut, stop: &CancellationToken) -> Left {
    let clock = front.shared.clock;
    let (snapshot, timer) = (front.shared.cell.reader(), Timer::new(clock));
    let (unread, terms) = (Vec::from(early), Terms::of(front, Version::HTTP_11));
    let mut lane = Lane { front, snapshot, client, unread, timer, since: clock.tick(), terms, stop, last: false };
    let mut stopped = pin!(stop.cancelled());
    let config = &front.shared.config;
    let (mut patience, mut used) = (config.head, false);
    loop {
        if lane.unread.is_empty() {
            let due = lane.since.after(millis(patience));
            let filled = poll_fn(|cx| {
                if let Poll::Ready(read) = buffers::poll_fill(lane.client, &mut lane.unread, cx) {
                    return Poll::Ready(matches!(read, Ok(1..)));
                }
                if stopped.as_mut().poll(cx).is_ready() || lane.timer.poll(cx, due).is_ready() {
                    return Poll::Ready(false);
                }
                Poll::Pending
            })
            .await;
            if !filled {
                return Left::Over;
            }
        }
        let mut out = buffers::take();
        let Some((request, plan)) = lane.plan(&mut out) else {
            buffers::give_up(&mut out);
            if used {
                // What comes next has its time from here on.
                front.pulse.request_begins();
                front.pulse.request_ends();
            }
            return Left::Odd(BytesMut::from(&*std::mem::take(&mut lane.unread)));
        };
        match lane.exchange(&request, plan, out).await {
            End::Next => {}
            End::Over => return Left::Over,
            End::Stalled => return Left::Stalled,
        }
        let taken = request.head + request.body;
        if taken >= lane.unread.len() {
            buffers::give_up(&mut lane.unread);
        } else {
            lane.unread.drain(..taken);
        }
        (patience, used) = (config.idle, true);
    }
}
