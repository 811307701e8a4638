//! Answers with news: each is made once for all proxies at the same position, and all together take bounded memory.

use crate::http::byte_budget::{ByteBudget, ByteReservation};
use bytes::Bytes;
use meshcache_protocol::purge::Position;
use std::{collections::HashMap, sync::Arc};

/// The most answers that are kept of one snapshot.
const MAX_KEPT: usize = 64;
/// The bytes of all answers that are kept or being sent, but for small ones: a proxy chooses its position.
pub(super) const MAX_BYTES: u64 = 16 << 20;
/// The longest answer that needs no reservation, bytes.
pub(super) const MAX_SMALL: usize = 4096;

/// The version of the wire, whether the state is included, whether purges are told exactly, and the position of the
/// proxy.
type AnswerKey = (u32, bool, bool, Position);

/// The answers of one snapshot that are kept.
pub(super) type KeptAnswers = HashMap<AnswerKey, Answer>;

/// An answer. Its memory is reserved until no proxy receives it any more.
#[derive(Clone)]
pub(super) struct Answer(Arc<ReservedJson>);

struct ReservedJson {
    json: Vec<u8>,
    _reservation: ByteReservation,
}

impl Answer {
    /// The answer as a body, which shares its memory.
    pub(super) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }

    /// Whether a body shares the answer's memory.
    fn is_being_sent(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

impl AsRef<[u8]> for Answer {
    fn as_ref(&self) -> &[u8] {
        &self.0.json
    }
}

/// The memory of all answers.
pub(super) struct Answers(Arc<ByteBudget>);

impl Default for Answers {
    fn default() -> Self {
        Self(ByteBudget::new(MAX_BYTES))
    }
}

impl Answers {
    /// Reserves memory for an answer. Kept ones that are not being sent make room.
    pub(super) fn reserve(&self, json: Vec<u8>, kept: &mut KeptAnswers) -> Option<Answer> {
        let (mut reservation, bytes) = (self.0.reserve(), json.len() as u64);
        // An answer that is larger than the whole budget has to be sent, too: alone.
        let mut fits =
            || json.len() <= MAX_SMALL || reservation.grow(bytes) || (bytes > MAX_BYTES && self.0.used() == 0);
        if !fits() {
            kept.retain(|_, answer| answer.is_being_sent());
            if !fits() {
                return None;
            }
        }
        Some(Answer(Arc::new(ReservedJson { json, _reservation: reservation })))
    }

    /// Keeps an answer. A small one stands in for one without memory, and is not for proxies that ask when there is
    /// memory.
    pub(super) fn keep(&self, key: AnswerKey, answer: &Answer, kept: &mut KeptAnswers) {
        if kept.len() < MAX_KEPT && answer.as_ref().len() > MAX_SMALL {
            kept.insert(key, answer.clone());
        }
    }

    #[cfg(test)]
    pub(super) fn used(&self) -> u64 {
        self.0.used()
    }
}
