//! Uploads: bodies of the type multipart/form-data.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use millpond::Config;
use millpond::http::{
    Body, HeaderValue, Multipart, MultipartLimits, Request, RequestError, Response,
};

use super::common::{serve, serve_with};
use crate::net::common::skipped;
use crate::support::{addr, connect, read_last_response, read_response};

const FORM: &str = "multipart/form-data; boundary=b";
const A: &str = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n";

fn request(content_type: &str, body: impl Into<Body>) -> Request {
    let mut request = Request::from(::http::Request::new(body.into()));
    let content_type = HeaderValue::from_str(content_type).unwrap();
    request.headers_mut().insert("content-type", content_type);
    request
}

/// Lists the parts: name, file name, base name, type and text of each.
fn list(request: &mut Request) -> Result<String, RequestError> {
    let mut lines = String::new();
    let mut form = request.multipart(MultipartLimits::default())?;
    while let Some(mut part) = form.next_part()? {
        let text = part.read_text(100)?;
        let names = (part.name(), part.file_name(), part.base_name(), part.content_type());
        lines += &format!("{names:?} {text}\n");
    }
    Ok(lines)
}

fn fault<T: std::fmt::Debug>(result: Result<T, RequestError>) -> (u16, String) {
    let error = result.unwrap_err();
    (error.status().as_u16(), error.to_string())
}

#[test]
fn fields_and_files_are_read_with_their_names() {
    let body = format!(
        "{A}1\r\n--b\r\nContent-Disposition: form-data; name=f; filename=\"C:\\d\\m.txt\"\r\n\
        Content-Type: text/html\r\nX-Other: x\r\n\r\n<p>\r\n--b\r\n\
        Content-Disposition: form-data; name=f; filename=\"../..\"\r\n\r\n\r\n--b--\r\n"
    );
    let expected = "(\"a\", None, None, None) 1\n\
        (\"f\", Some(\"C:\\\\d\\\\m.txt\"), Some(\"m.txt\"), Some(\"text/html\")) <p>\n\
        (\"f\", Some(\"../..\"), None, None) \n";
    assert_eq!(list(&mut request(FORM, body.clone())).unwrap(), expected);
    let mut request = request(FORM, body);
    let mut form = request.multipart(MultipartLimits::default()).unwrap();
    form.next_part().unwrap();
    assert_eq!(form.next_part().unwrap().unwrap().headers()["x-other"], "x");
}

#[test]
fn what_the_handler_does_not_read_of_a_part_is_skipped() {
    let long = "x".repeat(100_000);
    let body = format!("{A}{long}\r\n{A}second\r\n{A}third\r\n--b--");
    let mut request = request(FORM, body);
    let mut form = request.multipart(MultipartLimits::default()).unwrap();
    let mut start = [0; 10];
    form.next_part().unwrap().unwrap().read_exact(&mut start).unwrap();
    assert_eq!(&start, b"xxxxxxxxxx");
    let mut part = form.next_part().unwrap().unwrap();
    part.read_exact(&mut start[..3]).unwrap();
    assert_eq!(part.read_text(3).unwrap(), "ond");
    assert_eq!((part.read_text(0).unwrap(), part.read(&mut start).unwrap()), (String::new(), 0));
    form.next_part().unwrap().unwrap();
    assert!(form.next_part().unwrap().is_none());
    assert!(form.next_part().unwrap().is_none());
}

#[test]
fn an_upload_that_is_refused_has_a_status_and_names_the_place() {
    let whole = format!("{A}1\r\n--b--");
    for (content_type, body, expected) in [
        ("text/plain", whole.as_str(), (415, "Content-Type is not multipart/form-data")),
        ("multipart/form-data", &whole, (400, "no boundary in Content-Type")),
        (FORM, "", (400, "the body ends before its last boundary")),
        (FORM, &format!("{A}1"), (400, "part 1: the body ends before its last boundary")),
        (FORM, &format!("{A}\u{e4}\r\n--b\r\n\r\n"), (400, "part 2: no Content-Disposition")),
        (FORM, &format!("{A}{}\r\n--b--", "x".repeat(101)), (413, "part 1: longer than 100 bytes")),
    ] {
        let (status, text) = fault(list(&mut request(content_type, body.to_owned())));
        assert_eq!((status, text.trim_start_matches("multipart: ")), expected, "{body}");
    }
    assert_eq!(fault(list(&mut Request::from(::http::Request::new(Body::empty())))).0, 415);
    let not_text = [A.as_bytes(), b"\xff\r\n--b--"].concat();
    let expected = (400, "part 1: not UTF-8 text".to_owned());
    assert_eq!(fault(list(&mut request(FORM, not_text))), expected);
}

