//! Addresses for the host names of the table: looked up beside everything else, never waited for.
//!
//! An answer is asked for again after a while; what cannot be looked up keeps its last addresses, so
//! that an outage of DNS hurts no instance (X12). Addresses in the table ask nobody. Called by `watch`.

use crate::clock::Tick;
use crate::route::News;
use crate::route::resolved::Resolved;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Milliseconds until a good answer is asked for again.
const AGAIN: u64 = 30_000;
/// The same for each name in use, so that thousands of names do not make hundreds of questions a second.
const AGAIN_EACH: u64 = 20;
/// Milliseconds until a failed one is.
const RETRY: u64 = 5_000;
/// How long one answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many are asked for at once.
const AT_ONCE: usize = 16;
/// The most addresses taken of one name.
const MOST: usize = 16;

/// Asks for the addresses of a host name.
pub trait Lookup: Send + Sync {
    /// All addresses of `host`, IPv4 and IPv6.
    fn lookup(&self, host: &str) -> Answer;
}

/// A look-up on its way.
pub type Answer = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// The system's resolver, on its own threads.
#[derive(Clone, Copy, Debug)]
pub struct System;

impl Lookup for System {
    fn lookup(&self, host: &str) -> Answer {
        let host = host.to_owned();
        Box::pin(async move { Ok(tokio::net::lookup_host((host, 0)).await?.map(|found| found.ip()).collect()) })
    }
}

/// The names in use and what they stand for.
pub(super) struct Names {
    lookup: Arc<dyn Lookup>,
    pub(super) resolved: Resolved,
    /// When each is asked for next; none while it is being asked for.
    due: BTreeMap<Box<str>, Option<Tick>>,
    /// The same by time.
    queue: BTreeSet<(Tick, Box<str>)>,
    asking: JoinSet<Asked>,
}

type Asked = (Box<str>, io::Result<Vec<IpAddr>>);

impl Names {
    pub(super) fn new(lookup: Arc<dyn Lookup>) -> Self {
        let (resolved, due, queue, asking) = Default::default();
        Self { lookup, resolved, due, queue, asking }
    }

    /// Takes over which names are in use: new ones are asked for, others forgotten.
    pub(super) fn want(&mut self, news: &News, now: Tick) {
        for host in &news.left {
            if let Some(Some(at)) = self.due.remove(host) {
                self.queue.remove(&(at, host.clone()));
            }
            self.resolved.forget(host);
        }
        for host in &news.wanted {
            if !self.due.contains_key(host) {
                self.due.insert(host.clone(), None);
                self.note(host, now);
            }
        }
        self.ask(now);
    }

