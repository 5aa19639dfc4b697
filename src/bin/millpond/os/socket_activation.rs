//! Socket activation: the sockets that the service manager passes (sd_listen_fds(3)).

use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use crate::failure::{Failure, code};

/// The first descriptor that is passed (`SD_LISTEN_FDS_START`).
const FIRST_PASSED_FD: RawFd = 3;

/// The sockets that were passed, with their names. A socket that was taken is `None`.
#[derive(Debug, Default)]
pub(crate) struct PassedSockets(Vec<(String, Option<OwnedFd>)>);

impl PassedSockets {
    /// Takes the sockets that the environment announces to this process. To be called once.
    pub(crate) fn from_env() -> Result<Self, Failure> {
        let value = |name| std::env::var(name).unwrap_or_default();
        let pid = std::process::id();
        let Some(names) =
            names(&value("LISTEN_PID"), pid, &value("LISTEN_FDS"), &value("LISTEN_FDNAMES"))
        else {
            return Ok(Self::default());
        };
        let mut passed = Vec::new();
        for (fd, name) in (FIRST_PASSED_FD..).zip(names) {
            passed.push((name, Some(take(fd)?)));
        }
        Ok(Self(passed))
    }

    /// The number of sockets that were passed, taken or not.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes all sockets that were not taken yet.
    pub(crate) fn take_all(&mut self) -> Vec<OwnedFd> {
        self.0.iter_mut().filter_map(|(_, fd)| fd.take()).collect()
    }

    /// Takes the sockets of an endpoint `fd:NAME` or `fd:N`. Several sockets can share a name; N
    /// counts from 0.
    pub(crate) fn take(&mut self, which: &str) -> Result<Vec<OwnedFd>, Failure> {
        let index = which.parse::<usize>().ok();
        let taken: Vec<_> = self
            .0
            .iter_mut()
            .enumerate()
            .filter(|(i, (name, _))| index.map_or(name == which, |index| index == *i))
            .filter_map(|(_, (_, fd))| fd.take())
            .collect();
        if taken.is_empty() { Err(self.unknown(which)) } else { Ok(taken) }
    }

    fn unknown(&self, which: &str) -> Failure {
        let names: Vec<_> = self.0.iter().map(|(name, _)| name.as_str()).collect();
        let failure = Failure::new(
            code::UNAVAILABLE,
            format!("unknown socket fd:{which}: the service manager passed no such socket"),
        );
        failure.with_hint(match names.as_slice() {
            [] => "no socket was passed: start by a .socket unit, or bind an address".to_owned(),
            names => format!("the passed sockets have the names {}", names.join(", ")),
        })
    }
}

/// The names of the passed sockets; `None` if they were passed to another process than `pid`.
fn names(listen_pid: &str, pid: u32, count: &str, names: &str) -> Option<Vec<String>> {
    let count: usize = count.parse().ok()?;
    if listen_pid.parse() != Ok(pid) || count == 0 {
        return None;
    }
    // No process has more descriptors.
    let count = count.min(1 << 16);
    let mut names = names.split(':').map(ToOwned::to_owned);
    // sd_listen_fds_with_names(3): a socket without a name is called "unknown".
    let named = |name: Option<String>| {
        name.filter(|name| !name.is_empty()).unwrap_or_else(|| "unknown".to_owned())
    };
    Some((0..count).map(|_| named(names.next())).collect())
}

fn take(fd: RawFd) -> Result<OwnedFd, Failure> {
    // A descriptor that is not open must not become an `OwnedFd`.
    #[expect(unsafe_code, reason = "a number may not be that of an open descriptor")]
    // SAFETY: borrowed for one call of fcntl(2), which fails on a descriptor that is not open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    rustix::io::fcntl_getfd(borrowed).map_err(|errno| {
        let what = format!("cannot use the passed descriptor {fd}");
        Failure::io(code::UNAVAILABLE, what, errno.into())
            .with_hint("LISTEN_FDS is the number of passed descriptors, of which the first is 3")
    })?;
    #[expect(unsafe_code, reason = "a descriptor is passed by its number alone")]
    // SAFETY: it is open, belongs to this process (sd_listen_fds(3)), and is taken once.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC).map_err(|errno| {
        Failure::io(code::RUNTIME, "cannot set close-on-exec of a passed socket", errno.into())
    })?;
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_of_another_process_are_ignored() {
        assert_eq!(names("8", 7, "1", ""), None);
        assert_eq!(names("", 7, "1", ""), None);
        assert_eq!(names("7", 7, "0", ""), None);
        assert_eq!(names("7", 7, "x", ""), None);
    }

    #[test]
    fn a_socket_without_a_name_is_called_unknown() {
        let names = |fds, text| names("7", 7, fds, text).unwrap();
        assert_eq!(names("2", "web:admin"), ["web", "admin"]);
        assert_eq!(names("3", "web"), ["web", "unknown", "unknown"]);
        assert_eq!(names("1", "web:more"), ["web"]);
        assert_eq!(names("2", ":b"), ["unknown", "b"]);
    }

    #[test]
    fn a_passed_socket_is_taken_once_by_name_or_number() {
        let open = || Some(OwnedFd::from(std::fs::File::open("/dev/null").unwrap()));
        let name = ToOwned::to_owned;
        let mut passed =
            PassedSockets(["web", "web", "admin"].into_iter().map(|n| (name(n), open())).collect());
        assert_eq!(passed.take("web").unwrap().len(), 2);
        assert_eq!(passed.take("2").unwrap().len(), 1);
        let failure = passed.take("admin").unwrap_err();
        assert_eq!(
            failure.message(),
            "unknown socket fd:admin: the service manager passed no such socket"
        );
        assert_eq!(failure.hint(), Some("the passed sockets have the names web, web, admin"));
        assert!(passed.take_all().is_empty());
    }
}
