//! Ready-made handlers and protocols.

mod echo;
#[cfg(feature = "files")]
mod files;
mod hello;

pub use echo::Echo;
#[cfg(feature = "files")]
#[cfg_attr(docsrs, doc(cfg(feature = "files")))]
pub use files::{BasicAuth, Cors, FieldRule, FileCache, FileRequest, Files, FilesOptions};
pub use hello::Hello;
