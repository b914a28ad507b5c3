//! The hostile values that are sent in every parameter: those of `corpus/*.txt`, and some that are
//! too long for a file.

/// A hostile value, and the status with which it is refused as a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Payload {
    pub(crate) status: u16,
    pub(crate) bytes: Vec<u8>,
}

impl Payload {
    /// The value in a printable form, for messages.
    pub(crate) fn shown(&self) -> String {
        let shown = self.bytes.escape_ascii().to_string();
        shown.chars().take(100).collect()
    }
}

/// Values before any encoding.
pub(crate) fn paths() -> Vec<Payload> {
    let mut all = read(include_str!("corpus/paths.txt"));
    let bad = |text: String| Payload { status: 400, bytes: text.into_bytes() };
    all.extend([
        bad(String::new()),
        bad("a".repeat(256)),
        bad("画".repeat(86)),
        bad("a/".repeat(600)),
        bad(format!("{}a", "a/".repeat(32))),
        bad(format!("{}etc/passwd", "../".repeat(300))),
        bad("a".repeat(20_000)),
        bad(format!("{}/../index.html", "a".repeat(4096))),
        bad(format!("index.html{}", "\0".repeat(3000))),
        bad("\u{202e}".repeat(300)),
    ]);
    all
}

/// Values that are put into a query as they are.
pub(crate) fn encodings() -> Vec<Payload> {
    read(include_str!("corpus/encodings.txt"))
}

fn read(text: &str) -> Vec<Payload> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with("# "));
    lines
        .map(|line| {
            let (status, value) = line.split_once(' ').expect("a status and a value");
            let status = status.parse().expect("a status");
            assert!(matches!(status, 400 | 404), "{line}");
            Payload { status, bytes: unescape(value) }
        })
        .collect()
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut chars = text.chars();
    let mut utf8 = [0; 4];
    while let Some(c) = chars.next() {
        if c != '\\' {
            bytes.extend(c.encode_utf8(&mut utf8).as_bytes());
            continue;
        }
        match chars.next().expect("something is escaped") {
            'n' => bytes.push(b'\n'),
            'r' => bytes.push(b'\r'),
            't' => bytes.push(b'\t'),
            '0' => bytes.push(0),
            '\\' => bytes.push(b'\\'),
            'x' => {
                let digits: String = chars.by_ref().take(2).collect();
                bytes.push(u8::from_str_radix(&digits, 16).expect("two digits"));
            }
            'u' => {
                let digits: String = chars.by_ref().skip(1).take_while(|c| *c != '}').collect();
                let code = u32::from_str_radix(&digits, 16).expect("digits");
                let c = char::from_u32(code).expect("a character");
                bytes.extend(c.encode_utf8(&mut utf8).as_bytes());
            }
            other => panic!("\\{other} in {text}"),
        }
    }
    bytes
}

#[test]
fn escapes_are_undone() {
    assert_eq!(unescape(r"a\\\0\n\x1b\xff\u{ff0e}b"), b"a\\\0\n\x1b\xff\xef\xbc\x8eb");
    assert!(paths().len() > 250 && encodings().len() > 50);
}
