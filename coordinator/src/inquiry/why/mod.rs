//! Why a request is, or is not, answered from the cache: group, rule and key, what each coordinator knows of it, and
//! what to change.

mod advice;
mod asked;
mod here;
mod key_parts;
mod probe;
mod recent;
mod summary;

use crate::{
    cache::{groups::ServedGroup, request::Caller},
    http::head::RequestHead,
    inquiry::{Inquiry, NoAnswer, PATIENCE, keys::query_names},
};
use advice::Case;
use asked::InvalidWhy;
use futures_util::future::join_all;
use meshcache_admin::{AtCoordinator, Hop, Why, WhyRequest};
use meshcache_protocol::{Key, Peer};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// What is found out of a request without asking anybody.
struct Explained {
    why: Why,
    served: Option<Arc<ServedGroup>>,
    key: Option<Key>,
    /// Who asks, where a header says so.
    caller: Option<String>,
}

impl Inquiry {
    /// Explains a request.
    pub(crate) async fn why(&self, asked: &WhyRequest) -> Result<Why, InvalidWhy> {
        let head = asked::head(asked::read(asked)?)?;
        let Explained { mut why, served, key, caller } = self.explain(&head);
        match &key {
            Some(key) => (why.at, why.hops) = self.of_each(asked, key).await,
            None if asked.probe => why.hops = vec![self.not_asked(why.request_reason.as_deref())],
            None => {}
        }
        let case = Case { head: &head, served: served.as_deref(), caller: caller.as_deref(), cache: &self.cache };
        why.summary = summary::of(&why);
        why.advice = case.advise(&why);
        Ok(why)
    }

    /// What this coordinator knows of a request, after a probe where one is wanted.
    pub(super) async fn why_here(&self, asked: &WhyRequest) -> Result<AtCoordinator, NoAnswer> {
        let bad = |InvalidWhy(what)| NoAnswer(what);
        let request = asked::read(asked).map_err(bad)?;
        let hops = if asked.probe { probe::run(&self.cache, request.clone()).await } else { Vec::new() };
        let head = asked::head(request).map_err(bad)?;
        Ok(AtCoordinator { hops, ..here::known(&self.cache, &self.cache.group_table(), &head) })
    }

    fn explain(&self, head: &RequestHead) -> Explained {
        let table = self.cache.group_table();
        let fields = head.fields();
        let request = head.request(&fields).or_else(|_| head.host_only(&fields)).ok();
        let url = |target: &str| {
            let authority = String::from_utf8_lossy(head.authority()).to_ascii_lowercase();
            let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
            format!("{}://{authority}{path}{}", head.scheme(), query_names(query))
        };
        let url = head.request(&fields).map_or_else(|_| url(head.target()), |request| url(&request.normal_target()));
        let caller =
            request.as_ref().and_then(|request| match Caller::of(head, request, self.cache.settings.identity) {
                Caller::Xfcc(caller) => Some(caller.to_owned()),
                Caller::Unknown | Caller::Tls(_) => None,
            });
        asked::look(&self.cache, &table, head, |looked| {
            let group = looked.served.as_ref().map(|served| &served.group);
            let rule = group.zip(request).map(|(group, request)| group.config().r#match.matched(&request, None));
            let key = looked.request.as_ref().map(|request| request.key.clone());
            let ring = self.cache.cluster.ring();
            let (owner, next) = key.as_ref().map_or((None, None), |key| ring.owner_and_next(key.hash()));
            let name = |peer: Option<&Peer>| peer.map(|peer| peer.name.clone());
            let why = Why {
                url,
                group: group.map(|group| group.name().to_owned()),
                rule,
                request_reason: looked.reason.map(|reason| reason.label().to_owned()),
                key: looked.request.as_ref().map(key_parts::of).unwrap_or_default(),
                key_hash: key.as_ref().map(|key| format!("{:?}", key.hash())),
                owner: name(owner),
                next: name(next),
                ..Why::default()
            };
            Explained { why, key, caller, served: looked.served }
        })
    }

    /// Asks each coordinator what it knows, the owner first, and the owner to probe where that is wanted.
    async fn of_each(&self, asked: &WhyRequest, key: &Key) -> (Vec<AtCoordinator>, Vec<Hop>) {
        let ring = self.cache.cluster.ring();
        let own = Peer { name: self.me.clone(), data: String::new(), peer: String::new() };
        let order: Vec<Peer> = ring.order(key.hash()).into_iter().cloned().collect();
        let order = if order.is_empty() { vec![own] } else { order };
        let began = Instant::now();
        let ask = async |(n, peer): (usize, &Peer)| {
            let probes = asked.probe && n == 0;
            let patience = if probes { probe::LONGEST.saturating_add(PATIENCE) } else { PATIENCE };
            let ask = meshcache_admin::Ask::Why(WhyRequest { probe: probes, ..asked.clone() });
            let answer = self.ask::<AtCoordinator>(peer, &ask, patience).await;
            let unreached = |NoAnswer(why)| AtCoordinator {
                name: peer.name.clone(),
                unreached: Some(why),
                ..AtCoordinator::default()
            };
            (answer.unwrap_or_else(unreached), began.elapsed())
        };
        let mut all = join_all(order.iter().enumerate().map(ask)).await;
        let hops = all.first_mut().filter(|_| asked.probe).map(|(owner, took)| self.hops(owner, *took));
        (all.into_iter().map(|(at, _)| at).collect(), hops.unwrap_or_default())
    }

    /// The hop of a probe of what has no key: the request would tell nothing but its reason, and might reach a service.
    fn not_asked(&self, reason: Option<&str>) -> Hop {
        let what = format!("not asked: it passes, {}", reason.unwrap_or("no-group"));
        Hop { at: self.me.clone(), what, took: 0.0 }
    }

    /// The hops of a probe: the way to the owner, and what the owner did.
    fn hops(&self, owner: &mut AtCoordinator, took: Duration) -> Vec<Hop> {
        let what = match &owner.unreached {
            None => format!("asked {}, the owner", owner.name),
            Some(why) => format!("asked {}, the owner: no answer: {why}", owner.name),
        };
        let there = owner.hops.iter().map(|hop| hop.took / 1000.0).sum();
        let took = took.saturating_sub(Duration::try_from_secs_f64(there).unwrap_or_default());
        let asked = Hop { at: self.me.clone(), what, took: probe::millis(took) };
        let way = (owner.name != self.me || owner.unreached.is_some()).then_some(asked);
        way.into_iter().chain(std::mem::take(&mut owner.hops)).collect()
    }
}
