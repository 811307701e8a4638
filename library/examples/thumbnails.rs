//! Three nodes in one process: one of them draws a thumbnail, the others get it from that one.

use meshcache::{Error, Group, Node, Options, Value};
use std::time::Duration;

/// What costs something: a real one would read and shrink a picture.
async fn draw(name: &str) -> Result<Vec<u8>, Error> {
    if !name.ends_with(".jpg") {
        return Err(Error::not_found());
    }
    Ok(format!("a small {name}").into_bytes())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // 1. The nodes. Each process of a real program makes one, and names the others.
    let mut nodes = Vec::new();
    for name in ["a", "b", "c"] {
        nodes.push(Node::builder(name).token("secret").store_bytes(64 << 20).listen("127.0.0.1:0").build()?);
    }
    let addresses: Vec<_> = nodes.iter().filter_map(|node| Some((node.name(), node.address()?))).collect();
    for node in &nodes {
        node.set_peers(&addresses)?;
    }

    // 2. The group: a name, a size, and a getter.
    let options = Options::new().bytes(16 << 20).not_found_ttl(Duration::from_secs(10));
    let mut groups: Vec<Group> = Vec::new();
    for node in &nodes {
        let name = node.name().to_owned();
        groups.push(node.group("thumbnails", options.clone(), move |key: String| {
            println!("{name} draws {key}");
            async move { Ok(Value::from(draw(&key).await?).tag("animals")) }
        })?);
    }

    // 3. Get.
    for (node, thumbnails) in nodes.iter().zip(&groups) {
        for name in ["cat.jpg", "dog.jpg", "notes.txt"] {
            match thumbnails.get(name).await {
                Ok(bytes) => println!("{} has {}", node.name(), String::from_utf8_lossy(&bytes)),
                Err(error) => println!("{} has no {name}: {error}", node.name()),
            }
        }
    }

    // What is removed at one node is gone at all.
    if let Some(thumbnails) = groups.first() {
        println!("removed {}", thumbnails.remove_tags(&["animals"]).await.entries);
        thumbnails.set("cat.jpg", "a new cat").await?;
    }
    for thumbnails in &groups {
        println!("{}", thumbnails.get_as::<String>("cat.jpg").await?);
    }
    for node in &nodes {
        node.shutdown().await;
    }
    Ok(())
}
