//! A program that a test started: what it prints is kept, an end is guaranteed.

use crate::support::now;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// A running program. Dropping it ends it.
pub struct Program {
    name: String,
    child: Child,
    output: Arc<Output>,
}

#[derive(Default)]
struct Output {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl Program {
    /// Starts it; a program that is not installed is a failed test, not a skipped one.
    pub fn start(command: &mut Command) -> Self {
        Self::spawn(command, Stdio::null())
    }

    /// Starts one that is steered by lines on its standard input.
    pub fn start_steered(command: &mut Command) -> (Self, ChildStdin) {
        let mut program = Self::spawn(command, Stdio::piped());
        let input = program.child.stdin.take().unwrap();
        (program, input)
    }

    fn spawn(command: &mut Command, input: Stdio) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} cannot be started: {error}; tests/run installs it"));
        let output = Arc::<Output>::default();
        collect(child.stdout.take().unwrap(), output.clone());
        collect(child.stderr.take().unwrap(), output.clone());
        Self { name, child, output }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until a line holds `text` and returns that line.
    #[track_caller]
    pub fn wait_line(&self, text: &str, patience: Duration) -> String {
        self.wait_where(text, patience, |line| line.contains(text))
    }

    /// Waits until a line is as `wanted` and returns it; `what` says so to people.
    #[track_caller]
    pub fn wait_where(&self, what: &str, patience: Duration, wanted: impl Fn(&str) -> bool) -> String {
        let end = now() + patience;
        let mut lines = self.output.lines.lock().unwrap();
        loop {
            if let Some(line) = lines.iter().find(|line| wanted(line)) {
                return line.clone();
            }
            let left = end.saturating_duration_since(now());
            assert!(!left.is_zero(), "{} did not print {what:?}; it printed:\n{}", self.name, lines.join("\n"));
            lines = self.output.more.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// What it printed so far.
    pub fn printed(&self) -> String {
        self.output.lines.lock().unwrap().join("\n")
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(&mut self, patience: Duration) -> ExitStatus {
        let end = now() + patience;
        let mut lines = self.output.lines.lock().unwrap();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            let left = end.saturating_duration_since(now());
            assert!(!left.is_zero(), "{} did not end; it printed:\n{}", self.name, lines.join("\n"));
            // The end of output wakes this; a program that closes its output first is looked at again soon.
            lines = self.output.more.wait_timeout(lines, left.min(Duration::from_millis(50))).unwrap().0;
        }
    }

    /// Waits for its end and fails the test if it was not a good one.
    #[track_caller]
    pub fn finish(mut self, patience: Duration) -> String {
        let status = self.wait(patience);
        let printed = self.printed();
        assert!(status.success(), "{} ended with {status}; it printed:\n{printed}", self.name);
        printed
    }

    /// Sends a signal by name (`TERM`, `KILL`, `HUP`).
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").arg(format!("-{signal}")).arg(self.pid().to_string()).status().unwrap();
        assert!(sent.success(), "{} could not be signalled", self.name);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // The whole group: some programs leave their children behind.
        let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", self.pid())]).stderr(Stdio::null()).status();
        let _ = self.child.wait();
    }
}

fn collect(from: impl Read + Send + 'static, output: Arc<Output>) {
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            output.lines.lock().unwrap().push(text);
            output.more.notify_all();
            line.clear();
        }
        output.more.notify_all();
    });
}
