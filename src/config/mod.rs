//! Every limit of the server that users can set, with its default.
//!
//! Plain data with defaults. A program makes a [`Config`] by `Config::default()` and then sets
//! fields by name, because later versions add fields. [`Config::check`] checks each value and the
//! relations between values. It is called whenever a server is built or reconfigured.

pub(crate) mod bounds;
mod check;
mod http;
mod invalid;
mod limits;
mod overload;
mod pool;
mod proxy;
mod timeouts;
mod whole;

pub use http::HttpSettings;
pub use limits::Limits;
pub use overload::Overload;
pub use pool::{Pool, default_workers};
pub use proxy::{Network, Proxy, TrustedPeer};
pub use timeouts::Timeouts;
pub use whole::Config;
