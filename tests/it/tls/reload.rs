//! Certificates that are replaced under load.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::process::Signal;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection};

use super::made::{Authority, serve};
use crate::support::tls::{TlsClient, client_config_with};
use crate::support::{SetOnDrop, connect, read_last_response, read_response};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const GET_LAST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// A new connection with a full handshake.
fn client(addr: SocketAddr, config: &Arc<ClientConfig>) -> TlsClient {
    let name = ServerName::try_from("localhost").unwrap();
    TlsClient::with(connect(addr), ClientConnection::new(Arc::clone(config), name).unwrap())
}

#[test]
fn a_hundred_reloads_under_load_lose_no_request() {
    let authority = Authority::new();
    authority.good("a", &["localhost"]);
    let (cert, key) = (authority.text("a.pem"), authority.text("a.key"));
    // The load is small, but a busy machine could take it for too much.
    fs::write(authority.path("millpond.toml"), "[overload]\nshed = false\n").unwrap();
    let settings = authority.text("millpond.toml");
    let (mut daemon, endpoint) = serve(&["-c", &settings, "--tls-cert", &cert, "--tls-key", &key]);
    let addr: SocketAddr = endpoint.trim_start_matches("tls://").parse().unwrap();
    let root = CertificateDer::from_pem_file(authority.path("ca.pem")).unwrap();
    let mut config = client_config_with(&root, rustls::ALL_VERSIONS);
    config.resumption = Resumption::disabled();
    let config = Arc::new(config);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let _end = SetOnDrop(&done);
        let fresh: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut served = 0;
                    while !done.load(Ordering::Relaxed) || served == 0 {
                        let mut client = client(addr, &config);
                        client.write_all(GET_LAST).unwrap();
                        assert_eq!(read_last_response(&mut client).status, 200);
                        served += 1;
                    }
                    served
                })
            })
            .collect();
        // An open connection keeps the certificate that it began with.
        let kept = scope.spawn(|| {
            let mut client = client(addr, &config);
            let mut served = 0;
            while !done.load(Ordering::Relaxed) {
                client.write_all(GET).unwrap();
                assert_eq!(read_response(&mut client).status, 200);
                served += 1;
            }
            served
        });
        for number in 0..100 {
            authority.good("a", &["localhost"]);
            daemon.signal(Signal::HUP);
            daemon.wait_for("settings reloaded");
            let client = client(addr, &config);
            let new = CertificateDer::from_pem_file(&cert).unwrap();
            assert_eq!(client.tls.peer_certificates().unwrap(), [new], "{number}");
        }
        done.store(true, Ordering::Relaxed);
        let fresh: u64 = fresh.into_iter().map(|thread| thread.join().unwrap()).sum();
        println!("{fresh} handshakes, {} kept requests", kept.join().unwrap());
        assert!(fresh >= 100, "{fresh}");
    });
    // When the daemon is dropped: accepted = closed + live.
}
