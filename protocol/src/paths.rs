//! The paths below `/.meshcache/` that proxies and coordinators call, and the port that serves each.
//!
//! They are part of the wire: filters and coordinators of other versions use them.

/// The prefix of all of them. A request for a path below it is never a resource and never forwarded.
pub const CONTROL: &str = "/.meshcache/";

/// `POST`, data port. A proxy polls for groups, ring and purges ([`crate::feed`]).
pub const FEED: &str = "/.meshcache/feed";

/// `POST` with a target appended, data and peer port. An unsafe request for that target has succeeded
/// (RFC 9111 section 4.4).
pub const INVALIDATE: &str = "/.meshcache/invalidate";

/// `PUT`, data port. A proxy that was granted a load sends a copy of the service's response ([`crate::wire::FilledHead`]).
pub const FILL: &str = "/.meshcache/fill";

/// `POST`, peer port. A coordinator sends one purge, which the receiver carries out.
pub const PURGE: &str = "/.meshcache/purge";

/// `POST`, peer port. A coordinator renews its lease and asks for the purges since its position.
pub const CATCH_UP: &str = "/.meshcache/purges";

/// `POST`, peer port. Returns the stored responses of a key as frames ([`crate::frame`]); 204 for none, 202 while the
/// key is loading.
pub const PEEK: &str = "/.meshcache/peek";

/// `POST`, peer port. A leaving coordinator hands over stored responses as frames.
pub const PUSH: &str = "/.meshcache/push";

/// `POST`, peer port. A coordinator announces that it joins or leaves.
pub const ANNOUNCE: &str = "/.meshcache/word";

/// `POST`, peer port. A coordinator asks another about itself, on behalf of an administrator.
pub const ASK: &str = "/.meshcache/ask";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_what_filters_and_coordinators_of_other_versions_call() {
        let all = [FEED, INVALIDATE, FILL, PURGE, CATCH_UP, PEEK, PUSH, ANNOUNCE, ASK];
        assert_eq!(
            all.map(|path| path.strip_prefix(CONTROL)),
            ["feed", "invalidate", "fill", "purge", "purges", "peek", "push", "word", "ask"].map(Some)
        );
    }
}
