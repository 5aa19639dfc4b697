//! The access log: a line for each request that reached a handler.
//!
//! A worker formats the line and puts it into the queue of a [`LogWriter`], whose thread writes it.

pub(crate) mod line;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use log::warn;
use rustix::fs::{Access as May, CWD, Mode, OFlags, ResolveFlags, access, openat2};
use rustix::io::Errno;

use crate::failure::{Failure, code};
use crate::os::log_writer::{LogWriter, Pending, Sink, Source};
use crate::os::logging;
use crate::os::sandbox::User;
use crate::settings::Access;

const WRITABLE: &str = "access_log.file is in a directory that the server's user may write to; in a \
                        running and confined process, in one that was named at its start";

/// The running log.
#[derive(Debug)]
pub(crate) struct AccessLog {
    target: Target,
    recorder: Recorder,
    /// The thread and what it will write to, until it is started.
    pending: Option<Pending>,
    output: Option<Output>,
    /// Lines that were dropped by the logs before a reload.
    before: u64,
}

/// Where workers put lines.
#[derive(Clone, Debug)]
pub(crate) struct Recorder(LogWriter);

impl Recorder {
    /// Takes a line, with its line feed, or drops it: it never waits.
    pub(crate) fn put(&self, line: Vec<u8>) {
        self.0.put(Source::Access, line);
    }
}

/// Where the lines go.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Target {
    StandardError,
    StandardOutput,
    File(PathBuf),
}

impl Target {
    /// Standard output and standard error are used as they are. Opened by name, they would need
    /// /proc, another user's rights and a file, which a socket of the journal is not.
    pub(crate) fn of(settings: &Access) -> Self {
        let Some(path) = settings.file.as_deref() else { return Self::StandardError };
        match path.to_str() {
            Some("/dev/stdout" | "/dev/fd/1" | "/proc/self/fd/1") => Self::StandardOutput,
            Some("/dev/stderr" | "/dev/fd/2" | "/proc/self/fd/2") => Self::StandardError,
            _ => Self::File(path.to_owned()),
        }
    }
}

impl AccessLog {
    /// A log that takes lines and writes none yet.
    pub(crate) fn new(settings: &Access) -> Self {
        let target = Target::of(settings);
        let (writer, pending) = match (&target, logging::writer()) {
            // One writer for both logs, so that their lines do not mix.
            (Target::StandardError, Some(writer)) => (writer, None),
            _ => {
                let (writer, pending) = LogWriter::new();
                (writer, Some(pending))
            }
        };
        writer.bound(Source::Access, settings.buffer);
        Self { target, recorder: Recorder(writer), pending, output: None, before: 0 }
    }

    /// Opens the file, with the rights that the calling thread has now. Where those do not suffice,
    /// `early` is used, which was opened before the rights of root were given up.
    pub(crate) fn open(&mut self, early: Option<File>) -> Result<(), Failure> {
        let output = match &self.target {
            Target::StandardError => io::stderr().as_fd().try_clone_to_owned(),
            Target::StandardOutput => io::stdout().as_fd().try_clone_to_owned(),
            Target::File(path) => {
                append(path).or_else(|error| early.ok_or(error)).map(OwnedFd::from)
            }
        };
        let path = match &self.target {
            Target::File(path) => Some(path.clone()),
            _ => None,
        };
        let named = path.as_deref().unwrap_or(Path::new("-"));
        let fd = output.map_err(|error| unwritable(named, error))?;
        self.output = Some(Output { path, fd });
        Ok(())
    }

    /// Starts the thread, which has the rights that the calling one has now.
    pub(crate) fn start(&mut self) -> Result<(), Failure> {
        let (Some(pending), Some(output)) = (self.pending.take(), self.output.take()) else {
            return Ok(());
        };
        pending
            .start("access-log", output)
            .map_err(|error| Failure::io(code::RUNTIME, "cannot start a thread", error))
    }

    pub(crate) fn recorder(&self) -> Recorder {
        self.recorder.clone()
    }

    /// Whether these settings mean the same file, which a reload then leaves open.
    pub(crate) fn is_at(&self, settings: &Access) -> bool {
        self.target == Target::of(settings)
    }

    /// Changes how many lines may wait.
    pub(crate) fn bound(&self, settings: &Access) {
        self.recorder.0.bound(Source::Access, settings.buffer);
    }

    /// Has the file opened again, after a tool has moved it away. `false`: there is none.
    pub(crate) fn reopen(&self) -> bool {
        let file = matches!(self.target, Target::File(_));
        if file {
            self.recorder.0.reopen();
        }
        file
    }

