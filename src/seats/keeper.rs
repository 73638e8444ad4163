//! The thread that writes claims down: waits for the journal, writes all that is in it at once, tells who waits.

use super::batch::Batch;
use super::{Error, Store};
use crate::clock::{Clock, Tick};
use crate::driver::claims::{Claims, Signal};
use crate::engine::shared::Shared;
use crate::route::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the node's being alive is noted; well below [`crate::licence::ledger::GRACE`].
const HEARTBEAT: u64 = 3_000;
/// Entries written at once.
const MOST: usize = 8_192;

/// How a store is opened: again and again while it cannot be.
pub type Open = Box<dyn Fn() -> Result<Box<dyn Store>, Error> + Send>;

/// What the keeper works with.
pub struct Wiring {
    /// The journal and the registry.
    pub shared: Arc<Shared>,
    /// The table: claims of instances that are off are over.
    pub cell: Arc<Cell>,
    /// The clocks.
    pub clock: Clock,
    /// Opens the store.
    pub open: Open,
}

/// The keeper before its thread runs.
pub struct Keeper {
    wiring: Wiring,
    store: Option<Box<dyn Store>>,
    batch: Batch,
    alive_at: Option<Tick>,
    /// Whether the trouble has been told.
    is_told: bool,
}

/// The running keeper.
pub struct Running {
    stop: Arc<AtomicBool>,
    signal: Signal,
    thread: JoinHandle<()>,
}

impl Keeper {
    /// Reads the claims back. A store that cannot be opened is no error: until it can, no new phone gets a seat.
    pub fn open(wiring: Wiring) -> Self {
        let mut keeper = Self { wiring, store: None, batch: Batch::default(), alive_at: None, is_told: false };
        keeper.restore();
        keeper
    }

    /// Starts writing.
    pub fn start(mut self, (signal, claims): (Signal, Claims)) -> io::Result<Running> {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, waits) = (Arc::clone(&stop), signal.clone());
        let thread = std::thread::Builder::new().name("seats".into()).spawn(move || {
            while !stopped.load(Relaxed) {
                waits.wait(Duration::from_millis(HEARTBEAT));
                self.round(|shard, claimed| claims.tell(shard, claimed));
            }
            self.alive_at = None;
            self.round(|_, _| {});
        })?;
        Ok(Running { stop, signal, thread })
    }

    /// Writes what has come in, and that the node is alive, and tells who waits.
    fn round(&mut self, tell: impl Fn(crate::ids::Shard, Vec<(u64, bool)>)) {
        if self.store.is_none() {
            self.restore();
        }
        let stats = Arc::clone(&self.wiring.shared.stats.seats);
        loop {
            let entries = self.wiring.shared.registry.journal.take(MOST);
            let more = entries.len() == MOST;
            entries.into_iter().for_each(|entry| self.batch.add(entry));
            let now = self.wiring.clock.now();
            let is_due = self.alive_at.is_none_or(|at| now.tick.since(at) >= HEARTBEAT);
            if self.batch.is_empty() && !is_due {
                return;
            }
            let alive = self.wiring.shared.licence_clock.at(now.unix);
            let written = self.store.as_mut().map(|store| store.write(&self.batch, alive));
            let saved = matches!(written, Some(Ok(())));
            self.wiring.shared.registry.journal.set_broken(!saved);
            match written {
                Some(Ok(())) => {
                    stats.writes.inc();
                    self.alive_at = Some(now.tick);
                    self.batch.done();
                    if std::mem::take(&mut self.is_told) {
                        tracing::info!("claims of seats are written again");
                    }
                }
                Some(Err(error)) => {
                    stats.failures.inc();
                    if !std::mem::replace(&mut self.is_told, true) {
                        tracing::error!(%error, "claims of seats could not be written: no new phone gets one");
                    }
                }
                None => {}
            }
            for (shard, claimed) in self.batch.take_waiting(saved) {
                tell(shard, claimed);
            }
            if !more {
                return;
            }
        }
    }

    /// Opens the store and takes its claims back.
    fn restore(&mut self) {
        let Wiring { shared, cell, clock, open } = &self.wiring;
        let opened = open().and_then(|mut store| {
            let loaded = store.load()?;
            Ok((store, loaded))
        });
        match opened {
            Ok((store, (kept, alive))) => {
                let now = shared.licence_clock.at(alive.max(clock.now().unix));
                tracing::info!(claims = kept.len(), last_alive = alive, licence_clock = now, "seats restored");
                shared.registry.restore(kept, alive, &cell.load(), clock.now().unix);
                shared.registry.journal.set_broken(false);
                self.store = Some(store);
            }
            Err(error) => {
                shared.registry.journal.set_broken(true);
                shared.stats.seats.failures.inc();
                if !std::mem::replace(&mut self.is_told, true) {
                    tracing::error!(%error, "claims of seats cannot be read: no new phone gets one");
                }
            }
        }
    }
}

