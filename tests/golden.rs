//! What others rely on, kept as files: a change of them is seen in a review, never by accident.
//!
//! `NANTUCKET_GOLDEN=write cargo test --test golden` writes them anew.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

use clap::CommandFactory;
use nantucket::admin::openapi;
use nantucket::cli::Cli;
use std::fs;
use std::path::Path;

#[test]
fn the_openapi_document() {
    golden("openapi.json", &openapi::text(&openapi::document()));
}

#[test]
fn the_help_of_every_command() {
    let mut root = Cli::command().term_width(100);
    root.build();
    let mut text = String::new();
    help(&mut root, "nantucket", &mut text);
    golden("cli-help.txt", &text);
}

fn help(command: &mut clap::Command, name: &str, text: &mut String) {
    *text += &format!("━━━ {name}\n\n{}\n", command.render_help().to_string().trim_end());
    for sub in command.get_subcommands_mut().filter(|sub| sub.get_name() != "help") {
        text.push('\n');
        help(sub, &format!("{name} {}", sub.get_name()), text);
    }
}

/// Compares with the file, or writes it.
fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("NANTUCKET_GOLDEN").is_some_and(|it| it == "write") {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        return;
    }
    let known = fs::read_to_string(&path).unwrap_or_default();
    let difference = known.lines().zip(text.lines()).position(|(a, b)| a != b);
    assert!(
        known == text,
        "tests/golden/{name} is not what the program says (first difference: line {}); \
         if the change is meant, write it anew with NANTUCKET_GOLDEN=write",
        difference.map_or_else(|| known.lines().count().min(text.lines().count()) + 1, |line| line + 1)
    );
}
