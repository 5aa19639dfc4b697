//! Reading a response strictly (RFC 9112 §4, §6.3, §7.1), from a connection or from memory.

use std::io::{BufRead, Read};

use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{HeaderMap, Method, StatusCode};

use super::response::TestResponse;

/// The most bytes of a body.
pub(super) const BODY_MAX: usize = 64 << 20;

/// The most bytes of a line, and the most field lines.
const LINE_MAX: u64 = 64 * 1024;
const FIELDS_MAX: usize = 1000;

/// Reads one response to a request with this method, and no byte more. Interim responses (1xx)
/// before it are skipped.
///
/// # Errors
/// What is wrong with the response, or why no more can be read.
pub(super) fn read_response(
    stream: &mut dyn BufRead,
    method: &Method,
) -> Result<TestResponse, String> {
    let (status, headers) = loop {
        let status = read_status(&read_line(stream)?)?;
        let headers = read_fields(stream)?;
        if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
            break (status, headers);
        }
    };
    let mut trailers = HeaderMap::new();
    let coding = headers.get(TRANSFER_ENCODING);
    let body = if has_no_body(method, status) {
        Vec::new()
    } else if let Some(coding) = coding {
        if coding != "chunked" || headers.contains_key(CONTENT_LENGTH) {
            return Err(format!("unexpected framing: {headers:?}"));
        }
        let body = read_chunks(stream)?;
        trailers = read_fields(stream)?;
        body
    } else if let Some(length) = content_length(&headers)? {
        read_exactly(stream, length)?
    } else {
        read_to_close(stream)?
    };
    Ok(TestResponse { status, headers, body: body.into(), trailers })
}

fn has_no_body(method: &Method, status: StatusCode) -> bool {
    *method == Method::HEAD
        || *method == Method::CONNECT && status.is_success()
        || status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// A line without its end, which is CRLF.
fn read_line(stream: &mut dyn BufRead) -> Result<Vec<u8>, String> {
    let mut line = Vec::new();
    stream.take(LINE_MAX).read_until(b'\n', &mut line).map_err(|error| failed(&error))?;
    let found = line.escape_ascii().to_string();
    match line.strip_suffix(b"\r\n") {
        Some(line) if !line.contains(&b'\r') => Ok(line.to_vec()),
        _ if line.is_empty() => Err("the connection was closed before the response ended".into()),
        _ => Err(format!("expected a line that ends with CRLF, got \"{found}\"")),
    }
}

fn read_status(line: &[u8]) -> Result<StatusCode, String> {
    let rest = line.strip_prefix(b"HTTP/1.1 ");
    let status = rest.filter(|rest| rest.get(3) == Some(&b' '));
    let status = status.and_then(|rest| StatusCode::from_bytes(&rest[..3]).ok());
    status.ok_or_else(|| format!("invalid status line \"{}\"", line.escape_ascii()))
}

fn read_fields(stream: &mut dyn BufRead) -> Result<HeaderMap, String> {
    let mut fields = HeaderMap::new();
    loop {
        let line = read_line(stream)?;
        if line.is_empty() {
            return Ok(fields);
        }
        let invalid = || format!("invalid field line \"{}\"", line.escape_ascii());
        let colon = line.iter().position(|byte| *byte == b':').ok_or_else(invalid)?;
        let name = HeaderName::from_bytes(&line[..colon]).map_err(|_| invalid())?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        fields.append(name, value.map_err(|_| invalid())?);
        if fields.len() > FIELDS_MAX {
            return Err(format!("the response has more than {FIELDS_MAX} fields"));
        }
    }
}

fn content_length(headers: &HeaderMap) -> Result<Option<usize>, String> {
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    match text.and_then(|text| text.parse().ok()) {
        Some(length) if values.next().is_none() => Ok(Some(length)),
        _ => Err(format!("invalid Content-Length {value:?}: expected one number")),
    }
}

/// The data of the chunks, up to the line of the last.
fn read_chunks(stream: &mut dyn BufRead) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    loop {
        let line = read_line(stream)?;
        let digits = str::from_utf8(&line).ok().filter(|text| !text.starts_with('+'));
        let size = digits.and_then(|digits| usize::from_str_radix(digits, 16).ok());
        let size = size.ok_or_else(|| format!("invalid chunk size \"{}\"", line.escape_ascii()))?;
        if size == 0 {
            return Ok(body);
        }
        check_length(body.len().saturating_add(size))?;
        body.extend_from_slice(&read_exactly(stream, size)?);
        if !read_line(stream)?.is_empty() {
            return Err("a chunk is longer than announced".to_owned());
        }
    }
}

