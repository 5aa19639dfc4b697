//! The daemon's settings: logs, and what the process may do.

use super::row::{ROW, Row, in_short_help, path, path_text, single};
use crate::settings::types::{COLORS, FORMATS, LEVELS};
use crate::settings::value;

pub(super) static DAEMON_ROWS: &[Row] = &[
    choice!(
        LEVELS,
        log.level,
        "log.level",
        "log-level",
        "LEVEL",
        "How much is logged: off, error, warn, info, debug, trace",
        "-v and -q go one step up and down from it."
    ),
    choice!(
        COLORS,
        log.color,
        "log.color",
        "color",
        "WHEN",
        "Colours in the log: auto, always, never",
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
            "A line for each request: off, clf, combined, json",
            "Combined where a file is named and no format."
        ))
    },
    optional!(
        path,
        path_text,
        access_log.file,
        "access_log.file",
        "access-log-file",
        "PATH",
        "Where those lines go",
        "None: standard error. SIGUSR1 opens the file anew."
    ),
    number!(
        access_log.buffer,
        "access_log.buffer",
        "access-log-buffer",
        "N",
        "Lines that wait to be written",
        "Past it lines are dropped, and counted, rather than keep a worker waiting."
    ),
    optional!(
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
    list!(
        reach,
        "reach",
        "reach",
        "PATH",
        "What stays readable besides to a confined process; repeatable",
        "For a reload to move a root to, such as the directory of all releases."
    ),
];
