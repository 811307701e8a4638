//! Signed proofs of a client: private_key_jwt (RFC 7523 section 2.2), signed by ring.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use meshcache_protocol::groups::SigningAlgorithm as Algorithm;
use ring::{
    digest::{SHA256, digest},
    rand::{SecureRandom, SystemRandom},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
        Ed25519KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
    },
};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
use serde_json::json;
use std::fmt;

/// How long a proof is good, seconds: it is sent at once.
const LIFE: u64 = 60;

/// A client's private key.
pub(super) struct Signer {
    key: Key,
    algorithm: Algorithm,
    /// The key's digest: two signers with the same one are equal.
    digest: Vec<u8>,
}

enum Key {
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Signer {
    /// Reads a private key, PEM. `algorithm`: `None` is the usual one for the kind of key. The error says what is wrong
    /// with the file.
    pub(super) fn new(pem: &[u8], algorithm: Option<Algorithm>) -> Result<Self, String> {
        let der = PrivateKeyDer::from_pem_slice(pem).map_err(|_| "contains no private key in PEM".to_owned())?;
        let all = [Algorithm::RS256, Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA];
        let tried = algorithm.as_ref().map_or(&all[..], std::slice::from_ref);
        let key = match &der {
            PrivateKeyDer::Sec1(_) => {
                return Err("is `EC PRIVATE KEY`: write it as PKCS #8 (openssl pkcs8 -topk8 -nocrypt)".into());
            }
            der => tried.iter().find_map(|algorithm| Some((Key::new(der, *algorithm)?, *algorithm))),
        };
        let (key, algorithm) = key.ok_or_else(|| match algorithm {
            Some(algorithm) => format!("is no key for {} (RSA has at least 2048 bits)", algorithm.label()),
            None => "is no RSA key of at least 2048 bits, no key on P-256 or P-384, and no Ed25519 key".to_owned(),
        })?;
        Ok(Self { key, algorithm, digest: digest(&SHA256, pem).as_ref().to_vec() })
    }

    /// Returns a proof that this client asks the server `audience`. `now`: Unix seconds. `id`: unlike that of any other
    /// proof.
    pub(super) fn assertion(
        &self,
        client: &str,
        audience: &str,
        key_id: Option<&str>,
        now: u64,
        id: &str,
    ) -> Option<String> {
        let mut header = json!({"alg": self.algorithm.label(), "typ": "JWT"});
        if let (Some(id), Some(header)) = (key_id, header.as_object_mut()) {
            header.insert("kid".into(), id.into());
        }
        let claims = json!({
            "iss": client, "sub": client, "aud": audience, "jti": id, "iat": now, "exp": now.saturating_add(LIFE),
        });
        let encode = |part: &serde_json::Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let signature = self.key.sign(signed.as_bytes())?;
        Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl Key {
    fn new(der: &PrivateKeyDer<'_>, algorithm: Algorithm) -> Option<Self> {
        let rsa = |padding| {
            let key = match der {
                PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
                der => RsaKeyPair::from_pkcs8(der.secret_der()),
            };
            key.ok().map(|key| Self::Rsa(key, padding))
        };
        let ecdsa = |curve: &'static EcdsaSigningAlgorithm| {
            EcdsaKeyPair::from_pkcs8(curve, der.secret_der(), &SystemRandom::new()).ok().map(Self::Ecdsa)
        };
        match algorithm {
            Algorithm::RS256 => rsa(&RSA_PKCS1_SHA256),
            Algorithm::PS256 => rsa(&RSA_PSS_SHA256),
            Algorithm::ES256 => ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING),
            Algorithm::ES384 => ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING),
            // OpenSSL writes the private half alone.
            Algorithm::EdDSA => Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_der()).ok().map(Self::Ed25519),
        }
    }

    fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(key, padding) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(*padding, &random, message, &mut signature).ok()?;
                Some(signature)
            }
            Self::Ecdsa(key) => Some(key.sign(&random, message).ok()?.as_ref().to_vec()),
            Self::Ed25519(key) => Some(key.sign(message).as_ref().to_vec()),
        }
    }
}

impl PartialEq for Signer {
    fn eq(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm && self.digest == other.digest
    }
}

impl Eq for Signer {}

impl std::hash::Hash for Signer {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Returns a text that is unlike any other.
pub(super) fn unique() -> Option<String> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
    use ring::signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, UnparsedPublicKey, VerificationAlgorithm,
    };

    fn part(jwt: &str, n: usize) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(jwt.split('.').nth(n).unwrap()).unwrap()
    }

    #[test]
    fn a_proof_is_a_signed_jwt_of_one_minute() {
        let verified: [(_, _, &dyn VerificationAlgorithm); 3] = [
            (&PKCS_ECDSA_P256_SHA256, "ES256", &ECDSA_P256_SHA256_FIXED),
            (&PKCS_ECDSA_P384_SHA384, "ES384", &ECDSA_P384_SHA384_FIXED),
            (&PKCS_ED25519, "EdDSA", &ED25519),
        ];
        for (kind, label, verification) in verified {
            let pair = KeyPair::generate_for(kind).unwrap();
            let signer = Signer::new(pair.serialize_pem().as_bytes(), None).unwrap();
            let jwt = signer.assertion("me", "https://t/token", Some("k1"), 1000, "id").unwrap();
            let header: serde_json::Value = serde_json::from_slice(&part(&jwt, 0)).unwrap();
            assert_eq!(header, json!({"alg": label, "typ": "JWT", "kid": "k1"}));
            let claims: serde_json::Value = serde_json::from_slice(&part(&jwt, 1)).unwrap();
            let expected = json!({
                "iss": "me", "sub": "me", "aud": "https://t/token", "jti": "id", "iat": 1000, "exp": 1060,
            });
            assert_eq!(claims, expected);
            let (signed, _) = jwt.rsplit_once('.').unwrap();
            let key = UnparsedPublicKey::new(verification, pair.public_key_raw());
            key.verify(signed.as_bytes(), &part(&jwt, 2)).expect(label);
        }
        assert_ne!(unique(), unique());
    }

    #[test]
    fn a_file_without_a_fitting_key_is_refused_by_name() {
        let refused = |pem: &str, algorithm| Signer::new(pem.as_bytes(), algorithm).unwrap_err();
        let pem = KeyPair::generate_for(&PKCS_ED25519).unwrap().serialize_pem();
        assert_eq!(refused("", None), "contains no private key in PEM");
        assert_eq!(refused(&pem[..pem.len() / 2], None), "contains no private key in PEM", "half written");
        assert_eq!(refused(&pem, Some(Algorithm::ES256)), "is no key for ES256 (RSA has at least 2048 bits)");
        let sec1 = "-----BEGIN EC PRIVATE KEY-----\nMAA=\n-----END EC PRIVATE KEY-----\n";
        assert!(refused(sec1, None).contains("openssl pkcs8"));
        assert_eq!(format!("{:?}", Signer::new(pem.as_bytes(), None).unwrap()), "***");
    }
}
