//! The table is made through the API, and refuses what is wrong.

use super::{Stop, step};
use crate::cli::exit::Failure;
use crate::demo::stage::{HARBOR, LIGHTHOUSE, Stage, said};
use crate::model::Instance;
use anyhow::{Context as _, bail, ensure};

pub(super) async fn play(stage: &Stage) -> Result<(), Stop> {
    let feed = &stage.feed;
    step(feed, "R74", "DELETE /instances", stage.clear()).await?;
    step(feed, "R1", "POST /instances harbor 201", create(stage, HARBOR)).await?;
    step(feed, "R1", "POST /instances lighthouse 201", create(stage, LIGHTHOUSE)).await?;
    step(feed, "R3", "POST /instances HARBOR 409", async {
        let mut row = stage.row(HARBOR, &stage.harbor);
        row.name = HARBOR.to_uppercase();
        refused(stage, row, 5, HARBOR).await
    })
    .await?;
    step(feed, "R2", "POST /instances har_bor 422 “_”", async {
        let mut row = stage.row(HARBOR, &stage.harbor);
        row.name = "har_bor".into();
        refused(stage, row, 1, "_").await
    })
    .await?;
    step(feed, "R73", "GET /table serving", async { stage.settle().await }).await?;
    Ok(())
}

pub(super) async fn create(stage: &Stage, name: &'static str) -> anyhow::Result<()> {
    let house = match name {
        HARBOR => &stage.harbor,
        LIGHTHOUSE => &stage.lighthouse,
        _ => &stage.breakwater,
    };
    let row = stage.row(name, house);
    let made: Instance = stage.api(move |node| node.post(&["instances"], &row)).await.map_err(said)?;
    ensure!(made.name == name && made.id.0 > 0, "{} {}", made.name, made.id.0);
    Ok(())
}

/// Expects the API to refuse a new row, with this exit code and this word in its text.
async fn refused(stage: &Stage, row: Instance, code: u8, word: &str) -> anyhow::Result<()> {
    let answer = stage.api(move |node| node.post::<_, Instance>(&["instances"], &row)).await;
    let failure: Failure = match answer {
        Err(failure) => failure,
        Ok(made) => bail!("{} was made", made.name),
    };
    ensure!(failure.exit_code() == code, "{failure}");
    failure.report().find(word).map(drop).context("it does not say why")
}
