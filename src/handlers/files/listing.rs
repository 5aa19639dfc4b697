//! The listing of a directory, as HTML for people and as JSON for programs.

use std::fmt::Write;
use std::os::fd::OwnedFd;

use http::{HeaderValue, header};
use rustix::fs::{AtFlags, Dir, FileType, Stat, statat};
use rustix::io::Errno;

use super::pages::Page;
use super::path::{encode, is_hidden};
use super::root::Root;
use crate::http::Response;
use crate::http::conditional::http_date;
use crate::http::json_text::escape_json;

/// A file or directory in a listing.
#[derive(Debug)]
struct ListedFile {
    name: Vec<u8>,
    is_dir: bool,
    /// The size in bytes.
    size: u64,
    /// The modification time in seconds since 1970.
    modified: u64,
}

/// Which names of a directory are shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct ListingOptions {
    pub(super) dotfiles: bool,
    pub(super) most: usize,
}

/// The names of a directory that are shown, in order.
#[derive(Debug)]
struct Listing {
    items: Vec<ListedFile>,
    /// The number of names, shown or not.
    total: usize,
}

/// The listing of the directory at `path`, which is empty or ends with a slash, as JSON or as HTML.
///
/// # Errors
/// Those of openat2(2) and getdents64(2).
pub(super) fn page(
    root: &Root,
    path: &[u8],
    options: ListingOptions,
    as_json: bool,
) -> rustix::io::Result<String> {
    let listing = read(root, path, options)?;
    Ok(if as_json { json(&listing) } else { html(path, &listing) })
}

/// A response with a listing.
pub(super) fn response(page: &Page, as_json: bool) -> Response {
    let response = if as_json {
        Response::json(page.body())
    } else {
        let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");
        Response::html(page.body()).with_header(header::CONTENT_SECURITY_POLICY, policy)
    };
    response
        .with_header(header::VARY, HeaderValue::from_static("Accept"))
        .with_header(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))
}

/// The sort key of a name: directories first, then without regard to case, then the bytes of the
/// name.
type Name = (bool, String, Vec<u8>);

/// Reads a directory. All names are read, but at most twice as many are kept as are shown, and only
/// the shown ones are passed to stat(2).
fn read(root: &Root, path: &[u8], options: ListingOptions) -> rustix::io::Result<Listing> {
    // A directory that may not be read is open as a path only.
    let unreadable = |errno| if errno == Errno::BADF { Errno::ACCESS } else { errno };
    let fd = OwnedFd::from(root.beneath(path)?.file);
    let mut dir = Dir::new(fd.try_clone().map_err(|_| Errno::MFILE)?)?;
    let mut names: Vec<Name> = Vec::new();
    let mut total = 0;
    while let Some(entry) = dir.next().transpose().map_err(unreadable)? {
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b"..") || is_hidden(name, options.dotfiles) {
            continue;
        }
        let is_dir = match entry.file_type() {
            FileType::Directory => true,
            FileType::RegularFile => false,
            FileType::Symlink | FileType::Unknown => match stat(root, &fd, path, name) {
                Some(stat) => kind(&stat) == FileType::Directory,
                None => continue,
            },
            _ => continue,
        };
        total += 1;
        names.push((!is_dir, String::from_utf8_lossy(name).to_lowercase(), name.to_vec()));
        if names.len() > options.most.saturating_mul(2).saturating_add(1) {
            keep_first(&mut names, options.most);
        }
    }
    keep_first(&mut names, options.most);
    names.sort_unstable();
    let item = |(_, _, name): Name| {
        let stat = stat(root, &fd, path, &name)?;
        Some(ListedFile {
            is_dir: kind(&stat) == FileType::Directory,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: u64::try_from(stat.st_mtime).unwrap_or(0),
            name,
        })
    };
    let looked_up = names.len();
    let items: Vec<_> = names.into_iter().filter_map(item).collect();
    // A file that was removed in the meantime counts neither as shown nor as left out.
    Ok(Listing { total: total - (looked_up - items.len()), items })
}

/// Drops all names except the first ones.
fn keep_first(names: &mut Vec<Name>, most: usize) {
    if names.len() > most {
        names.select_nth_unstable(most);
        names.truncate(most);
    }
}

