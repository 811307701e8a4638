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

fn flights<T: Clone>(most: Bounds) -> Flights<T> {
    Flights::new(most, Numbers::from(1))
}

fn newer(than: Instant) -> Wants {
    Wants { newer: Some(than), told: 0 }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(1)
}

#[tokio::test]
async fn the_first_flies_and_the_others_join() {
    let flights = flights(MOST);
    let (first, takeoff) = flights.join(&key(1), Wants::default(), nothing).unwrap();
    let (second, none) = flights.join(&key(1), Wants::default(), nothing).unwrap();
    assert!(none.is_none());
    drop(first);
    takeoff.unwrap().land("x", 0);
    assert_eq!(second.wait(soon()).await, Waited::Landed("x"), "although the first has hung up");
    assert_eq!(flights.counts(), (0, 0));
    assert!(flights.join(&key(1), Wants::default(), nothing).unwrap().1.is_some(), "the next one starts anew");
}

#[tokio::test]
async fn what_the_flight_before_has_left_is_not_loaded_again() {
    let flights = flights(MOST);
    let (seat, none) = flights.join(&key(1), Wants::default(), || Some("left")).unwrap();
    assert!(none.is_none());
    assert_eq!(seat.wait(soon()).await, Waited::Landed("left"));
    assert_eq!(flights.counts(), (0, 0), "nobody else is given it");
    let (_seat, flying) = flights.join(&key(1), Wants::default(), nothing).unwrap();
    let (_other, none) =
        flights.join(&key(1), Wants::default(), || panic!("the store is not asked while one flies")).unwrap();
    assert!(flying.is_some() && none.is_none());
}

#[tokio::test]
async fn another_coordinator_waits_only_for_what_comes_from_the_origin() {
    let flights = flights(MOST);
    assert!(flights.find(&key(1)).is_none());
    let (_seat, takeoff) = flights.join(&key(1), Wants::default(), nothing).unwrap();
    let takeoff = takeoff.unwrap();
    assert!(flights.find(&key(1)).is_none() && flights.find(&key(2)).is_none());
    takeoff.loads();
    let found = flights.find(&key(1)).unwrap();
    takeoff.land("x", 0);
    assert_eq!(found.wait(soon()).await, Waited::Landed("x"));
    assert_eq!(flights.counts().0, 0);
}

#[tokio::test]
async fn each_waiter_has_its_own_deadline() {
    pause();
    let flights = flights(MOST);
    let (hasty, takeoff) = flights.join(&key(1), Wants::default(), nothing).unwrap();
    let (patient, _) = flights.join(&key(1), Wants::default(), nothing).unwrap();
    let patient = tokio::spawn(patient.wait(soon()));
    assert!(matches!(hasty.wait(Instant::now() + Duration::from_millis(10)).await, Waited::Late(_)));
    advance(Duration::from_millis(500)).await;
    takeoff.unwrap().land(7, 0);
    assert_eq!(patient.await.unwrap(), Waited::Landed(7));
}

#[tokio::test]
async fn a_panic_ends_the_flight_for_everybody() {
    let flights = flights::<u8>(MOST);
    let (seat, takeoff) = flights.join(&key(1), Wants::default(), nothing).unwrap();
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
    let flights = flights::<u8>(MOST);
    let one = flights.join(&key(1), Wants::default(), nothing).unwrap();
    let two = flights.join(&key(2), Wants::default(), nothing).unwrap();
    assert_eq!(flights.join(&key(3), Wants::default(), nothing).err(), Some(Full), "a third flight");
    let three = flights.join(&key(1), Wants::default(), nothing).unwrap();
    assert_eq!(flights.join(&key(1), Wants::default(), nothing).err(), Some(Full), "a fourth waiter");
    drop((one, two, three));
    assert_eq!(flights.counts(), (0, 0));
}

#[tokio::test]
async fn nobody_joins_what_a_purge_has_named() {
    let flights = flights(MOST);
    let (before, old) = flights.join(&key(1), Wants::default(), nothing).unwrap();
    flights.detach(|k| *k == key(1));
    let (after, new) = flights.join(&key(1), Wants::default(), nothing).unwrap();
    old.unwrap().land("old", 0);
    assert_eq!(flights.counts().0, 1, "the old flight takes only itself out");
    new.unwrap().land("new", 0);
    assert_eq!(before.wait(soon()).await, Waited::Landed("old"));
    assert_eq!(after.wait(soon()).await, Waited::Landed("new"));
}

#[tokio::test]
async fn who_wants_a_newer_answer_shares_the_flight_that_follows() {
    pause();
    let flights = flights(Bounds { flights: 2, waiters: 9 });
    let (early, first) = flights.join(&key(1), newer(Instant::now()), nothing).unwrap();
    advance(Duration::from_millis(1)).await;
    let asked = Instant::now();
    let (one, second) = flights.join(&key(1), newer(asked), nothing).unwrap();
    let (two, none) = flights.join(&key(1), newer(asked), nothing).unwrap();
    assert!(none.is_none());
    let mut second = second.unwrap();
    let (plain, none) = flights.join(&key(1), Wants::default(), nothing).unwrap();
    assert!(none.is_none());
    let flown = tokio::spawn(async move {
        second.clear().await;
        second
    });
    tokio::task::yield_now().await;
    assert!(!flown.is_finished(), "the first is still under way");
    first.unwrap().land("old", 0);
    let second = flown.await.unwrap();
    assert_eq!((early.wait(soon()).await, plain.wait(soon()).await), (Waited::Landed("old"), Waited::Landed("old")));
    let (late, none) = flights.join(&key(1), newer(asked), nothing).unwrap();
    assert!(none.is_none(), "it began after that, too");
    second.land("new", 0);
    for seat in [one, two, late] {
        assert_eq!(seat.wait(soon()).await, Waited::Landed("new"));
    }
    assert_eq!(flights.counts(), (0, 0));
}

