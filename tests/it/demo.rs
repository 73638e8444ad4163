//! The README's first command: it needs nothing, shows everything, and says how it went.

use crate::support::program::Program;
use std::process::Command;
use std::time::Duration;

/// A round is a few seconds of work; the machine may be busy.
const ROUND: Duration = Duration::from_secs(120);

fn demo(arguments: &[&str]) -> Program {
    Program::start(Command::new(env!("CARGO_BIN_EXE_nantucket")).arg("demo").args(arguments))
}

#[test]
fn one_round_passes_and_says_so() {
    // R1 R2 R3 R4 R5 R8 R9 R10 R34 R44 R65 R73 R74 R75 R77 R78 W05
    let printed = demo(&["--once", "--plain", "--seed", "7"]).finish(ROUND);
    let verdict = printed.lines().last().unwrap();
    assert!(verdict.starts_with("PASS  ") && verdict.ends_with(" ok, 0 failed"), "{printed}");
    let rules = ["R1", "R2", "R3", "R4", "R5", "R8", "R9", "R10", "R34", "R44", "R65", "R73", "R74", "R75", "R77"];
    for rule in rules.into_iter().chain(["R78", "W05"]) {
        let proof = format!("ok    {rule:<4} ");
        assert!(printed.lines().any(|line| line.starts_with(&proof)), "no step proves {rule}:\n{printed}");
    }
    assert!(printed.contains("seed  7") && printed.contains("open  https://127.0.0.1:"), "{printed}");
}

#[test]
fn it_goes_on_calling_until_it_is_stopped() {
    let mut program = demo(&[]);
    program.wait_line("PASS", ROUND);
    program.wait_line("10 calls, 0 failed", ROUND);
    program.signal("INT");
    assert!(program.wait(ROUND).success(), "{}", program.printed());
}
