//! Change: what it costs that coordinators are replaced, come and go, die, freeze, and all of them are gone for a
//! while.

use std::time::Duration;

use meshcache_tests::{
    Ask, Coordinator, Mesh, await_until,
    change::{ORIGIN, Struck, rolling_restart, scale, struck, until_back},
    groups::SHOP,
    wait::SOON,
};

use crate::{
    figure::{Figure, Target, Unit},
    report::Report,
};

const PATIENCE: &str = "100ms";

/// One after the other, each with a mesh of its own.
pub(crate) async fn run(report: &Report) {
    let keys = report.scaled(10_000) as usize;
    let percent = |loads: usize| 100.0 * loads as f64 / keys as f64;
    report.step(&format!("a rolling restart of 3 coordinators, {keys} warm keys, each asked for after every step"));
    let restart = rolling_restart(keys).await;
    report.add(Figure::once(
        "rolling restart: keys loaded again, %",
        Unit::Ratio,
        percent(restart.loads()),
        Target::AtMost(2.0, None),
    ));
    report.step("a coordinator more, and one less");
    let scaled = scale(keys).await;
    report.add(Figure::once(
        "3 to 4 and back: keys loaded again, %",
        Unit::Ratio,
        percent(scaled.more + scaled.less),
        Target::AtMost(1.0, None),
    ));
    report.step("one of three is killed under load, the origin takes 20 ms");
    let (.., killed) = struck(report.scaled(3_000) as usize, PATIENCE, Coordinator::kill).await;
    told(report, "killed", &killed, killed.before.within(0.99) + Duration::from_millis(50) + ORIGIN);
    report.step("one of three freezes under load, patience 100 ms");
    // Few keys: all of them are loaded again within the first second, and the next one shows what a frozen peer costs.
    let (.., frozen) = struck(300, PATIENCE, |coordinator| coordinator.freeze()).await;
    told(report, "frozen", &frozen, ORIGIN + Duration::from_millis(250));
    report.add(Figure::once(
        "- p99 in the second after that",
        Unit::Micros,
        frozen.then.within(0.99).as_secs_f64() * 1e6,
        Target::Beside,
    ));
    report.step("all are killed, and start again");
    let mut mesh = Mesh::of(3, 2).start().await;
    mesh.coordinators.all.iter_mut().for_each(Coordinator::kill);
    let front = mesh.fronts()[0];
    let passes = async || {
        Ask::get(SHOP, "/").send(front).await.is_ok_and(|answer| answer.cache_status().contains("detail=no-peer"))
    };
    await_until(passes, SOON, "the filter asks no coordinator any more").await;
    let back = until_back(&mut mesh).await;
    report.add(Figure::once(
        "all gone: until each worker answers from the cache again",
        Unit::Seconds,
        back.as_secs_f64(),
        Target::AtMost(3.0, None),
    ));
}

fn told(report: &Report, what: &str, struck: &Struck, most: Duration) {
    let loads = struck.loads as f64 / struck.lost as f64;
    let micros = |load: Duration| load.as_secs_f64() * 1e6;
    report.add(Figure::once(
        &format!("{what}: loads for each of its keys"),
        Unit::Ratio,
        loads,
        Target::AtMost(1.05, None),
    ));
    report.add(Figure::once(
        "- p99 in the second before",
        Unit::Micros,
        micros(struck.before.within(0.99)),
        Target::Beside,
    ));
    report.add(Figure::once(
        "- p99 in that second",
        Unit::Micros,
        micros(struck.first.within(0.99)),
        Target::AtMost(micros(most), None),
    ));
}
