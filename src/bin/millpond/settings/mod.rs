//! [`Settings`]: what the daemon does, put together from defaults, file, variables and flags.
//!
//! Text becomes values here; nothing is opened or bound. A setting is taken from the command line,
//! else from its variable, else from the file, else it keeps its default.

pub(crate) mod bytes;
mod file;
pub(crate) mod print;
pub(crate) mod site;
pub(crate) mod table;
#[cfg(test)]
mod tests;
mod value;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use log::LevelFilter;
use millpond::Config;

use crate::failure::{Failure, code};
use table::{Row, rows};

pub(crate) use site::Site;

/// What is listened on unless it is said otherwise: every address, IPv4 and IPv6.
pub(crate) const DEFAULT_BIND: &str = "tcp://[::]:8888";

/// What the daemon does.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    /// The server's own settings.
    pub(crate) config: Config,
    /// Endpoints. Empty: what was passed by the service manager, or else [`DEFAULT_BIND`].
    pub(crate) bind: Vec<String>,
    /// What answers where no other site does, and what the other sites begin with.
    pub(crate) site: Site,
    /// The `[[site]]`s of the file.
    pub(crate) sites: Vec<Site>,
    /// Whether bytes are sent back instead.
    pub(crate) echo: bool,
    pub(crate) log: Log,
    pub(crate) access: Access,
    /// The user to become once everything is bound.
    pub(crate) user: Option<String>,
    /// Whether the process shuts itself in with the files that it serves.
    pub(crate) confine: bool,
    /// What stays readable besides, for a reload to move to.
    pub(crate) reach: Vec<String>,
}

/// What is logged, and how it looks.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Log {
    pub(crate) level: LevelFilter,
    pub(crate) color: Color,
}

/// When the log has colours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

/// A line for each request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Access {
    pub(crate) format: Format,
    /// `None`: standard error.
    pub(crate) file: Option<PathBuf>,
    /// Lines that wait to be written; past it lines are dropped and counted.
    pub(crate) buffer: usize,
}

impl Access {
    /// The room for the lines is made at start.
    const LONGEST_BUFFER: usize = 1 << 20;

    fn check(&self) -> Result<(), Failure> {
        if self.buffer > Self::LONGEST_BUFFER {
            let what = format!("access_log.buffer is {}", self.buffer);
            let hint = format!("at most {}: each line takes memory", Self::LONGEST_BUFFER);
            return Err(Failure::new(code::CONFIG, what).with_hint(hint));
        }
        Ok(())
    }
}

/// What a line of the access log looks like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Format {
    Off,
    /// The common log format.
    Clf,
    /// The same with Referer and User-Agent.
    Combined,
    /// An object a line.
    Json,
}

const LEVELS: [(&str, LevelFilter); 6] = [
    ("off", LevelFilter::Off),
    ("error", LevelFilter::Error),
    ("warn", LevelFilter::Warn),
    ("info", LevelFilter::Info),
    ("debug", LevelFilter::Debug),
    ("trace", LevelFilter::Trace),
];

const COLORS: [(&str, Color); 3] =
    [("auto", Color::Auto), ("always", Color::Always), ("never", Color::Never)];

const FORMATS: [(&str, Format); 4] = [
    ("off", Format::Off),
    ("clf", Format::Clf),
    ("combined", Format::Combined),
    ("json", Format::Json),
];

impl Default for Settings {
    fn default() -> Self {
        Self {
            config: Config::default(),
            bind: Vec::new(),
            site: Site::default(),
            sites: Vec::new(),
            echo: false,
            log: Log { level: LevelFilter::Info, color: Color::Auto },
            access: Access { format: Format::Off, file: None, buffer: 8192 },
            user: None,
            confine: true,
            reach: Vec::new(),
        }
    }
}

/// What the command line says about settings, as text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags {
    pub(crate) file: Option<PathBuf>,
    /// Key, flag as typed, values.
    pub(crate) values: Vec<(&'static str, String, Vec<String>)>,
    /// How often `-v`, less how often `-q`.
    pub(crate) verbosity: i32,
}

/// Where a setting's value comes from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Origin {
    Default,
    File(PathBuf, usize),
    Variable(String),
    Flag(String),
}

