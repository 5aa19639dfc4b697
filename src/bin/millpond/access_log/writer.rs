//! [`AccessLog`]: the file of the access log, which is opened, reopened and checked here.

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
use crate::os::log_writer::{LogKind, LogWriter, Sink, UnstartedWriter};
use crate::os::logging;
use crate::os::paths::parent_directory;
use crate::os::user::User;
use crate::settings::AccessLogSettings;

const WRITABLE_HINT: &str = "access_log.file must be in a directory in which the server's user can \
                             write; while a confined server runs, in one that was allowed at its \
                             start";

/// The access log.
#[derive(Debug)]
pub(crate) struct AccessLog {
    target: LogTarget,
    recorder: Recorder,
    /// The writer until its thread is started. `None` also for a writer shared with the log.
    unstarted: Option<UnstartedWriter>,
    /// The open file, until the thread is started.
    output: Option<LogFile>,
    /// The number of lines that earlier logs dropped, before a reload replaced them.
    dropped_before: u64,
}

/// The workers' end, which enqueues lines.
#[derive(Clone, Debug)]
pub(crate) struct Recorder(LogWriter);

impl Recorder {
    /// Enqueues a line, which ends with a line feed, or drops it. Never waits.
    pub(crate) fn enqueue(&self, line: Vec<u8>) {
        self.0.enqueue(LogKind::Access, line);
    }
}

/// The destination of the lines.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum LogTarget {
    StandardError,
    StandardOutput,
    File(PathBuf),
}

impl LogTarget {
    /// The destination that the settings name. Standard output and standard error are used as they
    /// are: to open them by name needs /proc and the rights of another user, and fails for a socket
    /// of the journal.
    pub(crate) fn of(settings: &AccessLogSettings) -> Self {
        let Some(path) = settings.file.as_deref() else { return Self::StandardError };
        match path.to_str() {
            Some("/dev/stdout" | "/dev/fd/1" | "/proc/self/fd/1") => Self::StandardOutput,
            Some("/dev/stderr" | "/dev/fd/2" | "/proc/self/fd/2") => Self::StandardError,
            _ => Self::File(path.to_owned()),
        }
    }
}

impl AccessLog {
    /// A log that enqueues lines and writes none yet.
    pub(crate) fn new(settings: &AccessLogSettings) -> Self {
        let target = LogTarget::of(settings);
        let (writer, unstarted) = match (&target, logging::writer()) {
            // One writer for both logs, so that a line of one does not split a line of the other.
            (LogTarget::StandardError, Some(writer)) => (writer, None),
            _ => {
                let (writer, unstarted) = LogWriter::new();
                (writer, Some(unstarted))
            }
        };
        writer.set_limit(LogKind::Access, settings.buffer);
        Self { target, recorder: Recorder(writer), unstarted, output: None, dropped_before: 0 }
    }

    /// Opens the file with the rights that the calling thread has now. If they do not suffice, uses
    /// `early`, which root opened before it gave up its rights.
    pub(crate) fn open(&mut self, early: Option<File>) -> Result<(), Failure> {
        let output = match &self.target {
            LogTarget::StandardError => io::stderr().as_fd().try_clone_to_owned(),
            LogTarget::StandardOutput => io::stdout().as_fd().try_clone_to_owned(),
            LogTarget::File(path) => {
                append(path).or_else(|error| early.ok_or(error)).map(OwnedFd::from)
            }
        };
        let path = match &self.target {
            LogTarget::File(path) => Some(path.clone()),
            _ => None,
        };
        let named = path.as_deref().unwrap_or(Path::new("-"));
        let fd = output.map_err(|error| unwritable(named, error))?;
        self.output = Some(LogFile { path, fd });
        Ok(())
    }

    /// Starts the thread, which has the rights that the calling one has now.
    pub(crate) fn start(&mut self) -> Result<(), Failure> {
        let (Some(writer), Some(output)) = (self.unstarted.take(), self.output.take()) else {
            return Ok(());
        };
        let failed =
            |error| Failure::io(code::RUNTIME, "cannot start the access-log thread", error);
        writer.start("access-log", output).map_err(failed)
    }

    pub(crate) fn recorder(&self) -> Recorder {
        self.recorder.clone()
    }

    /// Whether these settings name the same destination, so that a reload can keep this log.
    pub(crate) fn is_at(&self, settings: &AccessLogSettings) -> bool {
        self.target == LogTarget::of(settings)
    }

