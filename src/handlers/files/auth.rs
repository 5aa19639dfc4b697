//! Basic authentication (RFC 7617) against names and bcrypt hashes.
//!
//! A bcrypt hash takes tens of milliseconds of CPU time, by design. So the handler remembers each
//! user's correct credentials as a keyed hash. Other credentials need a permit of [`HashLimit`]:
//! without one the request is refused immediately. Wrong credentials take as long as the most
//! expensive hash in the file, whether or not the user exists.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io::Read;
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, header};

use super::options::BasicAuth;
use crate::error::{Error, ErrorKind};
use crate::pool::hash_limit::HashLimit;
use crate::pool::overload::fairness::ClientKey;
use crate::sync::lock;

/// The maximum size of the file of users, in bytes.
const FILE_MAX: u64 = 1 << 20;
/// The highest accepted cost: each step doubles the time, and 14 takes about a second.
const COST_MAX: u32 = 14;
/// The cost of checking an unknown user if the file has no users.
const COST_DEFAULT: u32 = 10;
/// The maximum length of an Authorization field. Credentials are shorter: bcrypt reads 72 bytes of
/// a password.
const FIELD_MAX: usize = 4096;

/// The result of checking the credentials of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Granted,
    /// 401: the credentials are missing or wrong.
    Denied,
    /// 503: too many other hashes are being computed.
    Busy,
}

/// The users, with their hashes and the credentials that were verified.
pub(super) struct BasicAuthenticator {
    challenge: HeaderValue,
    users: HashMap<Vec<u8>, User>,
    /// The highest cost of any user's hash, which every wrong password takes.
    cost: u32,
    keys: [RandomState; 2],
    /// The device and inode of the file of users, which is never served.
    file: (u64, u64),
}

/// A user of the file.
struct User {
    hash: String,
    cost: u32,
    /// The tag of the credentials that were verified last. Each user has one of its own: neither
    /// the number of users nor wrong passwords can evict it.
    verified_tag: Mutex<Option<u128>>,
}

impl BasicAuthenticator {
    /// Reads the file of users.
    pub(super) fn new(auth: &BasicAuth) -> Result<Self, Error> {
        let (text, file) = read(&auth.users)?;
        let users = parse(&text, &auth.users)?;
        Ok(Self {
            challenge: challenge(&auth.realm)?,
            cost: users.values().map(|user| user.cost).max().unwrap_or(COST_DEFAULT),
            users,
            keys: [RandomState::new(), RandomState::new()],
            file,
        })
    }

    /// The value of WWW-Authenticate.
    pub(super) fn challenge(&self) -> HeaderValue {
        self.challenge.clone()
    }

    /// The device and inode of the file of users.
    pub(super) fn file(&self) -> (u64, u64) {
        self.file
    }

    /// Checks the credentials of a request. This may take as long as computing a hash, and never
    /// waits for another thread.
    pub(super) fn check(&self, headers: &HeaderMap, client: ClientKey) -> Access {
        let mut values = headers.get_all(header::AUTHORIZATION).into_iter();
        let (Some(value), None) = (values.next(), values.next()) else { return Access::Denied };
        let Some(decoded) = credentials(value.as_bytes()) else { return Access::Denied };
        let Some(colon) = memchr::memchr(b':', &decoded) else { return Access::Denied };
        let (name, password) = (&decoded[..colon], &decoded[colon + 1..]);
        let user = self.users.get(name);
        let tag = self.tag(&decoded);
        if user.is_some_and(|user| *lock(&user.verified_tag) == Some(tag)) {
            return Access::Granted;
        }
        let limit = HashLimit::of_this_thread();
        let Some(permit) = limit.try_acquire(client, Instant::now()) else { return Access::Busy };
        if let Some(user) = user
            && bcrypt::verify(password, &user.hash).unwrap_or(false)
        {
            *lock(&user.verified_tag) = Some(tag);
            return Access::Granted;
        }
        // 2^a + 2^a + 2^(a+1) + … + 2^(b-1) = 2^b: every wrong password takes the same time, so
        // that the time discloses no user names.
        let costs = match user {
            Some(user) => user.cost..self.cost,
            None => self.cost..self.cost + 1,
        };
        for cost in costs {
            let _ = bcrypt::hash_with_salt(password, cost, [0; 16]);
        }
        permit.was_wrong(Instant::now());
        Access::Denied
    }

