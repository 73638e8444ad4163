use super::*;

fn user(name: &str, kind: Kind, class: DeviceClass, accounts: &[&str]) -> User {
    User { name: name.into(), kind, class, accounts: accounts.iter().map(|it| (*it).into()).collect() }
}

fn some() -> Vec<User> {
    vec![
        user("ann", Kind::Full, DeviceClass::Phone, &["10", "10m"]),
        user("Müller, Jürgen", Kind::Full, DeviceClass::Softphone, &["+4911"]),
        user("O'Hara & Co", Kind::Light, DeviceClass::Fax, &["90"]),
    ]
}

/// The problems as `line column value code`.
fn problems(text: &str) -> Vec<(Option<u64>, String, String, String)> {
    let told = read(text.as_bytes()).map_or_else(|whole| whole, |sheet| sheet.problems);
    told.into_iter().map(|it| (it.line, it.field, it.value.unwrap_or_default(), it.code)).collect()
}

fn problem(line: u64, column: &str, value: &str, code: &str) -> (Option<u64>, String, String, String) {
    (Some(line), column.into(), value.into(), code.into())
}

#[test]
fn what_is_written_reads_back_the_same() {
    // R49
    for excel in [false, true] {
        let text = write(&some(), excel);
        assert_eq!(read(text.as_bytes()).unwrap().users, some(), "{text}");
    }
    assert_eq!(
        write(&some(), false),
        "name,kind,class,accounts\nann,full,phone,10 10m\n\"Müller, Jürgen\",full,softphone,+4911\nO'Hara & Co,light,fax,90\n"
    );
    assert_eq!(
        write(&some(), true),
        "\u{feff}name;kind;class;accounts\r\nann;full;phone;10 10m\r\nMüller, Jürgen;full;softphone;+4911\r\n\
         O'Hara & Co;light;fax;90\r\n"
    );
    assert_eq!(read(write(&[], false).as_bytes()).unwrap().users, []);
}

#[test]
fn separators_marks_quotes_and_line_ends_of_all_kinds() {
    for text in [
        "name,accounts\nann,10 11\n",
        "name,accounts\r\nann,10|11\r\n",
        "\u{feff}name;accounts\r\nann;10 | 11\r\n",
        "accounts\tNAME\n10  11\tann",
        "\"name\";\"accounts\"\r\n\"ann\";\"10\n11\"\r\n",
        "sep=;\r\nname;accounts\r\n ann ; 10 11 \r\n",
        "name,accounts,kind,class\n\nann,10 11,,\n,,,\n",
    ] {
        let users = read(text.as_bytes()).unwrap().users;
        assert_eq!(users, [user("ann", Kind::Full, DeviceClass::Phone, &["10", "11"])], "{text:?}");
    }
    let quoted = read(b"name;accounts;kind\n\"a \"\"b\"\"; c\";10;LIGHT\n").unwrap().users;
    assert_eq!(
        quoted,
        [user("a \"b\"; c", Kind::Light, DeviceClass::Phone, &["10"])],
        "to be refused later, by its name"
    );
}

#[test]
fn every_problem_is_told_with_line_column_and_value() {
    // R49
    let text = "name;kind;class;accounts\r\nann;half;phone;10\r\nben;light;toaster\r\n\"two\r\nlines\";full;phone;12\r\ncarl;vull;phone;11\r\n";
    assert_eq!(
        problems(text),
        [
            problem(2, "kind", "half", "unknown-word"),
            problem(3, "", "ben", "shape"),
            problem(3, "class", "toaster", "unknown-word"),
            problem(6, "kind", "vull", "unknown-word"),
        ]
    );
    assert_eq!(
        problems("name,colour,name\nann,red,x\n"),
        [
            problem(1, "colour", "colour", "unknown-column"),
            problem(1, "name", "name", "duplicate"),
            problem(1, "accounts", "", "missing"),
        ]
    );
    assert_eq!(problems(""), [problem(1, "", "", "missing")]);
    assert_eq!(problems("sep=;\nname;accounts;kind\nann;10;x\n"), [problem(3, "kind", "x", "unknown-word")]);
    let latin = read(b"name;accounts\nann;10\nJ\xfcrgen;11\n").unwrap_err();
    assert_eq!((latin[0].line, latin[0].code.as_str()), (Some(3), "not-utf-8"));
}

#[test]
fn problems_of_users_are_found_again_in_the_sheet() {
    let sheet = read("name,accounts\nann,10\n\nben,11 1ü\n".as_bytes()).unwrap();
    let told = |field: &str| {
        let found = sheet.place(&RowProblem::new("users/acme", field, Code::Duplicate, "why"));
        found.map(|it| (it.line, it.field, it.value.unwrap_or_default()))
    };
    assert_eq!(told("users[0].name"), Some((Some(2), "name".into(), "ann".into())));
    assert_eq!(told("users[1].accounts[1]"), Some((Some(4), "accounts".into(), "1ü".into())));
    assert_eq!(told("users[1].accounts"), Some((Some(4), "accounts".into(), "11 1ü".into())));
    assert_eq!((told("users"), told("users[2].name"), told("licence.mode")), (None, None, None));
}
