//! What the node knows of itself, for whoever asks: the API, the metrics, the health pages, `plan`.

use crate::acme::Board;
use crate::admin::live::{self, Became, Binding, BoundListener, Decided, Live, Phase, Search, Seat, Seen, Told};
use crate::clock::Clock;
use crate::control::status::Status;
use crate::control::usage::{InUse, Registered, Usage};
use crate::driver::front::Closer;
use crate::engine::registry;
use crate::engine::shared::Shared;
use crate::guard::Guard;
use crate::ids::{InstanceId, Transport};
use crate::licence::light;
use crate::model::{DeviceClass, Kind, Seats};
use crate::observe::facts::{Facts, Listening};
use crate::route::cell::Cell;
use crate::tls::failures::Failures;
use crate::usage::Journal;
use arc_swap::ArcSwap;
use std::collections::HashSet;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

/// Accounts that `plan` names at most.
const ACCOUNTS: usize = 1_000;

/// The node's knowledge of itself.
pub(super) struct State {
    phase: AtomicU8,
    listeners: ArcSwap<Vec<BoundListener>>,
    shared: Arc<Shared>,
    cell: Arc<Cell>,
    status: Arc<Status>,
    journal: OnceLock<Arc<Journal>>,
    closer: OnceLock<Closer>,
    tls_failures: OnceLock<Arc<Failures>>,
    acme: Arc<Board>,
    clock: Clock,
    started: u64,
}

impl State {
    pub(super) fn new(shared: Arc<Shared>, cell: Arc<Cell>, status: Arc<Status>, clock: Clock) -> Arc<Self> {
        let started = clock.now().unix;
        Arc::new(Self {
            phase: AtomicU8::new(0),
            listeners: ArcSwap::default(),
            shared,
            cell,
            status,
            journal: OnceLock::new(),
            closer: OnceLock::new(),
            tls_failures: OnceLock::new(),
            acme: Arc::default(),
            clock,
            started,
        })
    }

    /// Takes note of where the use of licences is kept.
    pub(super) fn set_journal(&self, journal: &Arc<Journal>) {
        let _ = self.journal.set(Arc::clone(journal));
    }

    /// Takes note of what closes phones' connections.
    pub(super) fn set_closer(&self, closer: Closer) {
        let _ = self.closer.set(closer);
    }

    /// Takes note of where failed handshakes are told.
    pub(super) fn set_tls_failures(&self, failures: &Arc<Failures>) {
        let _ = self.tls_failures.set(Arc::clone(failures));
    }

    /// How it stands with certificates of ACME authorities.
    pub(super) const fn board(&self) -> &Arc<Board> {
        &self.acme
    }

    /// Enters another phase of life.
    pub(super) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
        tracing::info!("{}", name(phase));
    }

    /// Takes note of all listening addresses.
    pub(super) fn set_listeners(&self, listeners: Vec<BoundListener>) {
        self.listeners.store(Arc::new(listeners));
    }

    /// What the metrics and health pages show.
    pub(super) fn facts(&self) -> Facts {
        let phase = self.phase();
        let listeners = self.listeners.load();
        let listening = |it: &BoundListener| Listening {
            owner: it.owner.clone(),
            service: it.service.clone(),
            address: it.address,
            up: it.error.is_none(),
        };
        let served = self.status.read();
        let mut remarks: Vec<_> = listeners.iter().filter_map(|it| it.error.clone()).collect();
        if !served.problems.is_empty() {
            remarks.push(format!("the table has {} problems", served.problems.len()));
        }
        Facts {
            phase: name(phase),
            ready: phase == Phase::Serving,
            remarks,
            listeners: listeners.iter().map(listening).collect(),
            table_age: self.status.age(),
            table_problems: served.problems.len(),
            started: self.started,
            now: self.clock.now().unix,
        }
    }
}

impl Live for State {
    fn tls_failures(&self) -> Arc<Failures> {
        self.tls_failures.get().map(Arc::clone).unwrap_or_default()
    }

    fn acme(&self) -> Arc<Board> {
        Arc::clone(&self.acme)
    }

    fn phase(&self) -> Phase {
        [Phase::Starting, Phase::Serving, Phase::Draining]
            .into_iter()
            .find(|phase| *phase as u8 == self.phase.load(Relaxed))
            .unwrap_or(Phase::Stopping)
    }

    fn listeners(&self) -> Vec<BoundListener> {
        self.listeners.load().to_vec()
    }

    fn registrations(
        &self,
        instance: InstanceId,
        search: &Search<'_>,
        after: Option<&live::Place>,
        most: usize,
    ) -> Vec<(live::Place, Binding)> {
        let Some(room) = self.shared.registry.find(instance) else { return Vec::new() };
        let after = after.map(place);
        let (found, _) = room.look(search.account, after.as_ref(), most, &|it| (search.wanted)(&seen(it)));
        let named = |(place, binding): (registry::Place, _)| {
            (live::Place { account: place.account, contact: place.contact }, shown(binding))
        };
        found.into_iter().map(named).collect()
    }

    fn count_registrations(&self, instance: InstanceId, search: &Search<'_>) -> usize {
        let Some(room) = self.shared.registry.find(instance) else { return 0 };
        room.count(search.account, &|it| (search.wanted)(&seen(it)))
    }

    fn end_registration(&self, instance: InstanceId, ended: &live::Place) -> Option<bool> {
        let binding = self.shared.registry.find(instance)?.end(&place(ended))?;
        Some(binding.flow.is_some_and(|flow| self.closer.get().is_some_and(|closer| closer.close(&flow))))
    }

