//! The settings of the process: its flags, its environment, its file.

use millpond::BindOptions;
use millpond::net::Endpoint;

use super::tls;
use crate::failure::{Failure, code, one_line};
use crate::settings::{AUTO, AccessLogFormat, Flags, Loaded, Origin, bytes};

/// Loads the settings and checks the endpoints, as far as that needs no socket and no other file.
pub(super) fn load(flags: &Flags) -> Result<Loaded, Failure> {
    let variables: Vec<_> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, bytes::text(&value))))
        .filter(|(name, _)| name.starts_with("MILLPOND_"))
        .collect();
    let mut loaded = Loaded::new(flags, &variables)?;
    // A file without a format turns the access log on.
    if loaded.settings.access_log.file.is_some()
        && loaded.origin("access_log.format") == Origin::Default
    {
        loaded.settings.access_log.format = AccessLogFormat::Combined;
    }
    for text in &loaded.settings.bind {
        check_endpoint(text, &loaded.origin("bind"))?;
        check_certificate(text, &loaded, &loaded.origin("bind"))?;
    }
    for (index, site) in loaded.settings.sites.iter().enumerate() {
        for text in &site.bind {
            check_endpoint(text, &loaded.site_origin(index, "bind"))?;
            check_certificate(text, &loaded, &loaded.site_origin(index, "bind"))?;
        }
    }
    if let Some(text) = loaded.settings.admin.endpoint.as_deref().filter(|text| *text != AUTO) {
        check_endpoint(text, &loaded.origin("admin.endpoint"))?;
    }
    Ok(loaded)
}

/// Checks the syntax of an endpoint.
fn check_endpoint(text: &str, origin: &Origin) -> Result<(), Failure> {
    let parse = || {
        let (text, _) = BindOptions::split(text)?;
        let text = tls::without_tls(&text);
        match passed_name(&text) {
            Some(_) => Ok(()),
            None => text.parse::<Endpoint>().map(drop),
        }
    };
    parse().map_err(|error| {
        let (code, place) = place(origin);
        let hint = error.hint().unwrap_or_default().to_owned();
        Failure::new(code, format!("{place}{}", one_line(&error))).with_hint(hint)
    })
}

/// Checks that an endpoint with TLS has a certificate.
fn check_certificate(text: &str, loaded: &Loaded, origin: &Origin) -> Result<(), Failure> {
    if !tls::is_tls(text) || tls::has_certificate(&loaded.settings) {
        return Ok(());
    }
    let (code, place) = place(origin);
    Err(Failure::new(code, format!("{place}{text} has no certificate")).with_hint(
        "--tls-cert and --tls-key name its files, or tls = { cert = …, key = … } in a [[site]]; \
         for tests, `mkcert localhost` makes a pair",
    ))
}

/// The exit code for an error at this place, and the beginning of its message.
fn place(origin: &Origin) -> (u8, String) {
    match origin {
        Origin::File(..) | Origin::Variable(_) => (code::CONFIG, format!("{origin}: ")),
        Origin::Flag(_) | Origin::Default => (code::USAGE, String::new()),
    }
}

/// The part `NAME` of an endpoint `fd:NAME`, a socket that the service manager passes.
pub(super) fn passed_name(endpoint: &str) -> Option<&str> {
    let name = endpoint.strip_prefix("fd:")?;
    Some(name.strip_prefix("//").unwrap_or(name))
}
