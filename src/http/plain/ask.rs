//! A request on its way to an instance, up to the head of its answer.

use super::super::exchange::refusal_of;
use super::super::pulse::millis;
use super::super::server::Shared;
use super::super::upstream::Upstream;
use super::Link;
use super::answer::Answer;
use super::timer::Timer;
use crate::clock::Tick;
use crate::stats::HttpRefusal;
use std::future::poll_fn;
use std::task::{Context, Poll};

/// Who waits for an answer.
pub(super) trait Asker {
    /// Reads its head from these bytes; `None`: it is not here as a whole.
    fn read(&mut self, bytes: &[u8]) -> Result<Option<(usize, Answer)>, HttpRefusal>;

    /// Whether the client left.
    fn is_gone(&mut self, cx: &mut Context<'_>) -> bool;

    fn timer(&mut self) -> &mut Timer;
}

/// Why there is no answer.
pub(super) enum Trouble {
    /// The connection ended before an answer began.
    Lost,
    Why(HttpRefusal),
    /// The client left.
    Gone,
}

/// A whole request.
pub(super) struct Question<'a> {
    pub shared: &'a Shared,
    pub upstream: &'a Upstream,
    pub bytes: &'a [u8],
    /// Whether it does no harm to send it twice.
    pub repeatable: bool,
    /// When it came.
    pub begun: Tick,
}

impl Question<'_> {
    /// Gets the head of an answer, and what it came from; asks a second time where that can do no harm (HT09).
    pub(super) async fn ask(&self, asker: &mut impl Asker) -> Result<(Link, Answer), Trouble> {
        let (clock, config) = (self.shared.clock, &self.shared.config);
        let mut kept = poll_fn(|cx| Poll::Ready(self.upstream.reuse_plain(cx))).await;
        let mut begun = self.begun;
        loop {
            let reused = kept.is_some();
            let mut link = match kept.take() {
                Some(link) => link,
                None => {
                    let opened = Box::pin(self.upstream.open_plain(config.connect)).await;
                    let link = opened.map_err(|error| Trouble::Why(refusal_of(&error)))?;
                    begun = clock.tick();
                    link
                }
            };
            let due = begun.after(millis(config.answer));
            let mut sent = 0;
            match poll_fn(|cx| self.poll(cx, &mut link, &mut sent, asker, due)).await {
                Ok(answer) => return Ok((link, answer)),
                Err(Trouble::Lost) if reused && (self.repeatable || sent == 0) => self.shared.stats.retries.inc(),
                Err(trouble) => return Err(trouble),
            }
        }
    }

    fn poll(
        &self,
        cx: &mut Context<'_>,
        link: &mut Link,
        sent: &mut usize,
        asker: &mut impl Asker,
        due: Tick,
    ) -> Poll<Result<Answer, Trouble>> {
        // An answer may come before all is sent, and say why that fails.
        let (whole, failed) = match link.poll_send(cx, self.bytes, sent) {
            Poll::Ready(sending) => (sending.is_ok(), sending.is_err()),
            Poll::Pending => (false, false),
        };
        while let Poll::Ready(read) = link.poll_fill(cx) {
            if !matches!(read, Ok(1..)) {
                let trouble =
                    if link.unread().is_empty() { Trouble::Lost } else { Trouble::Why(HttpRefusal::Unreachable) };
                return Poll::Ready(Err(trouble));
            }
            match asker.read(link.unread()) {
                Ok(Some((used, mut answer))) => {
                    link.used(used);
                    // Whatever came next would be taken for the rest of this request.
                    answer.kept &= whole;
                    return Poll::Ready(Ok(answer));
                }
                Ok(None) => {}
                Err(why) => return Poll::Ready(Err(Trouble::Why(why))),
            }
        }
        if failed {
            return Poll::Ready(Err(Trouble::Lost));
        }
        if asker.is_gone(cx) {
            return Poll::Ready(Err(Trouble::Gone));
        }
        asker.timer().poll(cx, due).map(|()| Err(Trouble::Why(HttpRefusal::InstanceTimeout)))
    }
}
