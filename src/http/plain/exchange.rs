//! One plain request and its answer.

use super::super::page::{self, Page, Taste};
use super::super::pulse::millis;
use super::super::response::Outside;
use super::answer::{self, Answer, Text};
use super::ask::{Asker, Question, Trouble};
use super::coding::{self, Coding};
use super::plan::Plan;
use super::request::{Request, put};
use super::timer::Timer;
use super::{Lane, Link, buffers, date};
use crate::clock::Tick;
use crate::stats::HttpRefusal;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite as _;

/// What the client may send ahead while it waits.
const AHEAD: usize = 64 * 1024;

/// What becomes of the client's connection.
pub(super) enum End {
    Next,
    Over,
    Stalled,
}

/// A request of which the answer is awaited.
struct Turn<'a, 'l> {
    lane: &'a mut Lane<'l>,
    request: &'a Request,
    plan: &'a Plan,
    back: &'a mut Vec<u8>,
}

/// Bytes on their way to the client.
struct Back {
    bytes: Vec<u8>,
    sent: usize,
}

impl Lane<'_> {
    /// Passes a request on, which is written in `out`, and its answer back.
    pub(super) async fn exchange(&mut self, request: &Request, plan: Plan, mut out: Vec<u8>) -> End {
        let front = self.front;
        let shared = &front.shared;
        shared.stats.requests.inc();
        plan.instance.stats.http_requests.inc();
        plan.permit.stats().http_bytes_in.add(request.body as u64);
        let mut back = Back { bytes: buffers::take(), sent: 0 };
        let repeatable = request.body == 0 && request.method.is_idempotent();
        let question = Question { shared, upstream: &plan.upstream, bytes: &out, repeatable, begun: plan.begun };
        let mut turn = Turn { lane: self, request, plan: &plan, back: &mut back.bytes };
        let asked = question.ask(&mut turn).await;
        buffers::give_up(&mut out);
        let end = match asked {
            Ok((link, answer)) => {
                if let Some(offer) = &plan.offer {
                    offer.answered(self.front, &plan.instance, answer.status);
                }
                self.deliver(plan, link, &answer, &mut back).await
            }
            Err(Trouble::Gone) => End::Over,
            Err(Trouble::Lost) => self.refuse(HttpRefusal::Unreachable, request, &plan, &mut back).await,
            Err(Trouble::Why(why)) => self.refuse(why, request, &plan, &mut back).await,
        };
        buffers::give_up(&mut back.bytes);
        end
    }

    /// Sends the head in `back` and the body behind it; the connection it comes from is kept if it can be.
    async fn deliver(&mut self, plan: Plan, mut link: Link, answer: &Answer, back: &mut Back) -> End {
        let shared = &self.front.shared;
        let mut coding = answer.coding;
        let (mut moved, mut waited) = (shared.clock.tick(), false);
        let end = poll_fn(|cx| {
            let end = self.poll_deliver(cx, &mut link, &mut coding, back, &plan, &mut moved);
            waited |= end.is_pending();
            end
        })
        .await;
        // The clock is read where time may have passed.
        self.since = if waited { shared.clock.tick() } else { moved };
        if answer.kept && coding.is_none() && link.unread().is_empty() {
            plan.upstream.keep_plain(link, moved);
        }
        match end {
            End::Next if self.last => End::Over,
            end => end,
        }
    }

    fn poll_deliver(
        &mut self,
        cx: &mut Context<'_>,
        link: &mut Link,
        coding: &mut Option<Coding>,
        back: &mut Back,
        plan: &Plan,
        moved: &mut Tick,
    ) -> Poll<End> {
        let (clock, config) = (self.front.shared.clock, &self.front.shared.config);
        loop {
            // What is here goes with the head, in one write.
            if let Some(framing) = coding
                && back.bytes.len() - back.sent < buffers::ROOM
                && !link.unread().is_empty()
            {
                let before = back.bytes.len();
                match take(framing, link, &mut back.bytes) {
                    Ok((passed, done)) => {
                        plan.permit.stats().http_bytes_out.add(passed);
                        if done {
                            *coding = None;
                        }
                    }
                    Err(coding::Bad) => {
                        // The client must not take what came for the whole.
                        back.bytes.truncate(before);
                        return Poll::Ready(End::Over);
                    }
                }
                continue;
            }
            let any = match self.poll_back(cx, back) {
                Poll::Ready(Ok(any)) => any,
                Poll::Ready(Err(_)) => return Poll::Ready(End::Over),
                Poll::Pending => {
                    return self.timer.poll(cx, moved.after(millis(config.write))).map(|()| End::Stalled);
                }
            };
            let Some(framing) = coding else { return Poll::Ready(End::Next) };
            if any {
                *moved = clock.tick();
            }
            match link.poll_fill(cx) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0)) if *framing == Coding::UntilClose => {
                    coding::put_end(&mut back.bytes);
                    *coding = None;
                }
                Poll::Ready(_) => return Poll::Ready(End::Over),
                Poll::Pending if self.is_gone(cx) => return Poll::Ready(End::Over),
                Poll::Pending => {
                    return self.timer.poll(cx, moved.after(millis(config.answer_body))).map(|()| End::Over);
                }
            }
        }
    }

    /// Writes what waits for the client; whether it was anything.
    fn poll_back(&mut self, cx: &mut Context<'_>, back: &mut Back) -> Poll<io::Result<bool>> {
        let any = !back.bytes.is_empty();
        while let Some(rest) = back.bytes.get(back.sent..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut *self.client).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => back.sent += written,
            }
        }
        back.bytes.clear();
        back.sent = 0;
        ready!(Pin::new(&mut *self.client).poll_flush(cx))?;
        Poll::Ready(Ok(any))
    }

    /// Whether the client left; what it sends ahead is kept.
    fn is_gone(&mut self, cx: &mut Context<'_>) -> bool {
        while self.unread.len() < AHEAD {
            match buffers::poll_fill(self.client, &mut self.unread, cx) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return true,
                Poll::Pending => return false,
            }
        }
        false
    }

    /// How the client sees the instance.
    fn outside<'a>(&'a self, request: &Request, plan: &'a Plan) -> Option<Outside<'a>> {
        let text = |range: std::ops::Range<usize>| std::str::from_utf8(self.unread.get(range)?).ok();
        let authority = text(request.authority.clone())?;
        let start = request.target.start;
        Some(Outside {
            scheme: if self.front.services.tls { "https" } else { "http" },
            authority,
            host: authority.get(..request.host)?,
            prefix: text(start..start + plan.prefix)?,
            stripped: plan.strips,
            web: plan.instance.web.as_deref()?,
        })
    }

    /// Says why there is no answer.
    async fn refuse(&mut self, why: HttpRefusal, request: &Request, plan: &Plan, back: &mut Back) -> End {
        let front = self.front;
        front.shared.stats.refuse(why);
        tracing::debug!(why = why.label(), peer = %front.peer, "http request refused");
        let instance = &plan.instance;
        let refusal = Page::Refusal {
            why,
            name: Some(instance.display_name()).filter(|name| !name.is_empty()),
            state: Some(instance.state),
            language: Some(instance.language),
        };
        let taste = self.unread.get(..request.head).map(Taste::read).unwrap_or_default();
        let (parts, body) = page::answer(refusal, &taste).into_parts();
        let body = body.whole();
        let last = self.stop.is_cancelled();
        let out = &mut back.bytes;
        out.clear();
        let reason = parts.status.canonical_reason().unwrap_or_default();
        put(out, &[b"HTTP/1.1 ", parts.status.as_str().as_bytes(), b" ", reason.as_bytes(), b"\r\n"]);
        for (name, value) in &parts.headers {
            put(out, &[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
        }
        put(out, &[b"Date: "]);
        date::put(out, front.shared.clock.now());
        if last {
            put(out, &[b"\r\nConnection: close"]);
        }
        put(out, &[b"\r\nContent-Length: ", body.len().to_string().as_bytes(), b"\r\n\r\n"]);
        if request.method != http::Method::HEAD {
            put(out, &[&body]);
        }
        self.since = front.shared.clock.tick();
        let due = self.since.after(millis(front.shared.config.write));
        poll_fn(|cx| match self.poll_back(cx, back) {
            Poll::Ready(Ok(_)) if last => Poll::Ready(End::Over),
            Poll::Ready(Ok(_)) => Poll::Ready(End::Next),
            Poll::Ready(Err(_)) => Poll::Ready(End::Over),
            Poll::Pending => self.timer.poll(cx, due).map(|()| End::Stalled),
        })
        .await
    }
}

impl Asker for Turn<'_, '_> {
    fn read(&mut self, bytes: &[u8]) -> Result<Option<(usize, Answer)>, HttpRefusal> {
        self.lane.last = self.lane.stop.is_cancelled();
        let outside = self.lane.outside(self.request, self.plan).ok_or(HttpRefusal::BadRequest)?;
        let (last, clock) = (self.lane.last, self.lane.front.shared.clock);
        let mut text = Text { out: self.back, last, clock };
        answer::pass(&mut text, bytes, &self.request.method, &outside)
    }

    fn is_gone(&mut self, cx: &mut Context<'_>) -> bool {
        self.lane.is_gone(cx)
    }

    fn timer(&mut self) -> &mut Timer {
        &mut self.lane.timer
    }
}

/// Takes a piece of a body out of what was read: how many bytes of it there were, and whether it is complete.
fn take(framing: &mut Coding, link: &mut Link, out: &mut Vec<u8>) -> Result<(u64, bool), coding::Bad> {
    let bytes = link.unread();
    let (used, passed, done) = match framing {
        Coding::Length(left) => {
            let length = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
            out.extend_from_slice(bytes.get(..length).unwrap_or_default());
            *left -= length as u64;
            (length, length as u64, *left == 0)
        }
        Coding::Chunked(chunks) => {
            let mut passed = 0;
            let used = chunks.read(bytes, |data| {
                passed += data.len() as u64;
                coding::put_chunk(out, data);
            })?;
            if chunks.is_done() {
                coding::put_end(out);
            }
            (used, passed, chunks.is_done())
        }
        Coding::UntilClose => {
            coding::put_chunk(out, bytes);
            (bytes.len(), bytes.len() as u64, false)
        }
    };
    link.used(used);
    Ok((passed, done))
}
