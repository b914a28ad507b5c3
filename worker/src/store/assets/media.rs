//! Finds the kind of an uploaded file by its first bytes.
//!
//! Neither the name of the file nor the type that the client declares counts. The signatures are
//! those of the formats' specifications, and the list has the images, sounds and fonts that
//! browsers support. SVG is missing, because it is a document that can contain scripts. A game's
//! own SVG files are files of its project.

use serde::{Deserialize, Serialize};

/// The number of first bytes that are enough to find the kind.
pub const SNIFFED_BYTES: usize = 8 * 1024;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $media:literal, $extension:literal;)*) => {
        /// The kinds of files that are accepted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum AssetKind {
            $($(#[$doc])* #[serde(rename = $media)] $name,)*
        }

        impl AssetKind {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The media type of the kind.
            pub fn content_type(self) -> &'static str {
                match self { $(Self::$name => $media,)* }
            }

            /// The usual ending of such files.
            pub fn extension(self) -> &'static str {
                match self { $(Self::$name => $extension,)* }
            }
        }
    };
}

kinds! {
    /// PNG, animated ones included.
    Png = "image/png", "png";
    /// JPEG.
    Jpeg = "image/jpeg", "jpg";
    /// GIF.
    Gif = "image/gif", "gif";
    /// WebP.
    Webp = "image/webp", "webp";
    /// AVIF.
    Avif = "image/avif", "avif";
    /// Windows bitmap.
    Bmp = "image/bmp", "bmp";
    /// Windows icon.
    Ico = "image/x-icon", "ico";
    /// MPEG audio, layer 3.
    Mp3 = "audio/mpeg", "mp3";
    /// WAVE.
    Wav = "audio/wav", "wav";
    /// Ogg with Vorbis, Opus or FLAC.
    Ogg = "audio/ogg", "ogg";
    /// FLAC.
    Flac = "audio/flac", "flac";
    /// AAC in an MP4 container.
    M4a = "audio/mp4", "m4a";
    /// AAC by itself (ADTS).
    Aac = "audio/aac", "aac";
    /// `WebM` without pictures.
    Webm = "audio/webm", "weba";
    /// Standard MIDI file.
    Midi = "audio/midi", "mid";
    /// WOFF.
    Woff = "font/woff", "woff";
    /// WOFF 2.
    Woff2 = "font/woff2", "woff2";
    /// TrueType.
    Ttf = "font/ttf", "ttf";
    /// OpenType with CFF outlines.
    Otf = "font/otf", "otf";
}

impl AssetKind {
    /// The kind of a file with these first bytes. At most [`SNIFFED_BYTES`] are used.
    pub fn of(start: &[u8]) -> Option<Self> {
        let start = start.get(..SNIFFED_BYTES).unwrap_or(start);
        let at = |offset: usize, bytes: &[u8]| {
            start.get(offset..).is_some_and(|rest| rest.starts_with(bytes))
        };
        let kind = match start.get(..4)? {
            b"\x89PNG" if at(4, b"\r\n\x1a\n") => Self::Png,
            [0xff, 0xd8, 0xff, _] => Self::Jpeg,
            b"GIF8" if at(4, b"7a") || at(4, b"9a") => Self::Gif,
            b"RIFF" if at(8, b"WEBP") => Self::Webp,
            b"RIFF" if at(8, b"WAVE") => Self::Wav,
            // Two letters are a weak signature, so the reserved bytes and the size of the second
            // header are checked too.
            [b'B', b'M', ..] if at(6, &[0; 4]) && is_bitmap_header(start) => Self::Bmp,
            [0, 0, 1, 0] if start.get(4..6).is_some_and(|count| count != [0, 0]) => Self::Ico,
            b"OggS" => of_ogg(start)?,
            b"fLaC" => Self::Flac,
            b"MThd" if at(4, &[0, 0, 0, 6]) => Self::Midi,
            b"wOFF" => Self::Woff,
            b"wOF2" => Self::Woff2,
            [0, 1, 0, 0] | b"true" if has_tables(start) => Self::Ttf,
            b"OTTO" if has_tables(start) => Self::Otf,
            [0x1a, 0x45, 0xdf, 0xa3] => of_webm(start)?,
            [b'I', b'D', b'3', 2..=4] => Self::Mp3,
            [0xff, second, third, _] => of_frame(*second, *third)?,
            _ if at(4, b"ftyp") => of_brand(start)?,
            _ => return None,
        };
        Some(kind)
    }
}

fn is_bitmap_header(start: &[u8]) -> bool {
    // The sizes of the headers of OS/2 1.x, of Windows 3 with and without masks, and of versions 4
    // and 5.
    matches!(start.get(14..18), Some([12 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0]))
}

/// Whether the number of tables of a font is plausible: not 0 and not large.
fn has_tables(start: &[u8]) -> bool {
    matches!(start.get(4..6), Some([0, 1..=64]))
}

/// The kind of a frame of MPEG audio: layer 0 is AAC, and layer 1 is MP3.
fn of_frame(second: u8, third: u8) -> Option<AssetKind> {
    let (sync, version, layer) = (second >> 5, (second >> 3) & 3, (second >> 1) & 3);
    if sync != 7 {
        return None;
    }
    match layer {
        0 if version >= 2 && (third >> 2) & 0xf < 13 => Some(AssetKind::Aac),
        // The reserved version and the reserved rates are not MP3.
        1 if version != 1 && third >> 4 != 0xf && (third >> 2) & 3 != 3 => Some(AssetKind::Mp3),
        _ => None,
    }
}

