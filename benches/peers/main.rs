//! The product beside Kamailio, HAProxy, nginx and a bare relay, on this machine, interleaved.
//!
//! `cargo bench --bench peers` runs all sections and prints a table in Markdown, progress goes to the standard
//! error; `-- udp rates streams http scale memory` selects. It starts the peers from Debian's packages
//! (`benches/peers/install`), keeps everything in a temporary folder and, where the system allows it, in a network
//! and process namespace of its own. The generator, the PBXs and the relay are this same program in another role.
//! Under `cargo test` it runs each load for a moment, to see that it still can.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "no product code")]
#![allow(clippy::expect_used, clippy::disallowed_methods, reason = "no product code")]

mod backend;
mod data;
mod goals;
mod load;
mod plan;
mod process;
mod relay;
mod report;
mod sections;
mod systems;

use clap::{Parser, ValueEnum as _};
use data::Data;
use sections::{Bench, Section};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use systems::System;

/// Set inside the namespace: `own` if there is one.
const INSIDE: &str = "NANTUCKET_PEERS";
/// The kernel's bound on the buffers of sockets, and what an operator sets it to.
const RMEM: (&str, &str) = ("/proc/sys/net/core/rmem_max", "8388608");

/// Measures the product beside its peers.
#[derive(Parser)]
pub struct Options {
    /// What to measure; everything, if nothing is named
    sections: Vec<Section>,
    /// How often each system has its turn
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 2.5)]
    secs: f64,
    /// Instances in the table
    #[arg(long, default_value_t = 10_000)]
    instances: usize,
    /// Cargo says so
    #[arg(long, hide = true)]
    bench: bool,
    #[arg(skip)]
    smoke: bool,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    if let [_, first, role, plan] = &words[..]
        && first == "role"
    {
        match role.as_str() {
            "generator" => load::main(plan),
            "backend" => backend::main(plan),
            "relay" => relay::main(),
            "spinner" => spin(plan.parse().unwrap()),
            _ => panic!("no role {role}"),
        }
        return ExitCode::SUCCESS;
    }
    let options = if words.iter().any(|word| word == "--bench") {
        Options::parse()
    } else if is_filtered(&words[1..]) {
        return ExitCode::SUCCESS;
    } else {
        Options { sections: vec![], rounds: 1, secs: 0.5, instances: 50, bench: false, smoke: true }
    };
    if std::env::var_os(INSIDE).is_none() {
        return inside(&words);
    }
    let missing = [System::KamailioStateless, System::Haproxy, System::Nginx].map(|it| (it, it.version()));
    let missing: Vec<_> = missing.iter().filter(|(_, version)| version.is_none()).map(|(it, _)| it.name()).collect();
    if !missing.is_empty() && !options.smoke {
        eprintln!("{} not installed: run benches/peers/install as root", missing.join(", "));
        return ExitCode::FAILURE;
    }
    measure(&options);
    ExitCode::SUCCESS
}

fn measure(options: &Options) {
    let binary =
        std::env::var_os("NANTUCKET_BIN").map_or_else(|| env!("CARGO_BIN_EXE_nantucket").into(), PathBuf::from);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let data = Data::write(options.instances, &binary);
    let mut bench = Bench { data: &data, options, figures: Default::default(), core: cores - 1, other: 0 };
    let sections = match &options.sections[..] {
        [] if options.smoke => &[Section::Udp, Section::Streams, Section::Http, Section::Memory],
        [] => Section::value_variants(),
        named => named,
    };
    for section in sections {
        eprintln!("{section:?}");
        bench.run(*section);
    }
    let table = bench.figures.table();
    assert!(!options.smoke || table.lines().count() > 10, "no figures:\n{table}");
    println!("{}\n\n{table}", report::machine(cores));
}

/// Runs this program again where nobody else's ports and packets are.
fn inside(words: &[String]) -> ExitCode {
    let kernel = std::fs::read_to_string(RMEM.0);
    let _ = std::fs::write(RMEM.0, RMEM.1);
    let own = ["--net", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let possible = |flags: &[&str]| {
        let tried = Command::new("unshare").args(own).args(flags).arg("true").stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success())
    };
    let exe = std::env::current_exe().unwrap();
    let flags = [&[][..], &["--map-root-user"]].into_iter().find(|flags| possible(flags));
    let mut command = match flags {
        Some(flags) => {
            let mut command = Command::new("unshare");
            command.args(own).args(flags).args(["sh", "-c", r#"ip link set lo up && exec "$0" "$@""#]).arg(&exe);
            command.env(INSIDE, "own");
            command
        }
        None => {
            eprintln!("no namespace of its own: the ports of this machine are used");
            let mut command = Command::new(&exe);
            command.env(INSIDE, "none");
            command
        }
    };
    let status = command.args(&words[1..]).status().unwrap();
    if let Ok(kernel) = kernel {
        let _ = std::fs::write(RMEM.0, kernel);
    }
    if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

pub fn has_own_namespace() -> bool {
    std::env::var_os(INSIDE).is_some_and(|value| value == "own")
}

/// As much room for datagrams as the kernel gives.
pub fn buffers(socket: &std::net::UdpSocket) {
    let socket = socket2::SockRef::from(socket);
    let _ = socket.set_recv_buffer_size(8 << 20);
    let _ = socket.set_send_buffer_size(8 << 20);
}

fn spin(core: usize) {
    process::end_with_parent();
    process::hold_to(&[core]);
    loop {
        std::hint::spin_loop();
    }
}

/// Whether the words of `cargo test` ask for other tests, or only for their names.
fn is_filtered(words: &[String]) -> bool {
    let mut filters = Vec::new();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        match word.as_str() {
            "--list" => return true,
            "--test-threads" | "--skip" => _ = rest.next(),
            flag if flag.starts_with('-') => {}
            filter => filters.push(filter),
        }
    }
    !filters.is_empty() && !filters.iter().any(|filter| "peers".contains(filter))
}
