//! Reading tables of the documents, because some of them are rules that the tests check.

use harness::repository_root;

/// The text of a document.
pub(crate) fn document(path: &str) -> String {
    std::fs::read_to_string(repository_root().join(path)).expect("a document of the project")
}

/// The rows of the first table in `text` whose header begins with these cells.
pub(crate) fn rows<'a>(text: &'a str, header: &[&str]) -> Vec<Vec<&'a str>> {
    let mut lines = text.lines().map(cells).skip_while(|cells| !cells.starts_with(header)).skip(2);
    let rows: Vec<_> = lines.by_ref().take_while(|cells| !cells.is_empty()).collect();
    assert!(!rows.is_empty(), "there is no table with {header:?}");
    rows
}

fn cells(line: &str) -> Vec<&str> {
    let inner = line.trim().strip_prefix('|').and_then(|line| line.strip_suffix('|'));
    inner.map_or(Vec::new(), |inner| inner.split('|').map(str::trim).collect())
}

/// The texts between backticks.
pub(crate) fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

#[test]
fn a_table_is_read_to_its_end() {
    let text = "x\n\n| a | b |\n| --- | --- |\n| `1`, `2` | z |\n| 3 | |\n\n| a | c |\n";
    assert_eq!(rows(text, &["a", "b"]), [vec!["`1`, `2`", "z"], vec!["3", ""]]);
    assert_eq!(quoted("`1`, `2` and 3"), ["1", "2"]);
}
