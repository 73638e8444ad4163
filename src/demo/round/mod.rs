//! One round of the demo: every step an assertion with the rule it proves.
//!
//! Acts follow one another; inside an act a failed step ends the act, because what follows leans on
//! it. Called by `run`; plays on a `Stage`.

mod calls;
mod change;
mod licence;
mod register;
mod table;
mod web;

use super::call::Call;
use super::feed::{Feed, Outcome, Verdict};
use super::phone::Phone;
use super::stage::Stage;
use super::transaction::Failure;
use anyhow::{Context as _, bail, ensure};
use std::time::Duration;

/// How long one step may take.
const STEP: Duration = Duration::from_secs(20);

/// A step failed and was told; its act ends.
pub(super) struct Stop;

/// Plays everything once.
pub(super) async fn play(stage: &Stage) -> Verdict {
    stage.feed.begin();
    let set = table::play(stage).await.is_ok() && register::play(stage).await.is_ok();
    if set {
        let _ = calls::play(stage).await;
        let _ = web::play(stage).await;
        let _ = change::play(stage).await;
        let _ = licence::play(stage).await;
    }
    let _ = step(&stage.feed, "R8", "⇐ phones ∌ 127.0.0.11 …", no_leak(&stage.feed)).await;
    stage.feed.end()
}

/// Calls someone, holds, and hangs up: what runs between rounds.
pub(super) async fn gentle(caller: &Phone, callee: &Phone, pause: Duration) -> anyhow::Result<()> {
    let (call, other) = connect(caller, callee).await?;
    tokio::time::sleep(pause).await;
    call.hold().await?;
    tokio::time::sleep(pause).await;
    call.resume().await?;
    other.hang_up().await?;
    call.ended().await?;
    Ok(())
}

/// Carries one assertion out, in bounded time, and tells how it ended.
async fn step<T>(
    feed: &Feed,
    rule: &'static str,
    what: &str,
    action: impl Future<Output = anyhow::Result<T>>,
) -> Result<T, Stop> {
    feed.step(rule, what);
    let begun = feed.clock().now().tick;
    let result = match tokio::time::timeout(STEP, action).await {
        Ok(result) => result,
        Err(_) => Err(anyhow::anyhow!("no end in sight")),
    };
    match result {
        Ok(value) => {
            feed.done(Outcome::Passed(feed.clock().now().tick.since(begun)));
            Ok(value)
        }
        Err(error) => {
            feed.done(Outcome::Failed(format!("{error:#}")));
            Err(Stop)
        }
    }
}

async fn no_leak(feed: &Feed) -> anyhow::Result<()> {
    let leaks = feed.leaks();
    ensure!(leaks.is_empty(), "{}", leaks.join("; "));
    Ok(())
}

/// A call between two phones: the caller's side and the callee's.
async fn connect(caller: &Phone, callee: &Phone) -> anyhow::Result<(Call, Call)> {
    let call = caller.call(&callee.account().user).await.context("call")?;
    let other = callee.next_call().await.context("at the callee")?;
    let expected = (callee.account().user.clone(), caller.account().user.clone());
    ensure!((call.with(), other.with()) == expected, "{} ⇄ {}", call.with(), other.with());
    Ok((call, other))
}

/// Expects a refusal with this status.
fn refused<T>(result: Result<T, Failure>, status: u16) -> anyhow::Result<()> {
    match result {
        Err(failure) if failure.status() == status => Ok(()),
        Err(failure) => bail!("{failure}, not {status}"),
        Ok(_) => bail!("accepted, not {status}"),
    }
}