    /// Lines that were dropped so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.before + self.recorder.0.dropped(Source::Access)
    }

    /// Goes on where another log, which ends once the last request that began with it has ended,
    /// has stopped.
    pub(crate) fn follow(&mut self, old: &Self) {
        self.before = old.dropped();
    }

    /// Waits until every line is written, at most this long. How many lines were dropped in all.
    pub(crate) fn finish(self, within: Duration) -> u64 {
        let own = matches!(self.target, Target::File(_) | Target::StandardOutput);
        if own && !self.recorder.0.flush(within) {
            self.recorder.0.give_up();
        }
        self.dropped()
    }
}

/// The open file.
#[derive(Debug)]
struct Output {
    /// `None`: it is standard output, and stays.
    path: Option<PathBuf>,
    fd: OwnedFd,
}

impl Sink for Output {
    fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    fn reopen(&mut self) {
        let Some(path) = &self.path else { return };
        match append(path) {
            Ok(file) => self.fd = file.into(),
            Err(error) => {
                warn!("cannot reopen {}: {error}; the old file stays in use", path.display());
            }
        }
    }
}

/// Opens a file to append to. It never waits for the reader of a FIFO, nor does any write.
fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).custom_flags(OFlags::NONBLOCK.bits() as i32);
    match options.clone().create(true).open(path) {
        // A FIFO without a reader: opened for reading, too, it keeps its lines for the next one.
        Err(error) if Errno::from_io_error(&error) == Some(Errno::NXIO) => {
            options.read(true).open(path)
        }
        opened => opened,
    }
}

/// Opens the file while the process is still root, for a user who may not make it, and hands a new
/// one over to that user. None where that is not safe: a link anywhere in the path, or a second
/// name of the file, may be that user's activity.
pub(crate) fn open_as_root(settings: &Access, user: &User) -> Option<File> {
    let Target::File(path) = Target::of(settings) else { return None };
    let flags = OFlags::APPEND | OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let open = |more: OFlags| {
        let path = std::path::absolute(&path).map_err(|_| Errno::INVAL)?;
        let mode = if more.contains(OFlags::CREATE) { Mode::from(0o640) } else { Mode::empty() };
        openat2(CWD, path, flags | more, mode, ResolveFlags::NO_SYMLINKS).map(File::from)
    };
    match open(OFlags::CREATE | OFlags::EXCL) {
        Ok(file) => {
            let (uid, gid) = user.ids();
            fchown(&file, Some(uid), Some(gid)).ok()?;
            Some(file)
        }
        Err(Errno::EXIST) => {
            let file = open(OFlags::empty()).ok()?;
            let known = file.metadata().ok()?;
            (known.is_file() && known.nlink() == 1).then_some(file)
        }
        Err(_) => None,
    }
}

/// Checks what can be known before the file is opened. `own`: whether it is opened with the rights
/// that the process has now.
pub(crate) fn check(settings: &Access, own: bool) -> Result<(), Failure> {
    let Target::File(path) = Target::of(settings) else { return Ok(()) };
    let may = |path: &Path, what: May| if own { access(path, what) } else { Ok(()) };
    let checked = match std::fs::metadata(&path) {
        Ok(found) if found.is_dir() => Err(Errno::ISDIR.into()),
        Ok(_) => may(&path, May::WRITE_OK).map_err(io::Error::from),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let dir = directory(&path);
            std::fs::metadata(&dir).and_then(|found| match found.is_dir() {
                true => Ok(may(&dir, May::WRITE_OK | May::EXEC_OK)?),
                false => Err(Errno::NOTDIR.into()),
            })
        }
        Err(error) if own => Err(error),
        Err(_) => Ok(()),
    };
    checked.map_err(|error| unwritable(&path, error))
}

/// Why the file cannot be made again with the rights of the calling thread, once a tool has moved
/// it away.
pub(crate) fn not_again(settings: &Access) -> Option<String> {
    let Target::File(path) = Target::of(settings) else { return None };
    let special = std::fs::metadata(&path).is_ok_and(|found| !found.is_file());
    let (needed, may) = match special {
        true => (path.clone(), May::WRITE_OK),
        false => (directory(&path), May::WRITE_OK | May::EXEC_OK),
    };
    let error = access(&needed, may).err()?.into();
    let what =
        format!("USR1 cannot open the access log {} again: {}", path.display(), needed.display());
    let failure = Failure::io(code::CONFIG, what, error);
    Some(format!("{}; the tool that moves it away has to make a new one", failure.message()))
}

/// What has to stay within reach for the file to be opened again: its directory, and that of the
/// file that it is a link to; of a device or FIFO only itself.
pub(crate) fn reach(settings: &Access) -> Vec<PathBuf> {
    let Target::File(path) = Target::of(settings) else { return Vec::new() };
    let real = std::fs::canonicalize(&path).ok();
    let special = |path: &Path| std::fs::metadata(path).is_ok_and(|found| !found.is_file());
    std::iter::once(path)
        .chain(real)
        .map(|path| if special(&path) { path } else { directory(&path) })
        .collect()
}

