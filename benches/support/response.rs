//! Enough of HTTP/1.1 to know where a response ends: the client side of the benchmarks.

/// The head of a response that has arrived completely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Response {
    /// The status code.
    pub(crate) status: u16,
    /// Bytes of head and body together.
    pub(crate) length: usize,
    /// Whether the server will close the connection.
    pub(crate) close: bool,
}

/// The response at the start of `bytes`: `None` until head and body are all there. Bodies without a
/// Content-Length count as empty; none of the servers measured here sends such.
pub(crate) fn complete(bytes: &[u8]) -> Option<Response> {
    let head_end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let mut lines = bytes[..head_end].split(|&byte| byte == b'\n');
    let status = lines.next()?.split(|&byte| byte == b' ').nth(1);
    let status = std::str::from_utf8(status?).ok()?.trim().parse().ok()?;
    let (mut body, mut close) = (0, false);
    for line in lines {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            body = std::str::from_utf8(value).ok()?.parse().ok()?;
        } else if name.eq_ignore_ascii_case(b"connection") {
            close = value.eq_ignore_ascii_case(b"close");
        }
    }
    let length = head_end + body;
    (bytes.len() >= length).then_some(Response { status, length, close })
}
