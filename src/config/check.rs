//! [`Config::check`]: the range of each value, and the relations between values.

use std::time::Duration;

use http::HeaderName;

use super::bounds;
use super::invalid::{at_least, invalid, not_more_than, positive};
use super::limits::Limits;
use super::overload::Overload;
use super::pool::Pool;
use super::proxy::{Proxy, TrustedPeer};
use super::timeouts::Timeouts;
use super::whole::Config;
use crate::error::Error;

impl Config {
    /// Checks each value, and the relations between values.
    ///
    /// # Errors
    /// An [`ErrorKind::Config`](crate::ErrorKind::Config) that names the first value which is out
    /// of range or contradicts another one.
    pub fn check(&self) -> Result<(), Error> {
        let Self { pool, limits, timeouts, overload, http: _, proxy } = self;
        bounds::check(self)?;
        check_pool(pool)?;
        check_limits(limits, pool)?;
        check_timeouts(timeouts)?;
        check_overload(overload)?;
        check_proxy(proxy)
    }
}

fn check_pool(pool: &Pool) -> Result<(), Error> {
    at_least("pool.workers", pool.workers, 1, "each worker serves one request at a time")?;
    at_least(
        "pool.backlog",
        pool.backlog as usize,
        1,
        "the kernel queues one connection at least",
    )?;
    at_least("pool.queue", pool.queue_capacity(), 1, "work reaches the workers by the queue")?;
    positive("pool.tick", pool.tick)
}

fn check_limits(limits: &Limits, pool: &Pool) -> Result<(), Error> {
    at_least("limits.connections", limits.connections, 1, "no client could connect")?;
    at_least("limits.head", limits.head, 128, "a shorter head has no room for a request line")?;
    at_least("limits.fields", limits.fields, 1, "every HTTP/1.1 request has a Host field")?;
    at_least("limits.pipeline", limits.pipeline, 1, "no request would be served")?;
    if limits.target >= limits.head {
        let expected = format!("less than limits.head, {}", limits.head);
        let hint = "lower limits.target or raise limits.head";
        return Err(invalid("limits.target", limits.target, &expected, hint));
    }
    let request = limits.head + limits.read_ahead;
    let why = "limits.head and limits.read_ahead together must fit";
    at_least("limits.input_total", limits.input_total, request, why)?;
    if let Some(most) = limits.waiting_workers {
        let why = "no worker could read a body as it arrives";
        at_least("limits.waiting_workers", most, 1, why)?;
        not_more_than(("limits.waiting_workers", most), ("pool.workers", pool.workers))?;
    }
    let total = ("limits.pending_total", limits.pending_total);
    not_more_than(("limits.pending", limits.pending), total)?;
    at_least("limits.datagram", limits.datagram, 1, "only empty datagrams could be received")?;
    let total = ("limits.datagram_total", limits.datagram_total);
    not_more_than(("limits.datagram", limits.datagram), total)?;
    if limits.requests == Some(0) {
        let hint = "1 closes the connection after each response";
        return Err(invalid("limits.requests", 0, "at least 1", hint));
    }
    Ok(())
}

fn check_timeouts(timeouts: &Timeouts) -> Result<(), Error> {
    positive("timeouts.handshake", timeouts.handshake)?;
    positive("timeouts.head", timeouts.head)?;
    positive("timeouts.idle", timeouts.idle)?;
    positive("timeouts.body", timeouts.body)?;
    positive("timeouts.write", timeouts.write)
}

