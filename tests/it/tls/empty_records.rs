//! A client of TLS 1.3 that sends records without data, which rustls does not do by itself.

use std::io::Write;
use std::sync::{Arc, LazyLock};

use rustls::crypto::cipher::{
    AeadKey, Iv, MessageDecrypter, MessageEncrypter, OutboundChunks, OutboundOpaqueMessage,
    OutboundPlainMessage, Tls13AeadAlgorithm, UnsupportedOperationError,
};
use rustls::crypto::ring::{self, cipher_suite::TLS13_AES_128_GCM_SHA256};
use rustls::crypto::{CipherSuiteCommon, CryptoProvider};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, ConnectionTrafficSecrets, ContentType, Error, RootCertStore,
    SupportedCipherSuite, Tls13CipherSuite,
};

/// Data in place of which the client sends a record without data.
const NO_DATA: &[u8] = b"\0";

/// A client that trusts this certificate, or this authority.
pub(crate) fn client(root: CertificateDer<'static>, server: &'static str) -> ClientConnection {
    static SUITE: LazyLock<Tls13CipherSuite> = LazyLock::new(|| {
        let CipherSuiteCommon { suite, hash_provider, confidentiality_limit } = usual().common;
        let common = CipherSuiteCommon { suite, hash_provider, confidentiality_limit };
        let hkdf_provider = usual().hkdf_provider;
        Tls13CipherSuite { common, hkdf_provider, aead_alg: &EmptyingAead, quic: None }
    });
    let mut roots = RootCertStore::empty();
    roots.add(root).unwrap();
    let cipher_suites = vec![SupportedCipherSuite::Tls13(&SUITE)];
    let provider = CryptoProvider { cipher_suites, ..ring::default_provider() };
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(server).unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    client.set_buffer_limit(None);
    client
}

/// Queues new keys and an empty record, so many times. rustls limits how many of one kind a client
/// may send in a row, and does not notice when they alternate.
pub(crate) fn queue_without_data(client: &mut ClientConnection, times: usize) {
    for _ in 0..times {
        client.refresh_traffic_keys().unwrap();
        client.writer().write_all(NO_DATA).unwrap();
    }
}

fn usual() -> &'static Tls13CipherSuite {
    TLS13_AES_128_GCM_SHA256.tls13().unwrap()
}

struct EmptyingAead;

impl Tls13AeadAlgorithm for EmptyingAead {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        Box::new(EmptyingEncrypter(usual().aead_alg.encrypter(key, iv)))
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        usual().aead_alg.decrypter(key, iv)
    }

    fn key_len(&self) -> usize {
        usual().aead_alg.key_len()
    }

    fn extract_keys(
        &self,
        key: AeadKey,
        iv: Iv,
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        usual().aead_alg.extract_keys(key, iv)
    }
}

struct EmptyingEncrypter(Box<dyn MessageEncrypter>);

impl MessageEncrypter for EmptyingEncrypter {
    fn encrypt(
        &mut self,
        mut message: OutboundPlainMessage<'_>,
        seq: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        if message.typ == ContentType::ApplicationData && message.payload.to_vec() == NO_DATA {
            message.payload = OutboundChunks::Single(&[]);
        }
        self.0.encrypt(message, seq)
    }

    fn encrypted_payload_len(&self, payload_len: usize) -> usize {
        self.0.encrypted_payload_len(payload_len)
    }
}
