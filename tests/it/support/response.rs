//! The client's side of HTTP/1.1: a small and strict reader of responses that shares no code with
//! the server.

use std::fmt;
use std::io::{ErrorKind, Read};

/// No line of a response is longer: a reader that waits for the end of one ends here.
const LONGEST_LINE: usize = 64 * 1024;

/// A response as a client understands it (RFC 9112 §4, §6.3).
#[derive(Clone, PartialEq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) reason: String,
    /// Names in small letters.
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, Vec<u8>)>,
    /// Whether the body ends with the connection.
    pub(crate) until_close: bool,
}

impl Response {
    /// The value of a field that occurs at most once, as bytes.
    #[track_caller]
    pub(crate) fn field_bytes(&self, name: &str) -> Option<&[u8]> {
        let mut values = self.fields.iter().filter(|(field, _)| field == name);
        let value = values.next();
        assert!(values.next().is_none(), "{name} occurs twice: {self:?}");
        value.map(|(_, value)| value.as_slice())
    }

    /// The value of a field that occurs at most once, as text.
    #[track_caller]
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let text = |value| std::str::from_utf8(value).unwrap_or_else(|_| panic!("{self:?}"));
        self.field_bytes(name).map(text)
    }

    /// Whether the field Connection has this option.
    pub(crate) fn has_connection_option(&self, option: &str) -> bool {
        let value = self.field("connection").unwrap_or_default();
        value.split(',').any(|member| member.trim().eq_ignore_ascii_case(option))
    }

    /// The body as text.
    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

/// Long bodies are abbreviated, so that a failed test can be read.
impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.reason)?;
        for (name, value) in self.fields.iter().chain(&self.trailers) {
            write!(f, "\n  {name}: {}", value.escape_ascii())?;
        }
        let start = &self.body[..self.body.len().min(400)];
        write!(f, "\n  ({} bytes) {}", self.body.len(), start.escape_ascii())
    }
}

/// Reads one response and no byte more. `bodiless`: the request was HEAD or CONNECT.
///
/// # Errors
/// What is wrong with the response.
pub(crate) fn read(stream: &mut impl Read, bodiless: bool) -> Result<Response, String> {
    let line = read_line(stream)?;
    let line = String::from_utf8(line).map_err(|_| "a status line beyond ASCII".to_owned())?;
    let rest = line.strip_prefix("HTTP/1.1 ").ok_or(format!("not HTTP/1.1: {line}"))?;
    let (status, reason) = rest.split_once(' ').ok_or(format!("no reason phrase: {line}"))?;
    if status.len() != 3 || !status.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("no status: {line}"));
    }
    let fields = read_fields(stream)?;
    let mut response = Response {
        status: status.parse().map_err(|_| format!("no status: {line}"))?,
        reason: reason.to_owned(),
        fields,
        body: Vec::new(),
        trailers: Vec::new(),
        until_close: false,
    };
    if !(100..=599).contains(&response.status) {
        return Err(format!("no status: {line}"));
    }
    let length = response.field_bytes("content-length").map(<[u8]>::to_vec);
    let coding = response.field_bytes("transfer-encoding").map(<[u8]>::to_vec);
    let bare = matches!(response.status, 100..=199 | 204);
    if bare && (length.is_some() || coding.is_some()) {
        return Err(format!("framing in a {}", response.status));
    }
    if bodiless || bare || response.status == 304 {
        return Ok(response);
    }
    match (length, coding) {
        (Some(length), None) => {
            let length = String::from_utf8_lossy(&length).parse::<usize>();
            let length = length.map_err(|_| "Content-Length is not a number".to_owned())?;
            response.body = read_bytes(stream, length)?;
        }
        (None, Some(coding)) if coding == b"chunked" => {
            (response.body, response.trailers) = read_chunks(stream)?;
        }
        (None, None) => {
            response.until_close = true;
            stream.read_to_end(&mut response.body).map_err(|error| error.to_string())?;
        }
        (length, coding) => return Err(format!("framing by {length:?} and {coding:?}")),
    }
    Ok(response)
}

/// Reads responses until the connection closes, interim ones (1xx) too.
///
/// # Errors
/// What is wrong with the first response that is not well-formed.
pub(crate) fn read_all(stream: &mut impl Read) -> Result<Vec<Response>, String> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    let mut rest = &bytes[..];
    let mut responses = Vec::new();
    while !rest.is_empty() {
        responses.push(read(&mut rest, false)?);
    }
    Ok(responses)
}

type Fields = Vec<(String, Vec<u8>)>;

fn read_chunks(stream: &mut impl Read) -> Result<(Vec<u8>, Fields), String> {
    let mut body = Vec::new();
    loop {
        let size = String::from_utf8_lossy(&read_line(stream)?).into_owned();
        let size = usize::from_str_radix(&size, 16).map_err(|_| format!("chunk size {size}"))?;
        if size == 0 {
            return Ok((body, read_fields(stream)?));
        }
        body.extend(read_bytes(stream, size)?);
        if !read_line(stream)?.is_empty() {
            return Err("a chunk is longer than its size".to_owned());
        }
    }
}

fn read_bytes(stream: &mut impl Read, length: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = stream.take(length as u64).read_to_end(&mut bytes);
    match read.map_err(|error| error.to_string())? {
        read if read == length => Ok(bytes),
        read => Err(format!("a body that is cut short: {read} of {length} bytes")),
    }
}

fn read_line(stream: &mut impl Read) -> Result<Vec<u8>, String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\r\n") {
        stream.read_exact(&mut byte).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof if line.is_empty() => "a missing line".to_owned(),
            ErrorKind::UnexpectedEof => "a line without an end".to_owned(),
            _ => error.to_string(),
        })?;
        line.push(byte[0]);
        if line.len() > LONGEST_LINE {
            return Err("a line that is too long".to_owned());
        }
    }
    line.truncate(line.len() - 2);
    match line.iter().any(|&byte| matches!(byte, b'\r' | b'\n' | 0)) {
        true => Err(format!("control bytes in {:?}", String::from_utf8_lossy(&line))),
        false => Ok(line),
    }
}

fn read_fields(stream: &mut impl Read) -> Result<Fields, String> {
    let mut fields = Vec::new();
    loop {
        let line = read_line(stream)?;
        if line.is_empty() {
            return Ok(fields);
        }
        let colon = line.iter().position(|&byte| byte == b':').ok_or("a field without a colon")?;
        let name = String::from_utf8_lossy(&line[..colon]).to_ascii_lowercase();
        if name.is_empty() || name.contains([' ', '\t']) {
            return Err(format!("a bad field name: {name:?}"));
        }
        fields.push((name, line[colon + 1..].trim_ascii().to_vec()));
    }
}
