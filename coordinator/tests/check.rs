//! Each bad configuration gets one line that names file, line and field.
//!
//! Long: a row for each mistake.
// A test that fails says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use meshcache_coordinator::{
    config::groups_file::{GroupSource, LoadedGroups},
    settings::Identity,
};
use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

fn load(path: &Path) -> Result<LoadedGroups, String> {
    let source = GroupSource::Path(path.to_owned());
    source.load(&source.read(), Identity::None).map_err(|wrong| wrong.to_string())
}

/// Returns the error of a file, without the file's path.
fn said(text: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("groups.yaml");
    std::fs::write(&path, text).unwrap();
    match load(&path) {
        Ok(_) => "good".into(),
        Err(error) => {
            error.strip_prefix(&format!("{}:", path.display())).unwrap_or_else(|| panic!("{error}")).to_owned()
        }
    }
}

const HEAD: &str = "version: 1\ngroups:\n- name: a\n  match: {hosts: [h]}\n  origin: {url: \"http://o\"}\n";

#[test]
fn a_line_names_what_is_wrong_with_a_field() {
    for (rest, line) in [
        ("", "good"),
        ("  foo: 1\n", "6: groups[0].foo: unknown field `foo`, expected one of name, mode, match, "),
        (
            "  freshness:\n    defualt: 1s\n",
            "7: groups[0].freshness.defualt: unknown field `defualt` (did you mean `default`?), expected one of default, min, max, ",
        ),
        ("  patience: 10x\n", "6: groups[0].patience: `10x` is not a duration (examples: 250ms, 10s, 1h30m, 7d)"),
        ("  patience: [1]\n", "6: groups[0].patience: expected a text such as 10s, 8MiB or 5%"),
        ("  patience: 1ms\n", "6: groups[0].patience: 1ms is less than 10ms"),
        (
            "  limits: {object: 8Mb}\n",
            "6: groups[0].limits.object: `8Mb` is not a size (examples: 512KiB, 8MiB, 1Gi, 100MB, 1048576)",
        ),
        ("  limits: {window: 4 MB}\n", "6: groups[0].limits.window: `4 MB` is not a size (examples: "),
        ("  limits:\n    bytes: 101%\n", "7: groups[0].limits.bytes: `101%` is not a share (0% to 100%)"),
        ("  mode: perhaps\n", "6: groups[0].mode: expected on, observe or off"),
        ("  overload: 504\n", "6: groups[0].overload: `504` is not stale, pass or 503"),
        ("  hedge: 1s\n", "6: groups[0].hedge: 1s is not less than the patience (1s): no peer would be asked earlier"),
        ("  share: {cookie: perhaps}\n", "6: groups[0].share.cookie: expected true or false"),
        ("  bypass: x\n", "6: groups[0].bypass: expected fields (name: value)"),
        ("  bypass: {headers: [\"a b\"]}\n", "6: groups[0].bypass.headers: `a b` is not the name of a header"),
        (
            "  methods: [GET, POST]\n",
            "6: groups[0].methods: `POST` is not a method that a cache may answer (GET, HEAD, QUERY)",
        ),
        (
            "  methods: []\n",
            "6: groups[0].methods: `[]` is not a list of methods (GET, HEAD, QUERY); to cache nothing: `mode: off`",
        ),
        ("  methods: GET\n", "6: groups[0].methods: "),
        ("  request:\n    drop: [Range]\n", "7: groups[0].request.drop: `range` is not a header that can be dropped: "),
        (
            "  request: {drop: [\"x-*\"]}\n",
            "6: groups[0].request.drop: `x-*` is not the name of a header, or \"*\" for all",
        ),
        ("  request: {drop: \"*\"}\n", "6: groups[0].request.drop: "),
        (
            "  request: {acceptEncoding: [identity]}\n",
            "6: groups[0].request.acceptEncoding[0]: `identity` is not a content coding (examples: br, gzip, zstd; ",
        ),
        (
            "  request: {dorp: []}\n",
            "6: groups[0].request.dorp: unknown field `dorp` (did you mean `drop`?), expected ",
        ),
        (
            "  request: {drop: [\"*\"]}\n  key: {headers: [x-a]}\n",
            "7: groups[0].key.headers: request.drop removes `x-a` before this could read it: leave it out here, or there",
        ),
        ("  callers: [shop]\n", "6: groups[0].callers[0]: `shop` is not a caller (examples: "),
        (
            "  callers: [\"spiffe://x/ns/a/sa/b\"]\n",
            "6: groups[0].callers: `spiffe://x/ns/a/sa/b` needs --identity xfcc or tls: ",
        ),
        ("  fill: me\n", "6: groups[0].fill: unknown variant `me`, expected one of origin, proxy"),
        (
            "  fill: proxy\n",
            "3: groups[0].fillers: must be written with `fill: proxy`: the proxies whose responses are given to all, as spiffe://cluster.local/ns/shop/sa/web",
        ),
        (
            "  fill: proxy\n  fillers: [\"spiffe://x/ns/a/sa/b\"]\n",
            "7: groups[0].fillers: `spiffe://x/ns/a/sa/b` needs --identity xfcc or tls: ",
        ),
        ("  fill: proxy\n  fillers: [\"*\"]\n", "7: groups[0].fillers: `*` would let everybody fill, "),
        ("  callers: [\"dns:a b\"]\n", "6: groups[0].callers[0]: `dns:a b` is not a caller (examples: "),
        (
            "  freshness: {status: {206: 1s}}\n",
            "6: groups[0].freshness.status.206: `206` is not a status to store (examples: \"2xx\", \"301\", \"404\", \"5xx\"; not 1xx, 206 and 304)",
        ),
        ("  freshness: {status: {304: 1s}}\n", "6: groups[0].freshness.status.304: `304` is not a status to store"),
        ("  freshness: {status: {1xx: 1s}}\n", "6: groups[0].freshness.status.1xx: `1xx` is not a status to store"),
        ("  freshness: {status: {103: 1s}}\n", "6: groups[0].freshness.status.103: `103` is not a status to store"),
        (
            "  freshness:\n    ignore: [no-cache]\n",
            "7: groups[0].freshness.ignore[0]: unknown variant `no-cache`, expected one of no-store, private, vary",
        ),
        (
            "  freshness:\n    ignore: [private]\n",
            "7: groups[0].freshness.ignore: needs `request: {drop: [\"*\"]}`: only the response to an anonymous request is nobody's own",
        ),
        (
            "  request: {drop: [\"*\"]}\n  freshness: {ignore: [no-store, private, vary], status: {2xx: 5m, 412: 1m}}\n",
            "good",
        ),
        (
            "  key: {query: {include: [\"a b\"]}}\n",
            "6: groups[0].key.query.include[0]: `a b` is not the name of a query parameter",
        ),
        ("  key: {query: {include: [a, \"b*\"], exclude: [bc]}}\n", "good"),
        ("  key: {host: all}\n", "6: groups[0].key.host: unknown variant `all`, expected one of client, none"),
        ("  minUses: 0\n", "6: groups[0].minUses: 0 is no request: write 1 to store what the first one brings"),
        ("  minUses: many\n", "6: groups[0].minUses: expected a whole number, 0 or more"),
        ("  minUses: -1\n", "6: groups[0].minUses: expected a whole number, 0 or more"),
        (
            "- name: b\n  match: {hosts: [i]}\n  origin: {url: \"http://o\", host: client}\n  key: {host: none}\n",
            "9: groups[1].key.host: `none` excludes `origin: {host: client}`: a Host that the origin gets has to be in the key",
        ),
        (
            "- name: b\n  match: {service: b.c}\n  origin: {url: \"http://o\"}\n  key: {host: none}\n",
            "9: groups[1].key.host: `none` is for `match.hosts`: the names of a service are one host already",
        ),
        ("  freshness:\n    min: 8d\n", "7: groups[0].freshness.min: 8d is more than freshness.max (7d)"),
        ("  name: b\n", "6: groups[0].name: duplicate mapping key `name` is not allowed here"),
        ("- null\n", "6: groups[1]: expected fields (name: value)"),
        (
            "- name: A_b\n",
            "6: groups[1].name: `A_b` is not a name (at most 63 of a-z, 0-9 and `-`, no `-` at either end)",
        ),
        (
            "- name: a\n  match: {hosts: [i]}\n  origin: {url: \"http://o\"}\n",
            "6: groups[1].name: two groups have the name `a`",
        ),
        (
            "- name: b\n  match: {hosts: [i]}\n",
            "6: groups[1].origin.url: is missing: the service's URL, as http://shop.default:8080 (only `fill: proxy` needs none)",
        ),
        ("- name: b\n  match: {}\n  origin: {url: \"http://o\"}\n", "7: groups[1].match: needs `service` or `hosts`"),
        ("- name: b\n  match: {hosts: [\"a b\"]}\n", "7: groups[1].match.hosts[0]: `a b` is not a host (examples: "),
        ("- name: b\n  match: {service: b}\n", "7: groups[1].match.service: `b` is not a service (name.namespace, "),
        (
            "- name: b\n  match: {hosts: [i], paths: [{prefix: /a}, {regex: \"(\"}]}\n",
            "7: groups[1].match.paths[1].regex: `(` is not a regex: ",
        ),
        (
            "- name: b\n  match: {hosts: [i], paths: [{target: {regex: \"a)(b\", search: true}}]}\n",
            "7: groups[1].match.paths[0].target: `a)(b` is not a regex: ",
        ),
        (
            "- name: b\n  match: {hosts: [i], paths: [{target: /a}]}\n",
            "7: groups[1].match.paths[0].target: expected fields (name: value)",
        ),
        (
            "- name: b\n  match: {hosts: [i], paths: [{target: {search: true}}]}\n",
            "7: groups[1].match.paths[0].target: missing field `regex`",
        ),
        (
            "- name: b\n  match: {hosts: [i], paths: [{prefix: a}]}\n  origin: {url: \"http://o\"}\n",
            "7: groups[1].match.paths: `a` is not a path (it begins with / and has no query)",
        ),
        (
            "- name: b\n  match: {hosts: [i]}\n  origin:\n    url: ftp://o\n",
            "9: groups[1].origin.url: `ftp://o` is not an origin's URL ",
        ),
        ("- name: b\n  match: {hosts: [i]}\n  origin:\n    timeout: 1s\n", "8: groups[1].origin.url: is missing: "),
        (
            "- name: b\n  match: {hosts: [i]}\n  origin: {url: \"http://o\", maxLoads: many}\n",
            "8: groups[1].origin.maxLoads: expected a whole number, 0 or more",
        ),
        (
            "- name: b\n  match: {hosts: [i]}\n  origin: {url: \"http://o\", maxLoads: 0}\n",
            "8: groups[1].origin.maxLoads: 0 would allow no load",
        ),
        ("debuggers: x\n", "6: debuggers: expected a list ([..])"),
        ("---\nversion: 1\n", "7: file: only single YAML document expected but multiple found"),
        ("\t- x\n", "6: "),
    ] {
        let said = said(format!("{HEAD}{rest}").as_bytes());
        assert!(said.starts_with(line), "{rest}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn a_line_names_what_is_wrong_with_a_token_server() {
    for (rest, line) in [
        ("clientId: me, clientSecretFile: /s", "good"),
        ("clientSecretFile: /s", "7: groups[0].origin.auth.oauth2: missing field `clientId`"),
        (
            "clientId: me",
            "7: groups[0].origin.auth.oauth2.clientSecretFile: is missing: this method proves the client by its secret",
        ),
        (
            "clientId: me, clientSecret: hunter2",
            "7: groups[0].origin.auth.oauth2.clientSecret: unknown field `clientSecret` (did you mean `clientSecretFile`?), expected one of tokenUrl, clientId, method, clientSecretFile, ",
        ),
        (
            "clientId: me, clientSecretFile: /s, keyFile: /k",
            "7: groups[0].origin.auth.oauth2.keyFile: is for `method: private_key_jwt`: leave it out, or write that",
        ),
        (
            "clientId: me, method: client_secret_jwt",
            "7: groups[0].origin.auth.oauth2.method: unknown variant `client_secret_jwt`, expected one of client_secret_basic, client_secret_post, private_key_jwt, tls_client_auth",
        ),
        (
            "clientId: me, method: tls_client_auth",
            "7: groups[0].origin.auth.oauth2.tls.cert: is missing: `tls_client_auth` proves the client by it",
        ),
        (
            "clientId: me, clientSecretFile: /s, timeout: soon",
            "7: groups[0].origin.auth.oauth2.timeout: `soon` is not a duration (examples: 250ms, 10s, 1h30m, 7d)",
        ),
        (
            "clientId: me, clientSecretFile: /s, scopes: a",
            "7: groups[0].origin.auth.oauth2.scopes: expected a list ([..])",
        ),
    ] {
        let text = format!(
            "version: 1\ngroups:\n- name: a\n  match: {{hosts: [h]}}\n  callers: [\"*\"]\n  origin: {{url: \"https://o\", auth: {{\n    oauth2: {{tokenUrl: \"https://t/token\", {rest}}}}}}}\n"
        );
        let said = said(text.as_bytes());
        assert!(said.starts_with(line), "{rest}: {said}");
    }
}

#[test]
fn a_line_names_what_is_wrong_with_a_file() {
    for (text, line) in [
        (&b""[..], "1: file: is empty"),
        (b"\n \n", "1: file: is empty"),
        (b"# nothing\n", "1: file: there is nothing in it"),
        (b"version: 1\n\xff\n", "2: file: is not UTF-8"),
        (b"version: 2\n", "1: version: 2 is not a version of this format (1)"),
        (b"groups: []\n", "1: file: missing field `version`"),
        (b"version: one\n", "1: version: expected a whole number, 0 or more"),
        (b"- a\n", "1: "),
        (b"version: 1\ngroups: [\n", "2: file: unclosed bracket '['"),
        (b"version: 1\nversion: 1\n", "2: version: duplicate mapping key `version` is not allowed here"),
    ] {
        let said = said(text);
        assert!(said.starts_with(line), "{:?}: {said}", String::from_utf8_lossy(text));
    }
    assert_eq!(
        load(Path::new("/no/such.yaml")).unwrap_err(),
        "/no/such.yaml:1: file: cannot be read: No such file or directory (os error 2)"
    );
}

#[test]
fn a_directory_is_one_configuration_in_the_order_of_its_names() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    assert_eq!(load(folder.path()).unwrap_err(), format!("{}:1: file: has no *.yaml file", folder.path().display()));
    // As the kubelet mounts a ConfigMap: the files are links into a hidden folder.
    write("..2025/a.yaml", HEAD);
    write("..2025/b.yaml", "version: 1\ngroups:\n- name: b\n  match: {hosts: [i]}\n  origin: {url: \"http://o\"}\n");
    std::os::unix::fs::symlink("..2025", folder.path().join("..data")).unwrap();
    for name in ["b.yaml", "a.yaml"] {
        std::os::unix::fs::symlink(Path::new("..data").join(name), folder.path().join(name)).unwrap();
    }
    write("notes.txt", "not ours");
    let names = |loaded: LoadedGroups| loaded.groups.iter().map(|group| group.name().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(load(folder.path()).unwrap()), ["a", "b"]);

    write(
        "c.yml",
        "version: 1\ngroups:\n- name: c\n  match: {hosts: [j]}\n  origin: {url: \"http://o\"}\n- name: b\n  match: {hosts: [k]}\n  origin: {url: \"http://o\"}\n",
    );
    assert_eq!(
        load(folder.path()).unwrap_err(),
        format!("{}:6: groups[1].name: two groups have the name `b`", folder.path().join("c.yml").display())
    );
}

#[test]
fn the_example_in_envoy_is_good() {
    load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../envoy/groups.yaml")).unwrap();
}

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshcache-coordinator"));
    std::env::vars().filter(|(name, _)| name.starts_with("MESHCACHE_")).for_each(|(name, _)| {
        command.env_remove(name);
    });
    let output = command.args(arguments).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn where_the_system_has_no_authorities_a_line_says_what_to_write() {
    let folder = tempfile::tempdir().unwrap();
    let (path, none) = (folder.path().join("groups.yaml"), folder.path().join("none.pem"));
    std::fs::write(&none, "").unwrap();
    std::fs::write(&path, HEAD.replace("http:", "https:")).unwrap();
    let mut check = Command::new(env!("CARGO_BIN_EXE_meshcache-coordinator"));
    check.args(["check", "--config"]).arg(&path).env("SSL_CERT_FILE", none).env_remove("SSL_CERT_DIR");
    let said = String::from_utf8(check.output().unwrap().stderr).unwrap();
    let what = "groups[0].origin.tls: tls.ca: the system has no authorities: write a file of them";
    assert_eq!(said, format!("{}:5: {what}\n", path.display()));
}

#[test]
fn the_program_ends_with_status_2_and_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("groups.yaml");
    let path = path.to_str().unwrap();
    std::fs::write(path, format!("{HEAD}  foo: 1\n")).unwrap();
    for arguments in [&["check", "--config", path][..], &["--config", path]] {
        let (status, out, error) = run(arguments);
        assert_eq!((status, out.as_str(), error.lines().count()), (Some(2), "", 1), "{error}");
        assert!(error.starts_with(&format!("{path}:6: groups[0].foo: ")), "{error}");
    }
    std::fs::write(path, format!("{HEAD}- name: b\n  match: {{hosts: [h]}}\n  origin: {{url: \"http://o\"}}\n"))
        .unwrap();
    let (status, out, error) = run(&["check", "--config", path]);
    assert_eq!((status, error.as_str()), (Some(0), ""));
    assert_eq!(
        out,
        format!(
            "{path}:7: groups[1].match: `b` can never match: `a` before it matches all its requests (warning)\n{path}: good, 2 groups\n"
        )
    );
}

