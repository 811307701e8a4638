//! The guarantees.

use crate::{
    cluster::gossip::{Forget, MemberChange},
    simulation::gossip::mesh::{Mesh, address, name},
};
use std::collections::BTreeSet;

/// All that reach each other have equal rings within this time of the last change, milliseconds.
const SOON: u64 = 15_000;

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().filter(|text| !text.is_empty()).map_or(default, |text| text.parse().unwrap())
}

fn size() -> usize {
    number("MESHCACHE_SIMULATION_MEMBERS", 20)
}

fn range(from: usize, to: usize) -> Vec<usize> {
    (from..to).collect()
}

fn but(victim: usize) -> Vec<usize> {
    range(0, size()).into_iter().filter(|at| *at != victim).collect()
}

fn epoch(mesh: &mut Mesh, at: usize) -> u64 {
    mesh.gossip(at).agreed().unwrap().id().epoch
}

fn changes(mesh: &mut Mesh, at: usize, of: &str) -> Vec<MemberChange> {
    let events = mesh.gossip(at).take_events();
    events.into_iter().filter(|event| event.name == of).map(|event| event.change).collect()
}

#[test]
fn members_that_start_at_once_agree_soon() {
    let mut mesh = Mesh::new(size(), 1);
    range(0, size()).into_iter().for_each(|at| mesh.start(at));
    let took = mesh.within(SOON, "the start", |mesh| mesh.is_agreed(&range(0, size())));
    println!("{} members agree after {took} ms, {} messages", size(), mesh.messages);
}

#[test]
fn a_killed_member_is_out_everywhere_soon_and_back_soon() {
    let mut mesh = Mesh::settled(size(), 2);
    for victim in [0, size() / 2] {
        mesh.kill(victim);
        let out = mesh.within(SOON, "it is out", |mesh| mesh.is_agreed(&but(victim)));
        mesh.start(victim);
        let back = mesh.within(SOON, "it is back", |mesh| mesh.is_agreed(&range(0, size())));
        println!("out after {out} ms, back after {back} ms");
    }
    assert!(mesh.checks.rings <= 2, "{} rings at once", mesh.checks.rings);
}

#[test]
fn a_silent_member_is_out_soon_and_one_that_was_only_frozen_is_back_soon() {
    let mut mesh = Mesh::settled(size(), 3);
    mesh.lose(size() - 1);
    let out = mesh.within(SOON, "the lost one is out", |mesh| mesh.is_agreed(&range(0, size() - 1)));
    mesh.start(size() - 1);
    mesh.within(SOON, "its successor is in", |mesh| mesh.is_agreed(&range(0, size())));
    mesh.freeze(1);
    mesh.within(SOON, "the frozen one is out", |mesh| but(1).iter().all(|at| mesh.ring(*at).len() == size() - 1));
    mesh.thaw(1);
    let back = mesh.within(SOON, "the frozen one is back", |mesh| mesh.is_agreed(&range(0, size())));
    assert!(mesh.checks.rings <= 2, "{} rings at once", mesh.checks.rings);
    println!("out after {out} ms, back after {back} ms");
}

#[test]
fn a_member_that_leaves_is_out_of_all_rings_within_one_round_of_calls() {
    let mut mesh = Mesh::settled(size(), 4);
    mesh.gossip(2).leave();
    let interval = mesh.interval;
    mesh.within(interval + 300, "it is out", |mesh| {
        range(0, size()).iter().all(|at| mesh.ring(*at).len() == size() - 1)
    });
    assert!(mesh.has_lease(2), "it goes on answering while it hands over");
    mesh.kill(2);
    mesh.within(SOON, "the list is without it", |mesh| {
        mesh.process(0).unwrap().gossip.agreed().unwrap().rank(&name(2)).is_none()
    });
    assert!(mesh.checks.rings <= 2, "{} rings at once", mesh.checks.rings);
}

