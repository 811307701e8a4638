use super::*;

fn environment(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn read(variables: &[(&str, &str)]) -> Kubecache {
    Kubecache::read(&environment(variables)).unwrap_or_else(|bad| panic!("{variables:?}: {bad}"))
}

fn refused(name: &str, value: &str) -> String {
    match Kubecache::read(&environment(&[(name, value)])) {
        Ok(read) => panic!("{name}={value}: {read}"),
        Err(bad) => bad.to_string(),
    }
}

impl Kubecache {
    fn argument(&self, flag: &str) -> Option<&str> {
        self.arguments.chunks(2).find(|pair| pair[0] == flag).map(|pair| pair[1].as_str())
    }

    fn notes_of(&self, word: &str) -> Vec<String> {
        self.notes.iter().map(Note::to_string).filter(|note| note.contains(word)).collect()
    }
}

/// The variables that make a pod's environment: without them there is one note more.
const POD: (&str, &str) = ("KUBERNETES_SERVICE_HOST", "10.0.0.1");

#[test]
fn without_any_variable_it_is_kubecache_with_its_defaults() {
    for variables in [&[POD][..], &[POD, ("LISTEN_ADDR", ""), ("CACHE_TTL", ""), ("RESTRICT_METHOD", "")]] {
        let read = read(variables);
        assert_eq!(
            read.arguments.join(" "),
            "--listen [::]:8080 --peer-listen [::]:5000 --admin 127.0.0.1:8081 --status [::]:8082 --store-bytes 100000000 \
             --log-level debug --drain-timeout 20s --discovery pods --discovery-selector app=kubecache \
             --request-metrics kubecache"
        );
        assert_eq!(
            read.groups,
            r#"version: 1
groups:
- name: path
  match:
    hosts: ["*"]
    paths:
    - target: {regex: "^/develop", search: true}
    - target: {regex: "^/homolog", search: true}
    - target: {regex: "^/prod", search: true}
    - target: {regex: "/develop/?$", search: true}
    - target: {regex: "/homolog/?$", search: true}
    - target: {regex: "/prod/?$", search: true}
  request: {drop: ["*"], acceptEncoding: [gzip]}
  key: {host: none}
  passThrough: {methods: ["*"], otherPaths: true}
  origin: {url: "http://config-server:9000", timeout: 5m, passTimeout: 5m}
  freshness:
    ignore: [no-store, private, vary]
    status: {"2xx": 5m, "3xx": 1m, "4xx": 1m, "428": 1m, "429": 1m, "431": 1m, "5xx": 1m, "511": 1m}
"#
        );
        let (health, metrics) = (read.extra.health.unwrap(), read.extra.metrics.unwrap());
        assert_eq!(
            (health.to_string(), metrics.port.to_string()),
            ("http://[::]:8888/health".into(), "http://[::]:3000/metrics".into())
        );
        assert!(metrics.names == Default::default() && read.is_open);
        let notes: Vec<&str> = read.notes.iter().filter_map(|note| note_words(note).next()).collect();
        assert_eq!(notes, ["TRACE:", "DOGSTATSD_ENABLE", "no"], "{:?}", read.notes);
    }
}

fn note_words(note: &Note) -> impl Iterator<Item = &str> {
    let (Note::Info(text) | Note::Warning(text)) = note;
    text.split(' ')
}

#[test]
fn each_variable_that_has_a_flag_becomes_that_flag() {
    for (name, value, flag, becomes) in [
        ("LISTEN_ADDR", ":9090", "--listen", "[::]:9090"),
        ("LISTEN_ADDR", "127.0.0.1:9090", "--listen", "127.0.0.1:9090"),
        ("LISTEN_ADDR", "localhost:9090", "--listen", "127.0.0.1:9090"),
        ("LISTEN_ADDR", "[::1]:9090", "--listen", "[::1]:9090"),
        ("GROUPCACHE_PORT", ":5001", "--peer-listen", "[::]:5001"),
        ("GROUPCACHE_SIZE_BYTES", "2000", "--store-bytes", "2000"),
        ("GROUPCACHE_SIZE_BYTES", "-1", "--store-bytes", "0"),
        ("GROUPCACHE_SIZE_BYTES", "100MB", "--store-bytes", "100000000"),
        ("DEBUG_LOG", "false", "--log-level", "info"),
        ("DEBUG_LOG", "no", "--log-level", "debug"),
        ("KUBEGROUP_LABEL_SELECTOR", "app=a,tier in (b)", "--discovery-selector", "app=a,tier in (b)"),
        ("KUBEGROUP_FORCE_NAMESPACE_DEFAULT", "true", "--discovery-namespace", "default"),
        ("METRICS_BUCKETS_LATENCY_HTTP", "0.1, 1,,10", "--request-buckets", "0.1,1,10"),
    ] {
        assert_eq!(read(&[POD, (name, value)]).argument(flag), Some(becomes), "{name}={value}");
    }
    assert_eq!(read(&[("METRICS_BUCKETS_LATENCY_HTTP", "0.1,x")]).argument("--request-buckets"), None);
    let read = read(&[POD, ("PROMETHEUS_ENABLE", "0")]);
    assert_eq!((read.argument("--request-metrics"), &read.extra.metrics), (None, &None));
}

#[test]
fn each_variable_about_what_is_cached_is_in_the_groups() {
    for (name, value, line) in [
        ("BACKEND_URL", "HTTPS://app:8443", r#"  origin: {url: "https://app:8443", timeout: 5m, passTimeout: 5m}"#),
        (
            "BACKEND_TIMEOUT",
            "1.5s",
            r#"  origin: {url: "http://config-server:9000", timeout: 1s500ms, passTimeout: 1s500ms}"#,
        ),
        ("BACKEND_TIMEOUT", "-1s", r#"  origin: {url: "http://config-server:9000", timeout: 1d, passTimeout: 1d}"#),
        ("RESTRICT_ROUTE_REGEXP", r#"["\\.json\\?\"x"]"#, r#"    - target: {regex: "\\.json\\?\"x", search: true}"#),
        ("RESTRICT_METHOD", r#"["get"]"#, "  methods: [GET]"),
        ("RESTRICT_METHOD", r#"["HEAD", "PUT"]"#, "  methods: [HEAD]"),
        ("RESTRICT_METHOD", r#"["POST"]"#, "  mode: off"),
        (
            "CACHE_TTL",
            "10s",
            r#"    status: {"2xx": 10s, "3xx": 1m, "4xx": 1m, "428": 1m, "429": 1m, "431": 1m, "5xx": 1m, "511": 1m}"#,
        ),
        (
            "CACHE_ERROR_TTL",
            "0",
            r#"    status: {"2xx": 5m, "3xx": 0s, "4xx": 0s, "428": 0s, "429": 0s, "431": 0s, "5xx": 0s, "511": 0s}"#,
        ),
        ("CACHE_TTL", "200h", "    max: 8d8h"),
    ] {
        let groups = read(&[(name, value)]).groups;
        assert!(groups.lines().any(|found| found == line), "{name}={value}: {groups}");
    }
    for all in ["[]", "null"] {
        let groups = read(&[("RESTRICT_ROUTE_REGEXP", all), ("RESTRICT_METHOD", all)]).groups;
        assert!(!groups.contains("paths:") && !groups.contains("methods: [G"), "{groups}");
    }
}

#[test]
fn health_and_metrics_are_where_kubecache_has_them() {
    let read = read(&[
        ("HEALTH_ADDR", "127.0.0.1:1"),
        ("HEALTH_PATH", "/live/"),
        ("METRICS_ADDR", ":2"),
        ("METRICS_PATH", "/m"),
        ("METRICS_NAMESPACE", "shop"),
        ("KUBEGROUP_METRICS_NAMESPACE", "kube"),
    ]);
    let (health, metrics) = (read.extra.health.unwrap(), read.extra.metrics.unwrap());
    assert_eq!(
        (health.to_string(), metrics.port.to_string()),
        ("http://127.0.0.1:1/live/".into(), "http://[::]:2/m".into())
    );
    assert_eq!((metrics.names.own, metrics.names.kubegroup), ("shop".into(), "kube".into()));
    assert!(health.has("/live/") && health.has("/live/x") && !health.has("/live"));
}

#[test]
fn what_has_no_effect_is_named_in_one_line() {
    for (name, value) in [
        ("GROUPCACHE_VERSION", "3"),
        ("GROUPCACHE_DISABLE_PURGE_EXPIRED", "true"),
        ("GROUPCACHE_EXPIRED_KEYS_EVICTION_INTERVAL", "1m"),
        ("KUBEGROUP_DEBUG", "false"),
        ("AUTOMEMLIMIT_DEBUG", "true"),
        ("AUTOMEMLIMIT", "0.9"),
        ("FORCE_SINGLE_TASK", "true"),
        ("ECS_TASK_DISCOVERY_SERVICE", "x"),
        ("EMF_SEND_LOGS", "true"),
        ("DOGSTATSD_DEBUG", "true"),
        ("SECRET_ROLE_ARN", "arn:x"),
    ] {
        let read = read(&[(name, value)]);
        assert_eq!(read.notes_of("without effect"), [format!("without effect here: {name}")]);
    }
    let both = read(&[("KUBEGROUP_DEBUG", "1"), ("AUTOMEMLIMIT", "1")]).notes_of("without effect");
    assert_eq!(both, ["without effect here: AUTOMEMLIMIT, KUBEGROUP_DEBUG"]);
}

#[test]
fn what_differs_is_one_line_each() {
    for (name, value, note) in [
        ("BACKEND_URL", "http://u:p@h/base?x", "warning: BACKEND_URL: user and password are ignored"),
        ("BACKEND_URL", "http://h/base", "warning: BACKEND_URL: `/base` is ignored, as by kubecache"),
        ("BACKEND_TIMEOUT", "0s", "warning: BACKEND_TIMEOUT: no limit is 24h here"),
        (
            "BACKEND_TIMEOUT",
            "300",
            "warning: BACKEND_TIMEOUT: `300` is not a duration such as 300s: its default counts",
        ),
        ("TRACE", "maybe", "warning: TRACE: `maybe` is not true or false"),
        ("RESTRICT_METHOD", "[]", "warning: RESTRICT_METHOD: only GET and HEAD are answered from the cache"),
        (
            "RESTRICT_METHOD",
            r#"["GET","QUERY"]"#,
            "warning: RESTRICT_METHOD: only GET and HEAD are answered from the cache",
        ),
        ("OTEL_SERVICE_NAME", "x", "TRACE: no collector is named (OTEL_EXPORTER_OTLP_ENDPOINT): no traces are sent"),
        ("OTELCONFIG_EXPORTER", "jaeger", "warning: OTELCONFIG_EXPORTER: `jaeger` is OTLP over HTTP here: write http"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317", "TRACE: traces go to http://c:4317/"),
        ("COMPUTE", "nomad", "warning: COMPUTE: `nomad` is taken as kubernetes"),
        ("DOGSTATSD_ENABLE", "true", "warning: DOGSTATSD_ENABLE (by default true)"),
        ("HTTP_PROXY", "http://p:1", "warning: HTTP_PROXY is ignored"),
        ("HOME", "/", "warning: no Kubernetes cluster"),
    ] {
        let read = read(&[(name, value)]);
        let count = read.notes.iter().filter(|found| found.to_string().starts_with(note)).count();
        assert_eq!(count, 1, "{name}={value}: {:?}", read.notes);
    }
    let silent = read(&[("TRACE", "f"), ("DOGSTATSD_ENABLE", "f"), POD, ("MESHCACHE_PEER_TOKEN_FILE", "/t")]);
    assert!(silent.notes.is_empty() && !silent.is_open, "{:?}", silent.notes);
}

#[test]
fn what_kubecache_ends_with_and_what_is_not_there_is_refused_in_one_line() {
    for (name, value, why) in [
        ("BACKEND_URL", "config-server:9000", "`config-server:9000` is not http://HOST:PORT"),
        ("BACKEND_URL", "ftp://h", "`ftp://h` is not http://HOST:PORT"),
        ("RESTRICT_ROUTE_REGEXP", "^/prod", "`^/prod` is not a JSON list of texts"),
        ("RESTRICT_ROUTE_REGEXP", "[1]", "`[1]` is not a JSON list of texts"),
        ("RESTRICT_ROUTE_REGEXP", r#"["^/a", "("]"#, "`(` is not a regex"),
        ("RESTRICT_METHOD", "GET", "`GET` is not a JSON list of texts"),
        ("LISTEN_ADDR", "8080", "`8080` is not :PORT or IP:PORT"),
        ("HEALTH_ADDR", ":http", "`:http` is not :PORT or IP:PORT, for example :8888"),
        ("METRICS_ADDR", "host:3000", "`host:3000` is not :PORT or IP:PORT"),
        ("GROUPCACHE_PORT", "5000", "`5000` is not :PORT"),
        ("HEALTH_PATH", "health", "`health` does not begin with `/`"),
        ("METRICS_NAMESPACE", "a-b", "`a-b` cannot stand in a metric's name"),
        ("KUBEGROUP_METRICS_NAMESPACE", "1", "`1` cannot stand in a metric's name"),
        ("METRICS_BUCKETS_LATENCY_HTTP", "1,0.1", "the bounds of buckets ascend, and 0.1 comes after 1"),
        ("COMPUTE", "ecs", "ecs is not there"),
        ("EMF_ENABLE", "true", "CloudWatch EMF is not there"),
        ("CACHE_TTL", "aws-parameterstore:us-east-1:/ttl", "a reference (aws-parameterstore) is not read here"),
        ("KUBEGROUP_LABEL_SELECTOR", "vault::token,x", "a reference (vault) is not read here"),
        ("MESHCACHE_CONFIG", "/etc/groups.yaml", "kubecache's variables say what is cached"),
    ] {
        let line = refused(name, value);
        assert!(line.starts_with(&format!("{name}: {why}")) && line.lines().count() == 1, "{line}");
    }
}

#[test]
fn the_ports_that_kubecache_has_not_are_beside_those_that_it_has() {
    let read = read(&[("LISTEN_ADDR", ":8081"), ("HEALTH_ADDR", ":8083"), ("METRICS_ADDR", ":8082")]);
    assert_eq!((read.argument("--admin"), read.argument("--status")), (Some("127.0.0.1:8084"), Some("[::]:8085")));
}

#[test]
fn variables_of_meshcache_count_where_kubecaches_say_nothing() {
    let own = [
        ("MESHCACHE_LISTEN", "[::]:1"),
        ("MESHCACHE_ADMIN", "[::]:2"),
        ("MESHCACHE_LOG_LEVEL", "warn"),
        ("MESHCACHE_DRAIN_TIMEOUT", "1s"),
    ];
    let read_ = read(&own);
    for flag in ["--listen", "--admin", "--log-level", "--drain-timeout"] {
        assert_eq!(read_.argument(flag), None, "{flag}");
    }
    let both = read(&[own[0], own[2], ("LISTEN_ADDR", ":3"), ("DEBUG_LOG", "false")]);
    assert_eq!((both.argument("--listen"), both.argument("--log-level")), (Some("[::]:3"), Some("info")));
}

#[test]
fn what_is_printed_is_a_groups_file_with_all_else_in_its_comments() {
    let read =
        read(&[("KUBEGROUP_LABEL_SELECTOR", "app in (a, b)"), POD, ("METRICS_NAMESPACE", "shop"), ("COMPUTE", "a\nb")]);
    let printed = read.to_string();
    let (comments, file): (Vec<&str>, Vec<&str>) = printed.lines().partition(|line| line.starts_with('#'));
    assert_eq!(file.join("\n") + "\n", read.groups);
    for part in [
        "--discovery-selector 'app in (a, b)'",
        "health at http://[::]:8888/health",
        "metrics at http://[::]:3000/metrics, `shop_` before requests_seconds and groupcache_*",
        "a peer port that answers without a token, and takes no purges",
        "# warning: COMPUTE: `a b` is taken as kubernetes",
    ] {
        assert!(comments.iter().any(|line| line.contains(part)), "{part}\n{printed}");
    }
}
