use super::*;
use crate::http::byte_budget::ByteBudget;
use std::collections::VecDeque;

/// A body in pieces of one byte, cut from one network buffer.
struct Crumbs(Bytes);

impl Body for Crumbs {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let left = !self.0.is_empty();
        Poll::Ready(left.then(|| Ok(Frame::data(self.0.split_to(1)))))
    }
}

fn numbered(len: usize) -> Bytes {
    (0..len).map(|n| (n % 251) as u8).collect::<Vec<_>>().into()
}

#[tokio::test]
async fn a_body_in_crumbs_takes_little_more_than_its_size_and_all_of_it_is_counted() {
    let (all, budget) = (numbered(400_000), ByteBudget::new(1 << 30));
    let mut reservation = budget.reserve();
    let CaptureOutcome::Whole(whole) = capture(Crumbs(all.clone()), 1 << 20, &mut reservation).await else {
        panic!("it is whole")
    };
    assert!(whole == all && (400_000..600_000).contains(&budget.used()), "{}", budget.used());
    let mut blocks = Blocks::default();
    all.chunks(1).for_each(|crumb| blocks.add(crumb));
    let queue = blocks.into_queue();
    assert!(queue.len() < 20, "{} pieces are held", queue.len());
    assert_eq!(queue.iter().fold(Vec::new(), |all, piece| [&all[..], piece].concat()), all);
}

#[tokio::test]
async fn a_body_that_streams_by_is_kept_in_as_little() {
    let (all, budget) = (numbered(100_000), ByteBudget::new(1 << 30));
    let (to, kept) = std::sync::mpsc::channel();
    let mut body =
        TeeBody::new(Crumbs(all.clone()), 1 << 20, budget.reserve(), move |whole: Bytes| to.send(whole).unwrap());
    let mut gone: VecDeque<Bytes> = VecDeque::new();
    while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        gone.push_back(frame.into_data().unwrap());
    }
    assert!(kept.recv().unwrap() == all && concat(gone, 0) == all);
    assert!((100_000..200_000).contains(&budget.used()), "{}", budget.used());
}

#[tokio::test]
async fn nothing_of_a_body_is_lost_where_the_budget_is_used_up() {
    let (all, budget) = (numbered(50_000), ByteBudget::new(20_000));
    let CaptureOutcome::OverBudget(mut rest) = capture(Crumbs(all.clone()), 1 << 20, &mut budget.reserve()).await
    else {
        panic!("there is no reservation")
    };
    assert!(rest.received.len() < 20, "{} pieces are held", rest.received.len());
    let mut received = VecDeque::new();
    while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut rest).poll_frame(cx)).await {
        received.push_back(frame.into_data().unwrap());
    }
    assert_eq!(concat(received, 0), all);
}
