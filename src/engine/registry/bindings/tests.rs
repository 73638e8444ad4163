use super::*;
use crate::ids::{ListenerId, ProxyId, Shard, Transport};

const LISTENER: ListenerId = ListenerId { proxy: ProxyId(1), number: 1 };

fn udp(port: u16) -> Flow {
    let local = "192.0.2.1:5060".parse().unwrap();
    Flow::Udp { listener: LISTENER, local, peer: ([198, 51, 100, 7], port).into() }
}

fn tcp(serial: u32) -> Flow {
    let local = "192.0.2.1:5060".parse().unwrap();
    let peer = "198.51.100.7:40000".parse().unwrap();
    let conn = ConnId::new(1, Shard(0), serial);
    Flow::Stream { listener: LISTENER, conn, transport: Transport::Tcp, local, peer }
}

fn learn(all: &mut Bindings, account: &str, flow: Flow, list: &[(&str, u32, bool)], now: u64) {
    let registration =
        Registration { account: account.as_bytes(), flow, user_agent: b"Phone/1", device: b"<urn:uuid:1>" };
    let granted = list.iter().map(|(c, e, m)| Granted { contact: c.as_bytes(), expires: *e, mine: *m });
    all.learn(&registration, granted, now, 100).unwrap();
}

fn contacts(all: &Bindings) -> Vec<String> {
    let mut list: Vec<String> = all.iter().map(|b| b.contact.into_owned()).collect();
    list.sort_unstable();
    list
}

#[test]
fn the_answer_replaces_the_list() {
    // P16 P15
    let mut all = Bindings::default();
    learn(&mut all, "bob", udp(1), &[("sip:bob@10.0.0.1", 60, true)], 1_000);
    learn(&mut all, "bob", tcp(1), &[("sip:bob@10.0.0.1", 50, false), ("sip:bob@10.0.0.2", 70, true)], 1_010);
    assert_eq!(contacts(&all), ["sip:bob@10.0.0.1", "sip:bob@10.0.0.2"]);
    let first = all.iter().find(|b| b.contact.ends_with(".1")).unwrap();
    assert_eq!((first.flow, first.expires, first.since), (Some(udp(1)), 1_060, 1_000));
    assert_eq!(first.device.as_deref(), Some("<urn:uuid:1>"));
    learn(&mut all, "bob", udp(1), &[("sip:bob@10.0.0.2", 60, false)], 1_020);
    assert_eq!((contacts(&all), all.len()), (vec!["sip:bob@10.0.0.2".to_owned()], 1));
    learn(&mut all, "bob", udp(1), &[], 1_021);
    assert!(all.is_empty());
    assert!(all.accounts.is_empty(), "no account is kept without a binding");
}

#[test]
fn a_refresh_moves_the_flow_and_no_second_binding_appears() {
    let mut all = Bindings::default();
    learn(&mut all, "bob", udp(1), &[("sip:bob@10.0.0.1", 60, true)], 1_000);
    learn(&mut all, "bob", udp(2), &[("sip:bob@10.0.0.1", 60, true)], 1_030);
    assert_eq!((all.len(), all.iter().next().unwrap().flow), (1, Some(udp(2))));
}

#[test]
fn each_ends_on_its_second() {
    let mut all = Bindings::default();
    learn(&mut all, "bob", udp(1), &[("sip:bob@10.0.0.1", 60, true)], 1_000);
    learn(&mut all, "eve", udp(2), &[("sip:eve@10.0.0.3", 90, true)], 1_000);
    all.expire(1_059);
    assert_eq!(all.len(), 2);
    all.expire(1_060);
    assert_eq!(contacts(&all), ["sip:eve@10.0.0.3"]);
    all.expire(1_090);
    assert!(all.is_empty());
}

#[test]
fn a_closed_flow_takes_its_bindings_along() {
    // P07
    let mut all = Bindings::default();
    learn(&mut all, "bob", tcp(1), &[("sip:bob@10.0.0.1", 60, true)], 0);
    learn(&mut all, "eve", tcp(2), &[("sip:eve@10.0.0.3", 60, true)], 0);
    learn(&mut all, "joe", udp(9), &[("sip:joe@10.0.0.4", 60, true)], 0);
    all.drop_stream(ConnId::new(1, Shard(0), 1), 10, |account| assert_eq!(account, b"bob"));
    assert_eq!(contacts(&all), ["sip:eve@10.0.0.3", "sip:joe@10.0.0.4"]);
    all.drop_datagrams(&udp(8));
    assert_eq!(all.len(), 2);
    all.drop_datagrams(&udp(9));
    assert_eq!(contacts(&all), ["sip:eve@10.0.0.3"]);
}