#[test]
fn the_side_that_hears_most_goes_on_and_the_other_keeps_its_ring_and_has_no_lease() {
    let (mut mesh, small) = (Mesh::settled(size(), 5), size() * 2 / 5);
    mesh.cut = Some(Box::new(move |from, to| (from < small) != (to < small)));
    let took = mesh.within(SOON, "most agree", |mesh| mesh.is_agreed(&range(small, size())));
    let all: Vec<String> = range(0, size()).into_iter().map(name).collect();
    for _ in 0..10 {
        mesh.pass(2000);
        for at in 0..small {
            assert!(mesh.ring(at) == all && !mesh.has_lease(at), "{at}");
        }
    }
    assert_eq!(mesh.process(0).unwrap().gossip.missing(mesh.now).len(), size() - small);
    mesh.kill(1);
    mesh.within(SOON, "the killed one is out", |mesh| mesh.ring(0).len() == size() - 1);
    mesh.start(1);
    mesh.cut = None;
    let healed = mesh.within(SOON, "all agree", |mesh| mesh.is_agreed(&range(0, size())));
    println!("{took} ms after the cut, {healed} ms after it healed");
}

#[test]
fn of_two_equal_halves_none_goes_on() {
    let (mut mesh, half) = (Mesh::settled(2 * (size() / 2), 6), size() / 2);
    mesh.cut = Some(Box::new(move |from, to| (from < half) != (to < half)));
    mesh.pass(SOON);
    for _ in 0..10 {
        mesh.pass(1000);
        for at in 0..2 * half {
            assert!(mesh.ring(at).len() == 2 * half && !mesh.has_lease(at), "{at}");
        }
    }
    mesh.cut = None;
    mesh.within(SOON, "all agree", |mesh| mesh.is_agreed(&range(0, 2 * half)));
}

#[test]
fn where_messages_go_one_way_only_at_most_one_side_goes_on() {
    let (mut mesh, small) = (Mesh::settled(size(), 7), size() / 3);
    mesh.cut = Some(Box::new(move |from, to| from < small && to >= small));
    mesh.within(SOON, "most agree", |mesh| mesh.is_agreed(&range(small, size())));
    assert!((0..small).all(|at| !mesh.has_lease(at)));
    mesh.cut = None;
    mesh.within(SOON, "all agree", |mesh| mesh.is_agreed(&range(0, size())));
}

#[test]
fn a_member_that_some_do_not_hear_stays() {
    let (mut mesh, some) = (Mesh::settled(size(), 8), size() / 3);
    let before = epoch(&mut mesh, 0);
    mesh.cut = Some(Box::new(move |from, to| (from == 0 && to < some) || (to == 0 && from < some)));
    for _ in 0..20 {
        mesh.pass(1000);
        assert!(mesh.is_agreed(&range(0, size())));
    }
    assert_eq!(epoch(&mut mesh, 0), before);
}

#[test]
fn of_two_with_one_name_the_later_stays_and_they_never_take_turns() {
    let mut mesh = Mesh::new(size() + 1, 9);
    range(0, size()).into_iter().for_each(|at| mesh.start(at));
    mesh.within(SOON, "the start", |mesh| mesh.is_agreed(&range(0, size())));
    let (old, new) = (size() - 1, size());
    mesh.gossip(0).take_events();
    mesh.start_as(new, &name(old));
    mesh.within(SOON, "the later is listed", |mesh| {
        let is_new =
            |at: usize| mesh.process(at).unwrap().gossip.members(mesh.now).iter().any(|peer| peer.peer == address(new));
        range(0, old).into_iter().all(is_new) && mesh.has_lease(new) && !mesh.has_lease(old)
    });
    let before = epoch(&mut mesh, 0);
    mesh.pass(2 * SOON);
    assert_eq!(epoch(&mut mesh, 0), before, "they take turns");
    assert!(changes(&mut mesh, old, &name(old)).contains(&MemberChange::NameTaken));
    assert!(mesh.has_lease(new) && !mesh.has_lease(old) && mesh.ring(0).len() == size());
    mesh.kill(new);
    mesh.within(2 * SOON, "the other takes its place", |mesh| mesh.has_lease(old));
}

