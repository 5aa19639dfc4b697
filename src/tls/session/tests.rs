//! A session and a client over a socket: records without data, and an end without room.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use rustls::ClientConnection;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::{Handshake, Session};
use crate::net::Stream;
use crate::tls::test_certificates::{Authority, date};
use crate::tls::{Tls, TlsSettings};

#[path = "../../../tests/it/tls/empty_records.rs"]
mod empty_records;

/// A session, and its client after the handshake.
struct Link {
    session: Session,
    client: ClientConnection,
    socket: UnixStream,
}

impl Link {
    fn new() -> Self {
        let (authority, dir) = (Authority::new(), tempfile::tempdir().unwrap());
        let made = authority.sign(&["a.test"], (date(2020, 1, 1), date(2100, 1, 1)));
        let certificates = vec![made.write(dir.path(), "a")];
        let tls = Tls::new(&TlsSettings { certificates, ..TlsSettings::default() }).unwrap();
        let root = CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap();
        let client = empty_records::client(root, "a.test");
        let (own, socket) = UnixStream::pair().unwrap();
        socket.set_nonblocking(true).unwrap();
        let session = Session::new(Stream::from(OwnedFd::from(own)), tls);
        let mut link = Self { session, client, socket };
        link.send();
        assert_eq!(link.session.handshake_step(), Handshake::Pending);
        link.receive();
        link.send();
        assert_eq!(link.session.handshake_step(), Handshake::Done);
        link
    }

    /// Sends the client's ciphertext. Returns how much it was.
    fn send(&mut self) -> usize {
        let mut bytes = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut bytes).unwrap();
        }
        self.socket.write_all(&bytes).unwrap();
        bytes.len()
    }

    /// Has the client read what the session has sent. Returns the plaintext.
    fn receive(&mut self) -> Vec<u8> {
        let mut plaintext = Vec::new();
        while !matches!(self.client.read_tls(&mut self.socket), Ok(0) | Err(_)) {
            let state = self.client.process_new_packets().unwrap();
            let begin = plaintext.len();
            plaintext.resize(begin + state.plaintext_bytes_to_read(), 0);
            self.client.reader().read_exact(&mut plaintext[begin..]).unwrap();
        }
        plaintext
    }

    /// Sends records without data. Returns how many bytes.
    fn send_without_data(&mut self, times: usize) -> usize {
        empty_records::queue_without_data(&mut self.client, times);
        self.send()
    }

    fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut buf = [0; 100];
        self.session.try_read(&mut buf).map(|count| buf[..count].to_vec())
    }
}

#[test]
fn records_without_data_fail_the_session_in_one_read_or_over_many() {
    for times in [1, 7, 500, 2000] {
        let mut link = Link::new();
        let mut sent = 0;
        let error = loop {
            assert!(sent < 200_000, "{times} at once: it has not failed");
            sent += link.send_without_data(times);
            match link.read() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                result => break result.unwrap_err(),
            }
        };
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
        assert!(error.to_string().contains("records without data"), "{error}");
        assert!(sent > 64 * 1024 && link.session.has_failed(), "{times} at once: {sent}");
        assert_eq!(link.read().unwrap_err().kind(), ErrorKind::InvalidData);
    }
}

#[test]
fn data_between_records_without_data_is_read() {
    let mut link = Link::new();
    for _ in 0..4 {
        let sent = link.send_without_data(1000);
        assert!(sent < 60_000, "{sent}");
        assert_eq!(link.read().unwrap_err().kind(), ErrorKind::WouldBlock);
        link.client.writer().write_all(b"quern").unwrap();
        link.send();
        assert_eq!(link.read().unwrap(), b"quern");
    }
    // A record of full length, most of which arrives before it can be decrypted.
    let sent = link.send_without_data(900);
    link.client.writer().write_all(&[b'x'; 16_384]).unwrap();
    assert!(sent + link.send() < 64 * 1024);
    assert_eq!(link.read().unwrap(), [b'x'; 100]);
}

#[test]
fn an_end_without_room_is_dropped_and_a_response_without_room_is_not() {
    let mut link = Link::new();
    link.receive();
    // Fills the socket without the session.
    for length in [10_000, 100, 1] {
        while link.session.stream().try_write(&[0; 10_000][..length]).is_ok() {}
    }
    link.session.end();
    assert_eq!(link.session.unsent(), 0);
    assert!(link.session.flush().unwrap());

    let mut link = Link::new();
    let response = vec![b'x'; 2_000_000];
    let mut written = 0;
    while let Ok(count) = link.session.try_write(&[IoSlice::new(&response)]) {
        written += count;
    }
    let unsent = link.session.unsent();
    link.session.end();
    assert!(unsent > 0 && link.session.unsent() == unsent);
    let mut received = link.receive().len();
    while !link.session.flush().unwrap() {
        received += link.receive().len();
    }
    assert_eq!(received + link.receive().len(), written);
}
