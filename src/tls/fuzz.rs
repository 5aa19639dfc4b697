//! The fuzz target `tls`: what a client sends is changed on its way to a [`Session`].

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::session::{Handshake, Session};
use super::{Tls, TlsSettings, load, provider};
use crate::net::Stream;

/// A certificate, and clients that trust it.
#[derive(Debug)]
pub struct FuzzedTls {
    tls: Tls,
    /// Of TLS 1.3 and of TLS 1.2.
    clients: [Arc<ClientConfig>; 2],
}

impl FuzzedTls {
    /// Loads a certificate for `localhost`, which signed itself, and its key.
    ///
    /// # Panics
    /// If they are not valid.
    #[must_use]
    pub fn new(chain: &Path, key: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        for root in load::certificates(chain, "the certificate").expect("it is valid") {
            roots.add(root).expect("it is valid");
        }
        let client = |version| {
            let client = ClientConfig::builder_with_provider(provider::provider())
                .with_protocol_versions(&[version])
                .expect("the provider has both")
                .with_root_certificates(roots.clone())
                .with_no_client_auth();
            Arc::new(client)
        };
        let settings = TlsSettings::with_certificate(chain, key);
        let tls = Tls::new(&settings).expect("it is valid");
        Self { tls, clients: [client(&TLS13), client(&TLS12)] }
    }

    /// Feeds a session with the rest of `input` as it is, or with what a client sends: a handshake
    /// and some plaintext. The first byte says which, the second one is the length of the pieces.
    /// In the latter case, three bytes each say which byte of the client's stream is changed.
    ///
    /// # Panics
    /// If the session delivers something that the client has not sent, or does not deliver all of
    /// an unchanged stream, or has input that it neither reads nor reports.
    pub fn run(&self, input: &[u8]) {
        let [flags, piece_len, rest @ ..] = input else { return };
        let mut link = FuzzedLink::new(&self.tls, usize::from(*piece_len).max(1));
        if flags & 1 == 1 {
            return link.send(rest);
        }
        let name = ServerName::try_from("localhost").expect("it is valid");
        let config = Arc::clone(&self.clients[usize::from(flags >> 1 & 1)]);
        let client = ClientConnection::new(config, name).expect("it is valid");
        let (edits, _) = rest.as_chunks::<3>();
        link.talk(client, flags >> 2, edits);
    }
}

/// A session, and the other end of its socket.
struct FuzzedLink {
    session: Session,
    peer: UnixStream,
    piece_len: usize,
    /// Plaintext that the session has delivered.
    delivered: Vec<u8>,
    has_ended: bool,
}

impl FuzzedLink {
    fn new(tls: &Tls, piece_len: usize) -> Self {
        let (own, peer) = UnixStream::pair().expect("there are descriptors");
        peer.set_nonblocking(true).expect("it is possible");
        let session = Session::new(Stream::from(OwnedFd::from(own)), tls.clone());
        Self { session, peer, piece_len, delivered: Vec::new(), has_ended: false }
    }

    /// A client with its plaintext. The lowest bits of `flags`: it announces its end, changes its
    /// keys, and sends much.
    fn talk(&mut self, mut client: ClientConnection, flags: u8, edits: &[[u8; 3]]) {
        let text = b"GET /\r\n".repeat(if flags & 4 == 4 { 5000 } else { 1 });
        let (mut sent, mut has_written) = (0, false);
        // The longest handshake takes three turns of the client.
        for _ in 0..6 {
            let mut bytes = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut bytes).expect("a vector takes all");
            }
            let begin = sent;
            sent += bytes.len();
            self.send(&changed(&bytes, begin, edits));
            let mut received = Vec::new();
            let _ = self.peer.read_to_end(&mut received);
            let mut received = &received[..];
            while !received.is_empty() && client.read_tls(&mut received).is_ok() {
                if client.process_new_packets().is_err() {
                    break;
                }
            }
            if !client.is_handshaking() && !has_written {
                has_written = true;
                let half = text.len() / 2;
                let _ = client.writer().write(&text[..half]);
                if flags & 2 == 2 {
                    let _ = client.refresh_traffic_keys();
                }
                let _ = client.writer().write(&text[half..]);
                if flags & 1 == 1 {
                    client.send_close_notify();
                }
            }
        }
        assert!(text.starts_with(&self.delivered), "{} bytes", self.delivered.len());
        if edits.is_empty() {
            assert_eq!((self.delivered.len(), self.has_ended), (text.len(), flags & 1 == 1));
        }
        self.session.end();
    }

    fn send(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(self.piece_len) {
            if self.has_ended {
                return;
            }
            self.peer.write_all(piece).expect("the session reads all of it");
            self.step();
        }
    }

    /// Has the session read what has arrived.
    fn step(&mut self) {
        if self.session.is_handshaking() {
            match self.session.handshake_step() {
                Handshake::Pending => return,
                Handshake::Done => {}
                Handshake::Cleartext(bytes) => {
                    self.has_ended = true;
                    return assert!(self.session.is_silent() && !bytes.is_empty());
                }
                Handshake::Closed => unreachable!("the socket is open"),
                Handshake::Failed(_) => {
                    self.has_ended = true;
                    assert!(self.session.has_failed());
                    return assert!(matches!(self.session.handshake_step(), Handshake::Failed(_)));
                }
            }
        }
        let mut buf = [0; 1000];
        loop {
            match self.session.try_read(&mut buf) {
                Ok(0) => return self.has_ended = true,
                Ok(count) => {
                    self.delivered.extend_from_slice(&buf[..count]);
                    let _ = self.session.try_write(&[std::io::IoSlice::new(b"ok")]);
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    return assert!(!self.session.hides_input());
                }
                Err(_) => {
                    self.has_ended = true;
                    assert!(self.session.has_failed());
                    return assert!(self.session.try_read(&mut buf).is_err());
                }
            }
        }
    }
}

/// The bytes with those changed that the edits name by their position in the stream: two bytes of
/// position, and one that it is changed by. 0 takes the byte out.
fn changed(bytes: &[u8], begin: usize, edits: &[[u8; 3]]) -> Vec<u8> {
    let mut changed = Vec::with_capacity(bytes.len());
    for (index, &byte) in bytes.iter().enumerate() {
        let edit = edits
            .iter()
            .find(|edit| usize::from(u16::from_be_bytes([edit[0], edit[1]])) == begin + index);
        match edit {
            None => changed.push(byte),
            Some([_, _, 0]) => {}
            Some([_, _, by]) => changed.push(byte ^ by),
        }
    }
    changed
}
