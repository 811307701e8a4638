//! Patterns of targets: of a path together with its query.

use super::InvalidValue;
use serde::{Deserialize, Serialize};

/// A regular expression over targets, `path?query` in their normal form. Time is linear in the target.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "Written", into = "Written")]
pub struct TargetRule {
    written: Written,
    regex: regex_lite::Regex,
}

/// A rule as it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(not(target_family = "wasm"), serde(deny_unknown_fields))]
struct Written {
    /// The expression.
    ///
    /// Example: `"^/develop"`. Change it when the query decides, too; else `prefix` is quicker to read.
    regex: String,
    /// Whether it may match a part of the target. Else it matches the whole.
    ///
    /// Example: `true`. Change it when the expression is about a part of the target.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(feature = "schema", schemars(extend("default" = false)))]
    search: bool,
}

impl TargetRule {
    /// Returns the expression.
    pub fn regex(&self) -> &str {
        &self.written.regex
    }

    /// Whether a target matches: path and query in their normal form.
    pub fn matches(&self, target: &str) -> bool {
        self.regex.is_match(target)
    }
}

impl PartialEq for TargetRule {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl TryFrom<Written> for TargetRule {
    type Error = InvalidValue;
    fn try_from(written: Written) -> Result<Self, InvalidValue> {
        // Alone first: `a)(b` is no regex, although it would be one in brackets.
        let made = regex_lite::Regex::new(&written.regex).and_then(|search| {
            if written.search { Ok(search) } else { regex_lite::Regex::new(&format!("^(?:{})$", written.regex)) }
        });
        match made {
            Ok(regex) => Ok(Self { written, regex }),
            Err(error) => Err(InvalidValue::new(&written.regex, format!("a regex: {error}"))),
        }
    }
}

impl From<TargetRule> for Written {
    fn from(rule: TargetRule) -> Self {
        rule.written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(json: serde_json::Value) -> Result<TargetRule, serde_json::Error> {
        serde_json::from_value(json)
    }

    #[test]
    fn a_target_matches_as_a_whole_or_is_searched() {
        let search = rule(serde_json::json!({"regex": "/develop/?$", "search": true})).unwrap();
        assert!(search.matches("/a/develop") && search.matches("/a?b=/develop/") && !search.matches("/develop?x"));
        let whole = rule(serde_json::json!({"regex": "/a|/b\\?c"})).unwrap();
        assert!(whole.matches("/a") && whole.matches("/b?c") && !whole.matches("/a?c") && !whole.matches("/x/a"));
        for bad in ["(", "a)(b"] {
            let error = rule(serde_json::json!({"regex": bad})).unwrap_err().to_string();
            assert!(error.contains(&format!("`{bad}` is not a regex")), "{error}");
        }
    }
}
