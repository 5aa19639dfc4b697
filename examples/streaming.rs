//! Bodies that are never whole in memory, in both directions.
//!
//! ```sh
//! cargo run --example streaming
//! curl -N http://localhost:8888/count?to=5               # a line a second, each as it is written
//! head -c 1G /dev/zero | curl -T - http://localhost:8888/sum
//! head -c 1G /dev/zero | curl -T - http://localhost:8888/upper | wc -c
//! ```

use std::io::{self, Read, Write};
use std::time::Duration;

use millpond::Server;
use millpond::http::{Body, HeaderMap, HeaderValue, Request, Response, Router};

fn main() -> Result<(), millpond::Error> {
    let router = Router::new().get("/count", count).put("/sum", sum).put("/upper", upper);
    Server::builder().bind("tcp://[::]:8888").http(router).build()?.run()?;
    Ok(())
}

/// Download: the response is written while the client reads it, and ends with a trailer.
fn count(request: &mut Request) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let to = query.strip_prefix("to=").and_then(|to| to.parse().ok()).unwrap_or(10_u32).min(60);
    Response::text(Body::from_writer(move |out| {
        for number in 1..=to {
            writeln!(out, "{number}")?;
            // Sends the line now. An error means that the client is gone.
            out.flush()?;
            std::thread::sleep(Duration::from_secs(1));
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("x-counted", HeaderValue::from(to));
        out.set_trailers(trailers);
        Ok(())
    }))
}

/// Upload: the request is read in pieces. The server limits its size.
fn sum(request: &mut Request) -> Response {
    let (mut bytes, mut sum) = (0_u64, 0_u64);
    let mut piece = [0; 16 * 1024];
    loop {
        match request.body_mut().read(&mut piece) {
            Ok(0) => return Response::text(format!("{bytes} bytes, whose sum is {sum}\n")),
            Ok(count) => {
                bytes += count as u64;
                sum = piece[..count].iter().fold(sum, |sum, byte| sum.wrapping_add((*byte).into()));
            }
            // 413, 408 or 400, depending on the error.
            Err(error) => return Response::from(error),
        }
    }
}

/// Both: the response is produced from the request while it arrives.
fn upper(request: &mut Request) -> Response {
    Response::text(Body::from_reader(Upper(request.take_body()), None))
}

struct Upper(Body);

impl Read for Upper {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(buf)?;
        buf[..count].make_ascii_uppercase();
        Ok(count)
    }
}
