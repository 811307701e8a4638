//! Values of types, each with its codec.

use bytes::Bytes;
use meshcache::{Codec, Error, Group, Node, Options, Value, encode};

async fn group() -> Group {
    let node = Node::builder("a").build().unwrap();
    node.group("things", Options::new(), |key: String| async move { Ok(Value::from(vec![key.len() as u8, 0, 255])) })
        .unwrap()
}

#[tokio::test]
async fn bytes_and_text_are_their_own_codecs() {
    let group = group().await;
    assert_eq!(group.get_as::<Bytes>("abc").await.unwrap(), &[3, 0, 255][..]);
    assert_eq!(group.get_as::<Vec<u8>>("abc").await.unwrap(), [3, 0, 255]);
    assert!(matches!(group.get_as::<String>("abc").await, Err(Error::Codec(_))));
    group.set("abc", encode(&"text".to_owned()).unwrap()).await.unwrap();
    assert_eq!(group.get_as::<String>("abc").await.unwrap(), "text");
}

#[tokio::test]
async fn a_program_has_codecs_of_its_own() {
    #[derive(Debug, PartialEq)]
    struct Point(u8, u8);
    impl Codec for Point {
        fn encode(&self) -> Result<Bytes, Error> {
            Ok(Bytes::from(vec![self.0, self.1]))
        }
        fn decode(bytes: Bytes) -> Result<Self, Error> {
            match bytes[..] {
                [x, y] => Ok(Self(x, y)),
                _ => Err(Error::Codec(format!("{} bytes are no point", bytes.len()))),
            }
        }
    }
    let group = group().await;
    assert_eq!(group.get_as::<Point>("abc").await, Err(Error::Codec("3 bytes are no point".into())));
    group.set("abc", encode(&Point(1, 2)).unwrap()).await.unwrap();
    assert_eq!(group.get_as::<Point>("abc").await, Ok(Point(1, 2)));
}

#[cfg(feature = "serde_json")]
#[tokio::test]
async fn a_value_is_json() {
    use meshcache::Json;
    let group = group().await;
    assert!(matches!(group.get_as::<Json<Vec<u32>>>("abc").await, Err(Error::Codec(_))));
    group.set("abc", encode(&Json(vec![1, 2])).unwrap()).await.unwrap();
    assert_eq!(group.get_as::<Json<Vec<u32>>>("abc").await, Ok(Json(vec![1, 2])));
}

#[cfg(feature = "prost")]
#[tokio::test]
async fn a_value_is_a_protocol_buffer() {
    use meshcache::Proto;
    #[derive(Clone, PartialEq, prost::Message)]
    struct User {
        #[prost(string, tag = "1")]
        name: String,
    }
    let group = group().await;
    assert!(matches!(group.get_as::<Proto<User>>("abc").await, Err(Error::Codec(_))));
    group.set("abc", encode(&Proto(User { name: "Ada".into() })).unwrap()).await.unwrap();
    assert_eq!(group.get_as::<Proto<User>>("abc").await.unwrap().0.name, "Ada");
}
