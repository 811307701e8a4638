//! A real OAuth 2.0 server (the npm package oidc-provider), an origin that asks it about each token, and a coordinator
//! between them: all methods by which a client proves itself, a secret that changes, tokens that are revoked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use meshcache_tests::{
    Answer, Ask, Coordinator, artifact, await_until,
    process::Process,
    wait::{LONG, SOON, await_some},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;
use tokio::sync::Mutex;

const SECRET: &str = "first secret: &=%+";

/// Installs what package-lock.json names into the target folder, where it is not there yet. Returns the server's program.
async fn installed() -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());
    let (from, to) = (artifact::file("tests/oauth"), artifact::target().join("oauth"));
    let _turn = ONE_AT_A_TIME.lock().await;
    fs::create_dir_all(&to).unwrap();
    let (lock, done) = (fs::read(from.join("package-lock.json")).unwrap(), to.join("installed.json"));
    if fs::read(&done).unwrap_or_default() != lock {
        eprintln!("installing oidc-provider into {} (npm, 4 MB, once)", to.display());
        for name in ["package.json", "package-lock.json"] {
            fs::copy(from.join(name), to.join(name)).unwrap();
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&to);
        let mut npm = Process::start("npm (of Node.js 20 or later, which this test needs)", npm, &to.join("npm.log"));
        if !npm.exit(LONG).await.success() {
            npm.give_up("it failed");
        }
        fs::write(done, lock).unwrap();
    }
    // The program is found there: packages are looked for beside it.
    let (program, own) = (to.join("server.mjs"), to.join(format!("server.{}.mjs", std::process::id())));
    fs::copy(from.join("server.mjs"), &own).unwrap();
    fs::rename(own, &program).unwrap();
    program
}

/// The running server, its origin, and the files of all keys.
struct Server {
    told: Value,
    files: TempDir,
    _process: Process,
}

impl Server {
    async fn start() -> Self {
        let program = installed().await;
        let files = tempfile::tempdir().unwrap();
        certificates(files.path());
        fs::write(files.path().join("secret"), format!("{SECRET}\n")).unwrap();
        let mut command = Command::new("node");
        command.arg(program).arg(files.path());
        let mut process = Process::start("oidc-provider", command, &files.path().join("log"));
        let told = await_some(
            || match process.exited() {
                Some(_) => process.give_up("it ended"),
                None => process.log().lines().find_map(|line| serde_json::from_str::<Value>(line).ok()),
            },
            SOON,
        );
        let told = told.await.expect("it says where it listens");
        Self { told, files, _process: process }
    }

    fn file(&self, name: &str) -> String {
        self.files.path().join(name).to_str().unwrap().to_owned()
    }

    fn origin(&self) -> &str {
        self.told["origin"].as_str().unwrap()
    }

    /// A group for the host `NAME.test` whose client says this beside URL and authorities.
    fn group(&self, name: &str, client: Value) -> Value {
        let mut oauth2 =
            json!({"tokenUrl": self.told["token"], "scopes": ["read"], "tls": {"ca": self.file("ca.pem")}});
        for (field, value) in client.as_object().unwrap() {
            match (oauth2[field].as_object_mut(), value) {
                (Some(fields), Value::Object(more)) => fields.extend(more.clone()),
                _ => oauth2[field] = value.clone(),
            }
        }
        let origin = json!({"url": self.origin(), "auth": {"oauth2": oauth2}});
        json!({"name": name, "match": {"hosts": [format!("{name}.test")]}, "callers": ["*"], "origin": origin})
    }

    async fn coordinator(&self, groups: &[Value]) -> Coordinator {
        let path = self.file("groups.yaml");
        fs::write(&path, json!({"version": 1, "groups": groups}).to_string()).unwrap();
        Coordinator::start(&["--config", &path, "--log-level", "trace"]).await
    }

    async fn ask_origin(&self, ask: Ask) -> Answer {
        let to = self.origin().trim_start_matches("http://").parse().unwrap();
        let answer = ask.send(to).await.unwrap();
        assert_eq!(answer.status, 200);
        answer
    }

    async fn revoke(&self) {
        self.ask_origin(Ask::new("POST", "h", "/revoke")).await;
    }

    /// Asserts that nothing that proves anything is in what a coordinator writes and serves.
    async fn assert_hidden(&self, coordinator: &Coordinator) {
        let tokens: Vec<String> = serde_json::from_str(&self.ask_origin(Ask::get("h", "/seen")).await.text()).unwrap();
        assert!(!tokens.is_empty());
        let signed_or_basic = ["eyJ", "Basic ", "first+secret", SECRET, "PRIVATE KEY"].map(str::to_owned);
        let ports = coordinator.ports;
        let mut all = coordinator.process.log();
        let pages = [(ports.status, "/metrics"), (ports.admin, "/"), (ports.admin, "/groups"), (ports.admin, "/peers")];
        for (to, path) in pages {
            let page = Ask::get("localhost", path).send(to).await.unwrap();
            assert_eq!(page.status, 200, "{path}");
            all += &page.text();
        }
        all += &Ask::new("POST", "h", "/.meshcache/feed").body("{\"wire\": 3}").send(ports.data).await.unwrap().text();
        for secret in tokens.iter().chain(&signed_or_basic) {
            if let Some(line) = all.lines().find(|line| line.contains(secret)) {
                panic!("{secret} is in: {line}");
            }
        }
    }
}

