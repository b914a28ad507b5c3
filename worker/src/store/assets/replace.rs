//! Puts URLs into a game's code where the code names an asset by its file.
//!
//! `assets/NAME` becomes the URL of that name wherever it stands as a whole: in HTML, CSS,
//! JavaScript, JSON and Markdown alike, without reading any of these languages. All names are
//! searched for in one pass.
//!
//! **What counts as a whole.** Before it: the beginning, white space, a quote, an opening bracket,
//! or one of `= : , ; > |`. After it: the end, white space, a quote, a closing bracket, or one of
//! `, ; < > ? # & | \ !`, Japanese punctuation, and a full stop that ends a sentence. So
//! `myassets/a.png`, `other/assets/a.png`, `https://host/assets/a.png`, `assets/a.png.bak` and
//! `assets/a.png2` stay as they are.
//!
//! **What is replaced with it.** `./`, `/` and any number of `../` directly before it, because a
//! project has one folder of this name, at its top.
//!
//! **What stays behind it.** A query or fragment of the code's own: `?v=2` after a URL that has a
//! query becomes `&v=2`.
//!
//! **How a name may be spelt.** As it is, or percent-encoded as browsers and editors do it: all of
//! it, only what is not ASCII, or only white space and the like; in either letter case.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use memchr::memmem;
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

use super::AssetUrls;
use crate::types::FileName;

/// The extensions of files that can name an asset.
const CODE: [&str; 13] =
    ["css", "glsl", "htm", "html", "js", "json", "jsx", "md", "mjs", "svg", "ts", "txt", "xml"];
/// The folder before every name.
const FOLDER: &str = "assets/";
/// The characters that `encodeURIComponent` encodes.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');
/// The ASCII characters that `encodeURI` encodes.
const URI: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'[')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// By how much URLs may make the code of one request or one file longer, in bytes. A name of one
/// letter can become a URL of 2,048 bytes.
pub const MAX_GROWTH_BYTES: usize = 16 << 20;

/// URLs would make the code far longer than it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the code would become longer by more than {MAX_GROWTH_BYTES} bytes")]
pub struct TooLong;

/// All names in all their spellings, in the order of their bytes. So a name is found by going along
/// the text byte by byte, and memory is taken for the names alone: an automaton would take a
/// hundred bytes for each of theirs.
#[derive(Debug)]
pub(super) struct Replacer {
    /// Each spelling, with the place of its URL.
    spelt: Vec<(String, usize)>,
    urls: Vec<String>,
    longest_url: usize,
}

impl Replacer {
    pub(super) fn new(names: Vec<(FileName, String)>) -> Self {
        // Two names may have a spelling in common (`a b` and `a%20b`). It belongs to the name that
        // is written like this without encoding.
        let mut spelt: BTreeMap<String, usize> = names
            .iter()
            .enumerate()
            .map(|(place, (name, _))| (name.as_str().to_owned(), place))
            .collect();
        for (place, (name, _)) in names.iter().enumerate() {
            for spelling in spellings(name.as_str()) {
                spelt.entry(spelling).or_insert(place);
            }
        }
        let urls: Vec<String> = names.into_iter().map(|(_, url)| url).collect();
        let longest_url = urls.iter().map(String::len).max().unwrap_or_default();
        Self { spelt: spelt.into_iter().collect(), urls, longest_url }
    }

    /// The longest name that `text` begins with as a whole: its length, and its URL.
    fn find(&self, text: &str) -> Option<(usize, &str)> {
        // Those that begin like the text as far as it was looked at. A name has no slash, so no
        // part of a text is looked at twice.
        let mut left = self.spelt.as_slice();
        let mut longest = None;
        for (length, byte) in text.bytes().map(Some).chain([None]).enumerate() {
            let (name, place) = left.first()?;
            if name.len() == length && ends_whole(text.get(length..).unwrap_or_default()) {
                longest = Some((length, *place));
            }
            let next = |(name, _): &(String, usize)| name.as_bytes().get(length).copied();
            let begin = left.partition_point(|entry| next(entry) < byte);
            let end = left.partition_point(|entry| next(entry) <= byte);
            left = if byte.is_some() { left.get(begin..end)? } else { &[] };
            if left.is_empty() {
                break;
            }
        }
        longest.and_then(|(length, place)| Some((length, self.urls.get(place)?.as_str())))
    }
}

