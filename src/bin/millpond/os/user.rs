//! The user whose rights the server has: found in passwd(5), assumed for good.
//!
//! Rights belong to a thread and the threads that it starts, so that the user is assumed before the
//! server's threads are started.

use log::info;
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};

use crate::failure::{Failure, code};

/// A user and its groups.
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
                    .with_hint("--user takes numbers as well, as UID:GID")
            })
        };
        if let Some((uid, gid)) = name.split_once(':')
            && let (Ok(uid), Ok(gid)) = (uid.parse(), gid.parse())
        {
            return Ok(Self { uid, gid, groups: vec![gid] });
        }
        find(name, &read("/etc/passwd")?, &read("/etc/group")?).ok_or_else(|| {
            Failure::new(
                code::CONFIG,
                format!("unknown user {name:?}: expected NAME, UID or UID:GID"),
            )
            .with_hint("a name and a UID alone need an entry in /etc/passwd")
        })
    }

    /// The numbers of the user and its main group, as owners of a file.
    pub(crate) fn ids(&self) -> (u32, u32) {
        (self.uid, self.gid)
    }

    /// Gives the calling thread the rights of the user, for good.
    pub(crate) fn assume(&self) -> Result<(), Failure> {
        let groups: Vec<_> = self.groups.iter().map(|&gid| Gid::from_raw(gid)).collect();
        let assumed = set_thread_groups(&groups)
            .and_then(|()| set_thread_gid(Gid::from_raw(self.gid)))
            .and_then(|()| set_thread_uid(Uid::from_raw(self.uid)));
        assumed.map_err(|errno| {
            Failure::io(code::PERMISSION, format!("cannot become user {}", self.uid), errno.into())
                .with_hint("only root can become another user: start as root, or remove --user")
        })?;
        if self.uid != 0 && set_thread_uid(Uid::ROOT).is_ok() {
            return Err(Failure::new(code::PERMISSION, "cannot give up the rights of root")
                .with_hint("the program must not have CAP_SETUID after it became the user"));
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

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nmill:x:71:72::/:/bin/false\nshort:x\n";
    const GROUP: &str = "root:x:0:\nmill:x:72:\nlogs:x:73:ada,mill\nother:x:74:millstone\n";

    #[test]
    fn a_user_is_found_by_name_or_number_with_its_groups() {
        let user = User { uid: 71, gid: 72, groups: vec![72, 73] };
        assert_eq!(find("mill", PASSWD, GROUP).as_ref(), Some(&user));
        assert_eq!(find("71", PASSWD, GROUP), Some(user));
        for unknown in ["", "nobody", "72", "short"] {
            assert_eq!(find(unknown, PASSWD, GROUP), None, "{unknown}");
        }
    }

    #[test]
    fn a_pair_of_numbers_needs_no_entry() {
        let user = User { uid: 4242, gid: 4343, groups: vec![4343] };
        assert_eq!(User::find("4242:4343").unwrap(), user);
    }
}
