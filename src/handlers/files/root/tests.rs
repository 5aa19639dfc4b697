//! Both ways to resolve a path are tested with the same table.

use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::sync::LazyLock;

use proptest::prelude::*;
use rustix::fs::{FileType, Mode};
use rustix::io::Errno;

use super::*;
use crate::error::ErrorKind;

/// A root with links of every kind, beside a directory that must not be reached.
struct Tree {
    dir: tempfile::TempDir,
}

impl Tree {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("root/a/b")).unwrap();
        fs::create_dir(at("outside")).unwrap();
        fs::write(at("outside/secret"), "secret").unwrap();
        fs::write(at("root/file"), "file").unwrap();
        fs::write(at("root/a/b/deep"), "deep").unwrap();
        for (target, link) in [
            ("file", "to-file"),
            ("a/b", "to-dir"),
            ("../file", "a/up"),
            ("../../file", "a/b/up-up"),
            ("a/../a/b/../../file", "zigzag"),
            ("to-file", "to-link"),
            ("./file", "dot"),
            ("../outside/secret", "out"),
            ("../outside", "out-dir"),
            ("..", "parent"),
            ("a/../../outside/secret", "out-zigzag"),
            ("../root/file", "out-and-in"),
            ("loop-b", "loop-a"),
            ("loop-a", "loop-b"),
            ("self/x", "self"),
            ("/etc/passwd", "absolute"),
            ("/proc/self/root", "magic"),
            ("nothing", "dangling"),
            ("file/", "file-as-dir"),
        ] {
            symlink(target, at("root").join(link)).unwrap();
        }
        symlink(at("root/file"), at("root/absolute-inside")).unwrap();
        Self { dir }
    }

    fn roots(&self) -> [Root; 2] {
        let open = || Root::open(&self.dir.path().join("root")).unwrap();
        [open(), open().without_openat2()]
    }
}

fn read(root: &Root, path: &[u8]) -> Result<String, Errno> {
    let mut opened = root.beneath(path)?;
    if opened.kind() != FileType::RegularFile {
        return Ok(format!("{:?}", opened.kind()));
    }
    let mut text = String::new();
    opened.file.read_to_string(&mut text).unwrap();
    Ok(text)
}

#[test]
fn links_lead_anywhere_below_the_root_and_nowhere_else() {
    let tree = Tree::new();
    for root in tree.roots() {
        for (path, text) in [
            ("file", "file"),
            ("a/b/deep", "deep"),
            ("to-file", "file"),
            ("to-link", "file"),
            ("to-dir/deep", "deep"),
            ("a/up", "file"),
            ("a/b/up-up", "file"),
            ("zigzag", "file"),
            ("dot", "file"),
            ("", "Directory"),
            ("a/", "Directory"),
            ("to-dir", "Directory"),
        ] {
            assert_eq!(read(&root, path.as_bytes()).as_deref(), Ok(text), "{path}");
        }
        for (path, errno) in [
            ("out", Errno::XDEV),
            ("out-dir", Errno::XDEV),
            ("out-dir/secret", Errno::XDEV),
            ("parent", Errno::XDEV),
            ("parent/outside/secret", Errno::XDEV),
            ("out-zigzag", Errno::XDEV),
            ("out-and-in", Errno::XDEV),
            ("absolute", Errno::XDEV),
            ("absolute-inside", Errno::XDEV),
            ("magic", Errno::XDEV),
            ("magic/etc/passwd", Errno::XDEV),
            ("../outside/secret", Errno::XDEV),
            ("a/../../outside/secret", Errno::XDEV),
            ("loop-a", Errno::LOOP),
            ("self", Errno::LOOP),
            ("dangling", Errno::NOENT),
            ("nothing", Errno::NOENT),
            ("file/x", Errno::NOTDIR),
            ("file/.", Errno::NOTDIR),
            ("to-link/.", Errno::NOTDIR),
            ("file-as-dir", Errno::NOTDIR),
            ("a\0b", Errno::INVAL),
        ] {
            assert_eq!(read(&root, path.as_bytes()), Err(errno), "{path}");
        }
    }
}

#[test]
fn a_fifo_is_opened_without_waiting_for_a_writer() {
    let tree = Tree::new();
    let fifo = tree.dir.path().join("root/fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, Mode::RUSR | Mode::WUSR).unwrap();
    for root in tree.roots() {
        assert_eq!(read(&root, b"fifo").unwrap(), "Fifo");
    }
}

#[test]
fn a_root_that_cannot_be_served_is_an_error_with_a_hint() {
    let tree = Tree::new();
    for (path, text) in [
        ("root/nothing", "no such file or directory"),
        ("root/file", "not a directory"),
        ("root/loop-a", "too many levels of symbolic links"),
    ] {
        let error = Root::open(&tree.dir.path().join(path)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(format!("{error:#}").ends_with(text), "{error:#}");
        assert!(error.hint().is_some());
    }
}

#[test]
fn a_directory_that_is_exchanged_for_a_link_all_the_time_never_leads_out() {
    let tree = Tree::new();
    let at = |name: &str| tree.dir.path().join("root").join(name);
    fs::create_dir(at("flip")).unwrap();
    fs::write(at("flip/secret"), "harmless").unwrap();
    symlink("../outside", at("trap")).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let exchange = rustix::fs::RenameFlags::EXCHANGE;
                let cwd = rustix::fs::CWD;
                rustix::fs::renameat_with(cwd, at("flip"), cwd, at("trap"), exchange).unwrap();
            }
        });
        for root in tree.roots() {
            for _ in 0..2_000 {
                if let Ok(text) = read(&root, b"flip/secret") {
                    assert_eq!(text, "harmless");
                }
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_path_of_any_names_reaches_outside(
        names in prop::collection::vec(
            prop::sample::select(vec![
                "..", ".", "", "a", "b", "deep", "file", "up", "up-up", "zigzag", "out", "out-dir",
                "parent", "out-zigzag", "out-and-in", "loop-a", "self", "absolute", "magic", "etc",
                "passwd", "secret", "outside", "root", "to-dir", "to-link", "file-as-dir",
            ]),
            0..8,
        )
    ) {
        static TREE: LazyLock<Tree> = LazyLock::new(Tree::new);
        let tree = &*TREE;
        let inside = tree.dir.path().join("root").canonicalize().unwrap();
        let path = names.join("/");
        let mut outcomes = Vec::new();
        for root in tree.roots() {
            let opened = root.beneath(path.trim_start_matches('/').as_bytes());
            if let Ok(opened) = &opened {
                use std::os::fd::AsRawFd;
                let fd = opened.file.as_raw_fd();
                let real = fs::read_link(format!("/proc/self/fd/{fd}")).unwrap();
                prop_assert!(real.starts_with(&inside), "{path} is {}", real.display());
            }
            outcomes.push(opened.map(|opened| (opened.stat.st_dev, opened.stat.st_ino)).ok());
        }
        prop_assert_eq!(outcomes[0], outcomes[1], "both ways agree on {}", path);
    }
}
