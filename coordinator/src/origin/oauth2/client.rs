//! A client of a token server: all that decides which token it gets, and the request for it.

use crate::{
    http::body::Body,
    origin::{
        oauth2::{assertion::Signer, form},
        trust::Trust,
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{
    HeaderValue, Method, Request, Uri,
    header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, USER_AGENT},
};
use std::{fmt, sync::Arc, time::Duration};

/// A client. Equal ones share a token: what decides about it is here, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Client {
    pub(super) url: Uri,
    pub(super) id: String,
    pub(super) authentication: Authentication,
    /// `scope`, `audience`, `resource` and further fields, in this order.
    pub(super) fields: Vec<(String, String)>,
    /// The files of TLS, which connections follow; `None`: no TLS.
    pub(super) trust: Option<Trust>,
    /// The name in the server's certificate. `None`: the URL's.
    pub(super) server_name: Option<String>,
    /// A token's life, where the server does not say.
    pub(super) lifetime: Duration,
    /// The longest time until a token is there.
    pub(super) timeout: Duration,
}

/// How the client proves itself (OpenID Connect Core section 9, RFC 8705).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Authentication {
    /// client_secret_basic.
    Basic(Secret),
    /// client_secret_post.
    Post(Secret),
    /// private_key_jwt.
    Jwt { signer: Arc<Signer>, key_id: Option<String>, audience: String },
    /// tls_client_auth: by the certificate of the connection.
    Tls,
}

/// A secret. It is shown nowhere.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Secret(pub(super) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A request for a token.
pub(super) struct TokenRequest {
    pub(super) request: Request<Body>,
    /// The texts in it that no error may repeat.
    pub(super) secrets: Vec<String>,
}

impl Client {
    /// Returns the request for a token. `now`: Unix seconds. `id`: unlike that of any other request. `None`: it cannot
    /// be signed or sent.
    pub(super) fn request(&self, now: u64, id: &str) -> Option<TokenRequest> {
        let mut fields = vec![("grant_type", "client_credentials")];
        let (mut basic, mut proof) = (None, String::new());
        let mut secrets = Vec::new();
        match &self.authentication {
            Authentication::Basic(Secret(secret)) => {
                let pair = STANDARD.encode(format!("{}:{}", form::encode(&self.id), form::encode(secret)));
                let mut value = HeaderValue::from_str(&format!("Basic {pair}")).ok()?;
                value.set_sensitive(true);
                basic = Some(value);
                secrets.extend([secret.clone(), form::encode(secret), pair]);
            }
            Authentication::Post(Secret(secret)) => {
                fields.extend([("client_id", self.id.as_str()), ("client_secret", secret)]);
                secrets.extend([secret.clone(), form::encode(secret)]);
            }
            Authentication::Jwt { signer, key_id, audience } => {
                proof = signer.assertion(&self.id, audience, key_id.as_deref(), now, id)?;
                fields.extend([
                    ("client_id", self.id.as_str()),
                    ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                    ("client_assertion", &proof),
                ]);
            }
            Authentication::Tls => fields.push(("client_id", &self.id)),
        }
        fields.extend(self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let body = form::form(fields);
        if !proof.is_empty() {
            secrets.push(proof);
        }
        let mut request = Request::new(Body::empty());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("meshcache/", env!("CARGO_PKG_VERSION"))));
        headers.extend(basic.map(|basic| (AUTHORIZATION, basic)));
        *request.body_mut() = body.into();
        Some(TokenRequest { request, secrets })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(authentication: Authentication) -> Client {
        let fields = [("scope", "a b"), ("resource", "https://api/"), ("resource", "https://b/"), ("x", "1&2")];
        Client {
            url: Uri::from_static("http://t/token"),
            id: "me:too".into(),
            authentication,
            fields: fields.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            trust: None,
            server_name: None,
            lifetime: Duration::ZERO,
            timeout: Duration::ZERO,
        }
    }

    /// Returns Authorization and the body.
    fn sent(client: &Client) -> (Option<String>, String) {
        let TokenRequest { request, .. } = client.request(0, "id").unwrap();
        assert_eq!((request.method(), request.headers()[ACCEPT].as_bytes()), (&Method::POST, &b"application/json"[..]));
        let authorization = request.headers().get(AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
        let Body::Full(body) = request.into_body() else { panic!("it streams") };
        (authorization, String::from_utf8(body.to_vec()).unwrap())
    }

    #[test]
    fn a_client_proves_itself_as_its_method_has_it() {
        let fields = "scope=a+b&resource=https%3A%2F%2Fapi%2F&resource=https%3A%2F%2Fb%2F&x=1%262";
        let secret = || Secret("p w:%".into());
        let (basic, body) = sent(&client(Authentication::Basic(secret())));
        assert_eq!(basic, Some(format!("Basic {}", STANDARD.encode("me%3Atoo:p+w%3A%25"))));
        assert_eq!(body, format!("grant_type=client_credentials&{fields}"));
        let post = sent(&client(Authentication::Post(secret())));
        let expected = format!("grant_type=client_credentials&client_id=me%3Atoo&client_secret=p+w%3A%25&{fields}");
        assert_eq!(post, (None, expected));
        let tls = sent(&client(Authentication::Tls));
        assert_eq!(tls, (None, format!("grant_type=client_credentials&client_id=me%3Atoo&{fields}")));
        let pem = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let signer = Arc::new(Signer::new(pem.as_bytes(), None).unwrap());
        let jwt = Authentication::Jwt { signer, key_id: None, audience: "https://t".into() };
        let (none, body) = sent(&client(jwt));
        let kind = "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
        let begin = format!("grant_type=client_credentials&client_id=me%3Atoo&{kind}&client_assertion=ey");
        assert!(none.is_none() && body.starts_with(&begin) && body.ends_with(fields), "{body}");
    }

    #[test]
    fn clients_that_differ_in_anything_share_no_token() {
        let one = client(Authentication::Basic(Secret("a".into())));
        let others = [
            Client { url: Uri::from_static("http://t/other"), ..one.clone() },
            Client { id: "you".into(), ..one.clone() },
            Client { authentication: Authentication::Basic(Secret("b".into())), ..one.clone() },
            Client { authentication: Authentication::Post(Secret("a".into())), ..one.clone() },
            Client { fields: Vec::new(), ..one.clone() },
        ];
        assert!(others.iter().all(|other| *other != one) && one == one.clone());
        assert!(!format!("{one:?}").contains("\"a\""));
    }
}
