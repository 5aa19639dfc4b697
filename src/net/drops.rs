//! How many datagrams the kernel threw away, from its tables of sockets (proc_net(5)).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

/// The tables, as far as they could be opened.
static TABLES: OnceLock<Vec<File>> = OnceLock::new();

/// How much of a table is read at once. The kernel gives whole lines.
const PIECE: usize = 16 * 1024;

/// Opens the tables, if that was not done yet: a process may lose its way to them later.
pub(super) fn open() {
    TABLES.get_or_init(|| {
        let names = ["/proc/self/net/udp", "/proc/self/net/udp6"];
        names.iter().filter_map(|name| File::open(name).ok()).collect()
    });
}

/// Those of the socket with this inode.
///
/// # Errors
/// `Unsupported` if it is in no table, as it is not UDP or there is no /proc.
pub(super) fn of(inode: u64) -> io::Result<u64> {
    open();
    let inode = inode.to_string();
    for table in TABLES.get().into_iter().flatten() {
        // The file is shared, so that no one moves its offset.
        let mut text = Vec::new();
        let mut piece = vec![0; PIECE];
        loop {
            match table.read_at(&mut piece, text.len() as u64)? {
                0 => break,
                count => text.extend_from_slice(&piece[..count]),
            }
        }
        let found = String::from_utf8_lossy(&text).lines().find_map(|line| drops(line, &inode));
        if let Some(drops) = found {
            return Ok(drops);
        }
    }
    Err(io::ErrorKind::Unsupported.into())
}

/// The last column of a line, if it is that of the inode.
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
