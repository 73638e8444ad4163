//! By which names an instance is reached, and what everybody else gets (R5, R8, R9, R34, R82).

use super::peer::{Message, Peer, Upstream};
use super::world::{SECURE, World, instance};
use nantucket::http::Config;
use nantucket::model::{FormerName, Language, Prefix, State, WebService};
use nantucket::stats::HttpRefusal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn get(world: &World, host: &str, path: &str, more: &str) -> Message {
    Peer::connect(world.plain).await.ask(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n")).await
}

#[tokio::test]
async fn an_instance_is_reached_by_host_alias_and_path() {
    // R5
    let (one, two) = (Upstream::echo().await, Upstream::echo().await);
    let mut acme = instance(1, "Acme", one.address);
    acme.aliases = vec!["pbx.acme.example".into()];
    acme.former_names = vec![FormerName { name: "old".into(), until: u64::MAX }];
    let mut keeps = instance(2, "keeps", two.address);
    keeps.web.as_mut().unwrap().prefix = Prefix::Keep;
    let world = World::new([acme, keeps]);
    for host in ["acme.pbx.example", "ACME.pbx.example", "pbx.acme.example", "old.pbx.example"] {
        let seen = get(&world, host, "/a?b", "").await.seen();
        assert_eq!((seen.start.as_str(), seen.get("host")), ("GET /a?b HTTP/1.1", Some(host)));
        assert_eq!((seen.get("x-forwarded-host"), seen.get("x-forwarded-prefix")), (Some(host), None));
    }
    assert_eq!(world.instance_stats(1).former_name.read(), 1, "R7");
    assert_eq!((one.connections(), two.connections()), (1, 0));
    let front = "front.pbx.example";
    for (path, inner) in [("/acme/a/b?c", "/a/b?c"), ("/ACME/", "/"), ("/Acme//x", "//x"), ("/old/?q=/", "/?q=/")] {
        let seen = get(&world, front, path, "X-Forwarded-Prefix: /evil\r\n").await.seen();
        assert_eq!(seen.start, format!("GET {inner} HTTP/1.1"));
        let prefix = path[..1 + path[1..].find('/').unwrap()].to_owned();
        assert_eq!(
            (seen.all("x-forwarded-prefix"), seen.get("x-forwarded-host")),
            (vec![prefix.as_str()], Some(front))
        );
    }
    let seen = get(&world, front, "/keeps/a", "").await.seen();
    assert_eq!((seen.start.as_str(), seen.get("x-forwarded-prefix")), ("GET /keeps/a HTTP/1.1", None));
    assert_eq!(get(&world, front, "/keeps", "").await.seen().start, "GET /keeps HTTP/1.1");
    let slash = get(&world, front, "/acme?x=1", "").await;
    assert_eq!((slash.status(), slash.get("location")), (308, Some("/acme/?x=1")));
    // The address itself is the proxy too.
    let seen = get(&world, &world.plain.to_string(), "/acme/x", "").await.seen();
    assert_eq!(seen.start, "GET /x HTTP/1.1");
}

#[tokio::test]
async fn the_bare_proxy_redirects_or_shows_itself() {
    // R5
    let world = World::new([]);
    let landing = get(&world, "front.pbx.example", "/", "Accept-Language: de\r\n").await;
    assert!(landing.status() == 200 && landing.text().contains("lang=\"de\""));
    assert!(landing.get("content-security-policy").unwrap().starts_with("default-src 'none'"));
    assert_eq!(get(&world, "pbx.example", "/", "").await.status(), 200);
    let mut client = Peer::connect(world.plain).await;
    assert!(client.ask("GET / HTTP/1.0\r\n\r\n").await.text().contains("front door"), "HTTP/1.0 may name no host");
    let world = World::with(Config::default(), [], |proxy| {
        proxy.redirection_url = Some("https://www.example/telephony".into());
    });
    let answer = get(&world, "front.pbx.example", "/", "").await;
    assert_eq!((answer.status(), answer.get("location")), (302, Some("https://www.example/telephony")));
    assert_eq!(get(&world, "front.pbx.example", "/nobody/", "").await.status(), 404);
}

#[tokio::test]
async fn everything_unknown_is_unknown_in_the_same_way() {
    // R9 HT18
    let upstream = Upstream::echo().await;
    let mut expired = instance(2, "second", upstream.address);
    expired.former_names = vec![FormerName { name: "gone".into(), until: 1 }];
    let world = World::with(Config::default(), [instance(1, "cloaked", upstream.address), expired], |proxy| {
        proxy.instances = Some(vec!["second".into()]);
    });
    let (first, date) = {
        let answer = get(&world, "nobody.pbx.example", "/", "").await;
        (answer.text(), answer.get("date").map(str::to_owned))
    };
    for (host, path) in [
        ("nobody.pbx.example", "/x"),
        ("cloaked.pbx.example", "/"),
        ("gone.pbx.example", "/"),
        ("x.second.pbx.example", "/"),
        ("elsewhere.example", "/"),
        ("192.0.2.1", "/second/"),
        ("front.pbx.example", "/nobody/"),
        ("front.pbx.example", "/cloaked/"),
        ("front.pbx.example", "/second.pbx.example/"),
        ("front.pbx.example", "/%73econd/"),
        ("front.pbx.example", "/robots.txt"),
        ("", "/"),
    ] {
        let answer = get(&world, host, path, "").await;
        assert_eq!((answer.status(), answer.text()), (404, first.clone()), "{host}{path}");
        let names: Vec<&str> = answer.head.fields.iter().map(|(name, _)| name.as_str()).collect();
        let known = get(&world, "nobody.pbx.example", "/", "").await;
        assert_eq!(names, known.head.fields.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>());
    }
    for name in ["cloaked", "second", "gone", "nobody"] {
        assert!(!first.contains(name), "names nobody");
    }
    assert_eq!(upstream.connections(), 0, "no instance is contacted");
    assert!(date.is_some());
    let json = get(&world, "nobody.pbx.example", "/", "Accept: application/json\r\n").await;
    let problem: serde_json::Value = serde_json::from_slice(&json.body).unwrap();
    assert_eq!((json.status(), &problem["code"]), (404, &"unknown-name".into()));
    assert!(get(&world, "second.pbx.example", "/", "").await.status() == 200);
}

#[tokio::test]
async fn an_instance_that_is_off_says_when_to_come_back() {
    // R34 HT18
    let upstream = Upstream::echo().await;
    let mut world = World::new([instance(1, "acme", upstream.address), instance(2, "beta", upstream.address)]);
    let why = |state| match state {
        State::Failed => HttpRefusal::InstanceFailed,
        _ => HttpRefusal::InstanceOff,
    };
    for state in [State::Off, State::Starting, State::Stopping, State::Failed] {
        world.change_instance(1, |row| {
            row.state = state;
            row.language = Language::De;
        });
        let before = world.refused(why(state));
        for (host, path) in [("acme.pbx.example", "/"), ("front.pbx.example", "/acme/x")] {
            let page = get(&world, host, path, "Accept: text/html\r\n").await;
            assert_eq!(page.status(), 503);
            assert!(page.get("retry-after").unwrap().parse::<u32>().unwrap() > 0);
            assert!(page.text().contains("lang=\"de\"") && page.text().contains("acme telephony"));
            let json = get(&world, host, path, "Accept: application/json\r\nAccept-Language: en\r\n").await;
            let problem: serde_json::Value = serde_json::from_slice(&json.body).unwrap();
            assert_eq!((json.status(), &problem["status"]), (503, &503.into()));
            assert_eq!(&problem["code"], why(state).label());
        }
        assert_eq!(world.refused(why(state)), before + 4);
        assert_eq!(get(&world, "beta.pbx.example", "/", "").await.status(), 200, "R35");
    }
    world.change_instance(1, |row| row.state = State::On);
    assert_eq!(get(&world, "acme.pbx.example", "/", "").await.status(), 200);
}

#[tokio::test]
async fn the_web_side_is_served_whole_in_part_or_not() {
    // R82
    let upstream = Upstream::echo().await;
    let mut world = World::new([instance(1, "acme", upstream.address)]);
    let service = |world: &mut World, service| {
        world.change_instance(1, |row| row.web.as_mut().unwrap().service = service);
    };
    service(&mut world, WebService::Rest);
    for (host, path, status) in [
        ("acme", "/services/x?y", 200),
        ("acme", "/services", 200),
        ("acme", "/", 403),
        ("acme", "/services/../ui", 403),
        ("acme", "/services/%2e%2e/ui", 403),
        ("acme", "/servicesx", 403),
        ("front.pbx.example", "/acme/services/x", 200),
        ("front.pbx.example", "/acme/ui", 403),
        ("front.pbx.example", "/acme", 403),
    ] {
        assert_eq!(get(&world, host, path, "").await.status(), status, "{host}{path}");
    }
    service(&mut world, WebService::Off);
    assert_eq!(get(&world, "acme", "/services/x", "").await.status(), 404);
    world.change_instance(1, |row| row.web = None);
    assert_eq!(get(&world, "acme", "/", "").await.status(), 404);
    assert_eq!(world.refused(HttpRefusal::WebOff), 2);
    // A service that is off does not listen.
    world.server.unlisten(world.doors[1]).await;
    assert!(tokio::net::TcpStream::connect(world.secure).await.is_err());
}

#[tokio::test]
async fn nothing_private_is_shown() {
    // R8
    let answer = "HTTP/1.1 302 Found\r\nLocation: http://ADDRESS/login?next=/\r\nContent-Location: http://10.9.8.7/x\r\n\
        Refresh: 5; url=http://192.168.1.1/y\r\nVia: 1.1 pbx.private\r\nAlt-Svc: h3=\"10.9.8.7:443\"\r\n\
        Set-Cookie: a=1; Path=/; Domain=127.0.0.1\r\nSet-Cookie: b=2; Path=/ui; HttpOnly\r\nSet-Cookie: c=3; Domain=.pbx.example\r\n\
        Content-Length: 0\r\n\r\n";
    let upstream = Upstream::new(move |mut peer| async move {
        while peer.head().await.is_some() {
            let own = peer.stream.local_addr().unwrap();
            peer.send(answer.replace("ADDRESS", &own.to_string())).await;
        }
    })
    .await;
    let world = World::new([instance(1, "acme", upstream.address)]);
    let by_host = get(&world, "acme.pbx.example:8080", "/", "").await;
    assert_eq!(by_host.get("location"), Some("http://acme.pbx.example:8080/login?next=/"));
    assert_eq!(by_host.get("content-location"), Some("http://acme.pbx.example:8080/x"));
    assert_eq!(by_host.get("refresh"), Some("5; url=http://acme.pbx.example:8080/y"));
    assert_eq!((by_host.get("via"), by_host.get("alt-svc")), (None, None));
    assert_eq!(by_host.head.all("set-cookie"), ["a=1; Path=/", "b=2; Path=/ui; HttpOnly", "c=3"]);
    let by_path = get(&world, "front.pbx.example", "/acme/", "").await;
    assert_eq!(by_path.get("location"), Some("http://front.pbx.example/acme/login?next=/"));
    assert_eq!(by_path.head.all("set-cookie"), ["a=1; Path=/acme", "b=2; Path=/acme/ui; HttpOnly", "c=3"]);
    for answer in [by_host, by_path] {
        let all = format!("{:?}", answer.head);
        assert!(!all.contains("127.0.0.1") && !all.contains("10.9.8.7") && !all.contains("private"), "{all}");
    }
}

#[tokio::test]
async fn plain_http_is_sent_to_https() {
    // R82
    let upstream = Upstream::echo().await;
    let world = World::with(Config::default(), [instance(1, "acme", upstream.address)], |proxy| {
        proxy.https_redirect = true;
        proxy.trusted_peers = vec!["127.0.0.0/8".parse().unwrap()];
    });
    let port = world.secure.port();
    for (host, path, location) in [
        ("acme.pbx.example", "/a?b", format!("https://acme.pbx.example:{port}/a?b")),
        ("front.pbx.example:80", "/", format!("https://front.pbx.example:{port}/")),
    ] {
        let answer = get(&world, host, path, "").await;
        assert_eq!((answer.status(), answer.get("location")), (308, Some(location.as_str())));
    }
    assert_eq!(get(&world, "nobody.pbx.example", "/", "").await.status(), 404, "nobody is sent anywhere");
    let seen = get(&world, "acme.pbx.example", "/", "X-Forwarded-Proto: https\r\n").await.seen();
    assert_eq!(seen.get("x-forwarded-proto"), Some("https"), "a trusted peer ended TLS already");
    assert_eq!(upstream.connections(), 1);
    let mut world = world;
    world.change(|table| {
        let proxy = std::sync::Arc::make_mut(&mut table.proxies[0]);
        proxy.listeners[1].advertise = Some("front.pbx.example".into());
    });
    let answer = get(&world, "acme.pbx.example", "/", "").await;
    assert_eq!(answer.get("location"), Some("https://acme.pbx.example/"));
}

#[tokio::test]
async fn what_is_told_of_the_client_is_true() {
    // HT15
    let upstream = Upstream::echo().await;
    let claims = "Forwarded: for=1.2.3.4\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8\r\n\
        X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\nX-Real-IP: 1.2.3.4\r\n";
    let world = World::new([instance(1, "acme", upstream.address)]);
    let seen = get(&world, "acme.pbx.example:81", "/", claims).await.seen();
    assert_eq!(seen.all("forwarded"), ["for=127.0.0.1;host=\"acme.pbx.example:81\";proto=http"]);
    assert_eq!(seen.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(
        (seen.all("x-forwarded-proto"), seen.all("x-forwarded-host")),
        (vec!["http"], vec!["acme.pbx.example:81"])
    );
    assert_eq!((seen.get("x-forwarded-port"), seen.get("x-real-ip")), (None, None));

    let world = World::with(Config::default(), [instance(1, "acme", upstream.address)], |proxy| {
        proxy.trusted_peers = vec!["127.0.0.1/32".parse().unwrap()];
    });
    let seen = get(&world, "acme", "/", claims).await.seen();
    assert_eq!(seen.all("forwarded"), ["for=1.2.3.4", "for=127.0.0.1;host=acme;proto=https"]);
    assert_eq!(seen.all("x-forwarded-for"), ["1.2.3.4, 5.6.7.8, 127.0.0.1"]);
    assert_eq!((seen.all("x-forwarded-proto"), seen.all("x-forwarded-host")), (vec!["https"], vec!["evil"]));
}

#[tokio::test]
async fn an_ipv6_client_is_quoted() {
    // HT15
    let upstream = Upstream::echo().await;
    let world = World::new([instance(1, "acme", upstream.address)]);
    let listener = std::net::TcpListener::bind("[::1]:0").unwrap();
    let (_, address) = world.server.listen(nantucket::http::Services::web(SECURE, false), listener).unwrap();
    let seen = Peer::connect(address).await.ask("GET / HTTP/1.1\r\nHost: acme\r\n\r\n").await.seen();
    assert_eq!(seen.get("forwarded"), Some("for=\"[::1]\";host=acme;proto=http"));
    assert_eq!(seen.get("x-forwarded-for"), Some("::1"));
    let by_address = format!("GET /acme/ HTTP/1.1\r\nHost: [::1]:{}\r\n\r\n", address.port());
    assert_eq!(Peer::connect(address).await.ask(by_address).await.status(), 200);
}

#[tokio::test]
async fn an_instance_has_its_share_and_no_more() {
    // R34: what is too much for one is nothing to the other
    let (started, mut starts) = tokio::sync::mpsc::unbounded_channel();
    let (go, wait) = tokio::sync::watch::channel(false);
    let slow = Upstream::new(move |mut peer| {
        let (started, mut wait) = (started.clone(), wait.clone());
        async move {
            while peer.head().await.is_some() {
                started.send(()).unwrap();
                wait.wait_for(|go| *go).await.unwrap();
                peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            }
        }
    })
    .await;
    let mut acme = instance(1, "acme", slow.address);
    acme.limits.http_requests = 2;
    let world = World::new([acme, instance(2, "beta", slow.address)]);
    let mut clients = Vec::new();
    for host in ["acme", "acme", "beta"] {
        let mut client = Peer::connect(world.plain).await;
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        starts.recv().await.unwrap();
        clients.push(client);
    }
    assert_eq!(world.instance_stats(1).http_active.read(), 2);
    let answer = get(&world, "acme", "/", "").await;
    assert_eq!((answer.status(), answer.get("retry-after")), (503, Some("5")));
    assert_eq!(world.refused(HttpRefusal::Overloaded), 1);
    go.send(true).unwrap();
    for client in &mut clients {
        assert_eq!(client.answer().await.text(), "ok");
    }
    assert_eq!(get(&world, "acme", "/", "").await.status(), 200, "places come back");
}

#[tokio::test]
async fn a_load_balancer_says_whose_connection_it_passes_on() {
    // HT15: the PROXY protocol comes before anything else, and only from whom it is believed
    let upstream = Upstream::echo().await;
    let world = World::with(Config::default(), [instance(1, "acme", upstream.address)], |proxy| {
        proxy.proxy_protocol = vec!["127.0.0.0/8".parse().unwrap()];
    });
    let request = "GET / HTTP/1.1\r\nHost: acme.pbx.example\r\n\r\n";
    let ask = async |text: String| {
        let stream = tokio::net::TcpStream::connect(world.plain).await.unwrap();
        Peer::new(stream).ask(text).await
    };
    let seen = ask(format!("PROXY TCP4 203.0.113.7 192.0.2.1 40000 80\r\n{request}")).await.seen();
    assert_eq!(seen.get("x-forwarded-for"), Some("203.0.113.7"));
    let mut stranger = tokio::net::TcpStream::connect(world.plain).await.unwrap();
    stranger.write_all(request.as_bytes()).await.unwrap();
    let mut rest = Vec::new();
    let _ = stranger.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
    assert_eq!(world.stats.proxy_headers.read(), 1);
}
