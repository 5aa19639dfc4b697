//! The table of settings: each one's key, flag, help text, and its way in and out of [`Settings`].
//!
//! A row is all there is to a setting: the command line, the variables, the file, `--help`,
//! `--print-config` and the man page are made from it.

use super::value::{self, Expected};
use super::{COLORS, FORMATS, LEVELS, Settings};

/// One setting.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    /// Its place in the file: `table.key`, or `key` at the top.
    pub(crate) key: &'static str,
    /// Its long flag, without the dashes; empty where it has none.
    pub(crate) flag: &'static str,
    pub(crate) short: Option<char>,
    /// Another spelling of the flag.
    pub(crate) alias: Option<&'static str>,
    /// What `--help` calls the flag's value.
    pub(crate) value: &'static str,
    /// For a flag that takes no value: the text it stands for.
    pub(crate) on: Option<&'static str>,
    /// Whether it is a list, and its flag may be repeated.
    pub(crate) many: bool,
    /// Whether `-h` shows it.
    pub(crate) common: bool,
    /// One line for `-h`.
    pub(crate) help: &'static str,
    /// What `--help` adds.
    pub(crate) more: &'static str,
    pub(crate) get: fn(&Settings) -> Vec<String>,
    pub(crate) set: fn(&mut Settings, &[String]) -> Result<(), Expected>,
}

const ROW: Row = Row {
    key: "",
    flag: "",
    short: None,
    alias: None,
    value: "N",
    on: None,
    many: false,
    common: false,
    help: "",
    more: "",
    get: |_| Vec::new(),
    set: |_, _| Ok(()),
};

/// The only value of a setting that is no list.
fn one(values: &[String]) -> Result<&str, Expected> {
    match values {
        [value] => Ok(value),
        _ => Err("single value".to_owned()),
    }
}

/// The two functions of a row: which field, how it is read, how it is written.
macro_rules! field {
    ($row:ident, $($field:ident).+, $read:expr, $write:expr) => {
        Row {
            get: |s| vec![$write(s.$($field).+.clone())],
            set: |s, v| {
                s.$($field).+ = $read(one(v)?)?;
                Ok(())
            },
            ..$row
        }
    };
}

macro_rules! row {
    ($key:literal, $flag:literal, $value:literal, $help:literal, $more:literal) => {
        Row { key: $key, flag: $flag, value: $value, help: $help, more: $more, ..ROW }
    };
}

macro_rules! time {
    ($($field:ident).+, $($row:tt)+) => {{
        const R: Row = row!($($row)+);
        field!(R, $($field).+, value::time, value::time_text)
    }};
}

macro_rules! number {
    ($($field:ident).+, $($row:tt)+) => {{
        const R: Row = row!($($row)+);
        field!(R, $($field).+, value::number, |n| value::text(&n))
    }};
}

/// A size that is a `usize` in the configuration.
macro_rules! size {
    ($($field:ident).+, $($row:tt)+) => {{
        const R: Row = row!($($row)+);
        field!(
            R,
            $($field).+,
            |text| value::size(text)
                .and_then(|n| n.try_into().map_err(|_| "size that fits".to_owned())),
            |n| value::size_text(n as u64)
        )
    }};
}

macro_rules! switch {
    ($on:literal, $($field:ident).+, $($row:tt)+) => {{
        const R: Row = Row { on: Some($on), ..row!($($row)+) };
        field!(R, $($field).+, value::switch, |b| value::text(&b))
    }};
}

macro_rules! word {
    ($words:expr, $($field:ident).+, $($row:tt)+) => {{
        const R: Row = row!($($row)+);
        field!(
            R,
            $($field).+,
            |text| value::word(text, &$words),
            |w| value::word_text(&w, &$words)
        )
    }};
}

macro_rules! maybe {
    ($read:expr, $write:expr, $($field:ident).+, $($row:tt)+) => {{
        const R: Row = row!($($row)+);
        field!(
            R,
            $($field).+,
            |text| value::maybe(text, $read),
            |m: Option<_>| value::maybe_text(m.as_ref(), $write)
        )
    }};
}

/// Shown by `-h`.
const fn common(row: Row) -> Row {
    Row { common: true, ..row }
}

const fn short(letter: char, row: Row) -> Row {
    Row { short: Some(letter), common: true, ..row }
}

fn path(text: &str) -> Result<std::path::PathBuf, Expected> {
    if text.is_empty() { Err("path".to_owned()) } else { Ok(text.into()) }
}

#[expect(clippy::ptr_arg, reason = "the form that `maybe!` asks for")]
fn path_text(path: &std::path::PathBuf) -> String {
    path.display().to_string()
}

