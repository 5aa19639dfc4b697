//! The commands that README.md and docs/ show are run, and what they print is compared.
//!
//! A fence marked `sh` has commands, and each must succeed. A fence marked `console` has commands
//! after `$ ` and what they print, where `…` matches anything. `millpond serve` runs until its
//! document ends. A document's ports are replaced by free ones, and its paths by a directory of the
//! test's own. A fence marked `toml` is a file of settings, which must be valid.

mod package;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::support::daemon::{Daemon, bare};

/// What is not run here, by the beginning of the command, and why.
const SKIPPED: &[(&str, &str)] = &[
    ("cargo test", "it is what runs this test"),
    ("cargo build --release", "it takes minutes; .ci/run builds it"),
    ("cargo install", "it downloads and installs a program"),
    (".ci/package", "it takes cargo-deb and minutes"),
    ("apt install", "it changes the machine"),
    ("install -m", "it changes the machine"),
    ("systemctl", "it needs a running systemd and an installed unit"),
];

/// Documents, each with its fences in order.
const DOCUMENTS: &[&str] = &[
    "README.md",
    "docs/admin.md",
    "docs/architecture.md",
    "docs/behind-a-balancer.md",
    "docs/configuration.md",
    "docs/contributing.md",
    "docs/databases.md",
    "docs/files.md",
    "docs/handlers.md",
    "docs/http.md",
    "docs/measurements.md",
    "docs/observability.md",
    "docs/overload.md",
    "docs/signals.md",
    "docs/sockets.md",
    "docs/systemd/README.md",
    "docs/testing.md",
    "docs/tls.md",
];

/// A fenced block of a document.
#[derive(Debug)]
struct Fence {
    /// The line of its first command, from 1.
    line: usize,
    language: String,
    text: String,
}

/// A command with the output that the document shows, if it shows any.
#[derive(Debug, PartialEq)]
struct Shown {
    command: String,
    output: Option<String>,
}

