//! The positions of the fields in a YAML text, by position and by field.

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::Spanned;
use std::fmt;

/// The fields of a YAML text with the positions of their names and values, in the order of the text.
#[derive(Debug, Default, PartialEq)]
pub(super) struct YamlPositions(Vec<FieldPosition>);

/// The position of a field's name, or of its value.
#[derive(Debug, PartialEq)]
pub(super) struct FieldPosition {
    /// As `groups[0].match.hosts[1]`.
    pub(super) field: String,
    pub(super) line: u64,
    pub(super) column: u64,
}

impl YamlPositions {
    /// Returns the positions of a text; none for a text that is no YAML.
    pub(super) fn of(text: &str) -> Self {
        let options = serde_saphyr::options! { duplicate_keys: serde_saphyr::DuplicateKeyPolicy::PassThrough };
        let mut positions = Vec::new();
        if let Ok(node) = serde_saphyr::from_str_with_options::<Node>(text, options) {
            node.walk("", &mut positions);
        }
        Self(positions)
    }

    /// Returns all positions.
    pub(super) fn all(&self) -> &[FieldPosition] {
        &self.0
    }

    /// Returns the field at a position: the last one that begins there or before.
    pub(super) fn field_at(&self, line: u64, column: u64) -> Option<&str> {
        let position = self.0.iter().rfind(|position| (position.line, position.column) <= (line, column))?;
        Some(&position.field)
    }

    /// Returns the line of a field, or of the innermost one around it that is written; else the first line.
    pub(super) fn line_of(&self, field: &str) -> u64 {
        let mut field = field;
        loop {
            if let Some(position) = self.0.iter().find(|position| position.field == field) {
                return position.line;
            }
            match field.rfind(['.', '[']) {
                Some(end) => field = field.get(..end).unwrap_or_default(),
                None => return 1,
            }
        }
    }
}

/// Any YAML value with its position.
#[derive(Debug)]
struct Node {
    line: u64,
    column: u64,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Fields(Vec<(Spanned<String>, Node)>),
    List(Vec<Node>),
    Value,
}

impl Node {
    fn walk(&self, field: &str, positions: &mut Vec<FieldPosition>) {
        let mut push =
            |field: &str, line, column| positions.push(FieldPosition { field: field.to_owned(), line, column });
        match &self.kind {
            Kind::Value if !field.is_empty() => push(field, self.line, self.column),
            Kind::Value => {}
            Kind::Fields(fields) => {
                for (name, node) in fields {
                    let inner = if field.is_empty() { name.value.clone() } else { format!("{field}.{}", name.value) };
                    positions.push(FieldPosition {
                        field: inner.clone(),
                        line: name.referenced.line(),
                        column: name.referenced.column(),
                    });
                    node.walk(&inner, positions);
                }
            }
            Kind::List(list) => {
                for (n, node) in list.iter().enumerate() {
                    let inner = format!("{field}[{n}]");
                    positions.push(FieldPosition { field: inner.clone(), line: node.line, column: node.column });
                    node.walk(&inner, positions);
                }
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Kind>::deserialize(deserializer)?;
        Ok(Self { line: spanned.referenced.line(), column: spanned.referenced.column(), kind: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        macro_rules! values {
            ($($visit:ident: $type:ty),*) => {$(fn $visit<E>(self, _: $type) -> Result<Kind, E> { Ok(Kind::Value) })*};
        }
        impl<'de> Visitor<'de> for Any {
            type Value = Kind;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }

            values!(visit_bool: bool, visit_i64: i64, visit_i128: i128, visit_u64: u64, visit_u128: u128, visit_f64: f64, visit_str: &str, visit_bytes: &[u8]);

            fn visit_unit<E>(self) -> Result<Kind, E> {
                Ok(Kind::Value)
            }

            fn visit_none<E>(self) -> Result<Kind, E> {
                Ok(Kind::Value)
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Kind, D::Error> {
                IgnoredAny::deserialize(deserializer).map(|_| Kind::Value)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Kind, A::Error> {
                let mut all = Vec::new();
                while let Some(node) = list.next_element()? {
                    all.push(node);
                }
                Ok(Kind::List(all))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Kind, A::Error> {
                let mut all = Vec::new();
                while let Some(field) = fields.next_entry()? {
                    all.push(field);
                }
                Ok(Kind::Fields(all))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "version: 1\ngroups:\n  - name: a\n    match: {hosts: [x, y]}\n  - name: b\n    origin:\n      url: http://o\n";

    #[test]
    fn a_position_has_its_field() {
        let positions = YamlPositions::of(TEXT);
        for (line, column, field) in [
            (1, 10, "version"),
            (3, 5, "groups[0].name"),
            (4, 24, "groups[0].match.hosts[1]"),
            (7, 12, "groups[1].origin.url"),
            (9, 1, "groups[1].origin.url"),
        ] {
            assert_eq!(positions.field_at(line, column), Some(field), "{line}:{column}");
        }
        assert_eq!(YamlPositions::of("a: [").field_at(1, 1), None);
    }

    #[test]
    fn a_field_has_its_line_or_that_of_the_one_around_it() {
        let positions = YamlPositions::of(TEXT);
        for (field, line) in [
            ("groups[1].origin.url", 7),
            ("groups[1].origin.timeout", 6),
            ("groups[1].patience", 5),
            ("groups[7].name", 2),
            ("debuggers", 1),
        ] {
            assert_eq!(positions.line_of(field), line, "{field}");
        }
    }
}
