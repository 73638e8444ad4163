//! Logs: lines for people or JSON for machines, on standard error, with a filter that can be changed.

use std::io::IsTerminal as _;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry, fmt, reload};

/// A filter that cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error("`{filter}` is no log level or filter: {source}")]
pub struct BadFilter {
    /// As written.
    filter: String,
    /// What is wrong with it.
    source: tracing_subscriber::filter::ParseError,
}

/// Changes the filter of a running process.
#[derive(Clone, Debug)]
pub struct Filter(reload::Handle<EnvFilter, Registry>);

/// Starts logging for the process; nothing happens if somebody else (a test) has done so.
pub fn start(json: bool, filter: &str) -> Result<Filter, BadFilter> {
    let (filter, handle) = reload::Layer::new(parse(filter)?);
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let lines = if json {
        lines.json().flatten_event(true).with_current_span(false).with_filter(filter).boxed()
    } else {
        lines.with_target(false).with_filter(filter).boxed()
    };
    let _ = tracing_subscriber::registry().with(lines).try_init();
    Ok(Filter(handle))
}

/// Checks a filter.
pub fn parse(filter: &str) -> Result<EnvFilter, BadFilter> {
    EnvFilter::try_new(filter).map_err(|source| BadFilter { filter: filter.into(), source })
}

impl Filter {
    /// Takes another filter from now on.
    pub fn set(&self, filter: &str) -> Result<(), BadFilter> {
        // The subscriber may belong to somebody else; then there is nothing to change.
        let _ = self.0.reload(parse(filter)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_checked_before_it_is_taken() {
        for good in ["info", "warn,nantucket::http=debug", "off"] {
            assert!(parse(good).is_ok(), "{good}");
        }
        let error = parse("loud=very").unwrap_err();
        assert!(error.to_string().starts_with("`loud=very` is no log level or filter"), "{error}");
    }
}
