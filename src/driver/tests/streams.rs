//! Streams: framing, and what ends them.

use super::*;

#[tokio::test]
async fn a_stream_is_framed_and_a_ping_gets_its_pong() {
    // X07 V11
    let stage = Stage::open(1, Limits::default()).await;
    let mut phone = stage.tcp().await;
    assert_eq!(ask(&mut phone, "hello").await, framed("hello"));
    phone.write_all(b"\r\n\r\n").await.unwrap();
    assert_eq!(read(&mut phone).await, "\r\n");

    // Two messages and a ping between them in one segment, then one byte at a time.
    let mixed = format!("{}\r\n\r\n{}", framed("one"), framed("two"));
    let wanted = format!("{}\r\n{}", framed("one"), framed("two"));
    for chunk in [mixed.len(), 1] {
        for part in mixed.as_bytes().chunks(chunk) {
            phone.write_all(part).await.unwrap();
            phone.flush().await.unwrap();
            tokio::task::yield_now().await;
        }
        let mut got = String::new();
        while got.len() < wanted.len() {
            got += &read(&mut phone).await;
        }
        assert_eq!(got, wanted);
    }
}

#[tokio::test]
async fn a_message_without_an_end_is_handed_on_and_the_stream_closed() {
    // V10
    let mut stage = Stage::open(1, Limits::default()).await;
    let mut phone = stage.tcp().await;
    phone.write_all(b"INVITE sip:x SIP/2.0\r\nVia: x\r\n\r\n").await.unwrap();
    assert_eq!(read(&mut phone).await, "INVITE sip:x SIP/2.0\r\nVia: x\r\n\r\n");
    assert_eq!(read(&mut phone).await, "");
    assert!(matches!(stage.next().await, Seen::Message(..)));
    assert!(matches!(stage.next().await, Seen::Closed(..)));
    assert_eq!(stage.stats.lost(Loss::Framing), 1);
    assert_eq!(stage.stats.connections.read(), 0);
}

#[tokio::test]
async fn the_engine_closes_a_stream() {
    // V10
    let stage = Stage::open(1, Limits::default()).await;
    let mut phone = stage.tcp().await;
    assert_eq!(ask(&mut phone, "CLOSE").await, "");
}

#[tokio::test]
async fn a_stream_is_closed_from_outside_and_a_datagram_flow_is_not() {
    let mut stage = Stage::open(2, Limits::default()).await;
    let mut phone = stage.tcp().await;
    ask(&mut phone, "hello").await;
    let flow = stage.until(|seen| if let Seen::Message(_, flow, _) = seen { Some(flow) } else { None }).await;
    let closer = stage.front.closer();
    assert!(closer.close(&flow));
    assert_eq!(read(&mut phone).await, "");
    stage.until(|seen| matches!(seen, Seen::Closed(..)).then_some(())).await;

    let peer = "127.0.0.1:9".parse().unwrap();
    assert!(!closer.close(&Flow::Udp { listener: UDP, local: peer, peer }));
    let Flow::Stream { listener, conn, transport, local, peer } = flow else { panic!("{flow:?}") };
    let earlier = ConnId::new(conn.boot() ^ 1, conn.shard(), conn.serial());
    assert!(!closer.close(&Flow::Stream { listener, conn: earlier, transport, local, peer }));
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_closed_and_harms_nobody() {
    // PROTOCOLS 4, trap 1; PROTOCOLS 3.3, 16
    let mut stage = Stage::open(1, Limits::default()).await;
    let mut stalled = stage.tcp().await;
    socket2::SockRef::from(&stalled).set_recv_buffer_size(4096).unwrap();
    stalled.write_all(framed("FLOOD 20000").as_bytes()).await.unwrap();
    let mut other = stage.tcp().await;
    assert_eq!(ask(&mut other, "still here").await, framed("still here"));
    let failed = |seen| if let Seen::Failed(ticket, why) = seen { Some((ticket, why)) } else { None };
    assert_eq!(stage.until(failed).await.0, 5);
    stage.until(|seen| matches!(seen, Seen::Closed(..)).then_some(())).await;
    assert_eq!(stage.stats.lost(Loss::Stalled), 1);
    assert_eq!(ask(&mut other, "and still").await, framed("and still"));
}

#[tokio::test]
async fn a_peer_that_is_told_why_and_does_not_read_is_closed_all_the_same() {
    let mut limits = Limits::default();
    (limits.stream.outbox, limits.stream.stall) = (64 << 20, 300);
    let mut stage = Stage::open(1, limits).await;
    let mut stalled = stage.tcp().await;
    socket2::SockRef::from(&stalled).set_recv_buffer_size(4096).unwrap();
    let said = framed("FLOOD 16000") + "INVITE sip:x SIP/2.0\r\nVia: x\r\n\r\n";
    stalled.write_all(said.as_bytes()).await.unwrap();
    stage.until(|seen| matches!(seen, Seen::Closed(..)).then_some(())).await;
    assert_eq!(stage.stats.lost(Loss::Framing), 1);
}

#[tokio::test]
async fn silence_and_half_messages_end_a_connection() {
    let mut limits = Limits::default();
    limits.stream.first_byte = 50;
    limits.stream.partial = 60;
    let stage = Stage::open(1, limits).await;
    assert_eq!(read(&mut stage.tcp().await).await, "");
    assert_eq!(stage.stats.lost(Loss::FirstByte), 1);
    let mut half = stage.tcp().await;
    half.write_all(b"INVITE sip:x SIP/2.0\r\nContent-Length: 100\r\n\r\nabc").await.unwrap();
    assert_eq!(read(&mut half).await, "");
    assert_eq!(stage.stats.lost(Loss::Partial), 1);
    // One that has spoken may be silent.
    let mut quiet = stage.tcp().await;
    ask(&mut quiet, "hello").await;
    assert!(tokio::time::timeout(Duration::from_millis(200), quiet.read_u8()).await.is_err());
}

#[tokio::test]
async fn an_idle_connection_ends() {
    let mut limits = Limits::default();
    limits.stream.idle = 80;
    let stage = Stage::open(1, limits).await;
    let mut phone = stage.tcp().await;
    ask(&mut phone, "hello").await;
    assert_eq!(read(&mut phone).await, "");
    assert_eq!(stage.stats.lost(Loss::Idle), 1);
}
