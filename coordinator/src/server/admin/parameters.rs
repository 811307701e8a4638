//! The parameters of a query, read strictly: a misspelt one would show something else than what was meant. Pure.

/// What is wrong with a query: one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct BadParameter(pub(super) String);

/// The parameters that a query has.
#[derive(Debug)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads a query that may have these parameters, each once.
    pub(super) fn read(query: Option<&str>, known: &[&str]) -> Result<Self, BadParameter> {
        let mut read: Vec<(String, String)> = Vec::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decoded(name).unwrap_or_default();
            if !known.contains(&name.as_str()) {
                let (name, known) = (name.escape_debug(), known.join(", "));
                return Err(BadParameter(format!("no parameter `{name}`: there are {known}")));
            }
            if read.iter().any(|(before, _)| *before == name) {
                return Err(BadParameter(format!("{name}: it is there twice")));
            }
            let Some(value) = decoded(value) else {
                return Err(BadParameter(format!("{name}: the value is not percent-encoded UTF-8")));
            };
            if value.is_empty() {
                return Err(BadParameter(format!("{name}: it has no value; leave it out, or write {name}=VALUE")));
            }
            read.push((name, value));
        }
        Ok(Self(read))
    }

    /// Returns the value of a parameter.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone())
    }

    /// Returns the number that a parameter has; 0: it is not there.
    pub(super) fn number(&self, name: &str) -> Result<usize, BadParameter> {
        let Some(value) = self.get(name) else { return Ok(0) };
        let bad = |_| BadParameter(format!("{name}: `{}` is no number", value.escape_debug()));
        value.parse().map_err(bad)
    }
}

/// Decodes a name or a value, as forms and curl encode them.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            _ => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_as_they_were_encoded_and_none_is_passed_over() {
        let read = |query| Parameters::read(Some(query), &["path", "limit"]);
        let all = read("path=%2Fa%20b%c3%bc+c&&limit=7").unwrap();
        assert_eq!((all.get("path").as_deref(), all.number("limit")), (Some("/a bü c"), Ok(7)));
        let none = Parameters::read(None, &[]).unwrap();
        assert_eq!((none.get("path"), none.number("limit")), (None, Ok(0)));
        for (query, why) in [
            ("pfad=/a", "no parameter `pfad`: there are path, limit"),
            ("path=/a&path=/b", "path: it is there twice"),
            ("path=%zz", "path: the value is not percent-encoded UTF-8"),
            ("path=%f", "path: the value is not percent-encoded UTF-8"),
            ("path", "path: it has no value; leave it out, or write path=VALUE"),
        ] {
            assert_eq!(read(query).unwrap_err().to_string(), why);
        }
        assert_eq!(read("limit=x").unwrap().number("limit").unwrap_err().to_string(), "limit: `x` is no number");
    }
}
