//! [`Config`]: all settings of a server.

use super::http::HttpSettings;
use super::limits::Limits;
use super::overload::Overload;
use super::pool::Pool;
use super::proxy::Proxy;
use super::timeouts::Timeouts;

/// All settings of a server, except its endpoints and its handlers.
///
/// # Examples
/// ```
/// use millpond::Config;
///
/// let mut config = Config::default();
/// config.pool.workers = 8;
/// config.limits.connections = 1000;
/// assert!(config.check().is_ok());
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// The worker threads and their queue.
    pub pool: Pool,
    /// The number and the size of everything that the server keeps.
    pub limits: Limits,
    /// How long each phase of a connection may take.
    pub timeouts: Timeouts,
    /// When requests are refused.
    pub overload: Overload,
    /// What HTTP reports to clients.
    pub http: HttpSettings,
    /// Which proxies are trusted to name their clients.
    pub proxy: Proxy,
}
