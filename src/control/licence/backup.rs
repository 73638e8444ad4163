//! The licence book as a file: what an operator keeps for the day the machine changes (R62).

use crate::licence::Book;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The version of this document's shape.
pub const SCHEMA: u32 = 1;

/// A licence book as it was on a machine. Its documents are as they were signed; nothing else of it is believed beyond
/// what they bear out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    /// Version of this document's shape.
    pub schema: u32,
    /// When it was taken, in Unix seconds of the licence clock.
    pub taken: u64,
    /// The licences with what became of them, and the machine.
    #[schema(value_type = Object)]
    pub book: Book,
}
