//! Handshakes in memory: names, versions, client certificates, and what a replacement keeps.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, ServerConnection};

use super::test_certificates::{Authority, Made, date};
use super::{CertificateFiles, ClientAuth, Tls, TlsSettings, TlsVersion, provider};
use crate::error::ErrorKind;

/// An authority, and a directory for what it signs.
struct Setup {
    authority: Authority,
    dir: tempfile::TempDir,
}

impl Setup {
    fn new() -> Self {
        Self { authority: Authority::new(), dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn sign(&self, names: &[&str]) -> Made {
        self.authority.sign(names, (date(2020, 1, 1), date(2100, 1, 1)))
    }

    fn files(&self, file: &str, names: &[&str]) -> CertificateFiles {
        self.sign(names).write(self.path(), file)
    }

    fn settings(&self, names: &[&[&str]]) -> TlsSettings {
        let files = names.iter().enumerate();
        let certificates = files.map(|(i, names)| self.files(&i.to_string(), names)).collect();
        TlsSettings { certificates, ..TlsSettings::default() }
    }

    /// A client that trusts the authority, with this certificate of its own.
    fn client(&self, own: Option<&Made>) -> ClientConfig {
        self.client_of(&[&TLS13, &TLS12], own)
    }

    fn client_of(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
        own: Option<&Made>,
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.pem.as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(provider::provider())
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        match own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let key = PrivateKeyDer::from_pem_slice(own.key_pem.as_bytes()).unwrap();
                let chain = vec![CertificateDer::from(own.certificate.clone())];
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        }
    }
}

type Pair = (ClientConnection, ServerConnection);

/// A whole handshake, and the tickets after it.
fn handshake(client: &Arc<ClientConfig>, name: &str, tls: &Tls) -> Result<Pair, rustls::Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), name).unwrap();
    let mut server = ServerConnection::new(tls.server_config()).unwrap();
    loop {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        let sent = bytes.len();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets()?;
        }
        bytes.clear();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        if sent + bytes.len() == 0 {
            return Ok((client, server));
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets()?;
        }
    }
}

#[test]
fn the_certificate_is_the_one_of_the_name_or_the_first() {
    let setup = Setup::new();
    let mut settings =
        setup.settings(&[&["a.test"], &["b.test", "*.b.test"], &["x.b.test"], &["other.test"]]);
    settings.certificates[3].names.push("*.given.test".to_owned());
    let tls = Tls::new(&settings).unwrap();
    let table = [
        (Some("a.test"), 0),
        (Some("A.Test"), 0),
        (Some("b.test"), 1),
        (Some("c.b.test"), 1),
        (Some("x.b.test"), 2),
        (Some("d.c.b.test"), 0),
        (Some("other.test"), 3),
        (Some("x.given.test"), 3),
        (Some("given.test"), 0),
        (Some("none.test"), 0),
        (None, 0),
    ];
    let schemes = [rustls::SignatureScheme::ECDSA_NISTP256_SHA256];
    let current = tls.0.load();
    for (name, number) in table {
        let found = current.resolver.find(name, &schemes).unwrap();
        let path = &settings.certificates[number].chain;
        assert_eq!(found.cert, [CertificateDer::from_pem_file(path).unwrap()], "{name:?}");
    }
    // Without a signature in common it is the one of the name, which rustls then refuses to use.
    let found = current.resolver.find(Some("b.test"), &[]).unwrap();
    let path = &settings.certificates[1].chain;
    assert_eq!(found.cert, [CertificateDer::from_pem_file(path).unwrap()]);
    for (name, has) in
        [("a.test", true), ("y.b.test", true), ("*.b.test", true), ("*.test", false), ("z", false)]
    {
        assert_eq!(tls.has_certificate_for(name), has, "{name}");
    }
    // The same in a handshake, in which the client verifies the name.
    let client = Arc::new(setup.client(None));
    let (_, server) = handshake(&client, "c.b.test", &tls).unwrap();
    assert_eq!(server.server_name(), Some("c.b.test"));
    assert!(handshake(&client, "none.test", &tls).is_err());
}

