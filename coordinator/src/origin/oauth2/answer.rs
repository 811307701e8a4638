//! A token server's response (RFC 6749 sections 5.1 and 5.2).

use crate::origin::oauth2::{
    failure::{TokenError, TokenFailure},
    token::{AccessToken, Granted},
};
use http::StatusCode;
use serde_json::{Map, Value};
use std::time::Duration;

/// The most of a server's own words in a log line, characters.
const MAX_WORDS: usize = 200;

/// Reads a response. `secrets`: texts that the server may repeat, and that no error has.
pub(super) fn read(status: StatusCode, body: &[u8], secrets: &[&str]) -> Result<Granted, TokenError> {
    let object = match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    };
    if status.is_redirection() {
        let cause = format!("{status}: redirections are not followed; write the last URL into tokenUrl");
        return Err(TokenError::new(TokenFailure::Redirect, cause));
    }
    if !status.is_success() {
        return Err(refusal(status, object.as_ref(), secrets));
    }
    let no_token = |what: &str| TokenError::new(TokenFailure::NoToken, format!("{status}: {what}"));
    let object = object.ok_or_else(|| no_token("the body is no JSON object"))?;
    let token = match object.get("access_token") {
        Some(Value::String(token)) => AccessToken::new(token),
        _ => return Err(no_token("no access_token, or not a text")),
    };
    let token = token.ok_or_else(|| no_token("access_token has characters that no token has"))?;
    match object.get("token_type") {
        None | Some(Value::Null) => {}
        Some(Value::String(kind)) if kind.eq_ignore_ascii_case("bearer") => {}
        Some(_) => return Err(no_token("token_type is not Bearer")),
    }
    let lifetime = match object.get("expires_in") {
        None | Some(Value::Null) => None,
        Some(value) => Some(seconds(value).ok_or_else(|| no_token("expires_in is no number of seconds"))?),
    };
    Ok(Granted { token, lifetime })
}

/// Returns a number of seconds, or digits in a text. A part of a second does not count.
fn seconds(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::Number(number) => match number.as_u64() {
            Some(seconds) => seconds,
            // The conversion saturates.
            None => number.as_f64().filter(|seconds| *seconds >= 0.0)? as u64,
        },
        Value::String(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.is_empty() => {
            digits.parse().unwrap_or(u64::MAX)
        }
        _ => return None,
    };
    Some(Duration::from_secs(seconds))
}

fn refusal(status: StatusCode, object: Option<&Map<String, Value>>, secrets: &[&str]) -> TokenError {
    let word = |name| object?.get(name)?.as_str().filter(|text| !text.is_empty());
    let Some(error) = word("error") else {
        return TokenError::new(TokenFailure::Status, format!("{status}, without an error of OAuth"));
    };
    let mut cause = format!("{status}: {}", plain(error, secrets));
    if let Some(description) = word("error_description") {
        cause = format!("{cause}: {}", plain(description, secrets));
    }
    TokenError::new(if status.is_server_error() { TokenFailure::Status } else { TokenFailure::Denied }, cause)
}

/// Returns a server's own words for one line of the log.
fn plain(words: &str, secrets: &[&str]) -> String {
    if secrets.iter().any(|secret| words.contains(secret)) {
        return "(it repeats the secret)".into();
    }
    words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_WORDS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, body: &str) -> Result<(String, Option<u64>), (&'static str, String)> {
        let status = StatusCode::from_u16(status).unwrap();
        match read(status, body.as_bytes(), &["hunter2"]) {
            Ok(granted) => Ok((
                granted.token.authorization().to_str().unwrap().to_owned(),
                granted.lifetime.map(|lifetime| lifetime.as_secs()),
            )),
            Err(error) => Err((error.failure.label(), error.cause)),
        }
    }

    #[test]
    fn tokens_come_as_servers_write_them() {
        for (more, seconds) in [
            (r#""token_type": "Bearer", "expires_in": 3600"#, Some(3600)),
            (r#""token_type": "bEARER", "expires_in": "3600""#, Some(3600)),
            (r#""token_type": "bearer""#, None),
            (r#""expires_in": null, "scope": "a b""#, None),
            (r#""expires_in": 3599.7"#, Some(3599)),
            (r#""expires_in": 0"#, Some(0)),
            (r#""expires_in": 1e300"#, Some(u64::MAX)),
            (r#""expires_in": "99999999999999999999999""#, Some(u64::MAX)),
        ] {
            let body = format!(r#"{{"access_token": "t.k-n", {more}}}"#);
            assert_eq!(answered(200, &body), Ok(("Bearer t.k-n".into(), seconds)), "{more}");
        }
    }

    #[test]
    fn what_is_no_token_is_refused_by_name() {
        for (body, cause) in [
            ("<html>", "the body is no JSON object"),
            ("[]", "the body is no JSON object"),
            ("{}", "no access_token, or not a text"),
            (r#"{"access_token": 7}"#, "no access_token, or not a text"),
            (r#"{"access_token": ""}"#, "access_token has characters that no token has"),
            (r#"{"access_token": "a\r\nb: c"}"#, "access_token has characters that no token has"),
            (r#"{"access_token": "a", "token_type": "DPoP"}"#, "token_type is not Bearer"),
            (r#"{"access_token": "a", "token_type": 1}"#, "token_type is not Bearer"),
            (r#"{"access_token": "a", "expires_in": -1}"#, "expires_in is no number of seconds"),
            (r#"{"access_token": "a", "expires_in": "soon"}"#, "expires_in is no number of seconds"),
            (r#"{"access_token": "a", "expires_in": ""}"#, "expires_in is no number of seconds"),
            (r#"{"access_token": "a", "expires_in": true}"#, "expires_in is no number of seconds"),
        ] {
            assert_eq!(answered(200, body), Err(("no-token", format!("200 OK: {cause}"))), "{body}");
        }
    }

    #[test]
    fn a_refusal_has_the_servers_words_and_never_the_secret() {
        let invalid = r#"{"error": "invalid_client", "error_description": "no\nsuch client"}"#;
        assert_eq!(answered(401, invalid), Err(("denied", "401 Unauthorized: invalid_client: no such client".into())));
        let repeats = r#"{"error": "invalid_client", "error_description": "`hunter2` is wrong"}"#;
        let (_, cause) = answered(400, repeats).unwrap_err();
        assert_eq!(cause, "400 Bad Request: invalid_client: (it repeats the secret)");
        let (label, cause) = answered(400, &format!(r#"{{"error": "{}"}}"#, "x".repeat(60_000))).unwrap_err();
        assert_eq!((label, cause.len() < 300), ("denied", true));
        assert_eq!(answered(500, "<html>").unwrap_err().0, "status");
        assert_eq!(answered(503, r#"{"error": "temporarily_unavailable"}"#).unwrap_err().0, "status");
        assert_eq!(answered(302, r#"{"access_token": "a"}"#).unwrap_err().0, "redirect");
    }
}
