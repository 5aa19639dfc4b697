//! The number of datagrams that the kernel dropped, from its tables of sockets (proc_net(5)).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

/// The tables that could be opened.
static TABLES: OnceLock<Vec<File>> = OnceLock::new();

/// Bytes of a table per read(2), which returns whole lines.
const READ_SIZE: usize = 16 * 1024;

/// Opens the tables, once: a process may give up its access to /proc later.
pub(super) fn open() {
    TABLES.get_or_init(|| {
        let names = ["/proc/self/net/udp", "/proc/self/net/udp6"];
        names.iter().filter_map(|name| File::open(name).ok()).collect()
    });
}

/// The number of drops of the socket with this inode.
///
/// # Errors
/// `Unsupported` if no table lists the inode: the socket is not UDP, or /proc is not mounted.
pub(super) fn of(inode: u64) -> io::Result<u64> {
    open();
    let inode = inode.to_string();
    for table in TABLES.get().into_iter().flatten() {
        // Threads share the file, so its own offset is not used.
        let mut text = Vec::new();
        let mut chunk = vec![0; READ_SIZE];
        loop {
            match table.read_at(&mut chunk, text.len() as u64)? {
                0 => break,
                count => text.extend_from_slice(&chunk[..count]),
            }
        }
        let found = String::from_utf8_lossy(&text).lines().find_map(|line| drops(line, &inode));
        if let Some(drops) = found {
            return Ok(drops);
        }
    }
    Err(io::ErrorKind::Unsupported.into())
}

/// The last column of a line, if the line is about this inode.
fn drops(line: &str, inode: &str) -> Option<u64> {
    let mut columns = line.split_ascii_whitespace().skip(9);
    if columns.next() != Some(inode) {
        return None;
    }
    columns.last()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_last_column_counts_the_drops_of_the_inode() {
        let line = " 1107: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 \
                    00000000 0        0 4711 2 0000000000000000 42";
        assert_eq!(super::drops(line, "4711"), Some(42));
        assert_eq!(super::drops(line, "42"), None);
        assert_eq!(super::drops("  sl  local_address rem_address", "4711"), None);
    }
}
