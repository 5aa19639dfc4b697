//! The sites of each listener, as the settings have them. No file is opened here.

use crate::failure::{Failure, code};
use crate::settings::site::is_same_endpoint;
use crate::settings::{DEFAULT_BIND, Loaded, Settings, Site};

/// An endpoint and its sites.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ListenerSites {
    /// The endpoint as in the settings. `None`: every socket that the service manager passed and
    /// that no endpoint names.
    pub(crate) endpoint: Option<String>,
    /// The numbers of its sites, see [`site`].
    pub(crate) sites: Vec<usize>,
}

/// The number of the site that the settings at the top describe.
const TOP: usize = 0;

/// The site of this number: 0 is the one at the top, 1 the first `[[site]]`.
pub(crate) fn site(settings: &Settings, number: usize) -> &Site {
    match number.checked_sub(1) {
        None => &settings.site,
        Some(index) => &settings.sites[index],
    }
}

/// The number of sites, including the one at the top.
pub(crate) fn count(settings: &Settings) -> usize {
    1 + settings.sites.len()
}

/// The file and line of a site, to begin an error with.
pub(crate) fn place_of(loaded: &Loaded, number: usize) -> String {
    match number.checked_sub(1).and_then(|index| loaded.site_line(index)) {
        Some((path, line)) => format!("{}:{line}: ", path.display()),
        None => String::new(),
    }
}

/// The listeners, in the order in which the settings name them. `passed`: whether the service
/// manager has passed sockets, which replace the default endpoint.
pub(crate) fn listener_sites(loaded: &Loaded, passed: bool) -> Result<Vec<ListenerSites>, Failure> {
    let settings = &loaded.settings;
    let sites = || settings.sites.iter().enumerate().map(|(index, site)| (index + 1, site));
    let mut common: Vec<_> =
        sites().filter(|(_, site)| site.bind.is_empty()).map(|(number, _)| number).collect();
    // The greeting is for a server without sites, or for endpoints that would have none.
    let greets = common.is_empty() && (settings.sites.is_empty() || !settings.bind.is_empty());
    if settings.site.root.is_some() || greets {
        common.push(TOP);
    }
    let mut listeners: Vec<ListenerSites> = Vec::new();
    if settings.bind.is_empty() && !common.is_empty() {
        let endpoint = (!passed).then(|| DEFAULT_BIND.to_owned());
        listeners.push(ListenerSites { endpoint, sites: common });
    } else {
        let listener = |endpoint: &String| ListenerSites {
            endpoint: Some(endpoint.clone()),
            sites: common.clone(),
        };
        listeners.extend(settings.bind.iter().map(listener));
    }
    for (number, site) in sites() {
        for endpoint in &site.bind {
            let same = |listener: &&mut ListenerSites| {
                listener.endpoint.as_ref().is_some_and(|other| is_same_endpoint(other, endpoint))
            };
            match listeners.iter_mut().find(same) {
                Some(listener) => listener.sites.push(number),
                None => {
                    listeners.push(ListenerSites {
                        endpoint: Some(endpoint.clone()),
                        sites: vec![number],
                    });
                }
            }
        }
    }
    listeners.iter().try_for_each(|listener| check(loaded, listener))?;
    Ok(listeners)
}

/// Checks that no two sites of a listener have the same name.
fn check(loaded: &Loaded, listener: &ListenerSites) -> Result<(), Failure> {
    let any = ["*".to_owned()];
    let mut seen: Vec<(String, usize)> = Vec::new();
    for &number in &listener.sites {
        let hosts = &site(&loaded.settings, number).hosts;
        for host in if hosts.is_empty() { &any[..] } else { &hosts[..] } {
            let host = host.to_ascii_lowercase();
            if let Some((_, other)) = seen.iter().find(|(other, _)| *other == host) {
                // The site at the top has no line, so that the error names the other site.
                let (at, first) = if number == TOP { (*other, TOP) } else { (number, *other) };
                let message = format!("{}duplicate host {host:?}", place_of(loaded, at));
                return Err(Failure::new(code::CONFIG, message).with_hint(match first {
                    TOP => {
                        "the root at the top (or ROOT) is the default site: set `hosts` of this \
                            site"
                            .to_owned()
                    }
                    first => format!(
                        "{}the first site of this name (a site without hosts has the name `*`)",
                        place_of(loaded, first)
                    ),
                }));
            }
            seen.push((host, number));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Flags;

    fn loaded(text: &str) -> Loaded {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.toml");
        std::fs::write(&path, text).unwrap();
        Loaded::new(&Flags { file: Some(path), ..Flags::default() }, &[]).unwrap()
    }

    fn all(text: &str, passed: bool) -> Vec<(String, Vec<usize>)> {
        let listeners = listener_sites(&loaded(text), passed).unwrap();
        listeners.into_iter().map(|p| (p.endpoint.unwrap_or_default(), p.sites)).collect()
    }

    #[test]
    fn without_sites_every_listener_serves_the_top() {
        assert_eq!(all("", false), [(DEFAULT_BIND.to_owned(), vec![0])]);
        assert_eq!(all("", true), [(String::new(), vec![0])]);
        assert_eq!(
            all("bind = [\"unix:/a\", \"unix:/b\"]\nroot = \"/a\"", true),
            [("unix:/a".to_owned(), vec![0]), ("unix:/b".to_owned(), vec![0])]
        );
    }

    #[test]
    fn a_site_has_its_own_listeners_or_those_at_the_top() {
        let text = "bind = \"tcp://[::]:80\"\nroot = \"/top\"\n\
                    [[site]]\nhosts = \"a.test\"\n\
                    [[site]]\nhosts = \"b.test\"\nbind = [\"[::]:80\", \"unix:/b\"]\n";
        assert_eq!(
            all(text, false),
            [("tcp://[::]:80".to_owned(), vec![1, 0, 2]), ("unix:/b".to_owned(), vec![2])]
        );
    }

    #[test]
    fn the_default_endpoint_is_bound_only_if_a_site_is_served_there() {
        let own = "[[site]]\nbind = \"unix:/b\"\n";
        assert_eq!(all(own, false), [("unix:/b".to_owned(), vec![1])]);
        let common = "[[site]]\nhosts = \"a\"\n";
        assert_eq!(all(common, false), [(DEFAULT_BIND.to_owned(), vec![1])]);
        let greeted = "bind = \"unix:/a\"\n[[site]]\nbind = \"unix:/b\"\n";
        assert_eq!(
            all(greeted, false),
            [("unix:/a".to_owned(), vec![0]), ("unix:/b".to_owned(), vec![1])]
        );
    }

    #[test]
    fn a_name_belongs_to_one_site_of_a_listener() {
        let twice = "[[site]]\nhosts = [\"a\", \"b\"]\n\n[[site]]\nhosts = \"A\"\n";
        let failure = listener_sites(&loaded(twice), false).unwrap_err();
        assert_eq!(failure.code(), code::CONFIG);
        assert!(failure.message().ends_with("a.toml:4: duplicate host \"a\""));
        assert!(failure.hint().unwrap().contains("a.toml:1: the first site"));
        let top = "root = \"/a\"\n[[site]]\nroot = \"/b\"\n";
        let failure = listener_sites(&loaded(top), false).unwrap_err();
        assert!(failure.message().ends_with("a.toml:2: duplicate host \"*\""));
        let apart = "bind = \"unix:/a\"\nroot = \"/a\"\n[[site]]\nbind = \"unix:/b\"\n";
        assert_eq!(all(apart, false).len(), 2);
    }
}
