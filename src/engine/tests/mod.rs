//! What the engine does, by duty (PROTOCOLS 2) and rule, on a bench with a hand-set clock.

mod admission;
mod cancel;
mod dialogs;
mod end_to_end;
mod flows;
mod guard;
mod inside;
mod light;
mod limits;
mod names;
mod refusals;
mod register;
mod seats;
mod targets;
mod transactions;
mod transport;
