//! The text around a document: header, base32, checksum, footer. It survives copy and paste, mail and a QR code.
//!
//! The checksum tells a slip from a forgery; that a document is genuine is for its signature to say (`document`).
//! Case counts: one document has one text, but for white space and `>` of quoted mail.

use super::base32;
use sha2::{Digest as _, Sha256};

/// The line a document starts with.
pub const HEADER: &str = "-----BEGIN NANTUCKET LICENCE-----";
/// The line it ends with.
pub const FOOTER: &str = "-----END NANTUCKET LICENCE-----";
/// What a document on a single line starts with, as in a QR code.
pub const LINE: &str = "NANTUCKET:";

/// The largest document in bytes: what a QR code of medium error correction holds, and some less.
pub const MAX: usize = 2_000;

const WIDTH: usize = 64;
const CHECKSUM: usize = 4;
const MAX_CHARACTERS: usize = (MAX + CHECKSUM) * 8 / 5 + 1;

/// Why a text holds no document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArmourError {
    /// Neither the header line nor the start of the single-line form is there.
    #[error("no licence document found: it starts with the line {HEADER}, or with {LINE} on a single line")]
    Missing,
    /// The footer line is missing.
    #[error("the end of the document is missing: its last line is {FOOTER}")]
    Cut,
    /// There is more than one.
    #[error("there is more than one document in the text: give one at a time")]
    Several,
    /// A character that cannot be there.
    #[error("the document is damaged: {character:?} in line {line} does not belong there")]
    Character {
        /// Which character.
        character: char,
        /// Its line, counted from the header, which is line 1.
        line: usize,
    },
    /// Characters were changed, lost or added.
    #[error("the document is damaged: its checksum does not match, so characters were changed, lost or added")]
    Checksum,
    /// It is longer than any document.
    #[error("the text between header and footer is longer than any document ({MAX} bytes)")]
    TooLong,
}

