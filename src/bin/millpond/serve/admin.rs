//! The admin endpoint of the daemon: where it is, its token, and what its commands do. The agent's
//! endpoint.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use millpond::{AdminCommand, Builder};

use crate::failure::{Failure, code};
use crate::os::logging;
use crate::os::signals::{Event, EventSender};
use crate::settings::Settings;

/// The most bytes of a token file that are read. A longer one has no valid token.
const TOKEN_FILE_MAX: u64 = 4096;

/// Where the commands of the admin endpoint go, once the main thread receives events.
pub(super) type CommandTarget = Arc<OnceLock<EventSender>>;

/// The endpoint of the settings.
pub(super) fn endpoint(settings: &Settings) -> Option<String> {
    settings.admin.resolved(std::env::var("RUNTIME_DIRECTORY").ok().as_deref())
}

/// Adds the admin endpoint and the agent's to the server, if there are any.
pub(super) fn configure(
    builder: Builder,
    settings: &Settings,
    target: &CommandTarget,
) -> Result<Builder, Failure> {
    let builder = with_agent(builder, settings);
    let Some(endpoint) = endpoint(settings) else { return Ok(builder) };
    let target = Arc::clone(target);
    let mut builder = builder
        .admin(endpoint)
        .admin_public(settings.admin.public)
        .on_admin_command(move |command| target.get().is_some_and(|target| run(command, target)));
    if let Some(path) = &settings.admin.token_file {
        builder = builder.admin_token(read_token(path)?);
    }
    Ok(builder)
}

fn with_agent(builder: Builder, settings: &Settings) -> Builder {
    let Some(endpoint) = &settings.agent.endpoint else { return builder };
    let builder = builder.agent(endpoint).agent_public(settings.agent.public);
    match settings.agent.reference {
        Some(reference) => builder.agent_reference(reference.into()),
        None => builder,
    }
}

/// Requests what a command asks for. The main thread does it.
fn run(command: AdminCommand, target: &EventSender) -> bool {
    match command {
        AdminCommand::Drain => target.send(Event::Stop),
        AdminCommand::Reload => target.send(Event::Reload),
        AdminCommand::LogLevel(level) => logging::set_level(level),
        _ => return false,
    }
    true
}

fn read_token(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read =
        File::open(path).and_then(|file| file.take(TOKEN_FILE_MAX).read_to_string(&mut text));
    read.map_err(|error| {
        Failure::io(code::CONFIG, format!("cannot read the token file {}", path.display()), error)
    })?;
    Ok(text.trim().to_owned())
}
