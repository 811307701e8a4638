//! The files of certificates that the flags name, complete or refused.

use crate::settings::Identity;
use std::path::PathBuf;

/// The files of `--tls-cert`, `--tls-key` and `--tls-client-ca`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortFiles {
    /// The certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The authorities of clients.
    pub client_ca: Option<PathBuf>,
}

/// The files of `--peer-cert`, `--peer-key` and `--peer-ca`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerFiles {
    /// The certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The authorities of peers.
    pub ca: PathBuf,
}

impl PortFiles {
    /// Takes what the flags name.
    pub(super) fn from_flags(
        cert: Option<PathBuf>,
        key: Option<PathBuf>,
        client_ca: Option<PathBuf>,
        identity: Identity,
    ) -> Result<Option<Self>, String> {
        if client_ca.is_some() && identity != Identity::Tls {
            return Err("--tls-client-ca is for --identity tls".into());
        }
        match (cert, key) {
            (Some(_), Some(_)) if identity == Identity::Tls && client_ca.is_none() => {
                Err("--identity tls needs --tls-client-ca FILE".into())
            }
            (Some(cert), Some(key)) => Ok(Some(Self { cert, key, client_ca })),
            (None, None) if identity == Identity::Tls => {
                Err("--identity tls needs --tls-cert FILE, --tls-key FILE and --tls-client-ca FILE".into())
            }
            (None, None) => Ok(None),
            (Some(_), None) => Err("--tls-cert needs --tls-key FILE".into()),
            (None, Some(_)) => Err("--tls-key needs --tls-cert FILE".into()),
        }
    }
}

impl PeerFiles {
    /// Takes what the flags name: all three, or none.
    pub(super) fn from_flags(
        cert: Option<PathBuf>,
        key: Option<PathBuf>,
        ca: Option<PathBuf>,
    ) -> Result<Option<Self>, String> {
        match (cert, key, ca) {
            (Some(cert), Some(key), Some(ca)) => Ok(Some(Self { cert, key, ca })),
            (None, None, None) => Ok(None),
            (cert, key, ca) => {
                let all = [("--peer-cert", cert), ("--peer-key", key), ("--peer-ca", ca)];
                let of = |given: bool| {
                    let names = all.iter().filter(|(_, file)| file.is_some() == given).map(|(name, _)| *name);
                    names.collect::<Vec<_>>().join(" and ")
                };
                Err(format!("{} without {}: all three are needed, or none", of(true), of(false)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_need_others_name_them() {
        let file = |given: bool| given.then(|| PathBuf::from("f"));
        for (cert, key, ca, identity, expected) in [
            (false, false, false, Identity::None, Ok(false)),
            (true, true, false, Identity::Xfcc, Ok(true)),
            (true, true, true, Identity::Tls, Ok(true)),
            (true, false, false, Identity::None, Err("--tls-cert needs --tls-key FILE")),
            (false, true, false, Identity::None, Err("--tls-key needs --tls-cert FILE")),
            (true, true, true, Identity::Xfcc, Err("--tls-client-ca is for --identity tls")),
            (true, true, false, Identity::Tls, Err("--identity tls needs --tls-client-ca FILE")),
            (
                false,
                false,
                false,
                Identity::Tls,
                Err("--identity tls needs --tls-cert FILE, --tls-key FILE and --tls-client-ca FILE"),
            ),
        ] {
            let read = PortFiles::from_flags(file(cert), file(key), file(ca), identity).map(|files| files.is_some());
            assert_eq!(read, expected.map_err(str::to_owned));
        }
        for (given, expected) in [
            ([false; 3], Ok(false)),
            ([true; 3], Ok(true)),
            ([true, false, false], Err("--peer-cert without --peer-key and --peer-ca: all three are needed, or none")),
            ([true, false, true], Err("--peer-cert and --peer-ca without --peer-key: all three are needed, or none")),
        ] {
            let [cert, key, ca] = given.map(file);
            let read = PeerFiles::from_flags(cert, key, ca).map(|files| files.is_some());
            assert_eq!(read, expected.map_err(str::to_owned));
        }
    }
}
