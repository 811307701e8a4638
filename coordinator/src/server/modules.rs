//! The filter's modules, served under their own digests: a proxy that has the digest can check what it gets.

use bytes::Bytes;
use ring::digest::{SHA256, digest};
use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

/// The largest module. A native one has about 2 MB, the Wasm one half of it.
const MAX_BYTES: u64 = 64 << 20;

/// What a module is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Any Envoy with Wasm.
    Wasm,
    /// An Envoy of this architecture.
    Native(Architecture),
}

/// The processors that Envoy is built for, by the names that images have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Architecture {
    Amd64,
    Arm64,
}

impl Kind {
    fn label(self) -> &'static str {
        match self {
            Self::Wasm => "wasm",
            Self::Native(Architecture::Amd64) => "amd64",
            Self::Native(Architecture::Arm64) => "arm64",
        }
    }

    fn extension(self) -> &'static str {
        if self == Self::Wasm { "wasm" } else { "so" }
    }

    fn content_type(self) -> &'static str {
        if self == Self::Wasm { "application/wasm" } else { "application/octet-stream" }
    }
}

impl Architecture {
    /// The architecture of a shared library (ELF, 64 bits, little endian); `None`: it is none, or of another one.
    fn of(library: &[u8]) -> Option<Self> {
        let head = library.strip_prefix(b"\x7fELF\x02\x01")?;
        match head.get(10..14)? {
            [3, 0, 62, 0] => Some(Self::Amd64),
            [3, 0, 183, 0] => Some(Self::Arm64),
            _ => None,
        }
    }
}

/// A module.
pub struct Module {
    /// SHA-256, lower case hexadecimal.
    pub digest: String,
    kind: Kind,
    bytes: Bytes,
}

impl Module {
    /// Reads the Wasm module. The error is one line that names the file.
    pub fn wasm(file: &Path) -> Result<Self, String> {
        Ok(Self::new(Kind::Wasm, read(file)?))
    }

    fn native(file: &Path) -> Result<Self, String> {
        let bytes = read(file)?;
        let architecture = Architecture::of(&bytes).ok_or_else(|| {
            format!(
                "{}: is no shared library for amd64 or arm64: name the libmeshcache_envoy.so of the image",
                file.display()
            )
        })?;
        Ok(Self::new(Kind::Native(architecture), bytes))
    }

    fn new(kind: Kind, bytes: Vec<u8>) -> Self {
        let digest = digest(&SHA256, &bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Self { digest, kind, bytes: bytes.into() }
    }

    /// The name under which it is served.
    fn name(&self) -> String {
        format!("{}.{}", self.digest, self.kind.extension())
    }

    pub(super) fn content_type(&self) -> &'static str {
        self.kind.content_type()
    }

    pub(super) fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }
}

/// The modules of one version: at most one for each host and architecture.
#[derive(Default)]
pub struct Modules(Vec<Module>);

impl Modules {
    /// Reads them. The error is one line that names a file.
    pub fn read(wasm: Option<&Path>, native: &[PathBuf]) -> Result<Self, String> {
        let mut all: Vec<Module> = wasm.map(Module::wasm).transpose()?.into_iter().collect();
        for file in native {
            let module = Module::native(file)?;
            if all.iter().any(|other| other.kind == module.kind) {
                let of = module.kind.label();
                return Err(format!(
                    "{}: is the second native filter for {of}: name one for each architecture",
                    file.display()
                ));
            }
            all.push(module);
        }
        Ok(Self(all))
    }

    /// The module with this name.
    pub(super) fn named(&self, name: &str) -> Option<&Module> {
        self.0.iter().find(|module| module.name() == name)
    }

    /// A line for each: `wasm`, `amd64` or `arm64`, and its path.
    pub(super) fn list(&self) -> String {
        self.0.iter().map(|module| format!("{:5} /filter/{}\n", module.kind.label(), module.name())).collect()
    }
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(|error| format!("{}: cannot be read: {error}", file.display()))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("{}: has more than 64 MiB, which no filter has", file.display()));
    }
    Ok(bytes)
}