#[test]
fn flags_that_cannot_work_are_refused_by_name() {
    for (arguments, part) in [
        (&[][..], "--config FILE or --origin URL"),
        (&["--config", "x", "--origin", "http://o"], "exclude each other"),
        (&["--origin", "ftp://o"], "ftp://o"),
        (&["--origin", "http://o", "--listen", "8080"], "--listen"),
        (&["--origin", "http://o", "--store-bytes", "1Gb"], "1Gb"),
        (&["--origin", "http://o", "--discovery", "kube"], "--discovery-service"),
        (&["--origin", "http://o", "--discovery-service", "cache"], "--discovery kube"),
        (&["--origin", "http://o", "--discovery", "pods"], "--discovery-selector LABEL=VALUE"),
        (&["--origin", "http://o", "--discovery", "pods", "--discovery-selector", "app:a"], "`app:a` is no condition"),
        (&["--origin", "http://o", "--discovery-namespace", "Mesh"], "`Mesh` is not the name of a namespace"),
        (&["--origin", "http://o", "--peers", "a=h"], "NAME=HOST:PORT/PEERPORT"),
        (&["--origin", "http://o", "--name", "c", "--peers", "a=h:1/2,b=i:1/2"], "`c` is not among --peers (a, b)"),
        (&["--origin", "http://o", "--peer-token-file", "/no/such"], "/no/such: cannot be read"),
        (&["--origin", "http://o", "--filter", "/no/such.wasm"], "/no/such.wasm: cannot be read"),
        (&["--origin", "http://o", "--native-filter", "/no/such.so"], "/no/such.so: cannot be read"),
        (
            &["--origin", "http://o", "--native-filter", "/etc/passwd"],
            "/etc/passwd: is no shared library for amd64 or arm64",
        ),
        (&["--origin", "http://o", "--drain-timeout", "soon"], "soon"),
        (&["--origin", "http://o", "--installation", "two words"], "two words"),
    ] {
        let (status, _, error) = run(arguments);
        assert!(status == Some(2) && error.contains(part), "{arguments:?}: {status:?} {error}");
    }
}

