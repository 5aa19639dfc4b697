//! The `millpond` binary as a process.

mod admin;
mod agent;
mod files;
mod logs;
mod proxied;
mod proxy_header;
mod restart;
mod rolling;
mod running;
mod signals;
mod sites;
mod soak;
mod start;
mod stop;
mod systemd;
