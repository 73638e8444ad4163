//! What a refusal of the control plane is over HTTP.

use crate::admin::problem::{Code, FieldProblem, Problem};
use crate::control::error::{Kind, ServiceError};
use crate::route::problem::Problem as Row;

/// After this many seconds a busy store is worth another try.
const RETRY: u64 = 1;

impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Self {
        let code = match error.kind() {
            Kind::Invalid => Code::Invalid,
            Kind::Conflict => Code::Conflict,
            Kind::NotFound => Code::NotFound,
            Kind::Stale => Code::Stale,
            Kind::Unavailable => Code::StoreUnavailable,
        };
        let fields = error.problems();
        match code {
            Code::Stale => Self::new(code, format!("{error}; read it again, then decide")),
            Code::StoreUnavailable => Self::new(code, format!("{error}; nothing was changed")).with_retry_after(RETRY),
            Code::NotFound => Self::new(code, error.to_string()),
            _ => Self::new(code, summary(fields)).with_errors(fields.iter().map(field).collect()),
        }
    }
}

/// One problem is told whole; of several, how many there are.
fn summary(problems: &[Row]) -> String {
    match problems {
        [one] => one.to_string(),
        several => format!("{} fields are wrong; nothing was changed", several.len()),
    }
}

fn field(problem: &Row) -> FieldProblem {
    let Row { row, field, reason, code } = problem;
    let field = if field.is_empty() { row.clone() } else { field.clone() };
    FieldProblem { row: row.clone(), field, reason: reason.clone(), code: code.text().into(), line: None, value: None }
}