/// Waits in vain, and is told what to say when it comes back.
async fn told<T: Clone>(seat: Seat<T>) -> u64 {
    match seat.wait(Instant::now() + Duration::from_millis(10)).await {
        Waited::Late(told) => told,
        _ => panic!("it has landed"),
    }
}

#[tokio::test]
async fn who_asks_again_stays_with_the_flight_that_it_waited_for() {
    pause();
    let flights = flights(Bounds { flights: 3, waiters: 9 });
    let (leader, first) = flights.join(&key(1), newer(Instant::now()), nothing).unwrap();
    let (number, leader) = (leader.number, told(leader).await);
    let later = Instant::now();
    let (late, second) = flights.join(&key(1), newer(later), nothing).unwrap();
    let late = told(late).await;
    // However long its second question was on its way.
    advance(Duration::from_millis(1000)).await;
    let came = Wants { newer: Some(Instant::now()), told: leader };
    assert!(came.leads(number) && came.is_in_time_for(number));
    let (again, none) = flights.join(&key(1), came, nothing).unwrap();
    assert!(none.is_none() && again.number == number);
    let again = told(again).await;
    assert_eq!(again, leader, "it is told the same again");
    let (again, _) = flights.join(&key(1), Wants { newer: Some(Instant::now()), told: again }, nothing).unwrap();
    let (again_late, none) = flights.join(&key(1), Wants { newer: Some(Instant::now()), told: late }, nothing).unwrap();
    assert!(none.is_none() && again_late.number > number, "who was refused the first has the one that follows");
    first.unwrap().land("old", 0);
    assert_eq!(again.wait(soon()).await, Waited::Landed("old"));
    let mut second = second.unwrap();
    second.clear().await;
    second.land("new", 0);
    assert_eq!(again_late.wait(soon()).await, Waited::Landed("new"));
}

#[tokio::test]
async fn what_lands_while_somebody_is_on_the_way_back_is_kept_for_it() {
    pause();
    let flights = flights(Bounds { flights: 3, waiters: 9 });
    let (leader, first) = flights.join(&key(1), Wants::default(), nothing).unwrap();
    let (joined, _) = flights.join(&key(1), Wants::default(), nothing).unwrap();
    let (leader, joined) = (told(leader).await, told(joined).await);
    first.unwrap().land("x", 10);
    for (told, leads) in [(leader, true), (joined, false)] {
        let wants = Wants { newer: None, told };
        let (seat, none) = flights.join(&key(1), wants, nothing).unwrap();
        assert!(none.is_none());
        assert_eq!((wants.leads(seat.number), wants.is_in_time_for(seat.number)), (leads, leads));
        assert_eq!(seat.wait(soon()).await, Waited::Landed("x"));
    }
    assert!(
        flights.join(&key(1), Wants { newer: Some(Instant::now()), told: joined }, nothing).unwrap().1.is_some(),
        "who came late wants a newer one"
    );
    assert!(flights.join(&key(1), Wants::default(), nothing).unwrap().1.is_some(), "nobody else is given it");
    advance(KEPT).await;
    flights.expire();
    assert_eq!(flights.inner.table.lock().kept_bytes, 0);
    assert!(
        flights.join(&key(1), Wants { newer: None, told: leader }, nothing).unwrap().1.is_some(),
        "it did not come back in time"
    );
}

#[tokio::test]
async fn nothing_is_kept_of_what_a_purge_has_named_or_nobody_awaits() {
    pause();
    let flights = flights(Bounds { flights: 3, waiters: 9 });
    let (seat, flying) = flights.join(&key(1), Wants::default(), nothing).unwrap();
    let back = told(seat).await;
    flights.detach(|_| true);
    flying.unwrap().land("old", 10);
    assert!(flights.join(&key(1), Wants { newer: None, told: back }, nothing).unwrap().1.is_some());
    let (_seat, flying) = flights.join(&key(2), Wants::default(), nothing).unwrap();
    flying.unwrap().land("x", 10);
    assert_eq!(flights.inner.table.lock().kept.len(), 0);
}

#[tokio::test]
async fn what_is_kept_is_bounded() {
    pause();
    let flights = flights(Bounds { flights: 3, waiters: 9 });
    for n in 0..10 {
        let (seat, flying) = flights.join(&key(n), Wants::default(), nothing).unwrap();
        told(seat).await;
        flying.unwrap().land("x", MOST_KEPT.1 / 3);
    }
    let table = flights.inner.table.lock();
    assert_eq!((table.kept.len(), table.kept_bytes), (3, MOST_KEPT.1 / 3 * 3));
}