/// Every setting, in the order of `--help` and `--print-config`.
pub(crate) static ROWS: &[Row] = &[
    Row {
        key: "bind",
        flag: "bind",
        short: Some('b'),
        value: "ENDPOINT",
        many: true,
        common: true,
        help: "Where to listen; repeatable",
        more: "An endpoint is tcp://HOST:PORT, unix:PATH, unix:@NAME, or fd:NAME and fd:N for a \
               socket that was passed by the service manager (N counts from 0). Port 0 takes a \
               free one. Without it, all passed sockets are taken, or else tcp://[::]:8888, which is \
               every address, IPv4 and IPv6.",
        get: |s| s.bind.clone(),
        set: |s, v| {
            if v.iter().any(String::is_empty) {
                return Err("endpoint".to_owned());
            }
            s.bind = v.to_vec();
            Ok(())
        },
        ..ROW
    },
    maybe!(path, path_text, root, "root", "", "PATH", "The directory to serve", ""),
    common(switch!(
        "true",
        echo,
        "echo",
        "echo",
        "",
        "Send back what comes, instead of HTTP",
        "RFC 862."
    )),
    // The pool.
    Row {
        alias: Some("workers"),
        ..short(
            't',
            number!(
                config.pool.workers,
                "pool.workers",
                "threads",
                "N",
                "Worker threads: requests served at once",
                "Handlers block, so more than one per core: eight by default."
            ),
        )
    },
    common(number!(
        config.pool.backlog,
        "pool.backlog",
        "backlog",
        "N",
        "Connections that the kernel holds before they are accepted",
        "Clipped by the kernel to net.core.somaxconn, which is warned of."
    )),
    common(maybe!(
        value::number,
        value::text,
        config.pool.queue,
        "pool.queue",
        "queue",
        "N",
        "Work that waits for a worker",
        "None: as many as the backlog, but at most 4096."
    )),
    time!(
        config.pool.tick,
        "pool.tick",
        "tick",
        "TIME",
        "How soon another worker is woken when handlers block",
        ""
    ),
    number!(
        config.pool.upgrades,
        "pool.upgrades",
        "max-upgrades",
        "N",
        "Upgraded connections at once",
        "Each takes a thread."
    ),
    // Limits.
    common(number!(
        config.limits.connections,
        "limits.connections",
        "max-connections",
        "N",
        "Connections open at once",
        "Past it the kernel's backlog holds the newcomers. Lowered at start to what RLIMIT_NOFILE \
         allows."
    )),
    size!(
        config.limits.head,
        "limits.head",
        "max-head",
        "SIZE",
        "Bytes of a request's head",
        "Exceeded: 431."
    ),
    size!(
        config.limits.target,
        "limits.target",
        "max-target",
        "SIZE",
        "Bytes of a request's target",
        "Exceeded: 414."
    ),
    number!(
        config.limits.fields,
        "limits.fields",
        "max-fields",
        "N",
        "Field lines of a request's head",
        "Exceeded: 431."
    ),
    size!(
        config.limits.body,
        "limits.body",
        "max-body",
        "SIZE",
        "Bytes of a request's body",
        "Exceeded: 413."
    ),
    size!(
        config.limits.trailers,
        "limits.trailers",
        "max-trailers",
        "SIZE",
        "Bytes of a trailer section, and of a chunk's extensions",
        ""
    ),
    size!(
        config.limits.drain,
        "limits.drain",
        "max-unread",
        "SIZE",
        "Bytes of an unread body that are thrown away to keep a connection",
        ""
    ),
    size!(
        config.limits.pending,
        "limits.pending",
        "max-pending",
        "SIZE",
        "Bytes of an answer kept in memory for a slow reader",
        ""
    ),
    size!(
        config.limits.pending_total,
        "limits.pending_total",
        "max-pending-total",
        "SIZE",
        "Bytes of answers kept in memory for all slow readers",
        ""
    ),
    maybe!(
        value::number,
        value::text,
        config.limits.requests,
        "limits.requests",
        "max-requests",
        "N",
        "Requests on one connection",
        ""
    ),
    number!(
        config.limits.pipeline,
        "limits.pipeline",
        "max-pipeline",
        "N",
        "Pipelined requests served before the connection queues again",
        ""
    ),
    // Timeouts.
    time!(
        config.timeouts.head,
        "timeouts.head",
        "head-timeout",
        "TIME",
        "For the whole head of a request",
        ""
    ),
    time!(
        config.timeouts.idle,
        "timeouts.idle",
        "idle-timeout",
        "TIME",
        "Between two requests of a connection",
        ""
    ),
    time!(
        config.timeouts.body,
        "timeouts.body",
        "body-timeout",
        "TIME",
        "Between two pieces of a request's body",
        ""
    ),
    time!(
        config.timeouts.write,
        "timeouts.write",
        "write-timeout",
        "TIME",
        "Between two pieces of an answer that the client takes",
        ""
    ),
    time!(
        config.timeouts.linger,
        "timeouts.linger",
        "linger-timeout",
        "TIME",
        "For the client to close after the server has",
        ""
    ),
    common(time!(
        config.timeouts.drain,
        "timeouts.drain",
        "drain",
        "TIME",
        "For everything in hand to end when told to stop",
        "What is still open then is cut off, and the exit code is 75."
    )),
    maybe!(
        value::time,
        |t| value::time_text(*t),
        config.timeouts.age,
        "timeouts.age",
        "max-connection-age",
        "TIME",
        "Age after which a connection's next answer is its last",
        ""
    ),
    number!(
        config.timeouts.min_rate,
        "timeouts.min_rate",
        "min-rate",
        "N",
        "Bytes a second below which a body is too slow",
        "0 turns it off."
    ),
    time!(
        config.timeouts.rate_grace,
        "timeouts.rate_grace",
        "rate-grace",
        "TIME",
        "How long a body may be slower than that",
        ""
    ),
    // Overload.
    common(time!(
        config.overload.target,
        "overload.target",
        "target",
        "TIME",
        "The wait for a worker that is aimed at",
        ""
    )),
    time!(
        config.overload.interval,
        "overload.interval",
        "interval",
        "TIME",
        "How long waits may exceed the target before work is refused",
        ""
    ),
    common(time!(
        config.overload.deadline,
        "overload.deadline",
        "deadline",
        "TIME",
        "The time a request may take, wait included",
        "Work that cannot be done by then is refused with 503."
    )),
    common(switch!(
        "false",
        config.overload.shed,
        "overload.shed",
        "no-shed",
        "",
        "Refuse work only when the queue is full",
        ""
    )),
    switch!(
        "false",
        config.overload.fairness,
        "overload.fairness",
        "no-fairness",
        "",
        "Do not share out the queue by client address while overloaded",
        ""
    ),
    number!(
        config.overload.refuse_budget,
        "overload.refuse_budget",
        "refuse-budget",
        "SHARE",
        "Share of the CPU time that refusing may take, from 0 to 1",
        ""
    ),
    {
        const R: Row = row!(
            "overload.retry_after",
            "retry-after",
            "LOW-HIGH",
            "Range of the Retry-After of a refusal, in seconds",
            ""
        );
        field!(R, config.overload.retry_after, value::range, |(a, b)| format!("{a}-{b}"))
    },
    // The daemon.
    word!(
        LEVELS,
        log.level,
        "log.level",
        "log-level",
        "LEVEL",
        "How much is logged: off, error, warn, info, debug, trace",
        "-v and -q go one step up and down from it."
    ),
    word!(
        COLORS,
        log.color,
        "log.color",
        "color",
        "WHEN",
        "Colours in the log: auto, always, never",
        "auto: on a terminal, unless NO_COLOR is set."
    ),
    common(word!(
        FORMATS,
        access.format,
        "access_log.format",
        "access-log",
        "FORMAT",
        "A line for each request: off, clf, combined, json",
        ""
    )),
    maybe!(
        path,
        path_text,
        access.file,
        "access_log.file",
        "access-log-file",
        "PATH",
        "Where those lines go",
        "None: standard error. SIGUSR1 opens the file anew."
    ),
    number!(
        access.buffer,
        "access_log.buffer",
        "access-log-buffer",
        "N",
        "Lines that wait to be written",
        "Past it lines are dropped, and counted, rather than keep a worker waiting."
    ),
    maybe!(
        |text| Ok(text.to_owned()),
        Clone::clone,
        user,
        "user",
        "user",
        "NAME",
        "The user to become once everything is bound",
        ""
    ),
    switch!(
        "false",
        confine,
        "confine",
        "no-confine",
        "",
        "Do not confine the process to the files that it serves (Landlock)",
        ""
    ),
];

/// The row with this key.
pub(crate) fn find(key: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.key == key)
}

/// The variable of a setting: `MILLPOND_LIMITS_HEAD`.
pub(crate) fn variable(row: &Row) -> String {
    format!("MILLPOND_{}", row.key.replace('.', "_").to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_settings_share_a_key_a_flag_or_a_variable() {
        let mut seen = HashSet::new();
        for row in ROWS {
            assert!(seen.insert(row.key.to_owned()), "{}", row.key);
            assert!(seen.insert(variable(row)), "{}", row.key);
            assert!(row.flag.is_empty() || seen.insert(format!("--{}", row.flag)), "{}", row.flag);
        }
    }

    #[test]
    fn every_setting_reads_what_it_writes() {
        for row in ROWS {
            let mut settings = Settings::default();
            let values = (row.get)(&settings);
            (row.set)(&mut settings, &values).unwrap();
            assert_eq!(settings, Settings::default(), "{}", row.key);
        }
    }

    #[test]
    fn every_setting_explains_itself() {
        for row in ROWS {
            assert!(!row.help.is_empty() && !row.help.ends_with('.'), "{}", row.key);
            assert!(row.more.is_empty() || row.more.ends_with('.'), "{}", row.key);
        }
    }
}