#[test]
fn debuggers_that_no_caller_can_match_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("groups.yaml");
    let path = path.to_str().unwrap();
    for (debuggers, identity, said) in [
        (
            "[\"spiffe://x/ns/ops/sa/*\"]",
            "none",
            Some(
                "debuggers: `spiffe://x/ns/ops/sa/*` needs --identity xfcc or tls: without it no caller has an identity, and only `*` matches",
            ),
        ),
        ("[\"*\", \"spiffe://x/ns/ops/sa/*\"]", "none", Some("`spiffe://x/ns/ops/sa/*` needs --identity xfcc or tls")),
        ("[\"spiffe://x/ns/ops/sa/*\"]", "xfcc", None),
        ("[\"dns:ops.test\"]", "xfcc", Some("`dns:ops.test` needs --identity tls: DNS names are read from")),
        ("[\"dns:ops.test\"]", "tls", None),
        ("[\"*\"]", "none", None),
    ] {
        std::fs::write(
            path,
            format!("version: 1\n\ndebuggers: {debuggers}\n{}", HEAD.trim_start_matches("version: 1\n")),
        )
        .unwrap();
        let (status, out, error) = run(&["check", "--config", path, "--identity", identity]);
        match said {
            Some(said) => assert!(
                status == Some(2) && error.starts_with(&format!("{path}:3: ")) && error.contains(said),
                "{debuggers}: {out}{error}"
            ),
            None => assert_eq!(status, Some(0), "{debuggers}: {error}"),
        }
    }
}

