//! Large files in slices: what each client gets, what the origin is asked, and who has what afterwards.
//!
//! Long: a row for each way in which an origin may answer a range, with the origin that does so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod plane;

use bytes::Bytes;
use http::Response;
use meshcache_coordinator::settings::Identity;
use meshcache_protocol::{Peer, Ring, purge::Scope};
use parking_lot::Mutex;
use plane::{Answer, Body, Front, Gate, MIB, Origin, Seen, answer, until};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::io::AsyncWriteExt;

const KIB: usize = 1024;
const SLICE: usize = 64 * KIB;
const FRESH: (&str, &str) = ("cache-control", "max-age=60");
/// All coordinators are asked for the same host.
const HOST: (&str, &str) = ("host", "h");

/// How the origin answers ranges.
#[derive(Clone, Copy, PartialEq)]
enum Ranges {
    /// As RFC 9110 has it.
    Right,
    /// With the whole.
    Ignored,
    /// With other bytes than its Content-Range says it was asked for.
    Shifted,
    /// With another length in its Content-Range for each.
    OtherLength,
    /// With one byte fewer than its Content-Range says.
    Short,
}

/// A file as an origin has it, and what it was asked.
struct Shelf {
    body: Bytes,
    tag: String,
    control: String,
    ranges: Ranges,
    /// Of each request: its range, or the method, and the status of the answer.
    asked: Vec<(String, u16)>,
}

type Shared = Arc<Mutex<Shelf>>;

fn numbered(length: usize, seed: usize) -> Bytes {
    (0..length).map(|n| (n / 7 + n / SLICE * 31 + seed) as u8).collect::<Vec<_>>().into()
}

fn shelf(length: usize, ranges: Ranges) -> Shared {
    let body = numbered(length, 0);
    let (tag, control) = ("\"1\"".to_owned(), FRESH.1.to_owned());
    Arc::new(Mutex::new(Shelf { body, tag, control, ranges, asked: Vec::new() }))
}

impl Shelf {
    fn change(&mut self, seed: usize) {
        self.body = numbered(self.body.len(), seed);
        self.tag = format!("\"{seed}\"");
    }

    fn answer(&mut self, seen: &Seen) -> Response<Body> {
        let field = |name: &str| seen.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let response = self.judge(seen, field("range"), field("if-match"), field("if-none-match"));
        let what =
            if seen.method == "GET" { field("range").unwrap_or_else(|| "GET".into()) } else { seen.method.clone() };
        self.asked.push((what, response.status().as_u16()));
        response
    }

    fn judge(
        &self,
        seen: &Seen,
        range: Option<String>,
        if_match: Option<String>,
        if_none_match: Option<String>,
    ) -> Response<Body> {
        let head = [("etag", &*self.tag), ("cache-control", &*self.control), ("surrogate-key", "film")];
        if if_match.is_some_and(|tag| tag != self.tag) {
            return answer(412, &[], "");
        }
        if if_none_match.is_some_and(|tag| tag == self.tag) {
            return answer(304, &head, "");
        }
        let range = range.filter(|_| self.ranges != Ranges::Ignored && seen.method == "GET");
        let Some((first, last)) = range.as_deref().and_then(|range| range.strip_prefix("bytes=")?.split_once('-'))
        else {
            return answer(200, &head, self.body.clone());
        };
        let length = self.body.len();
        let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
        if first >= length {
            return answer(416, &[("content-range", &format!("bytes */{length}"))], "");
        }
        let last = last.min(length - 1);
        let (said, body, total) = match self.ranges {
            Ranges::Shifted => ((first + 1, last), self.body.slice(first + 1..=last), length),
            Ranges::OtherLength => ((first, last), self.body.slice(first..=last), length + first),
            Ranges::Short => ((first, last), self.body.slice(first..last), length),
            _ => ((first, last), self.body.slice(first..=last), length),
        };
        let said = format!("bytes {}-{}/{total}", said.0, said.1);
        answer(206, &[&head[..], &[("content-range", &*said)]].concat(), body)
    }
}