#[test]
fn an_account_that_may_be_on_its_way_back_is_not_taken_for_gone() {
    // P07 R68
    let mut all = Bindings::default();
    let ended =
        |all: &mut Bindings| all.take_ended().map(|a| String::from_utf8(a.to_vec()).unwrap()).collect::<Vec<_>>();
    for (account, serial) in [("bob", 1), ("eve", 2), ("joe", 3)] {
        learn(&mut all, account, tcp(serial), &[("sip:x@10.0.0.1", 600, true)], 1_000);
        all.drop_stream(ConnId::new(1, Shard(0), serial), 1_010, |_| ());
    }
    assert_eq!((all.len(), ended(&mut all)), (0, vec![]), "not shown, and not gone");
    // One registers again, one resumes its connection, one stays away.
    learn(&mut all, "bob", tcp(4), &[("sip:x@10.0.0.1", 600, true)], 1_005);
    all.follow(b"eve", &tcp(2), tcp(5), 1_005);
    all.expire(1_009);
    assert_eq!((all.len(), ended(&mut all)), (2, vec![]));
    all.expire(1_010);
    assert_eq!((all.len(), ended(&mut all)), (2, vec!["joe".to_owned()]));
    assert_eq!(all.from(b"eve").next().unwrap().1[0].flow, Some(tcp(5)));
    // What de-registers while it is away is gone at once.
    all.drop_stream(ConnId::new(1, Shard(0), 5), 1_030, |_| ());
    learn(&mut all, "eve", tcp(6), &[], 1_020);
    assert_eq!((all.len(), ended(&mut all)), (1, vec!["eve".to_owned()]));
}

#[test]
fn the_list_goes_on_where_it_was_left() {
    let mut all = Bindings::default();
    for account in ["eve", "bob", "joe"] {
        learn(&mut all, account, udp(1), &[("sip:x@10.0.0.2", 60, true), ("sip:x@10.0.0.1", 60, true)], 0);
    }
    let accounts = |first: &str| all.from(first.as_bytes()).map(|(name, list)| (name, list.len())).collect::<Vec<_>>();
    assert_eq!(accounts(""), [(b"bob".as_slice(), 2), (b"eve", 2), (b"joe", 2)]);
    assert_eq!(accounts("eve"), [(b"eve".as_slice(), 2), (b"joe", 2)]);
    assert_eq!(accounts("evf"), [(b"joe".as_slice(), 2)]);
    assert!(accounts("joe2").is_empty());
}

#[test]
fn one_is_ended_and_the_others_stay() {
    let mut all = Bindings::default();
    learn(&mut all, "bob", udp(1), &[("sip:x@10.0.0.1", 60, true), ("sip:x@10.0.0.2", 60, true)], 0);
    assert_eq!(all.remove(b"bob", "sip:x@10.0.0.1").map(|b| b.flow), Some(Some(udp(1))));
    assert_eq!((contacts(&all), all.len()), (vec!["sip:x@10.0.0.2".to_owned()], 1));
    assert_eq!(all.remove(b"bob", "sip:x@10.0.0.1"), None);
    assert_eq!(all.remove(b"eve", "sip:x@10.0.0.1"), None);
    assert!(all.remove(b"bob", "sip:x@10.0.0.2").is_some());
    assert!(all.is_empty() && all.accounts.is_empty());
}

#[test]
fn the_bounds_hold() {
    // T19
    let mut all = Bindings::default();
    fn registration(account: &[u8]) -> Registration<'_> {
        Registration { account, flow: udp(1), user_agent: b"", device: b"" }
    }
    let contact = |n: usize| format!("sip:u@10.0.0.{n}");
    for n in 0..3 {
        let text = contact(n);
        let granted = [Granted { contact: text.as_bytes(), expires: 9, mine: true }];
        let account = [b'a' + n as u8];
        assert_eq!(all.learn(&registration(&account), granted.iter().copied(), 0, 2).is_ok(), n < 2);
    }
    assert_eq!((all.len(), all.accounts.len()), (2, 2));
    let texts: Vec<String> = (0..=PER_ACCOUNT).map(contact).collect();
    let granted = texts.iter().map(|t| Granted { contact: t.as_bytes(), expires: 9, mine: true });
    assert_eq!(all.learn(&registration(b"a"), granted, 0, 1_000), Err(Overflow));
    assert_eq!(all.len(), PER_ACCOUNT + 1);
}
