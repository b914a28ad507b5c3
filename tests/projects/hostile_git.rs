//! Projects whose `.git` was written to harm the program that reads it. Each is opened by every
//! endpoint that reads a history. The worker's memory stays low and it answers `/health/live` at
//! once; every request gets the right answer, and the project can be used afterwards.

use std::fmt::Write as _;

use harness::{Setup, git};

use crate::bombs::{Bomb, DELTA, FILE, FOLDER, Filled, PackEntry, twice};
use crate::siege::Siege;

/// The number of a user that no machine on which tests run has.
const USER: u32 = 1234;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// A tree of eleven levels with ten equal folders each.
fn wide(bomb: &Bomb) {
    let mut tree = bomb.tree_of("x");
    let names: Vec<_> = (0..10).map(|number| format!("folder{number}")).collect();
    for _ in 0..11 {
        let entries: Vec<_> = names.iter().map(|name| (FOLDER, name.as_str(), &*tree)).collect();
        tree = bomb.tree(&entries);
    }
    bomb.branch_at(&bomb.commit(&tree, &[&bomb.first()], "bomb"));
}

#[tokio::test]
async fn a_tree_of_eleven_levels_with_ten_folders_each() {
    Siege::new(wide).await.is_kept(&["eins"]).await;
}

#[tokio::test]
async fn the_same_below_newer_versions_cuts_the_history_there() {
    let siege = Siege::new(|bomb| {
        wide(bomb);
        let good = bomb.commit(&bomb.tree_of("2\n"), &[&bomb.first()], "zwei");
        bomb.branch_at(&bomb.commit(&bomb.tree_of("3\n"), &[&good], "drei"));
    });
    let siege = siege.await;
    let seen = siege.is_kept(&["drei", "zwei"]).await;
    assert!(seen.diff.contains("-2") && seen.diff.contains("+3"), "{}", seen.diff);
    // The command line of git shows the same.
    let log = git(&siege.project(), &["log", "--format=%s"]);
    assert!(log.ends_with("drei\nzwei\n"), "{log}");
}

#[tokio::test]
async fn ten_thousand_folders_inside_one_another() {
    let siege = Siege::new(|bomb| {
        let mut tree = bomb.tree_of("x");
        for _ in 0..10_000 {
            tree = bomb.tree(&[(FOLDER, "d", &tree)]);
        }
        bomb.branch_at(&bomb.commit(&tree, &[&bomb.first()], "bomb"));
    });
    siege.await.is_kept(&["eins"]).await;
}

#[tokio::test]
async fn a_message_of_two_gibibytes() {
    let siege = Siege::new(|bomb| {
        let text = Bomb::commit_text(&bomb.tree_of("x"), &[&bomb.first()], "bomb");
        let message = Filled { start: text.as_bytes(), filler: b'x', length: 2 * GIB };
        bomb.branch_at(&bomb.filled("commit", &message));
    });
    siege.await.is_begun_anew().await;
}

#[tokio::test]
async fn five_hundred_messages_of_eight_mebibytes() {
    let siege = Siege::new(|bomb| {
        let tree = bomb.tree_of("x");
        let mut last = bomb.first();
        for number in 0..500 {
            let text = Bomb::commit_text(&tree, &[&last], &number.to_string());
            let message = Filled { start: text.as_bytes(), filler: b'x', length: 8 * MIB };
            last = bomb.filled("commit", &message);
        }
        bomb.branch_at(&last);
    });
    siege.await.is_begun_anew().await;
}

#[tokio::test]
async fn a_file_of_four_gibibytes() {
    let siege = Siege::new(|bomb| {
        let content = Filled { start: b"", filler: 0, length: 4 * GIB };
        let file = bomb.filled("blob", &content);
        let tree = bomb.tree(&[(FILE, "index.html", &file)]);
        bomb.branch_at(&bomb.commit(&tree, &[&bomb.first()], "bomb"));
    });
    siege.await.is_kept(&["eins"]).await;
}

