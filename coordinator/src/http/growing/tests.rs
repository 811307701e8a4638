use super::{reader::Reader, *};
use crate::http::{body::Cut, byte_budget::ByteBudget};
use bytes::Bytes;
use http_body::{Body, Frame};
use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::yield_now,
    time::{advance, pause},
};

/// A body that comes as the test says.
struct Scripted(UnboundedReceiver<Result<Bytes, Cut>>);

impl Body for Scripted {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(|data| data.map(Frame::data)))
    }
}

const LIMIT: u64 = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(1);

fn filling(
    length: Option<u64>,
    limit: u64,
    budget: &Arc<ByteBudget>,
) -> (UnboundedSender<Result<Bytes, Cut>>, Filling<Scripted>) {
    let (origin, rest) = unbounded_channel();
    (origin, Filling::new([], Scripted(rest), length, limit, budget.reserve()))
}

fn numbered(len: usize) -> Bytes {
    (0..len).map(|n| (n % 251) as u8).collect::<Vec<_>>().into()
}

/// What a reader gets next, if it need not wait.
async fn next(reader: &mut Reader) -> Poll<Option<Result<Bytes, Cut>>> {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *reader).poll_frame(cx)))
        .await
        .map(|frame| frame.map(|frame| frame.map(|frame| frame.into_data().unwrap())))
}

async fn all(mut reader: Reader) -> Result<Vec<u8>, Cut> {
    let mut all = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut reader).poll_frame(cx)).await {
        all.extend_from_slice(&frame?.into_data().unwrap());
    }
    Ok(all)
}

#[tokio::test]
async fn each_reads_from_the_first_byte_at_its_own_pace_and_whoever_comes_later_too() {
    let (body, budget) = (numbered(300_000), ByteBudget::new(LIMIT));
    let (origin, filling) = filling(Some(300_000), LIMIT, &budget);
    let growing = filling.body().clone();
    let mut slow = growing.read(0, None).unwrap();
    let fast = tokio::spawn(all(growing.read(0, None).unwrap()));
    let filled = tokio::spawn(filling.fill());
    origin.send(Ok(body.slice(..100_000))).unwrap();
    let first = poll_fn(|cx| Pin::new(&mut slow).poll_frame(cx)).await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, body[..100_000], "while the rest is not there");
    let late = tokio::spawn(all(growing.read(0, None).unwrap()));
    let part = tokio::spawn(all(growing.read(10, Some(20)).unwrap()));
    assert_eq!(part.await.unwrap().unwrap(), body[10..20], "a part that is there does not wait for the end");
    origin.send(Ok(body.slice(100_000..))).unwrap();
    drop(origin);
    let Filled::Whole(filling, whole) = filled.await.unwrap() else { panic!("it is whole") };
    assert!(!fast.is_finished(), "its end is known when the store has it");
    assert!(whole == body && budget.used() < 310_000, "{}", budget.used());
    filling.body().complete(whole);
    assert!(fast.await.unwrap().unwrap() == body && late.await.unwrap().unwrap() == body);
    assert_eq!(all(slow).await.unwrap(), body[100_000..], "it goes on where it was");
    assert_eq!(budget.used(), 0);
    assert!(growing.read(5, None).is_some_and(|reader| reader.size_hint().exact() == Some(299_995)));
}

#[tokio::test]
async fn a_body_that_comes_byte_by_byte_takes_little_more_than_its_size() {
    let (body, budget) = (numbered(50_000), ByteBudget::new(LIMIT));
    let (origin, filling) = filling(None, LIMIT, &budget);
    let growing = filling.body().clone();
    let reader = tokio::spawn(all(growing.read(0, None).unwrap()));
    body.chunks(1).for_each(|crumb| origin.send(Ok(Bytes::copy_from_slice(crumb))).unwrap());
    drop(origin);
    let Filled::Whole(filling, whole) = filling.fill().await else { panic!("it is whole") };
    assert!(growing.state.lock().pieces.len() < 20, "{} pieces are held", growing.state.lock().pieces.len());
    filling.body().complete(whole.clone());
    assert!(whole == body && reader.await.unwrap().unwrap() == body);
}

#[tokio::test]
async fn half_a_body_is_cut_for_all_and_so_is_one_that_nobody_fills_any_more() {
    let budget = ByteBudget::new(LIMIT);
    for is_told in [true, false] {
        let (origin, filling) = filling(None, LIMIT, &budget);
        let growing = filling.body().clone();
        let mut reader = growing.read(0, None).unwrap();
        origin.send(Ok("half".into())).unwrap();
        if is_told {
            origin.send(Err(Cut("reset"))).unwrap();
            assert!(matches!(filling.fill().await, Filled::Cut(Cut("reset"))));
        } else {
            let filled = tokio::spawn(filling.fill());
            yield_now().await;
            filled.abort();
            assert!(filled.await.is_err());
        }
        assert_eq!(next(&mut reader).await, Poll::Ready(Some(Ok("half".into()))));
        let cut = Cut(if is_told { "reset" } else { "internal" });
        assert_eq!(next(&mut reader).await, Poll::Ready(Some(Err(cut))));
        assert!(!reader.is_end_stream());
        drop((reader, growing));
        assert_eq!(budget.used(), 0);
    }
}