async fn origin(shelf: &Shared) -> Origin {
    let shelf = shelf.clone();
    Origin::new(move |seen| {
        let response = shelf.lock().answer(&seen);
        async move { response }
    })
    .await
}

fn sliced() -> Value {
    json!({"limits": {"slices": "64KiB", "object": "1MiB"}})
}

async fn one(origin: &Origin) -> Front {
    Front::with(origin, sliced(), 256 * MIB, "me", Identity::None).await
}

async fn three(origin: &Origin) -> Vec<Arc<Front>> {
    let mut fronts = Vec::new();
    for name in ["one", "two", "three"] {
        fronts.push(Arc::new(Front::with(origin, sliced(), 256 * MIB, name, Identity::None).await));
    }
    plane::ring(&[("one", &*fronts[0]), ("two", &*fronts[1]), ("three", &*fronts[2])]);
    fronts
}

async fn get(front: &Front, fields: &[(&str, &str)]) -> Answer {
    front.ask("GET", "/film", &[&[HOST], fields].concat()).await
}

fn stored(front: &Front) -> u64 {
    front.cache.usage()[0].items
}

/// The requests of an origin, sorted.
fn asked(shelf: &Shared) -> Vec<String> {
    let mut asked: Vec<_> = shelf.lock().asked.iter().map(|(what, status)| format!("{what} {status}")).collect();
    asked.sort();
    asked
}

fn forget(shelf: &Shared) {
    shelf.lock().asked.clear();
}

