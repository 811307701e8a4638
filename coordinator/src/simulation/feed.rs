//! The feed of nodes.

use crate::simulation::{net::Responder, world::World};
use bytes::Bytes;
use meshcache_protocol::feed::{FeedRequest, HEARTBEAT};

/// A feed request that waits for news.
pub(super) type Poll = (u64, FeedRequest, Responder<Option<Bytes>>);

impl World {
    pub(super) fn publish(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        node.feed.publish();
        let feed = node.feed.clone();
        let (due, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut node.polls).into_iter().partition(|(_, question, _)| feed.has_news(question));
        node.polls = rest;
        for (_, question, responder) in due {
            self.feed_answers(at, &question, responder);
        }
    }

    pub(super) fn feed_asked(&mut self, at: usize, question: FeedRequest, responder: Responder<Option<Bytes>>) {
        let node = &mut self.nodes[at];
        if question.at_once || node.feed.has_news(&question) {
            return self.feed_answers(at, &question, responder);
        }
        self.turn += 1;
        let id = self.turn;
        node.polls.push((id, question, responder));
        self.after(HEARTBEAT, move |world| {
            world.arrive_at(at, move |world| {
                let polls = &mut world.nodes[at].polls;
                if let Some(place) = polls.iter().position(|(other, ..)| *other == id) {
                    let (_, question, responder) = polls.swap_remove(place);
                    world.feed_answers(at, &question, responder);
                }
            })
        });
    }

    fn feed_answers(&mut self, at: usize, question: &FeedRequest, responder: Responder<Option<Bytes>>) {
        if !responder.waits() {
            return;
        }
        let answer = self.nodes[at].feed.answer_now(question).ok().map(|answer| answer.json);
        match &answer {
            Some(json) => {
                self.figures.feed_answers += 1;
                self.figures.feed_states += u64::from(json.len() > 1000);
            }
            None => self.request_catch_up(at),
        }
        responder.send(self, answer);
    }
}
