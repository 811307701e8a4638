//! The log: one line per event, on stderr. As text: the time, the level, the event, then fields as logfmt has them.

use crate::telemetry::trace::{TraceContext, current_ids};
use clap::ValueEnum;
use std::{
    env,
    ffi::OsStr,
    fmt::{self as text, Debug},
    io::{self, IsTerminal},
};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer,
    field::RecordFields,
    filter::{LevelFilter, Targets},
    fmt::{
        self, FmtContext, FormatEvent,
        format::{FormatFields, Writer},
    },
    layer::SubscriberExt,
    registry,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// The least level that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Needs action.
    Error,
    /// May need action.
    Warn,
    /// Seldom.
    Info,
    /// Often.
    Debug,
    /// Everything.
    Trace,
}

/// Sets up the log: our own lines by `level`, those of dependencies only from warnings on.
pub fn init(format: LogFormat, level: LogLevel) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let filter = Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("meshcache", level)
        // Its own flag says whether there is any.
        .with_target("access", LevelFilter::INFO)
        .with_target("kube_runtime", LevelFilter::ERROR);
    let lines = fmt::layer().with_writer(io::stderr).with_target(false);
    let lines = match format {
        LogFormat::Text => lines
            .with_ansi(has_colours(io::stderr().is_terminal(), env::var_os("NO_COLOR").as_deref()))
            .fmt_fields(Logfmt)
            .boxed(),
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .map_event_format(WithIds)
            .boxed(),
    };
    // Fails only where a log has been set up before, as in tests.
    let _ = registry().with(lines.with_filter(filter)).try_init();
}

/// JSON with the ids of the trace that a line belongs to.
struct WithIds<F>(F);

impl<S, N, F> FormatEvent<S, N> for WithIds<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'w> FormatFields<'w> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> text::Result {
        let Some(TraceContext { trace, span, .. }) = current_ids() else {
            return self.0.format_event(context, writer, event);
        };
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        let line = line.trim_end();
        let fields = line.strip_suffix('}').unwrap_or(line);
        writeln!(writer, "{fields},\"trace_id\":\"{trace:032x}\",\"span_id\":\"{span:016x}\"}}")
    }
}

/// Returns whether to use colours: on a terminal, unless NO_COLOR is set (no-color.org).
fn has_colours(is_terminal: bool, no_color: Option<&OsStr>) -> bool {
    is_terminal && no_color.is_none_or(OsStr::is_empty)
}

/// The event, and `name=value` for each field, quoted where logfmt needs it.
struct Logfmt;

impl<'w> FormatFields<'w> for Logfmt {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> text::Result {
        let mut line = LineWriter { writer, is_empty: true, done: Ok(()) };
        fields.record(&mut line);
        line.done
    }
}

struct LineWriter<'w> {
    writer: Writer<'w>,
    is_empty: bool,
    done: text::Result,
}

impl LineWriter<'_> {
    fn write(&mut self, field: &Field, value: &str) {
        let space = if std::mem::replace(&mut self.is_empty, false) { "" } else { " " };
        let written = match field.name() {
            "message" => write!(self.writer, "{space}{}", one_line(value)),
            name if is_bare(value) => write!(self.writer, "{space}{name}={value}"),
            name => write!(self.writer, "{space}{name}={}", quoted(value)),
        };
        self.done = self.done.and(written);
    }
}

impl Visit for LineWriter<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.write(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.write(field, &format!("{value:?}"));
    }
}

/// Returns whether a value needs no quotes.
fn is_bare(value: &str) -> bool {
    !value.is_empty()
        && !value.chars().any(|c| c.is_whitespace() || c.is_control() || c == '"' || c == '=' || c == '\\')
}

/// Quotes a value as JSON does, and logfmt with it. JSON leaves DEL and the controls above it, which terminals obey.
fn quoted(value: &str) -> String {
    let json = serde_json::Value::from(value).to_string();
    json.chars()
        .flat_map(|c| if c.is_control() { format!("\\u{:04x}", u32::from(c)).chars().collect() } else { vec![c] })
        .collect()
}

/// Escapes control characters: text from others must not look like a line of ours.
fn one_line(message: &str) -> String {
    message
        .chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::trace::{Current, Trace};
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Returns the line of an event, without its time.
    fn line(event: impl FnOnce()) -> String {
        let kept = Buffer::default();
        let writer = kept.clone();
        let lines = fmt::layer()
            .with_writer(move || writer.clone())
            .with_target(false)
            .with_ansi(false)
            .without_time()
            .fmt_fields(Logfmt);
        tracing::subscriber::with_default(registry().with(lines), event);
        String::from_utf8(kept.0.lock().unwrap().clone()).unwrap()
    }

    #[tokio::test]
    async fn a_json_line_names_the_trace_that_it_is_written_for_and_no_other_does() {
        let kept = Buffer::default();
        let writer = kept.clone();
        let lines =
            fmt::layer().with_writer(move || writer.clone()).json().flatten_event(true).map_event_format(WithIds);
        let _default = tracing::subscriber::set_default(registry().with(lines));
        let trace = Trace::Passed(TraceContext { trace: 10, span: 11, is_sampled: false });
        Current { trace, request: None }.scope(async { tracing::info!(last = "}", "for a request") }).await;
        tracing::info!("for none");
        let log = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(
            (&lines[0]["trace_id"], &lines[0]["span_id"], &lines[0]["last"], &lines[0]["message"]),
            (&format!("{:032x}", 10).into(), &format!("{:016x}", 11).into(), &"}".into(), &"for a request".into())
        );
        assert_eq!((&lines[1]["trace_id"], lines.len()), (&serde_json::Value::Null, 2));
    }

    #[test]
    fn fields_are_quoted_where_logfmt_needs_it() {
        let logged = line(
            || tracing::info!(key = %"default http://h/a b", n = 3, url = "http://h/?a=1", none = "", path = "C:\\x\"y\n", took = ?std::time::Duration::from_millis(1500), "not stored"),
        );
        assert_eq!(
            logged,
            " INFO not stored key=\"default http://h/a b\" n=3 url=\"http://h/?a=1\" none=\"\" path=\"C:\\\\x\\\"y\\n\" took=1.5s\n"
        );
    }

    #[test]
    fn no_control_character_of_others_reaches_a_terminal() {
        let logged = line(|| tracing::info!(path = "/a\u{9b}31m\u{7f}\u{1b}[0m", "access"));
        assert_eq!(logged, " INFO access path=\"/a\\u009b31m\\u007f\\u001b[0m\"\n");
    }

    #[test]
    fn colours_are_for_terminals_of_people_who_want_them() {
        for (is_terminal, no_color, colours) in
            [(true, None, true), (true, Some(""), true), (true, Some("1"), false), (false, None, false)]
        {
            assert_eq!(has_colours(is_terminal, no_color.map(OsStr::new)), colours, "{is_terminal} {no_color:?}");
        }
    }

    #[test]
    fn an_event_is_one_line_whatever_is_in_it() {
        let logged =
            line(|| tracing::warn!(value = %"a\nERROR all is lost", "received {}", "x\n ERROR all is lost\u{1b}[0m"));
        assert_eq!(logged.lines().count(), 1, "{logged}");
    }
}
