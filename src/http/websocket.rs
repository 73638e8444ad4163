//! Just enough of WebSocket frames to know where one ends (RFC 6455 §5.2), so that a close frame
//! of ours is never put into the middle of another.

/// Follows the frames of one direction.
#[derive(Default)]
pub(super) struct Frames {
    head: [u8; HEAD],
    have: usize,
    payload: u64,
    closed: bool,
}

/// The longest head: two bytes, eight of length, four of mask.
const HEAD: usize = 14;
const CLOSE: u8 = 8;

impl Frames {
    /// Takes what passed by.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.payload > 0 {
                let skip = usize::try_from(self.payload).unwrap_or(usize::MAX).min(bytes.len());
                self.payload -= skip as u64;
                bytes = bytes.get(skip..).unwrap_or_default();
                continue;
            }
            let (Some((first, rest)), Some(slot)) = (bytes.split_first(), self.head.get_mut(self.have)) else { return };
            *slot = *first;
            self.have += 1;
            bytes = rest;
            if self.have >= 2 && self.have == self.length_of_head() {
                self.payload = self.length_of_payload();
                self.closed |= self.head[0] & 0x0f == CLOSE;
                self.have = 0;
            }
        }
    }

    /// Whether a frame of ours may follow here.
    pub(super) fn may_close(&self) -> bool {
        self.have == 0 && self.payload == 0 && !self.closed
    }

    fn length_of_head(&self) -> usize {
        let mask = if self.head[1] & 0x80 == 0 { 0 } else { 4 };
        mask + match self.head[1] & 0x7f {
            126 => 4,
            127 => 10,
            _ => 2,
        }
    }

    fn length_of_payload(&self) -> u64 {
        let bytes = match self.head[1] & 0x7f {
            126 => &self.head[2..4],
            127 => &self.head[2..10],
            short => return u64::from(short),
        };
        bytes.iter().fold(0, |sum, b| sum << 8 | u64::from(*b))
    }
}

/// An unmasked close frame with a status code.
pub(super) const fn close_frame(code: u16) -> [u8; 4] {
    let [high, low] = code.to_be_bytes();
    [0x80 | CLOSE, 2, high, low]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_knows_where_frames_end() {
        // HT18
        let mut long = vec![0x82, 126, 1, 0];
        long.extend([0; 256]);
        let mut longer = vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0];
        longer.extend([0; 65_536]);
        let mut masked = vec![0x81, 0x80 | 2, 1, 2, 3, 4, 9, 9];
        masked.extend([0x89, 0x00]);
        for frame in [vec![0x81, 0], vec![0x81, 3, 1, 2, 3], long, longer, masked] {
            let (mut whole, mut slow) = (Frames::default(), Frames::default());
            whole.feed(&frame);
            assert!(whole.may_close());
            for (at, byte) in frame.iter().enumerate() {
                slow.feed(&[*byte]);
                assert!(at + 1 == frame.len() || !slow.may_close() || frame.len() == 10 && at == 7);
            }
            assert!(slow.may_close());
        }
    }

    #[test]
    fn after_a_close_frame_there_is_nothing_to_say() {
        let mut frames = Frames::default();
        frames.feed(&close_frame(1000));
        assert!(!frames.may_close());
    }

    #[test]
    fn the_close_frame_carries_the_code() {
        assert_eq!(close_frame(1012), [0x88, 2, 0x03, 0xf4]);
        assert_eq!(close_frame(1013), [0x88, 2, 0x03, 0xf5]);
    }
}
