//! Golden vectors: what filter and coordinator must compute identically, natively and as Wasm, today and tomorrow.
//!
//! A vector that changes is a new wire version: proxies and coordinators of two versions share one mesh.
//! `cargo test -p meshcache-protocol --test golden -- --ignored` writes down what the code says now; then read the
//! difference.
#![allow(clippy::unwrap_used)]

use meshcache_protocol::{
    Field, Frame, Group, Hash, Key, Peer, Request, Response, Ring, cache_status, frame,
    freshness::{self, Selecting, Times, Vary},
    purge::Position,
    request::RequestError,
    wire::{Outcome, Question, Verdict},
};
use serde_json::{Value, json};

fn vectors(part: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("../vectors/golden.json")).unwrap();
    let part = all[part].as_array().unwrap().clone();
    assert!(!part.is_empty());
    part
}

fn check(part: &str) {
    let (_, say) = PARTS.into_iter().find(|(name, _)| *name == part).unwrap();
    for vector in vectors(part) {
        assert_eq!(say(&vector["in"]), vector["out"], "{part}: {}", vector["in"]);
    }
}

fn text<'a>(of: &'a Value, name: &str) -> &'a str {
    of[name].as_str().unwrap_or_default()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn fields<'a>(of: &'a Value, name: &str) -> Vec<Field<'a>> {
    let pairs = of[name].as_array().map(Vec::as_slice).unwrap_or_default();
    pairs.iter().map(|pair| (pair[0].as_str().unwrap().as_bytes(), pair[1].as_str().unwrap().as_bytes())).collect()
}

fn group(of: &Value) -> Group {
    Group::for_tests(&if of["group"].is_null() { json!({}) } else { of["group"].clone() }.to_string())
}

fn ask<'a>(of: &'a Value, fields: &'a [Field<'a>]) -> Result<Request<'a>, RequestError> {
    let or = |name, default: &'static str| if of[name].is_null() { default } else { text(of, name) };
    Request::read(
        or("method", "GET").as_bytes(),
        or("scheme", "http").as_bytes(),
        or("authority", "example.com").as_bytes(),
        or("target", "/").as_bytes(),
        fields,
    )
}

/// The key of a request: its bytes and its hash.
fn key(of: &Value) -> Value {
    let fields = fields(of, "fields");
    match ask(of, &fields) {
        Ok(request) => {
            let key = Key::of(&group(of), &request, of["route"].as_str().map(str::as_bytes));
            json!({"bytes": hex(key.bytes()), "hash": format!("{:?}", key.hash()), "text": key.to_string()})
        }
        Err(unfit) => json!(unfit.reason().label()),
    }
}

/// The hash of some bytes, and its halves.
fn hash(of: &Value) -> Value {
    let hash = Hash::of(of.as_str().unwrap().as_bytes());
    json!({"hash": format!("{hash:?}"), "ring": format!("{:016x}", hash.low()), "table": format!("{:016x}", hash.high())})
}

