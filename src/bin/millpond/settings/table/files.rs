//! The settings of files: the directory that is served, and how. Each `[[site]]` can have its own.

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
        "None: every response is a greeting."
    ),
    list!(
        site.files.index,
        "files.index",
        "index",
        "NAME",
        "File names to serve for a directory; the first that exists is served",
        ""
    ),
    in_short_help(switch!(
        "true",
        site.files.listing,
        "files.listing",
        "listing",
        "",
        "List directories without an index file",
        "The list is HTML, or JSON for clients that prefer it. Without this flag, they get 404."
    )),
    number!(
        site.files.listing_entries,
        "files.listing_entries",
        "listing-entries",
        "N",
        "The largest number of names in the listing of a directory",
        "A longer listing has the first names in order, and a note."
    ),
    optional!(
        |text| Ok(text.to_owned()),
        Clone::clone,
        site.files.fallback,
        "files.fallback",
        "fallback",
        "FILE",
        "A file in ROOT for pages that do not exist (single-page applications)",
        "It is served with status 200 to clients that accept HTML, if the last segment of the path \
         has no dot."
    ),
    switch!(
        "true",
        site.files.fallback_dots,
        "files.fallback_dots",
        "fallback-dots",
        "",
        "Serve --fallback even if the last segment of the path has a dot",
        "For example /user/jane.doe. A missing picture still gets 404, unless HTML is accepted."
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
            "A file in ROOT, the body of responses with this status; repeatable",
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
            "A response field for some paths: [PATTERN ]NAME: VALUE; repeatable",
            "A pattern that begins with a slash is compared with the whole path, any other with \
             the last segment. `*` matches any text without slashes, `**` any text. The variable \
             has one rule a line."
        )
    },
    optional!(
        |text| Ok(text.to_owned()),
        Clone::clone,
        site.files.cache_control,
        "files.cache_control",
        "cache-control",
        "VALUE",
        "The Cache-Control field of files",
        ""
    ),
    list!(
        site.cors.origins,
        "files.cors",
        "cors",
        "ORIGIN",
        "An origin whose pages may read responses (CORS), or `*` for any; repeatable",
        ""
    ),
    list!(
        site.cors.allow_headers,
        "files.cors_allow",
        "cors-allow",
        "NAME",
        "A request field that pages of these origins may send; repeatable",
        ""
    ),
    list!(
        site.cors.expose_headers,
        "files.cors_expose",
        "cors-expose",
        "NAME",
        "A response field that pages of these origins may read; repeatable",
        ""
    ),
    time!(
        site.cors.max_age,
        "files.cors_max_age",
        "cors-max-age",
        "TIME",
        "How long browsers may cache the rules of CORS",
        ""
    ),
    optional!(
        path,
        path_text,
        site.users,
        "files.auth",
        "auth",
        "FILE",
        "The file of users (basic authentication), lines NAME:HASH as htpasswd -B writes them",
        "Only these users may read. The file is read at the start and at a reload."
    ),
    Row {
        get: |s| vec![s.site.realm.clone()],
        set: |s, v| {
            s.site.realm = single(v)?.to_owned();
            Ok(())
        },
        ..row!(
            "files.realm",
            "realm",
            "TEXT",
            "The name that browsers show when --auth asks for a password",
            ""
        )
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
            "The content type of files with an unknown extension",
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
        "The charset parameter of text types",
        ""
    ),
    switch!(
        "false",
        site.files.nosniff,
        "files.nosniff",
        "no-nosniff",
        "",
        "Do not forbid browsers to guess the content type",
        "The field is X-Content-Type-Options: nosniff."
    ),
    switch!(
        "false",
        site.files.precompressed,
        "files.precompressed",
        "no-precompressed",
        "",
        "Do not send FILE.br, FILE.zst or FILE.gz in place of FILE",
        "A compressed file is sent to clients that accept it, if it is not older than FILE."
    ),
    number!(
        site.files.ranges,
        "files.ranges",
        "max-ranges",
        "N",
        "Ranges of a file that one request may have",
        "A request with more ranges gets the whole file. 0 turns ranges off."
    ),
    switch!(
        "true",
        site.files.dotfiles,
        "files.dotfiles",
        "dotfiles",
        "",
        "Serve names that begin with a dot",
        "/.well-known/ is always served, names that begin with .ht are never served."
    ),
    number!(
        site.files.cache.entries,
        "files.cache_entries",
        "cache-entries",
        "N",
        "Paths in the cache",
        "0 turns the cache off."
    ),
    number!(
        site.files.cache.descriptors,
        "files.cache_descriptors",
        "cache-descriptors",
        "N",
        "Files that the cache keeps open",
        ""
    ),
    size!(
        site.files.cache.bytes,
        "files.cache_bytes",
        "cache-bytes",
        "SIZE",
        "Memory of the cache for the contents of small files",
        ""
    ),
    size!(
        site.files.cache.file_bytes,
        "files.cache_file_bytes",
        "cache-file-bytes",
        "SIZE",
        "Size of the largest file whose contents the cache keeps",
        ""
    ),
    time!(
        site.files.cache.revalidate,
        "files.cache_revalidate",
        "cache-revalidate",
        "TIME",
        "Age of a cached path at which the cache checks whether the file has changed",
        ""
    ),
];