#[tokio::test]
async fn beyond_the_limit_it_streams_on_to_its_readers_alone_and_no_more_than_the_limit_is_kept() {
    let (body, budget) = (numbered(40_000), ByteBudget::new(LIMIT));
    let (origin, filling) = filling(None, 10_000, &budget);
    let growing = filling.body().clone();
    let (fast, mut slow) = (tokio::spawn(all(growing.read(0, None).unwrap())), growing.read(0, None).unwrap());
    body.chunks(4000).for_each(|piece| origin.send(Ok(Bytes::copy_from_slice(piece))).unwrap());
    drop(origin);
    let Filled::TooLarge(rest) = filling.fill().await else { panic!("it is too large") };
    let streamed = tokio::spawn(rest.stream(None, Patience::Idle(PATIENCE)));
    let mut got = Vec::new();
    loop {
        for _ in 0..10 {
            yield_now().await;
        }
        let kept: usize = growing.state.lock().pieces.iter().map(|(_, piece)| piece.len()).sum();
        assert!(kept <= 10_000, "{kept}");
        match next(&mut slow).await {
            Poll::Ready(Some(piece)) => got.extend_from_slice(&piece.unwrap()),
            Poll::Ready(None) => break,
            Poll::Pending => {}
        }
    }
    assert!(growing.read(0, None).is_none(), "nobody else may have it from the middle");
    assert!(got == body && fast.await.unwrap().unwrap() == body);
    streamed.await.unwrap();
    drop((slow, growing));
    assert_eq!(budget.used(), 0);
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_let_go_and_without_readers_it_ends() {
    pause();
    let (budget, body) = (ByteBudget::new(6000), numbered(9000));
    let (origin, filling) = filling(None, 6000, &budget);
    let growing = filling.body().clone();
    let (fast, mut stuck) = (tokio::spawn(all(growing.read(0, None).unwrap())), growing.read(0, None).unwrap());
    body.chunks(3000).for_each(|piece| origin.send(Ok(Bytes::copy_from_slice(piece))).unwrap());
    let Filled::TooLarge(rest) = filling.fill().await else { panic!("it is too large") };
    let mut streamed = pin!(tokio::spawn(rest.stream(None, Patience::Idle(PATIENCE))));
    for _ in 0..10 {
        yield_now().await;
    }
    advance(PATIENCE + Duration::from_millis(2)).await;
    for _ in 0..10 {
        yield_now().await;
    }
    assert_eq!(next(&mut stuck).await, Poll::Ready(Some(Err(Cut("slow")))));
    assert!(!fast.is_finished());
    fast.abort();
    let _ = fast.await;
    drop(stuck);
    origin.send(Ok("more".into())).unwrap();
    tokio::time::timeout(2 * PATIENCE, &mut streamed).await.expect("nobody reads it any more").unwrap();
}

#[tokio::test]
async fn a_body_that_is_whole_at_once_is_not_at_its_end_before_it_is_read() {
    let budget = ByteBudget::new(LIMIT);
    let (origin, filling) = filling(Some(10), LIMIT, &budget);
    let growing = filling.body().clone();
    let before = growing.read(0, None).unwrap();
    origin.send(Ok("0123456789".into())).unwrap();
    drop(origin);
    let Filled::Whole(filling, whole) = filling.fill().await else { panic!("it is whole") };
    filling.body().complete(whole);
    for reader in [before, growing.read(0, None).unwrap(), growing.read(9, None).unwrap()] {
        assert!(!reader.is_end_stream(), "a server would answer without a body");
        assert!(b"0123456789".ends_with(&all(reader).await.unwrap()));
    }
}

#[tokio::test]
async fn whoever_comes_too_late_for_its_beginning_knows_before_its_head_is_out() {
    pause();
    let budget = ByteBudget::new(LIMIT);
    for (limit, ends) in [(LIMIT, true), (4, false), (0, false)] {
        let (origin, filling) = filling(None, limit, &budget);
        let growing = filling.body().clone();
        assert!(growing.is_readable(), "nothing of it has come");
        origin.send(Ok("12345".into())).unwrap();
        if ends {
            origin.send(Err(Cut("reset"))).unwrap();
        }
        match filling.fill().await {
            // Nobody has read it by now.
            Filled::TooLarge(rest) => rest.stream(None, Patience::Idle(PATIENCE)).await,
            Filled::Cut(_) => {}
            _ => panic!("it is not whole"),
        }
        assert!(!growing.is_readable(), "{limit}");
    }
}

/// A large body of which 10,000 bytes are kept, in pieces of 1,000; what asks for its rest gives the real one.
fn large(body: &Bytes) -> (UnboundedSender<Result<Bytes, Cut>>, Arc<GrowingBody>) {
    let (origin, filling) = filling(Some(body.len() as u64), 1000, &ByteBudget::new(LIMIT));
    let (growing, all) = (filling.body().clone(), body.clone());
    growing.keep_window(Box::new(move |from, to| {
        let rest = all.slice(from as usize..to.unwrap_or(all.len() as u64) as usize);
        Box::pin(async { Ok(crate::http::body::Body::from(rest)) })
    }));
    tokio::spawn(filling.stream(10_000, Patience::InAll(PATIENCE)));
    (origin, growing)
}

fn send(origin: &UnboundedSender<Result<Bytes, Cut>>, body: &Bytes) {
    (0..body.len()).step_by(1000).for_each(|at| {
        let _ = origin.send(Ok(body.slice(at..(at + 1000).min(body.len()))));
    });
}

async fn settle() {
    for _ in 0..50 {
        yield_now().await;
    }
}

#[tokio::test]
async fn a_large_body_may_be_read_from_its_beginning_while_that_is_in_its_window() {
    pause();
    let body = numbered(50_000);
    let (origin, growing) = large(&body);
    let mut first = growing.read(0, None).unwrap();
    send(&origin, &body.slice(..10_000));
    let mut got = Vec::new();
    while got.len() < 10_000 {
        got.extend_from_slice(
            &poll_fn(|cx| Pin::new(&mut first).poll_frame(cx)).await.unwrap().unwrap().into_data().unwrap(),
        );
    }
    assert!(growing.is_readable(), "all that came is still kept");
    let second = tokio::spawn(all(growing.read(0, None).unwrap()));
    // One more is on its way: the beginning is kept for it, but not for long.
    growing.expect(1);
    send(&origin, &body.slice(10_000..));
    settle().await;
    assert!(growing.is_readable());
    advance(Duration::from_millis(101)).await;
    settle().await;
    assert!(!growing.is_readable() && growing.read(0, None).is_none());
    assert_eq!(growing.beginning_passed().await, None);
    drop(origin);
    got.extend_from_slice(&all(first).await.unwrap());
    assert!(got == body && second.await.unwrap().unwrap() == body);
}

#[tokio::test]
async fn whom_the_others_have_waited_for_a_second_in_all_goes_on_by_itself_with_every_byte() {
    pause();
    let body = numbered(50_000);
    let (origin, growing) = large(&body);
    let mut slow = growing.read(0, None).unwrap();
    let fast: Vec<_> = (0..3).map(|_| tokio::spawn(all(growing.read(0, None).unwrap()))).collect();
    send(&origin, &body);
    drop(origin);
    let mut got = Vec::new();
    // It takes a piece now and then: never a second without one.
    for n in 0.. {
        settle().await;
        let is_over = fast.iter().all(tokio::task::JoinHandle::is_finished);
        assert_eq!(is_over, n >= 3, "after {n} times 400 ms");
        if is_over {
            break;
        }
        advance(Duration::from_millis(400)).await;
        if n < 2 {
            got.extend_from_slice(
                &poll_fn(|cx| Pin::new(&mut slow).poll_frame(cx)).await.unwrap().unwrap().into_data().unwrap(),
            );
        }
    }
    for fast in fast {
        assert!(fast.await.unwrap().unwrap() == body);
    }
    got.extend_from_slice(&all(slow).await.unwrap());
    assert!(got == body, "{} bytes", got.len());
}

#[tokio::test]
async fn a_large_body_that_nobody_reads_any_more_takes_no_memory_and_still_tells_how_it_ended() {
    pause();
    let body = numbered(5000);
    for (is_read, end) in [(false, UNREAD), (true, Cut("reset"))] {
        let (origin, growing) = large(&body);
        let mut reader = is_read.then(|| growing.read(0, None).unwrap());
        send(&origin, &body.slice(..4000));
        settle().await;
        if let Some(reader) = &mut reader {
            while next(reader).await.is_ready() {}
            origin.send(Err(end.clone())).unwrap();
            settle().await;
            assert_eq!(next(reader).await, Poll::Ready(Some(Err(end.clone()))));
        }
        drop(reader);
        assert_eq!(growing.beginning_passed().await, Some(end));
        let state = growing.state.lock();
        assert!(state.pieces.is_empty() && !state.has_reservation());
    }
}

#[tokio::test]
async fn who_is_slow_alone_is_waited_for() {
    pause();
    let body = numbered(50_000);
    let (origin, growing) = large(&body);
    let (mut one, mut two) = (growing.read(0, None).unwrap(), growing.read(0, None).unwrap());
    send(&origin, &body);
    drop(origin);
    for reader in [&mut one, &mut two] {
        settle().await;
        advance(Duration::from_secs(10)).await;
        assert!(matches!(next(reader).await, Poll::Ready(Some(Ok(_)))));
    }
    settle().await;
    assert_eq!(growing.state.lock().seats.values().filter(|seat| seat.is_let_go).count(), 0);
}
