//! Serves the files below a directory, and listings of directories without an index.
//!
//! `cargo run --release --example files -- ROOT 127.0.0.1:8888`

use millpond::handlers::{Files, FilesOptions};
use millpond::{Error, Server};

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let root = arguments.next().unwrap_or_else(|| ".".to_owned());
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8888".to_owned());
    let mut options = FilesOptions::default();
    options.listing = true;
    let files = Files::open(root, options)?;
    Server::builder().bind(format!("tcp://{address}")).http(files).build()?.run()?;
    Ok(())
}
