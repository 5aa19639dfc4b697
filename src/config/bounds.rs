//! The upper bound of each setting.
//!
//! The functions destructure each struct completely, so that a new setting does not compile until
//! it has a bound here.

use std::time::Duration;

use super::http::HttpSettings;
use super::invalid::invalid;
use super::limits::Limits;
use super::overload::Overload;
use super::pool::Pool;
use super::proxy::Proxy;
use super::timeouts::Timeouts;
use super::whole::Config;
use crate::error::Error;

/// The longest time that can be set: a year. A sum of such times does not overflow an `Instant`,
/// which would panic.
pub(crate) const MAX_TIME: Duration = Duration::from_secs(365 * 24 * 3600);

/// More bytes than a machine has memory or a body has.
const MAX_BYTES: u64 = 1 << 50;

/// Checks that no value exceeds its bound.
pub(super) fn check(config: &Config) -> Result<(), Error> {
    let Config { pool, limits, timeouts, overload, http, proxy } = config;
    let HttpSettings { server_timing: _ } = http;
    check_pool(pool)?;
    check_limits(limits)?;
    check_timeouts(timeouts)?;
    check_overload(overload)?;
    check_proxy(proxy)
}

fn check_pool(pool: &Pool) -> Result<(), Error> {
    let Pool { workers, backlog, queue, tick, worker_nice, receive_buffer, upgrades, handshakes } =
        pool;
    let handshakes = handshakes.unwrap_or(0) as u64;
    at_most("pool.handshakes", handshakes, 10_000, "each takes a worker")?;
    at_most("pool.workers", *workers as u64, 10_000, "each worker is a thread")?;
    at_most("pool.backlog", u64::from(*backlog), 1 << 24, "the kernel queues no more")?;
    let queue = queue.unwrap_or(0) as u64;
    at_most("pool.queue", queue, 1 << 20, "a longer queue only lengthens waits")?;
    no_longer("pool.tick", *tick)?;
    at_most("pool.worker_nice", (*worker_nice).into(), 19, "19 is the highest nice value")?;
    let buffer = receive_buffer.unwrap_or(0) as u64;
    at_most("pool.receive_buffer", buffer, 1 << 30, "the kernel accepts no larger buffer")?;
    at_most("pool.upgrades", *upgrades as u64, 10_000, "each upgraded connection has a thread")
}

fn check_limits(limits: &Limits) -> Result<(), Error> {
    let Limits {
        connections,
        head,
        target,
        fields,
        body,
        trailers,
        read_ahead,
        input_total,
        waiting_workers,
        unread_body,
        pending,
        pending_total,
        datagram,
        datagram_total,
        requests,
        pipeline,
    } = limits;
    let each = "each connection may use this much memory";
    let memory = "no machine has more memory";
    let waiting = waiting_workers.unwrap_or(0) as u64;
    for (name, value, most, why) in [
        ("limits.connections", *connections as u64, 1 << 24, "each connection takes a descriptor"),
        ("limits.head", *head as u64, 1 << 24, each),
        ("limits.target", *target as u64, 1 << 24, each),
        ("limits.fields", *fields as u64, 10_000, "each field line takes memory"),
        ("limits.body", *body, MAX_BYTES, "no body is longer"),
        ("limits.trailers", *trailers as u64, 1 << 24, each),
        ("limits.read_ahead", *read_ahead as u64, 1 << 24, each),
        ("limits.input_total", *input_total as u64, MAX_BYTES, memory),
        ("limits.waiting_workers", waiting, 10_000, "each worker is a thread"),
        ("limits.unread_body", *unread_body, MAX_BYTES, "no body is longer"),
        ("limits.pending", *pending as u64, MAX_BYTES, memory),
        ("limits.pending_total", *pending_total as u64, MAX_BYTES, memory),
        ("limits.datagram", *datagram as u64, 1 << 24, "each worker has a buffer for one datagram"),
        ("limits.datagram_total", *datagram_total as u64, MAX_BYTES, memory),
        ("limits.requests", requests.unwrap_or(0), 1 << 50, "no connection serves more requests"),
        (
            "limits.pipeline",
            *pipeline as u64,
            10_000,
            "other connections wait for the worker meanwhile",
        ),
    ] {
        at_most(name, value, most, why)?;
    }
    Ok(())
}