#[test]
fn yaml_and_helm_may_write_modes_as_booleans_and_statuses_with_or_without_quotes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("groups.yaml");
    for (mode, word) in [
        ("on", "on"),
        ("true", "on"),
        ("\"on\"", "on"),
        ("off", "off"),
        ("false", "off"),
        ("\"off\"", "off"),
        ("observe", "observe"),
    ] {
        for status in ["404", "\"404\""] {
            std::fs::write(
                &path,
                format!("{HEAD}  mode: {mode}\n  freshness: {{status: {{{status}: 10s, \"5xx\": 1s}}}}\n"),
            )
            .unwrap();
            let loaded = load(&path).unwrap_or_else(|error| panic!("{mode} {status}: {error}"));
            let config = serde_json::to_value(&loaded.config.groups[0]).unwrap();
            assert_eq!(
                (&config["mode"], &config["freshness"]["status"]["404"]),
                (&word.into(), &"10s".into()),
                "{mode} {status}"
            );
        }
    }
}

/// The lines of `check` on a text that it reads from standard input.
fn checked(text: &str) -> Vec<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshcache-coordinator"));
    command.args(["check", "-"]).env_remove("MESHCACHE_CONFIG").stdin(Stdio::piped());
    let mut check = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    check.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = check.wait_with_output().unwrap();
    let (out, error) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(if error.is_empty() { 0 } else { 2 }), "{out}{error}");
    (out + &error).lines().map(str::to_owned).collect()
}

