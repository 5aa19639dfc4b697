//! Basic authentication (RFC 7617) against names and bcrypt hashes.
//!
//! A bcrypt hash takes tens of milliseconds of CPU time, by design. So credentials that were found
//! right are remembered, in a table of fixed size and by a keyed hash, and only so many are computed at
//! once that the workers stay free for others. An unknown name costs the same time as a known one.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io::Read;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, header};

use super::options::BasicAuth;
use crate::error::{Error, ErrorKind};
use crate::pool::slots::lock;

/// Credentials remembered as right.
const KNOWN: usize = 256;
/// Bytes of the file of users.
const FILE_MAX: u64 = 1 << 20;
/// The highest cost that is taken: each step doubles the time, and 14 is about a second.
const COST_MAX: u32 = 14;
/// Requests that wait for others' hashes to be computed.
const WAITING: usize = 8;
/// How long they wait.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the credentials of a request are worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Granted,
    /// 401: there are none, or they are wrong.
    Denied,
    /// 503: too many others are being checked.
    Busy,
}

/// Names, hashes, and what was found right lately.
pub(super) struct Guard {
    challenge: HeaderValue,
    users: HashMap<String, String>,
    /// A hash that nothing matches, for names that are not there.
    nobody: String,
    known: Box<[Mutex<Option<u128>>]>,
    keys: [RandomState; 2],
    gate: Gate,
    /// The device and inode of the file of users, which is never served.
    file: (u64, u64),
}

impl Guard {
    /// Reads the file of users.
    pub(super) fn new(auth: &BasicAuth) -> Result<Self, Error> {
        let (text, file) = read(&auth.users)?;
        let users = parse(&text, &auth.users)?;
        let cost = users.values().filter_map(|hash| cost(hash)).max().unwrap_or(10);
        let nobody = bcrypt::hash("", cost).map_err(|error| {
            Error::new(ErrorKind::System, format!("cannot compute a bcrypt hash: {error}"))
        })?;
        let slots = (num_cpus::get() / 2).max(1);
        Ok(Self {
            challenge: challenge(&auth.realm)?,
            users,
            nobody,
            known: (0..KNOWN).map(|_| Mutex::new(None)).collect(),
            keys: [RandomState::new(), RandomState::new()],
            gate: Gate { slots, state: Mutex::default(), left: Condvar::new() },
            file,
        })
    }

    /// The value of WWW-Authenticate.
    pub(super) fn challenge(&self) -> HeaderValue {
        self.challenge.clone()
    }

    /// Device and inode of the file of users.
    pub(super) fn file(&self) -> (u64, u64) {
        self.file
    }

    /// Checks the credentials of a request. It may take as long as a hash does.
    pub(super) fn check(&self, headers: &HeaderMap) -> Access {
        let mut values = headers.get_all(header::AUTHORIZATION).into_iter();
        let (Some(value), None) = (values.next(), values.next()) else { return Access::Denied };
        let tag = self.tag(value.as_bytes());
        if self.knows(tag) {
            return Access::Granted;
        }
        let Some((name, password)) = credentials(value.as_bytes()) else { return Access::Denied };
        let Some(_pass) = self.gate.enter() else { return Access::Busy };
        // Several requests of one client come together; the first has done the work for the others.
        if self.knows(tag) {
            return Access::Granted;
        }
        let hash = self.users.get(&name);
        let right = bcrypt::verify(&password, hash.unwrap_or(&self.nobody)).unwrap_or(false);
        if right && hash.is_some() {
            *lock(self.place(tag)) = Some(tag);
            return Access::Granted;
        }
        Access::Denied
    }

    /// What credentials are remembered by: two keyed hashes, so that what is compared tells nothing
    /// about them, however the comparison is timed.
    fn tag(&self, value: &[u8]) -> u128 {
        let [high, low] = &self.keys;
        u128::from(high.hash_one(value)) << 64 | u128::from(low.hash_one(value))
    }

    fn place(&self, tag: u128) -> &Mutex<Option<u128>> {
        &self.known[tag as usize % KNOWN]
    }