fn check_timeouts(timeouts: &Timeouts) -> Result<(), Error> {
    let Timeouts {
        handshake,
        head,
        idle,
        body,
        write,
        linger,
        lame_duck,
        drain,
        drain_idle,
        defer_accept,
        linger_total,
        age,
        min_rate,
        min_rate_on_worker,
        rate_grace,
    } = timeouts;
    for (name, value) in [
        ("timeouts.handshake", *handshake),
        ("timeouts.head", *head),
        ("timeouts.idle", *idle),
        ("timeouts.body", *body),
        ("timeouts.write", *write),
        ("timeouts.linger", *linger),
        ("timeouts.linger_total", *linger_total),
        ("timeouts.lame_duck", *lame_duck),
        ("timeouts.drain", *drain),
        ("timeouts.drain_idle", *drain_idle),
        ("timeouts.defer_accept", *defer_accept),
        ("timeouts.age", age.unwrap_or_default()),
        ("timeouts.rate_grace", *rate_grace),
    ] {
        no_longer(name, value)?;
    }
    let fast = "hardly any client is faster";
    at_most("timeouts.min_rate", u64::from(*min_rate), 1 << 30, fast)?;
    at_most("timeouts.min_rate_on_worker", u64::from(*min_rate_on_worker), 1 << 30, fast)
}

fn check_overload(overload: &Overload) -> Result<(), Error> {
    let Overload {
        shed: _,
        target,
        interval,
        deadline,
        fairness: _,
        drop_gone: _,
        // A share, with a check of its own.
        refuse_budget: _,
        retry_after: (low, high),
        timeout_field,
        report,
    } = overload;
    for (name, value) in [
        ("overload.target", *target),
        ("overload.interval", *interval),
        ("overload.deadline", *deadline),
        ("overload.retry_after", Duration::from_secs(u64::from(*low.max(high)))),
        ("overload.report", *report),
    ] {
        no_longer(name, value)?;
    }
    let length = timeout_field.len() as u64;
    at_most("length of overload.timeout_field", length, 256, "no field name is longer")
}

fn check_proxy(proxy: &Proxy) -> Result<(), Error> {
    let Proxy { trusted, header, trust_all: _ } = proxy;
    let (networks, length) = (trusted.len() as u64, header.len() as u64);
    let each = "each request may be compared with each of them";
    at_most("number of proxy.trusted", networks, 256, each)?;
    at_most("length of proxy.header", length, 256, "no field name is longer")
}

/// Checks a number.
pub(crate) fn at_most(name: &str, value: u64, most: u64, why: &str) -> Result<(), Error> {
    if value > most {
        return Err(invalid(name, value, &format!("at most {most}"), why));
    }
    Ok(())
}

