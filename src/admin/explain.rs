//! What would become of a request, and by which rule: the table and the health of targets, read as
//! the data plane reads them. Pure; nothing is sent.

use super::view::{Answer, Explanation, Rule, Target};
use crate::model::{State, Unknown, WebService};
use crate::route::select::{self, Targets};
use crate::route::snapshot::{Backend, Host, Instance, Proxy, Snapshot};
use serde::Deserialize;
use std::net::IpAddr;
use std::sync::Arc;
use utoipa::IntoParams;

/// What is asked.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Address of the phone or browser.
    #[param(value_type = Option<String>)]
    pub from: Option<IpAddr>,
    /// The account that registers or calls, as in `6001@acme`.
    pub register: Option<String>,
    /// The host a browser asks for.
    pub host: Option<String>,
    /// The path it asks for.
    pub path: Option<String>,
    /// Only this proxy.
    pub proxy: Option<String>,
    /// Registrations of devices whose User-Agent or device id holds this text, in any case.
    pub device: Option<String>,
    /// The registration with this Call-ID.
    pub call_id: Option<String>,
    /// Only the instance of this name.
    pub instance: Option<String>,
}

impl Question {
    /// The account asked about, without its host.
    pub(super) fn account(&self) -> Option<&str> {
        match sip_account(self.register.as_deref()?) {
            Ok(Protocol::Sip { user, .. }) => Some(user),
            _ => None,
        }
    }

    /// Whether it is about registrations that were seen, and not about what would become of a request.
    fn is_about_the_past(&self) -> bool {
        self.register.is_none() && self.host.is_none() && (self.device.is_some() || self.call_id.is_some())
    }
}

enum Protocol<'a> {
    Sip { user: &'a str, host: &'a str },
    Web { host: &'a str, path: &'a str },
}

/// Answers for every proxy asked about. `Err` says what is wrong with the question.
pub fn explain(snapshot: &Snapshot, question: &Question, now_unix: u64) -> Result<Explanation, String> {
    if question.is_about_the_past() {
        return Ok(Explanation::of(words(question), snapshot.revision, Vec::new()));
    }
    let protocol = match (&question.register, &question.host) {
        (Some(account), None) => sip_account(account)?,
        (None, Some(host)) => Protocol::Web { host: without_port(host), path: question.path.as_deref().unwrap_or("/") },
        _ => {
            return Err("ask either for an account (register=user@name), for a web address (host=name), for a device \
                        (device=text) or for a Call-ID (call_id=text)"
                .into());
        }
    };
    let asked = |proxy: &&Arc<Proxy>| question.proxy.as_ref().is_none_or(|name| proxy.name.eq_ignore_ascii_case(name));
    let proxies: Vec<_> = snapshot.proxies.iter().filter(asked).collect();
    if let (Some(name), true) = (&question.proxy, proxies.is_empty()) {
        return Err(format!("there is no proxy {name}"));
    }
    let answers = proxies.into_iter().map(|proxy| {
        let mut answer = Answer {
            proxy: proxy.name.to_string(),
            instance: None,
            state: None,
            steps: Vec::new(),
            rule: Rule::Forwarded,
            status: None,
            targets: Vec::new(),
            web: None,
        };
        if let Some(from) = question.from {
            source(snapshot, proxy, from, &mut answer);
        }
        match protocol {
            Protocol::Sip { user, host } => sip(snapshot, proxy, user, host, now_unix, &mut answer),
            Protocol::Web { host, path } => web(snapshot, proxy, host, path, now_unix, &mut answer),
        }
        answer
    });
    Ok(Explanation::of(words(question), snapshot.revision, answers.collect()))
}

fn words(question: &Question) -> String {
    let what = match (&question.register, &question.host) {
        (Some(account), _) => format!("REGISTER of {account}"),
        (_, Some(host)) => format!("GET {host}{}", question.path.as_deref().unwrap_or("/")),
        _ => match (&question.call_id, &question.device) {
            (Some(id), _) => format!("REGISTERs with Call-ID {id}"),
            (_, Some(device)) => format!("REGISTERs of devices with {device}"),
            _ => String::new(),
        },
    };
    match question.from {
        Some(from) => format!("{what} from {from}"),
        None => what,
    }
}