    /// Sets the number of lines that may wait.
    pub(crate) fn set_limit(&self, settings: &AccessLogSettings) {
        self.recorder.0.set_limit(LogKind::Access, settings.buffer);
    }

    /// Reopens the file, after a tool has moved it away. Returns `false` if the log has no file.
    pub(crate) fn reopen(&self) -> bool {
        let is_file = matches!(self.target, LogTarget::File(_));
        if is_file {
            self.recorder.0.reopen();
        }
        is_file
    }

    /// The number of lines that were dropped so far, by earlier logs, too.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped_before + self.recorder.0.dropped(LogKind::Access)
    }

    /// Adds the dropped lines of the log that this one replaces. The old log ends with the last
    /// request that uses it.
    pub(crate) fn continue_count_of(&mut self, old: &Self) {
        self.dropped_before = old.dropped();
    }

    /// Waits until every line is written, at most for `timeout`. Returns the number of lines that
    /// were dropped in all.
    pub(crate) fn finish(self, timeout: Duration) -> u64 {
        let has_own_writer = matches!(self.target, LogTarget::File(_) | LogTarget::StandardOutput);
        if has_own_writer && !self.recorder.0.flush(timeout) {
            self.recorder.0.count_waiting_as_dropped();
        }
        self.dropped()
    }
}

/// The open file.
#[derive(Debug)]
struct LogFile {
    /// `None`: standard output, which is never reopened.
    path: Option<PathBuf>,
    fd: OwnedFd,
}

impl Sink for LogFile {
    fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    fn reopen(&mut self) {
        let Some(path) = &self.path else { return };
        match append(path) {
            Ok(file) => self.fd = file.into(),
            Err(error) => {
                warn!(
                    "access log: cannot reopen {}: {error}; the old file stays in use",
                    path.display()
                );
            }
        }
    }
}

/// Opens a file for appending. Neither the open nor a write waits for the reader of a FIFO.
fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).custom_flags(OFlags::NONBLOCK.bits() as i32);
    match options.clone().create(true).open(path) {
        // A FIFO without a reader can be opened for reading and writing. It keeps the lines for the
        // next reader.
        Err(error) if Errno::from_io_error(&error) == Some(Errno::NXIO) => {
            options.read(true).open(path)
        }
        opened => opened,
    }
}

/// Opens the file as root, for a user who cannot create it, and makes that user the owner of a new
/// file. `None` if that is unsafe: a symbolic link in the path, or a second name of the file, may
/// have been made by that user to reach a file of root.
pub(crate) fn open_as_root(settings: &AccessLogSettings, user: &User) -> Option<File> {
    let LogTarget::File(path) = LogTarget::of(settings) else { return None };
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

/// Checks whether the file can be opened, without opening it. `own_rights`: whether it will be
/// opened with the rights that the process has now.
pub(crate) fn check(settings: &AccessLogSettings, own_rights: bool) -> Result<(), Failure> {
    let LogTarget::File(path) = LogTarget::of(settings) else { return Ok(()) };
    let may = |path: &Path, what: May| if own_rights { access(path, what) } else { Ok(()) };
    let checked = match std::fs::metadata(&path) {
        Ok(found) if found.is_dir() => Err(Errno::ISDIR.into()),
        Ok(_) => may(&path, May::WRITE_OK).map_err(io::Error::from),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let dir = parent_directory(&path);
            std::fs::metadata(&dir).and_then(|found| match found.is_dir() {
                true => Ok(may(&dir, May::WRITE_OK | May::EXEC_OK)?),
                false => Err(Errno::NOTDIR.into()),
            })
        }
        Err(error) if own_rights => Err(error),
        Err(_) => Ok(()),
    };
    checked.map_err(|error| unwritable(&path, error))
}

/// Why the calling thread could not reopen the file after a tool has moved it away, if it could
/// not.
pub(crate) fn reopen_problem(settings: &AccessLogSettings) -> Option<String> {
    let LogTarget::File(path) = LogTarget::of(settings) else { return None };
    let special = std::fs::metadata(&path).is_ok_and(|found| !found.is_file());
    let (needed, may) = match special {
        true => (path.clone(), May::WRITE_OK),
        false => (parent_directory(&path), May::WRITE_OK | May::EXEC_OK),
    };
    let error = access(&needed, may).err()?.into();
    let what = format!("access log: USR1 cannot reopen {}: {}", path.display(), needed.display());
    let failure = Failure::io(code::CONFIG, what, error);
    Some(format!("{}; the tool that moves the file away must create a new one", failure.message()))
}

