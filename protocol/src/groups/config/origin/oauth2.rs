//! Tokens for an origin by OAuth 2.0 client credentials (RFC 6749 section 4.4).
//!
//! Long: each field has its place, its words for the reference, and its rule beside the others.

use super::OriginTls;
use crate::groups::{
    InvalidValue,
    patterns::{checked, is_authority},
    units::Span,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// A token server, and who asks it. Secrets are in files, which are read again on change.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[cfg_attr(not(target_family = "wasm"), serde(deny_unknown_fields))]
pub struct OAuth2 {
    /// The URL of the token endpoint.
    ///
    /// Example: `https://login.example/token`. Change it when tokens come from a server.
    pub token_url: TokenUrl,
    /// The client's id.
    ///
    /// Example: `meshcache`. Change it when the token server knows the client by it.
    pub client_id: String,
    /// How the client proves itself.
    ///
    /// Example: `private_key_jwt`. Change it when the token server wants another proof than the secret in
    /// Authorization.
    #[serde(default, skip_serializing_if = "is_default")]
    #[cfg_attr(feature = "schema", schemars(extend("default" = "client_secret_basic")))]
    pub method: ClientAuthMethod,
    /// The file of the secret, for `client_secret_basic` and `client_secret_post`. One newline at its end is not part of
    /// it.
    ///
    /// Example: `/etc/meshcache/oauth/secret`. Change it when the client proves itself by a secret.
    #[serde(default, skip_serializing_if = "is_default")]
    pub client_secret_file: Option<String>,
    /// The file of the private key, PEM, for `private_key_jwt`.
    ///
    /// Example: `/etc/meshcache/oauth/key.pem`. Change it when the client proves itself by a key.
    #[serde(default, skip_serializing_if = "is_default")]
    pub key_file: Option<String>,
    /// The key's id at the token server.
    ///
    /// Example: `2026-11`. Change it when the server has several keys of the client.
    #[serde(default, skip_serializing_if = "is_default")]
    pub key_id: Option<String>,
    /// How the key signs. Default: RS256 for an RSA key, else the only one for its curve.
    ///
    /// Example: `PS256`. Change it when the server does not take RS256.
    #[serde(default, skip_serializing_if = "is_default")]
    pub algorithm: Option<SigningAlgorithm>,
    /// For whom the signed proof is. Default: the token endpoint; some servers want their issuer's URL.
    ///
    /// Example: `https://login.example`. Change it when the server wants its issuer's URL in the proof.
    #[serde(default, skip_serializing_if = "is_default")]
    pub assertion_audience: Option<String>,
    /// The scopes that are asked for.
    ///
    /// Example: `[prices.read]`. Change it when the token is to open less than all.
    #[serde(default, skip_serializing_if = "is_default")]
    #[cfg_attr(feature = "schema", schemars(extend("default" = [])))]
    pub scopes: Vec<String>,
    /// For whom the token is, where the server reads `audience`.
    ///
    /// Example: `https://prices.example`. Change it when the server reads `audience`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub audience: Option<String>,
    /// For which resources the token is (RFC 8707).
    ///
    /// Example: `["https://prices.example"]`. Change it when the server reads `resource`.
    #[serde(default, skip_serializing_if = "is_default")]
    #[cfg_attr(feature = "schema", schemars(extend("default" = [])))]
    pub resource: Vec<String>,
    /// Further fields of the request. None of them is a secret.
    ///
    /// Example: `{tenant: shop}`. Change it when the server wants a field of its own.
    #[serde(default, skip_serializing_if = "is_default")]
    #[cfg_attr(feature = "schema", schemars(extend("default" = {})))]
    pub extra: BTreeMap<String, String>,
    /// How long a token is good, where the server does not say.
    ///
    /// Example: `1h`. Change it when the server does not say how long its tokens are good.
    #[serde(default = "lifetime", skip_serializing_if = "is_lifetime")]
    #[cfg_attr(feature = "schema", schemars(extend("default" = "5m")))]
    pub lifetime: Span,
    /// How long a token may take. Loads that need it wait for it, within their own timeout.
    ///
    /// Example: `10s`. Change it when the server is slow.
    #[serde(default = "timeout", skip_serializing_if = "is_timeout")]
    #[cfg_attr(feature = "schema", schemars(extend("default" = "5s")))]
    pub timeout: Span,
    /// TLS to the token server. Its `cert` is the client's proof for `tls_client_auth`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tls: OriginTls,
}

/// How a client proves itself to a token server: the words of `token_endpoint_auth_method` (RFC 7591, RFC 8705).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ClientAuthMethod {
    /// By its secret in Authorization.
    #[default]
    ClientSecretBasic,
    /// By its secret in the body.
    ClientSecretPost,
    /// By a signed proof (RFC 7523).
    PrivateKeyJwt,
    /// By the certificate of its connection (RFC 8705), one of an authority or one of its own.
    TlsClientAuth,
}

