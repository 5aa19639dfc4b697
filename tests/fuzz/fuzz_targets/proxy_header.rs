//! `cargo +nightly fuzz run --fuzz-dir tests/fuzz proxy_header -- -max_total_time=60`

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| millpond::http::bench_api::fuzz_proxy_header(input));