/// The paths that must stay accessible so that the file can be reopened: its directory, and that of
/// the file that it links to; of a device or FIFO only the path itself.
pub(crate) fn paths_to_reopen(settings: &AccessLogSettings) -> Vec<PathBuf> {
    let LogTarget::File(path) = LogTarget::of(settings) else { return Vec::new() };
    let real = std::fs::canonicalize(&path).ok();
    let special = |path: &Path| std::fs::metadata(path).is_ok_and(|found| !found.is_file());
    std::iter::once(path)
        .chain(real)
        .map(|path| if special(&path) { path } else { parent_directory(&path) })
        .collect()
}

fn unwritable(path: &Path, error: io::Error) -> Failure {
    Failure::io(code::CONFIG, format!("cannot write to {}", path.display()), error)
        .with_hint(WRITABLE_HINT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::AccessLogFormat;
    use std::io::Read;

    const LONG: Duration = Duration::from_secs(20);

    fn settings(file: &Path, buffer: usize) -> AccessLogSettings {
        AccessLogSettings { format: AccessLogFormat::Clf, file: Some(file.to_owned()), buffer }
    }

    fn started(settings: &AccessLogSettings) -> AccessLog {
        let mut log = AccessLog::new(settings);
        log.open(None).unwrap();
        log.start().unwrap();
        log
    }

    fn fifo(path: &Path) {
        rustix::fs::mknodat(CWD, path, rustix::fs::FileType::Fifo, Mode::from(0o600), 0).unwrap();
    }

    #[test]
    fn a_moved_file_is_reopened_and_finish_writes_every_line() {
        let dir = tempfile::tempdir().unwrap();
        let (path, moved) = (dir.path().join("log"), dir.path().join("log.1"));
        let log = started(&settings(&path, 100));
        log.recorder().enqueue(b"one\n".to_vec());
        std::fs::rename(&path, &moved).unwrap();
        assert!(log.reopen());
        log.recorder().enqueue(b"two\n".to_vec());
        assert_eq!(log.finish(LONG), 0);
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "one\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two\n");
    }

    #[test]
    fn a_full_disk_drops_lines_and_counts_them() {
        let log = started(&settings(Path::new("/dev/full"), 100));
        log.recorder().enqueue(b"line\n".to_vec());
        assert_eq!(log.finish(LONG), 1);
    }

    #[test]
    fn a_fifo_without_a_reader_keeps_its_lines_and_blocks_no_writer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        fifo(&path);
        let log = started(&settings(&path, 100));
        log.recorder().enqueue(b"line\n".to_vec());
        assert!(log.recorder.0.flush(LONG));
        let mut reader = File::open(&path).unwrap();
        let mut line = [0; 5];
        reader.read_exact(&mut line).unwrap();
        assert_eq!(&line, b"line\n");
    }

    #[test]
    fn a_file_in_place_of_a_stalled_fifo_is_used_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        fifo(&path);
        let log = started(&settings(&path, 1000));
        for _ in 0..1000 {
            log.recorder().enqueue(vec![b'a'; 1000]);
        }
        assert!(!log.recorder.0.flush(Duration::from_millis(50)));
        std::fs::remove_file(&path).unwrap();
        log.reopen();
        log.recorder().enqueue(b"line\n".to_vec());
        assert!(log.recorder.0.flush(LONG));
        assert!(std::fs::read_to_string(&path).unwrap().ends_with("line\n"));
    }

    #[test]
    fn an_unwritable_file_fails_the_check_and_the_opening() {
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
    fn root_opens_neither_links_nor_second_names_for_another_user() {
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
    fn standard_output_and_standard_error_are_not_files() {
        let target = |path: &str| LogTarget::of(&settings(Path::new(path), 1));
        assert_eq!(target("/dev/stdout"), LogTarget::StandardOutput);
        assert_eq!(target("/proc/self/fd/2"), LogTarget::StandardError);
        assert_eq!(target("/dev/null"), LogTarget::File("/dev/null".into()));
        assert_eq!(paths_to_reopen(&settings(Path::new("/dev/stdout"), 1)), Vec::<PathBuf>::new());
        assert!(
            paths_to_reopen(&settings(Path::new("/dev/null"), 1)).contains(&"/dev/null".into())
        );
    }
}
