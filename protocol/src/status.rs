//! Statuses that a request causes itself, by its conditions, range, expectation, headers or rate.

/// Whether a response of this status describes its request and not the resource. It answers this request alone,
/// whatever freshness it has, and stored responses of the resource stay valid.
///
/// RFC 9110 sections 15.5.1 (400), 15.5.7 (406), 15.5.9 (408), 15.5.12 (411), 15.5.13 (412), 15.5.14 (413), 15.5.16
/// (415), 15.5.17 (416), 15.5.18 (417), 15.5.20 (421), 15.5.21 (422), 15.5.22 (426); RFC 8470 (425); RFC 6585 (428,
/// 429, 431).
pub const fn is_provoked(status: u16) -> bool {
    matches!(status, 400 | 406 | 408 | 411..=413 | 415..=417 | 421 | 422 | 425 | 426 | 428 | 429 | 431)
}
