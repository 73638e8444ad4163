//! From the file's keys to the options of the rooms.

use crate::config::Config;
use crate::config::sections::Webhook;
use crate::driver::options::{InsideOptions, Limits, Options, Site};
use crate::engine;
use crate::engine::transaction::timing::Timing;
use crate::guard::Policy;
use crate::health::state::Schedule;
use crate::http;
use crate::licence::key::{KeyError, Keys};
use crate::net::admission::Rate;
use crate::net::stream::StreamLimits;
use crate::sip;
use crate::tls::client::Clients;
use crate::usage::Hook;
use std::num::NonZeroUsize;
use std::sync::Arc;

/// Worker threads: as configured, or one for each core.
pub(super) fn workers(config: &Config) -> u8 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let wanted = if config.workers == 0 { cores } else { usize::from(config.workers) };
    u8::try_from(wanted.clamp(1, 64)).unwrap_or(1)
}

/// The driver's options.
pub(super) fn driver(config: &Config, boot: u32, clients: Arc<Clients>) -> Options {
    let advertise = |v4: bool| config.inside.advertise.iter().copied().find(|address| address.is_ipv4() == v4);
    let inside =
        config.inside.bind.iter().map(|bind| InsideOptions { bind: *bind, advertise: advertise(bind.is_ipv4()) });
    Options {
        workers: workers(config),
        boot,
        inside: inside.collect(),
        limits: limits(config),
        clients,
        inside_tls: None,
        guard: Arc::default(),
    }
}

/// Bounds of sockets; those that may change while running.
pub(super) fn limits(config: &Config) -> Limits {
    let (limits, timers) = (&config.limits, &config.timers);
    Limits {
        stream: StreamLimits {
            outbox: limits.outbox_bytes,
            first_byte: timers.first_byte.ms(),
            handshake: timers.handshake.ms(),
            partial: timers.partial.ms(),
            idle: timers.idle.ms(),
            stall: timers.stall.ms(),
            connect: timers.connect.ms(),
        },
        message: message(config),
        new_flows: Rate { per_second: limits.source_new_flows, burst: limits.source_new_flows_burst },
        connections: limits.connections,
        source_connections: limits.source_connections,
        handshakes: limits.handshakes,
        source_handshakes: limits.source_handshakes,
        pool: limits.pool_connections,
        mailbox: limits.mailbox,
        receive_buffer: limits.socket_buffer,
        ..Limits::default()
    }
}

/// Bounds of a message.
fn message(config: &Config) -> sip::limits::Limits {
    let (message, head) = (config.limits.message_bytes, config.limits.header_bytes);
    sip::limits::Limits { message, head, ..sip::limits::Limits::DEFAULT }
}

/// One worker's engine.
pub(super) fn engine(config: &Config, site: Site) -> engine::config::Config {
    let (limits, timers) = (&config.limits, &config.timers);
    engine::config::Config {
        shard: site.shard,
        shards: site.shards,
        boot: site.boot,
        seed: fastrand::u64(..),
        timing: Timing {
            t1: timers.t1.ms(),
            t2: timers.t2.ms(),
            t4: timers.t4.ms(),
            c: timers.c.ms(),
            attempt: timers.attempt.ms(),
        },
        inside: site.inside,
        limits: message(config),
        strict_path: config.sip.strict_path,
        transactions: limits.transactions,
        answered_bytes: limits.answered_bytes,
        kept_bytes: limits.transaction_bytes,
        new_requests: engine::budget::Rate {
            per_second: limits.instance_new_requests,
            burst: limits.instance_new_requests_burst,
        },
        attempts: limits.attempts,
        fall: config.health.fall,
        rise: config.health.rise,
        retry_after: u32::try_from(timers.retry_after.ms() / 1_000).unwrap_or(u32::MAX),
        bindings: limits.instance_bindings,
        calls: limits.instance_calls,
        connections: limits.instance_connections,
        reconnect: timers.reconnect.ms(),
        reconnect_start: timers.reconnect_start.ms(),
        keep_alive: timers.keep_alive.ms(),
    }
}

/// What becomes of strangers.
pub(super) fn guard(config: &Config) -> Policy {
    let guard = &config.guard;
    Policy {
        mode: guard.mode,
        allow: guard.allow.clone(),
        window: guard.window.ms(),
        failures: guard.failures,
        accounts: guard.accounts,
        names: guard.names,
        scans: guard.scans,
        first_ban: guard.first_ban.ms(),
        longest_ban: guard.longest_ban.ms(),
        memory: guard.memory.ms(),
        bans: guard.bans,
        scanner: guard.scanner,
        scanners: config.scanners.clone(),
        tarpit: guard.tarpit.ms(),
        tarpits: guard.tarpits,
        mask: guard.mask,
    }
}

