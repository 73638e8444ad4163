//! Every kind of document, and every way to spoil one (R64).

use super::*;
use crate::licence::edition::Edition;
use crate::licence::hardware::Machine;
use crate::licence::terms::{Confirmation, Contract, Detachment, Feature, Pack, Right, Server, Terms, Volume};
use crate::model::{Kind, Seats};

const NOW: u64 = 1_800_000_000;
const DAY: u64 = 86_400;

fn machine(key: u8) -> crate::licence::HardwareId {
    Machine { cpu: Vec::new(), key: [key; 32] }.id()
}

fn all_terms() -> Vec<Terms> {
    let entitlement = "8.1".parse().unwrap();
    let server = || "S-1".to_owned();
    vec![
        Terms::Volume(Volume { users: Seats { full: 99, light: 20 }, rights: vec![Right::Softphone], hardware: None }),
        Terms::Server(Server {
            edition: Edition::Compact,
            included: 3,
            entitlement,
            rights: Vec::new(),
            hardware: Some(machine(1)),
        }),
        Terms::Pack(Pack { kind: Kind::Light, count: 10, entitlement, server: Some(server()) }),
        Terms::Feature(Feature { rights: vec![Right::Softphone], entitlement, server: server() }),
        Terms::Contract(Contract { server: server(), release: entitlement, from: NOW, until: NOW + 365 * DAY }),
        Terms::Confirmation(Confirmation { licence: server(), hardware: machine(2), revoked: Some(machine(1)) }),
        Terms::Detachment(Detachment { licence: "P-1".into(), server: server() }),
    ]
}

fn body(terms: Terms) -> Body {
    Body {
        schema: SCHEMA,
        id: "X-1".into(),
        issued: NOW - DAY,
        holder: "Acme Töpfe GmbH".into(),
        expires: Some(NOW + DAY),
        terms,
    }
}

fn volume() -> Body {
    body(all_terms().remove(0))
}

fn demo(body: &Body) -> Document {
    Document::issue(body, &Signer::demo()).unwrap()
}

fn read(text: &str) -> Result<Document, DocumentError> {
    Document::read(text, &Keys::demo(), NOW)
}

/// A document of bytes that nobody checked before.
fn forged(content: &[u8], sign: &Signer) -> String {
    let mut bytes = vec![FORMAT, u8::try_from(sign.id().len()).unwrap()];
    bytes.extend_from_slice(sign.id().as_bytes());
    bytes.extend_from_slice(content);
    let signature = sign.sign(&message(&bytes));
    bytes.extend_from_slice(&signature);
    armour::lines(&bytes)
}

#[test]
fn every_kind_is_read_as_it_was_issued() {
    // R64
    let kinds: Vec<_> = all_terms().iter().map(Terms::kind).collect();
    assert_eq!(kinds, DocumentKind::ALL);
    for terms in all_terms() {
        let issued = demo(&body(terms));
        for text in [issued.text(), issued.line()] {
            let found = read(&text).unwrap();
            assert_eq!((found.body(), found.key(), &found), (issued.body(), "demo", &issued));
        }
        assert!(issued.text().len() < 1_200, "short enough for a QR code: {}", issued.text().len());
        // The bytes that were signed are kept as they are, also in a store.
        let stored = serde_json::to_string(&issued).unwrap();
        let again: Document = serde_json::from_str(&stored).unwrap();
        assert_eq!((again.bytes == issued.bytes, again.check_signature(&Keys::demo())), (true, Ok(())));
        assert_eq!(serde_json::to_value(issued.kind()).unwrap(), issued.kind().name());
    }
}

#[test]
fn every_changed_byte_of_the_text_is_refused() {
    // R64
    for terms in all_terms() {
        let document = demo(&body(terms));
        // One of each class: a neighbour, the other case, another letter, a digit, a sign, a byte of no use.
        let classes: &[fn(u8) -> u8] =
            &[|old| old ^ 1, |old| old ^ 0x20, |_| b'A', |_| b'1', |_| b'=', |_| b'>', |_| 0];
        for (text, classes) in [(document.text(), classes), (document.line(), &classes[..2])] {
            let text = text.trim_end();
            for (at, old) in text.bytes().enumerate().filter(|(_, byte)| *byte != b'\n') {
                for new in classes.iter().map(|class| class(old)) {
                    if new == old || char::from(new).is_whitespace() {
                        continue;
                    }
                    let mut bytes = text.as_bytes().to_vec();
                    bytes[at] = new;
                    let changed = String::from_utf8(bytes).unwrap();
                    let error = read(&changed).expect_err(&changed);
                    assert!(matches!(error, DocumentError::Armour(_)), "byte {at}: {error}");
                }
            }
        }
    }
}

#[test]
fn every_changed_bit_is_refused_even_with_the_right_checksum() {
    // R64
    for terms in all_terms() {
        let document = demo(&body(terms));
        for at in 0..document.bytes.len() {
            // Every bit of one document, one bit of every byte of the others.
            for bit in (0..8).filter(|bit| document.kind() == DocumentKind::Server || at % 8 == *bit) {
                let mut bytes = document.bytes.to_vec();
                bytes[at] ^= 1 << bit;
                let error = read(&armour::lines(&bytes)).expect_err("a changed bit");
                let wanted = match at {
                    // Format, length of the key id, key id.
                    0 => matches!(error, DocumentError::Format),
                    1..=5 => matches!(error, DocumentError::Format | DocumentError::UnknownKey(_)),
                    _ => error == DocumentError::Signature("demo".into()),
                };
                assert!(wanted, "byte {at} bit {bit}: {error}");
            }
        }
        for cut in 0..document.bytes.len() {
            assert!(read(&armour::lines(&document.bytes[..cut])).is_err(), "cut to {cut}");
        }
        let longer = [&document.bytes[..], b"x"].concat();
        assert_eq!(read(&armour::lines(&longer)), Err(DocumentError::Signature("demo".into())));
    }
}