    /// The tag of credentials: two keyed hashes, so that timing the comparison discloses nothing
    /// about the credentials.
    fn tag(&self, value: &[u8]) -> u128 {
        let [high, low] = &self.keys;
        u128::from(high.hash_one(value)) << 64 | u128::from(low.hash_one(value))
    }
}

impl fmt::Debug for BasicAuthenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BasicAuthenticator")
            .field("users", &self.users.len())
            .finish_non_exhaustive()
    }
}

/// The decoded contents of an Authorization field: name, colon, password (RFC 7617 §2).
fn credentials(value: &[u8]) -> Option<Vec<u8>> {
    let (scheme, rest) = value.split_at_checked(6)?;
    if value.len() > FIELD_MAX || !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    STANDARD.decode(rest.trim_ascii()).ok()
}

fn challenge(realm: &str) -> Result<HeaderValue, Error> {
    let printable = realm.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let realm = realm.replace('\\', "\\\\").replace('"', "\\\"");
    let value = HeaderValue::try_from(format!("Basic realm=\"{realm}\", charset=\"UTF-8\""));
    value.ok().filter(|_| printable).ok_or_else(|| {
        Error::new(ErrorKind::Config, format!("invalid realm {realm:?}"))
            .with_hint("expected printable ASCII characters")
    })
}

/// The text of the file of users, and its device and inode.
fn read(path: &Path) -> Result<(String, (u64, u64)), Error> {
    use std::os::unix::fs::MetadataExt;
    let wrong = |error| {
        Error::new(ErrorKind::Config, format!("cannot read the users in {}", path.display()))
            .with_source(error)
            .with_hint("expected a file with lines name:hash, as `htpasswd -B` writes them")
    };
    let file = std::fs::File::open(path).map_err(wrong)?;
    let metadata = file.metadata().map_err(wrong)?;
    let mut text = String::new();
    file.take(FILE_MAX + 1).read_to_string(&mut text).map_err(wrong)?;
    if text.len() as u64 > FILE_MAX {
        let message = format!("{} is longer than {FILE_MAX} bytes", path.display());
        return Err(Error::new(ErrorKind::Config, message).with_hint("remove users"));
    }
    Ok((text, (metadata.dev(), metadata.ino())))
}

