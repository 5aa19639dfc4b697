//! The upper bound of each option that is a time, a size or a number.

use super::options::{Cors, FileCache, FilesOptions};
use crate::config::bounds::{at_most, no_longer};
use crate::error::Error;

/// Checks every option against its bound. Tables are allocated at their full size, so that an
/// excessive number of entries would end the process.
pub(super) fn check(options: &FilesOptions) -> Result<(), Error> {
    let FilesOptions { listing_entries, cors, ranges, cache, .. } = options;
    // Without `..`, a new option of the cache does not compile until it is handled here.
    let FileCache { entries, descriptors, bytes, file_bytes, revalidate } = cache;
    at_most("listing_entries", *listing_entries as u64, 1 << 20, "a listing is built in memory")?;
    at_most("ranges", *ranges as u64, 10_000, "each takes memory")?;
    at_most("cache.entries", *entries as u64, 1 << 24, "each takes memory")?;
    at_most("cache.descriptors", *descriptors as u64, 1 << 24, "each takes a descriptor")?;
    at_most("cache.bytes", *bytes as u64, 1 << 50, "no machine has so much memory")?;
    at_most("cache.file_bytes", *file_bytes as u64, 1 << 30, "sendfile(2) is better for more")?;
    no_longer("cache.revalidate", *revalidate)?;
    if let Some(Cors { max_age, .. }) = cors {
        no_longer("cors.max_age", *max_age)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_time_and_size_has_an_upper_bound() {
        type Change = fn(&mut FilesOptions);
        let table: [(Change, &str); 8] = [
            (|o| o.listing_entries = usize::MAX, "invalid listing_entries "),
            (|o| o.ranges = usize::MAX, "invalid ranges "),
            (|o| o.cache.entries = usize::MAX, "invalid cache.entries "),
            (|o| o.cache.descriptors = usize::MAX, "invalid cache.descriptors "),
            (|o| o.cache.bytes = usize::MAX, "invalid cache.bytes "),
            (|o| o.cache.file_bytes = usize::MAX, "invalid cache.file_bytes "),
            (|o| o.cache.revalidate = Duration::MAX, "invalid cache.revalidate "),
            (
                |o| o.cors = Some(Cors { max_age: Duration::MAX, ..Cors::default() }),
                "invalid cors.max_age ",
            ),
        ];
        let root = tempfile::tempdir().unwrap();
        for (change, expected) in table {
            let mut options = FilesOptions::default();
            change(&mut options);
            let error = crate::handlers::files::Files::open(root.path(), options).unwrap_err();
            assert!(error.to_string().starts_with(expected), "{error}");
        }
    }
}
