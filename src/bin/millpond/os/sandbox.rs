//! What the process may no longer do once everything is bound and open: another user's rights, and
//! other files than its own (Landlock).
//!
//! Both apply to the calling thread and the threads that it starts, so that they come before the
//! server's threads.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd,
    RestrictionStatus, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus,
};
use log::{info, warn};
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};

use crate::failure::{Failure, code};

/// The newest set of restrictions that is asked for; older kernels grant what they know.
const NEWEST: ABI = ABI::V5;

/// A user to become.
#[derive(Debug, PartialEq)]
pub(crate) struct User {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
}

impl User {
    /// Finds `NAME`, `UID` or `UID:GID` in passwd(5) and group(5).
    pub(crate) fn find(name: &str) -> Result<Self, Failure> {
        let read = |path: &str| {
            std::fs::read_to_string(path).map_err(|error| {
                Failure::io(code::CONFIG, format!("cannot read {path}"), error)
                    .with_hint("give --user as numbers, UID:GID")
            })
        };
        if let Some((uid, gid)) = name.split_once(':')
            && let (Ok(uid), Ok(gid)) = (uid.parse(), gid.parse())
        {
            return Ok(Self { uid, gid, groups: vec![gid] });
        }
        find(name, &read("/etc/passwd")?, &read("/etc/group")?).ok_or_else(|| {
            Failure::new(code::CONFIG, format!("there is no user {name:?}"))
                .with_hint("--user takes a name or number of /etc/passwd, or UID:GID")
        })
    }

    /// Its numbers as owner of a file: user and group.
    pub(crate) fn ids(&self) -> (u32, u32) {
        (self.uid, self.gid)
    }

    /// Becomes the user, for good.
    pub(crate) fn assume(&self) -> Result<(), Failure> {
        let groups: Vec<_> = self.groups.iter().map(|&gid| Gid::from_raw(gid)).collect();
        let assumed = set_thread_groups(&groups)
            .and_then(|()| set_thread_gid(Gid::from_raw(self.gid)))
            .and_then(|()| set_thread_uid(Uid::from_raw(self.uid)));
        assumed.map_err(|errno| {
            Failure::io(code::PERMISSION, format!("cannot become user {}", self.uid), errno.into())
                .with_hint("only root can become another user; leave out --user otherwise")
        })?;
        if self.uid != 0 && set_thread_uid(Uid::ROOT).is_ok() {
            return Err(Failure::new(code::PERMISSION, "the rights of root could not be given up")
                .with_hint("take CAP_SETUID away from the program"));
        }
        info!("running as user {} and group {}", self.uid, self.gid);
        Ok(())
    }
}

fn find(name: &str, passwd: &str, group: &str) -> Option<User> {
    let entry = passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.len() >= 4 && (fields[0] == name || fields[2] == name))?;
    let (uid, gid) = (entry[2].parse().ok()?, entry[3].parse().ok()?);
    let member = |line: &str| {
        let fields: Vec<_> = line.split(':').collect();
        let listed = fields.get(3)?.split(',').any(|user| user == entry[0]);
        fields[2].parse().ok().filter(|&id| listed && id != gid)
    };
    let groups = std::iter::once(gid).chain(group.lines().filter_map(member)).collect();
    Some(User { uid, gid, groups })
}

/// What stays within reach.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    /// To be read, with everything below.
    pub(crate) read: Vec<PathBuf>,
    /// Directories in which files are made, written and removed.
    pub(crate) write: Vec<PathBuf>,
}

