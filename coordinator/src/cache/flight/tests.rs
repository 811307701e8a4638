use super::{guard::RESULT_KEPT, table::MOST_RESULTS, *};
use std::time::Duration;
use tokio::time::{advance, pause};

const LIMITS: FlightLimits = FlightLimits { flights: 2, waiters: 3 };

fn nothing<T>() -> Option<T> {
    None
}

fn key(n: u8) -> Key {
    Key::from_bytes(vec![1, 0, 0, 0, n])
}

fn flights<T: Clone>(most: FlightLimits) -> Flights<T> {
    Flights::new(most, FlightNumbers::from(1))
}

fn newer(than: Instant) -> JoinCondition {
    JoinCondition { began_after: Some(than), ticket: 0 }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(1)
}

#[tokio::test]
async fn the_first_request_starts_a_flight_and_the_others_join() {
    let flights = flights(LIMITS);
    let (first, guard) = flights.join(&key(1), JoinCondition::default(), nothing).unwrap();
    let (second, none) = flights.join(&key(1), JoinCondition::default(), nothing).unwrap();
    assert!(none.is_none());
    drop(first);
    guard.unwrap().complete("x", 0);
    assert_eq!(second.wait(soon()).await, WaitOutcome::Completed("x"), "although the first is gone");
    assert_eq!(flights.counts(), (0, 0));
    assert!(flights.join(&key(1), JoinCondition::default(), nothing).unwrap().1.is_some(), "the next one starts anew");
}

#[tokio::test]
async fn what_the_flight_before_has_stored_is_not_loaded_again() {
    let flights = flights(LIMITS);
    let (waiter, none) = flights.join(&key(1), JoinCondition::default(), || Some("stored")).unwrap();
    assert!(none.is_none());
    assert_eq!(waiter.wait(soon()).await, WaitOutcome::Completed("stored"));
    assert_eq!(flights.counts(), (0, 0), "no other request gets it");
    let (_waiter, guard) = flights.join(&key(1), JoinCondition::default(), nothing).unwrap();
    let (_other, none) = flights
        .join(&key(1), JoinCondition::default(), || panic!("the store is not read while a flight is under way"))
        .unwrap();
    assert!(guard.is_some() && none.is_none());
}

#[tokio::test]
async fn another_coordinator_waits_only_for_a_load_from_the_origin() {
    let flights = flights(LIMITS);
    assert!(flights.join_load(&key(1)).is_none());
    let (_waiter, guard) = flights.join(&key(1), JoinCondition::default(), nothing).unwrap();
    let guard = guard.unwrap();
    assert!(flights.join_load(&key(1)).is_none() && flights.join_load(&key(2)).is_none());
    guard.mark_loading();
    let found = flights.join_load(&key(1)).unwrap();
    guard.complete("x", 0);
    assert_eq!(found.wait(soon()).await, WaitOutcome::Completed("x"));
    assert_eq!(flights.counts().0, 0);
}

#[tokio::test]
async fn each_waiter_has_its_own_deadline() {
    pause();
    let flights = flights(LIMITS);
    let (hasty, guard) = flights.join(&key(1), JoinCondition::default(), nothing).unwrap();
    let (patient, _) = flights.join(&key(1), JoinCondition::default(), nothing).unwrap();
    let patient = tokio::spawn(patient.wait(soon()));
    assert!(matches!(hasty.wait(Instant::now() + Duration::from_millis(10)).await, WaitOutcome::TimedOut(_)));
    advance(Duration::from_millis(500)).await;
    guard.unwrap().complete(7, 0);
    assert_eq!(patient.await.unwrap(), WaitOutcome::Completed(7));
}

#[tokio::test]
async fn a_panic_aborts_the_flight_for_all_waiters() {
    let flights = flights::<u8>(LIMITS);
    let (waiter, guard) = flights.join(&key(1), JoinCondition::default(), nothing).unwrap();
    let flown = tokio::spawn(async move {
        let _guard = guard;
        std::panic::panic_any(());
    });
    assert!(flown.await.is_err());
    assert_eq!(waiter.wait(soon()).await, WaitOutcome::Aborted);
    assert_eq!(flights.counts(), (0, 0));
}

