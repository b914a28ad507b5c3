//! Removes secrets from texts of an API before they reach a sandbox.
//!
//! An error of an API may repeat parts of the request: a key, a token, or the secret path of a
//! proxy. The CLI shows errors to the author of the prompt.

use crate::types::Secret;

/// The text that replaces a secret. It needs no escaping in JSON.
const MARK: &str = "[removed]";
/// Parts of a path that are at least this long, in bytes, are removed also by themselves. Shorter
/// ones are words such as `api`, which occur in errors for other reasons.
const LEAST_PART_BYTES: usize = 12;

/// The texts that must not be shown. There are only a few; the longest comes first.
#[derive(Clone, Default)]
pub(crate) struct Redactor(Vec<String>);

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redactor(…)")
    }
}

impl Redactor {
    /// Makes a redactor that removes these texts, also in lower case and in upper case.
    pub(crate) fn new<'s>(texts: impl IntoIterator<Item = &'s str>) -> Self {
        let texts = texts.into_iter().filter(|text| !text.is_empty());
        let forms =
            |text: &str| [text.to_owned(), text.to_ascii_lowercase(), text.to_ascii_uppercase()];
        let mut all: Vec<String> = texts.flat_map(forms).collect();
        all.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        all.dedup();
        Self(all)
    }

    /// The text with the secrets replaced.
    pub(crate) fn clean(&self, text: &[u8]) -> Vec<u8> {
        let mut text = text.to_vec();
        for hidden in &self.0 {
            if memchr::memmem::find(&text, hidden.as_bytes()).is_some() {
                text = without(&text, hidden.as_bytes());
            }
        }
        text
    }
}

fn without(text: &[u8], hidden: &[u8]) -> Vec<u8> {
    let mut cleaned = Vec::with_capacity(text.len());
    let mut from = 0;
    for at in memchr::memmem::find_iter(text, hidden) {
        cleaned.extend_from_slice(text.get(from..at).unwrap_or_default());
        cleaned.extend_from_slice(MARK.as_bytes());
        from = at + hidden.len();
    }
    cleaned.extend_from_slice(text.get(from..).unwrap_or_default());
    cleaned
}

/// The texts by which the path of an address could be shown: as it is, as some programs write it in
/// JSON, and each long part of it.
pub(crate) fn of_path(url: &Secret) -> Vec<String> {
    let Ok(url) = reqwest::Url::parse(url.expose()) else {
        return Vec::new();
    };
    let path = url.path().trim_end_matches('/');
    if path.is_empty() {
        return Vec::new();
    }
    let parts = path.split('/').filter(|part| part.len() >= LEAST_PART_BYTES).map(str::to_owned);
    [path.to_owned(), path.replace('/', "\\/")].into_iter().chain(parts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(url: &str, text: &str) -> String {
        let texts = of_path(&Secret::new(url));
        let redactor = Redactor::new(texts.iter().map(String::as_str).chain(["sk-ant-1"]));
        String::from_utf8(redactor.clean(text.as_bytes())).unwrap()
    }

    #[test]
    fn a_path_is_taken_out_however_it_is_written() {
        let url = "https://host/a/0123456789abcdef";
        for text in [
            "no such endpoint: POST /a/0123456789abcdef/v1/messages",
            r"no such endpoint: POST \/a\/0123456789abcdef\/v1\/messages",
            "client 0123456789ABCDEF is not known",
            "key sk-ant-1",
        ] {
            let shown = cleaned(url, text);
            assert!(shown.contains(MARK), "{shown}");
            assert!(!shown.to_lowercase().contains("0123456789abcdef") && !shown.contains("sk-"));
        }
    }

    #[test]
    fn short_words_of_a_path_stay_where_the_cli_learns_from_them() {
        let text = "Unexpected value(s) `x` for the `anthropic-beta` header";
        assert_eq!(cleaned("https://host/anthropic", text), text);
        assert_eq!(cleaned("https://host", text), text);
        assert_eq!(Redactor::default().clean(b"x"), b"x");
    }
}
