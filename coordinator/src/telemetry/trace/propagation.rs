//! How a trace is carried in a request's fields (OTEL_PROPAGATORS): W3C Trace Context, B3 in one field or in several.

use crate::telemetry::trace::{TraceContext, context::hex};
use http::{HeaderMap, HeaderName, HeaderValue};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const B3: HeaderName = HeaderName::from_static("b3");
const B3_TRACE: HeaderName = HeaderName::from_static("x-b3-traceid");
const B3_SPAN: HeaderName = HeaderName::from_static("x-b3-spanid");
const B3_PARENT: HeaderName = HeaderName::from_static("x-b3-parentspanid");
const B3_SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");
const B3_FLAGS: HeaderName = HeaderName::from_static("x-b3-flags");

/// One way to carry a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Propagator {
    /// `traceparent`. `tracestate` goes along as it came.
    TraceContext,
    /// `b3`.
    B3,
    /// `x-b3-traceid` and its like.
    B3Multi,
}

/// What a request says of its trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Incoming {
    /// Trace and span of who sent it.
    pub(crate) ids: Option<(u128, u64)>,
    /// Whether that one is recorded, if it says so.
    pub(crate) is_sampled: Option<bool>,
}

/// The ways that are read and written. The first that a request has is read, all are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Propagators(pub(crate) Vec<Propagator>);

impl Default for Propagators {
    fn default() -> Self {
        Self(vec![Propagator::TraceContext])
    }
}

impl Propagators {
    /// Reads what a request says of its trace.
    pub(crate) fn extract(&self, headers: &HeaderMap) -> Incoming {
        let read = |propagator: &Propagator| match propagator {
            Propagator::TraceContext => {
                let context = TraceContext::of_traceparent(headers.get(TRACEPARENT)?.as_bytes())?;
                Some(Incoming { ids: Some((context.trace, context.span)), is_sampled: Some(context.is_sampled) })
            }
            Propagator::B3 => single(headers.get(B3)?.as_bytes()),
            Propagator::B3Multi => several(headers),
        };
        self.0.iter().find_map(read).unwrap_or_default()
    }

    /// Writes a span's ids, as the parent of whatever the receiver does.
    pub(crate) fn inject(&self, context: TraceContext, headers: &mut HeaderMap) {
        let mut set = |name, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        let TraceContext { trace, span, is_sampled } = context;
        for propagator in &self.0 {
            match propagator {
                Propagator::TraceContext => set(TRACEPARENT, &context.to_string()),
                Propagator::B3 => set(B3, &format!("{trace:032x}-{span:016x}-{}", u8::from(is_sampled))),
                Propagator::B3Multi => {
                    set(B3_TRACE, &format!("{trace:032x}"));
                    set(B3_SPAN, &format!("{span:016x}"));
                    set(B3_SAMPLED, if is_sampled { "1" } else { "0" });
                }
            }
        }
        if self.0.contains(&Propagator::B3Multi) {
            // They are the sender's own.
            [B3_PARENT, B3_FLAGS].iter().for_each(|name| _ = headers.remove(name));
        }
    }
}

/// Reads `b3`: `TRACE-SPAN[-SAMPLED[-PARENT]]`, or the decision alone.
fn single(value: &[u8]) -> Option<Incoming> {
    let mut parts = value.split(|byte| *byte == b'-');
    let first = parts.next()?;
    match parts.next() {
        None => decision(first).map(|is| Incoming { ids: None, is_sampled: Some(is) }),
        Some(span) => {
            let is_sampled = parts.next().and_then(decision);
            Some(Incoming { ids: Some(ids(first, span)?), is_sampled })
        }
    }
}

fn several(headers: &HeaderMap) -> Option<Incoming> {
    let value = |name| headers.get(name).map(HeaderValue::as_bytes);
    let ids = value(B3_TRACE).zip(value(B3_SPAN)).and_then(|(trace, span)| ids(trace, span));
    let is_debug = value(B3_FLAGS) == Some(b"1");
    let is_sampled = if is_debug { Some(true) } else { value(B3_SAMPLED).and_then(decision) };
    (ids.is_some() || is_sampled.is_some()).then_some(Incoming { ids, is_sampled })
}

/// Trace ids have 64 or 128 bits.
fn ids(trace: &[u8], span: &[u8]) -> Option<(u128, u64)> {
    let fits = matches!(trace.len(), 16 | 32) && span.len() == 16;
    let ids = fits.then(|| hex(trace).zip(hex(span))).flatten()?;
    let span = u64::try_from(ids.1).ok()?;
    (ids.0 != 0 && span != 0).then_some((ids.0, span))
}

fn decision(word: &[u8]) -> Option<bool> {
    match word {
        b"1" | b"d" | b"true" => Some(true),
        b"0" | b"false" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn read(propagator: Propagator, fields: &[(&'static str, String)]) -> Incoming {
        let headers =
            fields.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
        Propagators(vec![propagator]).extract(&headers.collect())
    }

    #[test]
    fn each_way_reads_what_it_writes() {
        let context = TraceContext { trace: 7, span: 9, is_sampled: true };
        for propagator in [Propagator::TraceContext, Propagator::B3, Propagator::B3Multi] {
            let (all, mut headers) = (Propagators(vec![propagator]), HeaderMap::new());
            all.inject(context, &mut headers);
            let read = all.extract(&headers);
            assert_eq!(read, Incoming { ids: Some((7, 9)), is_sampled: Some(true) }, "{headers:?}");
        }
    }

    #[test]
    fn b3_says_who_and_whether_or_one_of_them() {
        let some =
            |sampled| Incoming { ids: Some((0xa3ce_929d_0e0e_4736, 0x00f0_67aa_0ba9_02b7)), is_sampled: sampled };
        let short = TRACE.get(16..).unwrap();
        let of = |value: String| read(Propagator::B3, &[("b3", value)]);
        assert_eq!(of(format!("{short}-{SPAN}-d")), some(Some(true)));
        assert_eq!(of(format!("{short}-{SPAN}-0-{SPAN}")), some(Some(false)));
        assert_eq!(of(format!("{short}-{SPAN}")), some(None), "the receiver decides");
        assert_eq!(of("0".into()), Incoming { ids: None, is_sampled: Some(false) });
        assert_eq!(of("x-y-z".into()), Incoming::default());
        let several = |fields: &[(&'static str, &str)]| {
            let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
            read(Propagator::B3Multi, &fields)
        };
        assert_eq!(several(&[("x-b3-traceid", short), ("x-b3-spanid", SPAN)]), some(None));
        assert_eq!(several(&[("x-b3-flags", "1"), ("x-b3-sampled", "0")]).is_sampled, Some(true), "debug");
        assert_eq!(several(&[("x-b3-traceid", "short"), ("x-b3-spanid", SPAN)]), Incoming::default());
    }

    #[test]
    fn the_first_way_that_a_request_has_counts() {
        let all = Propagators(vec![Propagator::B3, Propagator::TraceContext]);
        let parent = format!("00-{TRACE}-{SPAN}-01");
        let mut headers = HeaderMap::from_iter([(TRACEPARENT, HeaderValue::from_str(&parent).unwrap())]);
        assert_eq!(all.extract(&headers).is_sampled, Some(true));
        headers.insert(B3, HeaderValue::from_static("0"));
        assert_eq!(all.extract(&headers), Incoming { ids: None, is_sampled: Some(false) });
    }
}
