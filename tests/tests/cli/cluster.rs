//! `meshcache -n NAMESPACE` finds and reaches a coordinator through the API of a cluster. The API here is a small server
//! that speaks its protocol, port-forward over a WebSocket included; the coordinator behind it is real.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use futures_util::{SinkExt, StreamExt};
use meshcache_tests::coordinator::{ADMIN_TOKEN, Coordinators};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::tungstenite::{
    Message,
    handshake::server::{Request, Response},
    http::header::SEC_WEBSOCKET_PROTOCOL,
};

use crate::{Ended, Tool, folder, mesh};

/// A cluster with one coordinator for each release.
struct Api {
    releases: Vec<&'static str>,
    /// A request for a path with this part is forbidden.
    forbids: &'static str,
    /// Where Pods' admin ports are.
    admin: SocketAddr,
}

impl Api {
    /// Starts to answer; returns a kubeconfig for it.
    async fn start(self, tool: &Tool) -> PathBuf {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "here",
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "caches"}}]});
        let file = folder(tool).join("kubeconfig");
        std::fs::write(&file, config.to_string()).unwrap();
        let api = Arc::new(self);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(api.clone().answer(stream));
            }
        });
        file
    }

    async fn answer(self: Arc<Self>, mut stream: TcpStream) {
        let mut head = vec![0; 16 << 10];
        let mut read = 0;
        while !head[..read].windows(4).any(|end| end == b"\r\n\r\n") {
            read = stream.peek(&mut head).await.unwrap();
        }
        let text = String::from_utf8_lossy(&head[..read]).into_owned();
        let path = text.split(' ').nth(1).unwrap().to_owned();
        if path.contains("/portforward") && !path.contains(self.forbids) {
            return self.forward(stream).await;
        }
        let (status, body) = if path.contains(self.forbids) {
            (
                "403 Forbidden",
                json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "forbidden", "reason": "Forbidden", "code": 403}),
            )
        } else if path.contains("/secrets/tokens-of-m") {
            (
                "200 OK",
                json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tokens-of-m"}, "data": {"admin": base64(ADMIN_TOKEN)}}),
            )
        } else {
            let items: Vec<Value> = self.releases.iter().map(|release| self.pod(release)).collect();
            ("200 OK", json!({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": items}))
        };
        let _ = stream.read(&mut head[..read]).await;
        let body = body.to_string();
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        let _ = stream.write_all(answer.as_bytes()).await;
    }

    fn pod(&self, release: &str) -> Value {
        json!({"metadata": {"name": format!("{release}-0"), "namespace": "caches", "labels": {
                "app.kubernetes.io/component": "coordinator", "app.kubernetes.io/name": "meshcache",
                "app.kubernetes.io/instance": release}},
            "spec": {
                "containers": [{"name": "coordinator", "ports": [{"name": "http-admin", "containerPort": self.admin.port()}]}],
                "volumes": [{"name": "tokens", "secret": {"secretName": format!("tokens-of-{release}")}}]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]}})
    }

    /// As the kubelet forwards: channel 0 has the bytes, channel 1 errors, and each begins with the port.
    async fn forward(&self, stream: TcpStream) {
        #[allow(clippy::result_large_err)]
        let chosen = |request: &Request, mut response: Response| {
            let asked = request.headers()[SEC_WEBSOCKET_PROTOCOL].to_str().unwrap();
            assert!(asked.contains("v4.channel.k8s.io"), "{asked}");
            response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, "v4.channel.k8s.io".parse().unwrap());
            Ok(response)
        };
        let socket = tokio_tungstenite::accept_hdr_async(stream, chosen).await.unwrap();
        let (mut sink, mut messages) = socket.split();
        let (mut from_pod, mut to_pod) = TcpStream::connect(self.admin).await.unwrap().into_split();
        let [low, high] = self.admin.port().to_le_bytes();
        for channel in [0, 1] {
            sink.send(Message::binary(vec![channel, low, high])).await.unwrap();
        }
        tokio::spawn(async move {
            let mut bytes = [0; 8192];
            while let Ok(read @ 1..) = from_pod.read(&mut bytes).await {
                if sink.send(Message::binary([&[0], &bytes[..read]].concat())).await.is_err() {
                    return;
                }
            }
        });
        while let Some(Ok(message)) = messages.next().await {
            if let Message::Binary(bytes) = message
                && let [0, rest @ ..] = &bytes[..]
            {
                to_pod.write_all(rest).await.unwrap();
            }
        }
    }
}

fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = |chunk: &[u8]| {
        let bits = (0..3).fold(0, |bits: usize, n| bits << 8 | usize::from(chunk.get(n).copied().unwrap_or(0)));
        let digit = |n: usize| if n <= chunk.len() { char::from(DIGITS[bits >> (18 - 6 * n) & 63]) } else { '=' };
        (0..4).map(digit).collect::<String>()
    };
    text.as_bytes().chunks(3).map(digits).collect()
}

/// Runs a command at a cluster with these releases that forbids something.
async fn at_cluster(releases: &[&'static str], forbids: &'static str, arguments: &[&str]) -> Ended {
    at_cluster_with(&[], releases, forbids, arguments).await
}

/// The same with variables.
async fn at_cluster_with(
    variables: &[(&str, &str)],
    releases: &[&'static str],
    forbids: &'static str,
    arguments: &[&str],
) -> Ended {
    let (_origin, mesh): (_, Coordinators) = mesh().await;
    let tool = Tool::new();
    let api = Api { releases: releases.to_vec(), forbids, admin: mesh.all[0].ports.admin };
    let config = api.start(&tool).await;
    let mut command = tool.command("meshcache");
    command.args(arguments).env("KUBECONFIG", config).envs(variables.iter().copied());
    tokio::task::spawn_blocking(move || crate::ended(&mut command)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_command_from_a_laptop_reaches_the_mesh_with_the_charts_own_token() {
    let told = at_cluster(&["m"], "nothing", &["-n", "caches", "ring"]).await;
    assert_eq!((told.status, told.error.as_str()), (0, ""), "{}", told.out);
    assert!(told.out.contains("\npeer-0  ") && told.out.contains("\npeer-1  "), "{}", told.out);
}

/// Starts a proxy that takes `u:secret` alone, and connects; returns its URL.
async fn proxy() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://u:secret@{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(client.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                let told = format!("basic {}", base64("u:secret"));
                assert!(head.starts_with("CONNECT ") && head.to_lowercase().contains(&told.to_lowercase()), "{head}");
                let mut server = TcpStream::connect(head.split(' ').nth(1).unwrap()).await.unwrap();
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_is_reached_through_a_proxy_whose_password_nobody_sees() {
    let arguments = ["-n", "caches", "ring"];
    let proxy = proxy().await;
    for variables in
        [&[("HTTPS_PROXY", proxy.as_str())][..], &[("HTTPS_PROXY", "http://127.0.0.1:1"), ("NO_PROXY", "127.0.0.1")]]
    {
        let told = at_cluster_with(variables, &["m"], "nothing", &arguments).await;
        assert_eq!((told.status, told.error.as_str()), (0, ""), "{}", told.out);
    }
    for (proxy, part) in [
        ("socks5://u:secret@127.0.0.1:1", "begins with `socks5`: write http:// or https://"),
        ("ftp://u:secret@127.0.0.1:1", "begins with `ftp`: write http:// or https://"),
        ("http://u:secret@127.0.0.1:1", "the Kubernetes API: list pods"),
    ] {
        let told = at_cluster_with(&[("HTTPS_PROXY", proxy)], &["m"], "nothing", &arguments).await;
        assert!(told.status == 1 && told.error.contains(part), "{}", told.error);
        assert!(!told.error.contains("secret") && told.error.lines().count() == 1, "{}", told.error);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_in_a_cluster_is_one_line_that_says_what_to_do() {
    for (releases, forbids, part) in [
        (
            &["m"][..],
            "/portforward",
            "a Role needs {apiGroups: [\"\"], resources: [pods/portforward], verbs: [get, create]}",
        ),
        (&["m"], "/secrets/", "resourceNames: [tokens-of-m], verbs: [get]}; --admin-token-file FILE"),
        (&["m"], "/pods?", "a Role needs {apiGroups: [\"\"], resources: [pods], verbs: [list]}; --admin HOST:PORT"),
        (&["m", "n"], "nothing", "there are several releases: --release names one of: m, n"),
        (&[], "nothing", "namespace caches (context here): there is no coordinator of meshcache"),
    ] {
        let told = at_cluster(releases, forbids, &["ring", "--context", "here"]).await;
        assert_eq!((told.status, told.out.as_str()), (1, ""), "{}", told.error);
        assert!(told.error.contains(part) && told.error.lines().count() == 1, "{part}: {}", told.error);
    }
    let told = at_cluster(&["m"], "nothing", &["ring", "--context", "there"]).await;
    assert_eq!(told.error, "the kubeconfig has no context `there`: --context names one of: here\n");
    assert_eq!(told.status, 2);
}