/// A loose object is longer than its header says.
#[tokio::test]
async fn an_object_that_is_longer_than_it_says() {
    let siege = Siege::new(|bomb| {
        let id = Filled { start: b"short", filler: 0, length: 5 }.id("blob");
        let content = Filled { start: b"short", filler: b'x', length: GIB };
        bomb.loose(&id, "blob 5\0", &content);
        let tree = bomb.tree(&[(FILE, "index.html", &id)]);
        bomb.branch_at(&bomb.commit(&tree, &[&bomb.first()], "bomb"));
    });
    siege.await.is_kept(&["eins"]).await;
}

fn packed_references(bomb: &Bomb, count: usize) {
    let first = bomb.first();
    let mut packed = "# pack-refs with: peeled fully-peeled sorted\n".to_owned();
    for number in 0..count {
        writeln!(packed, "{first} refs/dreamcore/versions/{number:08}").expect("memory");
    }
    bomb.put("packed-refs", packed);
}

#[tokio::test]
async fn twenty_thousand_references() {
    let siege = Siege::new(|bomb| packed_references(bomb, 20_000)).await;
    siege.is_kept(&["eins"]).await;
    // A save looks at each reference, so there must be few.
    let references = git(&siege.project(), &["for-each-ref"]);
    assert!(references.lines().count() < 100, "{references}");
}

#[tokio::test]
async fn a_million_references() {
    let siege = Siege::new(|bomb| packed_references(bomb, 1_000_000)).await;
    siege.is_kept(&["eins"]).await;
}

#[tokio::test]
async fn two_thousand_packs() {
    let siege = Siege::new(|bomb| {
        let mut last = bomb.first();
        for number in 0..2000 {
            let text = number.to_string();
            let content = Filled { start: text.as_bytes(), filler: 0, length: text.len() as u64 };
            let file = content.id("blob");
            bomb.pack(&[PackEntry { kind: 3, base: None, content: text.into(), id: file.clone() }]);
            if number % 100 == 0 {
                let tree = bomb.tree(&[(FILE, "index.html", &file)]);
                last = bomb.commit(&tree, &[&last], "v");
            }
        }
        bomb.branch_at(&last);
    });
    let siege = siege.await;
    let seen = siege.endured().await;
    assert_eq!(seen.names.len(), 21);
}

/// Each entry of a pack is twice as large as the one before: thirty of them stand for 1 GiB.
#[tokio::test]
async fn a_pack_of_deltas_that_double_each_other() {
    let siege = Siege::new(|bomb| {
        let mut entries = Vec::new();
        for level in 0..31_u32 {
            let length = 1_usize << level;
            let (kind, base, content) = match level {
                0 => (3, None, b"x".to_vec()),
                _ => (DELTA, Some(entries.len() - 1), twice(length / 2)),
            };
            let filled = Filled { start: b"", filler: b'x', length: length as u64 };
            entries.push(PackEntry { kind, base, content, id: filled.id("blob") });
        }
        bomb.pack(&entries);
        let last = entries.last().unwrap();
        let tree = bomb.tree(&[(FILE, "index.html", &last.id)]);
        bomb.branch_at(&bomb.commit(&tree, &[&bomb.first()], "bomb"));
    });
    siege.await.is_kept(&["eins"]).await;
}