/// Writes a document in lines.
pub fn lines(bytes: &[u8]) -> String {
    let body = body(bytes);
    let mut text = String::with_capacity(body.len() + body.len() / WIDTH + HEADER.len() + FOOTER.len() + 4);
    text.push_str(HEADER);
    for (n, character) in body.chars().enumerate() {
        if n % WIDTH == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text.push('\n');
    text.push_str(FOOTER);
    text.push('\n');
    text
}

/// Writes a document on a single line, of characters that a QR code holds most of.
pub fn line(bytes: &[u8]) -> String {
    format!("{LINE}{}", body(bytes))
}

/// Reads the only document of a text.
pub fn read(text: &str) -> Result<Vec<u8>, ArmourError> {
    let text = text.trim_matches(is_blank);
    if let Some(body) = text.strip_prefix(LINE) {
        return decode(body);
    }
    let (_, rest) = text.split_once(HEADER).ok_or(ArmourError::Missing)?;
    let (body, after) = rest.split_once(FOOTER).ok_or(ArmourError::Cut)?;
    if body.contains(HEADER) || after.contains(HEADER) {
        return Err(ArmourError::Several);
    }
    decode(body)
}

/// The documents of a text, each to be read by itself. A text without a header is one, for `read` to refuse.
pub fn split(text: &str) -> Vec<&str> {
    let starts: Vec<usize> = text.match_indices(HEADER).map(|(at, _)| at).collect();
    if starts.len() < 2 {
        return vec![text];
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts.iter().zip(ends).filter_map(|(start, end)| text.get(*start..end)).collect()
}

fn body(bytes: &[u8]) -> String {
    let mut summed = bytes.to_vec();
    summed.extend_from_slice(&checksum(bytes));
    base32::encode(&summed)
}

fn decode(body: &str) -> Result<Vec<u8>, ArmourError> {
    let mut values = Vec::new();
    for (line, text) in (1..).zip(body.split('\n')) {
        let unquoted = if line == 1 { text } else { text.trim_start_matches(|it: char| it == '>' || is_blank(it)) };
        for character in unquoted.chars().filter(|character| !is_blank(*character)) {
            values.push(base32::value(character).ok_or(ArmourError::Character { character, line })?);
            if values.len() > MAX_CHARACTERS {
                return Err(ArmourError::TooLong);
            }
        }
    }
    let mut bytes = base32::decode(&values).ok_or(ArmourError::Checksum)?;
    let at = bytes.len().checked_sub(CHECKSUM).ok_or(ArmourError::Checksum)?;
    let sum = bytes.split_off(at);
    if sum != checksum(&bytes) { Err(ArmourError::Checksum) } else { Ok(bytes) }
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    let hash = Sha256::digest(bytes);
    hash.first_chunk().copied().unwrap_or_default()
}

/// White space, and what editors and mail programs put between characters without showing it.
fn is_blank(character: char) -> bool {
    character.is_whitespace() || matches!(character, '\u{feff}' | '\u{200b}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: &[u8] = b"any bytes whatsoever, long enough for several lines of the text around them, so: more of it";

    #[test]
    fn it_survives_mail_programs() {
        let text = lines(BYTES);
        assert!(text.lines().all(|line| line.len() <= WIDTH) && text.lines().count() > 4, "{text}");
        let flat = text.replace('\n', " ");
        let inner = text.trim().strip_prefix(HEADER).and_then(|it| it.strip_suffix(FOOTER)).unwrap();
        let narrow: Vec<String> =
            inner.split_whitespace().collect::<String>().chars().map(|it| format!("{it}\n")).collect();
        for changed in [
            text.clone(),
            text.replace('\n', "\r\n"),
            text.replace('\n', "\n> "),
            text.replace('\n', "\r\n\t>> "),
            text.replace('\n', "  \n\n   "),
            format!("\u{feff}\n\n{text}\n\n-- \nyour vendor"),
            format!("Dear customer,\nhere it is:\n\n{text}\nRegards"),
            flat,
            format!("{HEADER}\n{}{FOOTER}", narrow.concat()),
            line(BYTES),
            format!("  {}\n", line(BYTES)),
            line(BYTES).replace('G', "G\n"),
        ] {
            assert_eq!(read(&changed).as_deref(), Ok(BYTES), "{changed}");
        }
    }

    #[test]
    fn each_damage_has_its_own_error() {
        let text = lines(BYTES);
        assert_eq!(read(""), Err(ArmourError::Missing));
        assert_eq!(read(&text.replace("BEGIN", "BEG1N")), Err(ArmourError::Missing));
        assert_eq!(read(&text.replace("END", "end")), Err(ArmourError::Cut));
        assert_eq!(read(&format!("{text}{text}")), Err(ArmourError::Several));
        assert_eq!(read(&format!("{HEADER}\n{text}")), Err(ArmourError::Several));
        let wrong = text.replacen('\n', "\n1", 1);
        assert_eq!(read(&wrong), Err(ArmourError::Character { character: '1', line: 2 }));
        let lost: String =
            text.lines().enumerate().filter(|(n, _)| *n != 2).map(|(_, line)| format!("{line}\n")).collect();
        assert_eq!(read(&lost), Err(ArmourError::Checksum));
        assert_eq!(read(&format!("{HEADER}\n{FOOTER}")), Err(ArmourError::Checksum));
        assert_eq!(read(&line(&[7; MAX])).map(|it| it.len()), Ok(MAX));
        assert_eq!(read(&line(&[7; MAX + 9])), Err(ArmourError::TooLong));
    }

    #[test]
    fn a_text_of_several_is_taken_apart() {
        let (one, two) = (lines(b"one"), lines(b"two"));
        let text = format!("first:\n{one}second:\n{two}");
        let found: Vec<_> = split(&text).into_iter().map(read).collect();
        assert_eq!(found, [Ok(b"one".to_vec()), Ok(b"two".to_vec())]);
        assert_eq!(split("nothing"), ["nothing"]);
        assert_eq!(split(&line(b"one")), [line(b"one")]);
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text: String, inner: String) {
            let _ = (read(&text), read(&format!("{HEADER}{inner}{FOOTER}")), read(&format!("{LINE}{inner}")), split(&text));
        }

        #[test]
        fn what_is_written_is_read(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            proptest::prop_assert_eq!(read(&lines(&bytes)), Ok(bytes.clone()));
            proptest::prop_assert_eq!(read(&line(&bytes)), Ok(bytes));
        }
    }
}
