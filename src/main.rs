//! The `nantucket` program: reads the command line and hands over.

use clap::Parser as _;
use nantucket::cli::show::Shown;
use nantucket::cli::{Cli, Command};
use std::io::Write as _;
use std::process::ExitCode;

// Workers grow their tables by the gigabyte, each from a thread of its own: glibc's arenas take that in steps of a
// system call each. Without huge pages: the kernel makes room for those by moving others, for tens of milliseconds.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(run) => nantucket::app::run(run.config, run.data_dir),
        Command::Demo(args) => nantucket::demo::run(&args),
        Command::Client(client) => match client.execute() {
            Ok(shown) => print(&shown),
            Err(failure) => {
                let _ = std::io::stderr().write_all(failure.report().as_bytes());
                ExitCode::from(&failure)
            }
        },
    }
}

/// A reader that went away, as in `nantucket audit | head`, is no error.
fn print(shown: &Shown) -> ExitCode {
    match std::io::stdout().write_all(shown.text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => ExitCode::from(u8::from(shown.refused)),
    }
}
