//! What the use of licences comes to: warnings as seats run out, the monthly high-water mark, and events that
//! operators are told of, over the API and by signed webhooks (R72).
//!
//! `crossings`, `months`, `watcher` and `signature` are pure: they are given numbers and the time. `journal` keeps
//! what they say in a SQLite file of its own, `task` looks every second, `webhook` delivers. It decides nothing
//! about seats: it reads the counters that the engine keeps. Wired by `app`, read by `admin`; `control` may push
//! [`Events`].

mod backoff;
mod crossings;
mod event;
pub mod expiry;
mod export;
mod journal;
mod months;
mod post;
pub mod signature;
mod task;
mod watcher;
mod webhook;

pub use event::{Counted, Event, Recorded, Topic};
pub use export::csv;
pub use journal::{EventPage, EventQuery, Journal, JournalError, MonthQuery, Notes};
pub use months::{Mark, Month};
pub use task::{Events, Usage, open};
pub use webhook::Hook;
