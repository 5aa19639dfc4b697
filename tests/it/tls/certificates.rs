//! The certificates of the daemon: by name, checked, reloaded.

use std::fs;

use rustix::process::Signal;

use super::made::{Authority, connect, replace, serve, stderr, stdout};
use crate::support::daemon::{root, run};

const GET: &str = "GET / HTTP/1.1\r\nHost: NAME\r\nConnection: close\r\n\r\n";

/// The response to a GET with this server name and host.
fn get(endpoint: &str, ca: &str, name: &str, host: &str) -> String {
    let request = GET.replace("NAME", host);
    let output = connect(&["--raw", "--ca", ca, "--sni", name, endpoint, &request]);
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output)
}

/// Two sites with certificates of their own, and the file of their settings.
fn sites() -> (Authority, tempfile::TempDir, String) {
    let authority = Authority::new();
    authority.good("a", &["a.test"]);
    authority.good("b", &["b.test", "*.b.test"]);
    let www = root(&[("a/index.html", "page of a"), ("b/index.html", "page of b")]);
    let site = |name: &str, hosts: &str| {
        format!(
            "[[site]]\nhosts = [{hosts}]\nroot = {:?}\ntls = {{ cert = {:?}, key = {:?} }}\n",
            www.path().join(name),
            authority.path(&format!("{name}.pem")),
            authority.path(&format!("{name}.key")),
        )
    };
    let all = site("a", "\"a.test\"") + &site("b", "\"b.test\", \"*.b.test\"");
    fs::write(authority.path("millpond.toml"), all).unwrap();
    let settings = authority.text("millpond.toml");
    (authority, www, settings)
}

#[test]
fn each_site_has_the_certificate_of_its_name() {
    let (authority, _www, settings) = sites();
    let (mut daemon, endpoint) = serve(&["-c", &settings]);
    let ca = authority.text("ca.pem");
    for (name, page) in
        [("a.test", "page of a"), ("b.test", "page of b"), ("x.b.test", "page of b")]
    {
        let response = get(&endpoint, &ca, name, name);
        assert!(response.starts_with("HTTP/1.1 200") && response.ends_with(page), "{response}");
    }
    // The handshake was for one site, and the request is for the other.
    let response = get(&endpoint, &ca, "a.test", "b.test");
    assert!(response.starts_with("HTTP/1.1 421"), "{response}");
    daemon.wait_for(&format!("URL: {}/", endpoint.replace("tls:", "https:")));
}

#[test]
fn a_reload_takes_new_certificates_all_or_none() {
    let (authority, _www, settings) = sites();
    let (mut daemon, endpoint) = serve(&["-c", &settings]);
    let expiry = "[INFO] the certificate for a.test expires in ";
    assert!(daemon.log.iter().any(|line| line.contains(expiry)), "{:#?}", daemon.log);
    let ca = authority.text("ca.pem");
    let days = |name: &str| {
        let output = connect(&["--probe", "--ca", &ca, "--sni", name, &endpoint]);
        assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
        stdout(&output)
    };
    assert!(days("a.test").contains("2100-01-01"), "{}", days("a.test"));
    authority.sign("a", &["a.test"], (2020, 2090));
    replace(&authority.path("b.key"), "broken");
    daemon.signal(Signal::HUP);
    let line = daemon.wait_for("reload failed, the old settings stay: ");
    let expected = format!("invalid key {}: no private key in it", authority.text("b.key"));
    assert!(line.contains(&expected), "{line}");
    assert!(days("a.test").contains("2100-01-01"));
    assert!(days("b.test").contains("2100-01-01"));
    authority.good("b", &["b.test"]);
    daemon.signal(Signal::HUP);
    daemon.wait_for("settings reloaded");
    assert!(days("a.test").contains("2090-01-01"), "{}", days("a.test"));
    assert!(days("b.test").contains("2100-01-01"));
}