fn fences(text: &str) -> Vec<Fence> {
    let mut found = Vec::new();
    let mut open: Option<Fence> = None;
    for (index, line) in text.lines().enumerate() {
        match (line.trim_start().strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some(language), None) => {
                let language = language.trim().to_owned();
                open = Some(Fence { line: index + 2, language, text: String::new() });
            }
            (None, Some(fence)) => {
                fence.text.push_str(line);
                fence.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a fence is not closed");
    found
}

/// Whether a command goes on in the next line, within quotes or after a backslash.
fn is_open(command: &str) -> bool {
    let mut quote = None;
    for c in command.chars() {
        match quote {
            None if c == '\'' || c == '"' => quote = Some(c),
            // A comment may have an apostrophe in it.
            None if c == '#' => break,
            Some(open) if c == open => quote = None,
            _ => {}
        }
    }
    quote.is_some() || command.ends_with('\\')
}

/// The commands of a fence.
fn commands(fence: &Fence) -> Vec<Shown> {
    let console = fence.language == "console";
    let mut found: Vec<Shown> = Vec::new();
    let mut open = false;
    for line in fence.text.lines() {
        let begun = if open { None } else { line.strip_prefix("$ ") };
        match (found.last_mut(), begun) {
            (Some(last), _) if open => {
                last.command.push('\n');
                last.command.push_str(line);
            }
            (_, Some(command)) if console => {
                found.push(Shown { command: command.to_owned(), output: Some(String::new()) });
            }
            (Some(Shown { output: Some(output), .. }), None) if console => {
                output.push_str(line);
                output.push('\n');
                continue;
            }
            _ if console => panic!("line {}: {line:?} is not a command", fence.line),
            _ if line.trim().is_empty() => continue,
            _ => found.push(Shown { command: line.to_owned(), output: None }),
        }
        open = found.last().is_some_and(|shown| is_open(&shown.command));
    }
    found
}

/// Whether a text is as the document shows it: `…` matches anything within a line.
fn matches(shown: &str, text: &str) -> bool {
    let (shown, text): (Vec<_>, Vec<_>) = (shown.lines().collect(), text.lines().collect());
    shown.len() == text.len() && shown.iter().zip(text).all(|(shown, text)| is_like(shown, text))
}

fn is_like(shown: &str, text: &str) -> bool {
    let Some((first, rest)) = shown.split_once('…') else { return shown == text };
    let Some(text) = text.strip_prefix(first) else { return false };
    (0..=text.len()).filter_map(|at| text.get(at..)).any(|text| is_like(rest, text))
}

/// Runs the commands of one document.
struct Session {
    dir: tempfile::TempDir,
    /// The servers that it started, which end with it.
    servers: Vec<Daemon>,
    /// The ports that stand for those of the document, by scheme and port.
    ports: BTreeMap<(String, String), u16>,
}

impl Session {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), servers: Vec::new(), ports: BTreeMap::new() }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// The command as it is run here.
    fn adapted(&self, text: &str) -> String {
        let root = self.root();
        let mut adapted = text.replace("cargo run --release --", "millpond");
        for path in ["/tmp/", "/etc/millpond", "/run/", "/srv/"] {
            adapted = adapted.replace(path, &format!("{}{path}", root.display()));
        }
        for ((scheme, port), actual) in &self.ports {
            for host in ["localhost", "127.0.0.1", "[::]"] {
                let shown = format!("{scheme}://{host}:{port}");
                adapted = adapted.replace(&shown, &format!("{scheme}://{host}:{actual}"));
            }
        }
        adapted
    }

    fn shell(&self, command: &str) -> std::process::Command {
        let bin = Path::new(env!("CARGO_BIN_EXE_millpond")).parent().unwrap();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let mut shell = bare("sh", &["-c", command]);
        shell.current_dir(env!("CARGO_MANIFEST_DIR")).env("PATH", path);
        shell
    }

    /// Starts a server, on ports that the kernel chooses, and notes which.
    fn serve(&mut self, command: &str) {
        let mut command = self.adapted(command);
        let mut shown = Vec::new();
        let words: Vec<_> = command.split_whitespace().map(ToOwned::to_owned).collect();
        for pair in words.windows(2).filter(|pair| pair[0] == "-b") {
            // Options of an endpoint follow a `?`, which the shell has to be kept from.
            let bind = pair[1].trim_matches('\'').split('?').next().unwrap();
            shown.push(bind.to_owned());
            let (scheme, rest) = bind.split_once(':').unwrap();
            if let ("tcp" | "udp", Some((host, _))) = (scheme, rest.rsplit_once(':')) {
                command = command.replace(bind, &format!("{scheme}:{host}:0"));
            }
        }
        let mut shell = self.shell(&format!("exec {command}"));
        if shown.is_empty() {
            shown.push("tcp://[::]:8888".to_owned());
            shell.env("MILLPOND_BIND", "tcp://[::]:0");
        }
        let mut server = Daemon::start(shell);
        for bind in shown {
            let line = server.wait_for("listening on ");
            let endpoint = line.rsplit(' ').next().unwrap();
            let ((scheme, _), (_, port)) =
                (endpoint.split_once(':').unwrap(), bind.rsplit_once(':').unwrap());
            if let ("tcp" | "udp", Some((_, actual))) = (scheme, endpoint.rsplit_once(':')) {
                assert!(bind.starts_with(scheme), "{endpoint} is not {bind}");
                let key = (scheme.to_owned(), port.to_owned());
                self.ports.insert(key, actual.parse().unwrap());
            }
        }
        self.servers.push(server);
    }

    /// Runs a command to its end. It may fail only if the document shows its output.
    fn run(&self, place: &str, shown: &Shown) {
        let command = self.adapted(&shown.command);
        let output = self.shell(&format!("{{ {command}\n}} 2>&1")).output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).replace('\r', "");
        match &shown.output {
            None => assert!(output.status.success(), "{place}: {command:?} failed: {printed}"),
            Some(expected) => {
                let expected = self.adapted(expected);
                let as_shown = matches(expected.trim_end(), printed.trim_end());
                assert!(as_shown, "{place}: {command:?} prints\n{printed}instead of\n{expected}");
            }
        }
    }

    /// Checks a file of settings.
    fn check(&self, place: &str, settings: &str) {
        let settings = self.adapted(settings);
        for root in settings.lines().filter_map(|line| line.split_once("root = \"")) {
            std::fs::create_dir_all(root.1.split('"').next().unwrap()).unwrap();
        }
        std::fs::write(self.root().join("tmp/shown.toml"), &settings).unwrap();
        let command = "millpond check -c /tmp/shown.toml".to_owned();
        let shown = Shown { command, output: None };
        self.run(place, &shown);
    }
}

