//! Builds what is measured, in the same target folder as the benchmark itself, and points the harness to it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use meshcache_tests::artifact;

const WASM: [&str; 4] = ["--profile", "wasm", "--target", "wasm32-wasip1"];

/// Builds both hosts of the filter, the yardstick filter and the coordinator; what a variable names already is left alone. Must run before the
/// first thread.
pub(crate) fn build() {
    let target = target();
    let wasm = target.join("wasm32-wasip1/wasm");
    built("MESHCACHE_BARE_WASM", "meshcache-bare", &WASM, &target, wasm.join("meshcache_bare.wasm"));
    built("MESHCACHE_FILTER_WASM", "meshcache-filter", &WASM, &target, wasm.join("meshcache_filter.wasm"));
    for (variable, package, module) in [
        ("MESHCACHE_NATIVE_MODULE", "meshcache-native", "native/libmeshcache_envoy.so"),
        ("MESHCACHE_BARE_MODULE", "meshcache-bare", "native/libmeshcache_bare.so"),
    ] {
        built(variable, package, &["--profile", "native"], &target, target.join(module));
    }
    built(
        "MESHCACHE_COORDINATOR_BIN",
        "meshcache-coordinator",
        &["--release"],
        &target,
        target.join("release/meshcache-coordinator"),
    );
}

/// Builds the program that measures the library. `MESHCACHE_LIBRARY_BIN` names another one.
pub(crate) fn library() -> PathBuf {
    if let Some(program) = std::env::var_os("MESHCACHE_LIBRARY_BIN") {
        return program.into();
    }
    let target = target();
    cargo("meshcache-tests", &["--release", "--bin", "library"], &target);
    target.join("release/library")
}

fn built(variable: &str, package: &str, how: &[&str], target: &Path, product: PathBuf) {
    if std::env::var_os(variable).is_some() {
        return;
    }
    if !cargo(package, how, target) {
        return;
    }
    // SAFETY: no other thread is there yet.
    unsafe { std::env::set_var(variable, product) };
}

/// Builds one package. Returns whether that worked.
fn cargo(package: &str, how: &[&str], target: &Path) -> bool {
    println!("building {package}");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(artifact::repository())
        .args(["build", "--quiet", "-p", package])
        .args(how)
        .arg("--target-dir")
        .arg(target);
    let is_built = command.status().expect("cargo starts").success();
    // A figure that does not need it can be measured all the same; the others say what is missing.
    if !is_built {
        println!("{package} could not be built");
    }
    is_built
}

fn target() -> PathBuf {
    std::env::current_exe()
        .ok()
        .and_then(|program| program.parent()?.parent().map(Path::to_owned))
        .expect("the benchmark lies in TARGET/release")
}
