//! Codecs: how a type of a program is a value's bytes.

use bytes::Bytes;
use meshcache_coordinator::embedded::{Error, Value};

/// A type that is written as a value's bytes and read from them.
///
/// Bytes and text are their own codecs; `Json<T>` and `Proto<T>` come with the features `serde_json` and `prost`.
pub trait Codec: Sized {
    /// Writes it.
    fn encode(&self) -> Result<Bytes, Error>;

    /// Reads it.
    fn decode(bytes: Bytes) -> Result<Self, Error>;
}

/// Writes a value, for a getter or for [`Group::set`](crate::Group::set).
pub fn encode(value: &impl Codec) -> Result<Value, Error> {
    value.encode().map(Value::new)
}

impl Codec for Bytes {
    fn encode(&self) -> Result<Bytes, Error> {
        Ok(self.clone())
    }

    fn decode(bytes: Bytes) -> Result<Self, Error> {
        Ok(bytes)
    }
}

impl Codec for Vec<u8> {
    fn encode(&self) -> Result<Bytes, Error> {
        Ok(Bytes::copy_from_slice(self))
    }

    fn decode(bytes: Bytes) -> Result<Self, Error> {
        Ok(bytes.into())
    }
}

impl Codec for String {
    fn encode(&self) -> Result<Bytes, Error> {
        Ok(Bytes::copy_from_slice(self.as_bytes()))
    }

    fn decode(bytes: Bytes) -> Result<Self, Error> {
        Self::from_utf8(bytes.into()).map_err(codec)
    }
}

/// A value as JSON.
#[cfg(feature = "serde_json")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

#[cfg(feature = "serde_json")]
impl<T: serde::Serialize + serde::de::DeserializeOwned> Codec for Json<T> {
    fn encode(&self) -> Result<Bytes, Error> {
        serde_json::to_vec(&self.0).map(Bytes::from).map_err(codec)
    }

    fn decode(bytes: Bytes) -> Result<Self, Error> {
        serde_json::from_slice(&bytes).map(Self).map_err(codec)
    }
}

/// A value as a protocol buffer.
#[cfg(feature = "prost")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proto<T>(pub T);

#[cfg(feature = "prost")]
impl<T: prost::Message + Default> Codec for Proto<T> {
    fn encode(&self) -> Result<Bytes, Error> {
        Ok(self.0.encode_to_vec().into())
    }

    fn decode(bytes: Bytes) -> Result<Self, Error> {
        T::decode(bytes).map(Self).map_err(codec)
    }
}

fn codec(error: impl std::fmt::Display) -> Error {
    Error::Codec(error.to_string())
}
