//! `millpond serve ROOT`: what is served, reloads, and what is not accessible.

use std::fs;

use rustix::process::Signal;

use crate::support::daemon::{Daemon, bare, get, root, run, text};
use crate::support::exchange;

#[test]
fn a_root_is_served() {
    let www = root(&[("a.txt", "flour"), ("index.html", "<p>mill</p>"), ("in/b.css", "p {}")]);
    let mut daemon = Daemon::serve(&[text(www.path())]);
    let addr = daemon.addr();
    assert_eq!(get(addr, "/a.txt").text(), "flour");
    assert_eq!(get(addr, "/in/b.css").text(), "p {}");
    assert_eq!(get(addr, "/none").status, 404);
}

#[test]
fn a_root_that_cannot_be_served_stops_the_start_before_anything_is_bound() {
    let www = root(&[("file", "")]);
    let (missing, file) = (www.path().join("missing"), www.path().join("file"));
    // Were anything bound before, it would be this, and the error another.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("tcp://{}", taken.local_addr().unwrap());
    for path in [missing, file] {
        for command in ["serve", "check"] {
            let ran = run(&[command, text(&path), "--bind", &taken]);
            assert_eq!(ran.code, Some(78), "{ran:?}");
            let lines: Vec<_> = ran.stderr.lines().collect();
            assert_eq!(lines.len(), 2, "{ran:?}");
            assert!(lines[0].starts_with("error: ") && lines[0].contains(text(&path)), "{ran:?}");
            assert!(lines[1].starts_with("hint: "), "{ran:?}");
        }
    }
}

#[test]
fn a_reload_moves_to_another_root_within_reach() {
    let www = root(&[("one/a", "one"), ("two/a", "two")]);
    let file = www.path().join("millpond.toml");
    let set = |name: &str| {
        let path = www.path().join(name);
        fs::write(&file, format!("root = {path:?}\nreach = [{:?}]\n", www.path())).unwrap();
    };
    set("one");
    let mut daemon = Daemon::serve(&["-c", text(&file)]);
    let addr = daemon.addr();
    assert_eq!(get(addr, "/a").text(), "one");
    set("two");
    daemon.signal(Signal::HUP);
    daemon.wait_for("settings reloaded");
    assert_eq!(get(addr, "/a").text(), "two");
    set("three");
    daemon.signal(Signal::HUP);
    daemon.wait_for("reload failed, the old settings stay");
    assert_eq!(get(addr, "/a").text(), "two");
}

#[test]
fn no_file_outside_the_root_is_readable_after_the_start() {
    let (www, elsewhere) = (root(&[("a", "in")]), root(&[("a", "out")]));
    std::os::unix::fs::symlink(elsewhere.path(), www.path().join("link")).unwrap();
    let settings = root(&[]);
    let file = settings.path().join("millpond.toml");
    fs::write(&file, format!("root = {:?}\n", www.path())).unwrap();
    let mut daemon = Daemon::serve(&["-c", text(&file)]);
    daemon.wait_for("confined");
    let confined = !daemon.log.last().unwrap().contains("not confined");
    let addr = daemon.addr();
    assert_eq!(get(addr, "/a").text(), "in");
    let up = elsewhere.path().file_name().unwrap().to_str().unwrap();
    for path in ["/link/a", &format!("/../{up}/a"), &format!("/%2e%2e/{up}/a")] {
        let response = get(addr, path);
        assert!((400..500).contains(&response.status), "{path}: {response:?}");
        assert!(!response.text().contains("out"), "{path}: {response:?}");
    }
    if !confined {
        println!("skipped the rest: {}", daemon.log.last().unwrap());
        return;
    }
    // After a reload with that root the kernel still denies access to it.
    fs::write(&file, format!("root = {:?}\n", elsewhere.path())).unwrap();
    daemon.signal(Signal::HUP);
    let line = daemon.wait_for("reload failed, the old settings stay");
    assert!(line.contains("permission denied"), "{line}");
    assert_eq!(get(addr, "/a").text(), "in");
}