/// The metadata of a name in a directory, if it is a file or a directory; `None` if it is neither,
/// or was removed.
fn stat(root: &Root, dir: &OwnedFd, path: &[u8], name: &[u8]) -> Option<Stat> {
    let stat = match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        // The target of a link is shown only if it would be served.
        Ok(stat) if kind(&stat) == FileType::Symlink => {
            root.beneath(&[path, name].concat()).map(|opened| opened.stat)
        }
        outcome => outcome,
    };
    let served = |stat: &Stat| matches!(kind(stat), FileType::Directory | FileType::RegularFile);
    stat.ok().filter(served)
}

fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:1rem/1.5 system-ui,sans-serif;max-width:56rem;margin:0 auto;padding:1rem}\
h1{font-size:1.25rem;font-weight:600;overflow-wrap:anywhere}\
table{width:100%;border-collapse:collapse}\
th{text-align:left;font-weight:600}\
th,td{padding:.35rem .5rem;border-bottom:1px solid color-mix(in srgb,currentColor 15%,transparent)}\
td:first-child{overflow-wrap:anywhere}\
.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}\
a{text-decoration:none}a:hover,a:focus{text-decoration:underline}\
@media(max-width:32rem){.d{display:none}}";

fn html(path: &[u8], listing: &Listing) -> String {
    let Listing { items, total } = listing;
    let mut title = String::from("/");
    escape_html(&String::from_utf8_lossy(path), &mut title);
    let mut page = String::with_capacity(1024 + items.len() * 160);
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n\
         <table>\n<thead><tr><th scope=\"col\">Name</th><th scope=\"col\" class=\"n\">Size</th>\
         <th scope=\"col\" class=\"n d\">Modified (UTC)</th></tr></thead>\n<tbody>\n"
    );
    if !path.is_empty() {
        page.push_str("<tr><td><a href=\"../\">../</a></td><td></td><td class=\"d\"></td></tr>\n");
    }
    for item in items {
        row(item, &mut page);
    }
    page.push_str("</tbody>\n</table>\n");
    if *total > items.len() {
        let shown = items.len();
        let _ = writeln!(page, "<p>Only the first {shown} of {total} names are shown.</p>");
    } else if items.is_empty() {
        page.push_str("<p>This directory is empty.</p>\n");
    }
    page.push_str("</body>\n</html>\n");
    page
}

fn row(item: &ListedFile, page: &mut String) {
    let slash = if item.is_dir { "/" } else { "" };
    // Without the `./`, a name that contains a colon would begin with a scheme.
    page.push_str("<tr><td><a href=\"./");
    encode(&item.name, page);
    let _ = write!(page, "{slash}\">");
    escape_html(&String::from_utf8_lossy(&item.name), page);
    let _ = write!(page, "{slash}</a></td><td class=\"n\">");
    if !item.is_dir {
        let _ = write!(page, "<span title=\"{} bytes\">{}</span>", item.size, rounded(item.size));
    }
    let time = timestamp(item.modified);
    let _ = writeln!(
        page,
        "</td><td class=\"n d\"><time datetime=\"{time}\">{}</time></td></tr>",
        time[..16].replace('T', " ")
    );
}

/// Appends text, with the characters that are special in HTML as references.
fn escape_html(text: &str, page: &mut String) {
    for char in text.chars() {
        match char {
            '&' => page.push_str("&amp;"),
            '<' => page.push_str("&lt;"),
            '>' => page.push_str("&gt;"),
            '"' => page.push_str("&quot;"),
            '\'' => page.push_str("&#39;"),
            // Marks that change the direction of text could make a name look like another.
            char if char.is_control() || is_direction_mark(char) => page.push('\u{fffd}'),
            char => page.push(char),
        }
    }
}

