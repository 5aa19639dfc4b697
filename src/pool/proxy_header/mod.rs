//! The PROXY protocol: a proxy begins each connection with a header that names the client's
//! address, version 1 as text and version 2 in binary
//! (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>).
//!
//! ```text
//! accepted ─► peek ──no bytes, or a part──► park (Head) ─► an event ─► peek …
//!              │ │
//!              │ └─ not a header, or from an untrusted peer ─► close
//!              ▼
//!         read exactly the header ─► client and bucket are known ─► admit
//! ```
//!
//! The header comes before everything else: before admission, so that the queue and the fair shares
//! count the client and not its proxy, and before the protocol, which never sees it. So a refusal
//! is a response to a request, as on any other connection.

pub(crate) mod parse;
mod read;
