//! Reading the file: every complaint names the file, the line and the key.

use super::{Config, Error};
use crate::guard::{MOST_BANS, Scanners};
use crate::licence::Softphones;
use crate::licence::key::Keys;
use crate::pattern::Fault;
use std::path::Path;

/// Where the file is looked for when none is named.
pub const DEFAULT_PATH: &str = "/etc/nantucket/nantucket.toml";

/// Reads a file, and the environment over it. Without a path the default one is read if it exists.
pub fn load(path: Option<&Path>, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, Error> {
    let mut config = match path {
        Some(path) => read(path)?,
        None if Path::new(DEFAULT_PATH).exists() => read(Path::new(DEFAULT_PATH))?,
        None => Config::default(),
    };
    super::env::apply(&mut config, env)?;
    check(&config).map_err(|(key, message)| locate(path, key, message))?;
    if !config.licence.softphones.as_os_str().is_empty() {
        config.softphones = softphones(&config.licence.softphones)?;
    }
    if !config.guard.scanners.as_os_str().is_empty() {
        config.scanners = list(&config.guard.scanners, Scanners::parse)?;
    }
    Ok(config)
}

/// Reads a list of soft clients.
fn softphones(path: &Path) -> Result<Softphones, Error> {
    list(path, Softphones::parse)
}

/// Reads a list of patterns. Its first problem is told with its place, the others behind it.
fn list<T>(path: &Path, parse: fn(&str) -> Result<T, Vec<Fault>>) -> Result<T, Error> {
    let fail = |position, key: &str, message| Error { file: Some(path.into()), position, key: key.into(), message };
    let text = std::fs::read_to_string(path).map_err(|error| fail(None, "", error.to_string()))?;
    parse(&text).map_err(|faults| {
        let mut faults = faults.into_iter();
        let Some(Fault { line, key, reason }) = faults.next() else { return fail(None, "", String::new()) };
        let others: String = faults.map(|fault| format!("; {fault}")).collect();
        fail(Some((line, 1)), &key, format!("{reason}{others}"))
    })
}

/// Reads one file.
pub fn read(path: &Path) -> Result<Config, Error> {
    let text = std::fs::read_to_string(path).map_err(|error| Error {
        file: Some(path.into()),
        position: None,
        key: String::new(),
        message: error.to_string(),
    })?;
    parse(&text, path)
}

/// Reads a file's text.
pub fn parse(text: &str, path: &Path) -> Result<Config, Error> {
    let fail = |key: String, error: &toml::de::Error| Error {
        file: Some(path.into()),
        position: error.span().map(|span| position(text, span.start)),
        key,
        message: error.message().trim().to_string(),
    };
    let document = toml::de::Deserializer::parse(text).map_err(|error| fail(String::new(), &error))?;
    let config: Config =
        serde_path_to_error::deserialize(document).map_err(|error| fail(error.path().to_string(), error.inner()))?;
    check(&config).map_err(|(key, message)| {
        let position = find(text, key).map(|at| position(text, at));
        Error { file: Some(path.into()), position, key: key.into(), message }
    })?;
    Ok(config)
}

/// What the types cannot say.
fn check(config: &Config) -> Result<(), (&'static str, String)> {
    let one_each = |v4: usize, all: usize| v4 <= 1 && all - v4 <= 1;
    let inside = &config.inside;
    let binds = inside.bind.iter().filter(|address| address.is_ipv4()).count();
    let told = inside.advertise.iter().filter(|address| address.is_ipv4()).count();
    let limits = &config.limits;
    let rules: [(bool, &'static str, &str); 23] = [
        (config.workers <= 64, "workers", "at most 64"),
        (!inside.bind.is_empty(), "inside.bind", "at least one address is needed"),
        (one_each(binds, inside.bind.len()), "inside.bind", "at most one address for each address family"),
        (one_each(told, inside.advertise.len()), "inside.advertise", "at most one address for each address family"),
        (
            inside.advertise.iter().all(|address| !address.is_unspecified()),
            "inside.advertise",
            "instances must be told a real address",
        ),
        (limits.message_bytes >= 1_300, "limits.message_bytes", "at least 1300"),
        (limits.message_bytes <= 1 << 24, "limits.message_bytes", "at most 16777216"),
        (limits.header_bytes <= limits.message_bytes, "limits.header_bytes", "at most limits.message_bytes"),
        (limits.transactions >= 16, "limits.transactions", "at least 16"),
        (limits.source_connections >= 1, "limits.source_connections", "at least 1"),
        (limits.source_handshakes >= 1, "limits.source_handshakes", "at least 1"),
        (limits.outbox_bytes >= limits.message_bytes, "limits.outbox_bytes", "at least limits.message_bytes"),
        (config.timers.reconnect.ms() <= 30_000, "timers.reconnect", "at most 30s: nobody waits longer for an answer"),
        (
            config.timers.reconnect_start.ms() <= 60_000,
            "timers.reconnect_start",
            "at most 60s: nobody waits longer for an answer",
        ),
        (config.timers.keep_alive.ms() >= 1_000, "timers.keep_alive", "at least 1s"),
        (config.timers.c.ms() > 180_000, "timers.c", "must be more than 3m (RFC 3261 §16.6)"),
        (
            config.webhooks.iter().all(|hook| matches!(hook.url.scheme(), "http" | "https") && hook.url.has_host()),
            "webhooks",
            "a url is https://… or http://…",
        ),
        (
            config
                .webhooks
                .iter()
                .enumerate()
                .all(|(n, hook)| config.webhooks.iter().take(n).all(|other| other.url != hook.url)),
            "webhooks",
            "no two with the same url",
        ),
        (config.webhooks.len() <= 16, "webhooks", "at most 16"),
        (config.guard.failures >= 1, "guard.failures", "at least 1"),
        (config.guard.scans >= 1, "guard.scans", "at least 1"),
        (config.guard.bans <= MOST_BANS, "guard.bans", "at most 12000"),
        (config.health.fall >= 1 && config.health.rise >= 1, "health", "rise and fall are at least 1"),
    ];
    if let Some((_, key, message)) = rules.into_iter().find(|(sound, ..)| !sound) {
        return Err((key, message.into()));
    }
    let keys = config.licence.vendor_keys.iter().map(|it| (it.id.as_str(), it.key.as_str()));
    Keys::new(keys).map(drop).map_err(|error| ("licence.vendor_keys", error.to_string()))
}

fn locate(path: Option<&Path>, key: &str, message: String) -> Error {
    Error { file: path.map(Into::into), position: None, key: key.into(), message }
}

/// Where a key stands in the text, as well as a search for its last part in its table can tell.
fn find(text: &str, key: &str) -> Option<usize> {
    let (table, name) = key.rsplit_once('.').unwrap_or(("", key));
    let from = if table.is_empty() { 0 } else { text.find(&format!("[{table}]"))? };
    let rest = text.get(from..)?;
    let list = format!("[[{name}]]");
    let mut at = from;
    for line in rest.split_inclusive('\n') {
        let line_of_it = line.trim_start();
        let is_key = line_of_it.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with('='));
        if is_key || (table.is_empty() && line_of_it.starts_with(&list)) {
            return Some(at);
        }
        at += line.len();
    }
    Some(from)
}

fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |tail| tail.chars().count()) + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Service;
    use std::collections::BTreeSet;

    const SHIPPED: &str = include_str!("../../config/nantucket.toml");

    fn refused(text: &str) -> String {
        parse(text, Path::new("n.toml")).unwrap_err().to_string()
    }

    #[test]
    fn the_shipped_file_shows_every_default() {
        // PROTOCOLS 4, trap 9
        assert_eq!(parse(SHIPPED, Path::new("config/nantucket.toml")).unwrap(), Config::default());
        let keys = |config: &toml::Table| super::super::reload::flatten(config).into_keys().collect::<BTreeSet<_>>();
        let shipped: toml::Table = SHIPPED.parse().unwrap();
        let defaults = toml::Table::try_from(Config::default()).unwrap();
        assert_eq!(keys(&shipped), keys(&defaults));
    }

    #[test]
    fn sip_is_spoken_over_tls_on_every_address_by_default_and_udp_on_request() {
        // R78 R82
        let proxy = Config::default().first_proxy;
        let of = |wanted| -> BTreeSet<_> {
            proxy.listeners.iter().filter(|l| l.service == wanted).map(|l| l.bind.to_string()).collect()
        };
        assert_eq!(of(Service::SipTls), ["0.0.0.0:5061", "[::]:5061"].map(str::to_owned).into());
        assert_eq!(of(Service::SipWss), of(Service::Https), "one port for everything");
        assert_eq!(of(Service::Https), ["0.0.0.0:443", "[::]:443"].map(str::to_owned).into());
        assert!(of(Service::SipUdp).is_empty() && of(Service::SipTcp).is_empty() && of(Service::SipWs).is_empty());
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_place() {
        let error = refused("workers = 1\n[limits]\nconections = 5\n");
        assert!(error.starts_with("n.toml:3:1: limits.conections: unknown field `conections`"), "{error}");
        assert!(refused("wrokers = 1").starts_with("n.toml:1:1: wrokers: unknown field"));
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_refused_with_its_place() {
        assert!(refused("[timers]\nt1 = 500\n").starts_with("n.toml:2:6: timers.t1: invalid type"));
        assert!(refused("[timers]\nt1 = \"half\"\n").contains("n.toml:2:6: timers.t1: `half` is no time"));
        assert!(refused("[inside]\nbind = [\"nowhere\"]\n").starts_with("n.toml:2:9: inside.bind[0]: invalid"));
        assert!(refused("workers = = 1").starts_with("n.toml:1:11"));
    }

    #[test]
    fn what_the_types_cannot_say_is_checked() {
        // T12
        assert_eq!(refused("[timers]\nc = \"180s\"\n"), "n.toml:2:1: timers.c: must be more than 3m (RFC 3261 §16.6)");
        assert!(parse("[timers]\nc = \"180001ms\"\n", Path::new("n")).is_ok());
        assert!(refused("[inside]\nbind = [\"1.1.1.1:1\", \"2.2.2.2:2\"]").contains("inside.bind: at most one"));
        assert!(refused("workers = 65").starts_with("n.toml:1:1: workers: at most 64"));
        // R64
        let key = "[licence]\nvendor_keys = [{ id = \"acme\", key = \"short\" }]\n";
        assert!(refused(key).starts_with("n.toml:2:1: licence.vendor_keys: "), "{}", refused(key));
    }

    #[test]
    fn webhooks_are_read_and_checked() {
        // R72
        let hook = |url: &str| format!("[[webhooks]]\nurl = \"{url}\"\nsecret_file = \"/s\"\n");
        let good =
            hook("https://a.example/x") + "events = [\"seats-warning\", \"licence-state\"]\n" + &hook("http://b/");
        let config = parse(&good, Path::new("n")).unwrap();
        assert_eq!(config.webhooks.iter().map(|hook| hook.events.len()).collect::<Vec<_>>(), [2, 0]);
        let bad = refused(&format!("\n# hooks\n{}", hook("ftp://a/")));
        assert!(bad.contains(":3:1: webhooks: a url is"), "{bad}");
        assert!(refused(&(hook("http://a/") + &hook("http://a/"))).contains("webhooks: no two"));
        assert!(refused(&(hook("http://a/") + "events = [\"weather\"]\n")).contains("unknown variant `weather`"));
        let many = |n: usize| (0..n).map(|n| hook(&format!("http://a/{n}"))).collect::<String>();
        assert!(parse(&many(16), Path::new("n")).is_ok());
        assert!(refused(&many(17)).contains("webhooks: at most 16"));
    }

    #[test]
    fn a_list_of_soft_clients_is_read_beside_the_file() {
        // R46
        let dir = tempfile::tempdir().unwrap();
        let (path, list) = (dir.path().join("n.toml"), dir.path().join("soft.toml"));
        std::fs::write(&path, format!("[licence]\nsoftphones = {list:?}\n")).unwrap();
        let read = || load(Some(&path), &|_| None);
        assert!(read().unwrap_err().to_string().contains("soft.toml"), "there is none yet");
        std::fs::write(&list, "accounts = []\nuser_agents = [\"Mine*\"]\n").unwrap();
        let softphones = read().unwrap().softphones;
        assert!(softphones.has_user_agent(b"mine 1") && !softphones.has_user_agent(b"Zoiper"));
        std::fs::write(&list, "accounts = [\n  \"*\"]\nuser_agents = [\"\"]\n").unwrap();
        let told = read().unwrap_err().to_string();
        let begins = format!("{}:2:1: accounts[0]: the pattern \"*\" matches everything", list.display());
        assert!(told.starts_with(&begins) && told.contains("; line 3 user_agents[0]: "), "{told}");
        std::fs::write(&path, "").unwrap();
        assert!(read().unwrap().softphones.has_user_agent(b"Zoiper"), "the built-in list");
    }

    #[test]
    fn the_environment_is_over_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("n.toml");
        std::fs::write(&path, "workers = 3\n[log]\nlevel = \"warn\"\n").unwrap();
        let env = |name: &str| (name == "NANTUCKET_WORKERS").then(|| "5".to_string());
        let config = load(Some(&path), &env).unwrap();
        assert_eq!((config.workers, config.log.level.as_str()), (5, "warn"));
        let wrong = |name: &str| (name == "NANTUCKET_WORKERS").then(|| "many".to_string());
        assert!(load(Some(&path), &wrong).unwrap_err().to_string().starts_with("environment: NANTUCKET_WORKERS: "));
        assert!(load(Some(&dir.path().join("none.toml")), &env).is_err());
    }
}
