//! Guides: the pages of `docs/`, next to the types that they describe.
//!
//! | Page | Question |
//! |---|---|
//! | [`handlers`] | How does a handler read a request, and what may it return? |
//! | [`databases`] | How does a handler use SQLite, PostgreSQL or Diesel? |
//! | [`overload`] | What does the server do when more comes than it can serve? |
//! | [`http`] | What does it accept and send, by which section of which RFC? |
//! | [`files`] | How are files served? |
//! | [`sockets`] | Which endpoints are there, besides TCP? |
//! | [`tls`] | How is HTTPS served, and how are certificates renewed? |
//! | [`observability`] | What does a server count, and when is an alert due? |
//! | [`testing`] | How are handlers tested? |
//! | [`admin`] | How does an operator see and steer a running server? |
//! | [`configuration`] | Which settings does the daemon have? |

// A page refers to another by a label. Here the label is defined before the page is included, and
// the first definition counts (CommonMark §4.7); the page's own definition is for readers of the
// repository.

/// rustdoc copies no pictures: a transparent one takes their place, and they follow the text.
macro_rules! nothing {
    () => {
        "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
    };
}

#[allow(rustdoc::broken_intra_doc_links, reason = "brackets in the table are addresses")]
#[doc = include_str!("../docs/configuration.md")]
pub mod configuration {}

#[doc = "[overload.md]: crate::guide::overload\n"]
#[doc = "[urgent]: crate::Bind::urgent\n\n"]
#[doc = include_str!("../docs/databases.md")]
pub mod databases {}

#[doc = "[configuration.md]: crate::guide::configuration#confinement\n\n"]
#[doc = include_str!("../docs/files.md")]
pub mod files {}

#[doc = "[http.md]: crate::guide::http\n\n"]
#[doc = include_str!("../docs/handlers.md")]
pub mod handlers {}

#[doc = "[overload.md]: crate::guide::overload\n\n"]
#[doc = include_str!("../docs/http.md")]
pub mod http {}

#[doc = "[http.md]: crate::guide::http\n"]
#[doc = "[architecture.md]: crate::config::Limits::connections\n"]
#[doc = concat!("[overload.svg]: ", nothing!(), "\n")]
#[doc = concat!("[overload-cpu.svg]: ", nothing!(), "\n\n")]
#[doc = include_str!("../docs/overload.md")]
#[doc = "\n# The charts\n"]
#[doc = include_str!("../docs/overload.svg")]
#[doc = "\n"]
#[doc = include_str!("../docs/overload-cpu.svg")]
pub mod overload {}

#[doc = "[admin.md]: crate::guide::admin\n"]
#[doc = "[overload.md]: crate::guide::overload\n"]
#[doc = "[tls.md]: crate::guide::tls\n"]
#[doc = "[memory]: crate::guide::configuration#memory\n\n"]
#[doc = include_str!("../docs/observability.md")]
#[cfg(feature = "metrics")]
pub mod observability {}

#[doc = "[http.md]: crate::guide::http\n"]
#[doc = "[overload.md]: crate::guide::overload\n"]
#[doc = "[tls.md]: crate::guide::tls\n\n"]
#[doc = include_str!("../docs/sockets.md")]
pub mod sockets {}

#[doc = include_str!("../docs/testing.md")]
pub mod testing {}

#[doc = include_str!("../docs/admin.md")]
pub mod admin {}

#[doc = "[overload.md]: crate::guide::overload\n\n"]
#[doc = include_str!("../docs/tls.md")]
pub mod tls {}
