//! Responses that a test reads bit by bit.

use super::{HOST, request};
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use std::net::SocketAddr;

thread_local! {
    static CLIENT: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
}

/// A response that is read bit by bit.
pub struct Streaming {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: Incoming,
    got: Vec<u8>,
}

pub async fn open(address: SocketAddr, method: &str, target: &str, fields: &[(&str, &str)]) -> Streaming {
    let client = CLIENT.with(Clone::clone);
    let response: Response<Incoming> =
        client.request(request(address, method, target, fields, Bytes::new())).await.unwrap();
    let (head, body) = response.into_parts();
    Streaming { status: head.status, headers: head.headers, body, got: Vec::new() }
}

/// The same, with GET and the host that all tests use.
pub async fn get(address: SocketAddr, target: &str) -> Streaming {
    open(address, "GET", target, &[HOST]).await
}

impl Streaming {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Reads until so many bytes are here.
    pub async fn read(&mut self, most: usize) -> &[u8] {
        while self.got.len() < most {
            let frame = self.body.frame().await.expect("more is to come").expect("it goes on");
            self.got.extend_from_slice(&frame.into_data().unwrap_or_default());
        }
        &self.got
    }

    /// Reads to the end: all bytes, and whether they are the whole.
    pub async fn end(mut self) -> (Vec<u8>, bool) {
        while let Some(frame) = self.body.frame().await {
            match frame {
                Ok(frame) => self.got.extend_from_slice(&frame.into_data().unwrap_or_default()),
                Err(_) => return (self.got, false),
            }
        }
        (self.got, true)
    }
}
