//! Hostile targets: no file outside the root is reached, and no hidden one.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use millpond::handlers::FilesOptions;
use rustix::fs::{CWD, Mode, mkfifoat};

use super::{Site, with};

/// A site with a secret beside its root, links of all sorts, and things that are no files.
fn site() -> Site {
    let site = Site::new();
    fs::create_dir(site.dir.path().join("outside")).unwrap();
    fs::write(site.dir.path().join("outside/secret"), "secret").unwrap();
    site.write("ok.txt", "ok").write("a/ok.txt", "deep ok").write(".env", "secret");
    site.write("a/.git/config", "secret")
        .write(".htpasswd", "secret")
        .write("a/.htaccess", "secret");
    site.write(".well-known/acme/token", "token").write(".well-known/.secret", "secret");
    for (target, link) in [
        ("ok.txt", "inside"),
        ("a", "to-a"),
        ("../ok.txt", "a/up"),
        ("../outside/secret", "out"),
        ("../outside", "out-dir"),
        ("..", "parent"),
        ("/", "absolute"),
        ("/proc/self/cwd", "magic"),
        ("loop", "loop"),
        ("loop-b", "loop-a"),
        ("loop-a", "loop-b"),
        ("nothing", "dangling"),
    ] {
        symlink(target, site.path(link)).unwrap();
    }
    mkfifoat(CWD, site.path("fifo"), Mode::RUSR | Mode::WUSR).unwrap();
    UnixListener::bind(site.path("socket")).unwrap();
    site
}

#[test]
fn no_target_reaches_outside_the_root_or_what_is_hidden() {
    let site = site();
    site.serve(with(|o| o.listing = true));
    for target in ["/ok.txt", "/a/ok.txt", "/inside", "/to-a/ok.txt", "/a/up", "/%6Fk.txt"] {
        let response = site.get(target, &[]);
        assert!(response.status == 200 && response.text().ends_with("ok"), "{target}");
    }
    assert_eq!(site.get("/.well-known/acme/token", &[]).text(), "token");
    let long = format!("/{}", "x".repeat(300));
    let deep = "/a".repeat(3000);
    let dots = format!("/{}outside/secret", "../".repeat(200));
    let hostile = [
        // Dot segments, plain and in every encoding.
        "/..",
        "/../",
        "/../outside/secret",
        "/a/../../outside/secret",
        "/a/..",
        "/a/../ok.txt",
        "/.",
        "/./ok.txt",
        "/a/./ok.txt",
        "/a/.",
        "/%2e%2e/outside/secret",
        "/%2E%2E/outside/secret",
        "/.%2e/outside/secret",
        "/%2e./outside/secret",
        "/a/%2e%2e/%2e%2e/outside/secret",
        "/%2e/ok.txt",
        "/..%2foutside%2fsecret",
        "/%2e%2e%2foutside%2fsecret",
        "/..%5coutside%5csecret",
        "/..\\outside\\secret",
        "/%252e%252e/outside/secret",
        "/%252e%252e%252foutside%252fsecret",
        "/%25252e%25252e/outside/secret",
        "/%c0%ae%c0%ae/outside/secret",
        "/%c0%ae%c0%ae%c0%afoutside%c0%afsecret",
        "/%e0%80%ae%e0%80%ae/outside/secret",
        "/%f0%80%80%ae%f0%80%80%ae/outside/secret",
        "/%uff0e%uff0e/outside/secret",
        "/%ef%bc%8e%ef%bc%8e/outside/secret",
        "/..;/outside/secret",
        "/a/..;/ok.txt",
        "/....//outside/secret",
        "/.../outside/secret",
        "/..%00/outside/secret",
        "/..%0d%0a/outside/secret",
        "/..%20/outside/secret",
        "/..%09/outside/secret",
        "/a/..%2f..%2foutside/secret",
        "http://test/../outside/secret",
        // Slashes too many, escaped, or at the wrong end.
        "//ok.txt",
        "//a/ok.txt",
        "/a//ok.txt",
        "///etc/passwd",
        "//etc/passwd",
        "/a%2fok.txt",
        "/%2fetc/passwd",
        "/%2Fok.txt",
        "/ok.txt/",
        "/ok.txt//",
        "/ok.txt/.",
        "/ok.txt/x",
        // Names that are something else on other systems, and NUL.
        "/ok.txt.",
        "/ok.txt%20",
        "/ok.txt::$DATA",
        "/ok.txt%00",
        "/ok.txt%00.html",
        "/C:/ok.txt",
        "/\\ok.txt",
        "/%5cok.txt",
        "/a\\ok.txt",
        "/a%5c..%5cok.txt",
        "/OK.TXT",
        "/ok.txt;x",
        "/~root",
        // Escapes that are none.
        "/%",
        "/%2",
        "/%zz",
        "/ok.txt%",
        "/%-1",
        "/%+1",
        "/% 1",
        // Hidden.
        "/.env",
        "/%2eenv",
        "/a/.git/config",
        "/a/.git/",
        "/.htpasswd",
        "/.HTPASSWD",
        "/a/.htaccess",
        "/.well-known/.secret",
        "/a/.well-known/x",
        "/to-a/.git/config",
        // Links.
        "/out",
        "/out-dir",
        "/out-dir/",
        "/out-dir/secret",
        "/parent/",
        "/parent/outside/secret",
        "/parent/root/ok.txt",
        "/absolute/etc/passwd",
        "/magic/Cargo.toml",
        "/loop",
        "/loop-a",
        "/loop/x",
        "/dangling",
        // No files.
        "/fifo",
        "/socket",
        // Too long.
        long.as_str(),
        deep.as_str(),
        dots.as_str(),
    ];
    assert!(hostile.len() >= 60, "{}", hostile.len());
    for target in hostile {
        // A space would end the target: that is a malformed request, refused before.
        let response = site.get(target, &[]);
        assert!(matches!(response.status, 400 | 404), "{target}: {response:?}");
        assert!(!String::from_utf8_lossy(&response.body).contains("secret"), "{target}");
        assert_eq!(response.field("location"), None, "{target}");
    }
}

#[test]
fn dot_files_are_served_if_so_configured_but_no_password_files() {
    let site = site();
    site.serve(with(|o| o.dotfiles = true));
    assert_eq!(site.get("/.env", &[]).text(), "secret");
    assert_eq!(site.get("/a/.git/config", &[]).text(), "secret");
    for target in ["/.htpasswd", "/a/.htaccess", "/.HTpasswd", "/.", "/..", "/a/../.env"] {
        assert_eq!(site.get(target, &[]).status, 404, "{target}");
    }
}

#[test]
fn an_unreadable_file_is_a_403_where_permissions_count() {
    let site = Site::new();
    site.write("a", "x").serve(FilesOptions::default());
    fs::set_permissions(site.path("a"), std::os::unix::fs::PermissionsExt::from_mode(0o0)).unwrap();
    let readable = fs::File::open(site.path("a")).is_ok();
    // The superuser reads everything.
    assert_eq!(site.get("/a", &[]).status, if readable { 200 } else { 403 });
}
