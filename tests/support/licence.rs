//! Licences for the node under test.

use serde_json::{Value, json};

/// What an instance is given that must not run out of users.
pub fn cloud() -> Value {
    json!({"mode": "cloud", "booked": {"full": 1_000, "light": 1_000}})
}