/// The HTTP front.
pub(super) fn http(config: &Config) -> http::Config {
    let http = &config.http;
    http::Config {
        threads: NonZeroUsize::new(workers(config).into()),
        connections: http.connections,
        per_source: http.source_connections,
        handshakes: http.handshakes,
        target_bytes: http.target_bytes,
        field_bytes: http.field_bytes,
        instance_requests: http.instance_requests,
        body_bytes: http.body_bytes,
        handshake: http.handshake.duration(),
        head: http.head.duration(),
        idle: http.idle.duration(),
        body: http.body.duration(),
        write: http.write.duration(),
        connect: http.connect.duration(),
        answer: http.answer.duration(),
        answer_body: http.answer_body.duration(),
        ..http::Config::default()
    }
}

/// Whose licences are accepted.
pub(super) fn vendor_keys(config: &Config) -> Result<Keys, KeyError> {
    Keys::new(config.licence.vendor_keys.iter().map(|it| (it.id.as_str(), it.key.as_str())))
}

/// The prober's schedule.
pub(super) fn schedule(config: &Config) -> Schedule {
    let health = &config.health;
    Schedule {
        up_every: health.interval.ms(),
        down_every: health.interval_down.ms(),
        timeout: health.timeout.ms(),
        fall: health.fall,
        rise: health.rise,
    }
}

/// Who is told of events.
pub(super) fn hooks(config: &Config) -> Vec<Hook> {
    let hook =
        |it: &Webhook| Hook { url: it.url.clone(), secret_file: it.secret_file.clone(), topics: it.events.clone() };
    config.webhooks.iter().map(hook).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::reload::flatten;
    use crate::engine::config::Inside;
    use crate::ids::Shard;
    use crate::route::cell::Cell;
    use crate::route::snapshot::Snapshot;

    /// Keys that `app` reads itself.
    const ELSEWHERE: [&str; 14] = [
        "data_dir",
        "admin.listen",
        "metrics.listen",
        "metrics.instances",
        "health.targets",
        "drain.deadline",
        "webhooks",
        "licence.softphones",
        "licence.vendor_keys",
        "guard.scanners",
        "first_proxy.name",
        "first_proxy.fqdn",
        "first_proxy.base_domain",
        "first_proxy.listeners",
    ];
    const LOG: [&str; 2] = ["log.format", "log.level"];

    /// Everything that is made of a configuration.
    fn made(config: &Config) -> String {
        let site = Site { shard: Shard(0), shards: 1, boot: 0, inside: Inside::default() };
        let engine = engine::config::Config { seed: 0, ..engine(config, site) };
        let mut http = http(config);
        http.pseudonym.clear();
        let defaults = super::super::node::defaults(config);
        format!(
            "{:?} {engine:?} {:?} {http:?} {defaults:?} {:?}",
            driver(config, 0, Clients::new(Arc::new(Cell::new(Snapshot::default())))),
            schedule(config),
            guard(config)
        )
    }

    #[test]
    fn every_key_has_an_effect() {
        // PROTOCOLS 4, trap 9
        let table = toml::Table::try_from(Config::default()).unwrap();
        let before = made(&Config::default());
        for (key, value) in flatten(&table) {
            if ELSEWHERE.contains(&key.as_str()) || LOG.contains(&key.as_str()) {
                continue;
            }
            let other = match value {
                toml::Value::Integer(n) => (n + 61).to_string(),
                toml::Value::Boolean(on) => (!on).to_string(),
                toml::Value::String(_) if key == "guard.mode" => "\"watch\"".into(),
                toml::Value::String(_) if key == "guard.scanner" => "\"pass\"".into(),
                toml::Value::Array(_) if key == "guard.allow" => "[\"192.0.2.0/24\"]".into(),
                toml::Value::String(_) => "\"123456ms\"".into(),
                toml::Value::Array(_) if key == "inside.bind" => "[\"127.0.0.1:1\"]".into(),
                toml::Value::Array(_) => "[\"192.0.2.1\"]".into(),
                other => panic!("{key} is {other}"),
            };
            let text = match key.split_once('.') {
                Some((section, name)) => format!("[{section}]\n{name} = {other}\n"),
                None => format!("{key} = {other}\n"),
            };
            let config: Config = toml::from_str(&text).unwrap_or_else(|error| panic!("{key}: {error}"));
            assert_ne!(made(&config), before, "{key} has no effect");
        }
    }
}