#[test]
fn one_run_tells_all_errors_and_none_that_only_follows_from_another() {
    let text = "\
version: 1
groups:
- name: A_b
  match: {hosts: [\"a b\"], pahts: []}
  origin:
    url: ftp://o
    timeuot: 1s
  patience: 10x
- null
- name: c
  match: {hosts: [h]}
  origin: {url: \"http://o\"}
  freshness:
    defualt: 1s
  hedge: 5s
- name: d
  match: {}
  origin: {url: \"http://o\", maxLoads: 0}
  callers: [\"spiffe://x/ns/a/sa/b\"]
- name: e
  match: {hosts: [i]}
  origin: {url: \"http://o\", maxLoads: 0}
  patience: 10x
  hedge: 5s
debugers: []
";
    let lines = checked(text);
    for (line, begins) in lines.iter().zip([
        "stdin:3: groups[0].name: `A_b` is not a name",
        "stdin:4: groups[0].match.hosts[0]: `a b` is not a host",
        "stdin:6: groups[0].origin.url: `ftp://o` is not an origin's URL",
        "stdin:7: groups[0].origin.timeuot: unknown field `timeuot` (did you mean `timeout`?)",
        "stdin:8: groups[0].patience: `10x` is not a duration",
        "stdin:9: groups[1]: expected fields",
        "stdin:14: groups[2].freshness.defualt: unknown field `defualt` (did you mean `default`?)",
        "stdin:15: groups[2].hedge: 5s is not less than the patience",
        "stdin:17: groups[3].match: needs `service` or `hosts`",
        "stdin:18: groups[3].origin.maxLoads: 0 would allow no load",
        "stdin:19: groups[3].callers: `spiffe://x/ns/a/sa/b` needs --identity",
        "stdin:22: groups[4].origin.maxLoads: 0 would allow no load",
        "stdin:23: groups[4].patience: `10x` is not a duration",
        "stdin:25: debugers: unknown field `debugers` (did you mean `debuggers`?)",
        "stdin: 14 errors",
    ]) {
        assert!(line.starts_with(begins), "expected {begins}: {}", lines.join("\n"));
    }
    assert_eq!(lines.len(), 15, "{}", lines.join("\n"));
}

#[test]
fn a_file_of_nothing_but_errors_ends_at_fifty() {
    let text = format!("version: 1\ngroups:\n{}", "- name: A_b\n  foo: 1\n".repeat(100));
    let lines = checked(&text);
    assert_eq!((lines.len(), lines[50].as_str()), (51, "stdin: at least 50 errors"));
}

#[test]
fn a_pipe_is_read_once_and_its_errors_are_told() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshcache-coordinator"));
    command.args(["check", "/dev/stdin"]).env_remove("MESHCACHE_CONFIG").stdin(Stdio::piped());
    let mut check = command.stderr(Stdio::piped()).spawn().unwrap();
    check.stdin.take().unwrap().write_all(format!("{HEAD}  foo: 1\n").as_bytes()).unwrap();
    let output = check.wait_with_output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.starts_with("/dev/stdin:6: groups[0].foo: unknown field"), "{error}");
}

#[test]
fn a_reader_that_leaves_changes_no_status() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("groups.yaml");
    std::fs::write(&path, format!("{HEAD}  foo: 1\n  bar: 1\n")).unwrap();
    for arguments in [["check", path.to_str().unwrap()], ["check", "/no/such.yaml"], ["man", "nonsense"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshcache-coordinator"));
        let status = command.args(arguments).env_remove("MESHCACHE_CONFIG").stderr(writer).status().unwrap();
        assert_eq!(status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn standard_input_is_checked_as_a_file_is() {
    assert_eq!(checked(HEAD), ["stdin: good, 1 groups"]);
    assert_eq!(checked("a: [\u{1b}[2J").len(), 1);
}