#[test]
fn another_user_reads_only_what_it_may() {
    use std::os::unix::fs::PermissionsExt;
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can become another user");
        return;
    }
    let www = root(&[("open", "bran"), ("secret", "gold")]);
    let secret = www.path().join("secret");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let mut daemon = Daemon::serve(&[text(www.path()), "--user", "65534:65534"]);
    let addr = daemon.addr();
    assert_eq!(get(addr, "/open").text(), "bran");
    let response = get(addr, "/secret");
    assert!(response.status == 403 && !response.text().contains("gold"), "{response:?}");
}

#[test]
fn each_option_of_files_has_its_flag() {
    let www = root(&[("a.mill", "flour"), ("404.html", "gone"), ("app.html", "app"), ("d/x", "")]);
    let flags = [
        "--listing",
        "--index=none.html",
        "--error-page=404=404.html",
        "--header=/a.* X-Stone: granite",
        "--cache-control=max-age=60",
        "--cors=https://b.test",
        "--type=mill=text/x-mill",
        "--charset=us-ascii",
        "--no-nosniff",
    ];
    let mut daemon = Daemon::serve(&[&[text(www.path())], &flags[..]].concat());
    let addr = daemon.addr();
    let request =
        "GET /a.mill HTTP/1.1\r\nHost: a\r\nOrigin: https://b.test\r\nConnection: close\r\n\r\n";
    let response = exchange(addr, request.as_bytes());
    assert_eq!(response.text(), "flour");
    for (name, value) in [
        ("content-type", Some("text/x-mill; charset=us-ascii")),
        ("x-stone", Some("granite")),
        ("cache-control", Some("max-age=60")),
        ("access-control-allow-origin", Some("https://b.test")),
        ("x-content-type-options", None),
    ] {
        assert_eq!(response.field(name), value, "{name}");
    }
    assert_eq!(get(addr, "/none.txt").text(), "gone");
    assert!(get(addr, "/d/").text().contains("x"));
    drop(daemon);
    let mut daemon = Daemon::serve(&[text(www.path()), "--fallback", "app.html"]);
    let addr = daemon.addr();
    let request =
        "GET /some/page HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\nConnection: close\r\n\r\n";
    assert_eq!(exchange(addr, request.as_bytes()).text(), "app");
}

#[test]
fn a_site_may_ask_for_a_name_and_a_password() {
    let www = root(&[("open/a", "open"), ("closed/a", "closed")]);
    let users = root(&[("users", &format!("ada:{}\n", bcrypt::hash("secret", 4).unwrap()))]);
    let users = users.path().join("users");
    let file = www.path().join("millpond.toml");
    let path = text(www.path());
    fs::write(
        &file,
        format!(
            "root = \"{path}/open\"\n[[site]]\nhosts = \"closed.test\"\nroot = \"{path}/closed\"\n\
             files.auth = {users:?}\nfiles.realm = \"the mill\"\n"
        ),
    )
    .unwrap();
    let mut daemon = Daemon::serve(&["-c", text(&file)]);
    let addr = daemon.addr();
    assert_eq!(get(addr, "/a").text(), "open");
    let ask = |more: &str| {
        let request =
            format!("GET /a HTTP/1.1\r\nHost: closed.test\r\n{more}Connection: close\r\n\r\n");
        exchange(addr, request.as_bytes())
    };
    let response = ask("");
    assert_eq!(response.status, 401);
    assert!(response.field("www-authenticate").unwrap().contains("the mill"), "{response:?}");
    // ada:secret
    assert_eq!(ask("Authorization: Basic YWRhOnNlY3JldA==\r\n").text(), "closed");
    // A reload reads the file again, and a broken one keeps the old.
    fs::write(&users, "ada").unwrap();
    daemon.signal(Signal::HUP);
    daemon.wait_for("reload failed, the old settings stay");
    assert_eq!(ask("Authorization: Basic YWRhOnNlY3JldA==\r\n").text(), "closed");
    fs::write(&users, "").unwrap();
    daemon.signal(Signal::HUP);
    daemon.wait_for("settings reloaded");
    assert_eq!(ask("Authorization: Basic YWRhOnNlY3JldA==\r\n").status, 401);
}

