//! Small responses: without a body, or with one line.

use crate::http::body::Body;
use http::{Response, StatusCode, header};

/// Returns a response with a status and no body.
pub(crate) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Returns a response with a status and a line of text.
pub(crate) fn text(status: StatusCode, why: String) -> Response<Body> {
    let mut response = with_field(Response::new(Body::from(why)), header::CONTENT_TYPE, "text/plain; charset=utf-8");
    *response.status_mut() = status;
    response
}

/// Sets a field of a response.
pub(crate) fn with_field(
    mut response: Response<Body>,
    name: header::HeaderName,
    value: &'static str,
) -> Response<Body> {
    response.headers_mut().insert(name, header::HeaderValue::from_static(value));
    response
}
