//! `dreamcore_fuzz::broker`, driven by libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dreamcore_fuzz::broker(data));
