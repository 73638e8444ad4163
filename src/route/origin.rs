//! Whose pages' scripts may open a WebSocket here (RFC 6454, RFC 7118 §7, W07).
//!
//! A browser says by Origin which page a script came from; without a list any page that somebody happens to visit could
//! sign in to a telephone system with what the browser knows. Programs that are no browsers send no Origin and are not
//! held by this. A proxy's list holds for all its instances, an instance's own narrows it. Asked at the upgrade by
//! `driver` and `http`, and again by `engine` where the Host named no instance.

use super::snapshot::{Host, Instance, Proxy, Snapshot};

/// The longest origin: a scheme, a host and a port.
const LONGEST: usize = 280;

impl Proxy {
    /// Whether a page of this origin (lower case) may come here.
    pub fn lets(&self, origin: Option<&str>) -> bool {
        lists(&self.origins, origin)
    }
}

impl Instance {
    /// Whether a page of this origin (lower case) may come to it; the proxy's list is not asked.
    pub fn lets(&self, origin: Option<&str>) -> bool {
        lists(&self.origins, origin)
    }
}

impl Snapshot {
    /// Whether a page of this origin may open a WebSocket at `proxy` by this Host (both lower case).
    pub fn lets(&self, proxy: &Proxy, host: &str, origin: Option<&str>, now_unix: u64) -> bool {
        let instance = match self.resolve_host(proxy, host.as_bytes(), now_unix) {
            Host::Instance { id, .. } => self.by_id(id),
            Host::Proxy | Host::Unknown => None,
        };
        proxy.lets(origin) && instance.is_none_or(|instance| instance.lets(origin))
    }
}

fn lists(list: &[Box<str>], origin: Option<&str>) -> bool {
    list.is_empty() || origin.is_none_or(|origin| list.iter().any(|one| **one == *origin))
}

/// Says what is wrong with an origin as an operator wrote it.
///
/// # Errors
/// Where no browser would send it.
pub fn check(text: &str) -> Result<(), String> {
    let rest = match text.split_once("://") {
        Some((scheme, rest)) if !scheme.is_empty() && scheme.bytes().all(is_scheme) => rest,
        _ => return Err("does not start with a scheme, as in https://app.example".into()),
    };
    if rest.is_empty() || text.len() > LONGEST {
        return Err("is not a scheme and a host, as in https://app.example".into());
    }
    let stray = rest.chars().find(|c| !c.is_ascii_graphic() || matches!(c, '/' | '?' | '#' | '@' | '*' | '\\'));
    if let Some(stray) = stray {
        return Err(format!("has more than scheme, host and port (\"{}\")", stray.escape_debug()));
    }
    let port = text.to_ascii_lowercase();
    if (port.starts_with("https://") && port.ends_with(":443"))
        || (port.starts_with("http://") && port.ends_with(":80"))
    {
        return Err("names the port that browsers leave out".into());
    }
    Ok(())
}

fn is_scheme(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ProxyId;
    use crate::route::testing::{compiled, instance, proxy, table};

    #[test]
    fn lists_narrow_and_who_says_nothing_passes() {
        // W07
        let mut acme = instance(1, "acme");
        acme.origins = vec!["https://Acme.example".into()];
        let mut front = proxy(1, "front");
        let let_in = |front: &crate::model::Proxy, host: &str, origin: Option<&str>| {
            let snapshot = compiled(&table([acme.clone(), instance(2, "globex")], [front.clone()]));
            let proxy = snapshot.proxy_by_id(ProxyId(1)).unwrap();
            snapshot.lets(proxy, host, origin, 0)
        };
        let (own, other) = (Some("https://acme.example"), Some("https://evil.example"));
        for host in ["globex.pbx.example", "front.pbx.example", "nobody.example", "192.0.2.7"] {
            assert!(let_in(&front, host, other), "{host}: no list holds there");
        }
        assert!(let_in(&front, "acme.pbx.example", own));
        assert!(!let_in(&front, "acme.pbx.example", other));
        assert!(!let_in(&front, "acme.pbx.example", Some("null")));
        assert!(let_in(&front, "acme.pbx.example", None), "no browser");
        front.origins = vec!["https://portal.example".into()];
        assert!(!let_in(&front, "acme.pbx.example", own), "the proxy's list holds too");
        assert!(!let_in(&front, "front.pbx.example", other));
        assert!(let_in(&front, "front.pbx.example", Some("https://portal.example")));
    }

    #[test]
    fn an_origin_is_what_a_browser_sends() {
        for good in
            ["https://app.example", "http://localhost:3000", "https://[2001:db8::1]:8443", "capacitor://localhost"]
        {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "app.example",
            "https://",
            "https://app.example/",
            "https://a@b",
            "*",
            "https://*.example",
            "https://a b",
            "null",
            "https://app.example:443",
            "http://app.example:80",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
