//! Servers that answer well, and those that do not.

use super::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// The URL of a server that reads a head and sends these bytes. Without bytes it says nothing, and stays.
async fn server(bytes: Option<Vec<u8>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/path?query", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("GET /path?query HTTP/1.1\r\n") && head.contains("host: 127.0.0.1:"), "{head}");
        match bytes {
            Some(bytes) => {
                let _ = stream.write_all(&bytes).await;
                let _ = stream.shutdown().await;
            }
            None => std::future::pending().await,
        }
    });
    url
}

/// What is wrong with such an answer.
async fn wrong(bytes: impl Into<Vec<u8>>) -> String {
    get(&server(Some(bytes.into())).await).await.unwrap_err()
}

#[tokio::test]
async fn a_good_answer_is_its_body() {
    let url = server(Some(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello".to_vec())).await;
    assert_eq!(get(&url).await.as_deref(), Ok(&b"hello"[..]));
    let url = server(Some(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec())).await;
    assert_eq!(get(&url).await.as_deref(), Ok(&b""[..]), "any 2xx is good");
}

#[tokio::test]
async fn another_status_is_told_with_its_text() {
    let answer = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 11\r\n\r\nno ring yet";
    assert_eq!(wrong(answer).await, "503 Service Unavailable: no ring yet");
    let moved = "HTTP/1.1 301 Moved Permanently\r\nlocation: /\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(wrong(moved).await, "301 Moved Permanently: ");
}

#[tokio::test]
async fn what_is_no_http_or_breaks_off_is_an_error() {
    assert!(wrong("SSH-2.0-OpenSSH\r\n").await.contains("HTTP"));
    assert!(!wrong("").await.is_empty());
    assert!(!wrong("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhal").await.is_empty());
}

#[tokio::test]
async fn a_body_that_is_too_long_is_an_error() {
    let answer = |body: usize| {
        let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {body}\r\n\r\n").into_bytes();
        answer.resize(answer.len() + body, b'x');
        answer
    };
    assert_eq!(get(&server(Some(answer(MAX_BODY))).await).await.map(|body| body.len()), Ok(MAX_BODY));
    assert_eq!(wrong(answer(MAX_BODY + 1)).await, "length limit exceeded");
}

#[tokio::test(start_paused = true)]
async fn silence_is_an_error_after_ten_seconds() {
    assert_eq!(get(&server(None).await).await, Err("no response in 10 seconds".into()));
}

#[tokio::test]
async fn only_urls_of_http_are_asked_and_plain_ones_alone_without_authorities() {
    for url in ["https://127.0.0.1/", "/path", "127.0.0.1:1"] {
        assert_eq!(get(url).await, Err(format!("`{url}` is not http://HOST[:PORT]/PATH")));
    }
    assert!(get("http://a b/").await.unwrap_err().starts_with("`http://a b/` is not a URL: "));
}

#[tokio::test]
async fn a_port_without_a_listener_is_an_error() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}/", socket.local_addr().unwrap());
    assert!(get(&url).await.unwrap_err().contains("refused"));
}
