//! [`TlsClient`]: a connection with TLS, as the client uses it.

use std::cell::{Cell, RefCell, RefMut};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use millpond::net::Stream;
use millpond::{Error, ErrorKind};
use rustls::{AlertDescription, CertificateError, ClientConnection, ProtocolVersion};

use super::config::TlsTarget;
use crate::connect::output::note;

/// A connection with TLS. Its calls wait as those of its stream: not at all, or for the timeout.
#[derive(Debug)]
pub(in crate::connect) struct TlsClient {
    stream: Stream,
    tls: RefCell<ClientConnection>,
    /// Whether the stream has ended.
    ended: Cell<bool>,
}

/// The stream as rustls reads and writes it.
struct Ciphertext<'a>(&'a Stream);

impl Read for Ciphertext<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.recv(buf)
    }
}

impl Write for Ciphertext<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.send(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TlsClient {
    /// Does the handshake over a stream that is connected, within the timeout.
    pub(in crate::connect) fn over(
        mut stream: Stream,
        endpoint: &str,
        timeout: Duration,
        target: &TlsTarget,
    ) -> Result<Self, Error> {
        let deadline = Instant::now() + timeout;
        let refused = |error: rustls::Error| explain(endpoint, &error);
        let tls = ClientConnection::new(target.config.clone(), target.name.clone());
        let mut tls = tls.map_err(refused)?;
        let failed = |error| {
            let what = format!("TLS handshake with {endpoint} failed");
            Error::new(ErrorKind::Connect, what).with_source(error)
        };
        let limit = |stream: &mut Stream| {
            let left = deadline.saturating_duration_since(Instant::now());
            // Zero would mean not to wait at all.
            stream.set_timeout(Some(left.max(Duration::from_millis(1))));
        };
        loop {
            while tls.wants_write() {
                limit(&mut stream);
                if let Err(error) = tls.write_tls(&mut Ciphertext(&stream)) {
                    let alert = alert_before(&error, &stream, &mut tls);
                    return Err(alert.map_or_else(|| failed(error), refused));
                }
            }
            if !tls.is_handshaking() {
                break;
            }
            limit(&mut stream);
            if tls.read_tls(&mut Ciphertext(&stream)).map_err(failed)? == 0 {
                let what =
                    format!("TLS handshake with {endpoint} failed: it closed the connection");
                return Err(Error::new(ErrorKind::Connect, what));
            }
            if let Err(error) = tls.process_new_packets() {
                // The alert tells the server why.
                let _ = tls.write_tls(&mut Ciphertext(&stream));
                return Err(refused(error));
            }
        }
        Ok(Self { stream, tls: RefCell::new(tls), ended: Cell::new(false) })
    }

    pub(in crate::connect) fn stream(&self) -> &Stream {
        &self.stream
    }

    pub(in crate::connect) fn set_timeout(&mut self, timeout: Duration) {
        self.stream.set_timeout(Some(timeout));
    }

    pub(super) fn session(&self) -> RefMut<'_, ClientConnection> {
        self.tls.borrow_mut()
    }

    /// Whether a receive returns at once: bytes that are decrypted already do not make the socket
    /// readable.
    pub(in crate::connect) fn has_input(&self) -> bool {
        let state = self.session().process_new_packets();
        state.is_ok_and(|state| state.plaintext_bytes_to_read() > 0 || state.peer_has_closed())
    }

    /// Whether bytes wait for room in the send buffer.
    pub(in crate::connect) fn has_output(&self) -> bool {
        self.session().wants_write()
    }

    pub(in crate::connect) fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        let mut tls = self.session();
        loop {
            match tls.reader().read(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    note(
                        "note: the connection ended without the end of TLS (close_notify); bytes \
                         may be missing",
                    );
                    return Ok(0);
                }
                result => return result,
            }
            if self.ended.get() {
                return Ok(0);
            }
            self.ended.set(tls.read_tls(&mut Ciphertext(&self.stream))? == 0);
            let processed = tls.process_new_packets();
            // Messages of TLS itself, such as an alert. What does not fit now is sent later.
            let flushed = self.flush_into(&mut tls).or_else(ignore_would_block);
            processed.map_err(invalid_data)?;
            flushed?;
        }
    }

    /// Sends some of the bytes. Those that have no room in the send buffer are kept.
    pub(in crate::connect) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut tls = self.session();
        let count = tls.writer().write(bytes)?;
        match self.flush_into(&mut tls) {
            Err(error) if count == 0 || error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(count),
        }
    }

    pub(in crate::connect) fn send_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            bytes = &bytes[self.send(bytes)?..];
        }
        self.flush()
    }

    /// Sends what is kept.
    pub(in crate::connect) fn flush(&self) -> io::Result<()> {
        self.flush_into(&mut self.session())
    }

    fn flush_into(&self, tls: &mut ClientConnection) -> io::Result<()> {
        while tls.wants_write() {
            if let Err(error) = tls.write_tls(&mut Ciphertext(&self.stream)) {
                let alert = alert_before(&error, &self.stream, tls);
                return Err(alert.map_or(error, invalid_data));
            }
        }
        Ok(())
    }

    /// Ends the sending side (close_notify). TLS 1.2 has no such thing: its end is that of both
    /// directions (RFC 5246 §7.2.1), and would cut off the response.
    pub(in crate::connect) fn shutdown_write(&self) -> io::Result<()> {
        let mut tls = self.session();
        if tls.protocol_version() == Some(ProtocolVersion::TLSv1_3) {
            tls.send_close_notify();
        }
        self.flush_into(&mut tls).or_else(ignore_would_block)
    }
}

