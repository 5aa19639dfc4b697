//! The metric of the certificates.

use millpond::handlers::Hello;
use millpond::{Bind, Server, Tls, TlsSettings, metrics};

use super::made::Authority;

#[test]
fn the_expiry_of_each_certificate_is_a_metric_by_its_first_name() {
    let authority = Authority::new();
    let mut settings = TlsSettings::default();
    for (file, names, end) in [
        ("a", ["a.test", "b.test"], 2100),
        ("b", ["c.test", "d.test"], 2050),
        ("c", ["a.test", "e.test"], 2090),
    ] {
        authority.sign(file, &names, (2020, end));
        let (chain, key) =
            (authority.path(&format!("{file}.pem")), authority.path(&format!("{file}.key")));
        settings.certificates.extend(TlsSettings::with_certificate(chain, key).certificates);
    }
    let tls = Tls::new(&settings).unwrap();
    let bind = || Bind::to("tls://127.0.0.1:0").tls(&tls);
    let server = Server::builder().bind(bind()).bind(bind()).http(Hello).build().unwrap();
    // Two listeners have the same certificates.
    assert_eq!(server.handle().certificates().len(), 3);
    let (_, text) = metrics::encode(&server.handle(), None);
    let lines = text.lines().filter(|line| line.starts_with("millpond_tls_certificate_expiry"));
    let lines: Vec<_> = lines.collect();
    let name = "millpond_tls_certificate_expiry_timestamp_seconds";
    assert_eq!(
        lines,
        [
            format!("{name}{{certificate=\"c.test\"}} 2524608000.0"),
            format!("{name}{{certificate=\"a.test\"}} 3786912000.0"),
        ]
    );
}
