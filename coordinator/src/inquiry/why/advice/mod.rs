//! What to change so that a request is answered from the cache: in words, and, where configuration mends it, as the
//! group with the change. A change is only told if the rules say that it does what it is for.

mod change;
mod words;
mod yaml;

use crate::{
    cache::{groups::ServedGroup, last_reasons::OF_REQUEST, state::Cache},
    http::head::RequestHead,
    inquiry::why::recent,
};
use change::Change;
use meshcache_admin::{Advice, LastReason, Why};
use meshcache_protocol::{
    Field, Group, Groups, Request, Response,
    freshness::{self, NotStored, Times},
    groups::{Config, Force, GroupConfig},
    reason::Reason,
};

/// What advice is given for.
pub(super) struct Case<'a> {
    /// The request.
    pub(super) head: &'a RequestHead,
    /// Its group.
    pub(super) served: Option<&'a ServedGroup>,
    /// Who asks, where a header says so.
    pub(super) caller: Option<&'a str>,
    /// For its store's limit.
    pub(super) cache: &'a Cache,
}

/// The most advice: about the newest reasons.
const MOST: usize = 3;

impl Case<'_> {
    /// Returns the advice for an explanation; none where the cache answers.
    pub(super) fn advise(&self, why: &Why) -> Vec<Advice> {
        if why.request_reason.is_none() && why.at.iter().any(|at| at.stored.iter().any(|entry| entry.answers)) {
            return Vec::new();
        }
        let none = LastReason::default();
        let refused = why.at.iter().flat_map(|at| &at.stored).filter_map(|entry| entry.why_not.as_deref());
        // Another variant is stored: nothing is wrong.
        let refused = refused.filter_map(|why_not| why_not.split(':').next()).filter(|word| *word != "vary");
        let request = why.request_reason.iter().map(String::as_str);
        let mut about: Vec<(&str, &LastReason)> = request.chain(refused).map(|reason| (reason, &none)).collect();
        about.extend(recent::reasons(why).into_iter().map(|last| (last.reason.as_str(), last)));
        let mut all: Vec<Advice> = Vec::new();
        for (reason, last) in about {
            let Some(reason) = Reason::of(reason) else { continue };
            if all.len() < MOST && all.iter().all(|advice| advice.reason != reason.label()) {
                all.push(self.about(reason, last));
            }
        }
        if all.is_empty() && why.at.iter().all(|at| at.stored.is_empty() && at.loading.is_none()) {
            all.push(self.unasked(recent::stored_ago(why).is_some()));
        }
        all
    }

    /// The advice where no coordinator has a reason. It has none itself.
    fn unasked(&self, was_stored: bool) -> Advice {
        if was_stored {
            return Advice { text: words::OVER.into(), ..Advice::default() };
        }
        let fields = self.head.fields();
        let names = self.served.zip(self.head.request(&fields).ok());
        match names.is_some_and(|(served, request)| freshness::names_user(&served.group, &request, false)) {
            true => self.about(Reason::Identity, &LastReason::default()),
            false => Advice { text: words::UNASKED.into(), ..Advice::default() },
        }
    }

    /// The advice about a reason.
    fn about(&self, reason: Reason, last: &LastReason) -> Advice {
        let text = words::of(reason).to_owned();
        let plain = Advice { reason: reason.label().into(), text, ..Advice::default() };
        let Some(served) = self.served else { return plain };
        let config = served.group.config();
        let facts = change::Facts {
            head: self.head,
            caller: self.caller,
            last,
            room: served.quota.limit().min(self.cache.store.limit()),
        };
        let Some((changed, what)) = change::of(reason, &facts).into_iter().find_map(|change| {
            let changed = self.mended(config, last, &change)?;
            Some((changed, change.what))
        }) else {
            return plain;
        };
        let files = yaml::file(config).zip(yaml::file(&changed));
        let Some((before, after)) = files.filter(|(before, after)| before != after) else { return plain };
        let text = if what.is_empty() { plain.text } else { format!("{} {what}", plain.text) };
        Advice { text, diff: Some(yaml::diff(&before, &after)), yaml: Some(after), ..plain }
    }

    /// Returns the group with a change, if it may be written so and the last response would then be stored. What has no
    /// freshness after that is given a short one.
    fn mended(&self, config: &GroupConfig, last: &LastReason, change: &Change) -> Option<GroupConfig> {
        let further: [fn(&mut GroupConfig); 3] = [
            |_| {},
            |group| group.freshness.default = yaml::SHORT,
            |group| group.freshness.force = Force::For(yaml::SHORT),
        ];
        further.into_iter().find_map(|further| {
            let mut changed = config.clone();
            (change.make)(&mut changed);
            further(&mut changed);
            let config = Config { groups: vec![changed.clone()], ..Config::default() };
            let groups = Groups::new(config).ok()?;
            let would_be_stored = || self.judged(groups.iter().next()?, last);
            (!change.is_for_response || would_be_stored().is_none_or(|judged| judged.is_ok())).then_some(changed)
        })
    }

    /// Returns whether a group would store the last response, as far as it is known; none: there is none.
    fn judged(&self, group: &Group, last: &LastReason) -> Option<Result<(), NotStored>> {
        let lines = || last.decided.iter().filter_map(|line| line.split_once(": "));
        let field = |(name, value): (&'_ str, &'_ str)| (name.to_owned(), value.to_owned());
        let of_request: Vec<_> = lines().filter(|(_, value)| *value == OF_REQUEST).map(field).collect();
        let of_response: Vec<_> = lines().filter(|(_, value)| *value != OF_REQUEST).map(field).collect();
        let own = self.head.fields();
        let asked: Vec<Field<'_>> = own.iter().copied().chain(of_request.iter().map(bytes)).collect();
        let asked: Vec<Field<'_>> = if group.edits_requests() { group.edited(&asked).collect() } else { asked.clone() };
        let scheme = self.head.scheme().as_bytes();
        let target = self.head.target().as_bytes();
        let request = Request::read(b"GET", scheme, self.head.authority(), target, &asked).ok()?;
        let fields: Vec<Field<'_>> = of_response.iter().map(bytes).collect();
        let response = Response { status: last.status?, fields: &fields };
        let now = Times { requested: 0, responded: 0 };
        Some(freshness::share(group, &request, false, &response, now, 0).map(drop))
    }
}

fn bytes((name, value): &(String, String)) -> Field<'_> {
    (name.as_bytes(), value.as_bytes())
}
