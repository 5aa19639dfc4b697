//! [`Loaded`]: the settings, put together from defaults, file, variables and flags.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::origin::{Origin, Origins};
use super::site::{Site, SiteCertificate, check_host};
use super::table::{self, Row, rows};
use super::types::{LEVELS, Settings};
use super::{bytes, file};
use crate::failure::{Failure, code};

/// The settings that the command line has, as text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags {
    pub(crate) file: Option<PathBuf>,
    /// For each setting: its key, the flag as typed, the values.
    pub(crate) values: Vec<(&'static str, String, Vec<String>)>,
    /// The number of `-v` minus the number of `-q`.
    pub(crate) verbosity: i32,
}

/// Settings, and the origin of each.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) settings: Settings,
    pub(crate) file: Option<PathBuf>,
    origins: Origins,
    /// For each `[[site]]`: the line of the file at which it begins, and its origins.
    site_origins: Vec<(usize, Origins)>,
    /// Warnings, to be logged once the log is started.
    pub(crate) warnings: Vec<String>,
}

impl Loaded {
    /// Merges defaults, file, variables and flags, and checks the result.
    ///
    /// `variables`: those whose name begins with `MILLPOND_`.
    pub(crate) fn new(flags: &Flags, variables: &[(String, String)]) -> Result<Self, Failure> {
        let named = variables.iter().find(|(name, _)| name == "MILLPOND_CONFIG");
        let path = flags.file.clone().or_else(|| named.map(|(_, path)| bytes::path(path)));
        let text = path.as_deref().map(read).transpose()?;
        let file = path.as_deref().zip(text.as_deref());
        let mut loaded = Self::from_layers(file, variables, &flags.values)?;
        loaded.shift_level(flags.verbosity);
        loaded.settings.config.check()?;
        loaded.settings.access_log.check()?;
        let settings = &loaded.settings;
        if settings.echo && (settings.site.root.is_some() || !settings.sites.is_empty()) {
            let what = "echo cannot be combined with a root or a [[site]]";
            return Err(Failure::new(code::USAGE, what).with_hint(
                "remove one of them: echo returns bytes, a root serves files over HTTP",
            ));
        }
        let rootless =
            settings.site.root.is_none() && settings.sites.iter().all(|site| site.root.is_none());
        let unused = loaded.origins.keys().find(|key| key.starts_with("files.") && rootless);
        if let Some(key) = unused.copied() {
            loaded.warnings.push(format!("{key} has no effect without a root"));
        }
        loaded.check_hosts()?;
        loaded.check_keys()?;
        Ok(loaded)
    }

    /// Merges the layers, without checks of the result.
    pub(super) fn from_layers(
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
            let values = match (row.is_list, row.one_per_line) {
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

    /// Adds a `[[site]]`, which inherits the settings of files at the top, whatever their origin.
    fn add_site(&mut self, path: &Path, parsed: file::SiteEntries) -> Result<(), Failure> {
        let top = &self.settings.site;
        let site = Site {
            hosts: Vec::new(),
            bind: Vec::new(),
            root: None,
            tls: SiteCertificate::default(),
            ..top.clone()
        };
        let origins = self.origins.iter().filter(|(key, _)| key.starts_with("files."));
        let mut origins: Origins = origins.map(|(key, origin)| (*key, origin.clone())).collect();
        // A row sets a field of whole settings; only the site of these is kept.
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

    /// Checks that each name of each site is a valid host name.
    fn check_hosts(&self) -> Result<(), Failure> {
        for (index, site) in self.settings.sites.iter().enumerate() {
            for host in &site.hosts {
                let Err(expected) = check_host(host) else { continue };
                let origin = self.site_origin(index, "hosts");
                let message = format!("{origin}: invalid host {host:?}: expected {expected}");
                return Err(Failure::new(code::CONFIG, message)
                    .with_hint("a site accepts names such as example.org and *.example.org"));
            }
        }
        Ok(())
    }

    /// Checks that no key is without a certificate.
    fn check_keys(&self) -> Result<(), Failure> {
        let sites = std::iter::once((None, &self.settings.site));
        let sites = sites.chain(self.settings.sites.iter().enumerate().map(|(i, s)| (Some(i), s)));
        for (index, site) in sites {
            if site.tls.key.is_none() || site.tls.cert.is_some() {
                continue;
            }
            let origin = match index {
                None => self.origin("tls.key"),
                Some(index) => self.site_origin(index, "tls.key"),
            };
            let message = format!("{origin}: tls.key without tls.cert");
            return Err(Failure::new(code::CONFIG, message)
                .with_hint("tls.cert is the file of the certificate chain (--tls-cert)"));
        }
        Ok(())
    }

    fn set(&mut self, row: &'static Row, values: &[String], origin: Origin) -> Result<(), Failure> {
        assign(&mut self.settings, row, values, &origin)?;
        self.origins.insert(row.key, origin);
        Ok(())
    }

    /// The origin of a setting's value.
    pub(crate) fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }

    /// The origin of a value that a site has.
    pub(crate) fn site_origin(&self, index: usize, key: &str) -> Origin {
        self.site_origins[index].1.get(key).cloned().unwrap_or(Origin::Default)
    }

    /// The file and the line at which a site begins.
    pub(crate) fn site_line(&self, index: usize) -> Option<(&Path, usize)> {
        Some((self.file.as_deref()?, self.site_origins.get(index)?.0))
    }

    /// An unknown variable is not an error, since other programs write to the environment, too: a
    /// container platform announces a service of the same name by `MILLPOND_PORT` and the like.
    fn warn_of_variable(&mut self, name: &str) {
        if name == "MILLPOND_CONFIG" {
            return;
        }
        let known: Vec<_> = rows().map(table::variable).collect();
        let near = file::nearest(name, known.iter().map(String::as_str));
        self.warnings.push(match near {
            Some(near) => format!("unknown variable {name}: did you mean {near}?"),
            None => format!("unknown variable {name}"),
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

/// Parses the values of a row's setting and stores the result.
fn assign(
    settings: &mut Settings,
    row: &Row,
    values: &[String],
    origin: &Origin,
) -> Result<(), Failure> {
    let fits = values.iter().all(|value| bytes::fits(row.key, value));
    let set = if fits { (row.set)(settings, values) } else { Err("text in UTF-8".to_owned()) };
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
            .with_hint("--config and MILLPOND_CONFIG expect the path of a readable TOML file")
    })
}
