#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| manifold_tests::fuzzing::press(data));