async fn nothing_is_left(front: &Front) {
    until("nothing is left", || front.cache.in_flight() == (0, 0, 0) && front.metrics.flights.get() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_herd_at_three_coordinators_is_one_load_of_each_slice_and_each_has_its_share() {
    let shelf = shelf(40 * SLICE + 5, Ranges::Right);
    let origin = origin(&shelf).await;
    let fronts = three(&origin).await;
    let clients: Vec<_> = (0..30)
        .map(|n| {
            let front = fronts[n % 3].clone();
            tokio::spawn(async move { get(&front, &[]).await })
        })
        .collect();
    let file = shelf.lock().body.clone();
    for client in clients {
        let got = client.await.unwrap();
        assert_eq!((got.status.as_u16(), got.is_cut, got.header("etag")), (200, false, "\"1\""));
        assert_eq!(got.header("content-length"), file.len().to_string());
        assert!(
            got.body == file
                && got.headers.get("meshcache-slice").is_none()
                && got.headers.get("content-range").is_none()
        );
    }
    let each: Vec<_> = asked(&shelf);
    assert_eq!(each.len(), 41, "{each:?}");
    assert!(each.iter().all(|one| one.starts_with("bytes=") && one.ends_with(" 206")), "{each:?}");
    let shares: Vec<_> = fronts.iter().map(|front| stored(front)).collect();
    assert_eq!(shares.iter().sum::<u64>(), 41);
    assert!(shares.iter().all(|share| *share >= 5), "a file spreads over the mesh: {shares:?}");
    for front in &fronts {
        nothing_is_left(front).await;
        let again = get(front, &[]).await;
        assert!(again.body == file && again.header("cache-status").contains("hit"), "{:?}", again.headers);
        assert_eq!(front.group().peer_errors.get(), 0);
    }
    assert_eq!(origin.count(), 41);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_costs_its_slices_and_once_the_first() {
    let shelf = shelf(40 * SLICE, Ranges::Right);
    let origin = origin(&shelf).await;
    let front = one(&origin).await;
    let file = shelf.lock().body.clone();
    let at = 20 * SLICE - 10;
    let range = format!("bytes={at}-{}", at + 19);
    let got = get(&front, &[("range", &range)]).await;
    assert_eq!(
        (got.status.as_u16(), got.header("content-range")),
        (206, &*format!("bytes {at}-{}/{}", at + 19, file.len()))
    );
    assert!(got.body == file.slice(at..at + 20));
    assert_eq!(asked(&shelf), ["bytes=0-65535 206", "bytes=1245184-1310719 206", "bytes=1310720-1376255 206"]);
    let within = get(&front, &[("range", "bytes=1245185-1245186")]).await;
    assert!(within.body == file.slice(1_245_185..=1_245_186) && origin.count() == 3);
    let end = get(&front, &[("range", "bytes=-7")]).await;
    assert!(end.status == 206 && end.body == file.slice(file.len() - 7..) && origin.count() == 4);
    let past = get(&front, &[("range", "bytes=2621440-")]).await;
    assert_eq!((past.status.as_u16(), past.header("content-range")), (416, "bytes */2621440"));
    assert_eq!(stored(&front), 4);
    nothing_is_left(&front).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_conditions_and_several_ranges_are_answered_for_the_whole_file() {
    let shelf = shelf(3 * SLICE, Ranges::Right);
    let origin = origin(&shelf).await;
    let fronts = three(&origin).await;
    let file = shelf.lock().body.clone();
    assert!(get(&fronts[0], &[]).await.body == file);
    let loads = origin.count();
    assert_eq!(loads, 3);
    for front in &fronts {
        let head = front.ask("HEAD", "/film", &[HOST]).await;
        assert_eq!((head.status.as_u16(), head.header("content-length"), head.body.len()), (200, "196608", 0));
        let same = get(front, &[("if-none-match", "\"1\"")]).await;
        assert_eq!((same.status.as_u16(), same.body.len()), (304, 0));
        let other = get(front, &[("if-none-match", "\"0\"")]).await;
        assert!(other.status == 200 && other.body == file);
        let range = ("range", "bytes=65530-65540");
        let current = get(front, &[range, ("if-range", "\"1\"")]).await;
        assert!(current.status == 206 && current.body == file.slice(65_530..=65_540));
        let gone = get(front, &[range, ("if-range", "\"0\"")]).await;
        assert!(gone.status == 200 && gone.body == file);
        let several = get(front, &[("range", "bytes=0-0,100000-100000")]).await;
        assert!(several.status == 200 && several.body == file);
    }
    assert_eq!(origin.count(), loads);
    let own = get(&fronts[0], &[("if-match", "\"1\"")]).await;
    assert!(own.body == file && origin.count() == loads + 1, "only the origin may answer it");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_larger_than_a_slice_is_an_ordinary_entry() {
    for (length, slices) in [(0, 1), (1, 1), (SLICE, 1), (SLICE + 1, 2), (2 * SLICE, 2)] {
        let shelf = shelf(length, Ranges::Right);
        let origin = origin(&shelf).await;
        let front = one(&origin).await;
        let file = shelf.lock().body.clone();
        for _ in 0..2 {
            let got = get(&front, &[]).await;
            assert!(got.status == 200 && got.body == file && !got.is_cut, "{length}: {got:?}");
            assert!(got.headers.get("content-range").is_none(), "{length}");
        }
        // An empty file has no range: it is asked for once more.
        assert_eq!((origin.count(), stored(&front)), (if length == 0 { 2 } else { slices }, slices as u64), "{length}");
        let proxy = front.question("/film", &[HOST]).await;
        let outcome = proxy.header("meshcache-outcome");
        assert_eq!(outcome.contains("shared"), slices == 1, "{length}: {outcome}");
        assert!(proxy.body == file);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_had_in_slices_is_loaded_whole() {
    for (ranges, tag, requests) in [
        (Ranges::Ignored, "\"1\"", 1),
        (Ranges::Shifted, "\"1\"", 2),
        (Ranges::Short, "\"1\"", 2),
        (Ranges::Right, "W/\"1\"", 2),
        (Ranges::Right, "\"spa ce\"", 2),
    ] {
        for large in [false, true] {
            let shelf = shelf(if large { 20 * SLICE } else { 4 * SLICE }, ranges);
            shelf.lock().tag = tag.to_owned();
            let origin = origin(&shelf).await;
            let front = one(&origin).await;
            let file = shelf.lock().body.clone();
            let first = get(&front, &[]).await;
            assert!(first.status == 200 && first.body == file && !first.is_cut, "{tag} {large}: {:?}", first.headers);
            assert_eq!(origin.count(), requests, "{tag} {large}");
            let second = get(&front, &[]).await;
            assert!(second.status == 200 && second.body == file && !second.is_cut, "{tag} {large}");
            assert_eq!(
                origin.count(),
                requests + usize::from(large),
                "{tag} {large}: over limits.object each loads it"
            );
            assert_eq!(stored(&front), u64::from(!large));
            nothing_is_left(&front).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_for_one_client_alone_comes_whole() {
    let shelf = shelf(4 * SLICE, Ranges::Right);
    shelf.lock().control = "private".into();
    let origin = origin(&shelf).await;
    let front = one(&origin).await;
    let file = shelf.lock().body.clone();
    for _ in 0..3 {
        let got = get(&front, &[]).await;
        assert!(got.status == 200 && got.body == file, "{:?}", got.headers);
    }
    assert_eq!(
        (asked(&shelf), stored(&front)),
        (vec!["GET 200".into(), "GET 200".into(), "GET 200".into(), "bytes=0-65535 206".into()], 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_ends_is_cut_and_never_mixed_and_the_next_request_has_the_new_one() {
    let shelf = shelf(8 * SLICE, Ranges::Right);
    let origin = origin(&shelf).await;
    let fronts = three(&origin).await;
    let old = shelf.lock().body.clone();
    // Of the old version the first slices are stored.
    assert_eq!(get(&fronts[0], &[("range", "bytes=0-131071")]).await.body, old.slice(..131_072));
    shelf.lock().change(2);
    let new = shelf.lock().body.clone();
    let cut = get(&fronts[0], &[]).await;
    assert!(cut.is_cut && cut.header("etag") == "\"1\"", "{:?}", cut.headers);
    assert!(old.starts_with(&cut.body) && cut.body.len() < old.len(), "no byte of the new one");
    for front in &fronts {
        let got = get(front, &[]).await;
        assert_eq!((got.status.as_u16(), got.header("etag"), got.is_cut), (200, "\"2\"", false));
        assert!(got.body == new);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_ends_before_a_byte_is_sent_is_loaded_anew() {
    let shelf = shelf(8 * SLICE, Ranges::Right);
    let origin = origin(&shelf).await;
    for fronts in [three(&origin).await, vec![Arc::new(one(&origin).await)]] {
        get(&fronts[0], &[("range", "bytes=0-1")]).await;
        let seed = origin.count();
        shelf.lock().change(seed);
        let new = shelf.lock().body.clone();
        for front in &fronts {
            let got = get(front, &[("range", "bytes=300000-300009")]).await;
            assert_eq!((got.status.as_u16(), got.header("etag")), (206, &*format!("\"{seed}\"")));
            assert!(got.body == new.slice(300_000..=300_009));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_while_it_is_read_is_cut_for_those_who_read_it() {
    let shelf = shelf(20 * SLICE, Ranges::Right);
    let gate = Gate::closed();
    let (own, shared) = (gate.clone(), shelf.clone());
    // The first slices at once, the others when the test lets them go.
    let origin = Origin::new(move |seen| {
        let (gate, shelf) = (own.clone(), shared.clone());
        async move {
            if seen.n >= 3 {
                gate.pass().await;
            }
            shelf.lock().answer(&seen)
        }
    })
    .await;
    let front = Arc::new(one(&origin).await);
    let reads: Vec<_> = (0..5)
        .map(|_| {
            let front = front.clone();
            tokio::spawn(async move { get(&front, &[]).await })
        })
        .collect();
    until("it waits for the fourth", || origin.count() == 4).await;
    let old = shelf.lock().body.clone();
    shelf.lock().change(9);
    let new = shelf.lock().body.clone();
    gate.open();
    for read in reads {
        let got = read.await.unwrap();
        let (from, is_cut) = if got.header("etag") == "\"1\"" { (&old, true) } else { (&new, false) };
        assert!(from.starts_with(&got.body) && got.is_cut == is_cut, "{} bytes", got.body.len());
    }
    assert!(get(&front, &[]).await.body == new);
    nothing_is_left(&front).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_whose_lengths_differ_is_believed_by_nobody() {
    let shelf = shelf(4 * SLICE, Ranges::OtherLength);
    let origin = origin(&shelf).await;
    let front = one(&origin).await;
    let got = get(&front, &[]).await;
    let file = shelf.lock().body.clone();
    assert!(got.is_cut && got.body == file.slice(..SLICE), "{} bytes", got.body.len());
    nothing_is_left(&front).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slice_that_breaks_off_is_gone_on_with() {
    let body = numbered(4 * SLICE, 0);
    let (file, broken) = (body.clone(), Arc::new(Mutex::new(Vec::new())));
    let origin = Origin::scripted(move |_, mut stream| {
        let (file, broken) = (file.clone(), broken.clone());
        async move {
            let head = plane::read_head(&mut stream).await;
            let Some(range) = head.lines().find_map(|line| line.strip_prefix("range: bytes=")) else { return };
            let (first, last) = range.split_once('-').unwrap();
            let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
            let said = format!(
                "HTTP/1.1 206 Partial Content\r\netag: \"1\"\r\ncache-control: max-age=60\r\ncontent-length: {}\r\ncontent-range: bytes {first}-{last}/{}\r\nconnection: close\r\n\r\n",
                last - first + 1,
                file.len()
            );
            let is_first_time = {
                let mut all = broken.lock();
                let is_new = !all.contains(&first);
                all.push(first);
                is_new
            };
            stream.write_all(said.as_bytes()).await.unwrap();
            // Of each later slice the first time half.
            let _ = stream.write_all(&file[first..first + SLICE / 2]).await;
            if first > 0 && is_first_time {
                return;
            }
            let _ = stream.write_all(&file[first + SLICE / 2..=last]).await;
        }
    })
    .await;
    let front = one(&origin).await;
    let got = get(&front, &[]).await;
    assert!(got.body == body && !got.is_cut, "{} bytes", got.body.len());
    assert_eq!((origin.count(), stored(&front)), (7, 4), "each later slice twice");
    nothing_is_left(&front).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_takes_all_slices_everywhere() {
    for scope in [
        Scope { group: Some("g".into()), paths: vec!["/film".into()], ..Scope::default() },
        Scope { urls: vec!["http://h/film".into()], ..Scope::default() },
        Scope { group: Some("g".into()), prefixes: vec!["/fi".into()], ..Scope::default() },
        Scope { group: Some("g".into()), tags: vec!["film".into()], ..Scope::default() },
        Scope { all: true, ..Scope::default() },
    ] {
        let shelf = shelf(20 * SLICE, Ranges::Right);
        let origin = origin(&shelf).await;
        let fronts = three(&origin).await;
        get(&fronts[0], &[]).await;
        assert_eq!(fronts.iter().map(|front| stored(front)).sum::<u64>(), 20);
        for front in &fronts {
            meshcache_coordinator::purge::execute::issue(&front.cache, scope.clone(), false);
            assert_eq!(stored(front), 0, "{scope:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsafe_request_takes_the_version_and_a_file_that_is_the_same_keeps_its_slices() {
    let shelf = shelf(6 * SLICE, Ranges::Right);
    let origin = origin(&shelf).await;
    let front = one(&origin).await;
    get(&front, &[]).await;
    forget(&shelf);
    front.ask("POST", "/film", &[HOST]).await;
    assert!(get(&front, &[]).await.body == shelf.lock().body);
    assert_eq!(asked(&shelf), ["POST 200", "bytes=0-65535 206"], "the others are still of this version");
    shelf.lock().change(3);
    front.ask("POST", "/film", &[HOST]).await;
    let got = get(&front, &[]).await;
    assert!(got.body == shelf.lock().body && !got.is_cut);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_file_is_confirmed_by_its_first_slice() {
    let shelf = shelf(6 * SLICE, Ranges::Right);
    shelf.lock().control = "no-cache".into();
    let origin = origin(&shelf).await;
    let fronts = three(&origin).await;
    let file = shelf.lock().body.clone();
    assert!(get(&fronts[0], &[]).await.body == file);
    forget(&shelf);
    for front in &fronts {
        let got = get(front, &[]).await;
        assert!(got.body == file && !got.is_cut);
    }
    assert_eq!(asked(&shelf), ["bytes=0-65535 304"; 3]);
    shelf.lock().change(5);
    let got = get(&fronts[1], &[]).await;
    assert!(got.body == shelf.lock().body && got.header("etag") == "\"5\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_size_of_slices_or_none_begins_anew() {
    let shelf = shelf(6 * SLICE, Ranges::Right);
    let origin = origin(&shelf).await;
    let fronts = three(&origin).await;
    let file = shelf.lock().body.clone();
    assert!(get(&fronts[0], &[]).await.body == file && origin.count() == 6);
    for limits in [json!({"slices": "128KiB"}), json!({"slices": "64KiB"}), json!({})] {
        // One after another, as files of configurations come.
        for changed in 0..3 {
            fronts[changed].reload(&origin, json!({"limits": limits}));
            for front in &fronts {
                let got = get(front, &[]).await;
                assert!(got.body == file && !got.is_cut, "{limits} {changed}: {} bytes", got.body.len());
                let part = get(front, &[("range", "bytes=200000-299999")]).await;
                assert!(part.body == file.slice(200_000..300_000), "{limits} {changed}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_gets_the_whole_file_whether_it_takes_streams_or_not() {
    let shelf = shelf(6 * SLICE, Ranges::Right);
    let origin = origin(&shelf).await;
    let fronts = three(&origin).await;
    let file = shelf.lock().body.clone();
    for words in ["patience=500", "patience=500; streams"] {
        for front in &fronts {
            let got = front.question_with(words, "/film", &[HOST]).await;
            let outcome = got.header("meshcache-outcome");
            assert!(got.status == 200 && got.body == file && !outcome.contains("shared"), "{words}: {outcome}");
            assert!(got.headers.get("meshcache-slice").is_none());
            let part = front.question_with(words, "/film", &[HOST, ("range", "bytes=70000-70001")]).await;
            assert!(part.status == 206 && part.body == file.slice(70_000..=70_001));
            // Slices are for coordinators alone.
            let sly = front.question_with(words, "/film", &[HOST, ("meshcache-slice", "0/65536")]).await;
            assert!(sly.body == file);
        }
    }
    assert_eq!(origin.count(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_is_told_in_time_that_the_slice_that_it_needs_is_being_loaded() {
    let shelf = shelf(6 * SLICE, Ranges::Right);
    let gate = Gate::closed();
    let (own, shared) = (gate.clone(), shelf.clone());
    let origin = Origin::new(move |seen| {
        let (gate, shelf) = (own.clone(), shared.clone());
        async move {
            if seen.n > 0 {
                gate.pass().await;
            }
            shelf.lock().answer(&seen)
        }
    })
    .await;
    let front = one(&origin).await;
    let range = ("range", "bytes=200000-200009");
    for words in ["patience=50; streams", "patience=50"] {
        let early = front.question_with(words, "/film", &[HOST, range]).await;
        assert!(early.header("meshcache-outcome").starts_with("loading"), "{words}: {:?}", early.headers);
    }
    gate.open();
    let part = front.question_with("patience=10000; streams", "/film", &[HOST, range]).await;
    assert!(part.status == 206 && part.body == shelf.lock().body.slice(200_000..=200_009));
    assert_eq!(origin.count(), 2, "all of them waited for the same load");
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_of_a_version_that_ended_do_not_cost_the_new_one_its_first_slice() {
    let shelf = shelf(256 * SLICE, Ranges::Right);
    let origin = origin(&shelf).await;
    let front = one(&origin).await;
    let mut readers = Vec::new();
    for _ in 0..3 {
        let mut reader = plane::stream::get(front.data, "/film").await;
        reader.read(1).await;
        readers.push(reader);
    }
    shelf.lock().change(2);
    let new = shelf.lock().body.clone();
    // What is stored of the old version goes, so that each reader comes to its end.
    let all = Scope { all: true, ..Scope::default() };
    meshcache_coordinator::purge::execute::issue(&front.cache, all, false);
    assert!(get(&front, &[]).await.body == new);
    forget(&shelf);
    for reader in readers {
        assert!(!reader.end().await.1, "it is cut");
        assert!(get(&front, &[]).await.body == new);
    }
    let first = asked(&shelf).into_iter().filter(|one| one.starts_with("bytes=0-")).count();
    assert_eq!(first, 0, "{:?}", asked(&shelf));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_holds_no_slice_has_none() {
    let shelf = shelf(8 * SLICE, Ranges::Right);
    let origin = origin(&shelf).await;
    let front = Front::with(&origin, sliced(), SLICE as u64 / 2, "me", Identity::None).await;
    let file = shelf.lock().body.clone();
    for _ in 0..2 {
        assert!(get(&front, &[]).await.body == file);
    }
    assert_eq!(asked(&shelf), ["GET 200", "GET 200"]);
    nothing_is_left(&front).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_a_proxy_cannot_take_whole_passes_there() {
    let shelf = shelf(31 << 20, Ranges::Right);
    let origin = origin(&shelf).await;
    let front = one(&origin).await;
    let whole = front.question_with("patience=500", "/film", &[HOST]).await;
    assert!(whole.header("meshcache-outcome").starts_with("pass; reason=too-large"), "{:?}", whole.headers);
    assert_eq!(origin.count(), 1, "no more than the first slice was loaded for it");
    let streams = front.question_with("patience=500; streams", "/film", &[HOST]).await;
    assert!(streams.body == shelf.lock().body);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_is_gone_costs_no_byte() {
    let shelf = shelf(20 * SLICE, Ranges::Right);
    let origin = origin(&shelf).await;
    let front = one(&origin).await;
    let refused = plane::port::Refused::new();
    let peer = |name: &str, data: String, peer: String| Peer { name: name.into(), data, peer };
    let gone = peer("gone", refused.addr.to_string(), refused.addr.to_string());
    let me = peer("me", front.data.to_string(), front.peer.to_string());
    front.cache.cluster.set_ring(Arc::new(Ring::new(vec![me, gone])));
    front.cache.set_peer_token(Some("token".into()));
    let got = get(&front, &[]).await;
    assert!(got.body == shelf.lock().body && !got.is_cut, "{} bytes", got.body.len());
    assert_eq!((origin.count(), stored(&front)), (20, 20));
    nothing_is_left(&front).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slices_of_what_is_asked_for_once_take_no_memory() {
    let shelf = shelf(5 * SLICE, Ranges::Right);
    let origin = origin(&shelf).await;
    let front = one(&origin).await;
    let mut group = sliced();
    group["minUses"] = 2.into();
    front.reload(&origin, group);
    let file = shelf.lock().body.clone();
    for (stored_then, loads) in [(0, 5), (5, 10), (5, 10)] {
        assert!(get(&front, &[]).await.body == file);
        assert_eq!((stored(&front), origin.count()), (stored_then, loads));
    }
}
