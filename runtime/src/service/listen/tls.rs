//! TLS 1.2 and 1.3 by rustls, as PS3.15's BCP 195 profiles ask; with callers' certificates where wanted.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::{Error, ErrorKind, Result};

/// From PEM files: our certificate with what vouches for it, its key, and who vouches for callers.
///
/// # Errors
/// `Usage` naming the file.
pub fn config(cert: &Path, key: &Path, callers: Option<&Path>) -> Result<Arc<ServerConfig>> {
    let wrong = |path: &Path, why: String| {
        Error::new(ErrorKind::Usage, format!("{}: {why}", path.display()))
            .hint("PEM files: certificate chain, private key")
    };
    let certificates = |path: &Path| -> Result<Vec<CertificateDer<'static>>> {
        let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>);
        match found {
            Ok(found) if found.is_empty() => Err(wrong(path, "holds no certificate".into())),
            found => found.map_err(|e| wrong(path, e.to_string())),
        }
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::new(ErrorKind::Internal, format!("TLS: {e}")))?;
    let builder = match callers {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|e| wrong(path, e.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|e| wrong(path, e.to_string()))?)
        }
    };
    let key_der = PrivateKeyDer::from_pem_file(key).map_err(|e| wrong(key, e.to_string()))?;
    let config = builder.with_single_cert(certificates(cert)?, key_der).map_err(|e| wrong(cert, e.to_string()))?;
    Ok(Arc::new(config))
}
