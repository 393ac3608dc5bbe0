//! TLS 1.2 and 1.3 by rustls, as PS3.15's BCP 195 profiles ask; with the other side's certificate checked where wanted.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::{Error, ErrorKind, Result};

/// How to speak TLS to another node.
#[derive(Clone, Debug)]
pub struct Client(pub(super) Arc<ClientConfig>);

impl PartialEq for Client {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Client {}

/// Of the listening side, from PEM files: our certificate with what vouches for it, its key, and who vouches for callers.
///
/// # Errors
/// `Usage` naming the file.
pub fn server(cert: &Path, key: &Path, callers: Option<&Path>) -> Result<Arc<ServerConfig>> {
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|e| internal(&e))?;
    let builder = match callers {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(roots(path)?.into(), provider()).build();
            builder.with_client_cert_verifier(verifier.map_err(|e| wrong(path, e))?)
        }
    };
    let (certificates, private) = identity(cert, key)?;
    Ok(Arc::new(builder.with_single_cert(certificates, private).map_err(|e| wrong(cert, e))?))
}

/// Of the asking side, from PEM files: who vouches for the node that is asked, and our certificate with its key, where
/// that node wants one.
///
/// # Errors
/// `Usage` naming the file.
pub fn client(trust: &Path, own: Option<(&Path, &Path)>) -> Result<Client> {
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|e| internal(&e))?.with_root_certificates(roots(trust)?);
    let config = match own {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let (certificates, private) = identity(cert, key)?;
            builder.with_client_auth_cert(certificates, private).map_err(|e| wrong(cert, e))?
        }
    };
    Ok(Client(Arc::new(config)))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn identity(cert: &Path, key: &Path) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let private = PrivateKeyDer::from_pem_file(key).map_err(|e| wrong(key, e))?;
    Ok((certificates(cert)?, private))
}

fn roots(path: &Path) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|e| wrong(path, e))?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>);
    match found {
        Ok(found) if found.is_empty() => Err(wrong(path, "holds no certificate")),
        found => found.map_err(|e| wrong(path, e)),
    }
}

fn wrong(path: &Path, why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Usage, format!("{}: {why}", path.display()))
        .hint("PEM files: certificate chain, private key, certificates that vouch for others")
}

fn internal(error: &rustls::Error) -> Error {
    Error::new(ErrorKind::Internal, format!("TLS: {error}"))
}
