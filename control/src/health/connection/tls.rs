//! TLS towards a checked server, by rustls. keepalived's default is ours: the certificate is not checked unless asked for.

use super::{complaint, fault};
use pkcs8::{EncryptedPrivateKeyInfo, SecretDocument};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme};
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
    /// What it is made from.
    pub files: Files,
    /// The name told to the server (SNI) and looked for in its certificate; `None`: none is told, its address is looked for.
    pub name: Option<String>,
    /// The server's address.
    pub address: IpAddr,
    /// Whether a connection must end with TLS's closing alert.
    pub close_notify: bool,
}

/// The PEM files of a check's TLS.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Files {
    /// Whose certificates are trusted; `None`: the server's certificate is not checked.
    pub authorities: Option<PathBuf>,
    /// What is shown to a server that asks for a certificate; `None`: nothing.
    pub own: Option<Own>,
    /// Whether the server is told its name (SNI).
    pub tells_name: bool,
}

/// A certificate and its key.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Own {
    /// The certificate, and those between it and an authority.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The password of an encrypted key.
    pub password: Option<String>,
}

impl std::fmt::Debug for Own {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let password = self.password.as_ref().map(|_| "(hidden)");
        f.debug_struct("Own")
            .field("certificate", &self.certificate)
            .field("key", &self.key)
            .field("password", &password)
            .finish()
    }
}

impl Files {
    fn all(&self) -> impl Iterator<Item = &Path> {
        let own = self.own.iter().flat_map(|own| [&own.certificate, &own.key]);
        self.authorities.iter().chain(own).map(PathBuf::as_path)
    }

    /// When each was last changed.
    fn changed(&self) -> io::Result<Vec<SystemTime>> {
        self.all()
            .map(|file| std::fs::metadata(file)?.modified())
            .collect()
    }
}

/// The protocol offered (ALPN).
pub(super) type Protocol = &'static [u8];
/// None is.
pub(super) const NO_PROTOCOL: Protocol = b"";

/// Thousands of checks share a few settings; those of files are kept with their times, so that a renewed file is read again.
type Settings = HashMap<(Files, Protocol), (Vec<SystemTime>, Arc<ClientConfig>)>;
static SETTINGS: LazyLock<Mutex<Settings>> = LazyLock::new(Mutex::default);
/// More differing files than any configuration has.
const SETTINGS_MAX: usize = 256;

/// Makes the handshake on `stream`.
pub(super) async fn handshake(
    tls: &Tls,
    protocol: Protocol,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, Fault> {
    let file = tls.files.all().next().unwrap_or(Path::new(""));
    let settings = settings(&tls.files, protocol).map_err(|error| {
        if complaint::begins(file) {
            let file = file.display();
            tracing::warn!(%file, %error, "`ca`, `certificate` or `key` cannot be used: checks with them say nothing");
        }
        Fault::Local
    })?;
    complaint::ends(file);
    let name = server_name(tls).map_err(|_| Fault::Local)?;
    let connected = TlsConnector::from(settings).connect(name, stream).await;
    connected.map_err(|error| match fault(&error) {
        // Only the server can have cut a handshake short.
        Fault::Local => Fault::Tls,
        other => other,
    })
}

/// The same without a wire, for those who bring their own.
///
/// # Errors
/// A file cannot be used, or the name is none.
pub fn client(tls: &Tls) -> io::Result<ClientConnection> {
    let settings = settings(&tls.files, NO_PROTOCOL)?;
    ClientConnection::new(settings, server_name(tls)?).map_err(io::Error::other)
}

fn server_name(tls: &Tls) -> io::Result<ServerName<'static>> {
    match &tls.name {
        Some(name) => ServerName::try_from(name.clone()).map_err(io::Error::other),
        None => Ok(ServerName::IpAddress(tls.address.into())),
    }
}

pub(super) fn settings(files: &Files, protocol: Protocol) -> io::Result<Arc<ClientConfig>> {
    let changed = files.changed()?;
    let key = (files.clone(), protocol);
    let mut known = SETTINGS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, settings)) = known.get(&key).filter(|(at, _)| *at == changed) {
        return Ok(Arc::clone(settings));
    }
    let settings = Arc::new(make(files, protocol)?);
    if known.len() >= SETTINGS_MAX {
        known.clear();
    }
    known.insert(key, (changed, Arc::clone(&settings)));
    Ok(settings)
}

fn make(files: &Files, protocol: Protocol) -> io::Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let builder = match &files.authorities {
        Some(file) => builder.with_root_certificates(roots(file)?),
        None => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(provider))),
    };
    let mut config = match &files.own {
        Some(own) => builder
            .with_client_auth_cert(certificates(&own.certificate)?, key(own)?)
            .map_err(io::Error::other)?,
        None => builder.with_no_client_auth(),
    };
    // A check must meet the server as a new client does.
    config.enable_sni = files.tells_name;
    config.resumption = rustls::client::Resumption::disabled();
    if !protocol.is_empty() {
        config.alpn_protocols = vec![protocol.to_vec()];
    }
    Ok(config)
}

fn key(own: &Own) -> io::Result<PrivateKeyDer<'static>> {
    let Some(password) = &own.password else {
        return PrivateKeyDer::from_pem_file(&own.key).map_err(io::Error::other);
    };
    let text = std::fs::read_to_string(&own.key)?;
    if !text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") {
        return Err(io::Error::other(
            "`key` is not encrypted as PKCS #8: leave `key_password` out, or use `openssl pkcs8 -topk8 -v2 aes-256-cbc`",
        ));
    }
    let (_, encrypted) = SecretDocument::from_pem(&text)
        .map_err(|error| io::Error::other(format!("`key` is not one key in PEM: {error}")))?;
    let encrypted = EncryptedPrivateKeyInfo::try_from(encrypted.as_bytes())
        .map_err(|error| io::Error::other(format!("`key` is not PKCS #8: {error}")))?;
    let plain = encrypted.decrypt(password).map_err(|_| {
        io::Error::other("`key_password` does not open `key`, or it is encrypted in another way than AES")
    })?;
    Ok(PrivatePkcs8KeyDer::from(plain.as_bytes().to_vec()).into())
}

fn roots(file: &Path) -> io::Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    // A system's bundle may hold one that rustls does not take; the others serve.
    let (added, _) = store.add_parsable_certificates(certificates(file)?);
    if added == 0 {
        return Err(io::Error::other("the file holds no certificate"));
    }
    Ok(store)
}

fn certificates(file: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let certificates = CertificateDer::pem_file_iter(file).map_err(io::Error::other)?;
    certificates.collect::<Result<_, _>>().map_err(io::Error::other)
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

#[cfg(test)]
mod tests;
