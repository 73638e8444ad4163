//! `nantucket run`: configuration, logs, a node, signals.

use super::node::Node;
use super::settings;
use crate::config::{Config, file};
use crate::observe::log;
use crate::observe::log::Filter;
use crate::observe::process;
use sd_notify::NotifyState;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What is wrong with the configuration or the command line (`EX_USAGE`).
const BAD_USE: u8 = 64;
/// What the node needs is missing (`EX_UNAVAILABLE`).
const UNAVAILABLE: u8 = 69;
/// Threads for everything but SIP.
const THREADS: usize = 2;

/// Runs a node until a signal ends it.
pub fn run(config: Option<PathBuf>, data_dir: Option<PathBuf>) -> ExitCode {
    let source = Source { file: config, data_dir };
    let loaded = source.load().map_err(|error| error.to_string()).and_then(|config| {
        let filter = log::start(config.log.format == crate::config::sections::LogFormat::Json, &config.log.level);
        filter.map(|filter| (config, filter)).map_err(|error| format!("log.level: {error}"))
    });
    let (config, filter) = match loaded {
        Ok(loaded) => loaded,
        Err(message) => return fail(BAD_USE, &message),
    };
    check_descriptors(&config);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(live(source, config, filter)),
        Err(error) => fail(UNAVAILABLE, &error.to_string()),
    }
}

/// What the node opens beside connections: listeners, the store, logs, probes.
const OTHER_DESCRIPTORS: u64 = 1_024;

/// Takes as many file descriptors as the process may have, and says if they are too few for the limits: then new
/// connections fail before their limits are reached.
fn check_descriptors(config: &Config) {
    let open_files = process::raise_descriptors();
    let wants = descriptors(config);
    if open_files < wants {
        let (sip, http) = (config.limits.connections, config.http.connections);
        let (pool, workers) = (config.limits.pool_connections, settings::workers(config));
        tracing::warn!(
            open_files,
            wants,
            limits.connections = sip,
            limits.pool_connections = pool,
            workers,
            http.connections = http,
            "the limit on open files is too low for the limits on connections: raise it (LimitNOFILE=, ulimit -n) or lower them"
        );
    }
}

/// File descriptors that all limits together may take. A tunnel of HTTP has a second one towards the instance.
fn descriptors(config: &Config) -> u64 {
    let pooled = config.limits.pool_connections as u64 * u64::from(settings::workers(config));
    u64::from(config.limits.connections) + 2 * config.http.connections as u64 + pooled + OTHER_DESCRIPTORS
}

/// Where the configuration comes from, at the start and on SIGHUP.
struct Source {
    file: Option<PathBuf>,
    data_dir: Option<PathBuf>,
}

impl Source {
    fn load(&self) -> Result<Config, crate::config::Error> {
        let mut config = file::load(self.file.as_deref(), &|name| std::env::var(name).ok())?;
        if let Some(data_dir) = &self.data_dir {
            config.data_dir.clone_from(data_dir);
        }
        Ok(config)
    }
}

async fn live(source: Source, config: Config, filter: Filter) -> ExitCode {
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => return fail(UNAVAILABLE, &error.to_string()),
    };
    let mut patience = config.drain.deadline.duration();
    let started = tokio::select! {
        started = Node::start(config) => started,
        () = signals.end() => return ExitCode::SUCCESS,
    };
    let mut node = match started {
        Ok(node) => node,
        Err(error) => return fail(UNAVAILABLE, &error.to_string()),
    };
    tell(&[NotifyState::Ready]);
    let mut watchdog = tokio::time::interval(sd_notify::watchdog_enabled().map_or(Duration::MAX / 8, |time| time / 2));
    loop {
        tokio::select! {
            asked = signals.next() => match asked {
                Asked::End => break,
                Asked::Reload => {
                    if let Some(config) = reload(&source, &filter) {
                        patience = config.drain.deadline.duration();
                        node.reload(config).await;
                    }
                    tell(&[NotifyState::Ready]);
                }
            },
            _ = watchdog.tick() => tell(&[NotifyState::Watchdog]),
            () = node.failed() => return fail(UNAVAILABLE, "a part of the node has failed"),
        }
    }
    tell(&[NotifyState::Stopping]);
    tokio::select! {
        () = node.stop(patience) => ExitCode::SUCCESS,
        () = signals.end() => {
            tracing::warn!("a second signal: ending at once");
            ExitCode::from(130)
        }
    }
}

/// Reads the configuration again; one that cannot be used changes nothing (R74).
fn reload(source: &Source, filter: &Filter) -> Option<Config> {
    if let Ok(reloading) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, reloading]);
    }
    match source.load() {
        Ok(config) => match filter.set(&config.log.level) {
            Ok(()) => return Some(config),
            Err(error) => tracing::error!(%error, "the configuration was not read again"),
        },
        Err(error) => tracing::error!(%error, "the configuration was not read again"),
    }
    None
}

/// Tells the service manager, if there is one.
fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager could not be told");
    }
}

fn fail(code: u8, message: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "nantucket: {message}");
    ExitCode::from(code)
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// What a signal asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Asked {
    End,
    Reload,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for a signal.
    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::End,
            _ = self.interrupt.recv() => Asked::End,
            _ = self.hangup.recv() => Asked::Reload,
        }
    }

    /// Waits for a signal to end.
    async fn end(&mut self) {
        while self.next().await != Asked::End {}
    }
}
