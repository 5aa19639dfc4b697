//! X25519MLKEM768: a key exchange that stays secret as long as one of its halves does
//! (draft-ietf-tls-ecdhe-mlkem). X25519 is that of ring, ML-KEM (FIPS 203) that of libcrux.
//!
//! | | first part | second part |
//! |---|---|---|
//! | share of the client | encapsulation key, 1184 bytes | X25519, 32 bytes |
//! | share of the server | ciphertext, 1088 bytes | X25519, 32 bytes |
//! | secret | that of ML-KEM, 32 bytes | that of X25519, 32 bytes |

use std::fmt;
use std::sync::LazyLock;

use libcrux_ml_kem::mlkem768::{self, MlKem768Ciphertext, MlKem768KeyPair, MlKem768PublicKey};
use rustls::crypto::ring::{default_provider, kx_group};
use rustls::crypto::{
    ActiveKeyExchange, CompletedKeyExchange, SecureRandom, SharedSecret, SupportedKxGroup,
};
use rustls::ffdhe_groups::FfdheGroup;
use rustls::{Error, NamedGroup, PeerMisbehaved, ProtocolVersion};

/// The group, to be put before X25519.
pub(super) static X25519_MLKEM768: &dyn SupportedKxGroup = &Hybrid;

/// Bytes of an encapsulation key.
const KEY: usize = 1184;

/// Bytes of a ciphertext.
const CIPHERTEXT: usize = 1088;

/// Bytes of a share of X25519.
const X25519: usize = 32;

static RANDOM: LazyLock<&'static dyn SecureRandom> =
    LazyLock::new(|| default_provider().secure_random);

#[derive(Debug)]
struct Hybrid;

impl SupportedKxGroup for Hybrid {
    /// Begins as a client.
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let classical = kx_group::X25519.start()?;
        let keys = mlkem768::generate_key_pair(random()?);
        let share = [keys.pk().as_slice(), classical.pub_key()].concat();
        Ok(Box::new(HybridExchange { classical, keys, share }))
    }

    /// Does the whole part of the server.
    fn start_and_complete(&self, share: &[u8]) -> Result<CompletedKeyExchange, Error> {
        let (key, classical) = split(share, KEY)?;
        let key: [u8; KEY] = key.try_into().map_err(|_| invalid_share())?;
        let key = MlKem768PublicKey::from(key);
        // The check of FIPS 203, §7.2, before the key is used.
        if !mlkem768::validate_public_key(&key) {
            return Err(invalid_share());
        }
        let classical = kx_group::X25519.start_and_complete(classical)?;
        let (ciphertext, secret) = mlkem768::encapsulate(&key, random()?);
        Ok(CompletedKeyExchange {
            group: self.name(),
            pub_key: [ciphertext.as_slice(), classical.pub_key.as_slice()].concat(),
            secret: join(&secret, &classical.secret),
        })
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }

    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        version == ProtocolVersion::TLSv1_3
    }
}

/// The exchange of a client, until the share of the server is there.
struct HybridExchange {
    classical: Box<dyn ActiveKeyExchange>,
    keys: MlKem768KeyPair,
    share: Vec<u8>,
}

impl ActiveKeyExchange for HybridExchange {
    fn complete(self: Box<Self>, share: &[u8]) -> Result<SharedSecret, Error> {
        let (ciphertext, classical) = split(share, CIPHERTEXT)?;
        let ciphertext: [u8; CIPHERTEXT] = ciphertext.try_into().map_err(|_| invalid_share())?;
        let classical = self.classical.complete(classical)?;
        let ciphertext = MlKem768Ciphertext::from(ciphertext);
        let secret = mlkem768::decapsulate(self.keys.private_key(), &ciphertext);
        Ok(join(&secret, &classical))
    }

    /// A server without ML-KEM gets the share of X25519 at once, without a second round trip.
    fn hybrid_component(&self) -> Option<(NamedGroup, &[u8])> {
        Some((self.classical.group(), self.classical.pub_key()))
    }

    fn complete_hybrid_component(self: Box<Self>, share: &[u8]) -> Result<SharedSecret, Error> {
        self.classical.complete(share)
    }

    fn pub_key(&self) -> &[u8] {
        &self.share
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }
}

impl fmt::Debug for HybridExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HybridExchange")
    }
}

/// The part of ML-KEM, which has this length, and that of X25519.
fn split(share: &[u8], first: usize) -> Result<(&[u8], &[u8]), Error> {
    match share.split_at_checked(first) {
        Some((first, classical)) if classical.len() == X25519 => Ok((first, classical)),
        _ => Err(invalid_share()),
    }
}

fn join(first: &[u8], classical: &SharedSecret) -> SharedSecret {
    [first, classical.secret_bytes()].concat().into()
}

fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    RANDOM.fill(&mut bytes).map_err(|_| Error::FailedToGetRandomBytes)?;
    Ok(bytes)
}

fn invalid_share() -> Error {
    PeerMisbehaved::InvalidKeyShare.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_get_the_same_secret_of_both_halves() {
        let client = X25519_MLKEM768.start().unwrap();
        assert_eq!(client.pub_key().len(), KEY + X25519);
        let server = X25519_MLKEM768.start_and_complete(client.pub_key()).unwrap();
        assert_eq!(server.pub_key.len(), CIPHERTEXT + X25519);
        let secret = client.complete(&server.pub_key).unwrap();
        assert_eq!(secret.secret_bytes().len(), 64);
        assert_eq!(secret.secret_bytes(), server.secret.secret_bytes());
        let (kem, classical) = secret.secret_bytes().split_at(32);
        assert_ne!(kem, classical);
    }

    #[test]
    fn a_server_without_ml_kem_completes_the_classical_half() {
        let client = X25519_MLKEM768.start().unwrap();
        let (group, share) = client.hybrid_component().unwrap();
        assert_eq!(group, NamedGroup::X25519);
        let server = kx_group::X25519.start_and_complete(share).unwrap();
        let secret = client.complete_hybrid_component(&server.pub_key).unwrap();
        assert_eq!(secret.secret_bytes(), server.secret.secret_bytes());
    }

    #[test]
    fn an_invalid_share_is_refused() {
        let client = X25519_MLKEM768.start().unwrap();
        let share = client.pub_key().to_vec();
        // Coefficients of 4095, above the modulus 3329.
        let mut beyond = share.clone();
        beyond[..KEY - 32].fill(0xff);
        let mut low_order = share.clone();
        low_order[KEY..].fill(0);
        for wrong in [&[][..], &share[1..], &share[..KEY], &beyond, &low_order] {
            assert!(X25519_MLKEM768.start_and_complete(wrong).is_err(), "{}", wrong.len());
        }
        for length in [0, X25519, CIPHERTEXT, CIPHERTEXT + X25519 + 1] {
            let client = X25519_MLKEM768.start().unwrap();
            assert!(client.complete(&vec![0; length]).is_err(), "{length}");
        }
    }
}