    fn knows(&self, tag: u128) -> bool {
        *lock(self.place(tag)) == Some(tag)
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("users", &self.users.len()).finish_non_exhaustive()
    }
}

/// Lets so many compute at once, and so many wait for it.
#[derive(Debug)]
struct Gate {
    slots: usize,
    /// Who computes, and who waits.
    state: Mutex<(usize, usize)>,
    left: Condvar,
}

/// A place at the gate, given back by dropping it.
struct Pass<'a>(&'a Gate);

impl Gate {
    fn enter(&self) -> Option<Pass<'_>> {
        let deadline = Instant::now() + PATIENCE;
        let mut state = lock(&self.state);
        if state.0 >= self.slots {
            if state.1 >= WAITING {
                return None;
            }
            state.1 += 1;
            state = self.wait(state, deadline);
            state.1 -= 1;
            if state.0 >= self.slots {
                return None;
            }
        }
        state.0 += 1;
        Some(Pass(self))
    }

    fn wait<'a>(
        &self,
        mut state: MutexGuard<'a, (usize, usize)>,
        deadline: Instant,
    ) -> MutexGuard<'a, (usize, usize)> {
        while state.0 >= self.slots {
            let time = deadline.saturating_duration_since(Instant::now());
            if time.is_zero() {
                break;
            }
            state = match self.left.wait_timeout(state, time) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        state
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        lock(&self.0.state).0 -= 1;
        self.0.left.notify_one();
    }
}

/// The name and password of an Authorization field (RFC 7617 §2).
fn credentials(value: &[u8]) -> Option<(String, Vec<u8>)> {
    let (scheme, rest) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let decoded = STANDARD.decode(rest.trim_ascii()).ok()?;
    let colon = decoded.iter().position(|&byte| byte == b':')?;
    let name = String::from_utf8(decoded[..colon].to_vec()).ok()?;
    Some((name, decoded[colon + 1..].to_vec()))
}

fn challenge(realm: &str) -> Result<HeaderValue, Error> {
    let printable = realm.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let realm = realm.replace('\\', "\\\\").replace('"', "\\\"");
    let value = HeaderValue::try_from(format!("Basic realm=\"{realm}\", charset=\"UTF-8\""));
    value.ok().filter(|_| printable).ok_or_else(|| {
        Error::new(ErrorKind::Config, format!("{realm:?} is no realm"))
            .with_hint("a realm has printable ASCII characters")
    })
}

/// The text of the file of users, and which file it was.
fn read(path: &Path) -> Result<(String, (u64, u64)), Error> {
    use std::os::unix::fs::MetadataExt;
    let wrong = |error| {
        Error::new(ErrorKind::Config, format!("cannot read the users in {}", path.display()))
            .with_source(error)
            .with_hint("it is a file with lines name:hash, as `htpasswd -B` makes them")
    };
    let file = std::fs::File::open(path).map_err(wrong)?;
    let metadata = file.metadata().map_err(wrong)?;
    let mut text = String::new();
    file.take(FILE_MAX + 1).read_to_string(&mut text).map_err(wrong)?;
    if text.len() as u64 > FILE_MAX {
        let message = format!("{} has more than {FILE_MAX} bytes", path.display());
        return Err(Error::new(ErrorKind::Config, message).with_hint("split the users up"));
    }
    Ok((text, (metadata.dev(), metadata.ino())))
}

/// Names and hashes, one a line; empty lines and those that begin with `#` do not count.
fn parse(text: &str, path: &Path) -> Result<HashMap<String, String>, Error> {
    let mut users = HashMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_end();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |what: &str, hint: &str| {
            let place = format!("{}:{}", path.display(), number + 1);
            Error::new(ErrorKind::Config, format!("{place}: {what}")).with_hint(hint)
        };
        let (name, hash) = line
            .split_once(':')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| wrong("no line of a user", "a line is name:hash"))?;
        match cost(hash) {
            None => return Err(wrong("no bcrypt hash", "make it with `htpasswd -B FILE NAME`")),
            Some(cost) if cost > COST_MAX => {
                let hint =
                    format!("each step doubles the time; the most that is taken is {COST_MAX}");
                return Err(wrong(&format!("a bcrypt hash of cost {cost}"), &hint));
            }
            Some(_) => {}
        }
        if users.insert(name.to_owned(), hash.to_owned()).is_some() {
            return Err(wrong("a second line for this user", "leave one of them"));
        }
    }
    Ok(users)
}

