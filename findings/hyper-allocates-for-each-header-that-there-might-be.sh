#!/usr/bin/env bash
# hyper 1.12.0: with `max_headers` above 100, each request costs an allocation of 64 bytes for each header that there might be.
#
# One would guess: `max_headers` is a bound. A request with two headers costs the same, whatever the bound is.
# What happens: up to 100, the default, headers are parsed into tables on the stack. Above it two tables of that many places are allocated for each
# request, and freed again. A server that allows 1,000 headers allocates 64,000 bytes for every request with two.
# Seen (bytes allocated for one request on a connection that is kept):
#   default 216
#   100 216
#   1000 64216
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/src"
cat >"$folder/Cargo.toml" <<'TOML'
[package]
name = "heads"
version = "0.1.0"
edition = "2021"
[dependencies]
hyper = { version = "=1.12.0", features = ["http1", "server"] }
hyper-util = { version = "=0.1.21", features = ["tokio"] }
http-body-util = "=0.1.5"
tokio = { version = "=1.54.1", features = ["rt", "io-util", "macros"] }
TOML
cat >"$folder/src/main.rs" <<'RUST'
use std::{alloc::{GlobalAlloc, Layout, System}, convert::Infallible, sync::atomic::{AtomicUsize, Ordering::Relaxed}};
use hyper::{body::{Bytes, Incoming}, server::conn::http1, service::service_fn, Request, Response};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

struct Counting;
static BYTES: AtomicUsize = AtomicUsize::new(0);
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size(), Relaxed);
        System.alloc(layout)
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        System.dealloc(at, layout)
    }
}
#[global_allocator]
static ALLOCATOR: Counting = Counting;

async fn per_request(limit: Option<usize>) -> usize {
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    let mut builder = http1::Builder::new();
    if let Some(limit) = limit {
        builder.max_headers(limit);
    }
    let service = service_fn(|_: Request<Incoming>| async { Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())) });
    let connection = builder.serve_connection(TokioIo::new(server), service);
    let asking = async move {
        let (mut buffer, mut before) = (vec![0; 4096], 0);
        for round in 0..200 {
            if round == 100 {
                before = BYTES.load(Relaxed);
            }
            client.write_all(b"GET / HTTP/1.1\r\nhost: a.test\r\naccept: */*\r\n\r\n").await.unwrap();
            let n = client.read(&mut buffer).await.unwrap();
            assert!(buffer[..n].starts_with(b"HTTP/1.1 200"));
        }
        (BYTES.load(Relaxed) - before) / 100
    };
    tokio::select! {
        _ = connection => panic!("the connection ended"),
        bytes = asking => bytes,
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    println!("default {}", per_request(None).await);
    println!("100 {}", per_request(Some(100)).await);
    println!("1000 {}", per_request(Some(1000)).await);
}
RUST
seen=$(cd "$folder" && CARGO_TARGET_DIR=$folder/target cargo run --quiet --release)
echo "$seen"
awk '{bytes[$1] = $2} END {exit !(bytes["default"] < 1000 && bytes["100"] == bytes["default"] && bytes["1000"] == bytes["100"] + 64 * 1000)}' <<<"$seen" \
  || { echo "not what was seen" >&2; exit 1; }
