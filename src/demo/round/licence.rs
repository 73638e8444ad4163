//! What is licensed may register, what is not is told why, and lowering a booking cuts nobody off.
//!
//! Lighthouse is booked as many users as are registered there, and a third person comes.

use super::register::register;
use super::{Stop, step};
use crate::demo::digest::Algorithm;
use crate::demo::stage::{LIGHTHOUSE, Stage, said};
use crate::demo::transaction::Failure;
use crate::model::{Licensing, Seats};
use anyhow::{bail, ensure};

/// Users registered at lighthouse when the act begins.
const PRESENT: u32 = 2;
/// More than the demo's volume licence has.
const TOO_MANY: u32 = 1_000;

pub(super) async fn play(stage: &Stage) -> Result<(), Stop> {
    let (feed, cast) = (&stage.feed, &stage.cast);
    let newcomer = &cast.carol_lighthouse;
    step(feed, "R67", "lighthouse 2 users: alice REGISTER 200", async {
        book(stage, PRESENT).await?;
        register(&cast.alice_lighthouse, Algorithm::Sha256).await
    })
    .await?;
    step(feed, "R69", "REGISTER carol@lighthouse 403", async {
        let before = stage.lighthouse.pbx.bindings();
        match newcomer.register().await {
            Err(Failure::Refused { status: 403, warning, .. }) if warning.contains("seats-exhausted") => {}
            Err(failure) => bail!("{failure}, not 403 seats-exhausted"),
            Ok(_) => bail!("accepted"),
        }
        ensure!(stage.lighthouse.pbx.bindings() == before, "the PBX has a new binding");
        Ok(())
    })
    .await?;
    step(feed, "R69", "GET /explain carol@lighthouse", async {
        let question = [("register", format!("carol@{LIGHTHOUSE}"))];
        let ask = move |node: &crate::cli::reach::Node| node.get::<serde_json::Value>(&["explain"], &question);
        let told = stage.api(ask).await.map_err(said)?.value;
        ensure!(told.to_string().contains("seats-exhausted"), "{told}");
        Ok(())
    })
    .await?;
    step(feed, "R18", "lighthouse 1000 users: refused", async {
        match book(stage, TOO_MANY).await {
            Ok(()) => bail!("booked more than is licensed"),
            Err(_) => Ok(()),
        }
    })
    .await?;
    step(feed, "R18", "lighthouse 3 users: carol REGISTER 200", async {
        book(stage, PRESENT + 1).await?;
        register(newcomer, Algorithm::Sha256).await
    })
    .await?;
    Ok(())
}

/// Books users for lighthouse, as an operator does, and waits until that is served.
async fn book(stage: &Stage, full: u32) -> anyhow::Result<()> {
    let path = ["instances", LIGHTHOUSE, "licence"];
    let found = stage.api(move |node| node.get::<Licensing>(&path, &[])).await.map_err(said)?;
    let wanted = Licensing { booked: Seats { full, light: 0 }, ..found.value };
    let put = move |node: &crate::cli::reach::Node| node.put::<_, Licensing>(&path, found.etag.as_deref(), &wanted);
    stage.api(put).await.map_err(said)?;
    stage.settle().await.map(drop)
}
