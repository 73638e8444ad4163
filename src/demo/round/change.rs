//! The table changes while calls run: a tenant moves to another PBX, one is added, one stops.

use super::register::register;
use super::web::{get, socket};
use super::{Stop, connect, refused, step, table};
use crate::admin::view::{InstanceHealth, Wanted};
use crate::control::change::Change;
use crate::control::plan::Plan;
use crate::control::store::AuditPage;
use crate::demo::call::Call;
use crate::demo::digest::Algorithm;
use crate::demo::fetch::Socket;
use crate::demo::message::{Field, Method};
use crate::demo::pbx::{ECHO, Pbx};
use crate::demo::sdp::Direction;
use crate::demo::stage::{BREAKWATER, HARBOR, HOST, LIGHTHOUSE, Stage, said};
use crate::model::Instance;
use anyhow::{anyhow, ensure};

/// What runs through the changes.
struct Running {
    harbor: (Call, Call),
    echo: Call,
    lighthouse: (Call, Call),
    socket: Socket,
    moved: Socket,
}

pub(super) async fn play(stage: &Stage) -> Result<(), Stop> {
    let (feed, cast) = (&stage.feed, &stage.cast);
    let (old, new) = (&stage.harbor.pbx, &stage.harbor_new.pbx);
    let mut running = step(feed, "R73", "3 × INVITE, 2 × WS", begin(stage)).await?;
    step(feed, "R35", "POST /plan −harbor: 2 calls", plan(stage)).await?;
    step(feed, "R73", "PUT /instances/harbor ⇒ 127.0.0.12", retarget(stage)).await?;
    step(feed, "R73", "POST /instances breakwater 201", async {
        table::create(stage, BREAKWATER).await?;
        stage.settle().await
    })
    .await?;
    step(feed, "R75", "alice ‖ bob ⇒ 127.0.0.11", async {
        let (call, other) = &running.harbor;
        held(call, other, old, new).await?;
        held(other, call, old, new).await
    })
    .await?;
    step(feed, "R75", "carol ‖ echo ⇒ 127.0.0.11", async {
        running.echo.hold().await?;
        running.echo.resume().await?;
        only_at(&running.echo.id(), Method::Invite, old, new)
    })
    .await?;
    step(feed, "R73", "alice ‖ bob @lighthouse, WS", async {
        let (call, other) = &running.lighthouse;
        call.hold().await?;
        other.until(Direction::Send).await?;
        call.resume().await?;
        running.socket.echo().await.map_err(|error| anyhow!(error))
    })
    .await?;
    step(feed, "HT18", "WS @harbor 1012, again ⇒ 127.0.0.12", async {
        let code = running.moved.closed().await.map_err(|error| anyhow!(error))?;
        ensure!(code == 1012, "closed with {code}");
        let mut again = socket(&stage.http, &format!("{HARBOR}.{HOST}"), "/ws").await?;
        again.echo().await.map_err(|error| anyhow!(error))?;
        ensure!(stage.harbor_new.web.sockets() > 0, "at another server");
        Ok(())
    })
    .await?;
    step(feed, "R73", "REGISTER @harbor ⇒ 127.0.0.12", async {
        register(&cast.alice, Algorithm::Md5).await?;
        let others = [&cast.bob, &cast.carol, &cast.erin, &cast.frank].into_iter();
        for phone in others.chain(cast.dora.as_ref()) {
            register(phone, Algorithm::Sha256).await?;
        }
        ensure!(new.bindings() >= 3, "{} bindings", new.bindings());
        Ok(())
    })
    .await?;
    step(feed, "R73", "carol → alice ⇒ 127.0.0.12", async {
        let (call, other) = connect(&cast.carol, &cast.alice).await?;
        only_at(&call.id(), Method::Invite, new, old)?;
        other.hang_up().await?;
        call.ended().await?;
        Ok(())
    })
    .await?;
    step(feed, "R1", "alice@breakwater REGISTER, echo", async {
        register(&cast.alice_breakwater, Algorithm::Sha256).await?;
        let call = cast.alice_breakwater.call(ECHO).await?;
        call.hang_up().await?;
        ensure!(stage.breakwater.pbx.saw(&call.id(), Method::Bye) == 1, "BYE elsewhere");
        let page = get(&stage.http, &format!("{BREAKWATER}.{HOST}"), "/", 200).await?;
        ensure!(page.body.contains("<h1>breakwater</h1>"), "another page");
        Ok(())
    })
    .await?;
    step(feed, "R75", "BYE ⇒ 127.0.0.11", async {
        let (call, other) = &running.harbor;
        other.hang_up().await?;
        call.ended().await?;
        only_at(&call.id(), Method::Bye, old, new)?;
        running.echo.hang_up().await?;
        only_at(&running.echo.id(), Method::Bye, old, new)
    })
    .await?;
    step(feed, "R34", "POST …/lighthouse/stop 503 480 503", off(stage, &running.lighthouse)).await?;
    step(feed, "R34", "POST …/lighthouse/start 200", async {
        switch(stage, "start").await?;
        register(&cast.alice_lighthouse, Algorithm::Sha256).await?;
        register(&cast.bob_lighthouse, Algorithm::Sha256).await
    })
    .await?;
    step(feed, "R75", "GET /health 0 calls", quiet(stage)).await?;
    step(feed, "R77", "GET /audit", async {
        let page: AuditPage = stage.api(|node| node.get(&["audit"], &[])).await.map_err(said)?.value;
        let of = |name: &str| page.entries.iter().any(|entry| entry.object.contains(name) && !entry.who.is_empty());
        ensure!(of(HARBOR) && of(BREAKWATER), "{} entries", page.entries.len());
        Ok(())
    })
    .await?;
    Ok(())
}