    fn decisions(&self, instance: InstanceId, wanted: &dyn Fn(&Told<'_>) -> bool) -> Vec<Decided> {
        let Some(room) = self.shared.registry.find(instance) else { return Vec::new() };
        let is_wanted = |it: &&registry::Decision| {
            let registry::Decision { account, device, user_agent, call_id, .. } = *it;
            wanted(&Told { account, device, user_agent, call_id })
        };
        room.with(|live| live.decisions.iter().filter(is_wanted).map(decided).collect())
    }

    fn seat(&self, instance: InstanceId, account: &[u8], user: &[u8]) -> Seat {
        let nobody = Seat { can_save: self.shared.registry.journal.can_save(), ..Seat::default() };
        let Some(room) = self.shared.registry.find(instance) else { return nobody };
        room.with(|live| {
            let counts = live.ledger.counts();
            Seat {
                has_claim: live.ledger.is_live(account),
                has_seat: live.ledger.has_seat(user),
                used: counts.used,
                pending: counts.in_flight,
                ..nobody
            }
        })
    }

    fn soft_client(&self, class: DeviceClass, account: &str, user_agent: &str) -> Option<&'static str> {
        let (account, user_agent) = (account.as_bytes(), user_agent.as_bytes());
        let device = light::Device { class, transport: Transport::Udp, account, user_agent };
        light::sign(&device, &self.shared.softphones.load()).map(light::Sign::text)
    }

    fn licence_now(&self) -> u64 {
        self.shared.licence_clock.at(self.clock.now().unix)
    }

    fn journal(&self) -> Option<Arc<Journal>> {
        self.journal.get().map(Arc::clone)
    }

    fn guard(&self) -> Arc<Guard> {
        Arc::clone(&self.shared.guard)
    }

    fn bindings(&self, instance: InstanceId) -> Vec<Binding> {
        self.shared.bindings(instance).into_iter().map(shown).collect()
    }
}

fn place(place: &live::Place) -> registry::Place {
    registry::Place { account: place.account.clone(), contact: place.contact.clone() }
}

fn seen<'a>(binding: &'a registry::Binding<'_>) -> Seen<'a> {
    Seen {
        account: &binding.account,
        contact: &binding.contact,
        user_agent: &binding.user_agent,
        device: binding.device.as_deref().unwrap_or_default(),
        transport: binding.flow.map(|flow| flow.transport()),
        source: binding.flow.map(|flow| flow.peer()),
    }
}

fn shown(binding: registry::Binding<'_>) -> Binding {
    Binding {
        account: binding.account.into(),
        contact: binding.contact.into(),
        user_agent: binding.user_agent.into(),
        device: binding.device.map(String::from).unwrap_or_default(),
        transport: binding.flow.map(|flow| flow.transport()),
        source: binding.flow.map(|flow| flow.peer()),
        since: binding.since,
        expires: binding.expires,
    }
}

fn decided(it: &registry::Decision) -> Decided {
    Decided {
        at: it.at,
        account: it.account.clone(),
        user: it.user.clone(),
        kind: it.kind,
        device: it.device.clone(),
        user_agent: it.user_agent.clone(),
        call_id: it.call_id.clone(),
        source: it.source,
        transport: it.transport,
        became: match it.outcome {
            registry::Outcome::Granted => Became::Granted,
            registry::Outcome::Refused(why) => Became::Refused(why),
            registry::Outcome::Shadowed(why) => Became::Shadowed(why),
        },
        used: it.counts.used,
        pending: it.counts.in_flight,
        seats: it.seats,
        total: it.total,
        revision: it.revision,
    }
}

impl Usage for State {
    fn of(&self, instance: InstanceId) -> InUse {
        let bindings = self.shared.bindings(instance);
        let calls = self.shared.calls(instance).len() as u64;
        let count = bindings.len() as u64;
        let mut accounts: Vec<String> = bindings.into_iter().map(|binding| binding.account.into()).collect();
        accounts.sort_unstable();
        accounts.dedup();
        accounts.truncate(ACCOUNTS);
        InUse { calls, bindings: count, accounts }
    }

    fn registered(&self, instance: InstanceId) -> Vec<Registered> {
        let snapshot = self.cell.load();
        let roster = snapshot.by_id(instance).and_then(|it| it.roster.as_ref());
        let mut bindings = self.shared.bindings(instance);
        bindings.sort_by_key(|binding| binding.since);
        let mut known = HashSet::new();
        let users = bindings.into_iter().filter_map(|binding| {
            let who = roster.and_then(|roster| roster.of_account(binding.account.as_bytes()));
            let (user, kind) = who.map_or((&*binding.account, Kind::Full), |who| (who.name, who.kind));
            known.insert(user.to_owned()).then(|| Registered { user: user.to_owned(), kind })
        });
        users.collect()
    }

    fn seats(&self, instance: InstanceId) -> Seats {
        let snapshot = self.cell.load();
        let used = |kind| {
            let found = snapshot.by_id(instance).map_or(0, |it| it.stats.seats(kind).used.read());
            u32::try_from(found).unwrap_or(u32::MAX)
        };
        Seats { full: used(Kind::Full), light: used(Kind::Light) }
    }
}

const fn name(phase: Phase) -> &'static str {
    match phase {
        Phase::Starting => "starting",
        Phase::Serving => "serving",
        Phase::Draining => "draining",
        Phase::Stopping => "stopping",
    }
}
