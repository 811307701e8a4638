//! Throughput: one answer of 64 MiB, as a hit and as a miss that streams, beside nginx's.

use std::{net::SocketAddr, time::Instant};

use meshcache_tests::{Coordinators, process::Process};
use tokio::net::TcpStream;

use super::drain::drain;
use crate::{
    cpu,
    figure::{Figure, Target, Unit, median},
    mesh::{HOST, ask},
    nginx::Nginx,
    report::Report,
    rounds::ratios,
};

const BYTES: u64 = 64 << 20;

/// One side: where it answers, and whose CPU counts.
struct Side<'a>(SocketAddr, &'a Process);

impl Side<'_> {
    /// Seconds for an answer, and the CPU seconds that it took.
    async fn transfer(&self, path: &str, buffer: &mut [u8]) -> (f64, f64) {
        let Side(at, process) = self;
        let mut stream = TcpStream::connect(at).await.unwrap();
        let (before, begun) = (cpu::used(process.pid()), Instant::now());
        let (received, length) = drain(&mut stream, &ask(path), buffer).await.unwrap();
        let elapsed = begun.elapsed().as_secs_f64();
        assert_eq!((received, length), (BYTES, BYTES), "{path}");
        (elapsed, cpu::used(process.pid()).saturating_sub(before).as_secs_f64())
    }
}

pub(super) async fn run(report: &Report) {
    let origin = Nginx::origin().await;
    let groups = format!(
        "version: 1\ngroups:\n- name: bench\n  match: {{hosts: [{HOST}]}}\n  origin: {{url: \"{}\"}}\n  limits: {{object: 128MiB}}\n",
        origin.url()
    );
    let coordinators = Coordinators::start(1, &groups, &["--store-bytes", "512MiB"]).await;
    let nginx = Nginx::cache(&origin).await;
    let sides = [Side(coordinators.all[0].ports.data, &coordinators.all[0].process), Side(nginx.addr, &nginx.process)];
    for (kind, least) in [("hit", 1.0), ("streamed miss", 0.9)] {
        report.step(&format!("throughput, one {kind} of 64 MiB: coordinator, nginx"));
        let mut taken: [(Vec<f64>, Vec<f64>); 2] = Default::default();
        let mut buffer = vec![0; 1 << 20];
        for round in 0..=report.effort.rounds {
            let path = if kind == "hit" { "/values/64m/hit".to_owned() } else { format!("/values/64m/{round}") };
            for (side, (wall, cpu)) in sides.iter().zip(&mut taken) {
                let (elapsed, used) = side.transfer(&path, &mut buffer).await;
                // The first round does not count: a hit is a miss then.
                if round > 0 {
                    wall.push(elapsed);
                    cpu.push(used);
                }
            }
        }
        let [(wall, cpu), (their_wall, their_cpu)] = &taken;
        for (name, (wall, cpu)) in ["coordinator", "nginx"].iter().zip(&taken) {
            println!("    {name:<12} {:>6.1} ms, {:>6.1} ms of CPU", median(wall) * 1e3, median(cpu) * 1e3);
        }
        // Throughput is the inverse of time.
        let target = Target::AtLeast(least, None);
        let name = format!("throughput of one {kind} of 64 MiB / nginx's");
        report.add(Figure::new(&name, Unit::Ratio, ratios(their_wall, wall), target));
        report.add(Figure::new(
            "  bytes for the same CPU / nginx's",
            Unit::Ratio,
            ratios(their_cpu, cpu),
            Target::Beside,
        ));
    }
}