/// The cost of a bcrypt hash: `$2y$10$` and 53 characters.
fn cost(hash: &str) -> Option<u32> {
    let rest = ["$2a$", "$2b$", "$2y$"].iter().find_map(|version| hash.strip_prefix(version))?;
    let (cost, rest) = rest.split_once('$')?;
    let valid = rest.len() == 53
        && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'/');
    cost.parse().ok().filter(|cost| valid && (4..=31).contains(cost))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(text: &str) -> Result<Guard, Error> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Guard::new(&BasicAuth { realm: "mill".to_owned(), users: file.path().to_owned() })
    }

    fn headers(credentials: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let value = format!("Basic {}", STANDARD.encode(credentials));
        headers.insert(header::AUTHORIZATION, HeaderValue::try_from(value).unwrap());
        headers
    }

    #[test]
    fn the_right_password_opens_and_is_remembered() {
        let hash = bcrypt::hash("grain:sack", 4).unwrap();
        let guard = guard(&format!("# users\n\nmiller:{hash}\n")).unwrap();
        assert_eq!(guard.check(&headers("miller:grain:sack")), Access::Granted);
        let value = headers("miller:grain:sack")[header::AUTHORIZATION].clone();
        assert!(guard.knows(guard.tag(value.as_bytes())));
        assert_eq!(guard.check(&headers("miller:grain:sack")), Access::Granted);
        for wrong in ["miller:", "miller:grain", "nobody:grain:sack", ":", "miller", "nobody:"] {
            assert_eq!(guard.check(&headers(wrong)), Access::Denied, "{wrong}");
        }
        assert_eq!(guard.check(&HeaderMap::new()), Access::Denied);
        let mut twice = headers("miller:grain:sack");
        twice.append(header::AUTHORIZATION, value);
        assert_eq!(guard.check(&twice), Access::Denied);
        for value in ["Basic", "Basic ", "Basic %", "Bearer bWlsbGVyOg==", ""] {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_static(value));
            assert_eq!(guard.check(&headers), Access::Denied, "{value}");
        }
    }

    #[test]
    fn a_bad_file_of_users_is_told_by_its_line() {
        let hash = bcrypt::hash("", 4).unwrap();
        let dear = hash.replace("$04$", "$15$");
        for (text, expected) in [
            (format!("a:{hash}\nb\n"), ":2: no line of a user"),
            ("a:secret".to_owned(), ":1: no bcrypt hash"),
            ("\na:$apr1$x$y".to_owned(), ":2: no bcrypt hash"),
            (format!("a:{dear}"), ":1: a bcrypt hash of cost 15"),
            (format!("a:{hash}\na:{hash}"), ":2: a second line for this user"),
        ] {
            let error = guard(&text).unwrap_err();
            assert!(error.to_string().ends_with(expected), "{error}");
            assert!(error.hint().is_some());
        }
        let users = "/nonexistent/users".into();
        let error = Guard::new(&BasicAuth { realm: String::new(), users }).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/users"), "{error}");
    }

    #[test]
    fn only_so_many_compute_at_once() {
        let gate = Gate { slots: 1, state: Mutex::default(), left: Condvar::new() };
        let first = gate.enter();
        assert!(first.is_some());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| gate.enter().is_some());
            while lock(&gate.state).1 == 0 {
                std::thread::yield_now();
            }
            drop(first);
            assert!(waiting.join().unwrap());
        });
        let _first = gate.enter();
        lock(&gate.state).1 = WAITING;
        assert!(gate.enter().is_none());
    }
}