/// The encoded forms in which a name may be written in code.
fn spellings(name: &str) -> Vec<String> {
    let mut all: Vec<String> =
        [COMPONENT, URI].iter().map(|set| utf8_percent_encode(name, set).to_string()).collect();
    // With only ASCII characters encoded: `画 像.png` as `画%20像.png`.
    all.push(name.chars().fold(String::new(), |mut text, c| {
        let mut buffer = [0; 4];
        let piece = c.encode_utf8(&mut buffer);
        if c.is_ascii() {
            text.extend(utf8_percent_encode(piece, URI));
        } else {
            text.push(c);
        }
        text
    }));
    let lower: Vec<String> = all.iter().map(|text| lower_hex(text)).collect();
    all.extend(lower);
    all
}

/// Changes the digits of percent-encoding to lower case: `%E7` to `%e7`.
fn lower_hex(text: &str) -> String {
    let mut digits = 0;
    text.chars()
        .map(|c| {
            let is_digit = digits > 0;
            digits = if c == '%' { 2 } else { digits.max(1) - 1 };
            if is_digit { c.to_ascii_lowercase() } else { c }
        })
        .collect()
}

/// Replaces every name of the map in a text, unless it becomes longer than `max_bytes`. What has
/// nothing to replace is given back as it is.
pub fn replace<'a>(
    text: &'a str,
    map: &AssetUrls,
    max_bytes: usize,
) -> Result<Cow<'a, str>, TooLong> {
    let Some(replacer) = &map.replacer else {
        return Ok(Cow::Borrowed(text));
    };
    let mut result = String::new();
    let mut done = 0;
    for at in memmem::find_iter(text.as_bytes(), FOLDER) {
        let name = at + FOLDER.len();
        let Some((length, url)) = replacer.find(text.get(name..).unwrap_or_default()) else {
            continue;
        };
        let Some(start) = begins_whole(text.get(..at).unwrap_or_default()) else {
            continue;
        };
        let between = text.get(done..start).unwrap_or_default();
        if result.len() + between.len() + url.len() > max_bytes {
            return Err(TooLong);
        }
        result.push_str(between);
        result.push_str(url);
        done = name + length;
        if url.contains('?') && text.get(done..).is_some_and(|rest| rest.starts_with('?')) {
            result.push('&');
            done += 1;
        }
    }
    if done == 0 {
        return Ok(Cow::Borrowed(text));
    }
    let rest = text.get(done..).unwrap_or_default();
    if result.len() + rest.len() > max_bytes {
        return Err(TooLong);
    }
    result.push_str(rest);
    Ok(Cow::Owned(result))
}

/// By how many bytes at most the URLs can make a text longer.
pub fn most_growth(text: &[u8], map: &AssetUrls) -> usize {
    let longest = map.replacer.as_ref().map_or(0, |replacer| replacer.longest_url);
    let most = |found: usize| found.saturating_mul(longest).min(MAX_GROWTH_BYTES);
    if longest == 0 { 0 } else { most(memmem::find_iter(text, FOLDER).count()) }
}

/// The same for a file. `None` if it is not code, or if there is nothing to replace.
pub fn replace_in_file(
    path: &str,
    content: &[u8],
    map: &AssetUrls,
    max_bytes: usize,
) -> Result<Option<Vec<u8>>, TooLong> {
    if !is_code(path) {
        return Ok(None);
    }
    let Ok(text) = std::str::from_utf8(content) else {
        return Ok(None);
    };
    Ok(match replace(text, map, max_bytes)? {
        Cow::Borrowed(_) => None,
        Cow::Owned(text) => Some(text.into_bytes()),
    })
}

/// Whether a file of this name is text that can name an asset.
pub fn is_code(path: &str) -> bool {
    let extension = Path::new(path).extension().and_then(OsStr::to_str).unwrap_or_default();
    CODE.iter().any(|code| extension.eq_ignore_ascii_case(code))
}

/// Where the reference begins whose folder follows after `before`, including the dots and slashes
/// that lead to it. `None` if the folder is a part of a longer word.
fn begins_whole(before: &str) -> Option<usize> {
    let mut rest = before;
    if let Some(outer) = rest.strip_suffix("../") {
        rest = outer;
        while let Some(outer) = rest.strip_suffix("../") {
            rest = outer;
        }
        rest = rest.strip_suffix("./").unwrap_or(rest);
    } else if let Some(outer) = rest.strip_suffix("./").or_else(|| rest.strip_suffix('/')) {
        rest = outer;
    }
    let whole = rest
        .chars()
        .next_back()
        .is_none_or(|c| c.is_whitespace() || "\"'`“‘「『（([{<=:,;>|".contains(c));
    whole.then_some(rest.len())
}