#[test]
fn messages_of_a_start_that_has_ended_change_nothing() {
    let mut mesh = Mesh::settled(size(), 10);
    let late = mesh.gossip(5).question_for(None);
    mesh.kill(5);
    mesh.pass(50);
    mesh.start(5);
    mesh.within(SOON, "it is back", |mesh| mesh.is_agreed(&range(0, size())));
    let before = epoch(&mut mesh, 0);
    for at in 0..size() {
        let now = mesh.now;
        mesh.gossip(at).answer(&late, now);
    }
    mesh.pass(SOON);
    assert!(mesh.is_agreed(&range(0, size())) && epoch(&mut mesh, 0) == before);
}

#[test]
fn after_most_or_all_restart_at_once_they_agree_soon() {
    let mut mesh = Mesh::settled(size(), 11);
    for (restarted, silent) in [(size() * 3 / 5, 0), (size(), 0), (size() * 3 / 5, 20_000), (size() - 1, 1000)] {
        for at in 0..restarted {
            if silent > 0 { mesh.lose(at) } else { mesh.kill(at) }
        }
        mesh.pass(silent);
        range(0, restarted).into_iter().for_each(|at| mesh.start(at));
        let took = mesh.within(SOON, "all agree", |mesh| mesh.is_agreed(&range(0, size())));
        println!("{restarted} restarted after {silent} ms: {took} ms");
    }
}

#[test]
fn a_rolling_restart_never_takes_the_lease_of_those_that_stay() {
    let mut mesh = Mesh::settled(3, 12);
    for at in [0, 1, 2, 0, 1, 2] {
        let others: Vec<usize> = (0..3).filter(|other| *other != at).collect();
        mesh.gossip(at).leave();
        mesh.pass(1000);
        let now = mesh.now;
        for other in &others {
            mesh.gossip(*other).member_leaves(&name(at), true, now);
        }
        mesh.kill(at);
        for step in 0..200 {
            if step == 10 {
                mesh.start(at);
            }
            mesh.pass(50);
            assert!(others.iter().all(|other| mesh.has_lease(*other)), "{at}, step {step}");
        }
        assert!(mesh.is_agreed(&[0, 1, 2]));
    }
}

#[test]
fn clusters_that_were_founded_apart_become_one() {
    let (mut mesh, half) = (Mesh::new(size(), 13), size() / 2);
    mesh.cut = Some(Box::new(move |from, to| (from < half) != (to < half)));
    range(0, size()).into_iter().for_each(|at| mesh.start(at));
    mesh.within(2 * SOON, "those with seeds agree", |mesh| mesh.is_agreed(&range(0, half)));
    mesh.pass(SOON);
    mesh.cut = None;
    mesh.within(SOON, "all agree", |mesh| mesh.is_agreed(&range(0, size())));
}

#[test]
fn one_of_two_goes_on_when_the_other_was_killed_and_else_when_it_is_forgotten() {
    let mut mesh = Mesh::settled(2, 14);
    mesh.kill(1);
    mesh.within(SOON, "it goes on alone", |mesh| mesh.is_agreed(&[0]));
    mesh.start(1);
    mesh.within(SOON, "two again", |mesh| mesh.is_agreed(&[0, 1]));
    mesh.lose(1);
    mesh.pass(2 * SOON);
    assert!(!mesh.has_lease(0) && mesh.ring(0).len() == 2);
    let now = mesh.now;
    assert_eq!(mesh.gossip(0).missing(now), [name(1)]);
    assert_eq!(mesh.gossip(0).forget(&name(1), now), Forget::Forgotten);
    mesh.within(SOON, "it goes on alone", |mesh| mesh.is_agreed(&[0]));
    assert!(mesh.process(0).unwrap().gossip.missing(mesh.now).is_empty());
}

