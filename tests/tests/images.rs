//! The images as `scripts/image --oci` leaves them: what a kubelet, Istio's agent, Envoy Gateway and an image volume find inside.
//! `make test` builds them and says where (MESHCACHE_IMAGES); where they cannot be built it says so, and there is
//! nothing to look into.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

use meshcache_tests::artifact;
use serde_json::{Value, json};
use tempfile::TempDir;

/// One image: its configuration, and its only layer unpacked.
struct Image {
    config: Value,
    root: TempDir,
}

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const SEVERAL: &str = "application/vnd.oci.image.index.v1+json";

impl Image {
    /// What is in a layout under its only name: an image, or one for each of several architectures.
    fn read(layout: &Path) -> Vec<Image> {
        let named = json(layout.join("index.json"))["manifests"].clone();
        assert_eq!(named.as_array().unwrap().len(), 1);
        if named[0]["mediaType"] == IMAGE {
            return vec![Image::of(layout, &named[0])];
        }
        assert_eq!(named[0]["mediaType"], SEVERAL);
        let index = json(blob(layout, &named[0]));
        let images = index["manifests"].as_array().unwrap().iter().map(|one| {
            let image = Image::of(layout, one);
            // By this a node takes its own.
            assert_eq!(
                (&one["platform"]["os"], &one["platform"]["architecture"]),
                (&json!("linux"), &image.config["architecture"])
            );
            image
        });
        images.collect()
    }

    fn of(layout: &Path, manifest: &Value) -> Image {
        assert_eq!(manifest["mediaType"], IMAGE);
        let manifest = json(blob(layout, manifest));
        // What Istio takes for a module is an image with exactly one such layer.
        assert_eq!(manifest["config"]["mediaType"], "application/vnd.oci.image.config.v1+json");
        let layers = manifest["layers"].as_array().unwrap();
        assert_eq!((layers.len(), &layers[0]["mediaType"]), (1, &json!("application/vnd.oci.image.layer.v1.tar+gzip")));
        let root = tempfile::tempdir().unwrap();
        let unpacked =
            Command::new("tar").arg("-xzf").arg(blob(layout, &layers[0])).arg("-C").arg(root.path()).status().unwrap();
        assert!(unpacked.success());
        Image { config: json(blob(layout, &manifest["config"])), root }
    }

    fn architecture(&self) -> &str {
        self.config["architecture"].as_str().unwrap()
    }

    fn files(&self) -> BTreeSet<String> {
        let entries = std::fs::read_dir(self.root.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn bytes(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.root.path().join(file)).unwrap()
    }
}

fn json(path: PathBuf) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn blob(layout: &Path, of: &Value) -> PathBuf {
    layout.join("blobs").join(of["digest"].as_str().unwrap().replace(':', "/"))
}

/// The images of a name; none where none were built.
fn images(name: &str) -> Vec<Image> {
    let Some(folder) = std::env::var_os("MESHCACHE_IMAGES") else {
        eprintln!("no images were built: run `make test-image`");
        return Vec::new();
    };
    let all = Image::read(&PathBuf::from(folder).join(name));
    assert!(!all.is_empty());
    all
}

/// How a program of this architecture is run here, if at all: by itself, or by an emulator that is installed (Debian:
/// qemu-user-static).
fn runner(architecture: &str) -> Option<Command> {
    let (machine, own) = match architecture {
        "amd64" => ("x86_64", cfg!(target_arch = "x86_64")),
        "arm64" => ("aarch64", cfg!(target_arch = "aarch64")),
        other => panic!("an image for {other}"),
    };
    let emulator = std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(format!("qemu-{machine}-static")))
        .find(|path| path.exists());
    if own { Some(Command::new("env")) } else { emulator.map(Command::new) }
}

/// How ELF calls an architecture.
fn machine(architecture: &str) -> u8 {
    if architecture == "arm64" { 183 } else { 62 }
}

/// The segments of a program (ELF, 64 bits): their types.
fn segments(program: &[u8]) -> Vec<u32> {
    assert_eq!(program[..6], *b"\x7fELF\x02\x01", "an ELF program of 64 bits");
    let number = |at: usize, bytes: usize| {
        program[at..at + bytes].iter().rev().fold(0_usize, |n, byte| n << 8 | usize::from(*byte))
    };
    let (table, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    (0..count).map(|i| number(table + i * size, 4) as u32).collect()
}

/// The versions of glibc's symbols that a library asks for: the minor numbers of 2.x.
fn glibc(library: &[u8]) -> BTreeSet<u32> {
    let text = String::from_utf8_lossy(library);
    let after = text.split("GLIBC_2.").skip(1);
    after.map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()).collect()
}

#[test]
fn the_coordinators_image_is_one_static_program_with_the_filters_inside() {
    images("coordinator").iter().for_each(looks_right);
}

