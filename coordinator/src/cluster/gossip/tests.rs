//! Properties of the parts. What becomes of whole clusters is in `simulation/gossip/`.

use super::{
    Digest, Gossip, Identity, List,
    digest::MAX_BYTES,
    list::{Change, MAX_MEMBERS},
    marks::Marks,
    vote::{Ballot, Proposal, Voter},
};
use meshcache_protocol::Peer;
use proptest::{collection::vec, prelude::*, sample::Index};
use serde_json::json;

fn identity(n: usize, start: u64) -> Identity {
    let at = format!("10.0.{}.{}:1", n / 250, n % 250);
    Identity { peer: Peer { name: format!("p{n:04}"), data: at.clone(), peer: at }, start }
}

/// Who goes, by places, and who comes, by numbers and starts.
type Changes = Vec<(Vec<usize>, Vec<(usize, u64)>)>;

/// A chain of lists, each made of the one before.
fn chain(changes: &Changes) -> Vec<List> {
    let mut lists = vec![List::founded_by(&identity(0, 1), 0)];
    for (remove, add) in changes {
        let last = lists.last().unwrap();
        let remove = remove.iter().map(|rank| rank % 20).filter(|rank| *rank < last.members().len()).collect();
        let add = add.iter().map(|(n, start)| identity(n % 20, start % 5)).collect();
        lists.push(last.apply(&Change { remove, add }));
    }
    lists
}

fn changes() -> impl Strategy<Value = Changes> {
    vec((vec(any::<usize>(), 0..3), vec(any::<(usize, u64)>(), 0..4)), 1..8)
}

fn telling(list: &List) -> Digest {
    let (teller, mut gossip) = (identity(99, 1), Gossip::new(identity(99, 1), 0));
    gossip.adopt(list.clone(), None, 0);
    assert_eq!(*gossip.me(), teller);
    Digest { members: Some(list.clone()), ..gossip.question_for(None) }
}

proptest! {
    #[test]
    fn whoever_hears_the_same_lists_in_any_order_and_any_number_of_times_ends_with_the_same(
        changes in changes(), order in vec(any::<Index>(), 1..30),
    ) {
        let lists = chain(&changes);
        let mut gossip = Gossip::new(identity(50, 1), 0);
        let told: Vec<&List> = order.iter().map(|at| at.get(&lists)).collect();
        told.iter().for_each(|list| gossip.learn(&telling(list), 0));
        let latest = told.iter().max_by_key(|list| list.id().epoch).unwrap();
        prop_assert_eq!(gossip.agreed(), Some(*latest));
    }

    #[test]
    fn of_two_lists_exactly_one_gives_way(a in changes(), b in changes(), other in any::<bool>()) {
        let (a, b) = (chain(&a).pop().unwrap().id(), chain(&b).pop().unwrap().id());
        let b = super::ListId { lineage: b.lineage ^ u64::from(other), ..b };
        prop_assert!(a == b || a.gives_way_to(&b) != b.gives_way_to(&a));
        prop_assert!(!a.gives_way_to(&a));
    }

    #[test]
    fn a_list_has_each_name_once_and_in_order(changes in changes()) {
        for list in chain(&changes) {
            prop_assert!(list.members().windows(2).all(|pair| pair[0].name() < pair[1].name()));
            for (rank, member) in list.members().iter().enumerate() {
                prop_assert_eq!(list.rank_of(member), Some(rank));
            }
        }
    }

    #[test]
    fn marks_are_read_as_they_were_written(ranks in vec(0..MAX_MEMBERS, 0..50)) {
        let marks: Marks = ranks.iter().copied().collect();
        let mut sorted = ranks;
        sorted.sort_unstable();
        sorted.dedup();
        prop_assert_eq!(marks.iter().collect::<Vec<_>>(), sorted);
        let text = serde_json::to_string(&marks).unwrap();
        prop_assert_eq!(serde_json::from_str::<Marks>(&text).unwrap(), marks);
    }

    /// Five voters, and two proposers whose proposals reach them in any order, late and twice.
    #[test]
    fn only_one_change_is_ever_voted_for_by_a_majority(steps in vec((any::<bool>(), 0..5usize, any::<bool>()), 1..200)) {
        let mut voters: Vec<Voter> = (0..5).map(|_| Voter::default()).collect();
        let change = |by: usize| Change { remove: Marks::default(), add: vec![identity(by, 0)] };
        let mut proposals = [0, 1].map(|by| Proposal { ballot: Ballot { round: 1, by: by.to_string() }, change: None });
        let mut chosen: Vec<Change> = Vec::new();
        for (who, voter, goes_on) in steps {
            let who = usize::from(who);
            voters[voter].hear(&proposals[who]);
            voters[voter].vote(|_| true);
            for proposal in &proposals {
                let votes = voters.iter().filter_map(Voter::accepted).filter(|(ballot, _)| *ballot == proposal.ballot);
                let votes: Vec<&Change> = votes.map(|(_, change)| change).collect();
                if votes.len() > 2 && !chosen.contains(votes[0]) {
                    chosen.push(votes[0].clone());
                }
            }
            let Proposal { ballot, change: proposed } = &mut proposals[who];
            let promised: Vec<&Voter> = voters.iter().filter(|voter| voter.promised() == Some(&*ballot)).collect();
            if promised.len() > 2 && proposed.is_none() {
                let last = promised.iter().filter_map(|voter| voter.accepted()).max_by(|a, b| a.0.cmp(&b.0));
                *proposed = Some(last.map_or_else(|| change(who), |(_, change)| change.clone()));
            } else if goes_on {
                (ballot.round, *proposed) = (ballot.round + 1, None);
            }
        }
        prop_assert!(chosen.len() <= 1, "{chosen:?}");
    }
}

