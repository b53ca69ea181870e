//! TLS towards a checked server, by rustls. keepalived's default is ours: the certificate is not checked unless asked for.

use super::{complaint, fault};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::SystemTime;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use weir_proto::health::probe::Fault;

/// How a server's TLS is met.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tls {
    /// Whose certificates are trusted, a PEM file; `None`: the server's certificate is not checked.
    pub authorities: Option<PathBuf>,
    /// The name told to the server (SNI) and looked for in its certificate; `None`: none is told, its address is looked for.
    pub name: Option<String>,
    /// The server's address.
    pub address: IpAddr,
}

/// The protocol offered (ALPN).
pub(super) type Protocol = &'static [u8];
/// None is.
pub(super) const NO_PROTOCOL: Protocol = b"";

/// Thousands of checks share a few settings; a file's are kept with its time, so that a renewed file is read again.
type Settings = HashMap<(Option<PathBuf>, Protocol), (Option<SystemTime>, Arc<ClientConfig>)>;
static SETTINGS: LazyLock<Mutex<Settings>> = LazyLock::new(Mutex::default);
/// More differing files than any configuration has.
const SETTINGS_MAX: usize = 256;

/// Makes the handshake on `stream`.
pub(super) async fn handshake(
    tls: &Tls,
    protocol: Protocol,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, Fault> {
    let file = tls.authorities.as_deref().unwrap_or(Path::new(""));
    let settings = settings(tls.authorities.as_deref(), protocol).map_err(|error| {
        if complaint::begins(file) {
            let file = file.display();
            tracing::warn!(%file, %error, "no certificates of authorities: checks with this `ca` say nothing");
        }
        Fault::Local
    })?;
    complaint::ends(file);
    let name = match &tls.name {
        Some(name) => ServerName::try_from(name.clone()).map_err(|_| Fault::Local)?,
        None => ServerName::IpAddress(tls.address.into()),
    };
    let connected = TlsConnector::from(settings).connect(name, stream).await;
    connected.map_err(|error| match fault(&error) {
        // Only the server can have cut a handshake short.
        Fault::Local => Fault::Tls,
        other => other,
    })
}

pub(super) fn settings(authorities: Option<&Path>, protocol: Protocol) -> io::Result<Arc<ClientConfig>> {
    let changed = match authorities {
        Some(file) => Some(std::fs::metadata(file)?.modified()?),
        None => None,
    };
    let key = (authorities.map(Path::to_owned), protocol);
    let mut known = SETTINGS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, settings)) = known.get(&key).filter(|(at, _)| *at == changed) {
        return Ok(Arc::clone(settings));
    }
    let settings = Arc::new(make(authorities, protocol)?);
    if known.len() >= SETTINGS_MAX {
        known.clear();
    }
    known.insert(key, (changed, Arc::clone(&settings)));
    Ok(settings)
}

fn make(authorities: Option<&Path>, protocol: Protocol) -> io::Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let mut config = match authorities {
        Some(file) => builder.with_root_certificates(roots(file)?).with_no_client_auth(),
        None => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
            .with_no_client_auth(),
    };
    // A check must meet the server as a new client does.
    config.resumption = rustls::client::Resumption::disabled();
    if !protocol.is_empty() {
        config.alpn_protocols = vec![protocol.to_vec()];
    }
    Ok(config)
}

fn roots(file: &Path) -> io::Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(file).map_err(io::Error::other)?;
    let certificates: Result<Vec<_>, _> = certificates.collect();
    // A system's bundle may hold one that rustls does not take; the others serve.
    let (added, _) = store.add_parsable_certificates(certificates.map_err(io::Error::other)?);
    if added == 0 {
        return Err(io::Error::other("the file holds no certificate"));
    }
    Ok(store)
}

/// Takes any certificate, but only from somebody who holds its key.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