fn looks_right(image: &Image) {
    let config = &image.config["config"];
    for (label, value) in [
        ("title", "meshcache/coordinator"),
        ("version", env!("CARGO_PKG_VERSION")),
        ("licenses", env!("CARGO_PKG_LICENSE")),
        ("source", env!("CARGO_PKG_REPOSITORY")),
    ] {
        assert_eq!(config["Labels"][format!("org.opencontainers.image.{label}")], value, "{config}");
    }
    // A number: only so the kubelet can see that it is not root.
    assert_eq!((&config["User"], &config["Entrypoint"]), (&json!("65532:65532"), &json!(["/meshcache"])));
    let ports: Vec<&String> = config["ExposedPorts"].as_object().unwrap().keys().collect();
    assert_eq!(ports, ["8080/tcp", "8081/tcp", "8082/tcp", "8083/tcp"]);
    assert!(config["Env"].as_array().unwrap().contains(&json!("MESHCACHE_FILTER=/filter.wasm")), "{config}");
    let native: Vec<String> =
        images("native").iter().map(|image| format!("filter-{}.so", image.architecture())).collect();
    let named: Vec<String> = native.iter().map(|file| format!("/{file}")).collect();
    assert!(
        config["Env"].as_array().unwrap().contains(&json!(format!("MESHCACHE_NATIVE_FILTER={}", named.join(",")))),
        "{config}"
    );
    let own = ["filter.wasm", "meshcache", "meshcache-coordinator"].map(str::to_owned).into_iter();
    assert_eq!(image.files(), own.chain(native).collect());
    for native in images("native") {
        // Those of all architectures: its proxies may be on others.
        let file = format!("filter-{}.so", native.architecture());
        assert!(image.bytes(&file) == native.bytes("libmeshcache_envoy.so"), "{file}");
    }
    assert!(image.bytes("filter.wasm") == std::fs::read(artifact::filter()).unwrap(), "the module that the tests run");

    let link = std::fs::read_link(image.root.path().join("meshcache-coordinator")).unwrap();
    assert_eq!(link, Path::new("meshcache"), "the first name costs no second copy");
    let program = image.bytes("meshcache");
    let (interpreter, dynamic_tls) = (3, 7);
    assert!(!segments(&program).contains(&interpreter), "nothing else is there that it could be linked with");
    assert!(
        segments(&program).contains(&dynamic_tls)
            && segments(&std::fs::read("/bin/sh").unwrap()).contains(&interpreter),
        "segments are read"
    );
    let architecture = image.architecture();
    assert_eq!(program[18], machine(architecture), "{architecture}");
    let Some(mut run) = runner(architecture) else {
        eprintln!("the program for {architecture} was not run: no emulator");
        return;
    };
    let said = run.arg(image.root.path().join("meshcache-coordinator")).arg("--version").output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&said.stdout).trim(),
        format!("meshcache-coordinator {}", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn the_filters_image_is_the_module_and_nothing_else() {
    // One for all architectures: else Istio's agent would have to choose.
    for image in images("filter") {
        assert_eq!(image.files(), ["plugin.wasm"].map(str::to_owned).into());
        assert!(
            image.bytes("plugin.wasm") == std::fs::read(artifact::filter()).unwrap(),
            "the module that the tests run"
        );
    }
}

#[test]
fn the_native_filters_image_is_a_library_that_needs_no_glibc_later_than_the_docs_say() {
    for image in images("native") {
        assert_eq!(image.files(), ["libmeshcache_envoy.so"].map(str::to_owned).into());
        let (library, architecture) = (image.bytes("libmeshcache_envoy.so"), image.architecture());
        let shared = 3;
        assert_eq!((library[16], library[18]), (shared, machine(architecture)), "{architecture}");
        for hook in ["envoy_dynamic_module_on_program_init", "envoy_dynamic_module_on_http_filter_new"] {
            assert!(library.windows(hook.len()).any(|bytes| bytes == hook.as_bytes()), "{hook}");
        }
        let asked = glibc(&library);
        assert!(asked.contains(&17) || asked.contains(&2), "symbols are read: {asked:?}");
        let name = if architecture == "arm64" { "aarch64" } else { "x86_64" };
        if !artifact::file(&format!(".tools/bin/{name}-linux-gnu-cc")).exists() {
            eprintln!("built for the glibc of this machine: run `scripts/setup cross` before the images are built");
            continue;
        }
        assert!(asked.iter().all(|minor| *minor <= 31), "{architecture} needs glibc 2.{}", asked.last().unwrap());
    }
    let page = std::fs::read_to_string(artifact::file("docs/native.md")).unwrap();
    assert!(page.contains("| glibc | 2.31 |"));
}
