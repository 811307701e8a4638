//! The leave of a load: one request of a proxy that takes whole bodies alone passes, and all others wait for the load.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod plane;

use meshcache_coordinator::settings::Identity;
use plane::{Answer, Front, Gate, MIB, Origin, until};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::io::AsyncWriteExt;

const HOST: (&str, &str) = ("host", "h");
/// A question waits for as long as its group does; no test here waits that long for an answer.
const FOREVER: &str = "patience=3600000; leave";

/// An origin that sends its head and half of its body at once, and the rest when the gate is open.
async fn held() -> (Origin, Gate) {
    let gate = Gate::closed();
    let own = gate.clone();
    let origin = Origin::scripted(move |_, mut stream| {
        let gate = own.clone();
        async move {
            plane::read_head(&mut stream).await;
            let head =
                "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 10\r\nconnection: close\r\n\r\n01234";
            let _ = stream.write_all(head.as_bytes()).await;
            gate.pass().await;
            let _ = stream.write_all(b"56789").await;
        }
    });
    (origin.await, gate)
}

fn verdict(answer: &Answer) -> &str {
    answer.header("meshcache-outcome")
}

/// The words with which a question comes back for its flight.
fn again(answer: &Answer) -> String {
    let flight = verdict(answer).split("; ").find(|word| word.starts_with("flight=")).expect("a flight");
    format!("{flight}; {FOREVER}")
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_those_who_wait_has_leave_and_the_others_have_the_whole() {
    let (origin, gate) = held().await;
    let front = Arc::new(Front::new(&origin, json!({"patience": "1h", "streamAfter": "20ms"})).await);
    let ask = |words: &str| {
        let (front, words) = (front.clone(), words.to_owned());
        tokio::spawn(async move { front.question_with(&words, "/", &[HOST]).await })
    };
    let mut waiting: Vec<_> = (0..5).map(|_| ask(FOREVER)).collect();
    until("one has leave", || waiting.iter().any(|one| one.is_finished())).await;
    let at = waiting.iter().position(tokio::task::JoinHandle::is_finished).unwrap();
    let first = waiting.remove(at).await.unwrap();
    assert!(verdict(&first).starts_with("loading; flight=") && verdict(&first).contains("; leave"), "{first:?}");
    // Its proxy comes back for the others who wait there; and one joins who has not asked before.
    waiting.extend([ask(&again(&first)), ask(FOREVER)]);
    until("six wait", || front.cache.in_flight().0 == 6).await;
    gate.open();
    for answer in waiting {
        let answer = answer.await.unwrap();
        assert_eq!((answer.text(), verdict(&answer).contains("leave")), ("0123456789", false), "{answer:?}");
    }
    assert_eq!(origin.count(), 1, "the load; the other request is the proxy's");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_ask_for_leave_is_not_given_it_and_who_joins_later_has_it_at_once() {
    let (origin, gate) = held().await;
    let front = Front::new(&origin, json!({"patience": "1h", "streamAfter": "0s"})).await;
    for words in ["patience=100", "patience=100; streams"] {
        let answer = plane_head(&front, words).await;
        assert!(!answer.contains("leave"), "{words}: {answer}");
    }
    let late = front.question_with(FOREVER, "/", &[HOST]).await;
    assert!(verdict(&late).ends_with("; leave"), "{late:?}");
    gate.open();
    assert_eq!(front.question_with(&again(&late), "/", &[HOST]).await.text(), "0123456789");
}

/// The verdict of a question, without its body.
async fn plane_head(front: &Front, words: &str) -> String {
    let rules = front.cache.groups().named("g").unwrap().digest().to_owned();
    let said = format!("1; group=g; rules={rules}; {words}");
    let request = format!("GET / HTTP/1.1\r\nhost: h\r\nmeshcache-wire: {said}\r\nconnection: close\r\n\r\n");
    let mut stream = tokio::net::TcpStream::connect(front.data).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let head = plane::read_head(&mut stream).await;
    head.lines().find(|line| line.starts_with("meshcache-outcome")).expect("a verdict").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_has_leave_of_a_load_that_may_take_its_time() {
    let (origin, gate) = held().await;
    let front = Front::new(&origin, json!({"streamAfter": "1h"})).await;
    let answer = front.question_with("patience=50; leave", "/", &[HOST]).await;
    assert!(verdict(&answer).starts_with("loading") && !verdict(&answer).contains("leave"), "{answer:?}");
    gate.open();
    assert_eq!(front.question_with(&again(&answer), "/", &[HOST]).await.text(), "0123456789");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_is_not_the_owner_gives_the_owners_leave_and_no_second_one() {
    let (origin, gate) = held().await;
    let fields: Value = json!({"patience": "1h", "streamAfter": "20ms"});
    let mut fronts = Vec::new();
    for name in ["one", "two"] {
        fronts.push(Front::with(&origin, fields.clone(), 64 * MIB, name, Identity::None).await);
    }
    plane::ring(&[("one", &fronts[0]), ("two", &fronts[1])]);
    // One of the two is not the owner, whichever it is.
    let both = async |words: &'static str| {
        let (one, two) =
            tokio::join!(fronts[0].question_with(words, "/", &[HOST]), fronts[1].question_with(words, "/", &[HOST]));
        [one, two]
    };
    let first = tokio::select! {
        one = fronts[0].question_with(FOREVER, "/", &[HOST]) => one,
        two = fronts[1].question_with(FOREVER, "/", &[HOST]) => two,
    };
    assert!(verdict(&first).ends_with("; leave"), "{first:?}");
    for answer in both("patience=200; leave").await {
        assert!(verdict(&answer).starts_with("loading") && !verdict(&answer).contains("leave"), "{answer:?}");
    }
    gate.open();
    for answer in both(FOREVER).await {
        assert_eq!(answer.text(), "0123456789");
    }
    assert_eq!(origin.count(), 1);
}
