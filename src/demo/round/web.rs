//! A browser reaches an instance by host and by path, and nobody else's.

use super::{Stop, step};
use crate::demo::fetch::{Answer, Site};
use crate::demo::stage::{BREAKWATER, HARBOR, HOST, LIGHTHOUSE, Stage};
use anyhow::{anyhow, ensure};

pub(super) async fn play(stage: &Stage) -> Result<(), Stop> {
    let feed = &stage.feed;
    step(feed, "R5", "GET http://harbor.demo.localhost/ 200", async {
        let host = format!("{HARBOR}.{HOST}");
        let page = get(&stage.http, &host, "/", 200).await?;
        ensure!(page.body.contains("<h1>harbor</h1>"), "another page");
        let heard = get(&stage.http, &host, "/services/x?y=1", 200).await?;
        ensure!(heard.member("/target").as_deref() == Some("/services/x?y=1"), "{}", heard.body);
        Ok(())
    })
    .await?;
    step(feed, "R5", "GET https://demo.localhost/harbor/ 200", async {
        let heard = get(&stage.https, HOST, "/harbor/services", 200).await?;
        let prefix = heard.member("/headers/x-forwarded-prefix");
        ensure!(prefix.as_deref() == Some("/harbor"), "X-Forwarded-Prefix {prefix:?}");
        ensure!(heard.member("/target").as_deref() == Some("/services"), "{}", heard.body);
        ensure!(heard.member("/headers/x-forwarded-proto").as_deref() == Some("https"), "{}", heard.body);
        Ok(())
    })
    .await?;
    step(feed, "R5", "GET https://demo.localhost/lighthouse/ keep", async {
        let heard = get(&stage.https, HOST, "/lighthouse/services", 200).await?;
        ensure!(heard.member("/target").as_deref() == Some("/lighthouse/services"), "{}", heard.body);
        ensure!(heard.member("/instance").as_deref() == Some(LIGHTHOUSE), "{}", heard.body);
        Ok(())
    })
    .await?;
    step(feed, "R9", "GET http://breakwater.demo.localhost/ 404", async {
        let page = get(&stage.http, &format!("{BREAKWATER}.{HOST}"), "/", 404).await?;
        let named = [HARBOR, LIGHTHOUSE].into_iter().find(|name| page.text().contains(name));
        ensure!(named.is_none(), "it names {named:?}");
        Ok(())
    })
    .await?;
    step(feed, "HT13", "WS ws://harbor… wss://…/lighthouse/ws", async {
        let mut by_host = socket(&stage.http, &format!("{HARBOR}.{HOST}"), "/ws").await?;
        let mut by_path = socket(&stage.https, HOST, "/lighthouse/ws").await?;
        for socket in [&mut by_host, &mut by_path] {
            socket.echo().await.map_err(|error| anyhow!(error))?;
        }
        Ok(())
    })
    .await?;
    Ok(())
}

/// GET that must have this status and show no private address (R8).
pub(super) async fn get(site: &Site, host: &str, path: &str, status: u16) -> anyhow::Result<Answer> {
    let answer = site.get(host, path).await.map_err(|error| anyhow!(error))?;
    ensure!(answer.status == status, "{}", answer.status);
    let private = ["127.0.0.11", "127.0.0.12", "127.0.0.21", "127.0.0.31"];
    let shown = private.into_iter().find(|address| format!("{:?}", answer.headers).contains(address));
    ensure!(shown.is_none(), "it shows {shown:?}");
    Ok(answer)
}

pub(super) async fn socket(site: &Site, host: &str, path: &str) -> anyhow::Result<crate::demo::fetch::Socket> {
    site.socket(host, path).await.map_err(|error| anyhow!(error))
}
