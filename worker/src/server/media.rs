//! Media types of files, and how long browsers may cache them.

/// The headers that follow from a file's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Media {
    /// The header `Content-Type`.
    pub(super) content_type: String,
    /// The header `Cache-Control`.
    pub(super) cache_control: &'static str,
}

impl Media {
    /// Finds the headers by the file's name.
    pub(super) fn of(path: &str) -> Self {
        let essence = mime_guess::from_path(path).first_raw().unwrap_or("application/octet-stream");
        let kind = essence.split_once('/').map_or(essence, |(kind, _)| kind);
        let cache_control = match (kind, essence) {
            // A preview must always show the newest version.
            (_, "text/html" | "application/xhtml+xml") => "no-store",
            ("image" | "audio" | "video" | "font", _) => "private, max-age=3600",
            _ => "no-cache",
        };
        let textual = kind == "text"
            || matches!(essence, "application/json" | "application/javascript" | "image/svg+xml");
        let content_type =
            if textual { format!("{essence}; charset=utf-8") } else { essence.to_owned() };
        Self { content_type, cache_control }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn games_files_have_their_types() {
        for (path, content_type, cache_control) in [
            ("index.html", "text/html; charset=utf-8", "no-store"),
            ("a/INDEX.HTM", "text/html; charset=utf-8", "no-store"),
            ("game.js", "text/javascript; charset=utf-8", "no-cache"),
            ("game.mjs", "application/javascript; charset=utf-8", "no-cache"),
            ("style.css", "text/css; charset=utf-8", "no-cache"),
            ("data.json", "application/json; charset=utf-8", "no-cache"),
            ("spec.md", "text/markdown; charset=utf-8", "no-cache"),
            ("a.png", "image/png", "private, max-age=3600"),
            ("a.jpg", "image/jpeg", "private, max-age=3600"),
            ("a.webp", "image/webp", "private, max-age=3600"),
            ("a.svg", "image/svg+xml; charset=utf-8", "private, max-age=3600"),
            ("a.mp3", "audio/mpeg", "private, max-age=3600"),
            ("a.woff2", "font/woff2", "private, max-age=3600"),
            ("a.wasm", "application/wasm", "no-cache"),
            ("noext", "application/octet-stream", "no-cache"),
        ] {
            let media = Media::of(path);
            assert_eq!(media.content_type, content_type, "{path}");
            assert_eq!(media.cache_control, cache_control, "{path}");
        }
    }
}
