//! The table of what other servers document: each row is there, and each test it names.

use std::path::{Path, PathBuf};

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_row_of_the_table_names_tests_that_there_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    sources(&root.join("tests/it"), &mut files);
    let code: String = files
        .iter()
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    let page = std::fs::read_to_string(root.join("docs/oauth2.md")).unwrap();
    for (of, rows) in [("TL", 18), ("TW", 9), ("NX", 13)] {
        for row in 1..=rows {
            let begin = format!("| {of}-{row} | ");
            let line = page.lines().find(|line| line.starts_with(&begin));
            let tests = line.and_then(|line| line.trim_end_matches(" |").rsplit_once("| "));
            let (_, tests) = tests.unwrap_or_else(|| panic!("docs/oauth2.md has no row {of}-{row}"));
            for test in tests.split(", ") {
                let name = test.trim_matches('`');
                assert!(
                    code.contains(&format!("fn {name}(")),
                    "{of}-{row}: there is no test {name}"
                );
            }
        }
    }
}
