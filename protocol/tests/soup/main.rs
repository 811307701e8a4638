//! Header soup: whatever origins and clients send, some things hold.
#![cfg(not(target_family = "wasm"))]
#![allow(clippy::unwrap_used)]

mod input;

use input::*;
use meshcache_protocol::{Field, Groups, Request, Response, freshness::*, groups::Status};
use proptest::{option, prelude::*, sample::select};

const NOW: u64 = 784_111_777_000;

/// A response to a request, decided on.
fn decide(
    group: &str,
    method: &str,
    asked: &Fields,
    verified: bool,
    status: u16,
    fields: &Fields,
) -> Result<Stored, NotStored> {
    let (asked, fields) = (views(asked), views(fields));
    let request = Request::read(method.as_bytes(), b"http", b"h", b"/", &asked).unwrap();
    store(
        rules(group),
        &request,
        verified,
        &Response { status, fields: &fields },
        Times { requested: NOW - 300, responded: NOW },
        0,
    )
}

/// Whether `a` gives no more than `b`: it is stored for no longer, under no less conditions, for nobody else.
fn no_more_than(a: &Result<Stored, NotStored>, b: &Result<Stored, NotStored>) -> bool {
    match (a, b) {
        (Err(_), _) => true,
        (Ok(_), Err(_)) => false,
        (Ok(a), Ok(b)) => {
            a.lifetime <= b.lifetime
                && a.initial_age >= b.initial_age
                && a.while_revalidate <= b.while_revalidate
                && a.if_error <= b.if_error
                && a.always_validate >= b.always_validate
                && a.must_revalidate >= b.must_revalidate
                && a.for_everybody <= b.for_everybody
                && a.immutable <= b.immutable
                && a.disconnected <= b.disconnected
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_is_sent_makes_it_panic(group in group(), asked in fields(), answered in fields(), method in select(&["GET", "HEAD", "POST"][..]), status in status(), length in 0_u64..2000, resident in any::<u64>(), random in any::<u64>()) {
        let g = rules(group);
        let (asked, answered) = (views(&asked), views(&answered));
        let request = Request::read(method.as_bytes(), b"http", b"h", b"/a?b", &asked).unwrap();
        let response = Response { status, fields: &answered };
        let decided = store(g, &request, false, &response, Times { requested: resident, responded: random }, random);
        let _ = joins(g, &request, true);
        let _ = invalidates(&Groups::default(), None, &request, &response);
        let _ = conditions(&response);
        let kept = storable(g, &response, random);
        let kept: Vec<Field<'_>> = kept.iter().map(|(n, v)| (n.as_slice(), v.as_slice())).collect();
        let _ = freshened(&kept, &answered);
        let _ = confirms(&response, &response);
        let _ = same_representation(&response, length, &response);
        let vary = Vary::of(&response);
        prop_assert!(Selecting::of(&vary, &request).matches(&request));
        match part(&request, &response, length) {
            Part::Range(first, last) => prop_assert!(first <= last && last < length),
            Part::Ranges(all) => prop_assert!(all.len() > 1 && all.iter().all(|(first, last)| first <= last && *last < length) && all.iter().map(|(first, last)| last - first + 1).sum::<u64>() <= length),
            _ => {}
        }
        let _ = reuse(g, &request, false, None, resident);
        if let Ok(stored) = decided {
            let given = reuse(g, &request, false, Some(&stored), resident);
            prop_assert!(given != Reuse::Fresh || (stored.is_fresh(resident) && !stored.always_validate));
            prop_assert!(given != Reuse::Stale || (!stored.must_revalidate && !stored.always_validate));
            let _ = reuse_on_error(g, &request, false, &stored, resident);
            let _ = (stored.retention(), stored.ttl(resident));
        }
    }

    #[test]
    fn what_a_must_not_forbids_is_never_stored(group in group(), asked in fields(), method in select(&["GET", "GET", "HEAD", "POST"][..]), status in status(), said in right(), upper in any::<bool>(), space in select(&["", " ", "\t "][..]), other in others(), vary in option::of(select(&["*", "accept, *", "accept"][..])), verified in any::<bool>()) {
        let mut answered = lines(&said, upper, space);
        answered.extend(other.clone());
        answered.extend(vary.map(|v| ("vary".to_owned(), v.as_bytes().to_vec())));
        let has = |text: &'static str| said.contains(&AnyReason::Right(text));
        let stored = decide(group, method, &asked, verified, status, &answered);
        let g = rules(group);
        let permits = has("public") || has("must-revalidate") || has("s-maxage=10");
        let named = asked.iter().any(|(name, _)| name == "authorization") || verified;
        let listed = g.config().freshness.status.contains_key(&Status::Exactly(status));
        if let Ok(stored) = stored {
            prop_assert_eq!(method, "GET");
            prop_assert!((200..600).contains(&status) && status != 304);
            prop_assert!(status != 206 || asked.iter().any(|(name, _)| name == "range"));
            prop_assert!(!has("private"));
            prop_assert!(!has("no-store") || has("must-understand"));
            prop_assert!(!vary.is_some_and(|v| v.contains('*')));
            prop_assert!(!named || permits || g.config().share.authorization);
            prop_assert!(stored.for_everybody == permits);
            prop_assert!(listed || ![428, 429, 431, 511].contains(&status));
            prop_assert!(g.config().freshness.errors.to_the_letter() || !is_provoked(status));
            // Section 3, the last item: something says that it may be stored.
            let fresh = &g.config().freshness;
            let explicit = said.iter().any(|said| said.text().contains("max-age") && !said.text().starts_with('x') || said.text().starts_with("s-maxage")) || other.iter().any(|(n, _)| n == "expires");
            let by_default = [200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 451, 501].contains(&status);
            prop_assert!(explicit || has("public") || by_default || group.contains("force") || fresh.status.keys().any(|s| s.matches(status)));
            prop_assert!(!has("no-cache") || stored.always_validate || matches!(stored.why, LifetimeRule::Force | LifetimeRule::Status));
        }
    }

    #[test]
    fn a_malformed_directive_never_makes_a_response_more_cacheable(group in group(), said in right(), wrong in select(&WRONG[..]), at in 0_usize..7, other in others(), status in status(), named in any::<bool>()) {
        let asked: Fields = if named { vec![("authorization".into(), b"x".to_vec())] } else { vec![] };
        let mut with = said.clone();
        with.insert(at.min(said.len()), AnyReason::Wrong(wrong));
        let decide = |said: &[AnyReason]| {
            let mut answered = lines(said, false, " ");
            answered.extend(other.clone());
            decide(group, "GET", &asked, false, status, &answered)
        };
        let (without, with) = (decide(&said), decide(&with));
        prop_assert!(no_more_than(&with, &without), "{with:?} against {without:?}");
    }

    #[test]
    fn a_decision_does_not_depend_on_the_order_of_fields(group in group(), asked in fields(), answered in fields(), status in status(), seed in any::<u64>()) {
        // Fields of one name keep their order: there it has a meaning.
        let shuffled = |fields: &Fields| {
            let mut fields = fields.clone();
            fields.sort_by_key(|(name, _)| name.bytes().fold(seed, |hash, b| (hash ^ u64::from(b)).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
            fields
        };
        prop_assert_eq!(decide(group, "GET", &asked, false, status, &answered), decide(group, "GET", &shuffled(&asked), false, status, &shuffled(&answered)));
    }

    #[test]
    fn a_decision_does_not_depend_on_case_space_and_lines(group in group(), said in right(), other in others(), status in status(), space in select(&["", " ", "\t "][..])) {
        let decide = |mut answered: Fields| {
            answered.extend(other.clone());
            decide(group, "GET", &vec![], false, status, &answered)
        };
        let plain = decide(lines(&said, false, " "));
        prop_assert_eq!(&decide(lines(&said, true, space)), &plain);
        prop_assert_eq!(&decide(said.iter().flat_map(|one| lines(&[*one], false, "")).collect()), &plain);
        let mut reversed = said.clone();
        reversed.reverse();
        prop_assert_eq!(&decide(lines(&reversed, false, "")), &plain);
    }

    #[test]
    fn age_never_runs_backwards_nor_does_freshness_come_back(group in group(), answered in fields(), asked in fields(), one in 0_u64..200_000, more in 0_u64..200_000) {
        if let Ok(stored) = decide(group, "GET", &vec![], false, 200, &answered) {
            prop_assert!(stored.age(one + more) >= stored.age(one) && stored.age(0) >= 300);
            prop_assert!(stored.ttl(one + more) <= stored.ttl(one));
            let (g, asked) = (rules(group), views(&asked));
            let request = Request::read(b"GET", b"http", b"h", b"/", &asked).unwrap();
            let at = |resident| reuse(g, &request, false, Some(&stored), resident);
            prop_assert!(at(one + more) != Reuse::Fresh || at(one) == Reuse::Fresh);
        }
    }

    #[test]
    fn two_requests_agree_in_their_selecting_fields_both_ways_or_not_at_all(one in fields(), two in fields(), vary in fields()) {
        let (one, two, vary) = (views(&one), views(&two), views(&vary));
        let read = |fields| Request::read(b"GET", b"http", b"h", b"/", fields).unwrap();
        let (one, two, vary) = (read(&one), read(&two), Vary::of(&Response { status: 200, fields: &vary }));
        let (a, b) = (Selecting::of(&vary, &one), Selecting::of(&vary, &two));
        prop_assert_eq!(a.matches(&two), b.matches(&one));
        prop_assert_eq!(a.matches(&two), a == b);
    }
}
