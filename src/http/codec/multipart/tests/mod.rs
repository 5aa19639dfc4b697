//! The parser: a table of bodies, good and bad, each cut anywhere; and properties of any body.

mod table;

use proptest::collection::vec;
use proptest::prelude::*;

use super::{
    Boundary, MultipartEvent, MultipartFault, MultipartLimits, MultipartParser, MultipartRule,
    PartHead,
};
use table::{A, bad, good};

/// A part as it was read: name, file name, content type, data.
pub(super) type ReadPart = (String, Option<String>, Option<String>, Vec<u8>);

/// The parts that are complete, and the fault that ended the body.
type Outcome = (Vec<ReadPart>, Result<(), MultipartFault>);

fn parser(boundary: &str, limits: &MultipartLimits) -> MultipartParser {
    let content_type = format!("multipart/form-data; boundary=\"{boundary}\"");
    let boundary = Boundary::from_content_type(content_type.as_bytes()).unwrap();
    MultipartParser::new(&boundary, limits.clone())
}

fn begin(head: &PartHead) -> ReadPart {
    let content_type = head.headers.get("content-type").map(|it| it.to_str().unwrap().to_owned());
    (head.name.clone(), head.file_name.clone(), content_type, Vec::new())
}

/// Parses a body that arrives in pieces which end at `cuts`. The data of a part that is not
/// complete is the last part of the outcome, if `partial`.
fn read(
    input: &[u8],
    boundary: &str,
    cuts: impl Iterator<Item = usize>,
    limits: &MultipartLimits,
) -> Outcome {
    let mut parser = parser(boundary, limits);
    let (mut parts, mut open) = (Vec::new(), None::<ReadPart>);
    let mut start = 0;
    let mut failed = None;
    'pieces: for end in cuts.chain([input.len()]) {
        loop {
            let rest = &input[start..end];
            let (used, event) = match parser.next(rest) {
                Ok(found) => found,
                Err(fault) => {
                    failed = Some(fault);
                    break 'pieces;
                }
            };
            assert!(used <= rest.len());
            match event {
                Some(MultipartEvent::Head(head)) => {
                    assert!(open.is_none(), "a part in a part");
                    open = Some(begin(&head));
                }
                Some(MultipartEvent::Data(data)) => {
                    assert!(!data.is_empty() && data.end <= used);
                    open.as_mut().unwrap().3.extend_from_slice(&rest[data]);
                }
                Some(MultipartEvent::PartEnd) => parts.push(open.take().unwrap()),
                None if used == 0 => {
                    assert!(rest.len() <= 74, "{} bytes are left", rest.len());
                    break;
                }
                None => {}
            }
            start += used;
        }
    }
    let end = match failed {
        Some(fault) => {
            assert_eq!(parser.next(b"x"), Err(fault), "a fault stays");
            Err(fault)
        }
        None => parser.finish(),
    };
    // What was read of a part before the fault is compared, too.
    parts.extend(open);
    (parts, end)
}

fn whole(input: &[u8]) -> Outcome {
    read(input, "b", [].into_iter(), &MultipartLimits::default())
}

pub(super) fn part(name: &str, data: &str) -> ReadPart {
    (name.to_owned(), None, None, data.as_bytes().to_vec())
}

/// Checks that a body has this outcome, however its bytes are cut.
fn check(name: &str, input: &[u8], limits: &MultipartLimits, expected: &Outcome) {
    assert_eq!(read(input, "b", [].into_iter(), limits), *expected, "{name}");
    let stride = 1 + input.len() / 256;
    for cut in (0..input.len()).step_by(stride) {
        assert_eq!(read(input, "b", [cut].into_iter(), limits), *expected, "{name}, cut at {cut}");
    }
    assert_eq!(read(input, "b", 0..input.len(), limits), *expected, "{name}, byte by byte");
}

#[test]
fn well_formed_bodies_are_read_at_any_cut() {
    for (name, input, parts) in good() {
        check(name, input.as_bytes(), &MultipartLimits::default(), &(parts, Ok(())));
    }
}