/// How a proof is signed (RFC 7518 section 3.1, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum SigningAlgorithm {
    /// RSA, PKCS #1.
    RS256,
    /// RSA, PSS.
    PS256,
    /// ECDSA, P-256.
    ES256,
    /// ECDSA, P-384.
    ES384,
    /// Ed25519.
    EdDSA,
}

impl SigningAlgorithm {
    /// Returns its name.
    pub const fn label(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::PS256 => "PS256",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::EdDSA => "EdDSA",
        }
    }
}

/// The URL of a token endpoint: `https://host:port/path?query`, without user and fragment.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenUrl(String);

impl TokenUrl {
    /// Returns the URL as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the connection is encrypted.
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https://")
    }
}

impl std::str::FromStr for TokenUrl {
    type Err = InvalidValue;
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let wrong = || {
            InvalidValue::of_url(
                text,
                "the URL of a token endpoint (https://host:port/path, without user and fragment)",
            )
        };
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).ok_or_else(wrong)?;
        let authority = rest.split(['/', '?']).next().unwrap_or(rest);
        let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_visible || rest.contains('#') || !is_authority(authority) {
            return Err(wrong());
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for TokenUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

checked!(TokenUrl);

/// The fields of a token request that have a place of their own.
const OWN_FIELDS: [&str; 8] = [
    "grant_type",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "scope",
    "audience",
    "resource",
];

/// A field's name from the group on.
macro_rules! field {
    ($name:literal) => {
        concat!("origin.auth.oauth2.", $name)
    };
}

impl OAuth2 {
    /// Returns a field whose value cannot stand beside the others, and why.
    pub(crate) fn contradiction(&self) -> Option<(&'static str, &'static str)> {
        use ClientAuthMethod::{ClientSecretBasic, ClientSecretPost, PrivateKeyJwt, TlsClientAuth};
        let by_secret = matches!(self.method, ClientSecretBasic | ClientSecretPost);
        let by_key = self.method == PrivateKeyJwt;
        let (has_secret, has_key) = (self.client_secret_file.is_some(), self.key_file.is_some());
        let is_scope = |scope: &String| {
            !scope.is_empty() && scope.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\'))
        };
        let is_resource = |uri: &String| uri.contains(':') && !uri.contains(['#', ' ']);
        let is_tls = !self.tls.is_default();
        let only_key = "is for `method: private_key_jwt`: leave it out, or write that";
        [
            (self.client_id.is_empty(), field!("clientId"), "is empty: write the id that the token server knows"),
            (
                !by_secret && has_secret,
                field!("clientSecretFile"),
                "is for `method: client_secret_basic` or `client_secret_post`: leave it out",
            ),
            (!by_key && has_key, field!("keyFile"), only_key),
            (!by_key && self.key_id.is_some(), field!("keyId"), only_key),
            (!by_key && self.algorithm.is_some(), field!("algorithm"), only_key),
            (!by_key && self.assertion_audience.is_some(), field!("assertionAudience"), only_key),
            (
                by_secret && !has_secret,
                field!("clientSecretFile"),
                "is missing: this method proves the client by its secret",
            ),
            (by_key && !has_key, field!("keyFile"), "is missing: `private_key_jwt` signs with it"),
            (
                self.method == TlsClientAuth && self.tls.cert.is_none(),
                field!("tls.cert"),
                "is missing: `tls_client_auth` proves the client by it",
            ),
            (is_tls && !self.token_url.is_https(), field!("tls"), "is for a tokenUrl of https"),
            (
                self.tls.cert.is_some() && self.tls.key.is_none(),
                field!("tls.key"),
                "is missing: `tls.cert` needs its key",
            ),
            (
                self.tls.key.is_some() && self.tls.cert.is_none(),
                field!("tls.cert"),
                "is missing: `tls.key` needs its certificate",
            ),
            (
                !self.scopes.iter().all(is_scope),
                field!("scopes"),
                "has a scope with a space, a quote or nothing in it: write a list of words",
            ),
            (
                !self.resource.iter().all(is_resource),
                field!("resource"),
                "is a list of absolute URIs without a fragment (RFC 8707)",
            ),
            (
                OWN_FIELDS.iter().any(|name| self.extra.contains_key(*name)),
                field!("extra"),
                "has a name that is a field here (scopes, audience, resource) or the protocol's own",
            ),
            (self.extra.contains_key(""), field!("extra"), "has a field without a name"),
            (self.lifetime.is_zero(), field!("lifetime"), "0s is no life: a token would be fetched each second"),
            (self.timeout.is_zero(), field!("timeout"), "0s is too short for any token"),
        ]
        .into_iter()
        .find_map(|(is_wrong, field, what)| is_wrong.then_some((field, what)))
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn lifetime() -> Span {
    Span::secs(300)
}

fn is_lifetime(span: &Span) -> bool {
    *span == lifetime()
}

fn timeout() -> Span {
    Span::secs(5)
}

fn is_timeout(span: &Span) -> bool {
    *span == timeout()
}

// A filter reads none of these fields.
#[cfg(not(target_family = "wasm"))]
#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(more: Value) -> Result<OAuth2, String> {
        let mut all = json!({"tokenUrl": "https://t/token", "clientId": "me"});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(all).map_err(|error| error.to_string())
    }

    #[test]
    fn each_method_has_its_own_proof_and_no_other() {
        let (secret, key) = (json!({"clientSecretFile": "/s"}), json!({"method": "private_key_jwt", "keyFile": "/k"}));
        let tls = json!({"method": "tls_client_auth", "tls": {"cert": "/c", "key": "/k"}});
        for (base, more, field) in [
            (&secret, json!({}), None),
            (&secret, json!({"method": "client_secret_post", "scopes": ["a:b"], "resource": ["urn:x"]}), None),
            (&key, json!({"keyId": "1", "algorithm": "PS256", "assertionAudience": "https://t"}), None),
            (&tls, json!({}), None),
            (&secret, json!({"clientId": ""}), Some("clientId")),
            (&json!({}), json!({}), Some("clientSecretFile")),
            (&secret, json!({"keyFile": "/k"}), Some("keyFile")),
            (&json!({}), json!({"keyFile": "/k"}), Some("keyFile")),
            (&secret, json!({"keyId": "1"}), Some("keyId")),
            (&secret, json!({"algorithm": "ES256"}), Some("algorithm")),
            (&secret, json!({"assertionAudience": "x"}), Some("assertionAudience")),
            (&key, json!({"clientSecretFile": "/s"}), Some("clientSecretFile")),
            (&json!({"method": "private_key_jwt"}), json!({}), Some("keyFile")),
            (&json!({"method": "tls_client_auth"}), json!({}), Some("tls.cert")),
            (&tls, json!({"keyFile": "/k"}), Some("keyFile")),
            (&secret, json!({"tls": {"cert": "/c"}}), Some("tls.key")),
            (&secret, json!({"tls": {"key": "/c"}}), Some("tls.cert")),
            (&secret, json!({"tokenUrl": "http://t", "tls": {"ca": "/c"}}), Some("tls")),
            (&secret, json!({"scopes": ["a b"]}), Some("scopes")),
            (&secret, json!({"resource": ["/path"]}), Some("resource")),
            (&secret, json!({"resource": ["https://a#b"]}), Some("resource")),
            (&secret, json!({"extra": {"scope": "x"}}), Some("extra")),
            (&secret, json!({"lifetime": "0s"}), Some("lifetime")),
            (&secret, json!({"timeout": "0s"}), Some("timeout")),
        ] {
            let mut all = base.clone();
            all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let found = read(all.clone()).unwrap().contradiction().map(|(field, _)| field);
            assert_eq!(found, field.map(|name| format!("origin.auth.oauth2.{name}")).as_deref(), "{all}");
        }
    }

    #[test]
    fn a_mistake_names_itself() {
        let what = "the URL of a token endpoint (https://host:port/path, without user and fragment)";
        for url in ["t/token", "ftp://t", "https://", "https://t:99999/", "https://t:/", "https://t/#x", "https://t/ x"]
        {
            assert_eq!(read(json!({"tokenUrl": url})), Err(format!("`{url}` is not {what}")));
        }
        assert_eq!(read(json!({"tokenUrl": "https://me:pw@t/"})), Err(format!("`https://***@t/` is not {what}")));
        assert!(read(json!({"clientSecret": "x"})).unwrap_err().starts_with("unknown field `clientSecret`"));
        assert!(read(json!({"method": "none"})).unwrap_err().starts_with("unknown variant `none`, expected one of"));
        assert!(read(json!({"algorithm": "HS256"})).unwrap_err().starts_with("unknown variant `HS256`"));
    }

    #[test]
    fn what_is_not_written_is_not_told() {
        let written = serde_json::to_value(read(json!({"clientSecretFile": "/s"})).unwrap()).unwrap();
        assert_eq!(written, json!({"tokenUrl": "https://t/token", "clientId": "me", "clientSecretFile": "/s"}));
    }
}
