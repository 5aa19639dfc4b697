//! [`TlsConfig`]: from settings to what rustls serves connections with.

use std::sync::Arc;

use rustls::crypto::ring::Ticketer;
use rustls::pki_types::CertificateDer;
use rustls::server::{ProducesTickets, ServerSessionMemoryCache, StoresServerSessions};
use rustls::server::{WebPkiClientVerifier, danger::ClientCertVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};

use super::certificate_info::CertificateInfo;
use super::load;
use super::provider::provider;
use super::resolver::Resolver;
use super::settings::{ClientAuth, TlsSettings, TlsVersion};
use crate::error::{Error, ErrorKind};

/// The most certificates of a server.
const CERTIFICATES_MAX: usize = 1024;

/// The sessions of TLS 1.2 clients without tickets that are kept.
const SESSIONS: usize = 1024;

/// Everything that one set of settings makes. A reload replaces it as a whole.
pub(super) struct TlsConfig {
    pub(super) server: Arc<ServerConfig>,
    pub(super) resolver: Arc<Resolver>,
    /// What each certificate says, in the order of the settings.
    pub(super) certificates: Vec<CertificateInfo>,
    pub(super) redirect: bool,
    resumption: Resumption,
}

/// What resumes sessions, and for which clients. A session that began without a client certificate
/// must not be resumed where one is required, so that a new policy has new keys.
#[derive(Clone)]
struct Resumption {
    policy: (ClientAuth, Vec<CertificateDer<'static>>),
    ticketer: Arc<dyn ProducesTickets>,
    sessions: Arc<dyn StoresServerSessions>,
}

impl TlsConfig {
    /// Loads all files. With the present configuration, sessions can be resumed as before if the
    /// policy for client certificates is the same.
    pub(super) fn load(settings: &TlsSettings, present: Option<&Self>) -> Result<Self, Error> {
        let count = settings.certificates.len();
        if !(1..=CERTIFICATES_MAX).contains(&count) {
            let what = format!("invalid number of certificates {count}: expected 1 to 1024");
            return Err(Error::new(ErrorKind::Config, what));
        }
        let provider = provider();
        let (mut resolver, mut certificates) = (Resolver::default(), Vec::new());
        for files in &settings.certificates {
            let loaded = load::certificate(files, &provider)?;
            let names = files.names.iter().chain(loaded.info.names());
            resolver.add(&loaded.key, names.map(String::as_str));
            certificates.push(loaded.info);
        }
        let resolver = Arc::new(resolver);
        let (verifier, policy) = client_policy(settings)?;
        let resumption = match present.map(|present| &present.resumption) {
            Some(present) if present.policy == policy => present.clone(),
            _ => Resumption::new(policy)?,
        };
        let versions = match settings.min_version {
            TlsVersion::V1_2 => &[&TLS13, &TLS12][..],
            TlsVersion::V1_3 => &[&TLS13][..],
        };
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("the provider has suites of both versions")
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::clone(&resolver) as _);
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        server.ticketer = Arc::clone(&resumption.ticketer);
        server.session_storage = Arc::clone(&resumption.sessions);
        // Early data can be replayed by anyone who has recorded it (RFC 8446 §8).
        server.max_early_data_size = 0;
        let server = Arc::new(server);
        let redirect = settings.redirect;
        Ok(Self { server, resolver, certificates, redirect, resumption })
    }
}

impl Resumption {
    fn new(policy: (ClientAuth, Vec<CertificateDer<'static>>)) -> Result<Self, Error> {
        let ticketer = Ticketer::new().map_err(|_| {
            Error::new(ErrorKind::System, "cannot get random bytes for the keys of tickets")
        })?;
        Ok(Self { policy, ticketer, sessions: ServerSessionMemoryCache::new(SESSIONS) })
    }
}

type ClientPolicy = (Arc<dyn ClientCertVerifier>, (ClientAuth, Vec<CertificateDer<'static>>));

/// How client certificates are verified, and what two policies are compared by.
fn client_policy(settings: &TlsSettings) -> Result<ClientPolicy, Error> {
    let auth = settings.client_auth;
    let path = match (auth, &settings.client_ca) {
        (ClientAuth::Off, _) => {
            return Ok((WebPkiClientVerifier::no_client_auth(), (auth, Vec::new())));
        }
        (_, Some(path)) => path,
        (_, None) => {
            let what = "client certificates without certificates to verify them by";
            return Err(Error::new(ErrorKind::Config, what)
                .with_hint("set tls.client_ca to the file of the authority of your clients"));
        }
    };
    let authorities = load::certificates(path, "the certificates of authorities")?;
    let mut roots = RootCertStore::empty();
    for authority in &authorities {
        let added = roots.add(authority.clone());
        added.map_err(|error| load::invalid("certificate of an authority", path, &error))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let builder = match auth {
        ClientAuth::Ask => builder.allow_unauthenticated(),
        _ => builder,
    };
    let verifier = builder.build();
    let verifier =
        verifier.map_err(|error| load::invalid("certificates of authorities", path, &error))?;
    Ok((verifier, (auth, authorities)))
}
