//! `dreamcore_fuzz::cli_output`, driven by libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dreamcore_fuzz::cli_output(data));
