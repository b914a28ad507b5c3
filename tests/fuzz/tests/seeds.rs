//! Runs every target with its seeds, so that what fuzzing found once cannot come back unnoticed.

use std::path::Path;

use dreamcore_fuzz::TARGETS;

#[test]
fn every_target_keeps_its_promises_for_every_seed() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    for (name, target) in TARGETS {
        let folder = std::fs::read_dir(seeds.join(name)).expect("every target has seeds");
        let mut seen = 0;
        for seed in folder {
            let path = seed.expect("an entry").path();
            let content = std::fs::read(&path).expect("a seed");
            let result = std::panic::catch_unwind(|| target(&content));
            assert!(result.is_ok(), "{}: see above", path.display());
            seen += 1;
        }
        assert!(seen > 0, "{name} has no seeds");
    }
}

#[test]
fn every_target_has_a_program() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("targets");
    let mut programs: Vec<String> = std::fs::read_dir(folder)
        .expect("the programs")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
        .collect();
    programs.sort();
    let mut targets: Vec<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    targets.sort();
    assert_eq!(programs, targets);
}
