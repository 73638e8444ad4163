//! The longest pause between two pieces of something that flows.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// Expires when nothing moved for `after` (and at most twice that). Costs a timer only while the
/// flow stands still, and none at all while it never does.
pub(super) struct Pause {
    after: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    moved: bool,
}

impl Pause {
    pub(super) fn new(after: Duration) -> Self {
        Self { after, timer: None, moved: false }
    }

    /// Notes that something moved.
    pub(super) fn moved(&mut self) {
        self.moved = true;
    }

    /// To be polled while nothing moves; ready when that lasted too long.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let timer = self.timer.get_or_insert_with(|| {
                self.moved = false;
                Box::pin(sleep(self.after))
            });
            ready!(timer.as_mut().poll(cx));
            if !std::mem::take(&mut self.moved) {
                return Poll::Ready(());
            }
            timer.set(sleep(self.after));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test(start_paused = true)]
    async fn it_expires_only_when_nothing_moves() {
        let after = Duration::from_secs(10);
        let mut pause = Pause::new(after);
        assert!(poll_fn(|cx| Poll::Ready(pause.poll(cx))).await.is_pending());
        for _ in 0..5 {
            tokio::time::advance(after - Duration::from_secs(1)).await;
            pause.moved();
            assert!(poll_fn(|cx| Poll::Ready(pause.poll(cx))).await.is_pending());
        }
        poll_fn(|cx| pause.poll(cx)).await;
    }
}