/// Where the values come from, by key; those that are not there, from the default.
type Origins = BTreeMap<&'static str, Origin>;

/// Settings with where they come from.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) settings: Settings,
    pub(crate) file: Option<PathBuf>,
    origins: Origins,
    /// For each of the sites, where it begins and what it sets.
    site_origins: Vec<(usize, Origins)>,
    /// What should be said once there is a log.
    pub(crate) warnings: Vec<String>,
}

impl Loaded {
    /// Puts the layers together and checks the result.
    ///
    /// `variables` are those whose name begins with `MILLPOND_`.
    pub(crate) fn new(flags: &Flags, variables: &[(String, String)]) -> Result<Self, Failure> {
        let named = variables.iter().find(|(name, _)| name == "MILLPOND_CONFIG");
        let path = flags.file.clone().or_else(|| named.map(|(_, path)| bytes::path(path)));
        let text = path.as_deref().map(read).transpose()?;
        let file = path.as_deref().zip(text.as_deref());
        let mut loaded = Self::from_layers(file, variables, &flags.values)?;
        loaded.shift_level(flags.verbosity);
        loaded.settings.config.check()?;
        loaded.settings.access.check()?;
        let settings = &loaded.settings;
        if settings.echo && (settings.site.root.is_some() || !settings.sites.is_empty()) {
            return Err(Failure::new(code::USAGE, "files and echo exclude each other")
                .with_hint("leave out one of them: echo sends back bytes, a root serves files"));
        }
        let rootless =
            settings.site.root.is_none() && settings.sites.iter().all(|site| site.root.is_none());
        let idle = loaded.origins.keys().find(|key| key.starts_with("files.") && rootless);
        if let Some(key) = idle.copied() {
            loaded.warnings.push(format!("{key} has no effect without a root"));
        }
        loaded.check_hosts()?;
        Ok(loaded)
    }

