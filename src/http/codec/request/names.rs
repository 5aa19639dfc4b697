//! Field names that came before.

use std::fmt;

use http::HeaderName;
use http::header::HOST;

use crate::http::codec::reject::Reject;

/// How many names are remembered, a power of two.
const SLOTS: usize = 64;
/// Bytes of the longest name that is remembered.
const LONGEST: usize = 32;

/// Remembers names as they were written, because clients write the same few again and again, and
/// making a [`HeaderName`] of one costs more than finding it here (and allocates, for names that
/// are not registered).
///
/// It is a table of fixed size, in which a name has one place: it can be made to forget, not to
/// grow.
pub(super) struct Names {
    slots: Box<[Option<Slot>; SLOTS]>,
    /// The last name that is not remembered, so that it can be lent like the others.
    other: HeaderName,
}

struct Slot {
    written: [u8; LONGEST],
    length: u8,
    name: HeaderName,
}

impl Names {
    pub(super) fn new() -> Self {
        Self { slots: Box::new([const { None }; SLOTS]), other: HOST }
    }

    /// The name that is written like this, lent: a name is large enough for moving it to cost.
    pub(super) fn get(&mut self, written: &[u8]) -> Result<&HeaderName, Reject> {
        let slot = match written {
            [first, .., last] if written.len() <= LONGEST => {
                &mut self.slots[place(*first, *last, written.len())]
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
            None => Ok(&slot.insert(Slot::new(written)?).name),
        }
    }
}

impl Slot {
    fn new(written: &[u8]) -> Result<Self, Reject> {
        let mut slot =
            Self { written: [0; LONGEST], length: written.len() as u8, name: make(written)? };
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

/// Where a name has its place, by its ends and length: enough to tell the usual ones apart.
fn place(first: u8, last: u8, length: usize) -> usize {
    (usize::from(first) * 7 + usize::from(last) * 3 + length * 5) % SLOTS
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.slots.iter().flatten().map(|slot| &slot.name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_same_the_second_time_however_it_is_written() {
        let mut names = Names::new();
        for written in ["Host", "host", "HOST", "X-A", "x-a", "a", &"b".repeat(100)] {
            for _ in 0..2 {
                let name = names.get(written.as_bytes()).unwrap();
                assert_eq!(name.as_str(), written.to_ascii_lowercase());
            }
        }
    }

    #[test]
    fn names_that_share_a_place_are_told_apart() {
        let mut names = Names::new();
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
