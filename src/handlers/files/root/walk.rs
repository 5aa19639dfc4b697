//! Resolves a path below a directory name by name, for kernels without openat2(2).
//!
//! Each name is opened with `O_PATH | O_NOFOLLOW` below the directory before it, which stays open.
//! So the kernel never resolves two names in one call, and a concurrent rename does not change a
//! directory that is already open. A symbolic link is replaced by the names of its target. `..`
//! returns to the directory before, and never above the root.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, fstat, openat, readlinkat};
use rustix::io::Errno;

/// As many links as the kernel follows (path_resolution(7)).
const LINKS_MAX: usize = 40;
/// The maximum number of names of a path, with all links expanded.
const NAMES_MAX: usize = 4096;

/// Opens the file or directory at `path` below `root` with these flags, like openat2(2) with
/// `RESOLVE_BENEATH` and `RESOLVE_NO_MAGICLINKS`.
pub(super) fn open(root: &OwnedFd, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let mut names = split(path);
    let mut above: Vec<OwnedFd> = Vec::new();
    let (mut links, mut steps) = (0, 0);
    while let Some(name) = names.pop_front() {
        steps += 1;
        if steps > NAMES_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        if name == b"." {
            continue;
        }
        if name == b".." {
            // The path would leave the root.
            above.pop().ok_or(Errno::XDEV)?;
            continue;
        }
        let here = last(root, &above);
        let step = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let found = openat(here, name.as_slice(), step, Mode::empty())?;
        match FileType::from_raw_mode(fstat(&found)?.st_mode) {
            FileType::Symlink => {
                links += 1;
                if links > LINKS_MAX {
                    return Err(Errno::LOOP);
                }
                let target = readlinkat(&found, c"", Vec::new())?.into_bytes();
                if target.starts_with(b"/") {
                    return Err(Errno::XDEV);
                }
                for name in split(&target).into_iter().rev() {
                    names.push_front(name);
                }
            }
            FileType::Directory => above.push(found),
            _ if names.is_empty() => {
                return openat(here, name.as_slice(), flags | OFlags::NOFOLLOW, Mode::empty());
            }
            _ => return Err(Errno::NOTDIR),
        }
    }
    openat(last(root, &above), c".", flags, Mode::empty())
}

/// The names of a path. A slash at its end becomes `.`, which also requires a directory.
fn split(path: &[u8]) -> VecDeque<Vec<u8>> {
    let names = path.split(|&byte| byte == b'/').filter(|name| !name.is_empty());
    let end = path.ends_with(b"/").then_some(&b"."[..]);
    names.chain(end).map(<[u8]>::to_vec).collect()
}

fn last<'a>(root: &'a OwnedFd, above: &'a [OwnedFd]) -> BorrowedFd<'a> {
    above.last().unwrap_or(root).as_fd()
}