#[test]
fn malformed_bodies_are_refused_at_any_cut_with_their_place() {
    for (name, input, part, rule) in bad() {
        let (parts, end) = whole(input.as_bytes());
        assert_eq!(end, Err(MultipartFault { part, rule }), "{name}");
        check(name, input.as_bytes(), &MultipartLimits::default(), &(parts, end));
    }
}

#[test]
fn a_name_that_is_not_utf_8_is_refused() {
    for (parameter, rule) in [
        (&b"name=\"\xff\""[..], MultipartRule::NameNotUtf8),
        (b"name=a; filename=\"\xff\"", MultipartRule::FileNameNotUtf8),
    ] {
        let head = [b"--b\r\nContent-Disposition: form-data; ", parameter, b"\r\n\r\n"].concat();
        assert_eq!(whole(&head).1, Err(MultipartFault { part: 1, rule }));
    }
}

#[test]
fn a_fault_names_its_place_and_its_status() {
    let (_, end) = whole(
        format!(
            "--b\r\n{A}\r\n\r\n--b\r\n{A}\r\n\r\n--b\r\nContent-Disposition: form-data\r\n\r\n"
        )
        .as_bytes(),
    );
    assert_eq!(end.unwrap_err().to_string(), "part 3: no name in Content-Disposition");
    let (_, end) = whole(b"--c--");
    assert_eq!(end.unwrap_err().to_string(), "multipart: the body ends before its last boundary");
    for (_, _, part, rule) in bad() {
        let text = MultipartFault { part, rule }.to_string();
        let is_limit = format!("{rule:?}").contains("TooLong") || text.contains("more than ");
        let is_malformed = [
            MultipartRule::PreambleTooLong(1024),
            MultipartRule::EpilogueTooLong(1024),
            MultipartRule::DispositionRepeated,
        ];
        let expected = if is_limit && !is_malformed.contains(&rule) { 413 } else { 400 };
        assert_eq!(rule.status(), expected, "{text}");
    }
}

#[test]
fn limits_are_exact_and_what_is_within_them_is_read() {
    let small = |change: fn(&mut MultipartLimits)| {
        let mut limits = MultipartLimits::default();
        change(&mut limits);
        limits
    };
    let input = format!("--b\r\n{A}\r\n12345\r\n--b--\r\n");
    let bytes = input.as_bytes();
    let all = (vec![part("a", "12345")], Ok(()));
    let refused = |part: usize, rule| Err(MultipartFault { part, rule });
    check("data", bytes, &small(|it| it.part = 5), &all);
    let cut = (vec![part("a", "1234")], refused(1, MultipartRule::PartTooLong(4)));
    check("data", bytes, &small(|it| it.part = 4), &cut);
    let none = (vec![part("a", "")], refused(1, MultipartRule::PartTooLong(0)));
    check("data", bytes, &small(|it| it.part = 0), &none);
    assert_eq!((input.len(), A.len()), (63, 42));
    check("total", bytes, &small(|it| it.total = 63), &all);
    let end = refused(0, MultipartRule::TotalTooLong(62));
    check("total", bytes, &small(|it| it.total = 62), &(all.0.clone(), end));
    let end = refused(0, MultipartRule::TotalTooLong(52));
    check("total", bytes, &small(|it| it.total = 52), &(vec![part("a", "123")], end));
    check("head", bytes, &small(|it| it.head = 44), &all);
    let end = refused(1, MultipartRule::HeadTooLong(43));
    check("head", bytes, &small(|it| it.head = 43), &(vec![], end));
    check("parts", bytes, &small(|it| it.parts = 1), &all);
    let end = refused(1, MultipartRule::TooManyParts(0));
    check("parts", bytes, &small(|it| it.parts = 0), &(vec![], end));
    check("fields", bytes, &small(|it| it.fields = 1), &all);
    check("name", bytes, &small(|it| it.name = 1), &all);
    let end = refused(1, MultipartRule::NameTooLong(0));
    check("name", bytes, &small(|it| it.name = 0), &(vec![], end));
}

