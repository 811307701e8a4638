//! Herd: many clients at once for one key that is not cached.

use std::time::Duration;

use meshcache_tests::{Ask, Origin, Reply, herd};

use crate::{
    figure::{Figure, Target, Unit},
    mesh::{HOST, Mesh, Shape},
    report::Report,
};

/// The time that the origin takes for an answer.
const TAKES: Duration = Duration::from_millis(500);

/// One cold key, then a hundred.
pub(crate) async fn run(report: &Report) {
    let clients = report.scaled(10_000) as usize;
    let origin = Origin::start().await;
    origin.forget_heads().always("*", Reply::fresh(3600, vec![b'x'; 1024]).delay(TAKES));
    origin.always("/1k", Reply::fresh(3600, vec![b'x'; 1024]));
    let mesh = Mesh::start(origin.addr, Shape { coordinators: 3, envoys: 2, ..Shape::default() }).await;
    for keys in [1, 100] {
        report.step(&format!("herd: {clients} clients at once over 2 Envoys and 3 coordinators, {keys} cold keys"));
        let before = origin.total();
        let herd = herd(clients, &mesh.fronts(), |i| Ask::get(HOST, &format!("/cold/{keys}/{}", i / 2 % keys))).await;
        let failed = clients - herd.statuses().get(&200).copied().unwrap_or(0);
        println!("    by status {:?}; last answer after {:.2} s", herd.statuses(), herd.within(1.0).as_secs_f64());
        report.add(Figure::once(
            &format!("herd, {keys} cold keys: loads"),
            Unit::Count,
            (origin.total() - before) as f64,
            Target::Exactly(keys as f64),
        ));
        report.add(Figure::once("  requests that failed", Unit::Count, failed as f64, Target::Exactly(0.0)));
        report.add(Figure::once(
            "  last answer (the origin takes 0.5 s)",
            Unit::Seconds,
            herd.within(1.0).as_secs_f64(),
            Target::Beside,
        ));
    }
}
