//! The manifests of docs/kubernetes and the image of docs/container.

use crate::support::daemon::{root, run, text};

const MANIFEST: &str = include_str!("../../../docs/kubernetes/millpond.yaml");
const DOCKERFILE: &str = include_str!("../../../docs/container/Dockerfile");

/// The seconds of a line `name=10s` or `name: 10`.
#[track_caller]
fn seconds(text: &str, name: &str) -> u64 {
    let (_, rest) = text.split_once(name).unwrap();
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

#[test]
fn the_arguments_of_the_manifest_are_valid_and_the_pod_has_time_to_stop() {
    let (_, args) = MANIFEST.split_once("args:\n            - serve\n").unwrap();
    let args = args.lines().map_while(|line| line.strip_prefix("            - "));
    let dir = root(&[("index.html", "flour")]);
    let args = args.map(|arg| if arg == "/srv/www" { text(dir.path()) } else { arg });
    let all: Vec<&str> = ["check"].into_iter().chain(args).collect();
    assert!(all.len() > 5, "{all:?}");
    let checked = run(&all);
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    let stop = seconds(MANIFEST, "--lame-duck=") + seconds(MANIFEST, "--drain=");
    assert!(seconds(MANIFEST, "terminationGracePeriodSeconds: ") > stop);
}

#[test]
fn the_command_of_the_image_is_valid_and_ends_before_docker_kills_it() {
    let (_, command) = DOCKERFILE.split_once("\nCMD [").unwrap();
    let (command, _) = command.split_once("]\n").unwrap();
    let dir = root(&[("index.html", "flour")]);
    let args = command.split(", ").map(|arg| arg.trim_matches('"'));
    let args = args.map(|arg| match arg {
        "/srv/www" => text(dir.path()),
        "serve" => "check",
        other => other,
    });
    let checked = run(&args.collect::<Vec<_>>());
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    // Docker waits for 10 s.
    assert!(seconds(DOCKERFILE, "\"--drain\", \"") < 10);
}
