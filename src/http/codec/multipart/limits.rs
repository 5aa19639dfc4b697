//! [`MultipartLimits`]: how much a multipart body may have of everything.

/// The limits on a `multipart/form-data` body. A body that exceeds one is refused with a 413.
///
/// The body is not kept in memory, whatever the limits are: they bound what the handler is given.
/// [`Limits::body`](crate::config::Limits::body) applies too.
///
/// # Examples
/// ```
/// use millpond::http::MultipartLimits;
///
/// let mut limits = MultipartLimits::default();
/// limits.parts = 2;
/// limits.part = 100 << 20;
/// limits.total = 101 << 20;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MultipartLimits {
    /// Parts of a body. 64 by default.
    pub parts: usize,
    /// Bytes of the data of one part. 8 MiB by default.
    pub part: u64,
    /// Bytes of the whole body, with the boundaries and the heads of parts. 32 MiB by default.
    pub total: u64,
    /// Bytes of the head of a part. 8 KiB by default.
    pub head: usize,
    /// Field lines in the head of a part. 16 by default.
    pub fields: usize,
    /// Bytes of the name of a part. 256 by default.
    pub name: usize,
    /// Bytes of the file name of a part. 1,024 by default.
    pub file_name: usize,
}

impl Default for MultipartLimits {
    fn default() -> Self {
        Self {
            parts: 64,
            part: 8 << 20,
            total: 32 << 20,
            head: 8 << 10,
            fields: 16,
            name: 256,
            file_name: 1024,
        }
    }
}
