//! A node in an axum server of one's own: it answers clients and other nodes on one port.
//!
//! `axum NAME=ADDRESS...`: the first is this one, the others are its peers. Without arguments it is alone.

use axum::{Router, extract::Path, http::StatusCode, response::IntoResponse, routing::get};
use meshcache::{Error, Group, Node, Options, Value};
use tokio::net::TcpListener;

async fn thumbnail(thumbnails: Group, name: String) -> impl IntoResponse {
    match thumbnails.get(&name).await {
        Ok(bytes) => bytes.into_response(),
        Err(error) if error.is_not_found() => StatusCode::NOT_FOUND.into_response(),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut peers: Vec<(&str, &str)> = arguments.iter().filter_map(|peer| peer.split_once('=')).collect();
    if peers.is_empty() {
        peers.push(("alone", "127.0.0.1:0"));
    }
    let (name, address) = peers[0];
    let listener = TcpListener::bind(address).await?;
    println!("http://{}/thumbnails/cat.jpg", listener.local_addr()?);

    let mut node = Node::builder(name);
    if peers.len() > 1 {
        node = node.token("secret").peers(peers);
    }
    let node = node.build()?;
    let thumbnails = node.group("thumbnails", Options::new(), |key: String| async move {
        if key.ends_with(".jpg") { Ok(Value::from(format!("a small {key}"))) } else { Err(Error::not_found()) }
    })?;

    let app = Router::new().route("/thumbnails/{name}", get(async move |Path(name)| thumbnail(thumbnails, name).await));
    let server = tokio::spawn(axum::serve(listener, node.mount(app)).into_future());
    tokio::signal::ctrl_c().await?;
    // While it hands over, it still answers.
    node.shutdown().await;
    server.abort();
    Ok(())
}