fn check_overload(overload: &Overload) -> Result<(), Error> {
    let target = ("overload.target", Shown(overload.target));
    positive(target.0, overload.target)?;
    positive("overload.interval", overload.interval)?;
    positive("overload.deadline", overload.deadline)?;
    not_more_than(target, ("overload.interval", Shown(overload.interval)))?;
    not_more_than(target, ("overload.deadline", Shown(overload.deadline)))?;
    let share = overload.refuse_budget;
    if !(share > 0.0 && share <= 1.0) {
        let hint = "the budget is a share of the CPU time; every refusal takes some";
        return Err(invalid("overload.refuse_budget", share, "above 0 and up to 1", hint));
    }
    let hint = "use letters, digits and hyphens, such as X-Request-Timeout; empty turns it off";
    field_name("overload.timeout_field", &overload.timeout_field, hint)?;
    let (low, high) = overload.retry_after;
    if low > high {
        let value = format!("{low}-{high}");
        let hint = "write the lower number first";
        return Err(invalid("overload.retry_after", value, "a range of seconds", hint));
    }
    Ok(())
}

fn check_proxy(proxy: &Proxy) -> Result<(), Error> {
    let hint = "use X-Forwarded-For, Forwarded or X-Real-IP, for example; empty turns it off";
    field_name("proxy.header", &proxy.header, hint)?;
    let is_everything =
        |peer: &&TrustedPeer| matches!(peer, TrustedPeer::Network(it) if it.is_everything());
    match proxy.trusted.iter().find(is_everything) {
        Some(everything) if !proxy.trust_all => {
            let hint = "with it every client can claim any address; if no client can reach the \
                        server past its proxies, set proxy.trust_all";
            Err(invalid("proxy.trusted", everything, "the networks of your proxies", hint))
        }
        _ => Ok(()),
    }
}

/// Checks the name of a request field, which may be empty.
fn field_name(name: &str, field: &str, hint: &str) -> Result<(), Error> {
    if !field.is_empty() && HeaderName::from_bytes(field.as_bytes()).is_err() {
        return Err(invalid(name, format!("{field:?}"), "a field name", hint));
    }
    Ok(())
}

/// A time as errors show it.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
struct Shown(Duration);

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn the_defaults_are_valid() {
        Config::default().check().unwrap();
    }

    #[test]
    fn every_address_is_trusted_only_on_request() {
        let mut config = Config::default();
        config.proxy.trusted = vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];
        config.check().unwrap_err();
        config.proxy.trust_all = true;
        config.check().unwrap();
    }

    #[test]
    fn a_value_out_of_range_is_named() {
        type Change = fn(&mut Config);
        let table: [(Change, &str); 13] = [
            (|c| c.pool.workers = 0, "invalid pool.workers 0: expected at least 1"),
            (|c| c.pool.backlog = 0, "invalid pool.backlog 0"),
            (|c| c.pool.queue = Some(0), "invalid pool.queue 0"),
            (|c| c.limits.connections = 0, "invalid limits.connections 0"),
            (
                |c| c.limits.target = 65_536,
                "invalid limits.target 65536: expected less than limits.head",
            ),
            (|c| c.limits.pending = 1 << 30, "expected at most limits.pending_total"),
            (
                |c| c.timeouts.head = Duration::ZERO,
                "invalid timeouts.head 0: expected a time above 0",
            ),
            (
                |c| c.overload.target = Duration::from_secs(2),
                "invalid overload.target 2s: expected at most overload.interval",
            ),
            (|c| c.overload.refuse_budget = 0.0, "invalid overload.refuse_budget 0"),
            (|c| c.overload.timeout_field = "a b".into(), "invalid overload.timeout_field \"a b\""),
            (|c| c.proxy.header = "X Y".into(), "invalid proxy.header \"X Y\": expected a field"),
            (
                |c| c.proxy.trusted = vec!["0.0.0.0/0".parse().unwrap()],
                "invalid proxy.trusted 0.0.0.0/0: expected the networks of your proxies",
            ),
            (
                |c| c.proxy.trusted = vec!["unix".parse().unwrap(), "::/0".parse().unwrap()],
                "invalid proxy.trusted ::/0",
            ),
        ];
        for (change, expected) in table {
            let mut config = Config::default();
            change(&mut config);
            let error = config.check().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains(expected), "{error} lacks {expected}");
            assert!(error.hint().is_some());
        }
    }
}