/// Whether a name ends where `after` begins.
fn ends_whole(after: &str) -> bool {
    let mut chars = after.chars();
    match chars.next() {
        None => true,
        // A full stop ends a sentence if white space follows; otherwise the name goes on.
        Some('.') => chars.next().is_none_or(char::is_whitespace),
        Some(c) => c.is_whitespace() || "\"'`”’」』）)]}<>,;?#&|\\!、。，．！？".contains(c),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn replace<'a>(text: &'a str, map: &AssetUrls) -> Cow<'a, str> {
        super::replace(text, map, usize::MAX).unwrap()
    }

    fn map(pairs: &[(&str, &str)]) -> AssetUrls {
        let pairs = pairs.iter().map(|(name, url)| ((*name).to_owned(), (*url).to_owned()));
        AssetUrls::new(pairs.collect()).unwrap()
    }

    #[test]
    fn whole_references_are_replaced_in_every_language() {
        let map = map(&[("a.png", "https://x/1"), ("画 像.png", "https://x/2")]);
        for (code, expected) in [
            (r#"<img src="assets/a.png">"#, r#"<img src="https://x/1">"#),
            ("<img src=assets/a.png>", "<img src=https://x/1>"),
            ("url(assets/a.png)", "url(https://x/1)"),
            ("url('../assets/a.png')", "url('https://x/1')"),
            ("url(../../assets/a.png)", "url(https://x/1)"),
            ("load('./assets/a.png')", "load('https://x/1')"),
            ("load(`/assets/a.png`)", "load(`https://x/1`)"),
            (r#"{"image":"assets/a.png"}"#, r#"{"image":"https://x/1"}"#),
            (r#""<img src=\"assets/a.png\">""#, r#""<img src=\"https://x/1\">""#),
            ("image: assets/a.png\n", "image: https://x/1\n"),
            ("![a](assets/a.png)", "![a](https://x/1)"),
            ("See assets/a.png.", "See https://x/1."),
            ("「assets/a.png」、", "「https://x/1」、"),
            (
                "srcset='assets/a.png 1x, assets/a.png 2x'",
                "srcset='https://x/1 1x, https://x/1 2x'",
            ),
            ("&quot;assets/a.png&quot;", "&quot;https://x/1&quot;"),
            ("assets/a.png?v=2#x", "https://x/1?v=2#x"),
            ("assets/a.png", "https://x/1"),
            ("'assets/画 像.png'", "'https://x/2'"),
            ("'assets/画%20像.png'", "'https://x/2'"),
            ("'assets/%E7%94%BB%20%E5%83%8F.png'", "'https://x/2'"),
            ("'assets/%e7%94%bb%20%e5%83%8f.png'", "'https://x/2'"),
        ] {
            assert_eq!(replace(code, &map), expected, "{code}");
        }
    }

    #[test]
    fn what_only_contains_a_name_is_left_alone() {
        let map = map(&[("a.png", "https://x/1")]);
        for code in [
            "assets/a.png.bak",
            "assets/a.png2",
            "assets/a.pngx",
            "assets/a.png/b",
            "assets/a.png-old",
            "assets/a.png_",
            "assets/a.png%20b",
            "assets/a.png~",
            "assets/b.png",
            "assets/A.png",
            "Assets/a.png",
            "a.png",
            "myassets/a.png",
            "my-assets/a.png",
            "img/assets/a.png",
            "a./assets/a.png",
            "https://host/assets/a.png",
            "//assets/a.png",
            "C:/x/assets/a.png",
            "..../assets/a.png",
            "x../assets/a.png",
            "画assets/a.png",
            "assets/a.pngを使う",
            "$assets/a.png",
        ] {
            let replaced = replace(code, &map);
            assert!(matches!(replaced, Cow::Borrowed(_)), "{code}: {replaced}");
        }
    }

    #[test]
    fn the_longest_whole_name_counts() {
        let map = map(&[("a", "/1"), ("a b", "/2"), ("a.png", "/3"), ("a.png b.png", "/4")]);
        for (code, expected) in [
            ("'assets/a b'", "'/2'"),
            ("'assets/a bc'", "'/1 bc'"),
            ("'assets/a.png'", "'/3'"),
            ("'assets/a.png b.png'", "'/4'"),
            ("'assets/a.png b.pngx'", "'/3 b.pngx'"),
            ("'assets/a'", "'/1'"),
        ] {
            assert_eq!(replace(code, &map), expected, "{code}");
        }
    }

    #[test]
    fn a_query_goes_on_behind_a_query() {
        let map = map(&[("a.png", "/get_asset?user_id=1&asset_id=2")]);
        assert_eq!(replace("'assets/a.png?v=2'", &map), "'/get_asset?user_id=1&asset_id=2&v=2'");
    }

    #[test]
    fn a_plain_name_outranks_the_spelling_of_another() {
        let map = map(&[("a b.png", "/encoded"), ("a%20b.png", "/plain")]);
        assert_eq!(replace("'assets/a%20b.png' 'assets/a b.png'", &map), "'/plain' '/encoded'");
    }

    #[test]
    fn ten_megabytes_are_one_pass() {
        let names: Vec<(String, String)> =
            (0..500).map(|n| (format!("sprite{n}.png"), format!("/u/{n}"))).collect();
        let map = AssetUrls::new(names.into_iter().collect()).unwrap();
        let line = "<img src='assets/sprite7.png'><img src='assets/none.png'>\n";
        let replaced = replace(&line.repeat(200_000), &map).into_owned();
        assert_eq!(replaced.matches("'/u/7'").count(), 200_000);
    }

    #[test]
    fn code_does_not_grow_without_end() {
        let map = map(&[("a", &format!("/{}", "u".repeat(2000)))]);
        let code = "assets/a ".repeat(20_000);
        assert_eq!(super::replace(&code, &map, code.len() + MAX_GROWTH_BYTES), Err(TooLong));
        assert_eq!(super::replace("x assets/a yy", &map, 2005), Err(TooLong));
        assert!(super::replace("x assets/a yy", &map, 2006).is_ok());
    }

    #[test]
    fn many_long_names_take_little_more_than_their_spellings() {
        let name = |n: usize| format!("{}{n:03}.png", "画".repeat(80));
        let names: Vec<(FileName, String)> =
            (0..1000).map(|n| (name(n).parse().unwrap(), format!("/{n}"))).collect();
        let replacer = Replacer::new(names);
        let bytes: usize = replacer.spelt.iter().map(|(name, _)| name.capacity() + 32).sum();
        assert!(bytes < 4 << 20, "{bytes}");
        let encoded = utf8_percent_encode(&name(7), COMPONENT).to_string();
        assert_eq!(replacer.find(&format!("{encoded}'")), Some((encoded.len(), "/7")));
        assert_eq!(replacer.find(&format!("{encoded}x")), None);
    }

    #[test]
    fn growth_is_not_underestimated() {
        let map = map(&[("a", "/1234567890"), ("b.png", "/")]);
        for code in ["", "assets/a assets/b.png", "'assets/a' assets/none", "nothing"] {
            let grown = replace(code, &map).len().saturating_sub(code.len());
            assert!(most_growth(code.as_bytes(), &map) >= grown, "{code}");
        }
    }

    proptest! {
        #[test]
        fn text_without_the_folder_never_changes(text in any::<String>()) {
            prop_assume!(!text.contains(FOLDER));
            let map = map(&[("a", "/1"), ("b", "/2")]);
            prop_assert!(matches!(replace(&text, &map), Cow::Borrowed(_)));
        }

        #[test]
        fn a_quoted_name_is_always_found_in_each_spelling(
            name in "[a-zA-Z0-9あ-ん画像 ()%&+_-]{1,12}\\.png",
            quote in prop::sample::select(vec!["\"", "'", "`"]),
        ) {
            prop_assume!(name.parse::<FileName>().is_ok_and(|n| n.as_str() == name));
            let map = map(&[(&name, "/url")]);
            for spelling in spellings(&name).into_iter().chain([name.clone()]) {
                let code = format!("x = {quote}assets/{spelling}{quote};");
                prop_assert_eq!(replace(&code, &map), format!("x = {quote}/url{quote};"));
            }
        }

        #[test]
        fn replacing_twice_is_replacing_once(
            pieces in proptest::collection::vec(
                prop::sample::select(vec![
                    "assets/", "a.png", "a.png.bak", "\"", " ", "../", "./", "/", "my", "?", "画", "b",
                ]), 0..20),
        ) {
            let map = map(&[("a.png", "https://x/1"), ("b", "https://x/2")]);
            let once = replace(&pieces.concat(), &map).into_owned();
            prop_assert_eq!(replace(&once, &map), once.as_str());
        }

        #[test]
        fn everything_but_the_references_stays(
            pieces in proptest::collection::vec(
                prop::sample::select(vec!["'assets/a.png'", "assets/a.png.bak ", "x ", "画 ", "'"]), 0..20),
        ) {
            let map = map(&[("a.png", "/url")]);
            let text = pieces.concat();
            // With a marker as the URL that occurs nowhere else, replacing it by the name gives the
            // original text.
            let replaced = replace(&text, &map).into_owned();
            prop_assert_eq!(replaced.replace("/url", "assets/a.png"), text);
        }
    }
}
