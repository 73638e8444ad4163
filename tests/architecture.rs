//! The layers, read off the sources: a pure layer names no socket, no clock, no runtime and no
//! shell, and the arrows between rooms point one way.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

use std::fs;
use std::path::{Path, PathBuf};

/// Rooms that decide and never do.
const PURE: &[&str] = &[
    "sip",
    "engine",
    "guard",
    "pattern.rs",
    "route",
    "licence",
    "ids.rs",
    "dense",
    "greeting.rs",
    "model.rs",
    "stats.rs",
    "health/state.rs",
    "usage/backoff.rs",
    "usage/crossings.rs",
    "usage/event.rs",
    "usage/expiry.rs",
    "acme/schedule.rs",
    "tls/hello.rs",
    "usage/months.rs",
    "usage/signature.rs",
    "usage/watcher.rs",
];

/// What a pure room must not name.
const IMPURE: &[&str] = &[
    "std::thread",
    "std::process",
    "std::fs",
    "std::net::UdpSocket",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "Instant::now",
    "SystemTime",
    "Clock::start",
    "clock::Clock",
    "tokio",
    "hyper",
    "axum",
    "rusqlite",
    "socket2",
    "nix::",
    "getrandom",
    "tracing",
    "crate::net",
    "crate::driver",
    "crate::http",
    "crate::tls",
    "crate::health::probe",
    "crate::control",
    "crate::admin",
    "crate::observe",
    "crate::config",
    "crate::app",
    "crate::cli",
    "crate::demo",
];

/// A room and the rooms it must not name (besides what `PURE` forbids).
const ARROWS: &[(&str, &[&str])] = &[
    ("sip", &["crate::engine", "crate::route", "crate::model", "crate::stats"]),
    ("licence", &["crate::engine", "crate::route"]),
    ("guard", &["crate::engine", "crate::sip"]),
    ("route", &["crate::engine", "crate::sip"]),
    ("net", &["crate::engine", "crate::control", "crate::admin", "crate::app", "crate::http"]),
    ("driver", &["crate::control", "crate::admin", "crate::app", "crate::http", "crate::cli"]),
    ("http", &["crate::engine", "crate::control", "crate::admin", "crate::app", "crate::driver", "crate::cli"]),
    ("seats", &["crate::control", "crate::admin", "crate::app", "crate::http", "crate::net", "crate::cli"]),
    ("health", &["crate::engine", "crate::control", "crate::admin", "crate::app", "crate::driver", "crate::http"]),
    ("control", &["crate::engine", "crate::driver", "crate::net", "crate::http", "crate::admin", "crate::app"]),
    ("admin", &["crate::engine", "crate::driver", "crate::net", "crate::http", "crate::app", "crate::cli"]),
    (
        "usage",
        &[
            "crate::engine",
            "crate::driver",
            "crate::net",
            "crate::http",
            "crate::control",
            "crate::admin",
            "crate::app",
            "crate::config",
        ],
    ),
    ("observe", &["crate::engine", "crate::driver", "crate::control", "crate::http", "crate::admin", "crate::app"]),
];

/// The files that may hold a file system call in an otherwise pure room: the last good table.
const EXCEPT: &[(&str, &str)] = &[("route/lastgood.rs", "std::fs")];

#[test]
fn pure_rooms_name_nothing_that_acts() {
    let mut breaches = Vec::new();
    for room in PURE {
        for file in sources(room) {
            let name = relative(&file);
            for (number, line) in code(&file) {
                for word in IMPURE.iter().filter(|word| line.contains(*word)) {
                    if !EXCEPT.contains(&(name.as_str(), word)) {
                        breaches.push(format!("src/{name}:{number}: a pure room names {word}: {}", line.trim()));
                    }
                }
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn arrows_between_rooms_point_one_way() {
    let mut breaches = Vec::new();
    for (room, forbidden) in ARROWS {
        for file in sources(room) {
            for (number, line) in code(&file) {
                for word in forbidden.iter().filter(|word| line.contains(*word)) {
                    breaches.push(format!("src/{}:{number}: {room} names {word}: {}", relative(&file), line.trim()));
                }
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn time_is_read_in_one_place() {
    let mut breaches = Vec::new();
    for file in sources("") {
        let name = relative(&file);
        for (number, line) in code(&file) {
            if name != "clock.rs" && (line.contains("Instant::now(") || line.contains("SystemTime::now(")) {
                breaches.push(format!("src/{name}:{number}: {}", line.trim()));
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn no_file_outgrows_a_head() {
    let long: Vec<_> = sources("")
        .into_iter()
        .map(|file| (fs::read_to_string(&file).unwrap().lines().count(), relative(&file)))
        .filter(|(lines, _)| *lines > 700)
        .collect();
    assert!(long.is_empty(), "files that ask to be two: {long:?}");
}

/// Every room named above must exist, or its test would check nothing.
#[test]
fn every_room_named_here_exists() {
    let rooms = PURE.iter().copied().chain(ARROWS.iter().map(|(room, _)| *room));
    for room in rooms {
        assert!(!sources(room).is_empty(), "src/{room} is not there any more: mend this test");
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn relative(file: &Path) -> String {
    file.strip_prefix(root()).unwrap().to_string_lossy().into_owned()
}

/// All Rust files at or below a room.
fn sources(room: &str) -> Vec<PathBuf> {
    let start = root().join(room);
    if start.is_file() {
        return vec![start];
    }
    let mut found = Vec::new();
    let mut folders = vec![start];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                found.push(path);
            }
        }
    }
    found
}

/// The lines of a file that are code of the product: no comments, nothing from `#[cfg(test)]` on.
fn code(file: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(file).unwrap();
    text.lines()
        .enumerate()
        .take_while(|(_, line)| !line.trim_start().starts_with("#[cfg(test)]"))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        // The standard library's `unix` is not the crate `nix`.
        .map(|(number, line)| (number + 1, line.replace("os::unix::", "os::")))
        .collect()
}
