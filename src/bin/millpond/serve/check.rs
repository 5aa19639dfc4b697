//! `millpond check`: everything that can be checked without binding an endpoint.

use std::process::ExitCode;
use std::time::SystemTime;

use millpond::{Bind, BindOptions, Service};

use super::admin::{self, CommandTarget};
use super::build::{check_access_log, plan};
use super::load::{load, passed_name};
use super::{reopen, tls};
use crate::failure::Failure;
use crate::os::stdout;
use crate::os::user::User;
use crate::settings::{self, Flags};
use crate::sites::routing::listener_sites;

/// Checks the settings, opens roots and files of users, and binds nothing.
pub(crate) fn check(flags: &Flags, print: bool) -> Result<ExitCode, Failure> {
    let mut loaded = load(flags)?;
    check_access_log(&loaded.settings)?;
    if let Some(user) = &loaded.settings.user {
        let warnings = reopen::warnings_as(&User::find(user)?, &loaded)?;
        loaded.warnings.extend(warnings);
    }
    // The sockets that a service manager would pass are not there to be checked.
    let binds = |endpoint: Option<&str>| {
        let Some(text) = endpoint else { return Ok(Vec::new()) };
        let is_passed = passed_name(&tls::without_tls(&BindOptions::split(text)?.0)).is_some();
        Ok(if is_passed { Vec::new() } else { vec![Bind::to(text)] })
    };
    let tls = tls::load(&loaded.settings)?;
    let listeners = listener_sites(&loaded, false)?;
    if let Some(tls) = &tls {
        tls::check_validity(tls, SystemTime::now())?;
        loaded.warnings.extend(tls::expiry_warnings(tls, SystemTime::now()));
    }
    loaded.warnings.extend(tls::warnings(&loaded, tls.as_ref(), &listeners));
    let (builder, _) = plan(&loaded, &listeners, (None, tls.as_ref()), binds)?;
    let builder = admin::configure(builder, &loaded.settings, &CommandTarget::default())?;
    builder.service(Service::echo()).check()?;
    let text = if print {
        settings::print::print(&loaded)
    } else {
        let warnings: String = loaded.warnings.iter().map(|w| format!("warning: {w}\n")).collect();
        format!("{warnings}the configuration is valid\n")
    };
    stdout::print(text.as_bytes()).map(|_| ExitCode::SUCCESS)
}
