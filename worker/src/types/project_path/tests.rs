//! What a path is, and that nothing else becomes one.

use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<ProjectPath, PathError> {
    text.parse()
}

#[test]
fn accepts_what_games_are_made_of() {
    for text in [
        "index.html",
        "assets/player sprite.png",
        "画像/背景.png",
        "か\u{3099}.png",
        "a/b/c/d.js",
        "file..name.js",
        "etc/passwd",
        "-rf",
        "%2e%2e",
        "a\u{3000}b.txt",
        "node:fs.js",
        "emoji👨‍👩‍👧.png",
        "می\u{200c}خواهم.png",
        "git~2",
        "git~1.png",
        "legit~1",
    ] {
        assert_eq!(parse(text).map(|p| p.as_str().to_owned()), Ok(text.to_owned()));
    }
}

#[test]
fn refuses_each_kind_with_its_own_reason() {
    let long_name = "a".repeat(MAX_NAME_BYTES + 1);
    let long_path = "a/".repeat(MAX_PATH_BYTES);
    let deep = ["a"; MAX_DEPTH + 1].join("/");
    for (text, why) in [
        ("", PathError::Empty),
        (long_name.as_str(), PathError::TooLong),
        (long_path.as_str(), PathError::TooLong),
        (deep.as_str(), PathError::TooDeep),
        ("/etc/passwd", PathError::NotRelative),
        ("~/x", PathError::NotRelative),
        ("C:/x", PathError::NotRelative),
        ("a//b", PathError::EmptyPart),
        ("a/", PathError::EmptyPart),
        ("..", PathError::DotPart),
        ("a/../b", PathError::DotPart),
        ("./a", PathError::DotPart),
        (".git/config", PathError::Hidden),
        ("a/.env", PathError::Hidden),
        ("...", PathError::Hidden),
        (".style-pending.json", PathError::Hidden),
        ("a.", PathError::Padded),
        ("a /b", PathError::Padded),
        (" a", PathError::Padded),
        ("a\u{3000}", PathError::Padded),
        ("a\0b", PathError::BadCharacter),
        ("a\nb", PathError::BadCharacter),
        ("a\u{7f}", PathError::BadCharacter),
        ("a\u{85}b", PathError::BadCharacter),
        ("..\\..\\x", PathError::BadCharacter),
        ("gnp.\u{202e}html", PathError::BadCharacter),
        // `.git` to file systems of other machines.
        ("git~1", PathError::Hidden),
        ("a/GIT~1/config", PathError::Hidden),
        ("git~1::$INDEX_ALLOCATION", PathError::Hidden),
        (".g\u{200c}it", PathError::Hidden),
        ("\u{200c}.git/config", PathError::BadCharacter),
        ("\u{200d}\u{200c}.git", PathError::BadCharacter),
        ("\u{206a}.git", PathError::BadCharacter),
        ("a\u{200b}.png", PathError::BadCharacter),
    ] {
        assert_eq!(parse(text), Err(why), "{text:?}");
    }
}

#[test]
fn only_the_exact_state_file_is_the_exception() {
    assert_eq!(".style-pending.json".parse(), Ok(RequestPath::StyleState));
    for text in ["a/.style-pending.json", ".Style-pending.json", ".style-pending.json/x"] {
        assert!(text.parse::<RequestPath>().is_err(), "{text}");
    }
}

#[test]
fn json_goes_through_the_same_check() {
    assert!(serde_json::from_str::<ProjectPath>("\"a/b\"").is_ok());
    assert!(serde_json::from_str::<ProjectPath>("\"a/\\u002e\\u002e/b\"").is_err());
}

#[test]
fn composed_and_decomposed_names_are_two_names_and_stay_as_sent() {
    let (composed, decomposed) = ("が.png", "か\u{3099}.png");
    for text in [composed, decomposed] {
        assert_eq!(parse(text).unwrap().as_str(), text);
        let json = serde_json::to_string(text).unwrap();
        assert_eq!(serde_json::from_str::<ProjectPath>(&json).unwrap().as_str(), text);
    }
    assert_ne!(parse(composed), parse(decomposed));
}

/// Paths of all scripts, most of them accepted.
fn accepted() -> impl Strategy<Value = ProjectPath> {
    proptest::collection::vec("[^/\\p{C}]{1,12}", 1..6)
        .prop_map(|parts| parts.join("/"))
        .prop_filter_map("not a path", |text| text.parse().ok())
}

/// Where a path leads below a folder, as other programs work it out: without `.` and `..`.
fn normalised(root: &std::path::Path, path: &str) -> std::path::PathBuf {
    use std::path::Component;
    let mut out = std::path::PathBuf::new();
    for component in root.join(path).components() {
        match component {
            Component::ParentDir => drop(out.pop()),
            Component::CurDir => {}
            other => out.push(other),
        }
    }
    out
}

