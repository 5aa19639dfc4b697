//! Bodies, good and bad, after the grammar of RFC 2046 §5.1.1 and RFC 7578 §4.

use super::{ReadPart, part};
use crate::http::codec::multipart::MultipartRule;
use crate::http::codec::reject::Reject;

/// The field of a part with the name `a`.
pub(super) const A: &str = "Content-Disposition: form-data; name=\"a\"\r\n";

/// Bodies with the boundary `b`, and their parts.
pub(super) fn good() -> Vec<(&'static str, String, Vec<ReadPart>)> {
    let file = |name: &str, content_type: Option<&str>, data: &str| {
        ("f".to_owned(), Some(name.to_owned()), content_type.map(str::to_owned), data.into())
    };
    let disposed =
        |value: &str| format!("--b\r\nContent-Disposition: form-data; {value}\r\n\r\n1\r\n--b--");
    vec![
        ("one part", format!("--b\r\n{A}\r\n1\r\n--b--\r\n"), vec![part("a", "1")]),
        (
            "two parts of one name",
            format!("--b\r\n{A}\r\n1\r\n--b\r\n{A}\r\n2\r\n--b--\r\n"),
            vec![part("a", "1"), part("a", "2")],
        ),
        ("no line end at the end", format!("--b\r\n{A}\r\n1\r\n--b--"), vec![part("a", "1")]),
        ("no parts", "--b--\r\n".to_owned(), vec![]),
        ("an empty part", format!("--b\r\n{A}\r\n\r\n--b--\r\n"), vec![part("a", "")]),
        (
            "an empty part whose empty line is that of the boundary",
            format!("--b\r\n{A}\r\n--b\r\n{A}\r\n2\r\n--b--\r\n"),
            vec![part("a", ""), part("a", "2")],
        ),
        (
            "a preamble and an epilogue",
            format!("for mail\r\nreaders --b\r\n--b\r\n{A}\r\n1\r\n--b--\r\n\r\nbye --b\r\n--b"),
            vec![part("a", "1")],
        ),
        ("an empty preamble line", format!("\r\n--b\r\n{A}\r\n1\r\n--b--"), vec![part("a", "1")]),
        (
            "spaces and tabs after boundaries",
            format!("--b \t\r\n{A}\r\n1\r\n--b\t\r\n{A}\r\n2\r\n--b-- \t\r\n"),
            vec![part("a", "1"), part("a", "2")],
        ),
        (
            "line ends in the data",
            format!("--b\r\n{A}\r\n\r\n\r1\n\r\n\r\r\n--b--"),
            vec![part("a", "\r\n\r1\n\r\n\r")],
        ),
        (
            "the boundary within lines of the data, or after a line feed alone",
            format!("--b\r\n{A}\r\n --b--\n--b\r--b\r\n-b\r\n--\r\n--B\r\n--b--"),
            vec![part("a", " --b--\n--b\r--b\r\n-b\r\n--\r\n--B")],
        ),
        (
            "a nested multipart is data",
            format!(
                "--b\r\n{A}Content-Type: multipart/mixed; boundary=c\r\n\r\n\
                 --c\r\n\r\nx\r\n--c--\r\n--b--"
            ),
            vec![(
                "a".to_owned(),
                None,
                Some("multipart/mixed; boundary=c".to_owned()),
                b"--c\r\n\r\nx\r\n--c--".to_vec(),
            )],
        ),
        (
            "a file",
            "--b\r\ncontent-disposition:form-data;name=f;filename=\"m.txt\"\r\n\
             content-type: text/plain\r\nX-Other: y\r\n\r\n1\r\n--b--"
                .to_owned(),
            vec![file("m.txt", Some("text/plain"), "1")],
        ),
        ("no file chosen", disposed("name=f; filename=\"\""), vec![file("", None, "1")]),
        (
            "a file name as a path",
            disposed("name=f; filename=\"C:\\dir\\..\\m.txt\""),
            vec![file("C:\\dir\\..\\m.txt", None, "1")],
        ),
        (
            "escaped quotes",
            disposed("name=f; filename=\"a\\\"b\\\\;c\""),
            vec![file("a\"b\\;c", None, "1")],
        ),
        (
            "percent signs stay",
            disposed("name=f; filename=\"a%22%0D%0A%25\""),
            vec![file("a%22%0D%0A%25", None, "1")],
        ),
        (
            "filename* is ignored",
            disposed("name=f; filename=\"a\"; filename*=UTF-8''b"),
            vec![file("a", None, "1")],
        ),
        ("UTF-8", disposed("name=f; filename=\"mühle.jpg\""), vec![file("mühle.jpg", None, "1")]),
        ("an empty name", disposed("name=\"\""), vec![part("", "1")]),
        ("other parameters", disposed("x=y;; NAME=a ;"), vec![part("a", "1")]),
        (
            "a binary transfer encoding",
            format!("--b\r\n{A}Content-Transfer-Encoding: BINARY\r\n\r\n1\r\n--b--"),
            vec![part("a", "1")],
        ),
    ]
}