    fn from_layers(
        file: Option<(&Path, &str)>,
        variables: &[(String, String)],
        flags: &[(&'static str, String, Vec<String>)],
    ) -> Result<Self, Failure> {
        let mut loaded = Self {
            settings: Settings::default(),
            file: file.map(|(path, _)| path.to_owned()),
            origins: BTreeMap::new(),
            site_origins: Vec::new(),
            warnings: Vec::new(),
        };
        let mut sites = Vec::new();
        if let Some((path, text)) = file {
            let parsed = file::parse(path, text)?;
            for entry in parsed.entries {
                loaded.set(entry.row, &entry.values, Origin::File(path.to_owned(), entry.line))?;
            }
            sites = parsed.sites;
        }
        for (name, value) in variables {
            let Some(row) = rows().find(|row| table::variable(row) == *name) else {
                loaded.warn_of_variable(name);
                continue;
            };
            let values = match (row.many, row.lines) {
                (true, true) => value.lines().map(ToOwned::to_owned).collect(),
                (true, false) => value.split_whitespace().map(ToOwned::to_owned).collect(),
                (false, _) => vec![value.clone()],
            };
            loaded.set(row, &values, Origin::Variable(name.clone()))?;
        }
        for (key, flag, values) in flags {
            let row = table::find(key).expect("flags are made from the table");
            loaded.set(row, values, Origin::Flag(flag.clone()))?;
        }
        for site in sites {
            let path = file.map(|(path, _)| path).expect("sites come from a file");
            loaded.add_site(path, site)?;
        }
        Ok(loaded)
    }

    /// A site begins with the settings of files at the top, wherever those come from.
    fn add_site(&mut self, path: &Path, parsed: file::SiteEntries) -> Result<(), Failure> {
        let top = &self.settings.site;
        let site = Site { hosts: Vec::new(), bind: Vec::new(), root: None, ..top.clone() };
        let origins = self.origins.iter().filter(|(key, _)| key.starts_with("files."));
        let mut origins: Origins = origins.map(|(key, origin)| (*key, origin.clone())).collect();
        // A row works on whole settings: these have no other use.
        let mut scratch = Settings { site, ..Settings::default() };
        for entry in parsed.entries {
            let origin = Origin::File(path.to_owned(), entry.line);
            assign(&mut scratch, entry.row, &entry.values, &origin)?;
            origins.insert(entry.row.key, origin);
        }
        self.settings.sites.push(scratch.site);
        self.site_origins.push((parsed.line, origins));
        Ok(())
    }

    /// Checks that the sites' names are names.
    fn check_hosts(&self) -> Result<(), Failure> {
        for (index, site) in self.settings.sites.iter().enumerate() {
            for host in &site.hosts {
                let Some(why) = site::wrong_host(host) else { continue };
                let place = origin_text(&self.site_origin(index, "hosts"));
                let message = format!("{place}: invalid host {host:?}");
                return Err(Failure::new(code::CONFIG, message).with_hint(why));
            }
        }
        Ok(())
    }

    fn set(&mut self, row: &'static Row, values: &[String], origin: Origin) -> Result<(), Failure> {
        assign(&mut self.settings, row, values, &origin)?;
        self.origins.insert(row.key, origin);
        Ok(())
    }

    /// Where the value of a setting comes from.
    pub(crate) fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }

    /// Where the value of a site's setting comes from.
    pub(crate) fn site_origin(&self, index: usize, key: &str) -> Origin {
        self.site_origins[index].1.get(key).cloned().unwrap_or(Origin::Default)
    }

    /// The file and line where a site begins.
    pub(crate) fn site_line(&self, index: usize) -> Option<(&Path, usize)> {
        Some((self.file.as_deref()?, self.site_origins.get(index)?.0))
    }

    /// An unknown variable is no error, as the environment may be written by others (a container
    /// platform announces a service of the same name by `MILLPOND_PORT` and the like).
    fn warn_of_variable(&mut self, name: &str) {
        if name == "MILLPOND_CONFIG" {
            return;
        }
        let known: Vec<_> = rows().map(table::variable).collect();
        let near = file::nearest(name, known.iter().map(String::as_str));
        self.warnings.push(match near {
            Some(near) => format!("the variable {name} is unknown; did you mean {near}?"),
            None => format!("the variable {name} is unknown"),
        });
    }

    fn shift_level(&mut self, steps: i32) {
        if steps == 0 {
            return;
        }
        let now = LEVELS.iter().position(|(_, level)| *level == self.settings.log.level);
        let last = LEVELS.len() as i32 - 1;
        let then = (now.unwrap_or(0) as i32 + steps).clamp(0, last);
        self.settings.log.level = LEVELS[then as usize].1;
        let flag = if steps > 0 { "-v" } else { "-q" };
        self.origins.insert("log.level", Origin::Flag(flag.to_owned()));
    }
}

/// An origin as `--print-config` shows it.
fn origin_text(origin: &Origin) -> String {
    match origin {
        Origin::Default => "default".to_owned(),
        Origin::File(path, line) => format!("{}:{line}", path.display()),
        Origin::Variable(name) => name.clone(),
        Origin::Flag(flag) => flag.clone(),
    }
}

/// Sets what a row says to the value that the text says.
fn assign(
    settings: &mut Settings,
    row: &Row,
    values: &[String],
    origin: &Origin,
) -> Result<(), Failure> {
    let fits = values.iter().all(|value| bytes::fits(row.key, value));
    let set = if fits { (row.set)(settings, values) } else { Err("a text in UTF-8".to_owned()) };
    set.map_err(|expected| {
        let value = values.join(" ");
        let (code, place) = match origin {
            Origin::Flag(flag) => (code::USAGE, flag.clone()),
            Origin::Variable(name) => (code::CONFIG, name.clone()),
            Origin::File(path, line) => {
                (code::CONFIG, format!("{}:{line}: {}", path.display(), row.key))
            }
            Origin::Default => (code::RUNTIME, row.key.to_owned()),
        };
        Failure::new(code, format!("{place}: invalid value {value:?}: expected {expected}"))
            .with_hint(format!("{}: {}", row.key, row.help))
    })
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| {
        Failure::io(code::CONFIG, format!("cannot read the file {}", path.display()), error)
            .with_hint("name a readable TOML file by --config or MILLPOND_CONFIG")
    })
}