#[tokio::test]
async fn flights_and_waiters_are_bounded() {
    let flights = flights::<u8>(LIMITS);
    let one = flights.join(&key(1), JoinCondition::default(), nothing).unwrap();
    let two = flights.join(&key(2), JoinCondition::default(), nothing).unwrap();
    assert_eq!(flights.join(&key(3), JoinCondition::default(), nothing).err(), Some(Full), "a third flight");
    let three = flights.join(&key(1), JoinCondition::default(), nothing).unwrap();
    assert_eq!(flights.join(&key(1), JoinCondition::default(), nothing).err(), Some(Full), "a fourth waiter");
    drop((one, two, three));
    assert_eq!(flights.counts(), (0, 0));
}

#[tokio::test]
async fn a_detached_flight_is_not_joined() {
    let flights = flights(LIMITS);
    let (before, old) = flights.join(&key(1), JoinCondition::default(), nothing).unwrap();
    flights.detach(|k| *k == key(1));
    let (after, new) = flights.join(&key(1), JoinCondition::default(), nothing).unwrap();
    old.unwrap().complete("old", 0);
    assert_eq!(flights.counts().0, 1, "the old flight removes only itself");
    new.unwrap().complete("new", 0);
    assert_eq!(before.wait(soon()).await, WaitOutcome::Completed("old"));
    assert_eq!(after.wait(soon()).await, WaitOutcome::Completed("new"));
}

#[tokio::test]
async fn requests_for_a_newer_response_share_the_flight_that_follows() {
    pause();
    let flights = flights(FlightLimits { flights: 2, waiters: 9 });
    let (early, first) = flights.join(&key(1), newer(Instant::now()), nothing).unwrap();
    advance(Duration::from_millis(1)).await;
    let came = Instant::now();
    let (one, second) = flights.join(&key(1), newer(came), nothing).unwrap();
    let (two, none) = flights.join(&key(1), newer(came), nothing).unwrap();
    assert!(none.is_none());
    let mut second = second.unwrap();
    let (plain, none) = flights.join(&key(1), JoinCondition::default(), nothing).unwrap();
    assert!(none.is_none());
    let flown = tokio::spawn(async move {
        second.wait_for_previous().await;
        second
    });
    tokio::task::yield_now().await;
    assert!(!flown.is_finished(), "the first is still under way");
    first.unwrap().complete("old", 0);
    let second = flown.await.unwrap();
    assert_eq!(
        (early.wait(soon()).await, plain.wait(soon()).await),
        (WaitOutcome::Completed("old"), WaitOutcome::Completed("old"))
    );
    let (late, none) = flights.join(&key(1), newer(came), nothing).unwrap();
    assert!(none.is_none(), "it began after that, too");
    second.complete("new", 0);
    for waiter in [one, two, late] {
        assert_eq!(waiter.wait(soon()).await, WaitOutcome::Completed("new"));
    }
    assert_eq!(flights.counts(), (0, 0));
}

/// Waits in vain, and returns the ticket to come back with.
async fn ticket<T: Clone>(waiter: Waiter<T>) -> u64 {
    match waiter.wait(Instant::now() + Duration::from_millis(10)).await {
        WaitOutcome::TimedOut(ticket) => ticket,
        _ => panic!("it has completed"),
    }
}

#[tokio::test]
async fn a_request_that_comes_back_stays_with_its_flight() {
    pause();
    let flights = flights(FlightLimits { flights: 3, waiters: 9 });
    let (leader, first) = flights.join(&key(1), newer(Instant::now()), nothing).unwrap();
    let (number, leader) = (leader.number, ticket(leader).await);
    let later = Instant::now();
    let (late, second) = flights.join(&key(1), newer(later), nothing).unwrap();
    let late = ticket(late).await;
    // However long its second request was on its way.
    advance(Duration::from_millis(1000)).await;
    let came = JoinCondition { began_after: Some(Instant::now()), ticket: leader };
    assert!(came.leads(number) && came.is_in_time_for(number));
    let (again, none) = flights.join(&key(1), came, nothing).unwrap();
    assert!(none.is_none() && again.number == number);
    let again = ticket(again).await;
    assert_eq!(again, leader, "it gets the same ticket again");
    let (again, _) =
        flights.join(&key(1), JoinCondition { began_after: Some(Instant::now()), ticket: again }, nothing).unwrap();
    let (again_late, none) =
        flights.join(&key(1), JoinCondition { began_after: Some(Instant::now()), ticket: late }, nothing).unwrap();
    assert!(
        none.is_none() && again_late.number > number,
        "a request that may not join the first has the one that follows"
    );
    first.unwrap().complete("old", 0);
    assert_eq!(again.wait(soon()).await, WaitOutcome::Completed("old"));
    let mut second = second.unwrap();
    second.wait_for_previous().await;
    second.complete("new", 0);
    assert_eq!(again_late.wait(soon()).await, WaitOutcome::Completed("new"));
}

