//! Several instances behind a real HAProxy or nginx, with the configurations of
//! docs/behind-a-balancer.md.

mod clients;
mod cluster;
mod haproxy;
mod load;
mod manifests;
mod nginx;
mod restarts;
mod shares;

/// The page whose configurations are tested.
const PAGE: &str = include_str!("../../../docs/behind-a-balancer.md");

/// The fenced block of the page in this language.
#[track_caller]
fn block(language: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(&format!("\n```{language}\n")).unwrap();
    rest.split_once("\n```\n").unwrap().0
}

/// Replaces a part of a configuration, which has to be there.
#[track_caller]
fn replaced(text: &str, part: &str, by: &str) -> String {
    assert!(text.contains(part), "{part:?} is not in {text}");
    text.replace(part, by)
}

/// A free address of the loopback interface whose IP no other test uses: its ports stay free while
/// an instance restarts.
fn own_ip() -> std::net::Ipv4Addr {
    use std::sync::atomic::{AtomicU8, Ordering};
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let process = std::process::id();
    let (high, low) = ((process >> 8) as u8, process as u8);
    std::net::Ipv4Addr::new(127, high | 1, low, NEXT.fetch_add(1, Ordering::Relaxed))
}
