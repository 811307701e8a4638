use super::*;
use std::time::Duration;
use tokio::time::{advance, pause};

const MOST: Bounds = Bounds { flights: 2, waiters: 3 };

fn nothing<T>() -> Option<T> {
    None
}

fn key(n: u8) -> Key {
    Key::from_bytes(vec![1, 0, 0, 0, n])
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(1)
}

#[tokio::test]
async fn the_first_flies_and_the_others_join() {
    let flights = Flights::new(MOST);
    let (first, takeoff) = flights.join(&key(1), None, nothing).unwrap();
    let (second, none) = flights.join(&key(1), None, nothing).unwrap();
    assert!(none.is_none());
    drop(first);
    takeoff.unwrap().land("x");
    assert_eq!(second.wait(soon()).await, Waited::Landed("x"), "although the first has hung up");
    assert_eq!(flights.counts(), (0, 0));
    assert!(flights.join(&key(1), None, nothing).unwrap().1.is_some(), "the next one starts anew");
}

#[tokio::test]
async fn what_the_flight_before_has_left_is_not_loaded_again() {
    let flights = Flights::new(MOST);
    let (seat, none) = flights.join(&key(1), None, || Some("left")).unwrap();
    assert!(none.is_none());
    assert_eq!(seat.wait(soon()).await, Waited::Landed("left"));
    assert_eq!(flights.counts(), (0, 0), "nobody else is given it");
    let (_seat, flying) = flights.join(&key(1), None, nothing).unwrap();
    let (_other, none) = flights.join(&key(1), None, || panic!("the store is not asked while one flies")).unwrap();
    assert!(flying.is_some() && none.is_none());
}

#[tokio::test]
async fn another_coordinator_waits_only_for_what_comes_from_the_origin() {
    let flights = Flights::new(MOST);
    assert!(flights.find(&key(1)).is_none());
    let (_seat, takeoff) = flights.join(&key(1), None, nothing).unwrap();
    let takeoff = takeoff.unwrap();
    assert!(flights.find(&key(1)).is_none() && flights.find(&key(2)).is_none());
    takeoff.loads();
    let found = flights.find(&key(1)).unwrap();
    takeoff.land("x");
    assert_eq!(found.wait(soon()).await, Waited::Landed("x"));
    assert_eq!(flights.counts().0, 0);
}

#[tokio::test]
async fn each_waiter_has_its_own_deadline() {
    pause();
    let flights = Flights::new(MOST);
    let (hasty, takeoff) = flights.join(&key(1), None, nothing).unwrap();
    let (patient, _) = flights.join(&key(1), None, nothing).unwrap();
    let patient = tokio::spawn(patient.wait(soon()));
    assert_eq!(hasty.wait(Instant::now() + Duration::from_millis(10)).await, Waited::Late);
    advance(Duration::from_millis(500)).await;
    takeoff.unwrap().land(7);
    assert_eq!(patient.await.unwrap(), Waited::Landed(7));
}

#[tokio::test]
async fn a_panic_ends_the_flight_for_everybody() {
    let flights = Flights::<u8>::new(MOST);
    let (seat, takeoff) = flights.join(&key(1), None, nothing).unwrap();
    let flown = tokio::spawn(async move {
        let _takeoff = takeoff;
        std::panic::panic_any(());
    });
    assert!(flown.await.is_err());
    assert_eq!(seat.wait(soon()).await, Waited::Crashed);
    assert_eq!(flights.counts(), (0, 0));
}

#[tokio::test]
async fn flights_and_waiters_are_bounded() {
    let flights = Flights::<u8>::new(MOST);
    let one = flights.join(&key(1), None, nothing).unwrap();
    let two = flights.join(&key(2), None, nothing).unwrap();
    assert_eq!(flights.join(&key(3), None, nothing).err(), Some(Full), "a third flight");
    let three = flights.join(&key(1), None, nothing).unwrap();
    assert_eq!(flights.join(&key(1), None, nothing).err(), Some(Full), "a fourth waiter");
    drop((one, two, three));
    assert_eq!(flights.counts(), (0, 0));
}

#[tokio::test]
async fn nobody_joins_what_a_purge_has_named() {
    let flights = Flights::new(MOST);
    let (before, old) = flights.join(&key(1), None, nothing).unwrap();
    flights.detach(|k| *k == key(1));
    let (after, new) = flights.join(&key(1), None, nothing).unwrap();
    old.unwrap().land("old");
    assert_eq!(flights.counts().0, 1, "the old flight takes only itself out");
    new.unwrap().land("new");
    assert_eq!(before.wait(soon()).await, Waited::Landed("old"));
    assert_eq!(after.wait(soon()).await, Waited::Landed("new"));
}

#[tokio::test]
async fn who_wants_a_newer_answer_shares_the_flight_that_follows() {
    pause();
    let flights = Flights::new(Bounds { flights: 2, waiters: 9 });
    let (early, first) = flights.join(&key(1), Some(Newer::than(Instant::now())), nothing).unwrap();
    advance(Duration::from_millis(1)).await;
    let asked = Instant::now();
    let (one, second) = flights.join(&key(1), Some(Newer::than(asked)), nothing).unwrap();
    let (two, none) = flights.join(&key(1), Some(Newer::than(asked)), nothing).unwrap();
    assert!(none.is_none());
    let mut second = second.unwrap();
    let (plain, none) = flights.join(&key(1), None, nothing).unwrap();
    assert!(none.is_none());
    let flown = tokio::spawn(async move {
        second.clear().await;
        second
    });
    tokio::task::yield_now().await;
    assert!(!flown.is_finished(), "the first is still under way");
    first.unwrap().land("old");
    let second = flown.await.unwrap();
    assert_eq!((early.wait(soon()).await, plain.wait(soon()).await), (Waited::Landed("old"), Waited::Landed("old")));
    let (late, none) = flights.join(&key(1), Some(Newer::than(asked)), nothing).unwrap();
    assert!(none.is_none(), "it began after that, too");
    second.land("new");
    for seat in [one, two, late] {
        assert_eq!(seat.wait(soon()).await, Waited::Landed("new"));
    }
    assert_eq!(flights.counts(), (0, 0));
}

#[tokio::test]
async fn who_asks_again_stays_with_the_flight_that_it_waited_for() {
    pause();
    let flights: Flights<&str> = Flights::new(Bounds { flights: 3, waiters: 9 });
    let (_first, flying) = flights.join(&key(1), Some(Newer::ago(Duration::ZERO)), nothing).unwrap();
    let _other = flights.join(&key(2), None, nothing).unwrap();
    advance(Duration::from_millis(1000)).await;
    // Its second question was on its way for longer than the first.
    let again = || flights.join(&key(1), Some(Newer::ago(Duration::from_millis(980))), nothing).unwrap();
    let (seat, none) = again();
    assert!(none.is_none() && seat.landed.same_channel(&flying.as_ref().unwrap().land.subscribe()));
    let (newer, follows) = flights.join(&key(1), Some(Newer::ago(Duration::from_millis(500))), nothing).unwrap();
    assert!(follows.is_some(), "who came half a second after it began wants another");
    let (seat, none) = again();
    assert!(none.is_none() && seat.landed.same_channel(&newer.landed), "now it may be one who was refused the first");
}
