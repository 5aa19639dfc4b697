//! Names and explanations of the system's errors.

use std::io;

use rustix::io::Errno;

/// The name, number and text of an error of the system, as manual pages and scripts use them:
/// `ECONNREFUSED (111): Connection refused`. For any other error, its text. See errno(3).
///
/// # Examples
/// ```
/// let error = std::io::Error::from_raw_os_error(111);
/// assert_eq!(millpond::net::describe(&error), "ECONNREFUSED (111): Connection refused");
/// ```
#[must_use]
pub fn describe(error: &io::Error) -> String {
    let Some(number) = error.raw_os_error() else { return error.to_string() };
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let name = NAMES.iter().find(|(errno, _)| errno.raw_os_error() == number);
    match name {
        Some((_, name)) => format!("{name} ({number}): {text}"),
        None => format!("error {number}: {text}"),
    }
}

/// The cause of an error of a socket call, or what to do about it, if the error's own text does not
/// make that clear.
///
/// # Examples
/// ```
/// let error = std::io::Error::from_raw_os_error(90);
/// assert!(millpond::net::advice(&error).unwrap().contains("65507"));
/// ```
#[must_use]
pub fn advice(error: &io::Error) -> Option<&'static str> {
    match Errno::from_io_error(error)? {
        Errno::MSGSIZE => Some(
            "EMSGSIZE: a UDP datagram carries at most 65507 bytes over IPv4 and 65527 over IPv6, a \
             Unix datagram as many as fit into the send buffer (net.core.wmem_default)",
        ),
        Errno::CONNREFUSED => Some("no program listens there"),
        Errno::ACCESS | Errno::PERM => Some("this user lacks the permission"),
        Errno::NETUNREACH | Errno::HOSTUNREACH => Some("this machine has no route to that address"),
        Errno::AFNOSUPPORT => Some("this machine does not support that version of IP"),
        Errno::DESTADDRREQ | Errno::NOTCONN => Some("the socket is not connected"),
        _ => None,
    }
}

/// The errors of socket calls: the ERRORS sections of socket(2), bind(2), listen(2), accept(2),
/// connect(2), send(2), recv(2), ip(7), tcp(7), udp(7), raw(7) and unix(7).
const NAMES: [(Errno, &str); 51] = [
    (Errno::PERM, "EPERM"),
    (Errno::NOENT, "ENOENT"),
    (Errno::INTR, "EINTR"),
    (Errno::IO, "EIO"),
    (Errno::NXIO, "ENXIO"),
    (Errno::BADF, "EBADF"),
    (Errno::AGAIN, "EAGAIN"),
    (Errno::NOMEM, "ENOMEM"),
    (Errno::ACCESS, "EACCES"),
    (Errno::FAULT, "EFAULT"),
    (Errno::BUSY, "EBUSY"),
    (Errno::EXIST, "EEXIST"),
    (Errno::NODEV, "ENODEV"),
    (Errno::NOTDIR, "ENOTDIR"),
    (Errno::ISDIR, "EISDIR"),
    (Errno::INVAL, "EINVAL"),
    (Errno::NFILE, "ENFILE"),
    (Errno::MFILE, "EMFILE"),
    (Errno::NOSPC, "ENOSPC"),
    (Errno::ROFS, "EROFS"),
    (Errno::PIPE, "EPIPE"),
    (Errno::NAMETOOLONG, "ENAMETOOLONG"),
    (Errno::LOOP, "ELOOP"),
    (Errno::PROTO, "EPROTO"),
    (Errno::NOTSOCK, "ENOTSOCK"),
    (Errno::DESTADDRREQ, "EDESTADDRREQ"),
    (Errno::MSGSIZE, "EMSGSIZE"),
    (Errno::PROTOTYPE, "EPROTOTYPE"),
    (Errno::NOPROTOOPT, "ENOPROTOOPT"),
    (Errno::PROTONOSUPPORT, "EPROTONOSUPPORT"),
    (Errno::SOCKTNOSUPPORT, "ESOCKTNOSUPPORT"),
    (Errno::OPNOTSUPP, "EOPNOTSUPP"),
    (Errno::PFNOSUPPORT, "EPFNOSUPPORT"),
    (Errno::AFNOSUPPORT, "EAFNOSUPPORT"),
    (Errno::ADDRINUSE, "EADDRINUSE"),
    (Errno::ADDRNOTAVAIL, "EADDRNOTAVAIL"),
    (Errno::NETDOWN, "ENETDOWN"),
    (Errno::NETUNREACH, "ENETUNREACH"),
    (Errno::NETRESET, "ENETRESET"),
    (Errno::CONNABORTED, "ECONNABORTED"),
    (Errno::CONNRESET, "ECONNRESET"),
    (Errno::NOBUFS, "ENOBUFS"),
    (Errno::ISCONN, "EISCONN"),
    (Errno::NOTCONN, "ENOTCONN"),
    (Errno::SHUTDOWN, "ESHUTDOWN"),
    (Errno::TIMEDOUT, "ETIMEDOUT"),
    (Errno::CONNREFUSED, "ECONNREFUSED"),
    (Errno::HOSTDOWN, "EHOSTDOWN"),
    (Errno::HOSTUNREACH, "EHOSTUNREACH"),
    (Errno::ALREADY, "EALREADY"),
    (Errno::INPROGRESS, "EINPROGRESS"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_described_by_name_number_and_text() {
        let table = [
            (94, "ESOCKTNOSUPPORT (94): Socket type not supported"),
            (11, "EAGAIN (11): Resource temporarily unavailable"),
            (4000, "error 4000: Unknown error 4000"),
        ];
        for (number, expected) in table {
            assert_eq!(describe(&io::Error::from_raw_os_error(number)), expected);
        }
        assert_eq!(describe(&io::Error::other("odd")), "odd");
    }
}