#[test]
fn a_handshake_is_post_quantum_with_http_1_1() {
    let setup = Setup::new();
    let tls = Tls::new(&setup.settings(&[&["a.test"]])).unwrap();
    let mut client = setup.client(None);
    client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let (client, server) = handshake(&Arc::new(client), "a.test", &tls).unwrap();
    let group = server.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
    assert_eq!(client.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert_eq!(client.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
}

#[test]
fn the_oldest_version_is_that_of_the_settings() {
    let setup = Setup::new();
    let mut settings = setup.settings(&[&["a.test"]]);
    let old = Arc::new(setup.client_of(&[&TLS12], None));
    let (_, server) = handshake(&old, "a.test", &Tls::new(&settings).unwrap()).unwrap();
    assert_eq!(server.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_2));
    settings.min_version = TlsVersion::V1_3;
    let tls = Tls::new(&settings).unwrap();
    assert!(handshake(&old, "a.test", &tls).is_err());
    assert!(handshake(&Arc::new(setup.client(None)), "a.test", &tls).is_ok());
}

#[test]
fn client_certificates_are_off_asked_for_or_required() {
    let setup = Setup::new();
    let ca = setup.path().join("ca.pem");
    std::fs::write(&ca, &setup.authority.pem).unwrap();
    let own = setup.sign(&["client.test"]);
    let foreign = Setup::new().sign(&["client.test"]);
    let expired = setup.authority.sign(&["old.test"], (date(2000, 1, 1), date(2001, 1, 1)));
    let clients = [None, Some(&own), Some(&foreign), Some(&expired)];
    let mut settings = setup.settings(&[&["a.test"]]);
    for (auth, served) in [
        (ClientAuth::Off, [true, true, true, true]),
        (ClientAuth::Ask, [true, true, false, false]),
        (ClientAuth::Require, [false, true, false, false]),
    ] {
        (settings.client_auth, settings.client_ca) = (auth, Some(ca.clone()));
        let tls = Tls::new(&settings).unwrap();
        for (number, (client, served)) in clients.into_iter().zip(served).enumerate() {
            let result = handshake(&Arc::new(setup.client(client)), "a.test", &tls);
            assert_eq!(result.is_ok(), served, "{auth:?} {number}");
            let Ok((_, server)) = result else { continue };
            let seen = server.peer_certificates().map(|chain| chain[0].to_vec());
            let expected = client.filter(|_| auth != ClientAuth::Off);
            assert_eq!(seen, expected.map(|made| made.certificate.clone()), "{auth:?} {number}");
        }
    }
    settings.client_ca = None;
    let error = Tls::new(&settings).unwrap_err();
    assert!(error.hint().unwrap().contains("tls.client_ca"), "{error:?}");
    settings.client_ca = Some(setup.path().join("none.pem"));
    assert!(Tls::new(&settings).is_err());
}

#[test]
fn a_replacement_is_for_new_connections_and_all_or_nothing() {
    let setup = Setup::new();
    let mut settings = setup.settings(&[&["a.test"], &["b.test"]]);
    let tls = Tls::new(&settings).unwrap();
    let of = |name| tls.certificates().iter().any(|info| info.names() == [name]);
    assert!(of("a.test") && of("b.test"));
    // The first file is good, the second one is not.
    setup.files("0", &["new.test"]);
    std::fs::write(&settings.certificates[1].key, "broken").unwrap();
    assert_eq!(tls.replace(&settings).unwrap_err().kind(), ErrorKind::Config);
    assert!(of("a.test") && of("b.test") && !of("new.test"));
    let client = Arc::new(setup.client(None));
    assert!(handshake(&client, "b.test", &tls).is_ok());
    settings.certificates.truncate(1);
    let prepared = tls.clone().prepare(&settings).unwrap();
    assert!(!of("new.test"), "{prepared:?}");
    prepared.apply();
    assert!(of("new.test") && !of("b.test"));
    assert!(handshake(&client, "new.test", &tls).is_ok());
    settings.certificates.clear();
    assert!(tls.replace(&settings).is_err());
}

#[test]
fn sessions_are_resumed_after_a_replacement_unless_the_policy_changes() {
    let setup = Setup::new();
    let ca = setup.path().join("ca.pem");
    std::fs::write(&ca, &setup.authority.pem).unwrap();
    for versions in [&[&TLS13][..], &[&TLS12]] {
        let mut settings = setup.settings(&[&["a.test"]]);
        let tls = Tls::new(&settings).unwrap();
        let client = Arc::new(setup.client_of(versions, None));
        let kind = |tls: &Tls| {
            let (client, _) = handshake(&client, "a.test", tls).unwrap();
            client.handshake_kind().unwrap()
        };
        let fresh = |kind| matches!(kind, HandshakeKind::Full);
        assert!(fresh(kind(&tls)));
        assert_eq!(kind(&tls), HandshakeKind::Resumed);
        setup.files("0", &["a.test"]);
        tls.replace(&settings).unwrap();
        assert_eq!(kind(&tls), HandshakeKind::Resumed);
        settings.client_auth = ClientAuth::Ask;
        settings.client_ca = Some(ca.clone());
        tls.replace(&settings).unwrap();
        assert!(fresh(kind(&tls)));
        assert_eq!(kind(&tls), HandshakeKind::Resumed);
    }
}

#[test]
fn a_certificate_that_has_expired_is_loaded_and_says_so() {
    let setup = Setup::new();
    let made = setup.authority.sign(&["a.test"], (date(2000, 1, 1), date(2001, 1, 1)));
    let settings = TlsSettings {
        certificates: vec![made.write(setup.path(), "old")],
        ..TlsSettings::default()
    };
    let tls = Tls::new(&settings).unwrap();
    assert!(tls.certificates()[0].days_left(std::time::SystemTime::now()) < -9000);
}
