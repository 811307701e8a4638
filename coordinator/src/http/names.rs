//! Names of fields that every request is asked for, made once: a text would be read at each look.

use http::{HeaderName, header};
use meshcache_protocol::{request, wire};

pub(crate) static AUTHORITY: HeaderName = HeaderName::from_static(wire::header::AUTHORITY);
pub(crate) static CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");
pub(crate) static FORWARDED_PROTO: HeaderName = HeaderName::from_static(request::FORWARDED_PROTO);
pub(crate) static HOST: HeaderName = header::HOST;
pub(crate) static KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
pub(crate) static SCHEME: HeaderName = HeaderName::from_static(wire::header::SCHEME);
pub(crate) static WIRE: HeaderName = HeaderName::from_static(wire::header::WIRE);
