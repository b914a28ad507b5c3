//! Folds text, so that different spellings of the same words compare as equal.

use unicode_normalization::UnicodeNormalization as _;

/// Folds full width to half width, upper case to lower case, and katakana to hiragana. Several
/// white space characters become one space; line breaks stay.
pub(super) fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for c in text.nfkc().flat_map(char::to_lowercase) {
        match c {
            '\n' => {
                while folded.ends_with(' ') {
                    folded.pop();
                }
                folded.push('\n');
            }
            c if c.is_whitespace() => {
                if !folded.is_empty() && !folded.ends_with([' ', '\n']) {
                    folded.push(' ');
                }
            }
            c => folded.push(hiragana(c)),
        }
    }
    folded.truncate(folded.trim_end().len());
    folded
}

/// The hiragana for a katakana, which have the same order in two blocks of Unicode. Any other
/// character stays the same.
fn hiragana(c: char) -> char {
    const FIRST: u32 = 'ァ' as u32;
    const LAST: u32 = 'ヶ' as u32;
    const DISTANCE: u32 = 'ァ' as u32 - 'ぁ' as u32;
    match u32::from(c) {
        code @ FIRST..=LAST => char::from_u32(code - DISTANCE).unwrap_or(c),
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_looks_the_same_to_a_reader_becomes_the_same() {
        for (text, folded) in [
            ("ｕｎｄｏ", "undo"),
            ("モトニ　モドシテ！", "もとに もどして!"),
            ("ﾊﾞｰｼﾞｮﾝ", "ばーじょん"),
            ("Ｕndo\tPLEASE  ", "undo please"),
            ("a \n b", "a\nb"),
            ("ヴヵヶ", "ゔゕゖ"),
            ("猫とネコとねこ", "猫とねことねこ"),
        ] {
            assert_eq!(fold(text), folded, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn folding_twice_changes_nothing(text in any::<String>()) {
            let once = fold(&text);
            prop_assert_eq!(fold(&once), once);
        }
    }
}