/// The kind of an Ogg file. Ogg can contain films too, so the codec of the first stream decides.
fn of_ogg(start: &[u8]) -> Option<AssetKind> {
    let segments = usize::from(*start.get(26)?);
    let first = start.get(27 + segments..)?;
    let audio: [&[u8]; 4] = [b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex   "];
    audio.iter().any(|name| first.starts_with(name)).then_some(AssetKind::Ogg)
}

/// The kind of a `WebM` file. `WebM` can contain films too, so the codecs of its tracks decide,
/// which are named near the beginning.
fn of_webm(start: &[u8]) -> Option<AssetKind> {
    let holds = |text: &[u8]| memchr::memmem::find(start, text).is_some();
    let audio = holds(b"A_OPUS") || holds(b"A_VORBIS");
    (holds(b"webm") && audio && !holds(b"V_")).then_some(AssetKind::Webm)
}

fn of_brand(start: &[u8]) -> Option<AssetKind> {
    match start.get(8..12)? {
        b"avif" | b"avis" => Some(AssetKind::Avif),
        b"M4A " | b"M4B " => Some(AssetKind::M4a),
        // This brand stands for a family of formats. The brands that follow say which one it is.
        b"mif1" => {
            let size = usize::try_from(u32::from_be_bytes(start.first_chunk().copied()?)).ok()?;
            let brands = start.get(16..size)?;
            brands.chunks_exact(4).any(|brand| brand == b"avif").then_some(AssetKind::Avif)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_kind_is_known_by_its_first_bytes() {
        let ogg = [b"OggS\0\x02".as_slice(), &[0; 20], &[1, 30], b"OpusHead"].concat();
        let webm = [b"\x1a\x45\xdf\xa3....webm....", b"A_OPUS".as_slice()].concat();
        let bmp = [b"BM\x10\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".as_slice()].concat();
        let mif = b"\0\0\0\x18ftypmif1\0\0\0\0avifmiaf".to_vec();
        for (bytes, kind) in [
            (b"\x89PNG\r\n\x1a\n....".as_slice(), AssetKind::Png),
            (b"\xff\xd8\xff\xe0", AssetKind::Jpeg),
            (b"GIF89a", AssetKind::Gif),
            (b"RIFF\x10\0\0\0WEBPVP8 ", AssetKind::Webp),
            (b"\0\0\0\x1cftypavif\0\0\0\0", AssetKind::Avif),
            (&mif, AssetKind::Avif),
            (&bmp, AssetKind::Bmp),
            (b"\0\0\x01\0\x01\0", AssetKind::Ico),
            (b"ID3\x04\0", AssetKind::Mp3),
            (b"\xff\xfb\x90\x64", AssetKind::Mp3),
            (b"\xff\xf3\x40\xc0", AssetKind::Mp3),
            (b"RIFF\x10\0\0\0WAVEfmt ", AssetKind::Wav),
            (&ogg, AssetKind::Ogg),
            (b"fLaC\0", AssetKind::Flac),
            (b"\0\0\0\x20ftypM4A \0", AssetKind::M4a),
            (b"\xff\xf1\x50\x80", AssetKind::Aac),
            (&webm, AssetKind::Webm),
            (b"MThd\0\0\0\x06", AssetKind::Midi),
            (b"wOFFOTTO", AssetKind::Woff),
            (b"wOF2\0\x01\0\0", AssetKind::Woff2),
            (b"\0\x01\0\0\0\x0c", AssetKind::Ttf),
            (b"OTTO\0\x0a", AssetKind::Otf),
        ] {
            assert_eq!(AssetKind::of(bytes), Some(kind), "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn what_is_not_on_the_list_is_nothing() {
        let theora = [b"OggS\0\x02".as_slice(), &[0; 20], &[1, 42], b"\x80theora"].concat();
        let film = b"\x1a\x45\xdf\xa3....webm....V_VP9....A_OPUS".to_vec();
        for bytes in [
            b"".as_slice(),
            b"GIF",
            b"<!doctype html><script>",
            b"<svg xmlns=\"http://www.w3.org/2000/svg\">",
            b"<?xml version=\"1.0\"?><svg>",
            b"%PDF-1.7",
            b"PK\x03\x04",
            b"\x7fELF\x02\x01",
            b"#!/bin/sh\n",
            b"BM, said the bitmap",
            b"\0\0\0\x18ftypisom\0\0\0\0",
            b"\xff\xff\xff\xff",
            b"\0\0\0\0\0\0",
            &theora,
            &film,
        ] {
            assert_eq!(AssetKind::of(bytes), None, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn the_media_type_is_the_form_in_json_too() {
        for kind in AssetKind::ALL {
            let json = serde_json::to_string(kind).unwrap();
            assert_eq!(json, format!("\"{}\"", kind.content_type()));
            assert_eq!(serde_json::from_str::<AssetKind>(&json).unwrap(), *kind);
        }
        assert!(serde_json::from_str::<AssetKind>("\"text/html\"").is_err());
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let kind = AssetKind::of(&bytes);
            prop_assert!(kind.is_none_or(|kind| AssetKind::ALL.contains(&kind)));
        }

        #[test]
        fn text_is_never_taken(text in "[ -~\n]{0,64}") {
            // A text may begin like a real format.
            prop_assume!(!["GIF8", "RIFF", "OggS", "fLaC", "wOFF", "wOF2"].iter().any(|s| text.starts_with(s)));
            prop_assert_eq!(AssetKind::of(text.as_bytes()), None);
        }
    }
}
