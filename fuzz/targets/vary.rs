//! Vary and the fields that it names: a request matches itself, in any order of other fields.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshcache_fuzz::{get, is_value};
use meshcache_protocol::{
    Response,
    freshness::{Selecting, Vary},
};

const NAMES: [&[u8]; 5] = [b"accept", b"accept-encoding", b"accept-language", b"accept-charset", b"x-other"];

fuzz_target!(|data: &[u8]| {
    if !is_value(data) {
        return;
    }
    let mut values = data.split(|b| *b == b'\t');
    let said = [(&b"vary"[..], values.next().unwrap_or_default())];
    let all = [(&b"vary"[..], &b"accept, accept-encoding, accept-language, accept-charset, x-other"[..])];
    let fields: Vec<_> = NAMES.into_iter().cycle().zip(values).take(12).collect();
    let request = get(&fields);
    for fields in [said, all] {
        let vary = Vary::of(&Response { status: 200, fields: &fields });
        let selecting = Selecting::of(&vary, &request);
        assert!(selecting.matches(&request));
        // Between lines of different names the order means nothing.
        let mut sorted = request.fields.to_vec();
        sorted.sort_by_key(|(name, _)| *name);
        assert!(selecting.matches(&get(&sorted)));
    }
});
