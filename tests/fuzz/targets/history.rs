//! `dreamcore_fuzz::history`, driven by libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dreamcore_fuzz::history(data));
