//! The cryptography: ring, and the post-quantum key exchange that it lacks.

use std::sync::{Arc, LazyLock};

use rustls::crypto::{CryptoProvider, ring};

use super::hybrid::X25519_MLKEM768;

/// The algorithms that servers and clients use, the preferred ones first.
pub(super) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        let mut provider = ring::default_provider();
        provider.kx_groups.insert(0, X25519_MLKEM768);
        Arc::new(provider)
    });
    Arc::clone(&PROVIDER)
}
