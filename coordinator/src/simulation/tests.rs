//! The guarantees of a mesh under faults.

use crate::simulation::{
    check::Figures,
    world::{Breaks, Plan, World},
};

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable)
        .ok()
        .filter(|text| !text.is_empty())
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}

/// A small plan. The environment can make those with faults larger.
fn plan() -> Plan {
    sized(7, 40, 15)
}

fn sized(peers: u64, proxies: u64, seconds: u64) -> Plan {
    Plan {
        seed: number("MESHCACHE_SIMULATION_SEED", 1),
        peers: peers as usize,
        proxies: proxies as usize,
        keys: peers as usize * 20,
        duration: seconds * 1000,
        requests: (proxies * 5).clamp(1000, 20_000),
        long: 0,
        streamed: 0,
        loss: 0,
        purges: 0,
        bursts: false,
        faults: 0,
        changes: 0,
        forgeries: 0,
        ignores_purges: false,
        breaks: Breaks::default(),
    }
}

fn run(name: &str, plan: Plan) -> Figures {
    let begun = std::time::Instant::now();
    let figures = World::run(plan);
    println!("{name}: {plan:?} took {:?}\n{figures:#?}", begun.elapsed());
    assert_eq!(
        (figures.stale_from_coordinators, figures.stale_from_proxies, figures.stale_from_cut_off_proxies),
        (0, 0, 0),
        "{figures:?}"
    );
    assert_eq!((figures.mixed, figures.short), (0, 0), "{figures:?}");
    assert_eq!(figures.too_many_leaves, 0, "the service sees a load and one request beside it: {figures:?}");
    figures
}

#[test]
fn of_a_long_load_one_request_in_the_mesh_passes_and_all_others_wait_for_it() {
    let figures = run("long", Plan { long: 3, ..plan() });
    assert_eq!((figures.loads, figures.answers.get("passed")), (figures.keys, None), "{figures:?}");
    assert!(figures.leaves > figures.keys / 6, "{figures:?}");
    let faults = Plan { long: 3, duration: 6000, loss: 5, purges: 100, faults: 1000, changes: 2000, ..plan() };
    assert!(run("long with faults", faults).leaves > 0);
}

#[test]
fn in_quiet_times_each_key_is_loaded_once_and_once_more_for_each_purge() {
    let figures = run("quiet", Plan { purges: 100, ..plan() });
    assert!(figures.keys > 0 && figures.loads <= figures.keys + figures.purges, "{figures:?}");
    // The last one may be in flight at the end.
    assert!(figures.purges <= figures.purges_everywhere + 1, "{figures:?}");
    assert!(figures.answers["copies"] > 1000, "plain clients are answered from hot copies: {figures:?}");
    assert_eq!(figures.answers.get("passed"), None, "{figures:?}");
    assert_eq!(figures.purge_calls, figures.purges * 6, "one call to each other peer: {figures:?}");
}

#[test]
fn joins_and_leaves_one_after_another_cost_few_loads() {
    for seed in 1..=3 {
        let figures = run("changes", Plan { seed, changes: 5000, duration: 30_000, ..plan() });
        // A node that has just started does not know yet of an earlier join: for three seconds it may peek at the wrong
        // node.
        assert!(figures.changes > 5 && figures.loads <= figures.keys + figures.keys / 10, "{figures:?}");
    }
}

#[test]
fn under_faults_no_answer_is_older_than_a_purge_and_loads_and_messages_are_few() {
    let plan = sized(
        number("MESHCACHE_SIMULATION_PEERS", 7),
        number("MESHCACHE_SIMULATION_PROXIES", 40),
        number("MESHCACHE_SIMULATION_SECONDS", 15),
    );
    let peers = plan.peers as u64;
    for seed in plan.seed..plan.seed + number("MESHCACHE_SIMULATION_SEEDS", 3) {
        let figures = run(
            "faults",
            Plan { seed, loss: 5, purges: peers.max(50), bursts: true, faults: 2000, changes: 3000, ..plan },
        );
        let due = figures.keys + figures.purges;
        let per = |messages: u64, changes: u64| messages as f64 / (changes * peers) as f64;
        let (calls, announcements) =
            (per(figures.purge_calls, figures.purges), per(figures.announcements, figures.changes));
        println!(
            "{} loads where {due} were due; messages for each peer: {calls:.2} a purge, {announcements:.2} a change of the ring",
            figures.loads
        );
        // A node that dies loses its entries, and one that is cut off loads for itself.
        assert!(figures.loads <= 5 * due, "{} loads where {due} were due", figures.loads);
        // Purges are sent again and again to a node that is down, frozen or cut off, for two seconds. Announcements are
        // repeated every three.
        assert!(calls < 10.0 && announcements < 10.0, "{figures:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_figures_and_another_one_others() {
    let plan = Plan { duration: 5000, loss: 5, purges: 50, faults: 700, changes: 3000, ..plan() };
    let plan = Plan { keys: 100, requests: 500, ..plan };
    assert_eq!(World::run(plan), World::run(plan));
    assert_ne!(World::run(plan), World::run(Plan { seed: plan.seed + 100, ..plan }));
}

#[test]
fn a_client_that_makes_up_purges_changes_nothing_for_others() {
    let plan = Plan { loss: 5, purges: 50, faults: 1000, ..plan() };
    let honest = World::run(plan);
    assert_eq!(World::run(Plan { forgeries: 100, ..plan }), honest);
}

#[test]
fn nodes_that_ignore_the_purges_of_others_are_noticed() {
    let plan = Plan { ignores_purges: true, loss: 5, purges: 50, faults: 2000, ..plan() };
    let figures = World::run(Plan { keys: 50, duration: 20_000, ..plan });
    assert!(figures.stale_from_coordinators > 0, "{figures:?}");
}

/// Answers in parts, whose owners die in the middle and whose versions change.
fn streams() -> Plan {
    Plan { keys: 20, streamed: 20, requests: 200, purges: 100, faults: 2000, loss: 1, ..plan() }
}

#[test]
fn in_quiet_times_each_answer_in_parts_is_loaded_once_and_nobody_is_cut() {
    let figures = run("quiet streams", Plan { faults: 0, loss: 0, ..streams() });
    assert!(figures.answers["streamed"] > 3000 && figures.loads <= figures.keys + figures.purges, "{figures:?}");
    assert_eq!((figures.answers.get("cut"), figures.continued), (None, 0), "{figures:?}");
}

#[test]
fn whoever_dies_in_the_middle_no_reader_gets_two_versions_or_a_part_for_the_whole() {
    for seed in 1..=3 {
        let figures = run("streams", Plan { seed, changes: 4000, ..streams() });
        let (streamed, cut) = (figures.answers["streamed"], figures.answers["cut"]);
        assert!(figures.continued > 30 && streamed > 5 * cut, "{figures:?}");
        let due = figures.keys + figures.purges;
        assert!(figures.loads <= 5 * due, "{} loads where {due} were due", figures.loads);
    }
}

#[test]
fn readers_that_take_any_rest_or_a_cut_for_the_end_are_noticed() {
    let any_rest = World::run(Plan { breaks: Breaks { is_any_rest_taken: true, ..Breaks::default() }, ..streams() });
    assert!(any_rest.mixed > 0, "{any_rest:?}");
    let cut = World::run(Plan { breaks: Breaks { is_cut_taken_for_end: true, ..Breaks::default() }, ..streams() });
    assert!(cut.short > 0 && cut.mixed == 0, "{cut:?}");
}
