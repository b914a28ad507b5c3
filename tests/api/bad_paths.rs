//! Queries that try to leave the project: refused before the file system is touched.

use std::fmt::Write as _;

use harness::{Ids, Setup, Worker};

use crate::raw::Raw;
use crate::support::{ID, everything, head, query, refused};

/// Asks by hand, because HTTP clients clean what they send.
async fn get(worker: &Worker, target: &str) -> harness::Answer {
    let request = format!("{}\r\n", head("GET", target));
    Raw::ask(worker, request).await.into_answer()
}

/// Every byte as `%xx`.
fn encoded(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "%{byte:02x}").expect("a String takes everything");
        text
    })
}

#[tokio::test]
async fn no_spelling_of_a_path_leads_out_of_the_project() {
    let worker = Setup::default().start().await;
    let project = worker.data().join(format!("users/{ID}/projects/{ID}/folder"));
    std::fs::create_dir_all(&project).unwrap();
    std::fs::create_dir(worker.data().join("secret")).unwrap();
    std::fs::write(worker.data().join("secret/key.txt"), "key").unwrap();
    let before = everything(&worker).await;
    let long_name = "a".repeat(256);
    let long_path = "a/".repeat(600);
    let deep = format!("{}a", "a/".repeat(32));
    let texts = [
        "",
        ".",
        "..",
        "...",
        "/",
        "//",
        "/etc/passwd",
        "//etc/passwd",
        "../../../../secret/key.txt",
        "folder/../../../../../secret/key.txt",
        "folder/./x",
        "./index.html",
        "folder/",
        "folder//x",
        "..\\..\\..\\secret\\key.txt",
        "folder\\x",
        "\\\\host\\share",
        "C:\\windows\\win.ini",
        "c:/windows/win.ini",
        "~/x",
        "~root/x",
        ".git/config",
        "folder/.git/HEAD",
        ".env",
        ".ssh/id_ed25519",
        ".Style-pending.json",
        "folder/.style-pending.json",
        ".style-pending.json/x",
        "x\0.html",
        "\0",
        "index.html\0",
        "a\nb",
        "a\r\nSet-Cookie: x",
        "a\x7f",
        "a\u{85}",
        "a\u{202e}lmth.exe",
        "a\u{2066}b",
        "\u{feff}index.html",
        "a\u{200e}",
        "a\u{2028}b",
        " index.html",
        "index.html ",
        "index.html.",
        "\u{3000}a",
        "a/ /b",
        long_name.as_str(),
        long_path.as_str(),
        deep.as_str(),
    ];
    for text in texts {
        let target = format!("/get_file?{}", query(&encoded(text.as_bytes())));
        let answer = get(&worker, &target).await;
        assert_eq!(refused(&worker, &answer, text), 400, "{text:?}");
        assert!(answer.text().contains("path: "), "{}", answer.text());
    }
    assert_eq!(everything(&worker).await, before);
}

#[tokio::test]
async fn encodings_are_undone_once_and_strictly() {
    let worker = Setup::default().start().await;
    let before = everything(&worker).await;
    for (path, expected) in [
        ("%2e%2e/%2e%2e/secret", 400),
        ("..%2f..%2fsecret", 400),
        ("%2E%2E%5Csecret", 400),
        // Bytes that are no UTF-8, overlong forms of '.' and '/' among them.
        ("%c0%ae%c0%ae%c0%af", 400),
        ("%e0%80%ae", 400),
        ("%f0%80%80%ae", 400),
        ("%c1%9c", 400),
        ("%ff", 400),
        ("%ed%a0%80", 400),
        // Broken encodings.
        ("%", 400),
        ("%2", 400),
        ("%zz", 400),
        ("a%+b", 400),
        ("%u002e%u002e", 400),
        ("%00", 400),
        ("a%0ab", 400),
        // Decoded once, these are harmless names that do not exist.
        ("%252e%252e%252fsecret", 404),
        ("%25c0%25ae", 404),
        ("&#46;&#46;/x", 404),
        ("%ef%bc%8e%ef%bc%8e%ef%bc%8fsecret", 404),
        ("%e2%80%a5%e2%88%95secret", 404),
        ("%EF%BC%8Fetc%EF%BC%8Fpasswd", 404),
    ] {
        let target = format!("/get_file?{}", query(path));
        let target = target.replace("&#46;", "%26%2346;");
        let answer = get(&worker, &target).await;
        assert_eq!(refused(&worker, &answer, path), expected, "{path}");
    }
    assert_eq!(everything(&worker).await, before);
}

#[tokio::test]
async fn parameters_must_be_there_once_and_well_formed() {
    let worker = Setup::default().start().await;
    let before = everything(&worker).await;
    let many: String = (0..3000).fold(String::new(), |text, n| format!("{text}&p{n}"));
    let queries = [
        String::new(),
        "?".to_owned(),
        "?&&&".to_owned(),
        format!("?user_id={ID}"),
        format!("?project_id={ID}"),
        format!("?user_id=&project_id={ID}"),
        format!("?user_id&project_id={ID}"),
        format!("?USER_ID={ID}&project_id={ID}"),
        format!("?user_id={ID}&project_id={ID}&project_id={ID}"),
        format!("?user_id={ID}&project_id={ID}&%75ser_id={ID}"),
        format!("?user_id={ID}&project_id={ID}&%ff=1"),
        format!("?user_id={ID}&project_id={ID}{many}"),
        format!("?user_id={ID}/..&project_id={ID}"),
        format!("?user_id={{{ID}}}&project_id={ID}"),
        format!("?user_id={ID}&project_id=urn:uuid:{ID}"),
        format!("?user_id={ID}&project_id={}", ID.replace('-', "")),
        format!("?user_id={ID}&project_id=%20{ID}"),
        format!("?user_id={ID}&project_id={ID}+"),
        format!("?user_id={ID}&project_id={ID}%00"),
        format!("?user_id={ID}&project_id={}", ID.replacen('6', "%EF%BC%96", 1)),
        format!("?user_id=..%2f..%2f..&project_id={ID}"),
    ];
    for endpoint in ["/get_file", "/list_files"] {
        for query in &queries {
            let target = format!("{endpoint}{query}");
            let answer = get(&worker, &target).await;
            assert_eq!(refused(&worker, &answer, &target), 400, "{target}");
        }
    }
    assert_eq!(everything(&worker).await, before);
}

#[tokio::test]
async fn reading_what_is_not_there_makes_nothing() {
    let worker = Setup::default().start().await;
    let before = everything(&worker).await;
    let ids = Ids::new();
    for path in ["index.html", "a/b.png", ".style-pending.json"] {
        let answer = worker.get_file(ids, path).await;
        assert_eq!(refused(&worker, &answer, path), 404);
    }
    assert_eq!(worker.list_files(ids).await.status, 404);
    assert_eq!(everything(&worker).await, before);
}
