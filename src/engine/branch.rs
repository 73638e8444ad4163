//! The branch parameter of our Via: it finds the client transaction, its shard, and loops.
//!
//! ```text
//! z9hG4bK Nt SS KIIIIIINNNNNNNN . LLLLLLLL
//!         │  │  ││     │          └ loop hash (L01, L02): what routing depended on
//!         │  │  ││     └ nonce: drawn at random for each transaction, so that nobody guesses one
//!         │  │  │└ place in the shard's table of client transactions
//!         │  │  └ kind: `t` a transaction, `a` an ACK for a 2xx (never answered)
//!         │  └ shard that waits for the response
//!         └ ours
//! ```
//! All numbers are hexadecimal. An ACK's place and nonce are a hash of what identifies it, so that its
//! retransmissions are equal (C07).

use crate::ids::Shard;

/// The cookie of RFC 3261 §8.1.1.7.
pub const COOKIE: &[u8] = b"z9hG4bK";
const OURS: &[u8] = b"z9hG4bKNt";

/// Bytes of a branch.
pub const LEN: usize = 9 + 2 + 1 + 6 + 8 + 1 + 8;

/// What a branch says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Branch {
    /// Who waits for the response.
    pub shard: Shard,
    /// Whether it is an ACK's: nothing waits.
    pub ack: bool,
    /// Place in the table (24 bits).
    pub index: u32,
    /// Must equal the transaction's.
    pub nonce: u32,
    /// What routing depended on.
    pub loop_hash: u32,
}

impl Branch {
    /// Appends the text.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(OURS);
        hex(u32::from(self.shard.0), 2, out);
        out.push(if self.ack { b'a' } else { b't' });
        hex(self.index, 6, out);
        hex(self.nonce, 8, out);
        out.push(b'.');
        hex(self.loop_hash, 8, out);
    }

    /// Reads one of ours; `None` for any other.
    pub fn read(text: &[u8]) -> Option<Self> {
        let rest = text.strip_prefix(OURS)?;
        let (shard, rest) = rest.split_at_checked(2)?;
        let (&kind, rest) = rest.split_first()?;
        let (index, rest) = rest.split_at_checked(6)?;
        let (nonce, rest) = rest.split_at_checked(8)?;
        let loop_hash = rest.strip_prefix(b".")?;
        let ack = match kind {
            b'a' => true,
            b't' => false,
            _ => return None,
        };
        (loop_hash.len() == 8).then_some(())?;
        Some(Self {
            shard: Shard(u8::try_from(unhex(shard)?).ok()?),
            ack,
            index: unhex(index)?,
            nonce: unhex(nonce)?,
            loop_hash: unhex(loop_hash)?,
        })
    }

    /// Finds one of ours in the first bytes of a message, as an ICMP error quotes them.
    pub fn find(quoted: &[u8]) -> Option<Self> {
        let start = memchr::memmem::find(quoted, OURS)?;
        Self::read(quoted.get(start..start + LEN)?)
    }
}

fn hex(n: u32, digits: u32, out: &mut Vec<u8>) {
    for digit in (0..digits).rev() {
        let nibble = (n >> (4 * digit)) & 0xf;
        out.push(char::from_digit(nibble, 16).map_or(b'0', |c| c as u8));
    }
}

fn unhex(text: &[u8]) -> Option<u32> {
    text.iter().try_fold(0u32, |n, &b| {
        let digit = match b {
            b'0'..=b'9' => b - b'0',
            b'a'..=b'f' => b - b'a' + 10,
            _ => return None,
        };
        Some(n << 4 | u32::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(branch: Branch) -> Vec<u8> {
        let mut out = Vec::new();
        branch.write(&mut out);
        out
    }

    #[test]
    fn reads_what_it_wrote_and_nothing_else() {
        // F16
        let branch =
            Branch { shard: Shard(0xfe), ack: false, index: 0x12_3456, nonce: 0xdead_beef, loop_hash: 0x0bad_cafe };
        let text = text(branch);
        assert_eq!(text, b"z9hG4bKNtfet123456deadbeef.0badcafe");
        assert_eq!(text.len(), LEN);
        assert_eq!(Branch::read(&text), Some(branch));
        for cut in 0..text.len() {
            assert_eq!(Branch::read(&text[..cut]), None);
        }
        for other in ["z9hG4bK", "z9hG4bKNtzzt123456deadbeef.0badcafe", "z9hG4bKNtfex123456deadbeef.0badcafe"] {
            assert_eq!(Branch::read(other.as_bytes()), None, "{other}");
        }
        let longer = [&text[..], b"0"].concat();
        assert_eq!(Branch::read(&longer), None);
    }

    #[test]
    fn is_found_in_what_icmp_quotes() {
        // X06
        let branch = Branch { shard: Shard(1), ack: true, index: 7, nonce: 9, loop_hash: 3 };
        let mut quoted = b"INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;rport;branch=".to_vec();
        branch.write(&mut quoted);
        assert_eq!(Branch::find(&quoted), Some(branch));
        quoted.pop();
        assert_eq!(Branch::find(&quoted), None);
        assert_eq!(Branch::find(b"\0\x01z9hG4bK"), None);
    }
}