#[test]
fn a_wrong_file_is_an_error_that_names_it() {
    let authority = Authority::new();
    authority.good("a", &["a.test"]);
    authority.good("b", &["b.test"]);
    fs::write(authority.path("text"), "no PEM").unwrap();
    let (a, b) = (authority.text("a.pem"), authority.text("b.pem"));
    let (a_key, b_key) = (authority.text("a.key"), authority.text("b.key"));
    let (text, none) = (authority.text("text"), authority.text("none"));
    let table = [
        (&a, &b_key, format!("the key {b_key} does not belong to the certificate {a}")),
        (&text, &a_key, format!("invalid certificate {text}: no certificate in it")),
        (&a, &text, format!("invalid key {text}: no private key in it")),
        (&a_key, &a, format!("invalid certificate {a_key}: it has a key and no certificate")),
        (&none, &a_key, format!("cannot read the certificate {none}: no such file or directory")),
        (&b, &none, format!("cannot read the key {none}: no such file or directory")),
    ];
    for command in ["serve", "check"] {
        for (cert, key, message) in &table {
            let args = [command, "-b", "tls://127.0.0.1:0", "--tls-cert", cert, "--tls-key", key];
            let ran = run(&args);
            assert_eq!(ran.code, Some(78), "{command} {ran:?}");
            assert!(ran.stderr.starts_with(&format!("error: {message}\n")), "{ran:?}");
        }
    }
    let ran = run(&["serve", "-b", "tls://127.0.0.1:0"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let message = "error: tls://127.0.0.1:0 has no certificate\nhint: --tls-cert and --tls-key";
    assert!(ran.stderr.starts_with(message), "{ran:?}");
    let ran = run(&["check", "--tls-key", &a_key]);
    assert_eq!(ran.code, Some(78), "{ran:?}");
    assert!(ran.stderr.contains("tls.key without tls.cert"), "{ran:?}");
}

#[test]
fn a_certificate_that_has_expired_fails_the_check_and_is_served_with_a_warning() {
    let authority = Authority::new();
    authority.sign("old", &["a.test"], (2000, 2001));
    authority.sign("new", &["a.test"], (2099, 2100));
    for (file, message) in [
        ("old", "the certificate for a.test has expired on 2001-01-01"),
        ("new", "the certificate for a.test is not valid before 2099-01-01"),
    ] {
        let (cert, key) =
            (authority.text(&format!("{file}.pem")), authority.text(&format!("{file}.key")));
        let args = ["-b", "tls://127.0.0.1:0", "--tls-cert", &cert, "--tls-key", &key];
        let ran = run(&[&["check"][..], &args[..]].concat());
        assert_eq!(ran.code, Some(78), "{ran:?}");
        assert!(ran.stderr.starts_with(&format!("error: {message}\n")), "{ran:?}");
        let (daemon, _) = serve(&args[2..]);
        assert!(daemon.log.iter().any(|line| line.contains("[WARN]") && line.contains(message)));
    }
}

#[test]
fn the_check_says_which_names_have_no_certificate() {
    let (_authority, _www, settings) = sites();
    let all = fs::read_to_string(&settings).unwrap().replace("\"*.b.test\"", "\"c.test\"");
    fs::write(&settings, all).unwrap();
    let ran = run(&["check", "-b", "tls://127.0.0.1:0", "-c", &settings]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let expected = "warning: no certificate for c.test, a site at tls://127.0.0.1:0\n";
    assert_eq!(ran.stdout, format!("{expected}the configuration is valid\n"));
    let ran = run(&["check", "-b", "tcp://127.0.0.1:0", "-c", &settings]);
    assert!(ran.stdout.starts_with("warning: tls.cert has no effect without"), "{ran:?}");
}

#[test]
fn a_client_needs_a_certificate_if_the_settings_require_one() {
    let authority = Authority::new();
    authority.good("a", &["a.test"]);
    let (cert, key) = (authority.text("a.pem"), authority.text("a.key"));
    let ca = authority.text("ca.pem");
    let tls = ["--tls-cert", &cert, "--tls-key", &key, "--tls-client-auth", "require"];
    let ran = run(&[&["check", "-b", "tls://127.0.0.1:0"][..], &tls[..]].concat());
    assert_eq!(ran.code, Some(78), "{ran:?}");
    assert!(ran.stderr.contains("hint: set tls.client_ca"), "{ran:?}");
    let (_daemon, endpoint) = serve(&[&tls[..], &["--tls-client-ca", &ca]].concat());
    let request = GET.replace("NAME", "a.test");
    let output = connect(&["--raw", "--ca", &ca, "--sni", "a.test", &endpoint, &request]);
    assert!(!output.status.success(), "{}", stdout(&output));
    assert!(stderr(&output).contains("CertificateRequired"), "{}", stderr(&output));
}