/// An authority, the server's certificate, and the client's own.
fn certificates(folder: &Path) {
    let write = |name: &str, pem: String| fs::write(folder.join(name), pem).unwrap();
    let named = |name: &str, hosts: &[String]| {
        let mut params = CertificateParams::new(hosts).unwrap();
        // OpenSSL takes one with its authority's name for one that signed itself.
        params.distinguished_name.push(DnType::CommonName, name);
        params
    };
    let mut params = named("authority", &[]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    write("ca.pem", authority.pem());
    for (name, host) in [("server", "localhost"), ("client", "cache.test")] {
        let key = KeyPair::generate().unwrap();
        let signed = named(name, &[host.to_owned()]).signed_by(&key, &authority).unwrap();
        write(&format!("{name}.pem"), signed.pem());
        write(&format!("{name}.key"), key.serialize_pem());
    }
}

async fn get(coordinator: &Coordinator, name: &str, path: &str) -> Answer {
    Ask::get(&format!("{name}.test"), path).send(coordinator.ports.data).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_methods_by_which_a_client_proves_itself_bring_a_token_that_the_origin_takes() {
    let server = Server::start().await;
    let secret = server.file("secret");
    let by_key = |key: &str, more: Value| {
        let mut client = json!({"clientId": "jwt", "method": "private_key_jwt", "keyFile": server.file(&format!("{key}.pem")), "keyId": key});
        client.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        client
    };
    let own = json!({"cert": server.file("client.pem"), "key": server.file("client.key")});
    let clients = [
        ("basic", json!({"clientId": "basic", "clientSecretFile": secret})),
        ("post", json!({"clientId": "post", "clientSecretFile": secret, "method": "client_secret_post"})),
        ("rs256", by_key("rsa", json!({}))),
        ("ps256", by_key("rsa", json!({"algorithm": "PS256"}))),
        ("es256", by_key("ec", json!({"assertionAudience": server.told["issuer"]}))),
        ("eddsa", by_key("ed25519", json!({}))),
        ("tls", json!({"clientId": "tls", "method": "tls_client_auth", "tls": own})),
        ("resource", json!({"clientId": "basic", "clientSecretFile": secret, "resource": ["https://api.test/"]})),
        ("stranger", json!({"clientId": "nobody", "clientSecretFile": secret})),
        (
            "untrusted",
            json!({"clientId": "basic", "clientSecretFile": secret, "tls": {"ca": server.file("client.pem")}}),
        ),
    ];
    let groups: Vec<_> = clients.iter().map(|(name, client)| server.group(name, client.clone())).collect();
    let coordinator = server.coordinator(&groups).await;
    for (name, client) in clients {
        let answer = get(&coordinator, name, "/a").await;
        let log = || coordinator.process.log();
        if matches!(name, "stranger" | "untrusted") {
            assert_eq!((answer.status, answer.text().as_str()), (502, "token\n"), "{name}");
            continue;
        }
        assert_eq!(answer.status, 200, "{name}: {}\n{}", answer.text(), log());
        let told: Value = serde_json::from_str(&answer.text()).unwrap();
        assert_eq!((&told["client"], &told["scope"]), (&client["clientId"], &json!("read")), "{name}");
        let audience = if name == "resource" { json!("the-api") } else { Value::Null };
        assert_eq!(told["audience"], audience, "{name}");
    }
    let log = coordinator.process.log();
    assert!(log.contains("invalid_client") && log.contains("reason=denied") && log.contains("reason=tls"), "{log}");
    server.assert_hidden(&coordinator).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_secret_is_used_and_revoked_tokens_cost_no_client_anything() {
    let server = Server::start().await;
    let client = json!({"clientId": "basic", "clientSecretFile": server.file("secret")});
    let coordinator = server.coordinator(&[server.group("basic", client)]).await;
    assert_eq!(get(&coordinator, "basic", "/a").await.status, 200);
    server.revoke().await;
    assert_eq!(get(&coordinator, "basic", "/b").await.status, 200, "the load was repeated with a new token");
    let granted = async || coordinator.metrics().await.sum("meshcache_origin_tokens_total", &[("outcome", "granted")]);
    assert_eq!(granted().await, 2.0);

    let read_again = async |times: usize| {
        let read = async || coordinator.process.log().matches("read again").count() == times;
        await_until(read, SOON, "the file is read again").await;
    };
    fs::write(server.file("secret"), "misspelt\n").unwrap();
    read_again(1).await;
    let answer = get(&coordinator, "basic", "/wrong").await;
    assert_eq!(answer.status, 200, "the token before is used on: {}", coordinator.process.log());
    assert!(coordinator.process.log().contains("reason=denied"));

    // The server has another secret now, and all tokens end: nothing can be loaded until the file has it, too.
    server.ask_origin(Ask::new("POST", "h", "/secret").body("second")).await;
    fs::write(server.file("secret"), "second\n").unwrap();
    read_again(2).await;
    server.revoke().await;
    assert_eq!(get(&coordinator, "basic", "/c").await.status, 200, "{}", coordinator.process.log());
    assert_eq!(granted().await, 3.0);
    server.assert_hidden(&coordinator).await;
}
