//! The program `meshcache`, and under its first name `meshcache-coordinator` (`bin/`).

use std::process::ExitCode;

/// Returns freed memory to the system soon, also in an hour without requests.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// jemalloc's options, under the symbol that it looks up. It reads a C string through a pointer. By default a thread
/// looks through its free memory after every 64 KiB: that is, after two or three requests.
#[unsafe(export_name = "_rjem_malloc_conf")]
#[used]
static MALLOC_CONF: &[u8; 89] =
    b"background_thread:true,dirty_decay_ms:3000,muzzy_decay_ms:0,tcache_gc_incr_bytes:1048576\0";

pub(crate) fn main() -> ExitCode {
    meshcache_coordinator::program::main()
}
