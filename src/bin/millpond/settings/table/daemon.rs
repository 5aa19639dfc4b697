//! The daemon's settings: logs, and what the process may do.

use super::row::{ROW, Row, in_short_help, path, path_text, single};
use crate::settings::types::{AUTO, COLORS, FORMATS, LEVELS};
use crate::settings::value;

pub(super) static DAEMON_ROWS: &[Row] = &[
    choice!(
        LEVELS,
        log.level,
        "log.level",
        "log-level",
        "LEVEL",
        "The level of the log: off, error, warn, info, debug, trace",
        "-v logs one level more, -q one level less."
    ),
    choice!(
        COLORS,
        log.color,
        "log.color",
        "color",
        "WHEN",
        "When the log has colours: auto, always, never",
        "auto: on a terminal, unless NO_COLOR is set."
    ),
    Row {
        alias: Some("log-format"),
        ..in_short_help(choice!(
            FORMATS,
            access_log.format,
            "access_log.format",
            "access-log",
            "FORMAT",
            "Log each request: off, clf, combined, json",
            "With --access-log-file, the default is combined."
        ))
    },
    optional!(
        path,
        path_text,
        access_log.file,
        "access_log.file",
        "access-log-file",
        "PATH",
        "The file of the access log",
        "None: standard error. SIGUSR1 reopens the file."
    ),
    number!(
        access_log.buffer,
        "access_log.buffer",
        "access-log-buffer",
        "N",
        "Lines of the access log that may wait to be written",
        "Further lines are dropped and counted, since a worker must not wait for the disk."
    ),
    Row {
        without_value: Some(AUTO),
        ..in_short_help(optional!(
            |text| Ok(text.to_owned()),
            Clone::clone,
            admin.endpoint,
            "admin.endpoint",
            "admin",
            "ENDPOINT",
            "The admin endpoint: health, status page, metrics, commands",
            "tcp://HOST:PORT or unix:PATH. Without a value, or auto: admin.sock in the runtime \
             directory of the service ($RUNTIME_DIRECTORY), else tcp://127.0.0.1:9901."
        ))
    },
    switch!(
        "true",
        admin.public,
        "admin.public",
        "admin-public",
        "",
        "Allow an admin endpoint that other machines can reach",
        "Everyone who reaches it can read the status."
    ),
    optional!(
        path,
        path_text,
        admin.token_file,
        "admin.token_file",
        "admin-token-file",
        "PATH",
        "The file with the token that commands to a TCP admin endpoint need",
        "16 to 256 printable characters in one line. Without it, only a Unix socket takes commands."
    ),
    optional!(
        |text| Ok(text.to_owned()),
        Clone::clone,
        agent.endpoint,
        "agent.endpoint",
        "agent",
        "ENDPOINT",
        "The endpoint for HAProxy's agent-check: state and weight in one line",
        "tcp://HOST:PORT or unix:PATH. See docs/behind-a-balancer.md."
    ),
    switch!(
        "true",
        agent.public,
        "agent.public",
        "agent-public",
        "",
        "Allow an agent endpoint that other machines can reach",
        "Everyone who reaches it can read the state and the weight."
    ),
    optional!(
        value::number,
        value::text,
        agent.reference,
        "agent.reference",
        "agent-reference",
        "N",
        "The requests per second for which the agent reports 100 %",
        "The same for all instances, so that their weights compare them. None: the highest \
         capacity of this instance so far."
    ),
    optional!(
        |text| Ok(text.to_owned()),
        Clone::clone,
        user,
        "user",
        "user",
        "NAME",
        "The user that the server becomes once every endpoint is bound",
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
    list!(
        reach,
        "reach",
        "reach",
        "PATH",
        "A further path that a confined server can read; repeatable",
        "A reload can move a root there: for example, the directory that contains all releases."
    ),
];
