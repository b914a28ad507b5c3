//! Which paths of a prompt are rewritten, and which only look like the project's.

use proptest::prelude::*;

use super::*;

const USER: &str = "0a1b2c3d-0000-4000-8000-00000000abcd";
const PROJECT: &str = "ffffffff-1111-4111-9111-0000000000ef";
const OTHER: &str = "0a1b2c3d-0000-4000-8000-00000000abce";
const INSIDE: &str = "/data/users/0a1b2c3d-0000-4000-8000-00000000abcd/projects/\
                      ffffffff-1111-4111-9111-0000000000ef";

fn key() -> ProjectKey {
    ProjectKey { user: USER.parse().unwrap(), project: PROJECT.parse().unwrap() }
}

fn tail() -> String {
    format!("/users/{USER}/projects/{PROJECT}")
}

/// The same text with `HERE` for the folder that the project is in.
fn here(text: &str) -> String {
    put_right(text, key(), "HERE").into_owned()
}

#[test]
fn the_prompt_of_the_relay_names_the_folder_that_is_there() {
    let upper = format!("/users/{}/projects/{}", USER.to_uppercase(), PROJECT.to_uppercase());
    for prefix in ["/data", "/var/relay/data", "", "/srv/データ", "/a.b/../c-d_e", "/home/x~1/@y"]
    {
        for tail in [tail(), upper.clone()] {
            let path = format!("{prefix}{tail}");
            let prompt = format!(
                "<system>\n作業ディレクトリ: {path}\n`{path}/index.html`を\"{path}\"に。({path})\n\
                 フォルダは{path}です。cd {path}; DIR={path}/ ls -la {path}.\n</system>"
            );
            assert_eq!(here(&prompt), prompt.replace(&path, "HERE"), "{prefix}");
        }
    }
    assert_eq!(here(&format!("/data{}", tail())), "HERE");
}

#[test]
fn where_the_folder_is_named_as_it_is_the_prompt_stays() {
    let prompt = format!("作業ディレクトリ: {INSIDE}\n{INSIDE}/a.js");
    assert_eq!(put_right(&prompt, key(), INSIDE), prompt);
    let upper = prompt.to_uppercase().replace("/DATA/USERS/", "/data/users/");
    let upper = upper.replace("/PROJECTS/", "/projects/").replace("A.JS", "a.js");
    assert_eq!(put_right(&upper, key(), INSIDE), prompt);
}

#[test]
fn what_only_looks_like_it_stays() {
    let tail = tail();
    for text in [
        format!("/data/users/{OTHER}/projects/{PROJECT}/x"),
        format!("/data/users/{USER}/projects/{OTHER}"),
        format!("/data/users/{USER}"),
        format!("/data/users/{USER}/assets/{PROJECT}"),
        format!("/data/Users/{USER}/projects/{PROJECT}"),
        format!("/data/users/{USER}/Projects/{PROJECT}"),
        format!("relative{tail}"),
        format!("../data{tail}"),
        format!("./data{tail}"),
        format!("~/data{tail}"),
        format!("$DATA{tail}"),
        format!("${{DATA}}{tail}"),
        format!("https://host.example{tail}/index.html"),
        format!("file:///data{tail}"),
        format!("/data{tail}-old/x"),
        format!("/data{tail}0"),
        format!("/data{tail}_copy"),
        format!("/data{tail}.bak"),
        format!("/data{tail}..x"),
        "/users/".to_owned(),
        "作業ディレクトリ: /users/あ/projects/い".to_owned(),
    ] {
        assert_eq!(here(&text), text);
    }
}

#[test]
fn a_path_below_the_project_is_not_the_project_again() {
    let tail = tail();
    assert_eq!(here(&format!("/data{tail}{tail}")), format!("HERE{tail}"));
    assert_eq!(here(&format!("/data{tail}/data{tail}")), format!("HERE/data{tail}"));
    assert_eq!(here(&format!("x{tail}{tail}")), format!("x{tail}{tail}"));
    assert_eq!(here(&format!("{tail}は/data{tail}に、{tail}")), "HEREはHEREに、HERE");
}

#[test]
fn skills_are_named_behind_the_prompt() {
    let prompt = format!("つくって {}", tail()).parse().unwrap();
    let line = |skills: &[SkillName]| {
        let line = prompt_line(&prompt, key(), Path::new("/x"), skills);
        assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1));
        let message: serde_json::Value = serde_json::from_slice(&line).unwrap();
        message["message"]["content"].as_str().unwrap().to_owned()
    };
    assert_eq!(line(&[]), "つくって /x");
    let named = line(&["a".parse().unwrap(), "_b".parse().unwrap()]);
    assert!(named.starts_with("つくって /x\n\n") && named.contains(".claude:a, .claude:_b."));
}

proptest! {
    #[test]
    fn text_without_the_project_stays(text in any::<String>()) {
        prop_assert_eq!(here(&text), text);
    }

    /// Whatever stands around a path, it is replaced once, and nothing around it is touched.
    #[test]
    fn every_path_is_replaced_and_nothing_else(
        parts in prop::collection::vec("[a-zA-Zあ-ん0-9 .,:\n\"'()<>=-]{0,20}", 1..6),
        prefix in "(/[a-z0-9._-]{1,8}){0,4}",
        upper in any::<bool>(),
    ) {
        let tail = if upper { tail().to_uppercase() } else { tail() };
        let tail = tail.replace("/USERS/", "/users/").replace("/PROJECTS/", "/projects/");
        let join = |path: &str| parts.join(&format!(" {path} "));
        prop_assert_eq!(here(&join(&format!("{prefix}{tail}"))), join("HERE"));
    }

    /// Pieces of paths in any order are read without a panic, and doing it twice changes nothing.
    #[test]
    fn doing_it_twice_is_doing_it_once(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "/users/", USER, "/projects/", PROJECT, "/data", OTHER, "/", " ", "é", "フ", ".",
            ]),
            0..40,
        ),
    ) {
        let once = here(&pieces.concat());
        prop_assert_eq!(here(&once), once.clone());
    }
}
