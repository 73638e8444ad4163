//! Environment variables over the file, for what differs from container to container.

use super::{Config, Error};
use std::fmt::Display;
use std::str::FromStr;

/// The variables and what they set.
pub const VARIABLES: [(&str, &str); 11] = [
    ("NANTUCKET_DATA_DIR", "data_dir"),
    ("NANTUCKET_WORKERS", "workers"),
    ("NANTUCKET_INSIDE_BIND", "inside.bind"),
    ("NANTUCKET_INSIDE_ADVERTISE", "inside.advertise"),
    ("NANTUCKET_ADMIN_LISTEN", "admin.listen"),
    ("NANTUCKET_METRICS_LISTEN", "metrics.listen"),
    ("NANTUCKET_LOG_FORMAT", "log.format"),
    ("NANTUCKET_LOG_LEVEL", "log.level"),
    ("NANTUCKET_LICENCE_VENDOR_KEYS", "licence.vendor_keys"),
    ("NANTUCKET_FIRST_PROXY_FQDN", "first_proxy.fqdn"),
    ("NANTUCKET_FIRST_PROXY_BASE_DOMAIN", "first_proxy.base_domain"),
];

/// Lays the variables over `config`. Lists are separated by commas.
pub fn apply(config: &mut Config, env: &dyn Fn(&str) -> Option<String>) -> Result<(), Error> {
    for (name, key) in VARIABLES {
        let Some(text) = env(name) else { continue };
        let done = match key {
            "data_dir" => set(&mut config.data_dir, &text),
            "workers" => set(&mut config.workers, &text),
            "inside.bind" => set_list(&mut config.inside.bind, &text),
            "inside.advertise" => set_list(&mut config.inside.advertise, &text),
            "admin.listen" => set_list(&mut config.admin.listen, &text),
            "metrics.listen" => set_list(&mut config.metrics.listen, &text),
            "log.format" => set(&mut config.log.format, &text),
            "log.level" => set(&mut config.log.level, &text),
            "licence.vendor_keys" => set_list(&mut config.licence.vendor_keys, &text),
            "first_proxy.fqdn" => set(&mut config.first_proxy.fqdn, &text),
            _ => set(&mut config.first_proxy.base_domain, &text),
        };
        done.map_err(|message| Error { file: None, position: None, key: name.into(), message })?;
    }
    Ok(())
}

impl FromStr for super::sections::LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "human" => Ok(Self::Human),
            "json" => Ok(Self::Json),
            _ => Err(format!("`{text}` is neither `human` nor `json`")),
        }
    }
}

impl FromStr for super::sections::VendorKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (id, key) = text.split_once('=').ok_or("a vendor key is given as ID=KEY")?;
        Ok(Self { id: id.trim().into(), key: key.trim().into() })
    }
}

fn set<T: FromStr<Err: Display>>(value: &mut T, text: &str) -> Result<(), String> {
    *value = text.parse().map_err(|error: T::Err| error.to_string())?;
    Ok(())
}

fn set_list<T: FromStr<Err: Display>>(list: &mut Vec<T>, text: &str) -> Result<(), String> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    *list = parts
        .map(|part| part.parse().map_err(|error: T::Err| format!("`{part}`: {error}")))
        .collect::<Result<_, _>>()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_has_an_effect() {
        // PROTOCOLS 4, trap 9
        let values = [
            ("NANTUCKET_WORKERS", "7"),
            ("NANTUCKET_INSIDE_BIND", "127.0.0.1:1, [::1]:2"),
            ("NANTUCKET_INSIDE_ADVERTISE", "192.0.2.1"),
            ("NANTUCKET_ADMIN_LISTEN", "127.0.0.1:3"),
            ("NANTUCKET_METRICS_LISTEN", ""),
            ("NANTUCKET_LOG_FORMAT", "json"),
            ("NANTUCKET_LICENCE_VENDOR_KEYS", "one=AAAA,two=BBBB="),
        ];
        for (name, _) in VARIABLES {
            let text = values.iter().find(|(known, _)| *known == name).map_or("else", |(_, text)| text);
            let mut config = Config::default();
            apply(&mut config, &|asked| (asked == name).then(|| text.to_string())).unwrap();
            assert_ne!(config, Config::default(), "{name}");
        }
    }

    #[test]
    fn a_list_with_a_wrong_part_names_it() {
        let mut config = Config::default();
        let env = |name: &str| (name == "NANTUCKET_ADMIN_LISTEN").then(|| "127.0.0.1:1,home".to_string());
        let error = apply(&mut config, &env).unwrap_err().to_string();
        assert!(error.starts_with("environment: NANTUCKET_ADMIN_LISTEN: `home`: "), "{error}");
    }
}