/// A body of unknown length that counts how many bytes were read of it, and at most at once.
struct Counted<R> {
    body: R,
    read: Arc<AtomicU64>,
    largest: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.body.read(buf)?;
        self.largest.fetch_max(buf.len() as u64, Ordering::Relaxed);
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// The request with its body counted: what was read of it, and the largest buffer.
fn count(request: &mut Request) -> (Request, Arc<AtomicU64>, Arc<AtomicU64>) {
    let (read, largest) = (Arc::default(), Arc::default());
    let body = request.take_body();
    let counted = Counted { body, read: Arc::clone(&read), largest: Arc::clone(&largest) };
    (self::request(FORM, Body::from_reader(counted, None)), read, largest)
}

fn all_limits(change: impl FnOnce(&mut MultipartLimits)) -> MultipartLimits {
    let mut limits = MultipartLimits::default();
    change(&mut limits);
    limits
}

fn read_all(form: &mut Multipart<'_>) -> Result<u64, RequestError> {
    let mut length = 0;
    while let Some(mut part) = form.next_part()? {
        length += part.read_bytes(u64::MAX)?.len() as u64;
    }
    Ok(length)
}

#[test]
fn a_body_without_end_is_read_up_to_a_limit() {
    let endless = |start: &str, repeated: &str| {
        let repeated = repeated.to_owned().into_bytes();
        let mut at = 0;
        let rest = std::iter::repeat_with(move || {
            at += 1;
            repeated[(at - 1) % repeated.len()]
        });
        let body = io::Cursor::new(start.to_owned()).chain(Endless(rest));
        request(FORM, Body::from_reader(body, None))
    };
    let line = "X: yyyyyyyyyyyyyyyy\r\n";
    let empty = format!("{A}\r\n");
    for (start, repeated, limits, expected) in [
        (A, "x", all_limits(|it| it.part = 1 << 20), (413, "part 1: longer than 1048576 bytes")),
        (A, "\r\n-", all_limits(|it| it.total = 1 << 20), (413, "longer than 1048576 bytes")),
        ("--b\r\n", line, all_limits(|_| ()), (413, "part 1: the head is longer than 8192 bytes")),
        ("", &empty, all_limits(|_| ()), (413, "part 65: more than 64 parts")),
        ("--b", " ", all_limits(|it| it.total = 9999), (413, "the body is longer than 9999 bytes")),
        ("", "--b\r", all_limits(|_| ()), (400, "neither a line end")),
        ("", "x", all_limits(|_| ()), (400, "no boundary in the first 1024 bytes")),
        ("--b--\r\n", "x", all_limits(|_| ()), (400, "more than 1024 bytes after the last")),
    ] {
        let total = limits.total;
        let (mut request, read, largest) = count(&mut endless(start, repeated));
        let mut form = request.multipart(limits).unwrap();
        let (status, text) = fault(read_all(&mut form));
        assert!((status, text.contains(expected.1)) == (expected.0, true), "{status} {text}");
        assert!(read.load(Ordering::Relaxed) <= total + 16 * 1024, "{text}");
        assert!(largest.load(Ordering::Relaxed) <= 16 * 1024, "{text}");
        let again = fault(form.next_part().map(drop));
        assert_eq!(again, (status, text), "a fault stays");
    }
}

/// A reader of these bytes.
struct Endless<I>(I);

impl<I: Iterator<Item = u8>> Read for Endless<I> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = buf.iter_mut().zip(&mut self.0).map(|(to, from)| *to = from).count();
        Ok(count)
    }
}

#[test]
fn an_announced_length_beyond_the_limit_is_refused_before_the_body_is_read() {
    let server = serve(|request: &mut Request| {
        let limits = all_limits(|it| it.total = 1000);
        request.multipart(limits).map(|_| String::new())
    });
    let mut stream = connect(addr(&server));
    let head = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: {FORM}\r\nContent-Length: 1001\r\n\
        Expect: 100-continue\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let response = read_last_response(&mut stream);
    assert_eq!(response.status, 413);
    let text = "413 Payload Too Large: multipart: the body is longer than 1000 bytes\n";
    assert_eq!(response.text(), text);
}

fn send_head(stream: &mut TcpStream) {
    let head = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: {FORM}\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
}

fn send_chunk(stream: &mut TcpStream, data: &[u8]) {
    stream.write_all(format!("{:x}\r\n", data.len()).as_bytes()).unwrap();
    stream.write_all(data).unwrap();
    stream.write_all(b"\r\n").unwrap();
}

