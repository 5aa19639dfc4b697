//! `millpond connect tls://…`: whom it trusts, what it prints, and its exit codes.

use std::io::{Read, Write};
use std::process::Stdio;

use super::made::{Authority, connect, serve, stderr, stdout};
use crate::support::daemon::{Daemon, command};

const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

struct Setup {
    authority: Authority,
    endpoint: String,
    _daemon: Daemon,
}

fn served(args: &[&str]) -> Setup {
    let authority = Authority::new();
    authority.good("a", &["localhost", "other.test"]);
    let (cert, key) = (authority.text("a.pem"), authority.text("a.key"));
    let (daemon, endpoint) = serve(&[&["--tls-cert", &cert, "--tls-key", &key], args].concat());
    Setup { authority, endpoint, _daemon: daemon }
}

#[test]
fn a_message_is_sent_over_tls_and_its_response_is_printed() {
    let served = served(&[]);
    let ca = served.authority.text("ca.pem");
    let endpoint = served.endpoint.replace("127.0.0.1", "localhost");
    let output = connect(&["-4", "--raw", "--ca", &ca, "--alpn", "http/1.1", "-v", &endpoint, GET]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).ends_with("Hello, world!"), "{}", stdout(&output));
    let lines = stderr(&output);
    let lines: Vec<_> = lines.lines().collect();
    assert!(lines[0].starts_with(&format!("{endpoint}: local 127.0.0.1:")), "{lines:?}");
    let negotiated = "TLSv1.3, TLS13_AES_256_GCM_SHA384, X25519MLKEM768, ALPN http/1.1";
    assert_eq!(lines[1], negotiated);
    let (names, issuer) = ("; for localhost, other.test; issued by ", "CN=test authority");
    assert!(lines[2].starts_with("certificate 0: CN=") && lines[2].contains(names), "{lines:?}");
    assert!(lines[2].contains(issuer) && lines[2].contains("; expires in "), "{lines:?}");
}

#[test]
fn a_certificate_that_is_not_trusted_is_an_error_with_a_hint() {
    let served = served(&[]);
    let (ca, foreign) = (served.authority.text("ca.pem"), Authority::new());
    let foreign = foreign.text("ca.pem");
    let none = served.authority.text("none");
    let key = served.authority.text("a.key");
    let table: [(&[&str], i32, &str); 8] = [
        (&["--ca", &ca, "--sni", "localhost"], 0, ""),
        (&["--ca", &ca, "--sni", "other.test"], 0, ""),
        (&["--ca", &ca], 1, "hint: --sni sets the name"),
        (&["--ca", &ca, "--sni", "third.test"], 1, "not valid for name"),
        (&["--ca", &foreign, "--sni", "localhost"], 1, "hint: --ca names the file"),
        (&["--insecure"], 0, "warning: the certificate was not verified"),
        (&["--ca", &none], 78, "cannot read "),
        (&["--ca", &key], 78, "no certificate in "),
    ];
    for (args, code, message) in table {
        let output = connect(&[args, &[&served.endpoint, GET]].concat());
        let error = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{args:?} {error}");
        assert!(error.contains(message), "{args:?} {error}");
    }
    let plain = served.endpoint.replace("tls:", "tcp:");
    let output = connect(&["--insecure", &plain, GET]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("--insecure is for tls://HOST:PORT only"));
    // HTTP in the other direction: the server has no TLS.
    let mut plain = Daemon::serve(&[]);
    let endpoint = format!("tls://{}", plain.addr());
    let output = connect(&["--insecure", &endpoint, GET]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("TLS handshake with tls://127.0.0.1:"), "{}", stderr(&output));
}

#[test]
fn a_probe_prints_how_long_the_certificate_is_valid() {
    let served = served(&[]);
    let ca = served.authority.text("ca.pem");
    let args = ["--probe", "--ca", &ca, "--sni", "localhost", &served.endpoint];
    let output = connect(&args);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.starts_with("certificate for localhost expires in "), "{text}");
    assert!(text.ends_with(" days, on 2100-01-01\n"), "{text}");
    for (days, code) in [("14", 0), ("1000000", 1)] {
        let output = connect(&[&args[..], &["--min-days", days]].concat());
        assert_eq!(output.status.code(), Some(code), "{days}");
        assert_eq!(stdout(&output), text);
    }
    served.authority.sign("old", &["localhost"], (2000, 2001));
    let (cert, key) = (served.authority.text("old.pem"), served.authority.text("old.key"));
    let (_daemon, endpoint) = serve(&["--tls-cert", &cert, "--tls-key", &key]);
    let output = connect(&["--probe", "--ca", &ca, "--sni", "localhost", &endpoint]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("certificate expired"), "{}", stderr(&output));
    let output = connect(&["--probe", "--insecure", &endpoint]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert_eq!(stdout(&output), "certificate for localhost has expired on 2001-01-01\n");
    let warning = "warning: the certificate was not verified (--insecure)\n";
    assert_eq!(stderr(&output), warning);
}

#[test]
fn standard_input_and_output_go_both_ways_at_once() {
    let served = served(&["--echo"]);
    let ca = served.authority.text("ca.pem");
    let mut client = command(&["connect", "--ca", &ca, "--sni", "localhost", &served.endpoint]);
    client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = client.spawn().unwrap();
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut back = [0; 5];
    for text in [b"quern", b"chaff"] {
        input.write_all(text).unwrap();
        output.read_exact(&mut back).unwrap();
        assert_eq!(&back, text);
    }
    // More than the buffers of both ends hold.
    let long: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    let expected = long.clone();
    let writer = std::thread::spawn(move || input.write_all(&long).unwrap());
    let mut all = Vec::new();
    output.read_to_end(&mut all).unwrap();
    writer.join().unwrap();
    assert!(all == expected, "{} of {}", all.len(), expected.len());
    assert!(child.wait().unwrap().success());
}