#[tokio::test]
async fn a_result_is_kept_for_requests_on_their_way_back() {
    pause();
    let flights = flights(FlightLimits { flights: 3, waiters: 9 });
    let (leader, first) = flights.join(&key(1), JoinCondition::default(), nothing).unwrap();
    let (joined, _) = flights.join(&key(1), JoinCondition::default(), nothing).unwrap();
    let (leader, joined) = (ticket(leader).await, ticket(joined).await);
    first.unwrap().complete("x", 10);
    for (ticket, leads) in [(leader, true), (joined, false)] {
        let condition = JoinCondition { began_after: None, ticket };
        let (waiter, none) = flights.join(&key(1), condition, nothing).unwrap();
        assert!(none.is_none());
        assert_eq!((condition.leads(waiter.number), condition.is_in_time_for(waiter.number)), (leads, leads));
        assert_eq!(waiter.wait(soon()).await, WaitOutcome::Completed("x"));
    }
    assert!(
        flights
            .join(&key(1), JoinCondition { began_after: Some(Instant::now()), ticket: joined }, nothing)
            .unwrap()
            .1
            .is_some(),
        "a late request needs a newer one"
    );
    assert!(flights.join(&key(1), JoinCondition::default(), nothing).unwrap().1.is_some(), "no other request gets it");
    advance(RESULT_KEPT).await;
    flights.expire();
    assert_eq!(flights.shared.table.lock().result_bytes, 0);
    assert!(
        flights.join(&key(1), JoinCondition { began_after: None, ticket: leader }, nothing).unwrap().1.is_some(),
        "it did not come back in time"
    );
}

#[tokio::test]
async fn no_result_is_kept_of_a_detached_flight_or_without_a_ticket() {
    pause();
    let flights = flights(FlightLimits { flights: 3, waiters: 9 });
    let (waiter, guard) = flights.join(&key(1), JoinCondition::default(), nothing).unwrap();
    let back = ticket(waiter).await;
    flights.detach(|_| true);
    guard.unwrap().complete("old", 10);
    assert!(flights.join(&key(1), JoinCondition { began_after: None, ticket: back }, nothing).unwrap().1.is_some());
    let (_waiter, guard) = flights.join(&key(2), JoinCondition::default(), nothing).unwrap();
    guard.unwrap().complete("x", 10);
    assert_eq!(flights.shared.table.lock().results.len(), 0);
}

#[tokio::test]
async fn kept_results_are_bounded() {
    pause();
    let flights = flights(FlightLimits { flights: 3, waiters: 9 });
    for n in 0..10 {
        let (waiter, guard) = flights.join(&key(n), JoinCondition::default(), nothing).unwrap();
        ticket(waiter).await;
        guard.unwrap().complete("x", MOST_RESULTS.1 / 3);
    }
    let table = flights.shared.table.lock();
    assert_eq!((table.results.len(), table.result_bytes), (3, MOST_RESULTS.1 / 3 * 3));
}

#[tokio::test]
async fn who_takes_a_growing_body_has_the_result_before_the_flight_ends_and_all_others_at_its_end() {
    pause();
    let flights = flights(LIMITS);
    let (mut early, guard) = flights.join(&key(1), JoinCondition::default(), nothing).unwrap();
    let (patient, _) = flights.join(&key(1), JoinCondition::default(), nothing).unwrap();
    let guard = guard.unwrap();
    assert_eq!(early.wait_for_head(Instant::now()).await, None, "there is none yet");
    guard.announce("growing");
    assert_eq!(early.wait_for_head(soon()).await, Some("growing"));
    drop(early);
    let (mut late, none) = flights.join(&key(1), JoinCondition::default(), nothing).unwrap();
    assert!(none.is_none(), "it joins in the middle");
    assert_eq!(late.wait_for_head(soon()).await, Some("growing"));
    let (next, second) = flights.join(&key(1), newer(Instant::now() + Duration::from_millis(1)), nothing).unwrap();
    let mut second = second.unwrap();
    let follows = tokio::spawn(async move {
        second.wait_for_previous().await;
        second.complete("new", 0);
    });
    tokio::task::yield_now().await;
    assert!(!follows.is_finished(), "the next one begins when the body is whole");
    guard.complete("whole", 0);
    assert_eq!(late.wait_for_head(soon()).await, Some("whole"));
    assert_eq!(patient.wait(soon()).await, WaitOutcome::Completed("whole"));
    assert_eq!(next.wait_to_the_end().await, Some("new"));
}
