//! `cargo +nightly fuzz run --fuzz-dir tests/fuzz tls -- -max_total_time=60`

#![no_main]

use std::sync::LazyLock;

use millpond::http::bench_api::FuzzedTls;

static TLS: LazyLock<FuzzedTls> = LazyLock::new(|| {
    let dir = std::env::temp_dir().join(format!("millpond-fuzz-{}", std::process::id()));
    std::fs::create_dir(&dir).unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (chain, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    std::fs::write(&chain, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let tls = FuzzedTls::new(&chain, &key);
    std::fs::remove_dir_all(&dir).unwrap();
    tls
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| TLS.run(input));