impl Running {
    /// Writes the rest and ends. Blocks.
    pub fn stop(self) {
        self.stop.store(true, Relaxed);
        self.signal.raise();
        let _ = self.thread.join();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::registry::Kept;
    use crate::ids::{InstanceId, Shard};
    use crate::licence::ledger::{Change, Name, Record};
    use crate::model::Kind;
    use crate::route::testing::{compiled, instance, table};
    use std::cell::RefCell;
    use std::sync::Mutex;

    /// What a store was told, and whether it works.
    #[derive(Default)]
    struct Disk {
        is_away: bool,
        kept: Vec<Kept>,
        written: Vec<(usize, u64)>,
    }

    struct Fake(Arc<Mutex<Disk>>);

    impl Store for Fake {
        fn load(&mut self) -> Result<(Vec<Kept>, u64), Error> {
            Ok((self.0.lock().unwrap().kept.clone(), 0))
        }

        fn write(&mut self, batch: &Batch, alive: u64) -> Result<(), Error> {
            let mut disk = self.0.lock().unwrap();
            if disk.is_away {
                return Err(io::Error::from(io::ErrorKind::StorageFull).into());
            }
            disk.written.push((batch.claims.len(), alive));
            Ok(())
        }
    }

    fn keeper(disk: &Arc<Mutex<Disk>>) -> Keeper {
        let fake = Arc::clone(disk);
        let open: Open = Box::new(move || {
            if fake.lock().unwrap().is_away {
                return Err(io::Error::from(io::ErrorKind::PermissionDenied).into());
            }
            Ok(Box::new(Fake(Arc::clone(&fake))))
        });
        let cell = Arc::new(Cell::new(compiled(&table([instance(1, "acme")], []))));
        Keeper::open(Wiring { shared: Arc::default(), cell, clock: Clock::start(), open })
    }

    fn record(ttl: u32) -> Record {
        Record { user: Name::from(&b"ann"[..]), kind: Kind::Full, device: None, ttl }
    }

    fn put(keeper: &Keeper, tickets: impl IntoIterator<Item = u64>) {
        let change = |n: u64| Change::Put { account: n.to_be_bytes()[..].into(), record: record(60), ticket: Some(n) };
        keeper.wiring.shared.registry.journal.put(InstanceId(1), tickets.into_iter().map(change));
    }

    fn round(keeper: &mut Keeper) -> Vec<(Shard, u64, bool)> {
        let told = RefCell::new(Vec::new());
        keeper
            .round(|shard, claimed| told.borrow_mut().extend(claimed.into_iter().map(|(t, saved)| (shard, t, saved))));
        told.into_inner()
    }

    #[test]
    fn what_waits_is_written_at_once_and_told() {
        // R66
        let disk = Arc::default();
        let mut keeper = keeper(&disk);
        put(&keeper, [0x100, 0x201, 0x300]);
        assert_eq!(round(&mut keeper), [(Shard(0), 0x100, true), (Shard(0), 0x300, true), (Shard(1), 0x201, true)]);
        let written = disk.lock().unwrap().written.clone();
        assert_eq!(written.iter().map(|(count, _)| *count).collect::<Vec<_>>(), [3]);
        assert!(written[0].1 > 1_600_000_000, "the moment goes along");
        assert_eq!(round(&mut keeper), []);
        assert_eq!(disk.lock().unwrap().written.len(), 1, "the next sign of life is not due");
        keeper.alive_at = None;
        round(&mut keeper);
        assert_eq!(disk.lock().unwrap().written.len(), 2);
        put(&keeper, (1..=MOST as u64 + 1).map(|n| n << 8));
        assert_eq!(round(&mut keeper).len(), MOST + 1);
    }

    #[test]
    fn a_disk_that_is_full_is_told_and_what_it_missed_is_written_later() {
        // R69
        let disk: Arc<Mutex<Disk>> = Arc::default();
        let mut keeper = keeper(&disk);
        let journal = Arc::clone(&keeper.wiring.shared.registry.journal);
        disk.lock().unwrap().is_away = true;
        put(&keeper, [0x100]);
        assert_eq!(round(&mut keeper), [(Shard(0), 0x100, false)]);
        assert!(!journal.can_save());
        journal.put(InstanceId(1), [Change::Delete { account: Name::from(&b"gone"[..]) }].into_iter());
        assert_eq!(round(&mut keeper), []);
        assert_eq!(keeper.wiring.shared.stats.seats.failures.read(), 2);
        disk.lock().unwrap().is_away = false;
        assert_eq!(round(&mut keeper), [], "who was refused is not told again");
        assert!(journal.can_save());
        assert_eq!(disk.lock().unwrap().written.last().unwrap().0, 2);
    }

    #[test]
    fn a_store_that_comes_later_brings_its_claims() {
        // R66 R69
        let disk: Arc<Mutex<Disk>> = Arc::default();
        let kept = |instance, ttl| Kept {
            instance: InstanceId(instance),
            account: Name::from(&b"10"[..]),
            record: record(ttl),
        };
        // Of one instance that is on, and one that is not there.
        disk.lock().unwrap().kept = vec![kept(1, u32::MAX), kept(9, u32::MAX)];
        disk.lock().unwrap().is_away = true;
        let mut keeper = keeper(&disk);
        let shared = Arc::clone(&keeper.wiring.shared);
        assert!(!shared.registry.journal.can_save());
        round(&mut keeper);
        assert!(!shared.registry.journal.can_save());
        disk.lock().unwrap().is_away = false;
        round(&mut keeper);
        assert!(shared.registry.journal.can_save());
        let room = shared.registry.find(InstanceId(1)).unwrap();
        assert!(room.with(|live| live.ledger.is_live(b"10")));
        assert!(shared.registry.find(InstanceId(9)).is_none());
    }
}
