//! The demo's life: build the stage, play rounds, show them, and give a verdict.
//!
//! Called by `main`.

use super::feed::Feed;
use super::phone::Phone;
use super::round;
use super::stage::Stage;
use super::view::View;
use super::{Args, lock};
use crate::clock::Clock;
use anyhow::Context as _;
use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Between two pictures.
const FRAME: Duration = Duration::from_millis(100);
/// Between two gentle calls, and inside one.
const PAUSE: Duration = Duration::from_millis(700);
/// Between two refreshes of the bindings, which last five minutes.
const REFRESH: Duration = Duration::from_secs(120);

/// Runs the demo; 0 when every round went well.
pub fn run(args: &Args) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    match runtime.block_on(play(args)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => fail(&error),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}

/// What the keys ask for.
struct Wishes {
    again: Notify,
    quit: CancellationToken,
}

async fn play(args: &Args) -> anyhow::Result<bool> {
    let clock = Clock::start();
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
    let plain = args.plain || !std::io::stdout().is_terminal();
    let feed = Feed::new(clock, plain);
    let stage = Arc::new(Stage::build(Arc::clone(&feed), args, seed).await?);
    feed.say(&format!("seed  {seed}"));
    for line in stage.links() {
        feed.say(&format!("open  {line}"));
    }
    let wishes = Arc::new(Wishes { again: Notify::new(), quit: CancellationToken::new() });
    let good = Arc::new(Mutex::new(true));
    let acting = tokio::spawn(act(Arc::clone(&stage), Arc::clone(&wishes), Arc::clone(&good), args.once, seed));
    if plain {
        tokio::select! {
            result = stopped() => result.context("signals")?,
            () = wishes.quit.cancelled() => {}
        }
    } else {
        show(&stage, &wishes).await?;
    }
    wishes.quit.cancel();
    acting.await.context("the round")?;
    let good = *lock(&good);
    if !plain {
        report(&feed);
    }
    if let Some(stage) = Arc::into_inner(stage) {
        stage.strike().await;
    }
    Ok(good)
}

/// Waits for Ctrl-C or a request to end.
async fn stopped() -> std::io::Result<()> {
    let mut end = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result,
        _ = end.recv() => Ok(()),
    }
}

/// Rounds, and gentle calls between them, until asked to stop.
async fn act(stage: Arc<Stage>, wishes: Arc<Wishes>, good: Arc<Mutex<bool>>, once: bool, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    loop {
        let Some(verdict) = wishes.quit.run_until_cancelled(round::play(&stage)).await else { return };
        *lock(&good) &= verdict.good();
        if once {
            return wishes.quit.cancel();
        }
        tokio::select! {
            () = wishes.quit.cancelled() => return,
            () = refresh(&stage) => {}
            () = gentle(&stage, &wishes.again, &mut random) => {}
        }
    }
}

/// Refreshes every binding, again and again.
async fn refresh(stage: &Stage) {
    loop {
        tokio::time::sleep(REFRESH).await;
        for phone in stage.cast.all().filter(|phone| phone.registered()) {
            let _ = phone.register().await;
        }
    }
}

/// Calls between random phones of one instance, one after the other, until another round is wished.
async fn gentle(stage: &Stage, again: &Notify, random: &mut fastrand::Rng) {
    let cast = &stage.cast;
    let harbor: Vec<&Phone> = [
        Some(&cast.alice),
        Some(&cast.bob),
        Some(&cast.carol),
        cast.dora.as_ref(),
        Some(&cast.erin),
        Some(&cast.frank),
    ]
    .into_iter()
    .flatten()
    .collect();
    let lighthouse = vec![&cast.alice_lighthouse, &cast.bob_lighthouse];
    loop {
        let mut phones = if random.u8(..3) == 0 { lighthouse.clone() } else { harbor.clone() };
        random.shuffle(&mut phones);
        if let [caller, callee, ..] = phones.as_slice() {
            let failed = round::gentle(caller, callee, PAUSE).await.is_err();
            stage.feed.gentle(failed);
        }
        tokio::select! {
            () = again.notified() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Draws until asked to stop.
async fn show(stage: &Stage, wishes: &Wishes) -> anyhow::Result<()> {
    let mut terminal = ratatui::try_init().context("the terminal")?;
    let drawn = draw(&mut terminal, stage, wishes).await;
    ratatui::restore();
    drawn
}

async fn draw(terminal: &mut ratatui::DefaultTerminal, stage: &Stage, wishes: &Wishes) -> anyhow::Result<()> {
    let mut view = View::default();
    let mut frames = tokio::time::interval(FRAME);
    loop {
        tokio::select! {
            _ = frames.tick() => {}
            () = wishes.quit.cancelled() => return Ok(()),
        }
        while event::poll(Duration::ZERO)? {
            let Event::Key(key) = event::read()? else { continue };
            let control = key.modifiers.contains(KeyModifiers::CONTROL);
            match key.code {
                _ if key.kind == KeyEventKind::Release => {}
                KeyCode::Char('c') if control => return Ok(()),
                KeyCode::Char('q') | KeyCode::Esc => return Ok(()),
                KeyCode::Char('r') => wishes.again.notify_one(),
                _ => {}
            }
        }
        let (story, scene) = (stage.feed.story(), stage.scene());
        let now = stage.feed.clock().now().tick;
        view.sample(story.messages, now);
        terminal.draw(|frame| view.draw(frame, &story, &scene, now))?;
    }
}

/// Leaves what failed, and the verdict, on the screen that comes back.
fn report(feed: &Feed) {
    let story = feed.story();
    for line in story.lines() {
        println!("{line}");
    }
}
