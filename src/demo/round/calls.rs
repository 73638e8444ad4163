//! Calls inside an instance, with everything a user does in one; none between instances.

use super::{Stop, connect, refused, step};
use crate::demo::line::Answering;
use crate::demo::message::Method;
use crate::demo::pbx::{ECHO, GOODBYE};
use crate::demo::sdp::Direction;
use crate::demo::stage::{LIGHTHOUSE, Stage};
use anyhow::{Context as _, ensure};

pub(super) async fn play(stage: &Stage) -> Result<(), Stop> {
    let (feed, cast) = (&stage.feed, &stage.cast);
    let (alice, bob, carol) = (&cast.alice, &cast.bob, &cast.carol);

    let (call, at_bob) = step(feed, "R4", "alice → bob INVITE UDP→TCP", connect(alice, bob)).await?;
    step(feed, "R44", "alice ‖ bob sendonly, sendrecv", async {
        call.hold().await?;
        at_bob.until(Direction::Send).await?;
        call.resume().await?;
        at_bob.until(Direction::Both).await?;
        Ok(())
    })
    .await?;
    step(feed, "R44", "bob ‖ alice sendonly, sendrecv", async {
        at_bob.hold().await?;
        call.until(Direction::Send).await?;
        at_bob.resume().await?;
        call.until(Direction::Both).await?;
        Ok(())
    })
    .await?;
    step(feed, "R44", "alice REFER bob → carol 202 200", async {
        let status = call.transfer("carol").await?;
        ensure!(status == 200, "NOTIFY {status}");
        let (at_carol, from_bob) = (carol.next_call().await?, bob.next_call().await?);
        ensure!((at_carol.with(), from_bob.with()) == ("bob".into(), "carol".into()), "{}", at_carol.with());
        call.hang_up().await?;
        at_bob.ended().await.context("bob's first call")?;
        at_carol.hang_up().await?;
        from_bob.ended().await?;
        Ok(())
    })
    .await?;

    step(feed, "C01", "carol → bob CANCEL 487", async {
        bob.answering(Answering::Ring);
        let outcome = async { anyhow::Ok(carol.ring("bob").await?.cancel().await?) }.await;
        bob.answering(Answering::Answer);
        let status = outcome?;
        ensure!(status == 487, "{status}");
        Ok(())
    })
    .await?;
    step(feed, "T09", "carol → bob 486", async {
        bob.answering(Answering::Refuse);
        let result = carol.call("bob").await.map(drop);
        bob.answering(Answering::Answer);
        refused(result, 486)
    })
    .await?;
    step(feed, "F18", "bob → echo ‖ BYE", async {
        let call = bob.call(ECHO).await?;
        call.hold().await?;
        call.resume().await?;
        call.hang_up().await?;
        Ok(())
    })
    .await?;
    step(feed, "P05", "goodbye → bob BYE TCP", async {
        bob.call(GOODBYE).await?.ended().await?;
        ensure!(bob.reached_directly() == 0, "a connection was opened to bob");
        Ok(())
    })
    .await?;
    if let Some(dora) = &cast.dora {
        step(feed, "X13", "alice → dora [::1] BYE", async {
            let (call, at_dora) = connect(alice, dora).await?;
            at_dora.hold().await?;
            at_dora.hang_up().await?;
            call.ended().await?;
            Ok(())
        })
        .await?;
    }
    step(feed, "R78", "erin → frank ‖ TLS→WSS BYE", async {
        let (call, at_frank) = connect(&cast.erin, &cast.frank).await?;
        call.hold().await?;
        at_frank.until(Direction::Send).await?;
        at_frank.resume().await?;
        at_frank.hang_up().await?;
        call.ended().await?;
        Ok(())
    })
    .await?;
    step(feed, "R78", "frank → alice ‖ WSS→UDP BYE", async {
        let (call, at_alice) = connect(&cast.frank, alice).await?;
        at_alice.hold().await?;
        call.until(Direction::Send).await?;
        call.hang_up().await?;
        at_alice.ended().await?;
        Ok(())
    })
    .await?;
    step(feed, "R10", "alice → bob @harbor @lighthouse", twins(stage)).await?;
    step(feed, "R10", "alice@harbor → bob@lighthouse 403", async {
        refused(alice.call(&format!("sip:bob@{LIGHTHOUSE}")).await, 403)
    })
    .await?;
    Ok(())
}

/// The same two names call each other in two instances at once, and never meet.
async fn twins(stage: &Stage) -> anyhow::Result<()> {
    let cast = &stage.cast;
    let (harbor, lighthouse) =
        tokio::try_join!(connect(&cast.alice, &cast.bob), connect(&cast.alice_lighthouse, &cast.bob_lighthouse))?;
    let (pbx, far) = (&stage.harbor.pbx, &stage.lighthouse.pbx);
    for (calls, own, other) in [(&harbor, pbx, far), (&lighthouse, far, pbx)] {
        let id = calls.0.id();
        let seen = (own.saw(&id, Method::Invite) > 0, other.saw(&id, Method::Invite) > 0);
        ensure!(calls.0.id() == calls.1.id() && seen == (true, false), "{seen:?}");
    }
    for (call, other) in [harbor, lighthouse] {
        call.hang_up().await?;
        other.ended().await?;
    }
    Ok(())
}
