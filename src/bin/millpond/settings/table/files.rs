//! The settings of files: the directory that is served, and how. Each `[[site]]` has its own.

use super::row::{ROW, Row, in_short_help, path, path_text, single};
use crate::settings::value::{self, Expected};

pub(super) static FILES_ROWS: &[Row] = &[
    optional!(
        path,
        path_text,
        site.root,
        "root",
        "",
        "ROOT",
        "The directory to serve",
        "None: every answer is a greeting."
    ),
    list!(
        site.files.index,
        "files.index",
        "index",
        "NAME",
        "Files that are served for the directory they are in; the first that exists wins",
        ""
    ),
    in_short_help(switch!(
        "true",
        site.files.listing,
        "files.listing",
        "listing",
        "",
        "List directories that have no index",
        "As HTML, or as JSON to clients that prefer it. Otherwise they are answered with 404."
    )),
    number!(
        site.files.listing_entries,
        "files.listing_entries",
        "listing-entries",
        "N",
        "Names of a directory that are listed at most",
        "The first ones in order. A list that was cut says so."
    ),
    optional!(
        |text| Ok(text.to_owned()),
        Clone::clone,
        site.files.fallback,
        "files.fallback",
        "fallback",
        "FILE",
        "A file of ROOT for pages that do not exist (single-page applications)",
        "It is served with status 200 to clients that ask for HTML, for paths whose last name has no \
         dot."
    ),
    switch!(
        "true",
        site.files.fallback_dots,
        "files.fallback_dots",
        "fallback-dots",
        "",
        "Serve --fallback for paths whose last name has a dot, too",
        "Such as /user/jane.doe. A missing picture is still a 404, unless it is asked for as a page."
    ),
    Row {
        is_table: true,
        get: |s| s.site.files.error_pages.iter().map(|(k, v)| format!("{k}={v}")).collect(),
        set: |s, v| {
            s.site.files.error_pages = value::pairs(v, "STATUS=FILE, such as 404=404.html")?;
            Ok(())
        },
        is_list: true,
        ..row!(
            "files.error_pages",
            "error-page",
            "STATUS=FILE",
            "A file of ROOT that is the body of answers with this status; repeatable",
            ""
        )
    },
    Row {
        one_per_line: true,
        get: |s| s.site.files.headers.iter().map(value::rule_text).collect(),
        set: |s, v| {
            let rules: Result<Vec<_>, Expected> = v.iter().map(|text| value::rule(text)).collect();
            s.site.files.headers = rules?;
            Ok(())
        },
        is_list: true,
        ..row!(
            "files.headers",
            "header",
            "RULE",
            "A field for the answers to some paths: [PATTERN ]NAME: VALUE; repeatable",
            "A pattern that begins with a slash is matched against the whole path, another against \
             the last name in it; `*` stands for all but slashes, `**` for all. The variable holds \
             one rule a line."
        )
    },
    optional!(
        |text| Ok(text.to_owned()),
        Clone::clone,
        site.files.cache_control,
        "files.cache_control",
        "cache-control",
        "VALUE",
        "Cache-Control of files",
        ""
    ),
    list!(
        site.cors.origins,
        "files.cors",
        "cors",
        "ORIGIN",
        "An origin whose pages may read the answers (CORS), or `*` for any; repeatable",
        ""
    ),
    list!(
        site.cors.allow_headers,
        "files.cors_allow",
        "cors-allow",
        "NAME",
        "A request field that such pages may send; repeatable",
        ""
    ),
    list!(
        site.cors.expose_headers,
        "files.cors_expose",
        "cors-expose",
        "NAME",
        "A field of the answer that such pages may read; repeatable",
        ""
    ),
    time!(
        site.cors.max_age,
        "files.cors_max_age",
        "cors-max-age",
        "TIME",
        "How long browsers may remember what such pages may do",
        ""
    ),
    optional!(
        path,
        path_text,
        site.users,
        "files.auth",
        "auth",
        "FILE",
        "Who may read (basic authentication): lines NAME:HASH, as htpasswd -B writes them",
        "The file is read at the start and at a reload."
    ),
    Row {
        get: |s| vec![s.site.realm.clone()],
        set: |s, v| {
            s.site.realm = single(v)?.to_owned();
            Ok(())
        },
        ..row!("files.realm", "realm", "TEXT", "What browsers say is protected by --auth", "")
    },
    Row {
        is_table: true,
        get: |s| s.site.files.types.iter().map(|(k, v)| format!("{k}={v}")).collect(),
        set: |s, v| {
            s.site.files.types = value::pairs(v, "EXTENSION=TYPE, such as md=text/markdown")?;
            Ok(())
        },
        is_list: true,
        ..row!(
            "files.types",
            "type",
            "EXT=TYPE",
            "The content type of files with this extension; repeatable",
            ""
        )
    },
    Row {
        get: |s| vec![s.site.files.default_type.clone()],
        set: |s, v| {
            s.site.files.default_type = single(v)?.to_owned();
            Ok(())
        },
        ..row!(
            "files.default_type",
            "default-type",
            "TYPE",
            "The content type of files whose extension is not known",
            ""
        )
    },
    optional!(
        |text| Ok(text.to_owned()),
        Clone::clone,
        site.files.charset,
        "files.charset",
        "charset",
        "NAME",
        "The charset that text types are sent with",
        ""
    ),
    switch!(
        "false",
        site.files.nosniff,
        "files.nosniff",
        "no-nosniff",
        "",
        "Do not tell browsers to believe the content type",
        "X-Content-Type-Options: nosniff."
    ),
    switch!(
        "false",
        site.files.precompressed,
        "files.precompressed",
        "no-precompressed",
        "",
        "Do not send FILE.br, FILE.zst or FILE.gz in place of FILE",
        "They are sent to clients that accept them, if they are no older than FILE."
    ),
    number!(
        site.files.ranges,
        "files.ranges",
        "max-ranges",
        "N",
        "Ranges of a file that one request may ask for",
        "One that asks for more gets the whole file; 0 turns ranges off."
    ),
    switch!(
        "true",
        site.files.dotfiles,
        "files.dotfiles",
        "dotfiles",
        "",
        "Serve names that begin with a dot",
        "/.well-known/ is always served, names that begin with .ht never."
    ),
    number!(
        site.files.cache.entries,
        "files.cache_entries",
        "cache-entries",
        "N",
        "Paths about which something is remembered",
        "0 turns the cache off."
    ),
    number!(
        site.files.cache.descriptors,
        "files.cache_descriptors",
        "cache-descriptors",
        "N",
        "Files that are kept open",
        ""
    ),
    size!(
        site.files.cache.bytes,
        "files.cache_bytes",
        "cache-bytes",
        "SIZE",
        "Memory for the contents of small files",
        ""
    ),
    size!(
        site.files.cache.file_bytes,
        "files.cache_file_bytes",
        "cache-file-bytes",
        "SIZE",
        "Size up to which a file's contents are kept in memory",
        ""
    ),
    time!(
        site.files.cache.revalidate,
        "files.cache_revalidate",
        "cache-revalidate",
        "TIME",
        "How long what is remembered of a file is believed",
        ""
    ),
];
