//! The part of a file that a request asks for (RFC 9110, section 14).
//!
//! A request for one range gets that range. A request for several ranges gets the whole file: a
//! server may ignore them (section 14.2), no browser asks for several ranges of media, and
//! attackers have used many small ranges to keep servers busy. Units other than bytes and malformed
//! headers are ignored too.

use axum::http::HeaderMap;
use axum::http::header::RANGE;
use http_range_header::{EndPosition, RangeUnsatisfiableError, StartPosition, parse_range_header};

/// The part of a file that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The whole file.
    Whole,
    /// The bytes from `first` to `last`, both included.
    Of {
        /// The first byte.
        first: u64,
        /// The last byte, at least `first`.
        last: u64,
    },
    /// Nothing: the range contains no byte of the file.
    Nothing,
}

/// The part of a file of `size` bytes that the headers ask for.
pub(super) fn part(headers: &HeaderMap, size: u64) -> Part {
    let mut fields = headers.get_all(RANGE).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else {
        return Part::Whole;
    };
    let Ok(field) = field.to_str() else {
        return Part::Whole;
    };
    let asked = match parse_range_header(field.trim()) {
        Ok(asked) => asked.ranges,
        // A well-formed range of the last zero bytes.
        Err(RangeUnsatisfiableError::ZeroSuffix) if !field.contains(',') => return Part::Nothing,
        Err(_) => return Part::Whole,
    };
    let [one] = asked.as_slice() else {
        return Part::Whole;
    };
    let (first, last) = match (one.start, one.end) {
        // Any number of last bytes of an empty file is the whole file, which no `Content-Range` can
        // express.
        (StartPosition::FromLast(_), _) if size == 0 => return Part::Whole,
        (StartPosition::FromLast(count), _) => (size.saturating_sub(count), size - 1),
        (StartPosition::Index(first), EndPosition::Index(last)) if last < first => {
            return Part::Whole;
        }
        (StartPosition::Index(first), _) if first >= size => return Part::Nothing,
        (StartPosition::Index(first), EndPosition::Index(last)) => (first, last.min(size - 1)),
        (StartPosition::Index(first), EndPosition::LastByte) => (first, size - 1),
    };
    Part::Of { first, last }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn part_of(field: &str, size: u64) -> Part {
        let Ok(value) = HeaderValue::from_str(field) else {
            return Part::Whole;
        };
        part(&HeaderMap::from_iter([(RANGE, value)]), size)
    }

    #[test]
    fn each_form_means_what_the_standard_says() {
        let of = |first, last| Part::Of { first, last };
        for (field, expected) in [
            ("bytes=0-0", of(0, 0)),
            ("bytes=0-499", of(0, 499)),
            ("bytes=500-999", of(500, 999)),
            ("bytes=999-", of(999, 999)),
            ("bytes=0-", of(0, 999)),
            ("bytes=-1", of(999, 999)),
            ("bytes=-5000", of(0, 999)),
            ("bytes=900-5000", of(900, 999)),
            ("bytes=1000-", Part::Nothing),
            ("bytes=1000-1000", Part::Nothing),
            ("bytes=18446744073709551615-", Part::Nothing),
            ("bytes=-0", Part::Nothing),
            ("bytes=5-4", Part::Whole),
            ("bytes=0-1,5-6", Part::Whole),
            ("bytes=0-1,-0", Part::Whole),
            ("bytes=99999999999999999999-", Part::Whole),
            ("bytes=", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes=a-b", Part::Whole),
            ("bytes=0x1-2", Part::Whole),
            ("bytes=--1", Part::Whole),
            ("lines=0-1", Part::Whole),
            ("bytes 0-1", Part::Whole),
            ("", Part::Whole),
        ] {
            assert_eq!(part_of(field, 1000), expected, "{field}");
        }
    }

    #[test]
    fn an_empty_file_has_no_parts() {
        for (field, expected) in [
            ("bytes=0-", Part::Nothing),
            ("bytes=0-0", Part::Nothing),
            ("bytes=-1", Part::Whole),
            ("bytes=-0", Part::Nothing),
        ] {
            assert_eq!(part_of(field, 0), expected, "{field}");
        }
    }

    #[test]
    fn a_field_that_stands_twice_is_ignored() {
        let values = ["bytes=0-0", "bytes=1-1"].map(HeaderValue::from_static);
        let headers: HeaderMap = values.into_iter().map(|value| (RANGE, value)).fold(
            HeaderMap::new(),
            |mut headers, (name, value)| {
                headers.append(name, value);
                headers
            },
        );
        assert_eq!(part(&headers, 1000), Part::Whole);
    }

    proptest! {
        #[test]
        fn a_part_is_always_within_the_file(field in "(bytes=)?[0-9,= -]{0,40}", size in 0..2000_u64) {
            if let Part::Of { first, last } = part_of(&field, size) {
                prop_assert!(first <= last && last < size);
            }
        }
    }
}