/// Data that almost has the boundary `b` in it, so that the search is wrong if it can be.
fn data() -> impl Strategy<Value = Vec<u8>> {
    let pieces: &[&[u8]] = &[
        b"\r", b"\n", b"\r\n", b"-", b"--", b"b", b"\r\n-", b"\r\n--", b"--b", b"x", b"\0", b"\xff",
    ];
    vec(proptest::sample::select(pieces), 0..12).prop_map(|pieces| pieces.concat())
}

/// Whether a part with this data has a delimiter within it, which no part may have.
fn has_delimiter(data: &[u8]) -> bool {
    data.starts_with(b"--b") || memchr::memmem::find(data, b"\r\n--b").is_some()
}

/// Pieces of bodies, good and bad, so that random inputs get past the first byte.
fn fragments() -> impl Strategy<Value = Vec<u8>> {
    let pieces: &[&[u8]] = &[
        b"--b\r\n",
        b"\r\n--b\r\n",
        b"\r\n--b--\r\n",
        b"--b",
        b"--",
        b" ",
        b"\r\n",
        b"\r",
        b"\n",
        b"Content-Disposition: form-data; name=a\r\n\r\n",
        b"Content-Disposition: form-data; name=\"a\"; filename=\"b\"\r\n",
        b"Content-Type: text/plain\r\n",
        b"name=\"",
        b"\\\"",
        b";",
        b"data",
        b"\0",
        b"\xff",
    ];
    vec(proptest::sample::select(pieces), 0..16).prop_map(|pieces| pieces.concat())
}

fn small_limits() -> MultipartLimits {
    let mut limits = MultipartLimits::default();
    (limits.parts, limits.part, limits.total) = (2, 6, 150);
    (limits.head, limits.fields) = (80, 2);
    limits
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_split_gives_the_same_outcome(
        bytes in fragments(),
        mut cuts in vec(any::<prop::sample::Index>(), 0..8),
        small in any::<bool>(),
    ) {
        let limits = if small { small_limits() } else { MultipartLimits::default() };
        let mut cuts: Vec<usize> = cuts.drain(..).map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.sort_unstable();
        let whole = read(&bytes, "b", [].into_iter(), &limits);
        prop_assert_eq!(&read(&bytes, "b", cuts.into_iter(), &limits), &whole);
        prop_assert_eq!(&read(&bytes, "b", 0..bytes.len(), &limits), &whole);
    }

    #[test]
    fn what_was_encoded_decodes_to_itself(
        parts in vec((
            "[a-z \u{e4}]{0,10}",
            proptest::option::of("[a-z;=/ \u{e4}]{0,10}"),
            data().prop_filter("no delimiter", |data| !has_delimiter(data)),
        ), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut out = Vec::new();
        for (name, file_name, data) in &parts {
            out.extend_from_slice(b"--b\r\nContent-Disposition: form-data; name=\"");
            out.extend_from_slice(name.as_bytes());
            if let Some(file_name) = file_name {
                out.extend_from_slice(b"\"; filename=\"");
                out.extend_from_slice(file_name.as_bytes());
            }
            out.extend_from_slice(b"\"\r\n\r\n");
            out.extend_from_slice(data);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"--b--\r\n");
        let expected: Vec<ReadPart> = parts
            .into_iter()
            .map(|(name, file_name, data)| (name, file_name, None, data))
            .collect();
        let cut = cut.index(out.len());
        let outcome = read(&out, "b", [cut].into_iter(), &MultipartLimits::default());
        prop_assert_eq!(outcome, (expected, Ok(())));
    }

    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..200), begun in any::<bool>()) {
        let start = if begun { format!("--b\r\n{A}\r\n") } else { String::new() };
        let bytes = [start.as_bytes(), &bytes].concat();
        let _ = read(&bytes, "b", 0..bytes.len(), &small_limits());
        let _ = Boundary::from_content_type(&bytes);
    }
}
