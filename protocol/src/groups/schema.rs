//! The JSON Schema of values that are checked texts. The others derive theirs.

use super::{
    CallerPattern, Coding, DroppedFields, Force, Host, MethodPattern, Methods, Mode, Name, NamePattern, OriginHeaders,
    OriginUrl, Overload, PathRegex, Service, Status, TokenUrl,
    config::HeaderFile,
    units::{Percent, Size, Span},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;

/// Implements the schema of types: title, which is what people read as the type, and the rest of the schema.
macro_rules! schema {
    ($($name:ident $title:literal $schema:tt)*) => {$(
        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let mut schema = json_schema!($schema);
                schema.insert("title".into(), $title.into());
                schema
            }
        }
    )*};
}

schema! {
    Span "duration" {"type": ["string", "integer"], "pattern": r"^(0|(\d+(d|h|m|s|ms))+)$", "maximum": 0}
    Size "size" {"type": ["string", "integer"], "pattern": r"^\d+(GiB|MiB|KiB|TiB|Gi|Mi|Ki|Ti|GB|MB|kB|KB|TB|G|M|k|T|B)?$", "minimum": 0}
    Percent "share" {"type": ["string", "integer"], "pattern": r"^\d{1,3}%$"}
    Force "`off` or duration" {"type": ["string", "boolean", "integer"]}
    Mode "`on`, `observe` or `off`" {"enum": ["on", "observe", "off", true, false]}
    Overload "`stale`, `pass` or `503`" {"enum": ["stale", "pass", "503", 503]}
    CallerPattern "caller" {"type": "string", "pattern": r"^(\*|spiffe://.+|dns:.+)$"}
    Host "host" {"type": "string"}
    MethodPattern "method" {"type": "string", "pattern": r"^[^a-z]+$"}
    Name "name" {"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63}
    Service "service" {"type": "string", "pattern": r"^[^.]+\.[^.]+$"}
    OriginUrl "URL" {"type": "string", "pattern": r"^https?://"}
    NamePattern "parameter" {"type": "string", "minLength": 1}
    PathRegex "regex" {"type": "string"}
    Status "status" {"type": "string", "pattern": r"^([2-5]xx|20[0-57-9]|2[1-9][0-9]|30[0-35-9]|3[1-9][0-9]|[45][0-9]{2})$"}
    DroppedFields "list of headers, or `[\"*\"]`" {"type": "array", "items": {"type": "string"}}
    Coding "coding" {"type": "string"}
    Methods "list of `GET`, `HEAD`, `QUERY`" {"type": "array", "minItems": 1, "items": {"enum": ["GET", "HEAD", "QUERY"]}}
    TokenUrl "URL" {"type": "string", "pattern": r"^https?://"}
}

impl JsonSchema for OriginHeaders {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "OriginHeaders".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({"title": "map", "type": "object", "additionalProperties": generator.subschema_for::<HeaderFile>()})
    }
}