fn unwritable(path: &Path, error: io::Error) -> Failure {
    Failure::io(code::CONFIG, format!("cannot write to {}", path.display()), error)
        .with_hint(WRITABLE)
}

/// The directory that a path is in.
pub(crate) fn directory(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        // The root has no parent.
        None => path.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Format;
    use std::io::Read;

    const LONG: Duration = Duration::from_secs(20);

    fn settings(file: &Path, buffer: usize) -> Access {
        Access { format: Format::Clf, file: Some(file.to_owned()), buffer }
    }

    fn started(settings: &Access) -> AccessLog {
        let mut log = AccessLog::new(settings);
        log.open(None).unwrap();
        log.start().unwrap();
        log
    }

    fn fifo(path: &Path) {
        rustix::fs::mknodat(CWD, path, rustix::fs::FileType::Fifo, Mode::from(0o600), 0).unwrap();
    }

    #[test]
    fn lines_are_written_by_the_end_and_a_moved_file_is_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let (path, moved) = (dir.path().join("log"), dir.path().join("log.1"));
        let log = started(&settings(&path, 100));
        log.recorder().put(b"one\n".to_vec());
        std::fs::rename(&path, &moved).unwrap();
        assert!(log.reopen());
        log.recorder().put(b"two\n".to_vec());
        assert_eq!(log.finish(LONG), 0);
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "one\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two\n");
    }

    #[test]
    fn a_full_disk_drops_and_counts() {
        let log = started(&settings(Path::new("/dev/full"), 100));
        log.recorder().put(b"line\n".to_vec());
        assert_eq!(log.finish(LONG), 1);
    }

    #[test]
    fn a_fifo_that_nobody_has_opened_holds_nothing_up_and_keeps_its_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        fifo(&path);
        let log = started(&settings(&path, 100));
        log.recorder().put(b"line\n".to_vec());
        assert!(log.recorder.0.flush(LONG));
        let mut reader = File::open(&path).unwrap();
        let mut line = [0; 5];
        reader.read_exact(&mut line).unwrap();
        assert_eq!(&line, b"line\n");
    }

    #[test]
    fn a_stalled_fifo_is_left_for_the_file_that_is_in_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        fifo(&path);
        let log = started(&settings(&path, 1000));
        for _ in 0..1000 {
            log.recorder().put(vec![b'a'; 1000]);
        }
        assert!(!log.recorder.0.flush(Duration::from_millis(50)));
        std::fs::remove_file(&path).unwrap();
        log.reopen();
        log.recorder().put(b"line\n".to_vec());
        assert!(log.recorder.0.flush(LONG));
        assert!(std::fs::read_to_string(&path).unwrap().ends_with("line\n"));
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named_before_and_when_it_is_opened() {
        let settings = settings(Path::new("/nonexistent/log"), 1);
        for failure in [
            AccessLog::new(&settings).open(None).unwrap_err(),
            check(&settings, true).unwrap_err(),
            check(&settings, false).unwrap_err(),
        ] {
            assert_eq!(failure.code(), code::CONFIG);
            assert!(failure.message().contains("/nonexistent/log: no such file"));
        }
    }

    #[test]
    fn root_opens_no_link_and_no_second_name_for_another_user() {
        let dir = tempfile::tempdir().unwrap();
        let [file, link, second, below] =
            ["file", "link", "second", "dir"].map(|name| dir.path().join(name));
        let user = User::find("4242:4243").unwrap();
        std::fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        std::os::unix::fs::symlink(dir.path(), &below).unwrap();
        assert!(open_as_root(&settings(&file, 1), &user).is_some());
        for unsafe_path in [&link, &below.join("file"), &below.join("new")] {
            assert!(open_as_root(&settings(unsafe_path, 1), &user).is_none(), "{unsafe_path:?}");
        }
        assert!(!dir.path().join("new").exists());
        std::fs::hard_link(&file, &second).unwrap();
        assert!(open_as_root(&settings(&file, 1), &user).is_none());
    }

    #[test]
    fn standard_output_and_standard_error_are_no_files() {
        let target = |path: &str| Target::of(&settings(Path::new(path), 1));
        assert_eq!(target("/dev/stdout"), Target::StandardOutput);
        assert_eq!(target("/proc/self/fd/2"), Target::StandardError);
        assert_eq!(target("/dev/null"), Target::File("/dev/null".into()));
        assert_eq!(reach(&settings(Path::new("/dev/stdout"), 1)), Vec::<PathBuf>::new());
        assert!(reach(&settings(Path::new("/dev/null"), 1)).contains(&"/dev/null".into()));
    }
}
