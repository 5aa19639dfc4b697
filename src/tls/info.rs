//! [`TlsInfo`]: what the two sides of a TLS connection have negotiated.

use std::cell::RefCell;
use std::sync::Arc;

use rustls::crypto::SupportedKxGroup;
use rustls::{HandshakeKind, ServerConnection};

/// What the two sides of a TLS connection have negotiated. The same for all requests of a
/// connection.
///
/// # Examples
/// ```
/// use millpond::http::Request;
///
/// fn greet(req: &mut Request) -> String {
///     match req.tls() {
///         Some(tls) => format!("{} with {}\n", tls.version(), tls.cipher_suite()),
///         None => "no TLS\n".to_owned(),
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsInfo {
    version: &'static str,
    cipher_suite: &'static str,
    key_exchange: Option<&'static str>,
    server_name: Option<Box<str>>,
    client_certificates: Box<[Vec<u8>]>,
    is_resumed: bool,
}

thread_local! {
    /// What was negotiated last on this thread, without a client certificate. Most connections
    /// negotiate the same, and share it.
    static LAST: RefCell<Option<Arc<TlsInfo>>> = const { RefCell::new(None) };
}

impl TlsInfo {
    /// What this connection has negotiated, in the memory of the thread's last connection if that
    /// has negotiated the same.
    pub(super) fn shared(connection: &ServerConnection) -> Arc<Self> {
        let info = Self::of(connection);
        if !info.client_certificates.is_empty() {
            return Arc::new(info);
        }
        LAST.with_borrow_mut(|last| match last {
            Some(last) if **last == info => Arc::clone(last),
            _ => Arc::clone(last.insert(Arc::new(info))),
        })
    }

    fn of(connection: &ServerConnection) -> Self {
        let chain = connection.peer_certificates().unwrap_or_default();
        let suite = connection.negotiated_cipher_suite().map(|suite| suite.suite());
        let group = connection.negotiated_key_exchange_group().map(SupportedKxGroup::name);
        Self {
            version: match connection.protocol_version() {
                Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
                Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
                _ => "unknown",
            },
            cipher_suite: suite.and_then(|suite| suite.as_str()).unwrap_or("unknown"),
            key_exchange: group.and_then(|group| group.as_str()),
            server_name: connection.server_name().map(Into::into),
            client_certificates: chain.iter().map(|one| one.as_ref().to_vec()).collect(),
            is_resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }

    /// The version: `TLSv1.2` or `TLSv1.3`.
    #[must_use]
    pub fn version(&self) -> &'static str {
        self.version
    }

    /// The cipher suite, by its name in rustls: `TLS13_AES_256_GCM_SHA384`.
    #[must_use]
    pub fn cipher_suite(&self) -> &'static str {
        self.cipher_suite
    }

    /// The group of the key exchange: `X25519`, `X25519MLKEM768`. `None` if a TLS 1.2 session was
    /// resumed without one.
    #[must_use]
    pub fn key_exchange(&self) -> Option<&'static str> {
        self.key_exchange
    }

    /// The name of the server that the client asked for (SNI, RFC 6066 §3), in lower case.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// The certificates that the client has sent, in DER: its own first. Empty without any. They
    /// have been verified if the server asks for them.
    #[must_use]
    pub fn client_certificates(&self) -> &[Vec<u8>] {
        &self.client_certificates
    }

    /// Whether the session of an earlier connection was resumed.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.is_resumed
    }
}