/// Checks a time.
pub(crate) fn no_longer(name: &str, value: Duration) -> Result<(), Error> {
    if value > MAX_TIME {
        let value = format!("{value:?}");
        return Err(invalid(name, value, "at most a year", "a year is 8760h, or 31536000 seconds"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reference to a setting that has an upper bound.
    enum Slot<'a> {
        Time(&'a mut Duration),
        OptionalTime(&'a mut Option<Duration>),
        Size(&'a mut usize),
        OptionalSize(&'a mut Option<usize>),
        U64(&'a mut u64),
        OptionalU64(&'a mut Option<u64>),
        U32(&'a mut u32),
        U8(&'a mut u8),
    }

    impl Slot<'_> {
        /// Sets a value beyond any bound, the first or the second by `step`.
        fn exceed(self, step: usize) {
            // 1e19 s is a valid Duration that overflows every Instant.
            let time = [Duration::MAX, Duration::from_secs(10_000_000_000_000_000_000)][step];
            let number = [u64::MAX, 1 << 60][step];
            match self {
                Slot::Time(slot) => *slot = time,
                Slot::OptionalTime(slot) => *slot = Some(time),
                Slot::Size(slot) => *slot = number as usize,
                Slot::OptionalSize(slot) => *slot = Some(number as usize),
                Slot::U64(slot) => *slot = number,
                Slot::OptionalU64(slot) => *slot = Some(number),
                Slot::U32(slot) => *slot = [u32::MAX, u32::MAX - 1][step],
                Slot::U8(slot) => *slot = [u8::MAX, 20][step],
            }
        }
    }

    /// Every setting that is a time, a size or a number.
    fn slots(config: &mut Config) -> Vec<(&'static str, Slot<'_>)> {
        let Config { pool, limits, timeouts, overload, http: _, proxy: _ } = config;
        let Pool {
            workers,
            backlog,
            queue,
            tick,
            worker_nice,
            receive_buffer,
            upgrades,
            handshakes,
        } = pool;
        let Limits {
            connections,
            head,
            target,
            fields,
            body,
            trailers,
            read_ahead,
            input_total,
            waiting_workers,
            unread_body,
            pending,
            pending_total,
            datagram,
            datagram_total,
            requests,
            pipeline,
        } = limits;
        let mut slots = vec![
            ("pool.workers", Slot::Size(workers)),
            ("pool.backlog", Slot::U32(backlog)),
            ("pool.queue", Slot::OptionalSize(queue)),
            ("pool.tick", Slot::Time(tick)),
            ("pool.worker_nice", Slot::U8(worker_nice)),
            ("pool.receive_buffer", Slot::OptionalSize(receive_buffer)),
            ("pool.upgrades", Slot::Size(upgrades)),
            ("pool.handshakes", Slot::OptionalSize(handshakes)),
            ("limits.connections", Slot::Size(connections)),
            ("limits.head", Slot::Size(head)),
            ("limits.target", Slot::Size(target)),
            ("limits.fields", Slot::Size(fields)),
            ("limits.body", Slot::U64(body)),
            ("limits.trailers", Slot::Size(trailers)),
            ("limits.read_ahead", Slot::Size(read_ahead)),
            ("limits.input_total", Slot::Size(input_total)),
            ("limits.waiting_workers", Slot::OptionalSize(waiting_workers)),
            ("limits.unread_body", Slot::U64(unread_body)),
            ("limits.pending", Slot::Size(pending)),
            ("limits.pending_total", Slot::Size(pending_total)),
            ("limits.datagram", Slot::Size(datagram)),
            ("limits.datagram_total", Slot::Size(datagram_total)),
            ("limits.requests", Slot::OptionalU64(requests)),
            ("limits.pipeline", Slot::Size(pipeline)),
        ];
        let Timeouts {
            handshake,
            head,
            idle,
            body,
            write,
            linger,
            lame_duck,
            drain,
            drain_idle,
            defer_accept,
            linger_total,
            age,
            min_rate,
            min_rate_on_worker,
            rate_grace,
        } = timeouts;
        let Overload {
            shed: _,
            target,
            interval,
            deadline,
            fairness: _,
            drop_gone: _,
            refuse_budget: _,
            retry_after: (_, high),
            timeout_field: _,
            report,
        } = overload;
        slots.extend([
            ("timeouts.handshake", Slot::Time(handshake)),
            ("timeouts.head", Slot::Time(head)),
            ("timeouts.idle", Slot::Time(idle)),
            ("timeouts.body", Slot::Time(body)),
            ("timeouts.write", Slot::Time(write)),
            ("timeouts.linger", Slot::Time(linger)),
            ("timeouts.linger_total", Slot::Time(linger_total)),
            ("timeouts.lame_duck", Slot::Time(lame_duck)),
            ("timeouts.drain", Slot::Time(drain)),
            ("timeouts.drain_idle", Slot::Time(drain_idle)),
            ("timeouts.defer_accept", Slot::Time(defer_accept)),
            ("timeouts.age", Slot::OptionalTime(age)),
            ("timeouts.min_rate", Slot::U32(min_rate)),
            ("timeouts.min_rate_on_worker", Slot::U32(min_rate_on_worker)),
            ("timeouts.rate_grace", Slot::Time(rate_grace)),
            ("overload.target", Slot::Time(target)),
            ("overload.interval", Slot::Time(interval)),
            ("overload.deadline", Slot::Time(deadline)),
            ("overload.retry_after", Slot::U32(high)),
            ("overload.report", Slot::Time(report)),
        ]);
        slots
    }

    #[test]
    fn every_setting_has_an_upper_bound() {
        let settings = slots(&mut Config::default()).len();
        for (index, step) in (0..settings).flat_map(|index| [(index, 0), (index, 1)]) {
            let mut config = Config::default();
            let (name, slot) = slots(&mut config).swap_remove(index);
            slot.exceed(step);
            let error = config.check().expect_err(name);
            let error_text = error.to_string();
            assert!(error_text.starts_with(&format!("invalid {name} ")), "{error_text}");
            assert!(error_text.contains(": expected at most "), "{error_text}");
            assert!(error.hint().is_some(), "{name}");
        }
    }

    #[test]
    fn a_year_is_a_valid_time() {
        let mut config = Config::default();
        config.timeouts.idle = MAX_TIME;
        config.overload.deadline = MAX_TIME;
        config.check().unwrap();
        // A sum of many years does not overflow an `Instant`.
        assert!(std::time::Instant::now().checked_add(MAX_TIME * 1000).is_some());
    }
}