/// Puts every other file out of reach, as far as the kernel can, and logs how far that is. `to`
/// names what stays in reach. Whether anything is out of reach afterwards.
pub(crate) fn confine(reach: &Reach, to: &str) -> bool {
    match restrict(reach) {
        Ok(status) => match status.ruleset {
            RulesetStatus::FullyEnforced => info!("confined to {to}"),
            RulesetStatus::PartiallyEnforced => {
                info!("confined to {to}, as far as this kernel can");
            }
            RulesetStatus::NotEnforced => {
                info!("not confined: this kernel has no Landlock, or has it turned off");
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

pub(crate) fn restrict(reach: &Reach) -> Result<RestrictionStatus, RulesetError> {
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
    for (paths, access) in [(&reach.read, read), (&reach.write, write)] {
        for path in paths {
            if let Some(rule) = rule(path, access) {
                ruleset = ruleset.add_rule(rule)?;
            }
        }
    }
    ruleset.restrict_self()
}

/// Where a path cannot be opened, there is nothing to be reached by it.
fn rule(path: &Path, access: BitFlags<AccessFs>) -> Option<PathBeneath<PathFd>> {
    let fd = PathFd::new(path).ok()?;
    // Rights that only directories have make no sense for a file.
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(NEWEST) };
    Some(PathBeneath::new(fd, access))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nmill:x:71:72::/:/bin/false\nshort:x\n";
    const GROUP: &str = "root:x:0:\nmill:x:72:\nlogs:x:73:ada,mill\nother:x:74:millstone\n";

    #[test]
    fn a_user_is_found_by_name_or_number_with_its_groups() {
        let mill = User { uid: 71, gid: 72, groups: vec![72, 73] };
        assert_eq!(find("mill", PASSWD, GROUP).as_ref(), Some(&mill));
        assert_eq!(find("71", PASSWD, GROUP), Some(mill));
        for unknown in ["", "nobody", "72", "short"] {
            assert_eq!(find(unknown, PASSWD, GROUP), None, "{unknown}");
        }
    }

    #[test]
    fn numbers_need_no_entry() {
        let user = User { uid: 4242, gid: 4343, groups: vec![4343] };
        assert_eq!(User::find("4242:4343").unwrap(), user);
    }

    #[test]
    fn what_the_kernel_drops_of_datagrams_is_known_to_a_confined_process() {
        let endpoint = "udp://127.0.0.1:0".parse().unwrap();
        let socket = millpond::net::Datagram::bind(&endpoint).unwrap();
        assert_eq!(socket.kernel_drops().unwrap(), 0);
        let confined = std::thread::spawn(move || {
            restrict(&Reach::default()).unwrap();
            socket.kernel_drops()
        });
        assert_eq!(confined.join().unwrap().unwrap(), 0);
    }

    #[test]
    fn a_handler_that_tries_reads_no_file_elsewhere() {
        use millpond::Server;
        use millpond::http::{Request, Response};
        use std::io::{Read, Write};

        let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let paths = [&inside, &outside].map(|dir| dir.path().join("file"));
        paths.iter().for_each(|path| std::fs::write(path, "flour").unwrap());
        let reach = Reach { read: vec![inside.path().to_owned()], write: Vec::new() };
        let handler = |request: &mut Request| {
            let read = std::fs::read_to_string(request.uri().path());
            Response::text(read.unwrap_or_else(|error| format!("{:?}", error.kind())))
        };
        // Restrictions belong to a thread and those that it starts: this one stays as it is.
        let started = std::thread::spawn(move || {
            let builder = Server::builder().bind("tcp://127.0.0.1:0").workers(2);
            let server = builder.http(handler).unwrap();
            let status = restrict(&reach).unwrap();
            (status.ruleset, server.spawn().unwrap())
        });
        let (status, handle) = started.join().unwrap();
        let addr = handle.local_addrs()[0].as_socket().unwrap();
        let asked = |path: &Path| {
            let mut stream = std::net::TcpStream::connect(addr).unwrap();
            write!(stream, "GET {} HTTP/1.0\r\n\r\n", path.display()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer.split_once("\r\n\r\n").unwrap().1.to_owned()
        };
        assert_eq!(asked(&paths[0]), "flour");
        if status != RulesetStatus::NotEnforced {
            for path in [&paths[1], Path::new("/etc/passwd"), Path::new("/proc/self/environ")] {
                assert_eq!(asked(path), "PermissionDenied", "{}", path.display());
            }
        }
        handle.stop_now();
    }
}
