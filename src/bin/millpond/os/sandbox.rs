//! The sandbox: after the start, the process can reach only its own files (Landlock).
//!
//! Restrictions apply to the calling thread and the threads that it starts, so that they are set
//! before the server's threads are started.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd,
    RestrictionStatus, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus,
};
use log::{info, warn};
/// The newest set of restrictions that is requested. Older kernels enforce those they know.
const NEWEST: ABI = ABI::V5;

/// The paths that stay accessible.
#[derive(Debug, Default)]
pub(crate) struct AllowedPaths {
    /// Files and directories that can be read, with everything below.
    pub(crate) read: Vec<PathBuf>,
    /// Directories in which files can be created, written and removed.
    pub(crate) write: Vec<PathBuf>,
}

/// Denies the process every other path, as far as the kernel can, and logs how far that is.
/// `description` names the allowed paths in the log. Returns whether any restriction is in force.
pub(crate) fn confine(allowed: &AllowedPaths, description: &str) -> bool {
    match restrict(allowed) {
        Ok(status) => match status.ruleset {
            RulesetStatus::FullyEnforced => info!("confined to {description}"),
            RulesetStatus::PartiallyEnforced => {
                info!("confined to {description}, as far as this kernel supports it");
            }
            RulesetStatus::NotEnforced => {
                info!("not confined: Landlock is missing or disabled in this kernel");
                return false;
            }
        },
        Err(error) => {
            warn!("not confined: {error}");
            return false;
        }
    }
    true
}

/// Denies the calling thread, and those that it starts, every other path.
pub(crate) fn restrict(allowed: &AllowedPaths) -> Result<RestrictionStatus, RulesetError> {
    let read = AccessFs::from_read(NEWEST) & !AccessFs::Execute;
    let write = read
        | AccessFs::MakeReg
        | AccessFs::MakeSock
        | AccessFs::RemoveFile
        | AccessFs::WriteFile
        | AccessFs::Truncate;
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .create()?;
    for (paths, access) in [(&allowed.read, read), (&allowed.write, write)] {
        for path in paths {
            if let Some(rule) = rule(path, access) {
                ruleset = ruleset.add_rule(rule)?;
            }
        }
    }
    ruleset.restrict_self()
}

/// The rule that allows a path. A path that cannot be opened needs none.
fn rule(path: &Path, access: BitFlags<AccessFs>) -> Option<PathBeneath<PathFd>> {
    let fd = PathFd::new(path).ok()?;
    // The kernel refuses a rule for a file with rights that only directories have.
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(NEWEST) };
    Some(PathBeneath::new(fd, access))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confined_process_can_read_the_number_of_dropped_datagrams() {
        let endpoint = "udp://127.0.0.1:0".parse().unwrap();
        let socket = millpond::net::Datagram::bind(&endpoint).unwrap();
        assert_eq!(socket.kernel_drops().unwrap(), 0);
        let confined = std::thread::spawn(move || {
            restrict(&AllowedPaths::default()).unwrap();
            socket.kernel_drops()
        });
        assert_eq!(confined.join().unwrap().unwrap(), 0);
    }

    #[test]
    fn a_handler_cannot_read_files_outside_of_the_allowed_paths() {
        use millpond::Server;
        use millpond::http::{Request, Response};
        use std::io::{Read, Write};

        let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let paths = [&inside, &outside].map(|dir| dir.path().join("file"));
        paths.iter().for_each(|path| std::fs::write(path, "flour").unwrap());
        let allowed = AllowedPaths { read: vec![inside.path().to_owned()], write: Vec::new() };
        let handler = |request: &mut Request| {
            let read = std::fs::read_to_string(request.uri().path());
            Response::text(read.unwrap_or_else(|error| format!("{:?}", error.kind())))
        };
        // Restrictions apply to a thread and those that it starts, so the test's own has none.
        let started = std::thread::spawn(move || {
            let builder = Server::builder().bind("tcp://127.0.0.1:0").workers(2);
            let server = builder.http(handler).build().unwrap();
            let status = restrict(&allowed).unwrap();
            (status.ruleset, server.spawn().unwrap())
        });
        let (status, handle) = started.join().unwrap();
        let addr = handle.local_addrs()[0].as_socket().unwrap();
        let get = |path: &Path| {
            let mut stream = std::net::TcpStream::connect(addr).unwrap();
            write!(stream, "GET {} HTTP/1.0\r\n\r\n", path.display()).unwrap();
            let mut response = String::new();
            stream.read_to_string(&mut response).unwrap();
            response.split_once("\r\n\r\n").unwrap().1.to_owned()
        };
        assert_eq!(get(&paths[0]), "flour");
        if status != RulesetStatus::NotEnforced {
            for path in [&paths[1], Path::new("/etc/passwd"), Path::new("/proc/self/environ")] {
                assert_eq!(get(path), "PermissionDenied", "{}", path.display());
            }
        }
        handle.stop_now();
    }
}
