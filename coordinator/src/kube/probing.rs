//! Which of the ready Pods are in the ring: those that have answered as coordinators in this run of theirs. While a
//! Deployment rolls from another program to this one, Pods of both have the label.

use crate::kube::{
    view::{Fault, Problem, View},
    watch::pause,
};
use http::StatusCode;
use meshcache_protocol::Peer;
use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
    time::sleep,
};

/// What a Pod answered to a peek at nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProbeOutcome {
    /// That it has nothing, as only a coordinator says it.
    Coordinator,
    /// Nothing that a coordinator would.
    NoAnswer,
    /// That the token is wrong.
    TokenRefused,
}

impl ProbeOutcome {
    pub(super) fn of<E>(answer: Result<StatusCode, E>) -> Self {
        match answer {
            Ok(StatusCode::NO_CONTENT) => Self::Coordinator,
            Ok(StatusCode::UNAUTHORIZED) => Self::TokenRefused,
            Ok(_) | Err(_) => Self::NoAnswer,
        }
    }

    const fn fault(self) -> Option<Fault> {
        match self {
            Self::Coordinator => None,
            Self::NoAnswer => Some(Fault::NoAnswer),
            Self::TokenRefused => Some(Fault::TokenRefused),
        }
    }
}

/// A Pod in one of its runs.
#[derive(Clone, PartialEq, Eq)]
struct Candidate {
    peer: Peer,
    run: String,
}

/// Probes candidates, each in a task of its own, until it answers as a coordinator.
pub(super) struct Probing<P> {
    me: String,
    probe: P,
    candidates: HashMap<String, (Candidate, Option<ProbeOutcome>, AbortHandle)>,
    tasks: JoinSet<()>,
    sender: mpsc::UnboundedSender<(Candidate, ProbeOutcome)>,
    outcomes: mpsc::UnboundedReceiver<(Candidate, ProbeOutcome)>,
}

impl<P, F> Probing<P>
where
    P: Fn(Peer) -> F + Clone + Send + 'static,
    F: Future<Output = ProbeOutcome> + Send + 'static,
{
    /// `me`: this Pod, which is not probed.
    pub(super) fn new(me: &str, probe: P) -> Self {
        let (sender, outcomes) = mpsc::unbounded_channel();
        let (candidates, tasks) = (HashMap::new(), JoinSet::new());
        Self { me: me.to_owned(), probe, candidates, tasks, sender, outcomes }
    }

    /// Waits for an outcome that is news.
    pub(super) async fn news(&mut self) {
        while let Some((of, outcome)) = self.outcomes.recv().await {
            if let Some((candidate, last, _)) = self.candidates.get_mut(&of.peer.name)
                && *candidate == of
                && last.replace(outcome) != Some(outcome)
            {
                return;
            }
        }
    }

    /// The view with only those peers that need no proof or have given it. The others are probed, and named where they
    /// have given another answer.
    pub(super) fn proven(&mut self, view: &View) -> View {
        while self.tasks.try_join_next().is_some() {}
        let of = |peer: &Peer| {
            let run = view.runs.get(&peer.name).filter(|_| peer.name != self.me)?;
            Some(Candidate { peer: peer.clone(), run: run.clone() })
        };
        let wanted: HashMap<String, Candidate> =
            view.ready.iter().filter_map(|peer| Some((peer.name.clone(), of(peer)?))).collect();
        self.candidates.retain(|name, (candidate, _, task)| {
            wanted.get(name) == Some(candidate) || {
                task.abort();
                false
            }
        });
        let (mut ready, mut problems) = (Vec::new(), view.problems.clone());
        for peer in &view.ready {
            let Some(candidate) = wanted.get(&peer.name) else {
                ready.push(peer.clone());
                continue;
            };
            let mut task = || self.tasks.spawn(ask(self.probe.clone(), candidate.clone(), self.sender.clone()));
            let (_, outcome, _) =
                self.candidates.entry(peer.name.clone()).or_insert_with(|| (candidate.clone(), None, task()));
            match outcome.map(ProbeOutcome::fault) {
                Some(None) => ready.push(peer.clone()),
                Some(Some(fault)) => {
                    problems.push(Problem { fault, place: format!("Pod {}", peer.name), about: peer.peer.clone() });
                }
                None => {}
            }
        }
        problems.sort();
        View { ready, problems, ..View::default() }
    }
}

