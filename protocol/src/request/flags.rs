//! What a single pass over a request's header fields finds, and the fields that can reroute it.

/// The findings of a single pass over the header fields, so that common requests are not searched twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u32);

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $bit:expr;)*) => {
        impl Flags {
            $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)*
        }
    };
}

flags! {
    /// `authorization`
    AUTHORIZATION = 0;
    /// `cookie`
    COOKIE = 1;
    /// `range`
    RANGE = 2;
    /// One of `if-match`, `if-none-match`, `if-modified-since`, `if-unmodified-since`, `if-range`
    CONDITIONAL = 3;
    /// `cache-control`
    CACHE_CONTROL = 4;
    /// `pragma`
    PRAGMA = 5;
    /// `upgrade`
    UPGRADE = 6;
    /// `expect`
    EXPECT = 7;
    /// `transfer-encoding`, or a `content-length` that is not exactly `0`
    BODY = 8;
    /// `accept` names `text/event-stream`
    EVENT_STREAM = 9;
    /// `content-type` begins with `application/grpc`
    GRPC = 10;
    /// `cdn-loop`
    CDN_LOOP = 11;
    /// One of [`REROUTING`]
    REROUTING = 12;
    /// A `meshcache-*` header
    CONTROL = 13;
    /// Path or query are not in their normal form
    ESCAPED = 14;
}

impl Flags {
    /// Whether any flag of `other` is set.
    pub const fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Sets the flags of `other`, too.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Clears the flags of `other`.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(super) fn of(name: &[u8], value: &[u8]) -> Self {
        match name {
            b"authorization" => Self::AUTHORIZATION,
            b"cookie" => Self::COOKIE,
            b"range" => Self::RANGE,
            b"if-match" | b"if-none-match" | b"if-modified-since" | b"if-unmodified-since" | b"if-range" => {
                Self::CONDITIONAL
            }
            b"cache-control" => Self::CACHE_CONTROL,
            b"pragma" => Self::PRAGMA,
            b"upgrade" => Self::UPGRADE,
            b"expect" => Self::EXPECT,
            b"transfer-encoding" => Self::BODY,
            b"content-length" if value != b"0" => Self::BODY,
            b"accept" if contains_ignore_case(value, b"text/event-stream") => Self::EVENT_STREAM,
            b"content-type" if value.len() >= 16 && starts_with_ignore_case(value, b"application/grpc") => Self::GRPC,
            b"cdn-loop" => Self::CDN_LOOP,
            [b'm', ..] if name.starts_with(b"meshcache-") => Self::CONTROL,
            [b'f' | b'x', ..] if REROUTING.contains(&name) => Self::REROUTING,
            _ => Self(0),
        }
    }
}

/// Header fields by which some services change host, path, scheme or method. Those that are present are in the key
/// (docs/http.md says why). X-Forwarded-Proto is not among them, since it is the key's scheme.
pub const REROUTING: [&[u8]; 17] = [
    b"forwarded",
    b"front-end-https",
    b"x-forwarded-host",
    b"x-forwarded-path",
    b"x-forwarded-port",
    b"x-forwarded-prefix",
    b"x-forwarded-scheme",
    b"x-forwarded-server",
    b"x-forwarded-ssl",
    b"x-host",
    b"x-http-method",
    b"x-http-method-override",
    b"x-method-override",
    b"x-original-host",
    b"x-original-uri",
    b"x-original-url",
    b"x-rewrite-url",
];

/// Those that change the method.
pub(crate) const METHOD_OVERRIDES: [&[u8]; 3] = [b"x-http-method", b"x-http-method-override", b"x-method-override"];

fn starts_with_ignore_case(text: &[u8], start: &[u8]) -> bool {
    text.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start))
}

fn contains_ignore_case(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
}
