//! nginx, as the origin of the benchmark and as the cache to compare with.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use meshcache_tests::{
    artifact, client, port,
    process::Process,
    wait::{SOON, await_until},
};
use tempfile::TempDir;

/// A running nginx of one process. Dropping it kills it.
pub(crate) struct Nginx {
    /// Its only process.
    pub(crate) process: Process,
    /// Its address.
    pub(crate) addr: SocketAddr,
    _folder: TempDir,
}

impl Nginx {
    /// The origin: `/1k` and `/64k`; `/values/1k/ANYTHING` for any number of keys; `/short/1k/ANYTHING` for 15 s;
    /// `/private/1k`, which is no cache's; `/200m`; `/64m`.
    pub(crate) async fn origin() -> Nginx {
        let folder = tempfile::tempdir().unwrap();
        let www = folder.path().join("www");
        fs::create_dir(&www).unwrap();
        for (name, kib) in [("1k", 1), ("4k", 4), ("16k", 16), ("64k", 64)] {
            fs::write(www.join(name), vec![b'x'; kib << 10]).unwrap();
        }
        // Files of holes: as large as one likes, and no work for the disk.
        for (name, bytes) in [("64m", 64 << 20), ("200m", 200_000_000)] {
            fs::File::create(www.join(name)).unwrap().set_len(bytes).unwrap();
        }
        Nginx::start("origin", folder, &[]).await
    }

    /// A cache in front of `origin`, with Debian's setting.
    pub(crate) async fn cache(origin: &Nginx) -> Nginx {
        Nginx::caching(origin.addr).await
    }

    /// The same in front of another server.
    pub(crate) async fn caching(origin: SocketAddr) -> Nginx {
        Nginx::tuned(origin, "sendfile on;").await
    }

    /// A cache that copies its answers into the socket, as every server does that has them in memory.
    pub(crate) async fn copying(origin: &Nginx) -> Nginx {
        Nginx::tuned(origin.addr, "sendfile off; output_buffers 1 128k;").await
    }

    /// An nginx cache tuned for answers of `bytes`: it opens no file twice, and copies what is small.
    pub(crate) async fn at_its_best(origin: &Nginx, bytes: usize) -> Nginx {
        let sendfile = if bytes > 16 << 10 { "on" } else { "off" };
        Nginx::tuned(origin.addr, &format!("sendfile {sendfile}; open_file_cache max=10000 inactive=1h;")).await
    }

    async fn tuned(origin: SocketAddr, tuning: &str) -> Nginx {
        Nginx::start("cache", tempfile::tempdir().unwrap(), &[("ORIGIN", &origin.to_string()), ("TUNING", tuning)])
            .await
    }

    /// `http://ADDRESS`, for configurations.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    async fn start(name: &str, folder: TempDir, words: &[(&str, &str)]) -> Nginx {
        // nginx cannot say which port it was given, so it is given one.
        let addr = port::unused();
        let template = artifact::file("tests/nginx").join(format!("{name}.conf"));
        let mut text = fs::read_to_string(template).unwrap();
        let path = folder.path().to_str().unwrap();
        for (word, value) in [("FOLDER", path), ("PORT", &addr.port().to_string())].iter().chain(words) {
            text = text.replace(word, value);
        }
        let conf = folder.path().join("nginx.conf");
        fs::write(&conf, text).unwrap();
        let mut command = Command::new(program());
        command.arg("-p").arg(path).arg("-c").arg(&conf);
        let process = Process::start(&format!("nginx {name}"), command, &folder.path().join("log"));
        let answers = async || client::get(addr, "/").await.is_ok();
        await_until(answers, SOON, &format!("nginx answers as {name}")).await;
        Nginx { process, addr, _folder: folder }
    }
}

/// Debian keeps it where only root's PATH looks.
fn program() -> PathBuf {
    let usual = Path::new("/usr/sbin/nginx");
    if usual.exists() { usual.to_owned() } else { PathBuf::from("nginx") }
}
