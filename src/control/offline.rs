//! What can be said about changes without a store: they are made to an empty table, on paper.

use super::change::Asked;
use super::draft::Draft;
use super::error::ServiceError;
use super::rows::Held;
use crate::route::problem::Problem;

/// Everything that is wrong with the rows asked for. What they refer to must be among them.
pub fn problems(changes: &[Asked], now_unix: u64) -> Result<Vec<Problem>, ServiceError> {
    let empty = Held::default();
    let mut draft = Draft::new(&empty, now_unix);
    for asked in changes {
        draft.make(asked)?;
    }
    draft.check();
    Ok(draft.problems)
}
