//! The prompt as the CLI gets it.

use std::borrow::Cow;
use std::path::Path;

use memchr::memmem;

use crate::store::projects::ProjectKey;
use crate::types::{Prompt, SkillName};

/// What the CLI calls the folder that the skills come from, and so the first half of their names.
const PLUGIN: &str = ".claude";

const USERS: &str = "/users/";
const PROJECTS: &str = "/projects/";

/// The line that gives the CLI its task. Paths of the project are those of `folder`, where the
/// private copy is for the CLI.
pub fn prompt_line(
    prompt: &Prompt,
    key: ProjectKey,
    folder: &Path,
    skills: &[SkillName],
) -> Vec<u8> {
    let mut content = put_right(prompt.as_str(), key, &folder.to_string_lossy()).into_owned();
    if !skills.is_empty() {
        let names: Vec<_> = skills.iter().map(|name| format!("{PLUGIN}:{name}")).collect();
        content.push_str("\n\nBefore you begin, load these skills with the Skill tool: ");
        content.push_str(&names.join(", "));
        content.push('.');
    }
    let message = serde_json::json!({
        "type": "user",
        "message": { "role": "user", "content": content },
    });
    let mut line = message.to_string().into_bytes();
    line.push(b'\n');
    line
}

/// Replaces each absolute path of the project's folder by `folder`. The relay names the folder on
/// its own machine: any prefix, then `/users/{user}/projects/{project}`, the ids in either letter
/// case. Paths of other projects, relative paths and addresses stay as they are.
fn put_right<'a>(text: &'a str, key: ProjectKey, folder: &str) -> Cow<'a, str> {
    let tail = format!("{USERS}{}{PROJECTS}{}", key.user, key.project);
    let mut result = String::new();
    // Up to here the text is copied, and up to here a path may have been read already.
    let (mut copied, mut read) = (0, 0);
    for at in memmem::find_iter(text.as_bytes(), USERS) {
        let end = at + tail.len();
        let Some(found) = text.get(at..end) else { continue };
        if at < read || !names(found, &tail) || !ends_here(text.get(end..).unwrap_or_default()) {
            continue;
        }
        let before = text.get(read..at).unwrap_or_default();
        let goes_on = read > 0;
        let start = prefix_start(before, goes_on).map(|start| read + start);
        read = end;
        if let Some(start) = start {
            result.push_str(text.get(copied..start).unwrap_or_default());
            result.push_str(folder);
            copied = end;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    result.push_str(text.get(copied..).unwrap_or_default());
    Cow::Owned(result)
}

/// Whether a text is this path, the ids in either letter case and the rest as it is.
fn names(found: &str, tail: &str) -> bool {
    let between = USERS.len() + uuid::fmt::Hyphenated::LENGTH;
    let middle = between..between + PROJECTS.len();
    found.eq_ignore_ascii_case(tail)
        && found.starts_with(USERS)
        && found.get(middle) == Some(PROJECTS)
}

/// Whether the name of a folder ends where `rest` begins. A full stop ends it if a sentence does;
/// prose in Japanese goes on without a space.
fn ends_here(rest: &str) -> bool {
    let mut following = rest.chars();
    match following.next() {
        Some('.') => !following.next().is_some_and(|next| is_of_name(next) || next == '.'),
        Some(next) => !is_of_name(next),
        None => true,
    }
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '~' | '+' | '@' | '%' | '$')
}

/// Where the absolute path begins that ends with `before`, which may be empty; `None` if that is no
/// absolute path. Prose in Japanese stands before a path without a space, so such letters directly
/// before the first slash are not part of it. `goes_on` says that a path ends where `before` begins:
/// what follows it without a break is below the project, whatever it looks like.
fn prefix_start(before: &str, goes_on: bool) -> Option<usize> {
    let is_of_path =
        |c: char| is_of_name(c) || matches!(c, '/' | '.' | ')' | ']' | '}') || is_letter(c);
    let path_start = before
        .char_indices()
        .rev()
        .take_while(|(_, c)| is_of_path(*c))
        .last()
        .map_or(before.len(), |(start, _)| start);
    let path = before.get(path_start..)?;
    let first_slash = path.find('/').unwrap_or(path.len());
    let relative_to = path.get(..first_slash)?;
    if relative_to.chars().next_back().is_some_and(|c| !is_letter(c)) {
        return None;
    }
    if goes_on && path_start == 0 && first_slash == 0 {
        return None;
    }
    // `https://host/…` and its like.
    let after_scheme = before.get(..path_start)?.ends_with(':') && path.starts_with("//");
    (!after_scheme).then_some(path_start + first_slash)
}

/// A letter of a script that needs no spaces between words, or of any other but ASCII.
fn is_letter(c: char) -> bool {
    !c.is_ascii() && c.is_alphanumeric()
}

#[cfg(test)]
mod tests;
