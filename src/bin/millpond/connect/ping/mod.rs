//! `millpond connect icmp:HOST`: ICMP echo requests and their replies.

mod command;
mod icmp;
mod pinger;

pub(super) use command::run;