fn is_direction_mark(char: char) -> bool {
    matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `1.5 MiB`.
fn rounded(size: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if size < 1024 {
        return format!("{size} B");
    }
    let mut value = size as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(value < 9.95);
    format!("{value:.digits$} {}", UNITS[unit])
}

/// `1994-11-06T08:49:37Z` (RFC 3339), made from the date that HTTP has.
fn timestamp(seconds: u64) -> String {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let date = http_date(seconds);
    let month = MONTHS.find(&date[8..11]).unwrap_or(0) / 3 + 1;
    format!("{}-{month:02}-{}T{}Z", &date[12..16], &date[5..7], &date[17..25])
}

fn json(listing: &Listing) -> String {
    let Listing { items, total } = listing;
    let mut text = String::with_capacity(64 + items.len() * 128);
    text.push('[');
    for (index, item) in items.iter().enumerate() {
        text.push_str(if index == 0 { "\n" } else { ",\n" });
        text.push_str("{\"name\":\"");
        escape_json(&String::from_utf8_lossy(&item.name), &mut text);
        text.push_str("\",\"href\":\"./");
        encode(&item.name, &mut text);
        let (slash, kind) = if item.is_dir { ("/", "directory") } else { ("", "file") };
        let _ = write!(text, "{slash}\",\"type\":\"{kind}\"");
        if !item.is_dir {
            let _ = write!(text, ",\"size\":{}", item.size);
        }
        let _ = write!(text, ",\"modified\":\"{}\"}}", timestamp(item.modified));
    }
    if *total > items.len() {
        let (comma, listed) = (if items.is_empty() { "" } else { "," }, items.len());
        let _ = write!(
            text,
            "{comma}\n{{\"type\":\"truncated\",\"listed\":{listed},\"total\":{total}}}"
        );
    }
    text.push_str("\n]\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(name: &str, is_dir: bool) -> ListedFile {
        ListedFile { name: name.into(), is_dir, size: 1536, modified: 784_111_777 }
    }

    #[test]
    fn names_are_escaped_everywhere() {
        let items =
            [item("<b>\"&'", false), item("javascript:alert(1)", false), item("\u{202e}x", true)];
        let page = html(b"a<b>/", &Listing { items: items.into(), total: 3 });
        assert!(page.contains("<title>/a&lt;b&gt;/</title>"), "{page}");
        assert!(
            page.contains("href=\"./%3Cb%3E%22%26%27\">&lt;b&gt;&quot;&amp;&#39;</a>"),
            "{page}"
        );
        assert!(page.contains("href=\"./javascript%3Aalert%281%29\""), "{page}");
        assert!(page.contains("href=\"./%E2%80%AEx/\">\u{fffd}x/</a>"), "{page}");
        let items = vec![item("a\"\\\n", false), item("b", true)];
        let text = json(&Listing { items, total: 2 });
        assert_eq!(
            text,
            "[\n{\"name\":\"a\\\"\\\\\\u000a\",\"href\":\"./a%22%5C%0A\",\"type\":\"file\",\
             \"size\":1536,\"modified\":\"1994-11-06T08:49:37Z\"},\n\
             {\"name\":\"b\",\"href\":\"./b/\",\"type\":\"directory\",\
             \"modified\":\"1994-11-06T08:49:37Z\"}\n]\n"
        );
    }

    #[test]
    fn the_first_names_are_kept_in_whatever_order_they_come() {
        let at = tempfile::tempdir().unwrap();
        for name in ["b", "A", "a", "C", "D", "e", "f"] {
            std::fs::write(at.path().join(name), "").unwrap();
        }
        std::fs::create_dir(at.path().join("z")).unwrap();
        std::os::unix::fs::symlink("z", at.path().join("y")).unwrap();
        std::os::unix::fs::symlink("nothing", at.path().join("x")).unwrap();
        let root = Root::open(at.path()).unwrap();
        let all = ["y", "z", "A", "a", "b", "C", "D", "e", "f"];
        for most in [0, 1, 2, 5, 9, 100, usize::MAX] {
            let listing = read(&root, b"", ListingOptions { dotfiles: false, most }).unwrap();
            let names = listing.items.iter().map(|item| std::str::from_utf8(&item.name).unwrap());
            assert_eq!(names.collect::<Vec<_>>(), all[..most.min(9)], "{most}");
            assert_eq!(listing.total, 9);
        }
    }

    #[test]
    fn sizes_are_rounded_for_people() {
        for (size, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (10 * 1024, "10 KiB"),
            (1 << 20, "1.0 MiB"),
            (5 << 30, "5.0 GiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(rounded(size), text);
        }
    }
}