    /// Asks for what is due.
    pub(super) fn ask(&mut self, now: Tick) {
        while self.asking.len() < AT_ONCE && self.queue.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, host)) = self.queue.pop_first() else { return };
            if let Some(at) = self.due.get_mut(&host) {
                *at = None;
            }
            let answer = self.lookup.lookup(&host);
            self.asking.spawn(async move {
                let answer = tokio::time::timeout(PATIENCE, answer).await;
                (host, answer.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())))
            });
        }
    }

    /// Whether answers are awaited.
    pub(super) fn is_asking(&self) -> bool {
        !self.asking.is_empty()
    }

    /// Waits for an answer and takes all that are there; true if one is news. Never returns while
    /// nothing is asked for.
    pub(super) async fn answered(&mut self, now: impl Fn() -> Tick) -> bool {
        let Some(first) = self.asking.join_next().await else { return std::future::pending().await };
        let now = now();
        let mut news = first.is_ok_and(|answer| self.take(answer, now));
        while let Some(next) = self.asking.try_join_next() {
            news |= next.is_ok_and(|answer| self.take(answer, now));
        }
        self.ask(now);
        news
    }

    fn take(&mut self, (host, answer): Asked, now: Tick) -> bool {
        match answer {
            Ok(addresses) if !addresses.is_empty() => {
                let mut addresses: Vec<_> = addresses.into_iter().map(|ip| ip.to_canonical()).collect();
                addresses.sort_unstable();
                addresses.dedup();
                addresses.truncate(MOST);
                let again = AGAIN.max(AGAIN_EACH.saturating_mul(self.due.len() as u64));
                self.note(&host, now.after(again)) && self.resolved.set(&host, addresses)
            }
            failed => {
                let why = failed.err().map_or_else(|| "no address".to_owned(), |error| error.to_string());
                tracing::debug!(%host, why, "a host name of the table has no new address");
                self.note(&host, now.after(RETRY));
                false
            }
        }
    }

    /// Plans the next look-up; false if the name is not in use any more.
    fn note(&mut self, host: &str, at: Tick) -> bool {
        let Some(due) = self.due.get_mut(host) else { return false };
        if let Some(before) = due.replace(at) {
            self.queue.remove(&(before, host.into()));
        }
        self.queue.insert((at, host.into()))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::sync::Mutex;

    /// A DNS that answers what it was told, and counts.
    #[derive(Default)]
    pub(crate) struct Told {
        pub(crate) hosts: Mutex<BTreeMap<String, Vec<IpAddr>>>,
        pub(crate) asked: Mutex<Vec<String>>,
    }

    impl Told {
        pub(crate) fn set(&self, host: &str, addresses: &[&str]) {
            let addresses = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
            self.hosts.lock().unwrap().insert(host.into(), addresses);
        }
    }

    impl Lookup for Told {
        fn lookup(&self, host: &str) -> Answer {
            self.asked.lock().unwrap().push(host.into());
            let answer = self.hosts.lock().unwrap().get(host).cloned();
            Box::pin(async move { answer.ok_or_else(|| io::Error::other("no such host")) })
        }
    }

    fn wanted(names: &[&str]) -> News {
        News { wanted: names.iter().map(|name| (*name).into()).collect(), ..News::default() }
    }

    #[tokio::test]
    async fn an_outage_keeps_the_last_addresses() {
        // X12
        let told = Arc::new(Told::default());
        told.set("pbx.internal", &["192.0.2.1", "::ffff:192.0.2.1"]);
        let mut names = Names::new(Arc::clone(&told) as Arc<dyn Lookup>);
        names.want(&wanted(&["pbx.internal"]), Tick(0));
        assert!(names.answered(|| Tick(1)).await);
        let known: [IpAddr; 1] = ["192.0.2.1".parse().unwrap()];
        assert_eq!(names.resolved.get("pbx.internal"), known);
        names.ask(Tick(AGAIN));
        assert!(!names.is_asking(), "not before its time");
        told.hosts.lock().unwrap().clear();
        names.ask(Tick(AGAIN + 1));
        assert!(!names.answered(|| Tick(AGAIN + 2)).await);
        assert_eq!(names.resolved.get("pbx.internal"), known);
        told.set("pbx.internal", &["192.0.2.9"]);
        names.ask(Tick(AGAIN + 2 + RETRY));
        assert!(names.answered(|| Tick(AGAIN + 3 + RETRY)).await, "a failed one is asked for again sooner");
    }

    #[tokio::test]
    async fn names_are_forgotten_with_their_rows_and_asked_for_a_few_at_once() {
        let told = Arc::new(Told::default());
        let mut names = Names::new(Arc::clone(&told) as Arc<dyn Lookup>);
        let many: Vec<String> = (0..40).map(|n| format!("h{n:02}.internal")).collect();
        names.want(&wanted(&many.iter().map(String::as_str).collect::<Vec<_>>()), Tick(0));
        assert_eq!(names.asking.len(), AT_ONCE);
        while names.is_asking() {
            names.answered(|| Tick(1)).await;
        }
        assert_eq!(told.asked.lock().unwrap().len(), 40);
        assert_eq!((names.due.len(), names.queue.len()), (40, 40));
        told.set("late.internal", &["192.0.2.1"]);
        let left = many.iter().map(|name| name.as_str().into()).collect();
        names.want(&News { left, ..wanted(&["late.internal"]) }, Tick(2));
        names.want(&News { left: wanted(&["late.internal"]).wanted, ..News::default() }, Tick(2));
        assert!(!names.answered(|| Tick(3)).await, "nobody wants it any more");
        assert!(names.due.is_empty() && names.queue.is_empty() && names.resolved.get("late.internal").is_empty());
    }
}
