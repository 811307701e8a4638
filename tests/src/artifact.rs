//! Paths of the things under test: programs and modules that cargo built, the Envoy that scripts/setup fetched, the
//! files of envoy/.

use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A file of the repository, such as `envoy/front.yaml`.
pub fn file(path: &str) -> PathBuf {
    repository().join(path)
}

/// `MESHCACHE_COORDINATOR_BIN`, else the coordinator that was built last; for an optimised program, such as the demo,
/// only an optimised one.
pub fn coordinator() -> PathBuf {
    let profiles: &[&str] = if cfg!(debug_assertions) { &["quick", "release", "debug"] } else { &["quick", "release"] };
    let built: Vec<PathBuf> =
        profiles.iter().map(|profile| target().join(profile).join("meshcache-coordinator")).collect();
    find("MESHCACHE_COORDINATOR_BIN", &built, "cargo build --profile quick -p meshcache-coordinator")
}

/// The program under its own name where it is built beside the coordinator, else the coordinator: they are one.
pub fn meshcache() -> PathBuf {
    let coordinator = coordinator();
    let own = coordinator.with_file_name("meshcache");
    if own.exists() { own } else { coordinator }
}

/// `MESHCACHE_FILTER_WASM`, else the filter as `make build` leaves it.
pub fn filter() -> PathBuf {
    let built = [target().join("wasm32-wasip1/wasm/meshcache_filter.wasm")];
    find("MESHCACHE_FILTER_WASM", &built, "cargo build -p meshcache-filter --profile wasm --target wasm32-wasip1")
}

/// `MESHCACHE_NATIVE_MODULE`, else the native filter as `make native` leaves it.
pub fn native() -> PathBuf {
    find("MESHCACHE_NATIVE_MODULE", &[target().join("native/libmeshcache_envoy.so")], "make native")
}

/// `MESHCACHE_BARE_WASM`, else the yardstick filter as `make bench` builds it.
pub fn bare() -> PathBuf {
    let built = [target().join("wasm32-wasip1/wasm/meshcache_bare.wasm")];
    find("MESHCACHE_BARE_WASM", &built, "cargo build -p meshcache-bare --profile wasm --target wasm32-wasip1")
}

/// `MESHCACHE_BARE_MODULE`, else the native yardstick as `make bench` builds it.
pub fn bare_native() -> PathBuf {
    let command = "cargo build -p meshcache-bare --profile native";
    find("MESHCACHE_BARE_MODULE", &[target().join("native/libmeshcache_bare.so")], command)
}

/// `MESHCACHE_TRAP_WASM`, else the filter with the feature `trap` as `make test` builds it: it traps when a header says
/// so.
pub fn trapping() -> PathBuf {
    find("MESHCACHE_TRAP_WASM", &[target().join("trap/meshcache_filter.wasm")], "make test-modules")
}

/// The filter of commit ac21e7d, which speaks version 1 of the feed: proxies that have not been replaced yet.
pub fn version_1() -> PathBuf {
    file("tests/fixtures/filter-wire-1.wasm")
}

/// `ENVOY_BIN`, else the Envoy that `scripts/setup` fetched.
pub fn envoy() -> PathBuf {
    find("ENVOY_BIN", &[file(".tools/envoy")], "scripts/setup")
}

/// An Envoy of another version, as `scripts/setup envoys` fetches them.
pub fn envoy_of(version: &str) -> PathBuf {
    file(".tools").join(format!("envoy-{version}"))
}

/// The target folder: this test's own program lies in `TARGET/PROFILE/` or `TARGET/PROFILE/deps/`.
pub fn target() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let is_profile = |folder: &&Path| ["debug", "quick", "release"].iter().any(|profile| folder.ends_with(profile));
    let profile = program.ancestors().find(is_profile);
    profile.and_then(Path::parent).map_or_else(|| file("target"), Path::to_owned)
}

fn find(variable: &str, built: &[PathBuf], command: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable).map(PathBuf::from) {
        assert!(path.exists(), "{variable}={} does not exist", path.display());
        return path;
    }
    let newest = built.iter().filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path))).max();
    match newest {
        Some((_, path)) => path.clone(),
        None => panic!("{} is missing: run `{command}`, or set {variable}", built[0].display()),
    }
}
