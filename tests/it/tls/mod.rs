//! HTTP over TLS.

mod serving;