/// Parses names and hashes, one per line. Empty lines, lines that begin with `#`, and a byte order
/// mark at the start are skipped.
fn parse(text: &str, path: &Path) -> Result<HashMap<Vec<u8>, User>, Error> {
    let mut users = HashMap::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
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
            .ok_or_else(|| wrong("invalid line", "expected name:hash"))?;
        let cost = cost(hash)
            .ok_or_else(|| wrong("not a bcrypt hash", "create it with `htpasswd -B FILE NAME`"))?;
        if cost > COST_MAX {
            let hint = format!("expected at most {COST_MAX}: each step doubles the time");
            return Err(wrong(&format!("the bcrypt hash has cost {cost}"), &hint));
        }
        let user = User { hash: hash.to_owned(), cost, verified_tag: Mutex::default() };
        if users.insert(name.as_bytes().to_vec(), user).is_some() {
            return Err(wrong("second line for the same user", "remove one of them"));
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

    fn authenticator(text: &str) -> Result<BasicAuthenticator, Error> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        BasicAuthenticator::new(&BasicAuth {
            realm: "files".to_owned(),
            users: file.path().to_owned(),
        })
    }

    fn headers(credentials: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let value = format!("Basic {}", STANDARD.encode(credentials));
        headers.insert(header::AUTHORIZATION, HeaderValue::try_from(value).unwrap());
        headers
    }

    impl BasicAuthenticator {
        fn access(&self, headers: &HeaderMap) -> Access {
            self.check(headers, ClientKey::None)
        }
    }

    #[test]
    fn the_right_password_is_granted_and_remembered() {
        let hash = bcrypt::hash("grain:sack", 4).unwrap();
        let authenticator = authenticator(&format!("# users\n\nmiller:{hash}\n")).unwrap();
        assert_eq!(authenticator.access(&headers("miller:grain:sack")), Access::Granted);
        assert_eq!(
            authenticator.users[&b"miller"[..]].verified_tag(),
            Some(authenticator.tag(b"miller:grain:sack"))
        );
        assert_eq!(authenticator.access(&headers("miller:grain:sack")), Access::Granted);
        for wrong in ["miller:", "miller:grain", "nobody:grain:sack", ":", "miller", "nobody:"] {
            assert_eq!(authenticator.access(&headers(wrong)), Access::Denied, "{wrong}");
        }
        assert_eq!(authenticator.access(&headers("miller:grain:sack")), Access::Granted);
        assert_eq!(authenticator.access(&HeaderMap::new()), Access::Denied);
        let mut twice = headers("miller:grain:sack");
        twice.append(header::AUTHORIZATION, HeaderValue::from_static("Basic x"));
        assert_eq!(authenticator.access(&twice), Access::Denied);
        let long = format!("Basic {}", "A".repeat(FIELD_MAX));
        for value in ["Basic", "Basic ", "Basic %", "Bearer bWlsbGVyOg==", "", &long] {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            assert_eq!(authenticator.access(&headers), Access::Denied, "{value}");
        }
    }

    impl User {
        fn verified_tag(&self) -> Option<u128> {
            *lock(&self.verified_tag)
        }
    }

    #[test]
    fn verified_credentials_are_never_evicted() {
        let hash = bcrypt::hash("grain", 4).unwrap();
        let text: String = (0..300).map(|n| format!("user-{n}:{hash}\n")).collect();
        let authenticator = authenticator(&text).unwrap();
        let all = || (0..300).map(|n| headers(&format!("user-{n}:grain")));
        assert!(all().all(|headers| authenticator.access(&headers) == Access::Granted));
        // Verified credentials need no permit, and are granted while all permits are taken.
        let limit = HashLimit::of_this_thread();
        let now = Instant::now();
        let client = |n: u8| ClientKey::V4([n; 4]);
        let held: Vec<_> = (0..50).filter_map(|n| limit.try_acquire(client(n), now)).collect();
        assert!(all().all(|headers| authenticator.access(&headers) == Access::Granted));
        assert_eq!(authenticator.access(&headers("user-1:chaff")), Access::Busy);
        drop(held);
        assert_eq!(authenticator.access(&headers("user-1:chaff")), Access::Denied);
    }

    /// The CPU time of the calling thread.
    fn cpu() -> std::time::Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        time.try_into().unwrap()
    }

    #[test]
    fn a_wrong_password_takes_the_time_of_the_most_expensive_hash() {
        let hash = |cost| bcrypt::hash("grain", cost).unwrap();
        let authenticator =
            authenticator(&format!("cheap:{}\ndear:{}\n", hash(4), hash(10))).unwrap();
        // The minimum of several runs, in CPU time: other programs on this machine do not count.
        let time = |name: &str| {
            let headers = headers(&format!("{name}:chaff"));
            let once = || {
                let start = cpu();
                assert_eq!(authenticator.access(&headers), Access::Denied);
                cpu() - start
            };
            (0..5).map(|_| once()).min().unwrap()
        };
        let (cheap, dear, unknown) = (time("cheap"), time("dear"), time("unknown"));
        for (one, other) in [(cheap, dear), (dear, unknown), (unknown, cheap)] {
            assert!(one < other * 2, "{cheap:?} {dear:?} {unknown:?}");
        }
    }

    #[test]
    fn an_error_in_the_file_of_users_names_its_line() {
        let hash = bcrypt::hash("", 4).unwrap();
        let dear = hash.replace("$04$", "$15$");
        for (text, expected) in [
            (format!("a:{hash}\nb\n"), ":2: invalid line"),
            ("a:secret".to_owned(), ":1: not a bcrypt hash"),
            ("\na:$apr1$x$y".to_owned(), ":2: not a bcrypt hash"),
            (format!("a:{dear}"), ":1: the bcrypt hash has cost 15"),
            (format!("a:{hash}\na:{hash}"), ":2: second line for the same user"),
        ] {
            let error = authenticator(&text).unwrap_err();
            assert!(error.to_string().ends_with(expected), "{error}");
            assert!(error.hint().is_some());
        }
        let users = "/nonexistent/users".into();
        let error =
            BasicAuthenticator::new(&BasicAuth { realm: String::new(), users }).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/users"), "{error}");
    }
}
