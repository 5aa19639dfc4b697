//! [`Refusal`]: why work was refused.

/// Why work was refused. Each has a counter of its own in the statistics.
///
/// # Examples
/// ```
/// use millpond::Refusal;
///
/// assert_eq!(Refusal::QueueFull.name(), "queue_full");
/// assert!(Refusal::ALL.iter().all(|refusal| !refusal.explain().is_empty()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// The queue was full.
    QueueFull,
    /// The work would have waited for longer than is allowed at the present load.
    WaitTooLong,
    /// The response could not have met its deadline: the server's, or the client's timeout.
    Deadline,
    /// The client already had its share of the queue while other clients waited too.
    OverFairShare,
    /// The work had waited for too long by the time a worker took it.
    Stale,
}

impl Refusal {
    pub(crate) const COUNT: usize = Self::ALL.len();

    /// Every reason, in the order of declaration: the index is `refusal as usize`.
    pub const ALL: &'static [Self] =
        &[Self::QueueFull, Self::WaitTooLong, Self::Deadline, Self::OverFairShare, Self::Stale];

    /// The name of the counter, in `snake_case`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::WaitTooLong => "wait_too_long",
            Self::Deadline => "deadline",
            Self::OverFairShare => "over_fair_share",
            Self::Stale => "stale",
        }
    }

    /// The reason as one sentence for people, without a full stop.
    #[must_use]
    pub const fn explain(self) -> &'static str {
        match self {
            Self::QueueFull => "the queue was full",
            Self::WaitTooLong => "the wait in the queue would have been too long",
            Self::Deadline => "the deadline could not have been met",
            Self::OverFairShare => "the client had its share of the queue already",
            Self::Stale => "the wait in the queue had been too long",
        }
    }
}
