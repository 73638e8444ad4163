//! What a command ends with: an exit code that scripts may rely on, and the text on stderr.

use crate::admin::problem::{Code, FieldProblem, Problem};
use std::fmt;
use std::process::ExitCode;

/// The exit codes, for the help.
pub const HELP: &str = "Exit codes:
  0  done
  1  refused: the input is not valid, or the state does not allow it
  2  wrong use of the command line
  3  the node cannot be reached, or is not the one expected
  4  no such instance, proxy or certificate
  5  conflict: the name is taken, or someone else changed it meanwhile
  6  the token is missing or wrong
  7  the node has a fault or cannot store";

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line or a file it names makes no sense.
    #[error("{0}")]
    Usage(String),
    /// An input was read and found wrong; `0` says where and why.
    #[error("{0}")]
    Refused(String),
    /// No answer from the node.
    #[error("{url} cannot be reached: {reason}")]
    Unreachable {
        /// What was called.
        url: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The node's refusal.
    #[error("{0}")]
    Problem(Box<Problem>),
}

impl Failure {
    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Refused(_) => 1,
            Self::Unreachable { .. } => 3,
            Self::Problem(problem) => of_code(problem.code),
        }
    }

    /// What goes to stderr.
    pub fn report(&self) -> String {
        match self {
            Self::Problem(problem) => explain(problem),
            other => format!("error: {other}\n"),
        }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

impl From<&Failure> for ExitCode {
    fn from(failure: &Failure) -> Self {
        Self::from(failure.exit_code())
    }
}

const fn of_code(code: Code) -> u8 {
    match code {
        Code::BadParameter | Code::BadBody | Code::UnsupportedMediaType | Code::BodyTooLarge | Code::Invalid => 1,
        Code::UnknownRoute | Code::MethodNotAllowed => 3,
        Code::NotFound => 4,
        Code::Conflict | Code::Stale => 5,
        Code::Unauthorized | Code::TooManyFailures => 6,
        Code::StoreUnavailable | Code::Internal => 7,
    }
}

fn explain(problem: &Problem) -> String {
    use fmt::Write as _;
    let mut text = format!("error[{}]: ", problem.code);
    // A single field is all that the detail says.
    let (lead, alone) = match problem.errors.as_slice() {
        [only] if problem.detail.contains(&only.reason) => ("", true),
        _ => ("  ", false),
    };
    if !alone {
        let _ = writeln!(text, "{}", problem.detail);
    }
    for FieldProblem { row, field, reason, code, line, value } in &problem.errors {
        let row = match line {
            Some(line) => format!("line {line} "),
            None if row.is_empty() => String::new(),
            None => format!("{row} "),
        };
        let value =
            value.as_ref().filter(|value| !reason.contains(value.as_str())).map(|value| format!("\"{value}\" "));
        let _ = writeln!(text, "{lead}{row}{field}: {}{reason} [{code}]", value.unwrap_or_default());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_the_api_has_an_exit_code_that_the_help_lists() {
        for code in Code::ALL {
            let exit = Failure::from(Problem::new(code, "")).exit_code();
            assert!(exit > 0 && HELP.contains(&format!("\n  {exit}  ")), "{code}: {exit}");
        }
        assert_eq!(Failure::Usage(String::new()).exit_code(), 2);
        assert_eq!(Failure::Unreachable { url: String::new(), reason: String::new() }.exit_code(), 3);
    }

    #[test]
    fn the_report_names_the_code_and_every_field() {
        let problem = Problem::new(Code::Invalid, "two fields").with_error("name", "empty", "empty").with_error(
            "web.url",
            "no scheme",
            "url",
        );
        assert_eq!(
            Failure::from(problem).report(),
            "error[invalid]: two fields\n  name: empty [empty]\n  web.url: no scheme [url]\n"
        );
        let one = Problem::new(Code::Invalid, "name: empty (empty)").with_error("name", "empty", "empty");
        assert_eq!(Failure::from(one).report(), "error[invalid]: name: empty [empty]\n", "said once");
    }
}
