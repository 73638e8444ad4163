//! Our reader against tungstenite: the same frames, cut anywhere, mean the same to both.

use super::tests::{Seen, frame, read};
use super::*;
use proptest::prelude::*;
use std::io::{self, Read, Write};
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket};

/// A socket on which everything has arrived already.
struct Arrived<'a>(&'a [u8]);

impl Read for Arrived<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Arrived<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn oracle(limit: usize, stream: &[u8]) -> Vec<Seen> {
    let config = WebSocketConfig::default().max_message_size(Some(limit)).max_frame_size(Some(limit));
    let mut socket = WebSocket::from_raw_socket(Arrived(stream), Role::Server, Some(config));
    let mut seen = Vec::new();
    loop {
        seen.push(match socket.read() {
            Ok(Message::Text(text)) => Seen::Message(true, text.as_bytes().to_vec()),
            Ok(Message::Binary(bytes)) => Seen::Message(false, bytes.to_vec()),
            Ok(Message::Ping(payload)) => Seen::Ping(payload.to_vec()),
            Ok(Message::Pong(_)) => Seen::Pong,
            Ok(Message::Close(close)) => {
                seen.push(Seen::Close(close.map(|close| close.code.into())));
                return seen;
            }
            Ok(Message::Frame(_)) => unreachable!("only when asked for"),
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => return seen,
            Err(Error::Utf8(_)) => Seen::Fault(Fault::Text),
            Err(Error::Capacity(CapacityError::MessageTooLong { .. })) => Seen::Fault(Fault::TooBig),
            Err(Error::Protocol(_)) => Seen::Fault(Fault::Protocol),
            Err(error) => panic!("{error}"),
        });
        if matches!(seen.last(), Some(Seen::Fault(_))) {
            return seen;
        }
    }
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[a-zäκ😀]{0,40}".prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 0..20),
        1 => proptest::collection::vec(any::<u8>(), 100..400),
    ]
}

/// Mostly what a client sends, sometimes anything.
fn first() -> impl Strategy<Value = u8> {
    prop_oneof![
        12 => proptest::sample::select(vec![0x81_u8, 0x82, 0x01, 0x02, 0x00, 0x00, 0x80, 0x80, 0x89, 0x8a]),
        1 => any::<u8>(),
    ]
}

fn frames() -> impl Strategy<Value = Vec<(u8, Vec<u8>)>> {
    proptest::collection::vec((first(), payload()), 1..20)
}

proptest! {
    #[test]
    fn both_read_the_same(frames in frames(), step in 1..200_usize) {
        // W02 W04. A close frame's code is left out: tungstenite answers a forbidden one instead of ending with a fault.
        let stream: Vec<u8> = frames.iter().filter(|(first, _)| first & 0x0f != 8)
            .flat_map(|(first, payload)| frame(*first, payload)).collect();
        let (ours, theirs) = (read(1000, &stream, step), oracle(1000, &stream));
        let fault = |seen: &[Seen]| seen.iter().position(|one| matches!(one, Seen::Fault(_)));
        match (fault(&ours), fault(&theirs)) {
            // Both end at the same place; where a frame is wrong in two ways, each may name another.
            (Some(at), Some(end)) => {
                prop_assert_eq!(at, end);
                prop_assert_eq!(&ours[..at], &theirs[..end]);
            }
            // We see bad text before its message ends.
            (Some(at), None) => {
                prop_assert_eq!(&ours[at], &Seen::Fault(Fault::Text));
                prop_assert!(theirs.len() <= at || theirs[..at] == ours[..at]);
            }
            _ => prop_assert_eq!(&ours, &theirs),
        }
    }

    #[test]
    fn anything_at_all_is_survived_and_cutting_changes_nothing(
        bytes in proptest::collection::vec(any::<u8>(), 0..2000),
        step in 1..100_usize,
    ) {
        // PROTOCOLS 3.3.13
        prop_assert_eq!(read(500, &bytes, bytes.len()), read(500, &bytes, step));
    }

    #[test]
    fn what_we_write_a_client_reads(message in proptest::collection::vec(any::<u8>(), 0..70_000)) {
        // W02
        let mut stream = Lead::of(&message).bytes().to_vec();
        stream.extend(&message);
        let mut socket = WebSocket::from_raw_socket(Arrived(&stream), Role::Client, None);
        let expected = match String::from_utf8(message) {
            Ok(text) => Message::text(text),
            Err(error) => Message::binary(error.into_bytes()),
        };
        prop_assert_eq!(socket.read().unwrap(), expected);
    }
}
