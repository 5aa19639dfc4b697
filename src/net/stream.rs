//! [`Stream`]: a connected stream socket, TCP or Unix; non-blocking underneath, with blocking calls
//! and deadlines above.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{self, RecvFlags, SendAncillaryBuffer, SendFlags};

use super::Addr;

/// What to wait for; see [`Stream::wait`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Bytes to read, or the peer's end.
    Read,
    /// Room to write.
    Write,
}

/// A connected stream socket.
#[derive(Debug)]
pub struct Stream {
    fd: OwnedFd,
}

impl Stream {
    /// Reads what is there, without waiting: recv(2) with `MSG_DONTWAIT`. 0 is the peer's end.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there; those of recv(2).
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let (n, _) = retry_on_intr(|| net::recv(&self.fd, &mut *buf, RecvFlags::DONTWAIT))?;
        Ok(n)
    }

    /// Writes what fits, without waiting: send(2) with `MSG_DONTWAIT` and `MSG_NOSIGNAL`.
    ///
    /// # Errors
    /// `WouldBlock` when nothing fits; those of send(2).
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        Ok(retry_on_intr(|| net::send(&self.fd, buf, flags))?)
    }

    /// Writes what fits of several buffers, without waiting: sendmsg(2).
    ///
    /// # Errors
    /// As [`try_write`](Self::try_write).
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let mut none = SendAncillaryBuffer::default();
        Ok(retry_on_intr(|| net::sendmsg(&self.fd, bufs, &mut none, flags))?)
    }

    /// Sends up to `length` bytes of `file` from `*offset` on, without waiting for the peer, and
    /// moves `*offset`: sendfile(2). 0 is the end of the file.
    ///
    /// # Errors
    /// `WouldBlock` when nothing fits; those of sendfile(2).
    pub fn try_send_file(
        &self,
        file: impl AsFd,
        offset: &mut u64,
        length: usize,
    ) -> io::Result<usize> {
        Ok(retry_on_intr(|| rustix::fs::sendfile(&self.fd, &file, Some(&mut *offset), length))?)
    }

    /// Waits until it is ready, poll(2). `false`: the deadline passed.
    ///
    /// # Errors
    /// Those of poll(2).
    pub fn wait(&self, interest: Interest, deadline: Option<Instant>) -> io::Result<bool> {
        let events = match interest {
            Interest::Read => PollFlags::IN | PollFlags::RDHUP,
            Interest::Write => PollFlags::OUT,
        };
        loop {
            let timeout = match deadline {
                None => None,
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    Some(Timespec {
                        tv_sec: left.as_secs() as i64,
                        tv_nsec: left.subsec_nanos().into(),
                    })
                }
            };
            match poll(&mut [PollFd::new(&self.fd, events)], timeout.as_ref()) {
                Ok(0) => return Ok(false),
                Ok(_) => return Ok(true),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Whether the connection is reset or closed in both directions, as far as the kernel knows:
    /// poll(2) without waiting. A peer that has only shut down its sending side is still there.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        let mut fds = [PollFd::new(&self.fd, PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut fds, Some(&now)).is_ok()
            && fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
    }

    /// Shuts down the sending side: shutdown(2). The peer reads the end.
    ///
    /// # Errors
    /// Those of shutdown(2).
    pub fn shutdown_write(&self) -> io::Result<()> {
        Ok(net::shutdown(&self.fd, net::Shutdown::Write)?)
    }

    /// Shuts down both directions, which also wakes whoever waits on it.
    ///
    /// # Errors
    /// Those of shutdown(2).
    pub fn shutdown_both(&self) -> io::Result<()> {
        Ok(net::shutdown(&self.fd, net::Shutdown::Both)?)
    }

    /// The address at this end: getsockname(2).
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<Addr> {
        Ok(net::getsockname(&self.fd)?.into())
    }
}

impl From<OwnedFd> for Stream {
    fn from(fd: OwnedFd) -> Self {
        Self { fd }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