#[test]
fn a_key_that_is_not_known_is_refused() {
    // R64
    let vendor = Signer::new("acme", &[9; 32]).unwrap();
    let impostor = Signer::new("acme", &[8; 32]).unwrap();
    let public = vendor.public();
    let keys = Keys::new([("acme", public.as_str())]).unwrap();
    let genuine = Document::issue(&volume(), &vendor).unwrap().text();
    assert!(Document::read(&genuine, &keys, NOW).is_ok());
    assert_eq!(read(&genuine), Err(DocumentError::UnknownKey("acme".into())));
    let false_one = Document::issue(&volume(), &impostor).unwrap().text();
    assert_eq!(Document::read(&false_one, &keys, NOW), Err(DocumentError::Signature("acme".into())));
    // As soon as a vendor's key is configured, the demo key and test keys are refused.
    let demo = demo(&volume()).text();
    assert_eq!(Document::read(&demo, &keys, NOW), Err(DocumentError::DemoKey("demo".into())));
    let test = Signer::new("test-1", &[7; 32]).unwrap();
    let (text, test_public) = (Document::issue(&volume(), &test).unwrap().text(), test.public());
    let only_test = Keys::new([("test-1", test_public.as_str())]).unwrap();
    assert!(Document::read(&text, &only_test, NOW).is_ok());
    let both = Keys::new([("test-1", test_public.as_str()), ("acme", public.as_str())]).unwrap();
    assert_eq!(Document::read(&text, &both, NOW), Err(DocumentError::DemoKey("test-1".into())));
    assert_eq!(
        serde_json::from_value::<Document>(demo.into()).unwrap().check_signature(&keys),
        Err(DocumentError::DemoKey("demo".into()))
    );
}

#[test]
fn its_time_is_checked_to_the_second() {
    // R60 R64
    let text = demo(&volume()).text();
    let at = |now| Document::read(&text, &Keys::demo(), now).map(|_| ());
    let expired = Err(DocumentError::Expired { id: "X-1".into(), at: NOW + DAY });
    assert_eq!((at(NOW + DAY - 1), at(NOW + DAY), at(NOW + DAY + 1)), (Ok(()), expired.clone(), expired));
    // A clock set back would lengthen a trial: a document is not older than the day it is installed on.
    let issued = NOW - DAY;
    let not_yet = Err(DocumentError::NotYet { id: "X-1".into(), issued, now: issued - SKEW - 1 });
    assert_eq!((at(issued - SKEW - 1), at(issued - SKEW), at(issued - SKEW + 1)), (not_yet, Ok(()), Ok(())));
    assert_eq!(Document::verify(&text, &Keys::demo()).map(|_| ()), Ok(()));
}

#[test]
fn a_kind_that_was_not_asked_for_is_named() {
    let document = demo(&volume());
    assert_eq!(document.check_kind(DocumentKind::Volume), Ok(()));
    let error = document.check_kind(DocumentKind::Pack).unwrap_err();
    assert_eq!(error.to_string(), "the document is a volume licence, not a user pack");
}

#[test]
fn contents_of_another_shape_are_refused() {
    let sign = |content: &str| read(&forged(content.as_bytes(), &Signer::demo())).unwrap_err();
    let good = serde_json::to_string(&volume()).unwrap();
    assert!(read(&forged(good.as_bytes(), &Signer::demo())).is_ok());
    assert_eq!(sign(&good.replace("\"schema\":1", "\"schema\":2")), DocumentError::Schema(2));
    for (from, to) in [
        ("\"holder\"", "\"keeper\""),
        ("\"volume\"", "\"tower\""),
        ("\"full\":99", "\"full\":-1"),
        ("\"softphone\"", "\"teleport\""),
        ("\"id\":\"X-1\",", ""),
        ("\"id\":\"X-1\"", "\"id\":\"X-1\",\"id\":\"X-2\""),
        ("}}}", "}}}x"),
        ("}", ""),
    ] {
        assert!(good.contains(from), "{from}");
        assert_eq!(sign(&good.replace(from, to)).kind(), "document-content", "{from} to {to}");
    }
    assert_eq!(sign("").kind(), "document-content");
    assert_eq!(sign(&good.replace("\"X-1\"", "\"X/1\"")).kind(), "document-terms");
}

#[test]
fn what_makes_no_sense_is_not_issued() {
    let mut body = volume();
    body.holder.clear();
    assert_eq!(Document::issue(&body, &Signer::demo()).unwrap_err().kind(), "document-terms");
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>, content: Vec<u8>) {
        proptest::prop_assert!(read(&armour::lines(&bytes)).is_err());
        let with_format = [&[FORMAT, 4][..], b"demo", &content, &[0; 64]].concat();
        proptest::prop_assert!(read(&armour::line(&with_format)).is_err());
        // Genuine, but not a content.
        proptest::prop_assert!(read(&forged(&content, &Signer::demo())).is_err());
    }
}
