//! What a mesh must hold to, whatever befalls it.

use super::{
    check::Figures,
    world::{Plan, World},
};

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().filter(|text| !text.is_empty()).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}

/// Small, unless the environment wants it larger.
fn plan() -> Plan {
    let plan = Plan {
        seed: number("MESHCACHE_SIMULATION_SEED", 1),
        peers: number("MESHCACHE_SIMULATION_PEERS", 7) as usize,
        proxies: number("MESHCACHE_SIMULATION_PROXIES", 40) as usize,
        keys: 200,
        lasts: number("MESHCACHE_SIMULATION_SECONDS", 15) * 1000,
        requests: 1000,
        loses: 0,
        purges: 0,
        blows: 0,
        changes: 0,
        deaf: false,
    };
    Plan { keys: plan.peers * 20, requests: (plan.proxies as u64 * 5).max(1000), ..plan }
}

fn run(name: &str, plan: Plan) -> Figures {
    let begun = std::time::Instant::now();
    let figures = World::run(plan);
    println!("{name}: {plan:?} took {:?}\n{figures:#?}", begun.elapsed());
    assert_eq!((figures.stale_from_coordinators, figures.stale_from_proxies, figures.stale_from_deaf_proxies), (0, 0, 0), "{figures:?}");
    figures
}

#[test]
fn in_quiet_times_each_key_is_loaded_once_and_once_more_for_each_purge() {
    let figures = run("quiet", Plan { purges: 100, ..plan() });
    assert!(figures.keys > 0 && figures.loads <= figures.keys + figures.purges, "{figures:?}");
    // The last may be under way when it ends.
    assert!(figures.purges <= figures.purges_everywhere + 1, "{figures:?}");
    assert_eq!(figures.answers.get("passed"), None, "{figures:?}");
}

#[test]
fn who_comes_and_who_leaves_costs_no_load() {
    let figures = run("changes", Plan { changes: 2000, ..plan() });
    assert!(figures.rings > 0 && figures.loads <= figures.keys + figures.keys / 100, "{figures:?}");
}

#[test]
fn whatever_befalls_a_mesh_nothing_is_older_than_a_purge_and_loads_are_few() {
    let plan = plan();
    let (mut sum, mut least) = (0, 0);
    for seed in plan.seed..plan.seed + 3 {
        let figures = run("blows", Plan { seed, loses: 5, purges: 50, blows: 2000, changes: 3000, ..plan });
        (sum, least) = (sum + figures.loads, least + figures.keys + figures.purges);
    }
    // Who dies has lost its keys, and who is cut off loads for itself.
    println!("{sum} loads where {least} were due");
    assert!(sum <= 3 * least, "{sum} loads where {least} were due");
}

#[test]
fn the_same_seed_gives_the_same_figures_and_another_one_others() {
    let plan = Plan { lasts: 5000, loses: 5, purges: 50, blows: 700, changes: 3000, ..plan() };
    let plan = Plan { peers: plan.peers.min(10), proxies: plan.proxies.min(40), keys: 100, requests: 500, ..plan };
    assert_eq!(World::run(plan), World::run(plan));
    assert_ne!(World::run(plan), World::run(Plan { seed: plan.seed + 100, ..plan }));
}

#[test]
fn it_is_noticed_when_nodes_do_not_hear_what_others_purged() {
    let plan = Plan { deaf: true, loses: 5, purges: 50, blows: 2000, ..plan() };
    let figures = World::run(Plan { peers: 7, proxies: 40, keys: 50, lasts: 20_000, requests: 1000, ..plan });
    assert!(figures.stale_from_coordinators > 0, "{figures:?}");
}