fn read_exactly(stream: &mut dyn BufRead, length: usize) -> Result<Vec<u8>, String> {
    check_length(length)?;
    let mut body = Vec::new();
    stream.take(length as u64).read_to_end(&mut body).map_err(|error| failed(&error))?;
    match body.len() == length {
        true => Ok(body),
        false => Err(format!("the body was cut off after {} of {length} bytes", body.len())),
    }
}

fn read_to_close(stream: &mut dyn BufRead) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    stream.take(BODY_MAX as u64 + 1).read_to_end(&mut body).map_err(|error| failed(&error))?;
    check_length(body.len()).map(|()| body)
}

fn check_length(length: usize) -> Result<(), String> {
    match length <= BODY_MAX {
        true => Ok(()),
        false => Err(format!("the body has more than {BODY_MAX} bytes")),
    }
}

fn failed(error: &std::io::Error) -> String {
    format!("cannot read the response: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<TestResponse, String> {
        read_response(&mut text.as_bytes(), &Method::GET)
    }

    #[test]
    fn each_framing_is_read_and_interim_responses_are_skipped() {
        let whole = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
             HTTP/1.1 200 OK\r\nA: 1\r\na:\t2 \r\n";
        for (rest, body) in [
            ("Content-Length: 3\r\n\r\nabcdef", "abc"),
            ("Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\nrest", "abc"),
            ("\r\nabc", "abc"),
            ("Content-Length: 0\r\n\r\n", ""),
        ] {
            let response = read(&format!("{whole}{rest}")).unwrap();
            assert_eq!((response.status().as_u16(), response.text()), (200, body), "{rest}");
            let values: Vec<_> = response.headers().get_all("a").iter().collect();
            assert_eq!(values, ["1", "2"]);
        }
        let trailers = read("HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n\r\n");
        assert_eq!(trailers.unwrap().trailers()["a"], "b");
        for (method, status) in [("HEAD", 200), ("CONNECT", 200), ("GET", 304), ("GET", 101)] {
            let text = format!("HTTP/1.1 {status} x\r\nContent-Length: 5\r\n\r\n");
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert!(read_response(&mut text.as_bytes(), &method).unwrap().bytes().is_empty());
        }
    }

    #[test]
    fn a_response_that_is_malformed_or_cut_off_is_an_error() {
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        for (text, expected) in [
            (String::new(), "closed before"),
            ("HTTP/1.0 200 OK\r\n\r\n".into(), "status line"),
            ("HTTP/1.1 2000 OK\r\n\r\n".into(), "status line"),
            ("HTTP/1.1 200 OK\n\n".into(), "CRLF"),
            ("HTTP/1.1 200 OK\r\nA: 1\r\n".into(), "closed before"),
            ("HTTP/1.1 200 OK\r\nA : 1\r\n\r\n".into(), "field line"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc".into(), "after 3 of 5"),
            ("HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n".into(), "Content-Length"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n".into(), "more than"),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n".into(),
                "Content-Length",
            ),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n".into(), "framing"),
            (format!("{chunked}x\r\n"), "chunk size"),
            (format!("{chunked}+1\r\na\r\n"), "chunk size"),
            (format!("{chunked}1\r\nab\r\n"), "longer than announced"),
            (format!("{chunked}ffffffffffffffff\r\n"), "more than"),
            (format!("{chunked}1\r\na\r\n"), "closed before"),
            (format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(1001)), "1000 fields"),
            (format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "b".repeat(70_000)), "CRLF"),
        ] {
            let error = read(&text).unwrap_err();
            let start = &text[..text.len().min(80)];
            assert!(error.contains(expected), "{start:?}: {error}");
        }
    }
}
