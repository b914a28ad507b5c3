//! Cuts texts of a model to the length of the fields of an answer.

use unicode_segmentation::UnicodeSegmentation as _;

/// The beginning of `text`, at most `max_chars` Unicode scalar values long and without white space
/// at its ends. It is cut between two grapheme clusters, so no emoji or accent is cut in two.
pub(super) fn clip(text: &str, max_chars: usize) -> String {
    let text = text.trim();
    let mut clipped = String::new();
    let mut chars = 0;
    for seen in text.graphemes(true) {
        chars += seen.chars().count();
        if chars > max_chars {
            break;
        }
        clipped.push_str(seen);
    }
    clipped.truncate(clipped.trim_end().len());
    clipped
}

/// The same as [`clip`], on one line and without Markdown, for buttons and titles, which show a
/// text as it is.
pub(super) fn clip_line(text: &str, max_chars: usize) -> String {
    let mut line = String::with_capacity(text.len().min(4 * max_chars));
    let mut depth = 0_usize;
    for c in text.chars() {
        match c {
            '<' => depth += 1,
            '>' if depth > 0 => depth -= 1,
            _ if depth > 0 => {}
            '*' | '`' | '#' | '_' | '~' => {}
            c if c.is_whitespace() || c.is_control() => {
                if !line.is_empty() && !line.ends_with(' ') {
                    line.push(' ');
                }
            }
            c => line.push(c),
        }
    }
    clip(line.trim_start_matches(['-', '・', '•', '>', ' ']), max_chars)
}

/// The end of `text`, at most `max_bytes` long, cut between two characters.
pub(super) fn tail(text: &str, max_bytes: usize) -> &str {
    let start = text.len().saturating_sub(max_bytes);
    text.get(text.ceil_char_boundary(start)..).unwrap_or_default()
}

/// The beginning of `text`, at most `max_bytes` long, cut between two characters.
pub(super) fn head(text: &str, max_bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(max_bytes)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cuts_between_characters_as_people_see_them() {
        assert_eq!(clip(" あいう ", 2), "あい");
        assert_eq!(clip("a👨‍👩‍👧b", 3), "a");
        assert_eq!(clip("a👨‍👩‍👧b", 6), "a👨‍👩‍👧");
        assert_eq!(clip("か\u{3099}く", 1), "");
        assert_eq!(clip("ab  cd", 3), "ab");
        assert_eq!(clip("", 3), "");
    }

    #[test]
    fn a_line_has_no_markup() {
        assert_eq!(clip_line("- **敵を<b>速く</b>して**\n", 20), "敵を速くして");
        assert_eq!(clip_line("<script>alert(1)</script>", 20), "alert(1)");
        assert_eq!(clip_line("・`a`\t\tb", 20), "a b");
        assert_eq!(clip_line("<<<", 20), "");
    }

    #[test]
    fn bytes_are_cut_at_characters() {
        assert_eq!((head("あい", 4), tail("あい", 4)), ("あ", "い"));
        assert_eq!((head("a", 9), tail("a", 9)), ("a", "a"));
        assert_eq!((head("あ", 0), tail("あ", 0)), ("", ""));
    }

    proptest! {
        #[test]
        fn nothing_is_longer_than_it_may_be(text in any::<String>(), max in 0_usize..20) {
            prop_assert!(clip(&text, max).chars().count() <= max);
            prop_assert!(clip_line(&text, max).chars().count() <= max);
            prop_assert!(head(&text, max).len() <= max && tail(&text, max).len() <= max);
        }
    }
}