#[test]
fn an_error_of_the_body_keeps_its_status_and_stays() {
    let handler = |request: &mut Request| {
        let mut form = request.multipart(MultipartLimits::default()).unwrap();
        let mut part = form.next_part().unwrap().unwrap();
        let error = io::copy(&mut part, &mut io::sink()).unwrap_err();
        let (status, text) = fault(form.next_part().map(drop));
        let again = HeaderValue::from_str(&format!("{status} {text}")).unwrap();
        Response::from(error).with_header("x-again", again)
    };
    let short = Duration::from_millis(50);
    let long = Config::default().timeouts.body;
    for (timeout, end, closes, expected) in
        [(short, "", false, 408), (long, "zz", false, 400), (long, "", true, 400)]
    {
        let mut config = Config::default();
        config.timeouts.body = timeout;
        // The handler is called before the body has arrived.
        config.limits.read_ahead = 0;
        let server = serve_with(config, handler);
        let mut stream = connect(addr(&server));
        send_head(&mut stream);
        send_chunk(&mut stream, format!("{A}some").as_bytes());
        stream.write_all(end.as_bytes()).unwrap();
        if closes {
            stream.shutdown(Shutdown::Write).unwrap();
        }
        let response = read_response(&mut stream);
        assert_eq!(response.status, expected, "{end:?}");
        let again = response.field("x-again").unwrap();
        assert!(again.starts_with(&expected.to_string()), "{again}");
    }
}

#[test]
fn an_upload_of_20_mib_arrives_whole_through_one_buffer() {
    let piece: Arc<[u8]> = b"\r\n--almost\r".iter().copied().cycle().take(64 << 10).collect();
    let expected = Arc::clone(&piece);
    let server = serve(move |request: &mut Request| {
        let (mut request, taken, largest) = count(request);
        let limits = all_limits(|it| it.part = 20 << 20);
        let mut form = request.multipart(limits).unwrap();
        let mut part = form.next_part().unwrap().unwrap();
        let (mut length, mut ahead) = (0, 0);
        let mut buf = [0; 3000];
        loop {
            let count = part.read(&mut buf).unwrap();
            if count == 0 {
                break;
            }
            let at = length % expected.len();
            let first = count.min(expected.len() - at);
            assert!(buf[..first] == expected[at..at + first], "other bytes after {length}");
            assert!(buf[first..count] == expected[..count - first], "other bytes after {length}");
            length += count;
            ahead = ahead.max(taken.load(Ordering::Relaxed) - length as u64);
        }
        assert!(form.next_part().unwrap().is_none());
        let whole = A.len() + length + b"\r\n--b--\r\n".len();
        assert_eq!(taken.load(Ordering::Relaxed), whole as u64, "the end was not read");
        // Read from the connection and not yet by the handler: one buffer, and the boundaries.
        assert!(ahead <= 16 * 1024 + 100, "{ahead} bytes are in memory");
        assert!(largest.load(Ordering::Relaxed) <= 16 * 1024);
        Response::text(length.to_string())
    });
    let mut stream = connect(addr(&server));
    send_head(&mut stream);
    send_chunk(&mut stream, A.as_bytes());
    for _ in 0..320 {
        send_chunk(&mut stream, &piece);
    }
    send_chunk(&mut stream, b"\r\n--b--\r\n");
    stream.write_all(b"0\r\n\r\n").unwrap();
    assert_eq!(read_response(&mut stream).text(), (20 << 20).to_string());
}

#[test]
fn curl_uploads_a_form() {
    let server = serve(list);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mill \"wheel\".txt");
    fs::write(&path, "flour\r\n").unwrap();
    let curl = Command::new("curl")
        .args(["-sS", "--max-time", "10", "-F", "title=a=b", "-F"])
        // curl has its own quotes around a path.
        .arg(format!("file=@\"{}\"", path.to_str().unwrap().replace('"', "\\\"")))
        .arg(format!("http://{}/", addr(&server)))
        .output();
    let output = match curl {
        Ok(output) => output,
        Err(error) => return skipped(&format!("there is no curl: {error}")),
    };
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("(\"title\", None, None, None) a=b\n"), "{text}");
    // Encoded or escaped: it depends on curl's version.
    assert!(text.contains("mill %22wheel%22.txt") || text.contains("mill \\\"wheel"), "{text}");
    assert!(text.ends_with("Some(\"text/plain\")) flour\r\n\n"), "{text}");
}
