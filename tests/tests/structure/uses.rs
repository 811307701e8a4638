//! What a file's tokens say about names: its `use` items, what it defines, and paths in its code.

use std::collections::BTreeSet;

use crate::source::Token;

/// One name that a `use` brings.
pub(crate) struct Used {
    pub(crate) path: Vec<String>,
    /// Nothing: all names, `*`.
    pub(crate) name: Option<String>,
    pub(crate) line: usize,
    pub(crate) is_public: bool,
}

/// What the file's `use` items bring. They are taken out of its tokens: what is left is code.
pub(crate) fn take_uses(tokens: &mut Vec<Token>) -> Vec<Used> {
    let mut used = Vec::new();
    let mut code = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let is = |at: usize, text: &str| tokens.get(at).is_some_and(|token| token.text == text);
        // `use<'a>` belongs to a type.
        if !is(at, "use") || is(at + 1, "<") {
            code.push(tokens[at].clone());
            at += 1;
            continue;
        }
        let before = at.checked_sub(1).map(|before| tokens[before].text.as_str());
        let is_public = matches!(before, Some("pub" | ")"));
        let end = (at..tokens.len()).find(|at| is(*at, ";")).unwrap_or(tokens.len());
        tree(&tokens[at + 1..end], &[], is_public, &mut used);
        at = end + 1;
    }
    *tokens = code;
    used
}

/// Reads `a::b::{c, d as e, f::*}`.
fn tree(tokens: &[Token], before: &[String], is_public: bool, used: &mut Vec<Used>) {
    let mut path = before.to_vec();
    let mut name = None;
    let mut at = 0;
    while at < tokens.len() {
        match tokens[at].text.as_str() {
            "::" => {}
            "{" => {
                let mut depth = 0;
                let mut from = at + 1;
                for (end, token) in tokens.iter().enumerate().skip(at) {
                    match token.text.as_str() {
                        "{" => depth += 1,
                        "}" => depth -= 1,
                        _ => {}
                    }
                    if depth == 0 || depth == 1 && token.text == "," {
                        tree(&tokens[from..end], &path, is_public, used);
                        from = end + 1;
                    }
                    if depth == 0 {
                        return;
                    }
                }
                return;
            }
            "*" => {
                used.push(Used { path, name: None, line: tokens[at].line, is_public });
                return;
            }
            "as" => {
                name = tokens.get(at + 1).map(|token| token.text.clone());
                break;
            }
            // `a::{self}` is `a`.
            "self" if !path.is_empty() => {}
            word => path.push(word.to_owned()),
        }
        at += 1;
    }
    if let (Some(last), Some(token)) = (path.last(), tokens.first()) {
        let name = name.or_else(|| Some(last.clone()));
        used.push(Used { path, name, line: token.line, is_public });
    }
}

/// The names that a file defines outside of functions and `impl`s.
pub(crate) fn defined(tokens: &[Token]) -> BTreeSet<String> {
    let mut defined = BTreeSet::new();
    // For each open brace, whether it is that of a module.
    let mut open: Vec<bool> = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let word = |n: usize| tokens.get(at + n).map_or("", |token| token.text.as_str());
        match token.text.as_str() {
            "{" => open.push(at >= 2 && tokens[at - 2].text == "mod"),
            "}" => _ = open.pop(),
            "fn" | "struct" | "enum" | "trait" | "type" | "const" | "static" | "union" | "mod"
                // `mod x;` is a child, `const fn` comes again.
                if open.iter().all(|is_module| *is_module) && !(token.text == "mod" && word(2) == ";") =>
            {
                defined.insert(word(1).to_owned());
            }
            "macro_rules" => _ = defined.insert(word(2).to_owned()),
            _ => {}
        }
    }
    defined
}

/// The paths of at least two words that stand in code.
pub(crate) fn paths(tokens: &[Token]) -> Vec<(Vec<String>, usize)> {
    let is_name = |at: usize| {
        tokens.get(at).and_then(|token| token.text.chars().next()).is_some_and(|c| c.is_alphabetic() || c == '_')
    };
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|token| token.text == text);
    let mut paths = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let begins = is_name(at) && is(at + 1, "::") && (at == 0 || !is(at - 1, "::") && !is(at - 1, "."));
        if !begins {
            continue;
        }
        let mut path = vec![token.text.clone()];
        let mut end = at;
        while is(end + 1, "::") && is_name(end + 2) {
            end += 2;
            path.push(tokens[end].text.clone());
        }
        // In `child::{self}` or `Type::<T>` one word is left, and it says enough.
        if path.len() == 1 {
            path.push("*".to_owned());
        }
        paths.push((path, token.line));
    }
    paths
}
