//! Phones register with their instance's own registrar, and only there.

use super::{Stop, refused, step};
use crate::demo::digest::Algorithm;
use crate::demo::message::{Field, Method};
use crate::demo::phone::Phone;
use crate::demo::stage::{BREAKWATER, HARBOR, LIGHTHOUSE, Stage};
use anyhow::ensure;

pub(super) async fn play(stage: &Stage) -> Result<(), Stop> {
    let (feed, cast) = (&stage.feed, &stage.cast);
    step(feed, "R65", "REGISTER alice@harbor UDP MD5", register(&cast.alice, Algorithm::Md5)).await?;
    step(feed, "R65", "REGISTER bob@harbor TCP SHA-256", register(&cast.bob, Algorithm::Sha256)).await?;
    step(feed, "P02", "REGISTER carol@harbor UDP Route", register(&cast.carol, Algorithm::Sha256)).await?;
    if let Some(dora) = &cast.dora {
        step(feed, "X13", "REGISTER dora@harbor UDP [::1]", register(dora, Algorithm::Sha256)).await?;
    }
    step(feed, "R78", "REGISTER erin@harbor TLS", register(&cast.erin, Algorithm::Sha256)).await?;
    step(feed, "W05", "REGISTER frank@harbor WSS :https", register(&cast.frank, Algorithm::Sha256)).await?;
    let lighthouse = [&cast.alice_lighthouse, &cast.bob_lighthouse];
    step(feed, "R10", "REGISTER alice bob @lighthouse", async {
        for phone in lighthouse {
            register(phone, Algorithm::Sha256).await?;
        }
        let here = cast.all().filter(|phone| phone.registered() && phone.account().domain == HARBOR).count();
        let counts = (stage.harbor.pbx.bindings(), stage.lighthouse.pbx.bindings());
        ensure!(counts == (here, lighthouse.len()), "{counts:?}");
        Ok(())
    })
    .await?;
    step(feed, "R10", "REGISTER sip:lighthouse To harbor 403", crossed(stage)).await?;
    step(feed, "R9", "REGISTER sip:breakwater 404", async {
        let before = stage.breakwater.pbx.requests();
        refused(cast.alice_breakwater.register().await, 404)?;
        ensure!(stage.breakwater.pbx.requests() == before, "{BREAKWATER} was contacted");
        Ok(())
    })
    .await?;
    Ok(())
}

/// Registers; the registrar must have asked for this hash and granted this phone's own contact.
pub(super) async fn register(phone: &Phone, algorithm: Algorithm) -> anyhow::Result<()> {
    let granted = phone.register().await?;
    ensure!(granted.algorithm == Some(algorithm), "{:?}", granted.algorithm);
    let own = phone.contact();
    ensure!(granted.contacts.len() == 1 && granted.contacts.iter().all(|it| it.starts_with(&own)), "{granted:?}");
    Ok(())
}

/// R-URI, To and From must name one instance.
async fn crossed(stage: &Stage) -> anyhow::Result<()> {
    let phone = &stage.cast.alice;
    let mut request = phone.draft(Method::Register, &format!("sip:{LIGHTHOUSE}"));
    request.fields.set(Field::To, format!("<{}>", phone.account().aor()));
    request.fields.push(Field::Contact, phone.contact());
    let call_id = request.fields.call_id().to_owned();
    let answer = phone.ask(request).await?;
    ensure!(answer.status == 403, "{} {}", answer.status, answer.reason);
    let seen = stage.lighthouse.pbx.saw(&call_id, Method::Register) + stage.harbor.pbx.saw(&call_id, Method::Register);
    ensure!(seen == 0, "an instance was contacted");
    Ok(())
}
