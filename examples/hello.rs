//! The smallest server: every request gets the same text.
//!
//! ```sh
//! cargo run --example hello
//! curl http://localhost:8888/
//! ```

use millpond::Server;
use millpond::http::{Request, Response};

fn main() -> Result<(), millpond::Error> {
    Server::builder()
        .bind("tcp://[::]:8888")
        .http(|_req: &mut Request| Response::text("Hello, world!\n"))
        .build()?
        .run()?;
    Ok(())
}