/// `[sip:]user@host[:port][;…]`
fn sip_account(account: &str) -> Result<Protocol<'_>, String> {
    let bare = account.split(['<', '>']).max_by_key(|part| part.len()).unwrap_or(account);
    let bare = bare.strip_prefix("sips:").or(bare.strip_prefix("sip:")).unwrap_or(bare);
    let (user, host) = bare.rsplit_once('@').unwrap_or_default();
    let host = without_port(host.split([';', '?']).next().unwrap_or_default());
    if user.is_empty() || host.is_empty() {
        return Err(format!("'{account}' is not of the form user@name"));
    }
    Ok(Protocol::Sip { user, host })
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((host, port))
            if port.bytes().all(|b| b.is_ascii_digit()) && (!host.contains(':') || host.ends_with(']')) =>
        {
            host
        }
        _ => host,
    }
}

fn source(snapshot: &Snapshot, proxy: &Proxy, from: IpAddr, answer: &mut Answer) {
    let from = from.to_canonical();
    for instance in &snapshot.instances {
        if instance.backends.iter().any(|backend| backend.address.ip().to_canonical() == from) {
            let name = &instance.name;
            answer.steps.push(format!(
                "{from} is an address of {name}'s own PBX; below is what it would get if it came to the outside"
            ));
        }
    }
    if proxy.trusted_peers.iter().any(|net| net.contains(&from)) {
        answer.steps.push(format!("{from} is a trusted peer: its Forwarded fields are believed"));
    }
}

fn sip(snapshot: &Snapshot, proxy: &Proxy, user: &str, host: &str, now_unix: u64, answer: &mut Answer) {
    let found = match snapshot.resolve_host(proxy, host.as_bytes(), now_unix) {
        Host::Proxy => by_default(snapshot, proxy, host, answer),
        found => found_instance(snapshot, proxy, host, found, answer),
    };
    let Some(instance) = found else {
        if answer.rule == Rule::UnknownInstance {
            let drop = proxy.unknown == Unknown::Drop;
            answer.status = (!drop).then_some(404);
            answer.steps.push(if drop { "the request is dropped" } else { "the phone gets 404" }.into());
        }
        return;
    };
    answer.targets = in_order(instance, user);
    if !is_on(instance, answer) {
        answer.status = Some(503);
        answer.steps.push("a REGISTER gets 503 with Retry-After, a call 480".into());
        return;
    }
    let up = answer.targets.iter().filter(|target| target.up).count();
    if up == 0 {
        let why = if answer.targets.is_empty() { "has no backend" } else { "has backends, but none of them answers" };
        refuse(answer, Rule::NoTarget, Some(503), format!("{} {why}: 503 with Retry-After", instance.name));
        return;
    }
    let first = answer.targets.first().map(|target| format!("{}:{}", target.transport, target.address));
    let (all, first) = (answer.targets.len(), first.unwrap_or_default());
    answer.steps.push(format!("{up} of {all} targets are up; {user} is forwarded to {first} first"));
}

fn by_default<'a>(snapshot: &'a Snapshot, proxy: &Proxy, host: &str, answer: &mut Answer) -> Option<&'a Arc<Instance>> {
    let default = proxy.default_instance.and_then(|id| snapshot.by_id(id));
    match default {
        Some(instance) => {
            answer.steps.push(format!("{host} is the proxy itself, whose default instance is {}", instance.name));
            name(instance, answer);
        }
        None => refuse(
            answer,
            Rule::ProxyItself,
            Some(404),
            format!("{host} is the proxy itself and names no instance; the proxy has no default instance: 404"),
        ),
    }
    default
}