#[test]
fn the_json_is_the_same_in_every_release() {
    let mut gossip = Gossip::new(identity(1, 7), 0);
    gossip.tick(0);
    let (me, at) = (json!({"name": "p0001", "data": "10.0.0.1:1", "peer": "10.0.0.1:1", "start": 7}), 1000);
    assert_eq!(serde_json::to_value(gossip.question_for(None)).unwrap(), json!({"from": me}));
    gossip.tick(at);
    let id = gossip.agreed().unwrap().id();
    let answer = gossip.answer(&Gossip::new(identity(2, 8), at).question_for(None), at);
    let list = json!({"lineage": id.lineage, "epoch": 0, "version": id.version, "members": 1});
    let told = json!({"from": me, "list": list, "members": {"lineage": id.lineage, "epoch": 0, "members": [me]}});
    assert_eq!(serde_json::to_value(&answer).unwrap(), told);
    assert_eq!(serde_json::from_value::<Digest>(told).unwrap(), answer);
    let proposal = Proposal {
        ballot: Ballot { round: 1, by: "p0001".into() },
        change: Some(Change { remove: [0, 9].into_iter().collect(), add: Vec::new() }),
    };
    let json = json!({"ballot": {"round": 1, "by": "p0001"}, "change": {"remove": "AQI"}});
    assert_eq!(serde_json::to_value(&proposal).unwrap(), json);
}

#[test]
fn a_digest_of_a_thousand_quiet_members_is_small_and_the_largest_is_within_its_bound() {
    let identity = |n: usize| Identity {
        peer: Peer {
            name: format!("{n:0>253}"),
            data: "[2001:db8::1]:65535".into(),
            peer: "[2001:db8::1]:65535".into(),
        },
        start: u64::MAX,
    };
    let founder = List::founded_by(&identity(0), 0);
    let list = founder.apply(&Change { remove: Marks::default(), add: (0..MAX_MEMBERS).map(identity).collect() });
    let mut gossip = Gossip::new(identity(1), 0);
    gossip.adopt(list, None, 0);
    let size = |digest: &Digest| serde_json::to_vec(digest).unwrap().len();
    // All are silent, all names are of the greatest length.
    (0..10).for_each(|second| drop(gossip.tick(second * 1000)));
    assert_eq!(gossip.question_for(None).gone.iter().count(), MAX_MEMBERS - 1);
    assert!(size(&gossip.question_for(None)) < 2000);
    let newcomer = Gossip::new(identity(MAX_MEMBERS), 0).question_for(None);
    let answer = gossip.answer(&newcomer, 0);
    assert!(answer.members.is_some() && size(&answer) < MAX_BYTES, "{}", size(&answer));
}

#[test]
fn a_digest_with_a_bad_name_or_address_is_refused_by_its_label() {
    let digest = Gossip::new(identity(1, 7), 0).question_for(None);
    assert_eq!(digest.problem(), None);
    let named = |name: &str, at: &str| {
        let mut digest = digest.clone();
        (digest.from.peer.name, digest.from.peer.peer) = (name.into(), at.into());
        digest
    };
    assert_eq!(named("a b", "10.0.0.1:1").problem(), Some("bad-name"));
    assert_eq!(named("a", "host:1").problem(), Some("bad-address"));
    let listed = Digest { members: Some(List::founded_by(&named("", "10.0.0.1:1").from, 0)), ..digest };
    assert_eq!(listed.problem(), Some("bad-name"));
}

#[test]
fn a_digest_that_would_be_kept_and_told_on_at_any_length_is_refused_by_its_label() {
    let digest = Gossip::new(identity(1, 7), 0).question_for(None);
    let marks = |last: usize| -> Marks { [last].into_iter().collect() };
    let removing = |last: usize, by: String| {
        let change = Some(Change { remove: marks(last), add: Vec::new() });
        Digest { proposal: Some(Proposal { ballot: Ballot { round: 1, by }, change }), ..digest.clone() }
    };
    let last = MAX_MEMBERS - 1;
    assert_eq!(Digest { gone: marks(last), ..removing(last, "a".into()) }.problem(), None);
    for long in [
        Digest { gone: marks(MAX_MEMBERS), ..digest.clone() },
        Digest { left: marks(MAX_MEMBERS), ..digest.clone() },
        Digest { forgotten: marks(MAX_MEMBERS), ..digest.clone() },
        removing(MAX_MEMBERS, "a".into()),
    ] {
        assert_eq!(long.problem(), Some("too-many-marks"));
    }
    assert_eq!(removing(last, "a".repeat(1000)).problem(), Some("bad-name"));
}

#[test]
fn a_start_that_finds_its_name_in_the_first_list_is_later_whatever_its_clock_says() {
    let (old, mut new) = (identity(1, 5000), Gossip::new(identity(1, 3), 0));
    new.learn(&telling(&List::founded_by(&old, 0)), 0);
    assert!(new.me().supersedes(&old) && !new.is_member());
    // From then on it stays what it is: two with one name would outbid each other for ever.
    let (before, later) = (new.me().clone(), identity(1, 9000));
    let list = new.agreed().unwrap().apply(&Change { remove: Marks::default(), add: vec![later] });
    new.learn(&telling(&list), 0);
    assert_eq!(*new.me(), before);
}
