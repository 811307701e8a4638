//! One connection: served to its end, closed when its client is too slow, drained when the process stops.

use crate::server::activity::Activity;
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioExecutor;
use std::{pin::pin, time::Duration};
use tokio::{sync::watch, time::MissedTickBehavior};

/// A client that neither completes a request's head nor reads its response for this long is disconnected, after at most
/// twice this time.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(30);
/// The time for the one request of a connection that was accepted while the process stops.
const LATE_CONNECTION: Duration = Duration::from_secs(1);

/// While the process stops, a connection without activity for this long is closed: its client may be frozen.
const DRAIN_SILENCE: Duration = Duration::from_secs(5);

type HyperConnection<'a, I, S> = hyper_util::server::conn::auto::Connection<'a, I, S, TokioExecutor>;

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CloseReason {
    /// A head was too large to be read. hyper has answered it with 431.
    HeadTooLarge,
    /// The client's first bytes were no HTTP, but TLS most likely. hyper has answered them with 400.
    NotHttp,
    /// Any other reason.
    Else,
}

impl CloseReason {
    fn of(error: &(dyn std::error::Error + Send + Sync + 'static), is_first: bool) -> Self {
        match error.downcast_ref::<hyper::Error>() {
            Some(hyper) if hyper.is_parse_too_large() => Self::HeadTooLarge,
            Some(hyper) if hyper.is_parse() && is_first => Self::NotHttp,
            _ => Self::Else,
        }
    }
}

/// Serves a connection to its end. `renewed`: it takes no requests after those that are under way.
pub(super) async fn serve<I, S, B>(
    connection: HyperConnection<'_, I, S>,
    activity: &Activity,
    mut drain: watch::Receiver<bool>,
    renewed: impl Future<Output = ()>,
) -> CloseReason
where
    I: Read + Write + Unpin + 'static,
    S: hyper::service::Service<http::Request<hyper::body::Incoming>, Response = http::Response<B>>,
    S::Future: 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: hyper::body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    TokioExecutor: hyper_util::server::conn::auto::HttpServerConnExec<S::Future, B>,
{
    let mut connection = pin!(connection);
    let late = *drain.borrow();
    let mut stop = pin!(async {
        let _ = drain.wait_for(|drain| *drain).await;
        if late {
            tokio::time::sleep(LATE_CONNECTION).await;
        }
    });
    let mut renewed = pin!(renewed);
    let (mut stopping, mut before) = (false, None);
    let mut look = tokio::time::interval_at(tokio::time::Instant::now() + CLIENT_TIMEOUT, CLIENT_TIMEOUT);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut quiet, mut rest) = (tokio::time::interval(DRAIN_SILENCE), None);
    quiet.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                let is_first = activity.answered() == 0;
                return ended.map_or_else(|error| CloseReason::of(&*error, is_first), |()| CloseReason::Else);
            }
            () = &mut stop, if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
                quiet.reset();
            }
            () = &mut renewed, if !activity.is_renewed() => {
                activity.renew();
                // With HTTP/1.1 a request may be on its way: the next response closes the connection.
                if activity.is_http2() {
                    connection.as_mut().graceful_shutdown();
                }
            }
            _ = quiet.tick(), if stopping => {
                let now = activity.when_idle();
                if now.is_some() && now == rest {
                    return CloseReason::Else;
                }
                rest = now;
            }
            _ = look.tick() => {
                // Before its first request it was not known what the connection speaks.
                if activity.is_renewed() && activity.is_http2() {
                    connection.as_mut().graceful_shutdown();
                }
                let now = activity.progress();
                if now.is_some() && now == before {
                    return CloseReason::Else;
                }
                before = now;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{http::body::Body, server::connection_io::ConnectionIo};
    use hyper_util::{rt::TokioIo, server::conn::auto::Builder};
    use std::convert::Infallible;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
        task::JoinHandle,
        time::{Instant, sleep},
    };

    /// Returns a connection whose requests are answered after `takes`, with 64 KiB, and the switch that begins the
    /// drain.
    fn connect(takes: Duration) -> (DuplexStream, JoinHandle<()>, watch::Sender<bool>) {
        let (client, server) = tokio::io::duplex(1024);
        let (running, drain) = watch::channel(false);
        let task = tokio::spawn(async move {
            let (activity, io) = ConnectionIo::new(TokioIo::new(server));
            let answer = hyper::service::service_fn({
                let activity = activity.clone();
                move |request: http::Request<hyper::body::Incoming>| {
                    activity.begin(request.version()).answer(async move {
                        sleep(takes).await;
                        Ok::<_, Infallible>(http::Response::new(Body::from(vec![b'x'; 64 * 1024])))
                    })
                }
            });
            let mut builder = Builder::new(TokioExecutor::new());
            builder.http1().header_read_timeout(None);
            serve(builder.serve_connection(io, answer), &activity, drain, std::future::pending()).await;
        });
        (client, task, running)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_completes_a_head_is_disconnected() {
        for begin in ["", "GET / HT", "GET / HTTP/1.1\r\nhost: h\r\n"] {
            let begun = Instant::now();
            let (mut client, task, _running) = connect(Duration::ZERO);
            client.write_all(begin.as_bytes()).await.unwrap();
            task.await.unwrap();
            assert!(
                (CLIENT_TIMEOUT..=CLIENT_TIMEOUT * 3).contains(&begun.elapsed()),
                "{begin:?} {:?}",
                begun.elapsed()
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_of_its_response_is_disconnected() {
        let (mut client, task, _running) = connect(Duration::ZERO);
        client.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
        task.await.unwrap();
        drop(client);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_origin_and_a_slow_reader_are_waited_for() {
        let (mut client, _task, _running) = connect(CLIENT_TIMEOUT * 10);
        client.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
        let mut answer = vec![0; 64 * 1024];
        for piece in answer.chunks_mut(8192) {
            client.read_exact(piece).await.unwrap();
            sleep(CLIENT_TIMEOUT / 2).await;
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_http2_connection_that_is_renewed_before_its_first_request_ends_after_it() {
        let (client, server) = tokio::io::duplex(1 << 16);
        let (_running, drain) = watch::channel(false);
        let serving = tokio::spawn(async move {
            let (activity, io) = ConnectionIo::new(TokioIo::new(server));
            let answer = hyper::service::service_fn({
                let activity = activity.clone();
                move |request: http::Request<hyper::body::Incoming>| {
                    let answer = async { Ok::<_, Infallible>(http::Response::new(Body::empty())) };
                    activity.begin(request.version()).answer(answer)
                }
            });
            let builder = Builder::new(TokioExecutor::new());
            serve(builder.serve_connection(io, answer), &activity, drain, std::future::ready(())).await
        });
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(client)).await;
        let (mut sender, connection) = handshake.unwrap();
        let connection = tokio::spawn(connection);
        let request = http::Request::get("http://h/").body(Body::empty()).unwrap();
        assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
        let ended = tokio::time::timeout(CLIENT_TIMEOUT * 2, connection).await;
        ended.expect("it would go on with the session of before").unwrap().unwrap();
        serving.await.unwrap();
        drop(sender);
    }

    #[tokio::test(start_paused = true)]
    async fn while_the_process_stops_a_silent_client_is_not_waited_for_and_a_response_is() {
        let (mut client, task, running) = connect(Duration::ZERO);
        client.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
        sleep(Duration::from_millis(1)).await;
        let begun = Instant::now();
        running.send_replace(true);
        task.await.unwrap();
        assert!(begun.elapsed() <= DRAIN_SILENCE * 2, "{:?}", begun.elapsed());
        let (mut client, task, running) = connect(DRAIN_SILENCE * 4);
        client.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
        sleep(Duration::from_millis(1)).await;
        running.send_replace(true);
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200") && answer.len() > 64 * 1024);
        task.await.unwrap();
    }
}
