//! Parsing text into the validated types: every accepted value keeps the promises of its type.

use std::path::{Component, Path};

use dreamcore_worker::types::{
    MAX_DEPTH, MAX_NAME_BYTES, MAX_PATH_BYTES, ProjectId, ProjectPath, Prompt, RequestPath,
    STYLE_STATE_FILE, SkillName, UserId, VersionId,
};

/// Parses the input as every type.
///
/// # Panics
///
/// If a promise is broken.
pub fn types(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    project_path(text);
    ids(text);
    if let Ok(name) = text.parse::<SkillName>() {
        assert!(name.as_str().bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
    }
    if let Ok(version) = text.parse::<VersionId>() {
        assert!(version.as_str().bytes().all(|b| b.is_ascii_hexdigit()));
    }
    if let Ok(prompt) = text.parse::<Prompt>() {
        assert_eq!(prompt.as_str(), text);
    }
}

fn project_path(text: &str) {
    let parsed = text.parse::<ProjectPath>();
    let json = serde_json::to_string(text).expect("text is JSON");
    let from_json = serde_json::from_str::<ProjectPath>(&json);
    assert_eq!(from_json.is_ok(), parsed.is_ok(), "JSON decides as text does");
    match text.parse::<RequestPath>() {
        Ok(RequestPath::StyleState) => assert_eq!(text, STYLE_STATE_FILE),
        Ok(RequestPath::File(path)) => assert_eq!(Ok(path), parsed),
        Err(error) => assert_eq!(Err(error), parsed),
    }
    let Ok(path) = parsed else {
        return;
    };
    assert_eq!(path.as_str(), text, "kept as sent");
    assert!(text.len() <= MAX_PATH_BYTES && path.parts().count() <= MAX_DEPTH);
    assert!(path.parts().all(|part| part.len() <= MAX_NAME_BYTES && !part.starts_with('.')));
    assert!(!text.contains(['\\', '\0', '\n', '\r']));
    let beneath = Path::new(text).components();
    assert!(beneath.into_iter().all(|part| matches!(part, Component::Normal(_))), "{text:?}");
    // Git can store every path that a client can name.
    let mut index = git2::Index::new().expect("an index in memory");
    let entry = git2::IndexEntry {
        ctime: git2::IndexTime::new(0, 0),
        mtime: git2::IndexTime::new(0, 0),
        dev: 0,
        ino: 0,
        mode: 0o100_644,
        uid: 0,
        gid: 0,
        file_size: 0,
        id: git2::Oid::ZERO_SHA1,
        flags: 0,
        flags_extended: 0,
        path: text.into(),
    };
    assert!(index.add(&entry).is_ok(), "git refuses {text:?}");
}

fn ids(text: &str) {
    let user = text.parse::<UserId>().map(|id| id.to_string());
    let project = text.parse::<ProjectId>().map(|id| id.to_string());
    assert_eq!(user, project);
    if let Ok(shown) = user {
        assert_eq!(shown, text.to_ascii_lowercase());
        assert_eq!(shown.len(), 36);
        assert!(shown.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-'));
    }
}
