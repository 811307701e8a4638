//! Workloads with identities, as in a mesh: an authority, certificates with a SPIFFE name, mTLS for Envoys and
//! for a client.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring::default_provider,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName},
    },
};

use crate::{Answer, Ask, Connection};

/// The authority that all workloads trust.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A workload's name, certificate and key.
#[derive(Clone)]
pub struct Identity {
    /// Such as `spiffe://cluster.local/ns/shop/sa/web`.
    pub name: String,
    certificate: String,
    chain: CertificateDer<'static>,
    key: String,
    der: Vec<u8>,
    authority: String,
    root: CertificateDer<'static>,
}

impl Default for Authority {
    fn default() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "mesh of the tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }
}

impl Authority {
    /// The service account `account` of a namespace.
    pub fn of(&self, namespace: &str, account: &str) -> Identity {
        let name = format!("spiffe://cluster.local/ns/{namespace}/sa/{account}");
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, account);
        params.subject_alt_names.insert(0, SanType::URI(name.as_str().try_into().unwrap()));
        let signed = params.signed_by(&key, &self.0).unwrap();
        Identity {
            name,
            certificate: signed.pem(),
            chain: signed.der().clone(),
            key: key.serialize_pem(),
            der: key.serialize_der(),
            authority: self.0.pem(),
            root: self.0.der().clone(),
        }
    }
}

impl Identity {
    /// `transport_socket` of a listener that requires a client certificate.
    pub fn downstream(&self) -> Value {
        let context = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
        self.socket(
            context,
            json!({"require_client_certificate": true, "common_tls_context": self.common(&["h2", "http/1.1"])}),
        )
    }

    /// `transport_socket` of a cluster that presents a certificate. `protocol`: `h2` or `http/1.1`, as the cluster has
    /// it.
    pub fn upstream(&self, protocol: &str) -> Value {
        let context = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
        self.socket(context, json!({"sni": "localhost", "common_tls_context": self.common(&[protocol])}))
    }

    fn socket(&self, context: &str, mut config: Value) -> Value {
        config["@type"] = format!("type.googleapis.com/{context}").into();
        json!({"name": "envoy.transport_sockets.tls", "typed_config": config})
    }

    fn common(&self, protocols: &[&str]) -> Value {
        json!({
            "alpn_protocols": protocols,
            "tls_certificates": [{"certificate_chain": {"inline_string": self.certificate}, "private_key": {"inline_string": self.key}}],
            "validation_context": {"trusted_ca": {"inline_string": self.authority}},
        })
    }

    /// Sends a request as this workload.
    pub async fn send(&self, ask: &Ask, to: SocketAddr) -> Result<Answer> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone())?;
        let config =
            ClientConfig::builder_with_provider(Arc::new(default_provider())).with_safe_default_protocol_versions()?;
        let key = PrivateKeyDer::try_from(self.der.clone()).map_err(anyhow::Error::msg)?;
        let config = config.with_root_certificates(roots).with_client_auth_cert(vec![self.chain.clone()], key)?;
        let stream = TcpStream::connect(to).await?;
        let stream = TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost")?, stream).await?;
        Connection::over(stream, to).await?.send(ask).await
    }
}