/// A chain of twenty thousand deltas, each based on the one before it.
#[tokio::test]
async fn a_pack_of_deltas_without_an_end() {
    let siege = Siege::new(|bomb| {
        let same = |id: &str| (DELTA, id.to_owned(), vec![1, 1, 0x90, 1]);
        let id = Filled { start: b"x", filler: 0, length: 1 }.id("blob");
        let mut entries =
            vec![PackEntry { kind: 3, base: None, content: b"x".to_vec(), id: id.clone() }];
        for number in 0..20_000 {
            let (kind, mut id, content) = same(&id);
            if number < 19_999 {
                // Only the last object has an id that is looked up.
                id = format!("{number:040x}");
            }
            entries.push(PackEntry { kind, base: Some(entries.len() - 1), content, id });
        }
        // The first object cannot be found by its id, so the whole chain must be followed.
        entries[0].id = "f".repeat(40);
        bomb.pack(&entries);
        let tree = bomb.tree(&[(FILE, "index.html", &id)]);
        bomb.branch_at(&bomb.commit(&tree, &[&bomb.first()], "zwei"));
    });
    let siege = siege.await;
    let seen = siege.endured().await;
    assert!(["zwei", "eins"].contains(&seen.names[0].as_str()), "{:?}", seen.names);
}

#[tokio::test]
async fn indices_that_lie() {
    let siege = Siege::new(|bomb| {
        // An index of git that announces four billion entries, and has a tree of trees.
        let mut index = b"DIRC\0\0\0\x02\xff\xff\xff\xff".to_vec();
        index.extend(b"TREE\x7f\xff\xff\xff");
        index.extend("\0-1 2000000000\n".repeat(1000).as_bytes());
        index.extend([0; 20]);
        bomb.put("index", index);
        // The index of a pack that announces four billion objects and contains none.
        let mut idx = b"\xfftOc\0\0\0\x02".to_vec();
        idx.extend([0xff; 4].repeat(256));
        idx.extend([0; 40]);
        let name = "objects/pack/pack-0000000000000000000000000000000000000000";
        bomb.put(&format!("{name}.idx"), &idx);
        bomb.put(&format!("{name}.pack"), b"PACK\0\0\0\x02\xff\xff\xff\xff");
        bomb.put("objects/pack/multi-pack-index", vec![0xff; 10_000]);
        bomb.put("objects/info/commit-graph", vec![0xff; 10_000]);
    });
    siege.await.is_kept(&["eins"]).await;
}

/// Files that make git show another history than the one that was saved.
#[tokio::test]
async fn grafts_replacements_and_notes_change_nothing() {
    let siege = Siege::new(|bomb| {
        let first = bomb.first();
        let evil = bomb.commit(&bomb.tree_of("evil"), &[], "evil");
        let second = bomb.commit(&bomb.tree_of("2\n"), &[&first], "zwei");
        bomb.branch_at(&second);
        bomb.put("info/grafts", format!("{second} {evil}\n{first} {evil}\n"));
        bomb.put(&format!("refs/replace/{first}"), format!("{evil}\n"));
        bomb.put(&format!("refs/replace/{second}"), format!("{evil}\n"));
        bomb.put("refs/notes/commits", format!("{evil}\n"));
        bomb.put("shallow", format!("{second}\n"));
    });
    let siege = siege.await;
    siege.is_kept(&["zwei", "eins"]).await;
    let log = git(&siege.project(), &["log", "--format=%s%n%N"]);
    assert!(!log.contains("evil"), "{log}");
}

#[tokio::test]
async fn a_head_that_names_nonsense_is_a_branch_that_is_mended() {
    let long = format!("ref: refs/heads/{}\n", "x".repeat(10_000));
    for head in ["", "nonsense", "\0\u{1}", "ref: nonsense", "ref: refs/heads/../../x", &long] {
        let head = head.to_owned();
        let siege = Siege::new(move |bomb| bomb.put("HEAD", head)).await;
        siege.is_kept(&["eins"]).await;
    }
}

#[tokio::test]
async fn an_ordinary_user_has_the_same_protection() {
    if !harness::is_root() {
        eprintln!("SKIPPED an_ordinary_user_has_the_same_protection: the other tests are this one");
        return;
    }
    let siege = Siege::with(Setup::default().as_user(USER), wide).await;
    siege.is_kept(&["eins"]).await;
    let references = |bomb: &Bomb| packed_references(bomb, 100_000);
    let siege = Siege::with(Setup::default().as_user(USER), references).await;
    siege.is_kept(&["eins"]).await;
}