/// Bodies that are refused: the part, 0 for none, and the rule.
pub(super) fn bad() -> Vec<(&'static str, String, usize, MultipartRule)> {
    use MultipartRule as Rule;
    let disposed = |value: &str| format!("--b\r\nContent-Disposition: {value}\r\n\r\n1\r\n--b--");
    let with = |line: &str| format!("--b\r\n{A}{line}\r\n\r\n1\r\n--b--");
    let name = |length| disposed(&format!("form-data; name={}", "x".repeat(length)));
    vec![
        ("nothing", String::new(), 0, Rule::EndMissing),
        ("half a boundary", "--".to_owned(), 0, Rule::EndMissing),
        ("another boundary", "--c\r\n\r\n--c--".to_owned(), 0, Rule::EndMissing),
        ("no end of a head", format!("--b\r\n{A}"), 1, Rule::EndMissing),
        ("no end of a part", format!("--b\r\n{A}\r\n1"), 1, Rule::EndMissing),
        ("no last boundary", format!("--b\r\n{A}\r\n1\r\n--b"), 1, Rule::EndMissing),
        ("one hyphen", format!("--b\r\n{A}\r\n1\r\n--b-"), 1, Rule::EndMissing),
        ("no second head", format!("--b\r\n{A}\r\n1\r\n--b\r\n"), 2, Rule::EndMissing),
        ("half a line end at the end", format!("--b\r\n{A}\r\n\r\n--b--\r"), 1, Rule::EndMissing),
        ("a long preamble", "x".repeat(1025) + "\r\n--b--", 0, Rule::PreambleTooLong(1024)),
        (
            "a long epilogue",
            "--b--\r\n".to_owned() + &"x".repeat(1025),
            0,
            Rule::EpilogueTooLong(1024),
        ),
        ("line feeds alone", format!("--b\n{}\n1\n--b--\n", A.trim_end()), 0, Rule::BoundaryLine),
        (
            "a line feed alone in a head",
            format!("--b\r\n{}\n\r\n1\r\n--b--", A.trim_end()),
            1,
            Rule::Field(Reject::BareLf),
        ),
        (
            "another boundary that begins alike",
            format!("--b\r\n{A}\r\n1\r\n--bc\r\n"),
            1,
            Rule::BoundaryLine,
        ),
        ("text after a boundary", format!("--b\r\n{A}\r\n1\r\n--b --\r\n"), 1, Rule::BoundaryLine),
        ("three hyphens", format!("--b\r\n{A}\r\n1\r\n--b---\r\n"), 0, Rule::CloseLine),
        ("text after the last boundary", "--b--x".to_owned(), 0, Rule::CloseLine),
        ("a line feed after the last boundary", "--b--\n".to_owned(), 0, Rule::CloseLine),
        ("a carriage return after a boundary", "--b\r\r\n".to_owned(), 0, Rule::BoundaryLine),
        ("an empty head", "--b\r\n\r\n1\r\n--b--".to_owned(), 1, Rule::DispositionMissing),
        (
            "a part without a head",
            "--b\r\n1\r\n--b--".to_owned(),
            1,
            Rule::Field(Reject::FieldName),
        ),
        ("a folded line", with("X: y\r\n z"), 1, Rule::Field(Reject::Folded)),
        ("a space before a colon", with("X : y"), 1, Rule::Field(Reject::SpaceBeforeColon)),
        ("a NUL in a field", with("X: \0"), 1, Rule::Field(Reject::FieldValue)),
        ("a second disposition", with(A.trim_end()), 1, Rule::DispositionRepeated),
        ("an attachment", disposed("attachment; name=a"), 1, Rule::NotDisposedAsFormData),
        ("no disposition type", disposed("name=a"), 1, Rule::NotDisposedAsFormData),
        ("no name", disposed("form-data"), 1, Rule::NameMissing),
        ("filename* alone", disposed("form-data; filename*=UTF-8''a"), 1, Rule::NameMissing),
        ("two names", disposed("form-data; name=a; name=a"), 1, Rule::DispositionSyntax),
        (
            "two file names",
            disposed("form-data; name=a; filename=a; FileName=b"),
            1,
            Rule::DispositionSyntax,
        ),
        ("no value", disposed("form-data; name"), 1, Rule::DispositionSyntax),
        ("an empty value", disposed("form-data; name="), 1, Rule::DispositionSyntax),
        ("no key", disposed("form-data; =a"), 1, Rule::DispositionSyntax),
        ("a space in a token", disposed("form-data; name=a b"), 1, Rule::DispositionSyntax),
        ("a space before a value", disposed("form-data; name= a"), 1, Rule::DispositionSyntax),
        ("an open quote", disposed("form-data; name=\"a"), 1, Rule::DispositionSyntax),
        ("an escaped end", disposed("form-data; name=\"a\\\""), 1, Rule::DispositionSyntax),
        ("text after a quote", disposed("form-data; name=\"a\"b"), 1, Rule::DispositionSyntax),
        (
            "a line end in a file name",
            disposed("form-data; name=a; filename=\"a\r\nb\""),
            1,
            Rule::Field(Reject::FieldName),
        ),
        (
            "a carriage return in a file name",
            disposed("form-data; name=a; filename=\"a\rb\""),
            1,
            Rule::Field(Reject::BareCr),
        ),
        ("a long name", name(257), 1, Rule::NameTooLong(256)),
        (
            "a long file name",
            disposed(&format!("form-data; name=a; filename={}", "x".repeat(1025))),
            1,
            Rule::FileNameTooLong(1024),
        ),
        ("two content types", with("Content-Type: a/b\r\nContent-Type: a/b"), 1, Rule::ContentType),
        ("a content type beyond ASCII", with("Content-Type: ä"), 1, Rule::ContentType),
        ("base64", with("Content-Transfer-Encoding: base64"), 1, Rule::TransferEncoding),
        ("a long head", with(&format!("X: {}", "x".repeat(8192))), 1, Rule::HeadTooLong(8192)),
        ("many fields", with(&"X: y\r\n".repeat(16)), 1, Rule::TooManyFields(16)),
        (
            "many parts",
            format!("--b\r\n{A}\r\n\r\n").repeat(65) + "--b--",
            65,
            Rule::TooManyParts(64),
        ),
    ]
}