proptest! {
    #[test]
    fn whatever_parses_keeps_every_promise(text in "[a-zA-Z./\\\\~: \u{0}-\u{1f}\u{202e}あ]{0,40}") {
        if let Ok(path) = parse(&text) {
            prop_assert_eq!(path.as_str(), text.as_str());
            for part in path.parts() {
                prop_assert!(!part.is_empty() && !part.starts_with('.') && part.len() <= MAX_NAME_BYTES);
                prop_assert!(!part.contains(['\\', '\0', '\n']));
            }
            // The standard library agrees that it only ever goes down.
            let mut components = std::path::Path::new(path.as_str()).components();
            prop_assert!(components.all(|c| matches!(c, std::path::Component::Normal(_))));
        }
    }

    #[test]
    fn plain_names_always_parse(parts in proptest::collection::vec("[a-z0-9_-]{1,20}", 1..8)) {
        let text = parts.join("/");
        prop_assert!(parse(&text).is_ok());
    }

    #[test]
    fn never_panics(text in any::<String>()) {
        let parsed = text.parse::<RequestPath>();
        prop_assert!(parsed.is_err() || !text.is_empty());
    }

    #[test]
    fn an_accepted_path_is_accepted_again_as_the_same(path in accepted()) {
        prop_assert_eq!(&parse(path.as_str()).unwrap(), &path);
        prop_assert_eq!(&parse(&path.to_string()).unwrap(), &path);
        let json = serde_json::to_string(&path).unwrap();
        prop_assert_eq!(&serde_json::from_str::<ProjectPath>(&json).unwrap(), &path);
        // JSON that spells every character as an escape.
        let units = path.as_str().encode_utf16();
        let escaped = units.fold(String::new(), |all, unit| format!("{all}\\u{unit:04x}"));
        let json = format!("\"{escaped}\"");
        prop_assert_eq!(&serde_json::from_str::<ProjectPath>(&json).unwrap(), &path);
    }

    #[test]
    fn an_accepted_path_leads_to_one_place_beneath_any_root(path in accepted()) {
        for root in ["/data", "/", "relative/root"] {
            let root = std::path::Path::new(root);
            let place = normalised(root, path.as_str());
            prop_assert!(place.starts_with(root) && place != root);
            let below = place.strip_prefix(root).unwrap();
            prop_assert_eq!(below.to_str(), Some(path.as_str()));
        }
    }

    #[test]
    fn a_bad_part_anywhere_spoils_the_path(
        path in accepted(),
        bad in prop_oneof![
            "", Just(".".into()), Just("..".into()), "\\.[a-z]{1,5}", "[gG][iI][tT]~1",
            "[a-z]{0,3}[\u{0}-\u{1f}\u{7f}\\\\\u{200b}\u{202e}\u{2066}\u{feff}][a-z]{0,3}",
            "[a-z]{1,3}[ .\u{3000}]", "[ \u{3000}][a-z]{1,3}",
        ],
        at in any::<proptest::sample::Index>(),
    ) {
        let mut parts: Vec<&str> = path.parts().collect();
        let at = at.index(parts.len() + 1);
        parts.insert(at, &bad);
        prop_assert!(parse(&parts.join("/")).is_err(), "{:?}", parts);
    }

    #[test]
    fn joining_goes_down_and_never_elsewhere(path in accepted(), name in any::<String>()) {
        if let Ok(joined) = path.join(&name) {
            prop_assert_eq!(joined.as_str(), format!("{path}/{name}"));
            prop_assert!(joined.as_str().starts_with(path.as_str()));
            prop_assert_eq!(joined.parts().next_back(), Some(joined.file_name()));
        }
    }

    #[test]
    fn what_looks_like_git_to_any_file_system_is_refused(
        joiners in proptest::collection::vec(
            "[\u{200c}-\u{200f}\u{202a}-\u{202e}\u{206a}-\u{206f}\u{feff}]{0,2}", 5),
        upper in any::<[bool; 4]>(),
        end in "[ .]{0,3}(:[a-z$:]{0,8})?",
    ) {
        let letters = ['.', 'g', 'i', 't'].into_iter().zip(upper);
        let mut text = String::new();
        for ((letter, upper), joiner) in letters.zip(&joiners) {
            text.push_str(joiner);
            text.push(if upper { letter.to_ascii_uppercase() } else { letter });
        }
        text.push_str(&joiners[4]);
        text.push_str(&end);
        prop_assert!(parse(&text).is_err(), "{:?}", text);
        prop_assert!(parse(&format!("a/{text}/config")).is_err(), "{:?}", text);
    }
}