#[test]
fn where_most_are_gone_for_good_one_word_of_an_operator_is_enough() {
    let mut mesh = Mesh::settled(7, 15);
    (0..4).for_each(|at| mesh.lose(at));
    mesh.pass(2 * SOON);
    assert!((4..7).all(|at| !mesh.has_lease(at)));
    let now = mesh.now;
    assert_eq!(mesh.gossip(6).missing(now).len(), 4);
    assert_eq!(mesh.gossip(6).forget(&name(5), now), Forget::Answers);
    assert_eq!(mesh.gossip(6).forget("nobody", now), Forget::Unknown);
    assert_eq!(mesh.gossip(6).forget(&name(6), now), Forget::Own);
    for at in 0..4 {
        assert_eq!(mesh.gossip(6).forget(&name(at), now), Forget::Forgotten);
    }
    let took = mesh.within(SOON, "the rest agree", |mesh| mesh.is_agreed(&[4, 5, 6]));
    assert!(mesh.process(4).unwrap().gossip.missing(mesh.now).is_empty());
    println!("{took} ms after they were forgotten");
    (0..4).for_each(|at| mesh.start(at));
    mesh.within(SOON, "they are back", |mesh| mesh.is_agreed(&range(0, 7)));
}

#[test]
fn who_wakes_when_all_others_have_ended_does_not_go_on_alone() {
    let mut mesh = Mesh::settled(5, 16);
    mesh.freeze(0);
    mesh.pass(2 * SOON);
    (1..5).for_each(|at| mesh.kill(at));
    mesh.thaw(0);
    for _ in 0..100 {
        mesh.pass(200);
        assert!(!mesh.has_lease(0), "it counts itself as most, at {}", mesh.now);
    }
    (1..5).for_each(|at| mesh.start(at));
    mesh.within(2 * SOON, "all agree", |mesh| mesh.is_agreed(&range(0, 5)));
}

/// Anything happens to anybody, for a minute. The checks of each moment are in [`Mesh::pass`].
#[test]
fn whatever_happens_no_two_sides_go_on_and_after_it_all_agree_soon() {
    let mut acknowledged = 0;
    for seed in 1..=number("MESHCACHE_SIMULATION_SEEDS", 4) as u64 {
        let size = [3, 5, 8, 13][seed as usize % 4];
        let mut mesh = Mesh::settled(size, seed);
        let mut leaving = BTreeSet::new();
        mesh.trouble = 10;
        for _ in 0..40 {
            let at = mesh.dice.below(size as u64) as usize;
            match mesh.dice.below(9) {
                0 => mesh.kill(at),
                1 => mesh.lose(at),
                2 => mesh.freeze(at),
                3 if mesh.process(at).is_some() => {
                    mesh.gossip(at).leave();
                    leaving.insert(at);
                }
                4 => {
                    let (share, one_way) = (2 + mesh.dice.below(3) as usize, mesh.dice.below(4) == 0);
                    mesh.cut = Some(Box::new(move |from, to| {
                        let (from, to) = (from.is_multiple_of(share), to.is_multiple_of(share));
                        if one_way { from && !to } else { from != to }
                    }));
                }
                5 => mesh.cut = None,
                6 => mesh.thaw(at),
                _ if mesh.process(at).is_none() => mesh.start(at),
                _ => {}
            }
            for _ in 0..1 + mesh.dice.below(20) {
                let (by, pause) = (mesh.dice.below(size as u64) as usize, 1 + mesh.dice.below(600));
                if mesh.process(by).is_some() {
                    mesh.purge(by);
                }
                mesh.pass(pause);
            }
        }
        (mesh.cut, mesh.trouble) = (None, 0);
        for at in 0..size {
            mesh.thaw(at);
            if leaving.remove(&at) || mesh.process(at).is_none() {
                mesh.start(at);
            }
        }
        let took = mesh.within(2 * SOON, &format!("seed {seed}: all agree"), |mesh| mesh.is_agreed(&range(0, size)));
        let (rings, purges) = (mesh.checks.rings, mesh.checks.acknowledged.len());
        acknowledged += purges;
        println!("seed {seed}, {size} members: {took} ms, at most {rings} rings, {purges} purges acknowledged");
    }
    assert!(acknowledged > 100, "{acknowledged} purges were acknowledged");
}
