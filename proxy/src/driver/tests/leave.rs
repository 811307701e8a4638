//! The request that passes by the owner's leave.

use super::*;

#[test]
fn it_passes_before_all_who_have_a_response_that_is_still_to_be_given() {
    let mut run = Run::with_snapshot();
    let leader = run.request(1000, "GET", "/long");
    run.request(1001, "GET", "/long");
    run.flush();
    let long = run.host.calls.len();
    for id in 1..=200 {
        run.request(id, "GET", "/x");
    }
    run.flush();
    let outcome = b"miss; ttl=60000; age=0; fwd-status=200; shared; stored";
    run.call_returns(long + 1, &[(b":status", b"200"), (b"meshcache-outcome", outcome)], "body");
    assert_eq!(run.host.replies.len(), 64, "a batch");
    run.call_returns(long, &[(b":status", b"204"), (b"meshcache-outcome", b"loading; flight=4; leave")], "");
    assert_eq!(run.host.resumed, [1000]);
    let said = Some("meshcache; fwd=bypass; detail=leave".to_owned());
    let mut passing = Stream { state: run.driver.take_settled(1000).unwrap(), ..leader };
    assert_eq!(run.response(&mut passing, &[(":status", "200")]), ResponseEdit::Annotate(said));
    assert_eq!(run.host.calls.len(), long + 2, "the other one still waits for the owner's load");
    assert!(run.host.calls[long + 1][header::WIRE].contains("flight=4"));
    assert!(run.driver.take_settled(1001).is_none());
}

#[test]
fn the_host_hears_of_a_request_that_fills_before_it_goes_on() {
    let mut run = Run::with_snapshot();
    run.driver.worker.fills = true;
    run.request(7, "GET", "/x");
    run.flush();
    let granted = b"loading; flight=4; fill=000000000000000000000000000000ab";
    run.call_returns(run.host.calls.len(), &[(b":status", b"204"), (b"meshcache-outcome", granted)], "");
    assert_eq!((run.host.filled, run.host.resumed), (vec![(7, "meshcache".to_owned())], vec![7]));
    let mut stream = Stream { state: run.driver.take_settled(7).unwrap(), ..Stream::new(7) };
    let call = stream.take_fill().unwrap();
    assert!(call.fields.contains(&(header::FILL, "000000000000000000000000000000ab".to_owned())), "{call:?}");
    assert!(stream.take_fill().is_none(), "once");
    let said = ResponseEdit::Annotate(Some("meshcache; fwd=bypass; detail=fill".to_owned()));
    assert_eq!(stream.response_alone(), Some(said));
}
