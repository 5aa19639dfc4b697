//! Tests of how the layers of settings are merged.

use std::path::Path;
use std::time::Duration;

use log::LevelFilter;

use super::*;
use crate::failure::code;

fn flag(key: &'static str, value: &str) -> (&'static str, String, Vec<String>) {
    (key, format!("--{key}"), vec![value.to_owned()])
}

fn variable(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn a_flag_overrides_a_variable_which_overrides_the_file() {
    let path = Path::new("a.toml");
    let text = "[timeouts]\nhead = 1\nidle = \"2s\"\nbody = 3.5\n";
    let variables =
        [variable("MILLPOND_TIMEOUTS_HEAD", "4s"), variable("MILLPOND_TIMEOUTS_IDLE", "5s")];
    let flags = [flag("timeouts.head", "6s")];
    let loaded = Loaded::from_layers(Some((path, text)), &variables, &flags).unwrap();
    let timeouts = &loaded.settings.config.timeouts;
    assert_eq!(timeouts.head, Duration::from_secs(6));
    assert_eq!(timeouts.idle, Duration::from_secs(5));
    assert_eq!(timeouts.body, Duration::from_millis(3500));
    assert_eq!(timeouts.write, Duration::from_secs(30));
    assert_eq!(loaded.origin("timeouts.head"), Origin::Flag("--timeouts.head".to_owned()));
    assert_eq!(
        loaded.origin("timeouts.idle"),
        Origin::Variable("MILLPOND_TIMEOUTS_IDLE".to_owned())
    );
    assert_eq!(loaded.origin("timeouts.body"), Origin::File(path.to_owned(), 4));
    assert_eq!(loaded.origin("timeouts.write"), Origin::Default);
}

#[test]
fn an_invalid_value_is_reported_with_its_place() {
    let path = Path::new("a.toml");
    let file = Loaded::from_layers(Some((path, "[limits]\nhead = \"big\"")), &[], &[]);
    let failure = file.unwrap_err();
    assert!(
        failure
            .message()
            .starts_with("a.toml:2: limits.head: invalid value \"big\": expected a size")
    );
    assert_eq!(failure.code(), code::CONFIG);

    let variables = [variable("MILLPOND_POOL_WORKERS", "many")];
    let failure = Loaded::from_layers(None, &variables, &[]).unwrap_err();
    assert!(
        failure
            .message()
            .starts_with("MILLPOND_POOL_WORKERS: invalid value \"many\": expected a number")
    );
    assert_eq!(failure.code(), code::CONFIG);

    let failure = Loaded::from_layers(None, &[], &[flag("pool.workers", "x")]).unwrap_err();
    assert_eq!(failure.code(), code::USAGE);
}

#[test]
fn values_beyond_their_bounds_are_refused() {
    for (name, value, expected) in [
        ("MILLPOND_TIMEOUTS_IDLE", "1e19", "invalid value \"1e19\": expected a time"),
        ("MILLPOND_POOL_UPGRADES", "18446744073709551615", "invalid pool.upgrades "),
        ("MILLPOND_ACCESS_LOG_BUFFER", "18446744073709551615", "invalid access_log.buffer "),
        ("MILLPOND_OVERLOAD_REFUSE_BUDGET", "0", "invalid overload.refuse_budget 0"),
    ] {
        let failure = Loaded::new(&Flags::default(), &[variable(name, value)]).unwrap_err();
        assert_eq!(failure.code(), code::CONFIG);
        assert!(failure.message().contains(expected), "{}", failure.message());
    }
}

#[test]
fn an_unknown_variable_gets_a_warning_with_the_nearest_name() {
    let variables = [variable("MILLPOND_TIMEOUT_HEAD", "4s"), variable("MILLPOND_XYZ", "")];
    let loaded = Loaded::from_layers(None, &variables, &[]).unwrap();
    assert_eq!(
        loaded.warnings,
        [
            "unknown variable MILLPOND_TIMEOUT_HEAD: did you mean MILLPOND_TIMEOUTS_HEAD?",
            "unknown variable MILLPOND_XYZ"
        ]
    );
}

#[test]
fn each_v_is_a_level_more_and_each_q_one_less() {
    let table = [
        (0, LevelFilter::Info),
        (1, LevelFilter::Debug),
        (9, LevelFilter::Trace),
        (-1, LevelFilter::Warn),
        (-9, LevelFilter::Off),
    ];
    for (verbosity, level) in table {
        let flags = Flags { verbosity, ..Flags::default() };
        assert_eq!(Loaded::new(&flags, &[]).unwrap().settings.log.level, level);
    }
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let variables = [variable("MILLPOND_LIMITS_TARGET", "1MiB")];
    let failure = Loaded::new(&Flags::default(), &variables).unwrap_err();
    assert_eq!(failure.code(), code::CONFIG);
    assert!(failure.hint().is_some());
}
