//! baresip: a phone with a voice, steered over its control port.

use crate::support::program::Program;
use crate::support::{PATIENCE, until};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use tempfile::TempDir;

/// A running baresip with one account.
pub struct Baresip {
    program: Program,
    control: TcpStream,
    heard: Vec<u8>,
    _run: TempDir,
}

/// How media is encrypted, as the account's `mediaenc` names it.
#[derive(Clone, Copy)]
pub enum Media {
    /// Not at all.
    Clear,
    /// SRTP or nothing (`srtp-mand`: RTP/SAVP with keys by SDES).
    Srtp,
}

impl Baresip {
    /// Starts it on an address of its own, with `proxy` (`host:port`) as outbound proxy, and waits
    /// until it is registered. `transport` is `udp` or `tcp`; it answers calls by itself.
    pub fn start(ip: Ipv4Addr, account: &str, domain: &str, proxy: &str, transport: &str) -> Self {
        Self::start_with(ip, account, domain, proxy, transport, Media::Clear)
    }

    /// As [`Self::start`], also over `tls`, with its media as `media` says. It prints every SIP message with its
    /// transport and both ends.
    pub fn start_with(ip: Ipv4Addr, account: &str, domain: &str, proxy: &str, transport: &str, media: Media) -> Self {
        let (program, run) = Self::launch(ip, account, domain, proxy, transport, media);
        program.wait_line("200 OK", PATIENCE);
        let mut control = None;
        until("baresip's control port is open", PATIENCE, || {
            control = TcpStream::connect((ip, 4444)).ok();
            control.is_some()
        });
        let control = control.unwrap();
        control.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { program, control, heard: Vec::new(), _run: run }
    }

    /// Starts it as [`Self::start`] does, and waits until its registration is refused with these words; it ends then.
    pub fn refused(ip: Ipv4Addr, account: &str, domain: &str, proxy: &str, words: &str) {
        let (program, _run) = Self::launch(ip, account, domain, proxy, "udp", Media::Clear);
        program.wait_line(words, PATIENCE);
    }

    fn launch(
        ip: Ipv4Addr,
        account: &str,
        domain: &str,
        proxy: &str,
        transport: &str,
        media: Media,
    ) -> (Program, TempDir) {
        let run = tempfile::tempdir().unwrap();
        let folder = run.path().to_str().unwrap();
        let config = include_str!("baresip/config").replace("@ADDRESS@", &ip.to_string()).replace("@RUN@", folder);
        std::fs::write(run.path().join("config"), config).unwrap();
        let media = if matches!(media, Media::Srtp) { ";mediaenc=srtp-mand" } else { "" };
        std::fs::write(
            run.path().join("accounts"),
            format!(
                "<sip:{account}@{domain};transport={transport}>;auth_pass=secret-{account};\
                 outbound=\"sip:{proxy};transport={transport}\";regint=60;answermode=auto{media}\n"
            ),
        )
        .unwrap();
        std::fs::write(run.path().join("tone.wav"), tone()).unwrap();
        (Program::start(Command::new("baresip").args(["-s", "-f"]).arg(run.path())), run)
    }

    /// Gives a command (`dial`, `hold`, `resume`, `hangup`, …).
    pub fn command(&mut self, command: &str, params: &str) {
        let json = serde_json::json!({"command": command, "params": params}).to_string();
        write!(self.control, "{}:{json},", json.len()).unwrap();
    }

    /// What it printed so far.
    pub fn printed(&self) -> String {
        self.program.printed()
    }

    /// Waits until it printed a line that holds `text`.
    #[track_caller]
    pub fn wait_line(&self, text: &str) {
        self.program.wait_line(text, PATIENCE);
    }

    /// Waits for an event of this type (`CALL_ESTABLISHED`, `CALL_CLOSED`, …) and returns it.
    #[track_caller]
    pub fn wait_event(&mut self, kind: &str) -> String {
        let wanted = format!("\"type\":\"{kind}\"");
        loop {
            while let Some(message) = self.next_message() {
                if message.contains(&wanted) {
                    return message;
                }
            }
            let mut piece = [0; 4096];
            let got = self.control.read(&mut piece);
            let n = got.unwrap_or_else(|error| panic!("no {kind} from baresip: {error}\n{}", self.program.printed()));
            assert!(n > 0, "baresip closed its control port\n{}", self.program.printed());
            self.heard.extend_from_slice(&piece[..n]);
        }
    }

    /// Takes one netstring off what was heard.
    fn next_message(&mut self) -> Option<String> {
        let colon = self.heard.iter().position(|byte| *byte == b':')?;
        let length: usize = std::str::from_utf8(&self.heard[..colon]).unwrap().parse().unwrap();
        let end = colon + 1 + length;
        if self.heard.len() <= end {
            return None;
        }
        let message = String::from_utf8_lossy(&self.heard[colon + 1..end]).into_owned();
        self.heard.drain(..=end);
        Some(message)
    }
}

/// Ten seconds of a 440 Hz square wave, 8 kHz mono WAV.
fn tone() -> Vec<u8> {
    let samples: Vec<u8> =
        (0..80_000u32).flat_map(|n| (if (n / 9) % 2 == 0 { 4000i16 } else { -4000 }).to_le_bytes()).collect();
    let size = u32::try_from(samples.len()).unwrap();
    let mut wav = Vec::with_capacity(samples.len() + 44);
    wav.extend_from_slice(b"RIFF");
    wav.extend_from_slice(&(36 + size).to_le_bytes());
    wav.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend_from_slice(&8000u32.to_le_bytes());
    wav.extend_from_slice(&16_000u32.to_le_bytes());
    wav.extend_from_slice(b"\x02\0\x10\0data");
    wav.extend_from_slice(&size.to_le_bytes());
    wav.extend_from_slice(&samples);
    wav
}
