//! A server with TLS, and clients of it. Each run of the tests makes a
//! certificate.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use millpond::http::Handler;
use millpond::{Bind, Config, Server, Service, Tls, TlsSettings};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::TLS12;
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;

use super::{Start, TestServer, connect};

/// The certificate of the tests, for `localhost`, and where its files are.
pub(crate) struct TestCertificate {
    dir: TempDir,
    der: CertificateDer<'static>,
}

static CERTIFICATE: LazyLock<TestCertificate> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(dir.path().join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(dir.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    TestCertificate { dir, der: made.cert.der().clone() }
});

impl TestCertificate {
    /// The file of the chain.
    pub(crate) fn chain(&self) -> PathBuf {
        self.dir.path().join("cert.pem")
    }

    /// The file of the key.
    pub(crate) fn key(&self) -> PathBuf {
        self.dir.path().join("key.pem")
    }
}

/// The certificate of the tests.
pub(crate) fn certificate() -> &'static TestCertificate {
    &CERTIFICATE
}

/// The settings of the certificate.
pub(crate) fn tls_settings() -> TlsSettings {
    TlsSettings::with_certificate(certificate().chain(), certificate().key())
}

/// Starts a server of HTTP over TLS on a free port.
pub(crate) fn start_https_with(config: Config, handler: impl Handler) -> TestServer {
    start_tls_with(config, Service::http(handler), &tls_settings())
}

/// Starts a service over TLS on a free port.
pub(crate) fn start_tls_with(
    config: Config,
    service: Service,
    settings: &TlsSettings,
) -> TestServer {
    let bind = Bind::to("tls://127.0.0.1:0").tls(&Tls::new(settings).unwrap());
    Server::builder().config(config).bind(bind).service(service).build().unwrap().start().unwrap()
}

/// The settings of a client that trusts the certificate of the tests.
pub(crate) fn client_config(versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
    Arc::new(client_config_with(&certificate().der, versions))
}

/// The settings of a client that trusts this certificate, or this authority.
pub(crate) fn client_config_with(
    root: &CertificateDer<'static>,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// A client's side of TLS that has not begun.
pub(crate) fn client_side(versions: &[&'static SupportedProtocolVersion]) -> ClientConnection {
    let name = ServerName::try_from("localhost").unwrap();
    ClientConnection::new(client_config(versions), name).unwrap()
}

/// The ciphertext that a client has to send.
pub(crate) fn ciphertext(tls: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut bytes).unwrap();
    }
    bytes
}

/// A client with TLS, whose reads and writes block.
pub(crate) struct TlsClient {
    pub(crate) tls: ClientConnection,
    pub(crate) socket: TcpStream,
}

impl TlsClient {
    /// Connects, with the newest version of TLS.
    pub(crate) fn connect(addr: SocketAddr) -> Self {
        Self::over(connect(addr))
    }

    /// Does the handshake over a connection.
    pub(crate) fn over(socket: TcpStream) -> Self {
        Self::with(socket, client_side(rustls::ALL_VERSIONS))
    }

    /// Connects, with TLS 1.2.
    pub(crate) fn connect_tls12(addr: SocketAddr) -> Self {
        Self::with(connect(addr), client_side(&[&TLS12]))
    }

    /// Shakes hands over a connection, with these settings of TLS.
    pub(crate) fn with(mut socket: TcpStream, mut tls: ClientConnection) -> Self {
        while tls.is_handshaking() {
            tls.complete_io(&mut socket).unwrap();
        }
        Self { tls, socket }
    }

    /// Announces the end of the sending side, and ends it.
    pub(crate) fn end(&mut self) {
        self.tls.send_close_notify();
        let _ = self.tls.complete_io(&mut self.socket);
        let _ = self.socket.shutdown(Shutdown::Write);
    }
}

impl Read for TlsClient {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.tls.reader().read(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
            self.tls.read_tls(&mut self.socket)?;
            self.tls
                .process_new_packets()
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
    }
}

impl Write for TlsClient {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let count = self.tls.writer().write(buf)?;
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.socket)?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