#[test]
fn every_command_that_the_documents_show_does_what_they_say() {
    let (mut skipped, mut compared) = (BTreeSet::new(), 0);
    for document in DOCUMENTS {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
        let mut session = Session::new();
        for directory in ["etc", "run", "srv", "tmp"] {
            std::fs::create_dir(session.root().join(directory)).unwrap();
        }
        for fence in fences(&std::fs::read_to_string(path).unwrap()) {
            let place = format!("{document}:{}", fence.line);
            match fence.language.as_str() {
                "sh" | "console" => {}
                // A part of a Cargo.toml.
                "toml" if fence.text.starts_with("[dependencies]") => continue,
                "toml" => {
                    session.check(&place, &fence.text);
                    continue;
                }
                // Code is compiled as doctests, unless it needs a crate that is not a dependency.
                // The rest is not for a program.
                // tests/it/balancer runs these.
                "haproxy" | "nginx" => continue,
                "rust" | "rust,no_run" | "rust,ignore" | "ini" | "text" => continue,
                other => panic!("{place}: the fence is marked {other:?}"),
            }
            for shown in commands(&fence) {
                let skip = SKIPPED.iter().find(|(begin, _)| shown.command.starts_with(begin));
                if let Some((begin, _)) = skip {
                    skipped.insert(*begin);
                } else if session.adapted(&shown.command).starts_with("millpond serve") {
                    session.serve(&shown.command);
                } else {
                    compared += usize::from(shown.output.is_some());
                    session.run(&place, &shown);
                }
            }
        }
    }
    // A rule that no command needs any more is out of date.
    assert_eq!(skipped.len(), SKIPPED.len(), "used were only {skipped:?}");
    assert!(compared >= 5, "only {compared} outputs are shown");
}

#[test]
fn every_document_is_run() {
    let mut found = vec!["README.md".to_owned()];
    for directory in ["docs", "docs/systemd"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
        for entry in std::fs::read_dir(path).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            // It quotes the commands of earlier versions.
            if name.ends_with(".md") && name != "changelog.md" {
                found.push(format!("{directory}/{name}"));
            }
        }
    }
    found.sort();
    assert_eq!(found, DOCUMENTS);
}

#[test]
fn a_command_may_span_lines_and_its_output_may_vary() {
    let text =
        "a\n```console\n$ say 'a\n\nb'\nout\n$ two\n```\n```sh\none  # it's here\ntwo\n```\n";
    let fences = fences(text);
    let shown = |command: &str, output: Option<&str>| Shown {
        command: command.to_owned(),
        output: output.map(ToOwned::to_owned),
    };
    assert_eq!(
        commands(&fences[0]),
        [shown("say 'a\n\nb'", Some("out\n")), shown("two", Some(""))]
    );
    assert_eq!(commands(&fences[1]), [shown("one  # it's here", None), shown("two", None)]);
    assert_eq!((fences[0].line, fences[1].line), (3, 10));
    let table =
        [("a", "a", true), ("a…c", "abc", true), ("a…", "ab", true), ("a…c", "a\nc", false)];
    for (shown, text, expected) in table {
        assert_eq!(matches(shown, text), expected, "{shown:?} {text:?}");
    }
}

