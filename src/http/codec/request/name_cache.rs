//! [`NameCache`]: field names that recent requests had.

use std::fmt;

use http::HeaderName;
use http::header::HOST;

use crate::http::codec::reject::Reject;

/// The number of cached names, a power of two.
const SLOTS: usize = 64;
/// Bytes of the longest name that is cached.
const NAME_LEN_MAX: usize = 32;

/// Caches field names as they were written. Clients send the same few names with every request, and
/// making a [`HeaderName`] costs more than a lookup here (and allocates, for names that are not
/// registered).
///
/// The table has a fixed size, and each name has one slot: hostile names can evict others, but
/// cannot make the table grow.
pub(super) struct NameCache {
    slots: Box<[Option<CachedName>; SLOTS]>,
    /// The last name that was not cached, so that it can be returned by reference as well.
    other: HeaderName,
}

struct CachedName {
    written: [u8; NAME_LEN_MAX],
    length: u8,
    name: HeaderName,
}

impl NameCache {
    pub(super) fn new() -> Self {
        Self { slots: Box::new([const { None }; SLOTS]), other: HOST }
    }

    /// The name that is written like this. It is returned by reference, because a `HeaderName` is
    /// large enough for a move to cost time.
    #[inline]
    pub(super) fn get(&mut self, written: &[u8]) -> Result<&HeaderName, Reject> {
        let slot = match written {
            [first, .., last] if written.len() <= NAME_LEN_MAX => {
                &mut self.slots[slot_of(*first, *last, written.len())]
            }
            _ => {
                self.other = make(written)?;
                return Ok(&self.other);
            }
        };
        if !slot.as_ref().is_some_and(|slot| slot.is(written)) {
            *slot = None;
        }
        match slot {
            Some(slot) => Ok(&slot.name),
            None => Ok(&slot.insert(CachedName::new(written)?).name),
        }
    }
}

impl CachedName {
    fn new(written: &[u8]) -> Result<Self, Reject> {
        let mut slot =
            Self { written: [0; NAME_LEN_MAX], length: written.len() as u8, name: make(written)? };
        slot.written[..written.len()].copy_from_slice(written);
        Ok(slot)
    }

    fn is(&self, written: &[u8]) -> bool {
        self.written[..usize::from(self.length)] == *written
    }
}

fn make(written: &[u8]) -> Result<HeaderName, Reject> {
    HeaderName::from_bytes(written).map_err(|_| Reject::FieldName)
}

/// The slot of a name, by its first byte, last byte and length. These tell the usual names apart.
fn slot_of(first: u8, last: u8, length: usize) -> usize {
    (usize::from(first) * 7 + usize::from(last) * 3 + length * 5) % SLOTS
}

impl fmt::Debug for NameCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.slots.iter().flatten().map(|slot| &slot.name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_same_the_second_time_however_it_is_written() {
        let mut names = NameCache::new();
        for written in ["Host", "host", "HOST", "X-A", "x-a", "a", &"b".repeat(100)] {
            for _ in 0..2 {
                let name = names.get(written.as_bytes()).unwrap();
                assert_eq!(name.as_str(), written.to_ascii_lowercase());
            }
        }
    }

    #[test]
    fn names_that_share_a_slot_are_distinguished() {
        let mut names = NameCache::new();
        for written in ["abcd", "aXYd", "abcd", "a--d"] {
            assert_eq!(
                names.get(written.as_bytes()).unwrap().as_str(),
                written.to_ascii_lowercase()
            );
        }
        assert_eq!(names.get(b"a b"), Err(Reject::FieldName));
        assert_eq!(names.get(b""), Err(Reject::FieldName));
    }
}