fn web(snapshot: &Snapshot, proxy: &Proxy, host: &str, path: &str, now_unix: u64, answer: &mut Answer) {
    let mut found = snapshot.resolve_host(proxy, host.as_bytes(), now_unix);
    let mut named = host;
    let by_path = found == Host::Proxy;
    if by_path {
        let label = path.trim_start_matches('/').split(['/', '?']).next().unwrap_or_default();
        if label.is_empty() {
            let status = if proxy.redirection_url.is_some() { 302 } else { 200 };
            let what = proxy
                .redirection_url
                .as_ref()
                .map_or_else(|| "it shows its landing page".to_owned(), |url| format!("it sends the browser to {url}"));
            refuse(answer, Rule::ProxyItself, Some(status), format!("{host} is the proxy itself: {what}"));
            return;
        }
        answer.steps.push(format!("{host} is the proxy itself, so the path names the instance: {label}"));
        found = snapshot.resolve_label(proxy, label.as_bytes(), now_unix);
        named = label;
    }
    let Some(instance) = found_instance(snapshot, proxy, named, found, answer) else {
        answer.status = Some(404);
        answer.steps.push("the browser gets the page for unknown names, 404".into());
        return;
    };
    if !is_on(instance, answer) {
        answer.status = Some(503);
        answer.steps.push("the browser gets the maintenance page, 503".into());
        return;
    }
    let Some(web) = instance.web.as_ref().filter(|web| web.service != WebService::Off) else {
        let name = &instance.name;
        refuse(answer, Rule::WebOff, Some(404), format!("{name} has no web side that is switched on: 404"));
        return;
    };
    let mut inside = path.trim_start_matches('/').split(['/', '?']).skip(usize::from(by_path));
    if web.service == WebService::Rest && inside.next() != Some("services") {
        let name = &instance.name;
        refuse(answer, Rule::RestOnly, Some(403), format!("of {name} only …/services is served: 403"));
        return;
    }
    let url = format!("{}://{}:{}", if web.tls { "https" } else { "http" }, web.host, web.port);
    answer.steps.push(format!("it is forwarded to {url}"));
    answer.web = Some(url);
}

fn found_instance<'a>(
    snapshot: &'a Snapshot,
    proxy: &Proxy,
    named: &str,
    found: Host,
    answer: &mut Answer,
) -> Option<&'a Arc<Instance>> {
    let Host::Instance { id, former } = found else {
        let served = if proxy.instances.is_some() { " that it serves" } else { "" };
        let reason = format!("{named} is no name, alias or former name of an instance{served}");
        refuse(answer, Rule::UnknownInstance, None, reason);
        return None;
    };
    let instance = snapshot.by_id(id)?;
    let how = if former { "a former name" } else { "a name or alias" };
    answer.steps.push(format!("{named} is {how} of instance {} (id {})", instance.name, instance.id.0));
    name(instance, answer);
    Some(instance)
}

fn name(instance: &Instance, answer: &mut Answer) {
    answer.instance = Some(instance.name.to_string());
    answer.state = Some(instance.state);
}

fn is_on(instance: &Instance, answer: &mut Answer) -> bool {
    let on = instance.state == State::On;
    if on {
        answer.steps.push(format!("{} is on", instance.name));
    } else {
        let state = format!("{:?}", instance.state).to_lowercase();
        refuse(
            answer,
            Rule::InstanceOff,
            None,
            format!("{} is {state}, and only instances that are on are served", instance.name),
        );
    }
    on
}

fn refuse(answer: &mut Answer, rule: Rule, status: Option<u16>, step: String) {
    answer.rule = rule;
    answer.status = status;
    answer.steps.push(step);
}

/// As the engine would try them for this account, then those that are down.
fn in_order(instance: &Instance, user: &str) -> Vec<Target> {
    let mut order = Targets::default();
    select::targets(instance, select::account_hash(user.as_bytes()), &mut order);
    let down = instance.backends.iter().filter(|backend| !backend.health.is_up());
    order.iter(instance).chain(down).map(target).collect()
}

