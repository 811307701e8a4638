//! A row of the table: requests one after another, what the origin answers if it is asked, what the client must see and
//! the origin must be asked.
//!
//! Long: reads, runs and explains a row in one place.
//!
//! A step with an answer of the origin expects that the origin is asked once and that the client sees this answer; one
//! without expects that the origin is not asked and that the client sees the last whole answer again. All else is said.

use std::net::SocketAddr;

use meshcache_tests::{Answer, Ask, Coordinator, Origin, Reply, await_until, wait::SOON};

/// The host of all rows.
pub(crate) const HOST: &str = "rfc.test";

pub(crate) struct Row {
    name: &'static str,
    steps: Vec<Step>,
    /// Why Envoy cannot do it.
    envoy: Option<&'static str>,
}

/// What the origin answers.
#[derive(Clone)]
pub(crate) struct Says {
    status: u16,
    fields: Vec<(&'static str, Vec<u8>)>,
    body: Option<&'static str>,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Whole,
    Cut,
    Gone,
}

pub(crate) struct Step {
    method: &'static str,
    suffix: &'static str,
    fields: Vec<(&'static str, Vec<u8>)>,
    body: &'static str,
    says: Option<Says>,
    asked: Asked,
    status: Option<u16>,
    text: Option<String>,
    wants: Vec<Want>,
    through: Through,
}

#[derive(Clone, Copy, PartialEq)]
enum Asked {
    Never,
    Once,
    /// After the client has its answer.
    Behind,
}

/// Whether an expectation holds in both ways.
#[derive(Clone, Copy, PartialEq)]
enum Through {
    Both,
    Alone,
}

enum Want {
    Field(&'static str, Vec<u8>),
    Has(&'static str),
    Lacks(&'static str),
    Status(&'static str),
    Sent(&'static str, Vec<u8>),
    Unsent(&'static str),
    Method(&'static str),
    AgeAtLeast(u64),
}

pub(crate) fn row<const N: usize>(name: &'static str, steps: [Step; N]) -> Row {
    Row { name, steps: steps.into(), envoy: None }
}

impl Row {
    pub(crate) fn envoy_cannot(self, why: &'static str) -> Row {
        Row { envoy: Some(why), ..self }
    }
}

pub(crate) fn says(status: u16, fields: &[(&'static str, &str)]) -> Says {
    let fields = fields.iter().map(|(name, value)| (*name, value.as_bytes().to_vec())).collect();
    Says { status, fields, body: None, kind: Kind::Whole }
}

pub(crate) fn ok(fields: &[(&'static str, &str)]) -> Says {
    says(200, fields)
}

/// Storable, but stale as it comes.
pub(crate) fn stale(more: &[(&'static str, &str)]) -> Says {
    let stale = ok(&[("cache-control", "max-age=10"), ("age", "20"), ("etag", "\"a\"")]);
    let more: Vec<(&'static str, Vec<u8>)> =
        more.iter().map(|(name, value)| (*name, value.as_bytes().to_vec())).collect();
    let kept =
        stale.fields.into_iter().filter(|(name, _)| more.iter().all(|(other, _)| other != name)).collect::<Vec<_>>();
    Says { fields: [kept, more].concat(), ..ok(&[]) }
}

pub(crate) fn gone() -> Says {
    Says { kind: Kind::Gone, ..ok(&[]) }
}

impl Says {
    pub(crate) fn body(self, body: &'static str) -> Says {
        Says { body: Some(body), ..self }
    }

    pub(crate) fn cut(self) -> Says {
        Says { kind: Kind::Cut, ..self }
    }

    pub(crate) fn bytes(mut self, name: &'static str, value: &[u8]) -> Says {
        self.fields.push((name, value.to_vec()));
        self
    }

    fn text(&self, step: usize) -> String {
        match self.body {
            Some(body) => body.to_owned(),
            None if matches!(self.status, 204 | 205 | 304) => String::new(),
            None => format!("answer {step}"),
        }
    }

    fn reply(&self, step: usize, path: &str) -> Reply {
        if self.kind == Kind::Gone {
            return Reply::gone();
        }
        let fill = |value: &[u8]| {
            String::from_utf8(value.to_vec())
                .map_or_else(|bad| bad.into_bytes(), |text| text.replace("{path}", path).into_bytes())
        };
        let body = self.text(step);
        let reply = if body.is_empty() { Reply::status(self.status) } else { Reply::ok(body).with_status(self.status) };
        let reply = self.fields.iter().fold(reply, |reply, (name, value)| reply.header(name, fill(value)));
        if self.kind == Kind::Cut { reply.cut() } else { reply }
    }
}

pub(crate) fn get() -> Step {
    method("GET")
}

pub(crate) fn head() -> Step {
    method("HEAD")
}

pub(crate) fn method(method: &'static str) -> Step {
    Step {
        method,
        suffix: "",
        fields: vec![],
        body: "",
        says: None,
        asked: Asked::Never,
        status: None,
        text: None,
        wants: vec![],
        through: Through::Both,
    }
}

impl Step {
    fn want(mut self, want: Want) -> Step {
        self.wants.push(want);
        self
    }

    /// Another resource of the same row.
    pub(crate) fn at(self, suffix: &'static str) -> Step {
        Step { suffix, ..self }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Step {
        self.fields.push((name, value.as_bytes().to_vec()));
        self
    }

    pub(crate) fn bytes(mut self, name: &'static str, value: &[u8]) -> Step {
        self.fields.push((name, value.to_vec()));
        self
    }

    pub(crate) fn body(self, body: &'static str) -> Step {
        Step { body, ..self }
    }

    /// The origin is asked, and this is its answer.
    pub(crate) fn origin(self, says: Says) -> Step {
        Step { says: Some(says), asked: Asked::Once, ..self }
    }

    /// The origin is asked as well, but the client does not wait for it.
    pub(crate) fn behind(self, says: Says) -> Step {
        Step { says: Some(says), asked: Asked::Behind, ..self }
    }

    /// What else is wanted of this step holds for the coordinator alone: through Envoy it need not.
    pub(crate) fn alone(self) -> Step {
        Step { through: Through::Alone, ..self }
    }

    pub(crate) fn status(self, status: u16) -> Step {
        Step { status: Some(status), ..self }
    }

    pub(crate) fn text(self, text: &str) -> Step {
        Step { text: Some(text.to_owned()), ..self }
    }

    pub(crate) fn field(self, name: &'static str, value: &str) -> Step {
        self.want(Want::Field(name, value.as_bytes().to_vec()))
    }

    pub(crate) fn field_bytes(self, name: &'static str, value: &[u8]) -> Step {
        self.want(Want::Field(name, value.to_vec()))
    }

    pub(crate) fn has(self, name: &'static str) -> Step {
        self.want(Want::Has(name))
    }

    pub(crate) fn lacks(self, name: &'static str) -> Step {
        self.want(Want::Lacks(name))
    }

    /// In our member of Cache-Status.
    pub(crate) fn says(self, text: &'static str) -> Step {
        self.want(Want::Status(text))
    }

    /// In the request to the origin.
    pub(crate) fn sent(self, name: &'static str, value: &str) -> Step {
        self.want(Want::Sent(name, value.as_bytes().to_vec()))
    }

    pub(crate) fn unsent(self, name: &'static str) -> Step {
        self.want(Want::Unsent(name))
    }

    pub(crate) fn sent_as(self, method: &'static str) -> Step {
        self.want(Want::Method(method))
    }

    pub(crate) fn aged(self, seconds: u64) -> Step {
        self.want(Want::AgeAtLeast(seconds))
    }
}

/// Which way a row's requests take.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Way {
    Coordinator,
    Envoy,
}

/// What a row is run against.
pub(crate) struct Front<'a> {
    pub(crate) way: Way,
    pub(crate) to: SocketAddr,
    pub(crate) coordinator: &'a Coordinator,
    pub(crate) origin: &'a Origin,
}

impl Row {
    /// What went wrong; nothing when all is well.
    pub(crate) async fn run(&self, front: &Front<'_>, nth: usize) -> Vec<String> {
        let mut wrong = Vec::new();
        let way = front.way;
        if way == Way::Envoy && self.envoy.is_some() {
            return wrong;
        }
        let path = format!("/{nth}-{way:?}");
        let mut last = String::new();
        for (number, step) in (1..).zip(&self.steps) {
            let found = step.run(front, &path, number, &mut last).await;
            wrong.extend(found.into_iter().map(|what| format!("{way:?}: {}: step {number}: {what}", self.name)));
        }
        wrong
    }
}

impl Step {
    async fn run(&self, front: &Front<'_>, path: &str, number: usize, last: &mut String) -> Vec<String> {
        let Front { way, to, coordinator, origin } = *front;
        let mut wrong = Vec::new();
        let target = format!("{path}{}", self.suffix);
        let resource = target.split('?').next().unwrap().to_owned();
        match &self.says {
            Some(says) => origin.always(&resource, says.reply(number, path)),
            None => origin.always(&resource, Reply::ok("unexpected").with_status(555)),
        };
        let before = origin.hits(&resource);
        let ask =
            self.fields.iter().fold(Ask::new(self.method, HOST, &target), |ask, (name, value)| ask.header(name, value));
        let ask = if self.body.is_empty() { ask } else { ask.body(self.body) };
        let answer = match ask.send(to).await {
            Ok(answer) => with_known_boundary(answer),
            Err(error) => return vec![format!("no answer: {error:#}")],
        };
        let seen = |what: String| format!("{what}; the answer: {answer:?}");
        if self.asked == Asked::Behind {
            // The origin has answered a moment before the answer is stored: the flight ends after that.
            let landed = async || coordinator.metrics().await.sum("meshcache_flights", &[]) == 0.0;
            await_until(
                async || origin.hits(&resource) > before && landed().await,
                SOON,
                &format!("{target} is refreshed"),
            )
            .await;
        }
        let asked = origin.hits(&resource) - before;
        let expected = usize::from(self.asked != Asked::Never);
        // A request that may be repeated is, where the connection breaks.
        let gone = asked > 0 && self.says.as_ref().is_some_and(|says| says.kind == Kind::Gone);
        // The owner has looked, and told the filter that this is nobody's but the client's own.
        let passed = way == Way::Envoy && expected == 1 && asked == 2 && answer.cache_status().contains("fwd=bypass");
        if asked != expected && !gone && !passed && (way == Way::Coordinator || self.through == Through::Both) {
            wrong.push(seen(format!("the origin was asked {asked} times, not {expected}")));
        }
        let came = self.says.as_ref().filter(|_| self.asked == Asked::Once);
        let status = self.status.or(came.map(|says| says.status)).unwrap_or(200);
        if answer.status != status {
            wrong.push(seen(format!("status {} and not {status}", answer.status)));
        }
        let own = came.map(|says| says.text(number));
        let text =
            self.text.clone().or(if status == 304 || self.method == "HEAD" { Some(String::new()) } else { None });
        let text = text.or_else(|| own.clone()).unwrap_or_else(|| last.clone());
        if status < 500 && answer.text() != text {
            wrong.push(seen(format!("body {:?} and not {text:?}", answer.text())));
        }
        if let Some(says) = self
            .says
            .as_ref()
            .filter(|says| !says.text(number).is_empty() && says.kind == Kind::Whole && says.status != 206)
        {
            *last = says.text(number);
        }
        let sent = (asked > 0).then(|| origin.latest(&resource));
        let lines = |name: &str| {
            answer
                .headers
                .iter()
                .filter(|(own, _)| own == name)
                .map(|(_, value)| value.clone())
                .collect::<Vec<_>>()
                .join(&b", "[..])
        };
        for want in self.wants.iter().filter(|_| way == Way::Coordinator || self.through == Through::Both) {
            let fault = match (want, &sent) {
                (Want::Field(name, value), _) => (lines(name) != *value).then(|| {
                    format!(
                        "{name}: {:?} and not {:?}",
                        lines(name).escape_ascii().to_string(),
                        value.escape_ascii().to_string()
                    )
                }),
                (Want::Has(name), _) => (!answer.has(name)).then(|| format!("no {name}")),
                (Want::Lacks(name), _) => answer.has(name).then(|| format!("there is {name}")),
                (Want::Status(text), _) => (!format!("{};", answer.cache_status()).contains(&format!("; {text};")))
                    .then(|| format!("Cache-Status without {text}")),
                (Want::AgeAtLeast(seconds), _) => (answer.header("age").parse::<u64>().unwrap_or(0) < *seconds)
                    .then(|| format!("an age under {seconds}")),
                (Want::Sent(name, value), Some(sent)) => (sent.header(name).as_bytes() != value).then(|| {
                    format!("sent {name}: {:?} and not {:?}", sent.header(name), String::from_utf8_lossy(value))
                }),
                (Want::Unsent(name), Some(sent)) => sent.headers.contains_key(*name).then(|| format!("sent {name}")),
                (Want::Method(method), Some(sent)) => {
                    (sent.method != *method).then(|| format!("sent as {}", sent.method))
                }
                (Want::Sent(..) | Want::Unsent(_) | Want::Method(_), None) => Some("nothing was sent".to_owned()),
            };
            wrong.extend(fault.map(seen));
        }
        wrong
    }
}

/// The wall clock so many seconds from now, as HTTP writes it.
/// What stands between several ranges is another word in each answer: here it is always `BOUNDARY`.
fn with_known_boundary(mut answer: Answer) -> Answer {
    let kind = answer.header("content-type");
    if let Some(boundary) =
        kind.strip_prefix("multipart/byteranges; boundary=").filter(|own| own.starts_with("meshcache-"))
    {
        answer.body = answer.text().replace(boundary, "BOUNDARY").into();
        let known = kind.replace(boundary, "BOUNDARY").into_bytes();
        answer
            .headers
            .iter_mut()
            .filter(|(name, _)| name == "content-type")
            .for_each(|(_, value)| *value = known.clone());
    }
    answer
}

pub(crate) fn date(seconds: i64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let unix = i64::try_from(now).unwrap() + seconds;
    let (days, second) = (unix.div_euclid(86_400), unix.rem_euclid(86_400));
    // Hinnant's algorithm: years begin in March.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * march + 2) / 5 + 1, if march < 10 { march + 3 } else { march - 9 });
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let name = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][usize::try_from(days.rem_euclid(7)).unwrap()];
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months[usize::try_from(month).unwrap() - 1];
    format!("{name}, {day:02} {month} {year} {:02}:{:02}:{:02} GMT", second / 3600, second / 60 % 60, second % 60)
}