fn ignore_would_block(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::WouldBlock { Ok(()) } else { Err(error) }
}

/// The alert that the server sent before it closed the connection, so that a send failed.
fn alert_before(
    error: &io::Error,
    stream: &Stream,
    tls: &mut ClientConnection,
) -> Option<rustls::Error> {
    // Only then a read cannot wait.
    let closed = [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset];
    while closed.contains(&error.kind())
        && let Ok(1..) = tls.read_tls(&mut Ciphertext(stream))
    {
        if let Err(alert) = tls.process_new_packets() {
            return Some(alert);
        }
    }
    None
}

fn invalid_data(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl AsFd for TlsClient {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Drop for TlsClient {
    /// Tells the server that the client is done.
    fn drop(&mut self) {
        self.stream.set_timeout(Some(Duration::ZERO));
        self.session().send_close_notify();
        let _ = self.flush();
    }
}

/// The error of a handshake, with a hint where the reason has a remedy.
fn explain(endpoint: &str, error: &rustls::Error) -> Error {
    let hint = match error {
        rustls::Error::InvalidCertificate(reason) => match reason {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                Some("--ca names the file of an authority to trust; --insecure verifies nothing")
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Some("--sni sets the name to ask for and to expect")
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => {
                Some("the certificate has to be renewed, or a clock is wrong")
            }
            // The reason has no variant of its own: a certificate that signs others serves itself.
            CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
                Some("the certificate is that of an authority: mkcert, say, makes one for a server")
            }
            _ => None,
        },
        rustls::Error::InvalidMessage(_) => Some("the server does not speak TLS there"),
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            Some("the server requires a certificate of the client")
        }
        rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            Some("the server has none of the protocols of --alpn")
        }
        _ => None,
    };
    let what = format!("TLS handshake with {endpoint} failed: {error}");
    let failure = Error::new(ErrorKind::Connect, what);
    match hint {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::sync::Arc;
    use std::thread;

    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls::pki_types::PrivatePkcs8KeyDer;
    use rustls::server::WebPkiClientVerifier;
    use rustls::{ClientConfig, RootCertStore, ServerConfig, ServerConnection};

    use super::*;

    /// Shakes hands with a client that has no certificate, and closes.
    fn refuse(mut stream: TcpStream, config: ServerConfig) {
        let mut tls = ServerConnection::new(Arc::new(config)).unwrap();
        let ended = tls.complete_io(&mut stream).unwrap_err();
        assert!(ended.to_string().contains("no certificates"), "{ended}");
    }

    #[test]
    fn a_send_that_fails_reports_the_alert_that_arrived_before() {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let roots = Arc::new(roots);
        let provider = millpond::Tls::crypto_provider();
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone());
        let server = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(
                vec![cert.der().clone()],
                PrivatePkcs8KeyDer::from(signing_key.serialize_der()).into(),
            )
            .unwrap();
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let target = TlsTarget { config: Arc::new(client), name: "localhost".try_into().unwrap() };

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let serving = thread::spawn(move || refuse(listener.accept().unwrap().0, server));
        let endpoint = format!("tcp://{addr}");
        let timeout = Duration::from_secs(10);
        let stream = Stream::connect(&endpoint.parse().unwrap(), Some(timeout)).unwrap();
        let client = TlsClient::over(stream, &endpoint, timeout, &target).unwrap();
        serving.join().unwrap();
        // The first send after the close may succeed: its packet is what is reset.
        let sent = (0..1000).find_map(|_| client.send_all(b"GET / HTTP/1.1\r\n\r\n").err());
        let error = sent.expect("a connection that is closed accepted a thousand requests");
        assert!(error.to_string().contains("CertificateRequired"), "{error}");
    }
}
