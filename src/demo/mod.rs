//! `nantucket demo`: a whole platform in one process, and its proof.
//!
//! Synthetic phones and small PBXs of its own, with real sockets, transactions and dialogs; integration
//! tests use them too. Nothing of the product names this room but the command line.

use std::sync::{Mutex, MutexGuard, PoisonError};

mod answer;
pub mod call;
pub mod dialog;
pub mod digest;
pub mod endpoint;
pub mod feed;
pub mod fetch;
pub mod line;
pub mod message;
pub mod pbx;
pub mod phone;
mod recent;
mod registrar;
pub mod sdp;
pub mod text;
pub mod transaction;
pub mod view;
pub mod web;
pub mod wire;

/// Locks; what a panicking holder left is taken as it is.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