#[test]
fn a_confined_daemon_serves_a_recreated_root_after_a_reload() {
    let www = root(&[("www/a", "old")]);
    let at = www.path().join("www");
    let mut daemon = Daemon::serve(&[text(&at)]);
    let addr = daemon.addr();
    assert_eq!(get(addr, "/a").text(), "old");
    for content in ["new", "newer"] {
        fs::remove_dir_all(&at).unwrap();
        fs::create_dir(&at).unwrap();
        fs::write(at.join("a"), content).unwrap();
        daemon.signal(Signal::HUP);
        let line = daemon.wait_for("settings");
        assert!(line.contains("settings reloaded"), "{line}");
        assert_eq!(get(addr, "/a").text(), content);
    }
}

#[test]
fn a_root_may_be_one_that_can_be_searched_and_not_read() {
    use std::os::unix::fs::PermissionsExt;
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can become another user");
        return;
    }
    let www = root(&[("index.html", "bran"), ("sub/a", "grain")]);
    for dir in [www.path().to_owned(), www.path().join("sub")] {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o711)).unwrap();
    }
    let mut daemon = Daemon::serve(&[text(www.path()), "--user", "65534:65534", "--listing"]);
    let addr = daemon.addr();
    daemon.signal(Signal::HUP);
    let line = daemon.wait_for("settings");
    assert!(line.contains("settings reloaded"), "{line}");
    assert_eq!(get(addr, "/").text(), "bran");
    assert_eq!(get(addr, "/sub/a").text(), "grain");
    assert_eq!(get(addr, "/sub").status, 301, "/sub");
    assert_eq!(get(addr, "/sub/").status, 403, "/sub/");
}

#[test]
fn the_log_says_at_start_what_the_root_responds_to() {
    let (empty, page) = (root(&[("a", "")]), root(&[("index.html", "")]));
    for (args, said) in [
        (vec![text(empty.path())], "--listing"),
        (vec![text(empty.path()), "--listing"], "lists"),
        (vec![text(page.path())], "index.html"),
    ] {
        let mut daemon = Daemon::serve(&args);
        let line = daemon.wait_for("GET /");
        assert!(line.contains(said), "{line}");
    }
}

#[test]
fn a_connection_counts_as_two_descriptors_where_files_are_served() {
    let www = root(&[]);
    for (root, most) in [(Some(text(www.path())), 190), (None, 380)] {
        let script = "ulimit -n 700; exec \"$@\"";
        let program = env!("CARGO_BIN_EXE_millpond");
        let mut args = vec!["-c", script, "sh", program, "serve", "-b", "tcp://127.0.0.1:0"];
        args.extend(root);
        let mut daemon = Daemon::start(bare("sh", &args));
        let line = daemon.wait_for("RLIMIT_NOFILE");
        assert!(line.contains(&format!("at most {most} connections")), "{line}");
    }
}

#[test]
fn a_recreated_working_directory_is_served_after_a_reload() {
    let www = root(&[("www/a", "old")]);
    let at = www.path().join("www");
    let program = env!("CARGO_BIN_EXE_millpond");
    let mut command = bare(program, &["serve", ".", "-b", "tcp://127.0.0.1:0"]);
    command.current_dir(&at);
    let mut daemon = Daemon::start(command);
    let addr = daemon.addr();
    assert_eq!(get(addr, "/a").text(), "old");
    fs::remove_dir_all(&at).unwrap();
    fs::create_dir(&at).unwrap();
    fs::write(at.join("a"), "new").unwrap();
    daemon.signal(Signal::HUP);
    daemon.wait_for("settings reloaded");
    assert_eq!(get(addr, "/a").text(), "new");
}