/// Asks a candidate until it answers as a coordinator.
async fn ask<F: Future<Output = ProbeOutcome>>(
    probe: impl Fn(Peer) -> F,
    candidate: Candidate,
    outcomes: mpsc::UnboundedSender<(Candidate, ProbeOutcome)>,
) {
    for failed in 1.. {
        let outcome = probe(candidate.peer.clone()).await;
        if outcomes.send((candidate.clone(), outcome)).is_err() || outcome == ProbeOutcome::Coordinator {
            return;
        }
        sleep(pause(failed, RandomState::new().hash_one(failed))).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use std::{collections::BTreeMap, sync::Arc, time::Duration};
    use tokio::time::{Instant, timeout};

    type Answers = Arc<Mutex<BTreeMap<String, ProbeOutcome>>>;

    /// Who answers how; a Pod that is not there gives its answer never.
    fn probing(
        answers: &Answers,
    ) -> Probing<impl Fn(Peer) -> std::pin::Pin<Box<dyn Future<Output = ProbeOutcome> + Send>> + Clone + use<>> {
        let answers = answers.clone();
        Probing::new("me", move |peer: Peer| -> std::pin::Pin<Box<dyn Future<Output = ProbeOutcome> + Send>> {
            let answer = answers.lock().get(&peer.name).copied();
            Box::pin(async move {
                match answer {
                    Some(answer) => answer,
                    None => std::future::pending().await,
                }
            })
        })
    }

    fn peer(name: &str) -> Peer {
        Peer { name: name.into(), data: "10.0.0.1:1".into(), peer: "10.0.0.1:2".into() }
    }

    fn view(pods: &[(&str, &str)]) -> View {
        View {
            ready: pods.iter().map(|(name, _)| peer(name)).collect(),
            runs: pods.iter().map(|(name, run)| ((*name).to_owned(), (*run).to_owned())).collect(),
            ..View::default()
        }
    }

    fn ring(view: &View) -> Vec<&str> {
        view.ready.iter().map(|peer| peer.name.as_str()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_answered_is_in_this_one_always_and_the_others_are_named() {
        let answers = Answers::default();
        answers.lock().insert("ours".into(), ProbeOutcome::Coordinator);
        answers.lock().insert("theirs".into(), ProbeOutcome::NoAnswer);
        answers.lock().insert("stranger".into(), ProbeOutcome::TokenRefused);
        let mut probing = probing(&answers);
        let seen = view(&[("late", ""), ("me", ""), ("ours", ""), ("stranger", ""), ("theirs", "")]);
        assert_eq!(ring(&probing.proven(&seen)), ["me"]);
        for _ in 0..3 {
            probing.news().await;
        }
        let proven = probing.proven(&seen);
        assert_eq!(ring(&proven), ["me", "ours"]);
        assert_eq!(
            proven.problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "Pod theirs does not answer as a coordinator at 10.0.0.1:2: it is in the ring once it does",
                "Pod stranger refuses the token at 10.0.0.1:2: it is in the ring once --peer-token-file agrees",
            ],
            "who has not answered yet is no problem yet"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_is_asked_again_until_it_answers_and_then_no_more() {
        let answers = Answers::default();
        answers.lock().insert("a".into(), ProbeOutcome::NoAnswer);
        let mut probing = probing(&answers);
        let seen = view(&[("a", "")]);
        probing.proven(&seen);
        probing.news().await;
        assert!(timeout(Duration::from_secs(60), probing.news()).await.is_err(), "the same answer is no news");
        answers.lock().insert("a".into(), ProbeOutcome::Coordinator);
        let begun = Instant::now();
        probing.news().await;
        assert!(begun.elapsed() <= Duration::from_secs(10), "{:?}", begun.elapsed());
        assert_eq!(ring(&probing.proven(&seen)), ["a"]);
        answers.lock().insert("a".into(), ProbeOutcome::NoAnswer);
        assert!(timeout(Duration::from_secs(60), probing.news()).await.is_err());
        assert_eq!(ring(&probing.proven(&seen)), ["a"], "a peer that is busy later is none the less a peer");
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_run_and_a_pod_that_was_not_ready_are_asked_again() {
        let answers = Answers::default();
        answers.lock().insert("a".into(), ProbeOutcome::Coordinator);
        let mut probing = probing(&answers);
        for run in ["1", "2"] {
            assert!(ring(&probing.proven(&view(&[("a", run)]))).is_empty(), "{run}");
            probing.news().await;
            assert_eq!(ring(&probing.proven(&view(&[("a", run)]))), ["a"]);
        }
        assert!(ring(&probing.proven(&view(&[]))).is_empty());
        answers.lock().insert("a".into(), ProbeOutcome::NoAnswer);
        assert!(ring(&probing.proven(&view(&[("a", "2")]))).is_empty(), "another program may have its place");
    }

    #[tokio::test]
    async fn what_needs_no_proof_is_asked_nothing() {
        let mut probing = probing(&Answers::default());
        let endpoints = View { runs: BTreeMap::new(), ..view(&[("a", ""), ("b", "")]) };
        assert_eq!(ring(&probing.proven(&endpoints)), ["a", "b"]);
    }

    #[test]
    fn only_nothing_is_the_answer_of_a_coordinator() {
        let of = |status| ProbeOutcome::of::<()>(Ok(StatusCode::from_u16(status).unwrap()));
        assert_eq!(of(204), ProbeOutcome::Coordinator);
        assert_eq!(of(401), ProbeOutcome::TokenRefused);
        assert!([200, 202, 404, 405, 500].map(of).iter().all(|outcome| *outcome == ProbeOutcome::NoAnswer));
        assert_eq!(ProbeOutcome::of(Err(())), ProbeOutcome::NoAnswer);
    }
}