/// The order in which peers own a key.
fn order(of: &Value) -> Value {
    let peers = of["peers"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
    let ring = Ring::new(
        peers
            .map(|name| Peer { name: name.into(), data: format!("{name}:8080"), peer: format!("{name}:8083") })
            .collect(),
    );
    let order: Vec<_> = ring.order(Hash::of(text(of, "key").as_bytes())).iter().map(|peer| peer.name.clone()).collect();
    json!({"version": format!("{:016x}", ring.version()), "order": order})
}

/// A verdict's header as it is read, and as it is written again.
fn verdict(of: &Value) -> Value {
    let Some(read) = Verdict::parse(of.as_str().unwrap().as_bytes()) else { return Value::Null };
    assert!(Outcome::ALL.contains(&read.outcome));
    json!({
        "written": read.to_string(), "reason": read.reason.as_str(), "ttl": read.ttl, "age": read.age, "shared": read.shared, "everybody": read.everybody,
        "status": cache_status::cache_status("meshcache", &read, "", Some("g http://example.com/")),
    })
}

/// A question's headers as they are read, and as they are written again.
fn question(of: &Value) -> Value {
    match Question::read(&fields(of, "fields")) {
        Ok(question) => {
            json!({"written": question.to_string(), "route": question.route, "patience": question.patience, "verified": question.verified, "hop": question.hop})
        }
        Err(bad) => json!(format!("{bad:?}")),
    }
}

/// What is decided of a response.
fn decision(of: &Value) -> Value {
    let (asked, answered) = (fields(of, "asked"), fields(of, "answered"));
    let (group, request) = (group(of), ask(of, &asked).unwrap());
    let response = Response { status: of["status"].as_u64().unwrap_or(200) as u16, fields: &answered };
    let responded = 784_111_777_000; // Sun, 06 Nov 1994 08:49:37 GMT
    match freshness::store(&group, &request, false, &response, Times { requested: responded - 250, responded }, 0) {
        Ok(stored) => {
            let kept = freshness::storable(&group, &response, responded);
            let kept: Vec<_> =
                kept.iter().map(|(n, v)| format!("{}: {}", n.escape_ascii(), v.escape_ascii())).collect();
            let later: Vec<_> = [0, 59_000, 61_000]
                .map(|resident| format!("{:?}", freshness::reuse(&group, &request, false, Some(&stored), resident)))
                .into();
            json!({"stored": stored, "fields": kept, "keep": stored.retention(), "selecting": Selecting::of(&Vary::in_group(&group, &response), &request), "after 0, 59 and 61 s": later})
        }
        Err(not) => json!(not.reason().label()),
    }
}

/// A stored response on its way between coordinators: the bytes, which are read as they were written.
fn frame(of: &Value) -> Value {
    let metadata = serde_json::from_value(of["head"].clone()).unwrap();
    let frame = Frame {
        key: text(of, "key").as_bytes(),
        metadata,
        fields: fields(of, "fields"),
        body: text(of, "body").as_bytes(),
    };
    let position = Position::parse(text(of, "position")).unwrap();
    let mut message = frame::new_message(&position);
    frame.write(&mut message).unwrap();
    assert_eq!(frame::read(&message), Ok((position, vec![frame])));
    json!(hex(&message))
}

/// A part of the vectors, and what the code says to each `in` of it.
type Part = (&'static str, fn(&Value) -> Value);

const PARTS: [Part; 7] = [
    ("keys", key),
    ("hashes", hash),
    ("rings", order),
    ("verdicts", verdict),
    ("questions", question),
    ("decisions", decision),
    ("frames", self::frame),
];

#[test]
fn keys_are_what_they_were() {
    check("keys");
}

#[test]
fn hashes_are_what_they_were() {
    check("hashes");
}

#[test]
fn peers_own_what_they_owned() {
    check("rings");
}

#[test]
fn verdicts_are_read_and_written_as_they_were() {
    check("verdicts");
}

#[test]
fn questions_are_read_and_written_as_they_were() {
    check("questions");
}

#[test]
fn decisions_are_what_they_were() {
    check("decisions");
}

#[test]
fn frames_are_read_and_written_as_they_were() {
    check("frames");
}

/// Writes the vectors again, with what the code says now. For a change that is meant; never part of a test run.
#[cfg(not(target_family = "wasm"))]
#[test]
#[ignore = "writes protocol/vectors/golden.json"]
fn write_the_vectors_again() {
    let mut text = String::from("{\n");
    for (n, (part, say)) in PARTS.into_iter().enumerate() {
        let lines: Vec<_> = vectors(part)
            .iter()
            .map(|vector| format!("    {{\"in\": {},\n     \"out\": {}}}", vector["in"], say(&vector["in"])))
            .collect();
        text += &format!("  \"{part}\": [\n{}\n  ]{}\n", lines.join(",\n"), if n + 1 < PARTS.len() { "," } else { "" });
    }
    text += "}\n";
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/golden.json"), text).unwrap();
}
