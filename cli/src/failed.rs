//! Why a command failed: one line for people, and an exit status.

use http::StatusCode;
use std::{
    fmt::Display,
    io::{self, ErrorKind},
};

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}")]
pub struct NoAnswer {
    line: String,
    /// The status by which the server refused; none: it said nothing.
    status: Option<StatusCode>,
}

impl NoAnswer {
    /// One line.
    pub fn new(line: impl Display) -> Self {
        Self { line: line.to_string(), status: None }
    }

    /// One line of a server that refused.
    pub fn refused(status: StatusCode, line: String) -> Self {
        Self { line, status: Some(status) }
    }

    /// Returns whether asking again brings the same: the question is wrong, or the token.
    pub fn is_final(&self) -> bool {
        matches!(self.status, Some(StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED))
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// A flag is wrong, or a server says that the question is.
    #[error("{0}")]
    Flags(String),
    /// The server gave no answer, or none that helps.
    #[error(transparent)]
    NoAnswer(NoAnswer),
    /// The same where status 1 is an answer: `why`.
    #[error(transparent)]
    NoServer(NoAnswer),
    /// What came cannot be written.
    #[error("standard output: {0}")]
    Output(io::Error),
}

impl From<NoAnswer> for Failed {
    fn from(why: NoAnswer) -> Self {
        if why.status == Some(StatusCode::BAD_REQUEST) { Self::Flags(why.line) } else { Self::NoAnswer(why) }
    }
}

impl Failed {
    /// Returns whether nobody reads on, as with `| head`. That is no failure.
    pub fn is_reader_gone(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == ErrorKind::BrokenPipe)
    }

    /// Returns the failure of a command whose status 1 is an answer.
    pub fn of_a_question(self) -> Self {
        match self {
            Self::NoAnswer(why) => Self::NoServer(why),
            other => other,
        }
    }

    /// Returns the exit status.
    pub fn code(&self) -> u8 {
        match self {
            Self::Flags(_) => 2,
            Self::NoAnswer(_) | Self::Output(_) => 1,
            Self::NoServer(_) => 3,
        }
    }
}

/// An error and its causes in one line: "connection refused" stands at the end of the chain.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        cause = inner.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_says_is_wrong_with_a_question_is_wrong_usage() {
        for (status, code, of_a_question) in
            [(StatusCode::BAD_REQUEST, 2, 2), (StatusCode::UNAUTHORIZED, 1, 3), (StatusCode::SERVICE_UNAVAILABLE, 1, 3)]
        {
            let failed = || Failed::from(NoAnswer::refused(status, "h:1: no".to_owned()));
            assert_eq!((failed().code(), failed().of_a_question().code()), (code, of_a_question), "{status}");
            assert_eq!(failed().to_string(), "h:1: no");
        }
    }
}