/// A target as it is shown.
pub(super) fn target(backend: &Backend) -> Target {
    Target {
        backend: backend.id,
        address: backend.address,
        transport: backend.transport,
        priority: backend.priority,
        weight: backend.weight,
        up: backend.health.is_up(),
        falls: backend.health.falls.read(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{self, FormerName, Web};
    use crate::route::testing::{compiled, instance, proxy, table};

    const NOW: u64 = 1_000;

    fn snapshot(change: impl FnOnce(&mut model::Instance, &mut model::Proxy)) -> Snapshot {
        let mut acme = instance(1, "Acme");
        acme.aliases.push("pbx.acme.example".into());
        acme.web = Some(Web::at("http://198.51.0.1:8080"));
        let mut front = proxy(1, "front");
        change(&mut acme, &mut front);
        compiled(&table([acme, instance(2, "beta")], [front]))
    }

    fn ask(snapshot: &Snapshot, question: &Question) -> Answer {
        let mut explanation = explain(snapshot, question, NOW).unwrap();
        assert_eq!(explanation.answers.len(), 1);
        explanation.answers.remove(0)
    }

    fn register(account: &str) -> Question {
        Question { register: Some(account.into()), ..Question::default() }
    }

    fn browse(host: &str, path: &str) -> Question {
        Question { host: Some(host.into()), path: Some(path.into()), ..Question::default() }
    }

    // R4
    #[test]
    fn every_spelling_of_the_name_leads_to_the_instance() {
        let snapshot = snapshot(|_, _| {});
        for account in [
            "6001@acme",
            "6001@ACME.pbx.example",
            "sip:6001@acme:5060;transport=tcp",
            "<sip:a@b@acme>",
            "x@pbx.acme.example",
        ] {
            let answer = ask(&snapshot, &register(account));
            assert_eq!((answer.rule, answer.status), (Rule::Forwarded, None), "{account}");
            assert_eq!(answer.instance.as_deref(), Some("Acme"));
            assert_eq!(answer.targets.len(), 1);
        }
        for account in ["acme", "6001@", "@acme", ""] {
            assert!(explain(&snapshot, &register(account), NOW).is_err(), "{account}");
        }
    }

    // R9
    #[test]
    fn an_unknown_name_is_refused_or_dropped_and_names_no_instance() {
        let answer = ask(&snapshot(|_, _| {}), &register("6001@nobody"));
        assert_eq!((answer.rule, answer.status, answer.instance), (Rule::UnknownInstance, Some(404), None));
        let answer = ask(&snapshot(|_, front| front.unknown = Unknown::Drop), &register("6001@nobody"));
        assert_eq!((answer.rule, answer.status), (Rule::UnknownInstance, None));
        let answer = ask(&snapshot(|_, _| {}), &browse("nobody.pbx.example", "/"));
        assert_eq!((answer.rule, answer.status), (Rule::UnknownInstance, Some(404)));
    }

    // R11
    #[test]
    fn a_proxy_that_does_not_serve_it_does_not_know_it() {
        let snapshot = snapshot(|_, front| front.instances = Some(vec!["beta".into()]));
        assert_eq!(ask(&snapshot, &register("6001@acme")).rule, Rule::UnknownInstance);
        assert_eq!(ask(&snapshot, &register("6001@beta")).rule, Rule::Forwarded);
    }

    // R34
    #[test]
    fn an_instance_that_is_not_on_is_refused_with_its_state() {
        for state in [State::Off, State::Starting, State::Stopping, State::Failed] {
            let snapshot = snapshot(|acme, _| acme.state = state);
            let answer = ask(&snapshot, &register("6001@acme"));
            assert_eq!((answer.rule, answer.status, answer.state), (Rule::InstanceOff, Some(503), Some(state)));
            let answer = ask(&snapshot, &browse("acme.pbx.example", "/"));
            assert_eq!((answer.rule, answer.status), (Rule::InstanceOff, Some(503)));
        }
    }

    #[test]
    fn targets_that_are_down_are_told() {
        let bare = snapshot(|acme, _| acme.backends.clear());
        let answer = ask(&bare, &register("6001@acme"));
        assert_eq!((answer.rule, answer.status), (Rule::NoTarget, Some(503)));
        assert!(answer.steps.iter().any(|step| step.contains("has no backend")));

        let down = snapshot(|_, _| {});
        down.instances[0].backends[0].health.failure(1);
        let answer = ask(&down, &register("6001@acme"));
        assert_eq!((answer.rule, answer.targets[0].up), (Rule::NoTarget, false));
    }

    #[test]
    fn targets_are_listed_as_they_are_tried_for_the_account() {
        let two = snapshot(|acme, _| {
            let mut second = acme.backends[0].clone();
            second.id = crate::ids::BackendId(2);
            second.address = "198.51.0.2:5060".into();
            acme.backends.push(second);
        });
        let first = |user: &str| ask(&two, &register(&format!("{user}@acme"))).targets[0].backend.0;
        let firsts: std::collections::BTreeSet<_> = (0..50).map(|n| first(&format!("60{n}"))).collect();
        assert_eq!(firsts.len(), 2, "accounts are shared");
        two.instances[0].backends[0].health.failure(1);
        let answer = ask(&two, &register("6001@acme"));
        let shown: Vec<_> = answer.targets.iter().map(|it| (it.backend.0, it.up)).collect();
        assert_eq!((answer.rule, shown), (Rule::Forwarded, vec![(2, true), (1, false)]));
    }

    // R4
    #[test]
    fn the_proxy_itself_leads_to_its_default_instance_or_nowhere() {
        let answer = ask(&snapshot(|_, _| {}), &register("6001@front.pbx.example"));
        assert_eq!((answer.rule, answer.status), (Rule::ProxyItself, Some(404)));
        let with = snapshot(|_, front| front.default_instance = Some("beta".into()));
        let answer = ask(&with, &register("6001@front.pbx.example"));
        assert_eq!((answer.rule, answer.instance.as_deref()), (Rule::Forwarded, Some("beta")));
    }

    // R5
    #[test]
    fn a_web_address_is_explained_by_host_and_by_path() {
        let snapshot = snapshot(|_, front| front.redirection_url = Some("https://example.com/".into()));
        for (host, path) in [("acme.pbx.example:8443", "/"), ("front.pbx.example", "/Acme/services?x=1")] {
            let answer = ask(&snapshot, &browse(host, path));
            assert_eq!(
                (answer.rule, answer.web.as_deref()),
                (Rule::Forwarded, Some("http://198.51.0.1:8080")),
                "{host}"
            );
        }
        let answer = ask(&snapshot, &browse("front.pbx.example", "/"));
        assert_eq!((answer.rule, answer.status), (Rule::ProxyItself, Some(302)));
        assert_eq!(ask(&snapshot, &browse("beta.pbx.example", "/")).rule, Rule::WebOff);
        assert_eq!(ask(&snapshot, &browse("front.pbx.example", "/nobody")).rule, Rule::UnknownInstance);
    }

    // R82
    #[test]
    fn rest_only_is_what_lies_under_services() {
        let snapshot = snapshot(|acme, _| acme.web.as_mut().unwrap().service = WebService::Rest);
        for (host, path, rule) in [
            ("acme.pbx.example", "/services/x", Rule::Forwarded),
            ("acme.pbx.example", "/ui", Rule::RestOnly),
            ("front.pbx.example", "/acme/services?x", Rule::Forwarded),
            ("front.pbx.example", "/acme/", Rule::RestOnly),
        ] {
            assert_eq!(ask(&snapshot, &browse(host, path)).rule, rule, "{host}{path}");
        }
    }

    // R7
    #[test]
    fn a_former_name_is_named_as_such_until_its_date() {
        let with = |until| snapshot(move |acme, _| acme.former_names.push(FormerName { name: "old".into(), until }));
        let answer = ask(&with(NOW), &register("6001@old"));
        assert_eq!(answer.instance.as_deref(), Some("Acme"));
        assert!(answer.steps[0].contains("a former name"), "{:?}", answer.steps);
        assert_eq!(ask(&with(NOW - 1), &register("6001@old")).rule, Rule::UnknownInstance);
    }

    #[test]
    fn the_source_is_recognised() {
        let snapshot = snapshot(|_, front| front.trusted_peers.push("10.0.0.0/8".parse().unwrap()));
        let steps = |from: &str| {
            let question = Question { from: Some(from.parse().unwrap()), ..register("6001@acme") };
            ask(&snapshot, &question).steps
        };
        assert!(steps("198.51.0.1")[0].contains("Acme's own PBX"));
        assert!(steps("::ffff:10.1.2.3")[0].contains("trusted peer"));
        assert_eq!(steps("192.0.2.77").len() + 1, steps("10.1.2.3").len());
    }

    #[test]
    fn a_question_names_one_thing_and_a_proxy_that_exists() {
        let snapshot = snapshot(|_, _| {});
        assert!(explain(&snapshot, &Question::default(), NOW).is_err());
        let both = Question { host: Some("a".into()), ..register("6001@acme") };
        assert!(explain(&snapshot, &both, NOW).is_err());
        let elsewhere = Question { proxy: Some("other".into()), ..register("6001@acme") };
        assert_eq!(explain(&snapshot, &elsewhere, NOW).unwrap_err(), "there is no proxy other");
        assert!(explain(&snapshot, &Question { proxy: Some("FRONT".into()), ..register("6001@acme") }, NOW).is_ok());
    }

    #[test]
    fn a_port_is_cut_off_and_an_ipv6_address_is_not() {
        for (text, host) in
            [("a:1", "a"), ("a", "a"), ("[::1]:5060", "[::1]"), ("[::1]", "[::1]"), ("::1", "::1"), ("a:b", "a:b")]
        {
            assert_eq!(without_port(text), host);
        }
    }
}
