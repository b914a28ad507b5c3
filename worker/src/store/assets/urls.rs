//! The map from names of assets to URLs, which a client sends with a game's code.
//!
//! The URLs are put into code of several languages, between quotes and brackets of that code. So a
//! URL must not contain characters that could end any of these, and must not be one that a browser
//! would run.

use std::collections::BTreeMap;

use super::replace::Replacer;
use crate::types::{FileName, FileNameError};

/// The largest number of names in a map.
pub(super) const MAX_NAMES: usize = 1000;
/// The longest URL, in bytes.
pub(super) const MAX_URL_BYTES: usize = 2048;

/// Why a map is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// The map has more than `MAX_NAMES` names.
    #[error("at most {MAX_NAMES} names")]
    TooMany,
    /// A key is not a valid name of a file.
    #[error("{name:?} {reason}")]
    Name {
        /// The key.
        name: String,
        /// What is wrong with it.
        reason: FileNameError,
    },
    /// A key has folders before the name. It would be a guess which asset is meant.
    #[error("{0:?} must be a name without folders")]
    Folders(String),
    /// A value is not a URL that may be put into code.
    #[error("the URL of {name:?} {reason}")]
    Url {
        /// The key.
        name: String,
        /// What is wrong with the value.
        reason: &'static str,
    },
}

/// Checked names of assets and their URLs, with a prepared search for the names.
#[derive(Debug)]
pub struct AssetUrls {
    pub(super) replacer: Option<Replacer>,
}

impl AssetUrls {
    /// Checks a map of names to URLs.
    pub fn new(map: BTreeMap<String, String>) -> Result<Self, UrlError> {
        if map.len() > MAX_NAMES {
            return Err(UrlError::TooMany);
        }
        let mut checked = Vec::with_capacity(map.len());
        for (name, url) in map {
            let parsed = name.parse::<FileName>();
            match parsed {
                Err(reason) => return Err(UrlError::Name { name, reason }),
                Ok(parsed) if parsed.as_str() != name => return Err(UrlError::Folders(name)),
                Ok(parsed) => {
                    if let Err(reason) = check_url(&url) {
                        return Err(UrlError::Url { name, reason });
                    }
                    checked.push((parsed, url));
                }
            }
        }
        if checked.is_empty() {
            return Ok(Self { replacer: None });
        }
        Ok(Self { replacer: Some(Replacer::new(checked)) })
    }
}

/// Checks a URL. It must begin with `http://` or `https://`, or be an absolute path on the page's
/// server.
fn check_url(url: &str) -> Result<(), &'static str> {
    if url.is_empty() || url.len() > MAX_URL_BYTES {
        return Err("must have 1 to 2048 bytes");
    }
    let plain = |b: u8| b.is_ascii_graphic() && !b"\"'`<>(){}[]\\|^$*,;".contains(&b);
    if !url.bytes().all(plain) {
        return Err("has a character that must be percent-encoded");
    }
    if url.contains('#') {
        return Err("must not have a fragment");
    }
    let after_scheme = ["https://", "http://"].iter().find_map(|scheme| {
        let start = url.get(..scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then(|| url.get(scheme.len()..)).flatten()
    });
    match after_scheme {
        Some(rest) if rest.starts_with(['/', '?', ':', '@']) || rest.is_empty() => {
            Err("has no host")
        }
        // A URL may contain a password, which readers of the code must not get.
        Some(rest) if rest.split(['/', '?']).next().is_some_and(|host| host.contains('@')) => {
            Err("must not have a user")
        }
        Some(_) => Ok(()),
        None if url.starts_with('/') && !url.starts_with("//") => Ok(()),
        None => Err("must begin with https://, http:// or one slash"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_url(url: &str) -> Result<(), UrlError> {
        AssetUrls::new(BTreeMap::from([("a.png".to_owned(), url.to_owned())])).map(drop)
    }

    #[test]
    fn takes_addresses_and_paths() {
        for url in [
            "https://cdn.example.com/a.png",
            "http://127.0.0.1:8000/get_asset?user_id=1&asset_id=2",
            "HTTPS://EXAMPLE.COM",
            "/get_asset?user_id=1&asset_id=2",
            "/%E7%94%BB.png",
        ] {
            assert_eq!(with_url(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn refuses_what_could_run_or_break_out() {
        let long = format!("https://x/{}", "a".repeat(MAX_URL_BYTES));
        for url in [
            "",
            "javascript:alert(1)",
            "data:text/html,x",
            "//evil.example/a.png",
            "a.png",
            "../a.png",
            "ftp://x/a.png",
            "https://",
            "https:///a.png",
            "https://user:password@host/a.png",
            "https://x/a.png#top",
            "https://x/\"onload=alert(1)",
            "https://x/'",
            "https://x/a b",
            "https://x/</script>",
            "https://x/${y}",
            "https://x/)",
            "https://x/\\",
            "https://x/画.png",
            "https://x/\n",
            &long,
        ] {
            assert!(matches!(with_url(url), Err(UrlError::Url { .. })), "{url}");
        }
    }

    #[test]
    fn refuses_names_that_are_none_and_maps_without_end() {
        let of = |name: &str| BTreeMap::from([(name.to_owned(), "/x".to_owned())]);
        assert!(matches!(AssetUrls::new(of("")), Err(UrlError::Name { .. })));
        assert!(matches!(AssetUrls::new(of(".env")), Err(UrlError::Name { .. })));
        assert!(matches!(AssetUrls::new(of("a/b.png")), Err(UrlError::Folders(_))));
        let many = (0..=MAX_NAMES).map(|n| (format!("{n}.png"), "/x".to_owned()));
        assert!(matches!(AssetUrls::new(many.collect()), Err(UrlError::TooMany)));
    }
}
