//! The user's own words in a text that the relay has put together.
//!
//! The relay puts text around what a user wrote: instructions before it, lines that name attached
//! pictures at its beginning, and a style guide behind it. The message of a version is made, and
//! the intent of a message is judged, from the user's own words only.

/// The element in which the relay puts the words of a user.
const OPENING: &str = "<user>";
const CLOSING: &str = "</user>";
/// The beginning of the first line of a part that the relay has added behind the words.
const SEPARATOR: &str = "===";

/// The part of `text` that the user wrote: the inside of the last `<user>` element if there is one,
/// without leading lines that name attached pictures, up to a line of `===`.
pub fn user_words(text: &str) -> &str {
    let mut words = element(text).unwrap_or(text);
    while let Some((line, rest)) = split_line(words) {
        if !line.trim().is_empty() && !names_picture(line) {
            break;
        }
        words = rest;
    }
    let end = line_starts(words).find(|start| starts_with_separator(words, *start));
    words.get(..end.unwrap_or(words.len())).unwrap_or(words).trim()
}

/// The content of the last `<user>` element. If it is not closed, it reaches to the end of the
/// text.
fn element(text: &str) -> Option<&str> {
    let (_, inside) = text.rsplit_once(OPENING)?;
    Some(inside.split_once(CLOSING).map_or(inside, |(inside, _)| inside))
}

/// The first line without its line break, and the text after it. `None` if the text is empty.
fn split_line(text: &str) -> Option<(&str, &str)> {
    if text.is_empty() {
        return None;
    }
    Some(text.split_once('\n').unwrap_or((text, "")))
}

/// Whether a line has the relay's form for an attachment: `1：画像「name」を使用: URL`.
fn names_picture(line: &str) -> bool {
    let line = line.trim_start();
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let rest = line.get(digits..).unwrap_or_default();
    digits > 0 && rest.starts_with("：画像「") && rest.contains("」を使用")
}

/// The byte positions at which lines begin.
fn line_starts(text: &str) -> impl Iterator<Item = usize> {
    std::iter::once(0).chain(memchr::memchr_iter(b'\n', text.as_bytes()).map(|end| end + 1))
}

fn starts_with_separator(text: &str, start: usize) -> bool {
    text.get(start..)
        .is_some_and(|line| line.trim_start_matches([' ', '\t']).starts_with(SEPARATOR))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn finds_the_words_in_the_prompts_of_the_relay() {
        let prompt = "<system>\n作業ディレクトリ: /data/users/u/projects/p\n</system>\n\n<user>\n\
            1：画像「hero.png」を使用: https://example.com/hero.png\n\
            2：画像「敵 2」を使用: https://example.com/2.png\n\
            敵を速くして\n背景も青く\n=== スタイルガイド ===\n赤は使わない\n</user>";
        assert_eq!(user_words(prompt), "敵を速くして\n背景も青く");
    }

    #[test]
    fn a_plain_message_is_its_own_words() {
        for (text, words) in [
            ("敵を速くして", "敵を速くして"),
            ("  a\n b ", "a\n b"),
            ("1：画像「a」を使用: u\n\n  動かして", "動かして"),
            ("1：画像のところを直して", "1：画像のところを直して"),
            ("a == b\n== c", "a == b\n== c"),
            ("a\n  === s\nb", "a"),
            ("", ""),
            ("===", ""),
        ] {
            assert_eq!(user_words(text), words, "{text:?}");
        }
    }

    #[test]
    fn the_last_element_counts_and_may_be_open() {
        assert_eq!(user_words("<user>a</user> <user>b</user>"), "b");
        assert_eq!(user_words("<user>a</user> <user>b"), "b");
        assert_eq!(user_words("<user></user>"), "");
        assert_eq!(user_words("</user>a"), "</user>a");
    }

    proptest! {
        #[test]
        fn the_words_are_a_part_of_the_text(text in any::<String>()) {
            prop_assert!(text.contains(user_words(&text)));
        }
    }
}
