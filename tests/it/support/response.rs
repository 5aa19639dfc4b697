//! A reader of answers, small and strict, that shares no code with the server.

/// An answer as a client understands it (RFC 9112 §4, §6.3).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) reason: String,
    /// Names in small letters.
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, Vec<u8>)>,
    /// Whether the body ends with the connection.
    pub(crate) until_close: bool,
}

impl Answer {
    /// The value of a field, if it is there exactly once.
    pub(crate) fn field(&self, name: &str) -> Option<&[u8]> {
        let mut values = self.fields.iter().filter(|(field, _)| field == name);
        let value = values.next();
        assert!(values.next().is_none(), "{name} is there twice: {self:?}");
        value.map(|(_, value)| value.as_slice())
    }

    /// Whether Connection has this option.
    pub(crate) fn connection_says(&self, option: &str) -> bool {
        let value = self.field("connection").unwrap_or_default();
        let list = String::from_utf8_lossy(value).to_ascii_lowercase();
        list.split(',').any(|member| member.trim() == option)
    }
}

/// Takes one answer off the front of `bytes`, all that came until the connection closed.
/// `bodiless`: the request was HEAD.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn take(bytes: &mut &[u8], bodiless: bool) -> Result<Answer, String> {
    let line = take_line(bytes)?;
    let line = String::from_utf8(line).map_err(|_| "a status line beyond ASCII".to_owned())?;
    let rest = line.strip_prefix("HTTP/1.1 ").ok_or(format!("not HTTP/1.1: {line}"))?;
    let (status, reason) = rest.split_once(' ').ok_or(format!("no reason phrase: {line}"))?;
    let fields = take_fields(bytes)?;
    let mut answer = Answer {
        status: status.parse().map_err(|_| format!("no status: {line}"))?,
        reason: reason.to_owned(),
        fields,
        body: Vec::new(),
        trailers: Vec::new(),
        until_close: false,
    };
    if !(100..=599).contains(&answer.status) {
        return Err(format!("no status: {line}"));
    }
    let length = answer.field("content-length").map(<[u8]>::to_vec);
    let coding = answer.field("transfer-encoding").map(<[u8]>::to_vec);
    let bare = matches!(answer.status, 100..=199 | 204);
    if bare && (length.is_some() || coding.is_some()) {
        return Err(format!("framing in a {}", answer.status));
    }
    if bodiless || bare || answer.status == 304 {
        return Ok(answer);
    }
    match (length, coding) {
        (Some(length), None) => {
            let length = String::from_utf8_lossy(&length).parse::<usize>();
            let length = length.map_err(|_| "Content-Length is no number".to_owned())?;
            answer.body = take_bytes(bytes, length)?;
        }
        (None, Some(coding)) if coding == b"chunked" => loop {
            let size = String::from_utf8_lossy(&take_line(bytes)?).into_owned();
            let size = usize::from_str_radix(&size, 16).map_err(|_| format!("size {size}"))?;
            if size == 0 {
                answer.trailers = take_fields(bytes)?;
                break;
            }
            answer.body.extend(take_bytes(bytes, size)?);
            if !take_line(bytes)?.is_empty() {
                return Err("a chunk is longer than it says".to_owned());
            }
        },
        (None, None) => {
            answer.until_close = true;
            answer.body = std::mem::take(bytes).to_vec();
        }
        (length, coding) => return Err(format!("framing by {length:?} and {coding:?}")),
    }
    Ok(answer)
}

/// Takes all answers, those between (1xx) too.
pub(crate) fn take_all(mut bytes: &[u8]) -> Result<Vec<Answer>, String> {
    let mut answers = Vec::new();
    while !bytes.is_empty() {
        answers.push(take(&mut bytes, false)?);
    }
    Ok(answers)
}

fn take_bytes(bytes: &mut &[u8], length: usize) -> Result<Vec<u8>, String> {
    let (taken, rest) = bytes.split_at_checked(length).ok_or("a body that is cut short")?;
    *bytes = rest;
    Ok(taken.to_vec())
}

fn take_line(bytes: &mut &[u8]) -> Result<Vec<u8>, String> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n").ok_or("a line without end")?;
    let line = take_bytes(bytes, end)?;
    *bytes = &bytes[2..];
    match line.iter().any(|&byte| matches!(byte, b'\r' | b'\n' | 0)) {
        true => Err(format!("control bytes in {:?}", String::from_utf8_lossy(&line))),
        false => Ok(line),
    }
}

fn take_fields(bytes: &mut &[u8]) -> Result<Vec<(String, Vec<u8>)>, String> {
    let mut fields = Vec::new();
    loop {
        let line = take_line(bytes)?;
        if line.is_empty() {
            return Ok(fields);
        }
        let colon = line.iter().position(|&byte| byte == b':').ok_or("a field without colon")?;
        let name = String::from_utf8_lossy(&line[..colon]).to_ascii_lowercase();
        if name.is_empty() || name.contains([' ', '\t']) {
            return Err(format!("a bad field name: {name:?}"));
        }
        fields.push((name, line[colon + 1..].trim_ascii().to_vec()));
    }
}
