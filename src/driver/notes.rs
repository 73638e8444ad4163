//! Log lines about what went no further, or against a policy that only tells: so many a second for each reason, without secrets.

use crate::clock::Tick;
use crate::engine::contract::{Input, Verdict};
use crate::ids::Flow;
use crate::net::counters::Loss;
use crate::observe::limit::Limit;
use crate::observe::redact::{Sip, Text};
use crate::reason::{Drop, Refusal};
use crate::sip::limits::Limits;
use crate::sip::view::{Index, View};
use std::net::SocketAddr;

/// The lines of each reason, all workers together.
#[derive(Debug)]
pub(super) struct Notes {
    refused: Vec<Limit>,
    dropped: Vec<Limit>,
    lost: Vec<Limit>,
}

impl Default for Notes {
    fn default() -> Self {
        let limits = |count| (0..count).map(|_| Limit::new()).collect();
        Self { refused: limits(Refusal::ALL.len()), dropped: limits(Drop::ALL.len()), lost: limits(Loss::ALL.len()) }
    }
}

impl Notes {
    /// Notes what became of a message.
    pub(super) fn verdict(&self, verdict: Verdict, input: &Input<'_>, now: Tick) {
        let (Input::Message { flow, bytes } | Input::HandedOver { flow, bytes }) = input else { return };
        let limit = match verdict {
            Verdict::Refused { why, .. } | Verdict::Tolerated { why, .. } => self.refused.get(why as usize),
            Verdict::Dropped(why) => self.dropped.get(why as usize),
        };
        let Some(suppressed) = limit.and_then(|limit| limit.pass(now)) else { return };
        let mut index = Index::default();
        let view = View::read(bytes, &mut index, &Limits::DEFAULT).ok();
        let call_id = view.map_or(Text(b""), |view| Text(view.call_id()));
        let start = Sip(bytes.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_end());
        let (peer, transport) = (flow.peer(), Flow::transport(flow));
        match verdict {
            Verdict::Refused { why, instance } => {
                let (reason, instance) = (why.kind(), instance.map(|id| id.0));
                tracing::info!(reason, instance, %call_id, %start, %peer, %transport, suppressed, "refused");
            }
            Verdict::Tolerated { why, instance } => {
                let (reason, instance) = (why.kind(), instance.map(|id| id.0));
                tracing::warn!(reason, instance, %call_id, %start, %peer, %transport, suppressed, "tolerated");
            }
            Verdict::Dropped(why) => {
                let reason = why.kind();
                tracing::info!(reason, %call_id, %start, %peer, %transport, suppressed, "dropped");
            }
        }
    }

    /// Notes what went no further below SIP.
    pub(super) fn loss(&self, why: Loss, peer: SocketAddr, now: Tick) {
        if let Some(suppressed) = self.lost.get(why as usize).and_then(|limit| limit.pass(now)) {
            tracing::info!(reason = why.label(), %peer, suppressed, "lost");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{InstanceId, ListenerId};
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_refusal_is_told_with_its_call_and_instance_five_times_a_second() {
        let page = Page::default();
        let writer = page.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
        let peer = "192.0.2.1:5060".parse().unwrap();
        let flow = Flow::Udp { listener: ListenerId::INSIDE_V4, local: peer, peer };
        let bytes = b"INVITE sip:a@b SIP/2.0\r\nCall-ID: abc@host\r\nAuthorization: Digest nonce=\"n\"\r\n\r\n";
        let input = Input::Message { flow, bytes };
        let notes = Notes::default();
        tracing::subscriber::with_default(subscriber, || {
            let verdict = Verdict::Refused { why: Refusal::NoTarget, instance: Some(InstanceId(7)) };
            (0..20).for_each(|_| notes.verdict(verdict, &input, Tick(5)));
            notes.verdict(Verdict::Dropped(Drop::Late), &input, Tick(5));
            notes.loss(Loss::NewFlows, peer, Tick(5));
        });
        let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 7, "{text}");
        for part in
            ["refused reason=\"no-target\" instance=7 call_id=abc@host", "start=INVITE sip:a@b", "peer=192.0.2.1"]
        {
            assert!(lines[0].contains(part), "{part} in {}", lines[0]);
        }
        assert!(lines[5].contains("dropped reason=\"late-response\" call_id=abc@host"), "{}", lines[5]);
        assert!(lines[6].contains("lost reason=\"new-flows\" peer=192.0.2.1:5060 suppressed=0"), "{}", lines[6]);
        assert!(!text.contains("nonce"));
    }
}
