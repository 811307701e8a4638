//! `KEEP=1`: it all goes on running, to be looked at and tried by hand.

use std::time::Duration;

use meshcache_tests::{Ask, Mesh, Reply, artifact, groups::SHOP};

use crate::telling::Telling;

/// The pause between two requests of the shop's clients.
const PAUSE: Duration = Duration::from_millis(100);
/// What they ask for, again and again.
const ITEMS: usize = 20;

/// Says what to try, and lets clients come for as long as it runs.
pub(crate) async fn keep(tell: &Telling, mesh: &Mesh) {
    mesh.origin.on("/cart", |_| Reply::ok("yours alone\n").header("cache-control", "private"));
    let (admin, front) = (mesh.coordinators.all[0].ports.admin, mesh.fronts()[0]);
    let program = artifact::meshcache();
    let here = std::env::current_dir().unwrap_or_default();
    let program = program.strip_prefix(here).unwrap_or(&program).display();
    tell.chapter("It goes on running, and a few clients with it; Ctrl-C stops it all");
    tell.line(&format!("The page: http://{admin}/"));
    tell.line("");
    tell.line("Admin ports without a token listen on this machine alone, as here. Try:");
    for line in [
        format!("{program} why --admin {admin} http://{SHOP}/cart"),
        format!("{program} top --admin {admin}"),
        format!("curl -sN http://{admin}/tail"),
    ] {
        tell.line(&format!("  {line}"));
    }
    tell.line("");
    tell.line("What clients see, what a coordinator by itself answers, and the metrics of both:");
    for line in [
        format!("curl -i -H 'host: {SHOP}' http://{front}/hot"),
        format!("curl -i -H 'host: {SHOP}' -H 'meshcache-debug: 1' http://{front}/anything"),
        format!("curl -i -H 'host: {SHOP}' http://{}/cold", mesh.coordinators.data()[0]),
        format!("curl -s http://{}/metrics | grep groupcache", mesh.coordinators.all[0].ports.status),
        format!("curl -s http://{}/stats/prometheus | grep meshcache", mesh.envoys[0].admin),
    ] {
        tell.line(&format!("  {line}"));
    }
    clients(mesh).await;
}

/// Clients that come one after the other, to one proxy and the other, and to a coordinator.
async fn clients(mesh: &Mesh) {
    let mut doors = mesh.fronts();
    doors.push(mesh.coordinators.data()[0]);
    for nth in 0.. {
        // A cart among the items, so that there is a reason to ask for.
        let path = if nth % 7 == 0 { "/cart".to_owned() } else { format!("/item/{}", nth % ITEMS) };
        let _ = Ask::get(SHOP, &path).send(doors[nth % doors.len()]).await;
        tokio::time::sleep(PAUSE).await;
    }
}