/// The targets of the links of a document that lead to files.
fn links(text: &str) -> Vec<String> {
    let inline = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    // `[label]: target`, on a line of its own.
    let definitions = text.lines().filter(|line| line.starts_with('['));
    let targets = inline.chain(definitions.filter_map(|line| Some(line.split_once("]: ")?.1)));
    let files = targets.filter(|target| !target.contains("://") && !target.starts_with('#'));
    files.map(|target| target.split('#').next().unwrap().to_owned()).collect()
}

#[test]
fn every_link_leads_to_a_file() {
    for document in DOCUMENTS {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
        for link in links(&std::fs::read_to_string(&path).unwrap()) {
            assert!(path.parent().unwrap().join(&link).exists(), "{document} links to {link}");
        }
    }
}

/// The tests that a document names, as the path of a file below `tests/it`, and a function.
fn named_tests(text: &str) -> Vec<(String, Option<String>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let quoted = text.split('`').skip(1).step_by(2);
    let names = quoted.map(|quoted| quoted.split("::").collect::<Vec<_>>());
    let tests = names.filter(|path| path.len() > 1 && root.join(path[0]).is_dir());
    let name = |path: Vec<&str>| (path[..2].join("/"), path.get(2).map(|name| (*name).to_owned()));
    tests.map(name).collect()
}

#[test]
fn every_test_that_the_documents_name_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut checked = 0;
    for document in DOCUMENTS {
        let text = std::fs::read_to_string(root.join(document)).unwrap();
        for (file, function) in named_tests(&text) {
            let source =
                std::fs::read_to_string(root.join("tests/it").join(&file).with_extension("rs"));
            // Modules of the crate have the same names as some folders of tests.
            let is_test = function.as_ref().is_some_and(|name| name.matches('_').count() >= 3);
            let source = match source {
                Ok(source) => source,
                Err(error) => {
                    assert!(!is_test, "{document} names {file}: {error}");
                    continue;
                }
            };
            checked += 1;
            let has_it = function.is_none_or(|name| source.contains(&format!("fn {name}(")));
            assert!(has_it, "{document} names a test that is not in {file}");
        }
    }
    assert!(checked >= 10, "{checked}");
}

#[test]
fn the_readme_says_how_many_raw_requests_are_tested() {
    let readme = include_str!("../../README.md").split_whitespace().collect::<Vec<_>>().join(" ");
    let (before, _) = readme.split_once(" raw requests").unwrap();
    let said: usize = before.rsplit(' ').next().unwrap().parse().unwrap();
    let tried: usize = crate::http::table::CASES.iter().map(|cases| cases.len()).sum();
    assert!(said.abs_diff(tried) <= tried / 20, "README.md says {said}, and {tried} are tested");
}

#[test]
fn the_readme_says_how_many_crates_come_with_the_library() {
    let count = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO"))
            .args(["tree", "--offline", "--locked", "-e", "normal", "--prefix", "none"])
            .args(["--format", "{p}"])
            .args(arguments)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let crates: BTreeSet<_> = text.lines().map(|line| line.trim_end_matches(" (*)")).collect();
        crates.len() - 1
    };
    let readme = include_str!("../../README.md").split_whitespace().collect::<Vec<_>>().join(" ");
    for (expected, arguments) in [
        (format!("depends on {} crates", count(&["--no-default-features"])), "none"),
        (
            format!("({} crates in all)", count(&["--no-default-features", "--features", "files"])),
            "files",
        ),
        (format!("the daemon ({})", count(&[])), "the default"),
    ] {
        assert!(
            readme.contains(&expected),
            "README.md lacks {expected:?}, with features {arguments}"
        );
    }
}