async fn begin(stage: &Stage) -> anyhow::Result<Running> {
    let cast = &stage.cast;
    let harbor = connect(&cast.alice, &cast.bob).await?;
    let echo = cast.carol.call(ECHO).await?;
    let lighthouse = connect(&cast.alice_lighthouse, &cast.bob_lighthouse).await?;
    let mut moved = socket(&stage.http, &format!("{HARBOR}.{HOST}"), "/ws").await?;
    let mut stays = socket(&stage.https, HOST, "/lighthouse/ws").await?;
    for socket in [&mut moved, &mut stays] {
        socket.echo().await.map_err(|error| anyhow!(error))?;
    }
    Ok(Running { harbor, echo, lighthouse, socket: stays, moved })
}

/// What would become of harbor's calls and bindings if it went away; nothing does.
async fn plan(stage: &Stage) -> anyhow::Result<()> {
    let wanted = Wanted { changes: vec![Change::DeleteInstance { name: HARBOR.into() }], ..Wanted::default() };
    let plan: Plan = stage.api(move |node| node.post(&["plan"], &wanted)).await.map_err(said)?;
    let registered = stage.cast.all().filter(|it| it.registered() && it.account().domain == HARBOR).count();
    ensure!(plan.problems.is_empty() && plan.removed.len() == 1, "{plan:?}");
    ensure!(plan.calls == 2, "{} calls", plan.calls);
    ensure!(usize::try_from(plan.bindings)? == registered, "{} bindings", plan.bindings);
    Ok(())
}

/// Every call that was hung up is over for the node too.
async fn quiet(stage: &Stage) -> anyhow::Result<()> {
    let rows: Vec<InstanceHealth> = stage.api(|node| node.all(&["health"], &[])).await.map_err(said)?;
    let calls: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.calls)).collect();
    ensure!(!calls.is_empty() && calls.iter().all(|(_, calls)| *calls == 0), "{calls:?}");
    Ok(())
}

/// Moves harbor to its second PBX, if nobody else changed it meanwhile.
async fn retarget(stage: &Stage) -> anyhow::Result<()> {
    let found = stage.api(|node| node.get::<Instance>(&["instances", HARBOR], &[])).await.map_err(said)?;
    let moved = stage.row(HARBOR, &stage.harbor_new);
    let row = Instance { id: found.value.id, ..moved };
    let put = move |node: &crate::cli::reach::Node| {
        node.put::<_, Instance>(&["instances", HARBOR], found.etag.as_deref(), &row)
    };
    stage.api(put).await.map_err(said)?;
    stage.settle().await.map(drop)
}

/// One side holds and resumes; only the old PBX may see it.
async fn held(call: &Call, other: &Call, old: &Pbx, new: &Pbx) -> anyhow::Result<()> {
    let before = old.saw(&call.id(), Method::Invite);
    call.hold().await?;
    other.until(Direction::Send).await?;
    call.resume().await?;
    other.until(Direction::Both).await?;
    let seen = old.saw(&call.id(), Method::Invite) - before;
    ensure!(seen == 2, "{seen} re-INVITEs");
    only_at(&call.id(), Method::Invite, old, new)
}

fn only_at(call_id: &str, method: Method, here: &Pbx, not_there: &Pbx) -> anyhow::Result<()> {
    let seen = (here.saw(call_id, method), not_there.saw(call_id, method));
    ensure!(seen.0 > 0 && seen.1 == 0, "{method} {} there, {} elsewhere", seen.0, seen.1);
    Ok(())
}

/// Switches lighthouse off: its call is ended first, then nothing of it is reachable.
async fn off(stage: &Stage, (call, other): &(Call, Call)) -> anyhow::Result<()> {
    let phone = &stage.cast.alice_lighthouse;
    call.hang_up().await?;
    other.ended().await?;
    switch(stage, "stop").await?;
    let mut register = phone.draft(Method::Register, &format!("sip:{LIGHTHOUSE}"));
    register.fields.set(Field::To, format!("<{}>", phone.account().aor()));
    register.fields.push(Field::Contact, phone.contact());
    let answer = phone.ask(register).await?;
    ensure!(answer.status == 503, "REGISTER {}", answer.status);
    ensure!(answer.fields.first(Field::RetryAfter).is_some(), "503 without Retry-After");
    refused(phone.call("bob").await, 480)?;
    let page = get(&stage.http, &format!("{LIGHTHOUSE}.{HOST}"), "/", 503).await?;
    ensure!(page.headers.contains_key("retry-after"), "503 without Retry-After");
    Ok(())
}

async fn switch(stage: &Stage, verb: &'static str) -> anyhow::Result<()> {
    let post = move |node: &crate::cli::reach::Node| {
        node.post::<_, serde_json::Value>(&["instances", LIGHTHOUSE, verb], &serde_json::json!({}))
    };
    stage.api(post).await.map_err(said)?;
    stage.settle().await.map(drop)
}
