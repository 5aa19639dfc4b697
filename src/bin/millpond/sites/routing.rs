//! Which sites are served where: from settings to a list of places, without opening anything.

use crate::failure::{Failure, code};
use crate::settings::site::is_same_endpoint;
use crate::settings::{DEFAULT_BIND, Loaded, Settings, Site};

/// An endpoint and what is served there.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Place {
    /// As the settings say it. `None`: all sockets that were passed and that nothing else names.
    pub(crate) endpoint: Option<String>,
    /// Numbers of sites: see [`site`].
    pub(crate) sites: Vec<usize>,
}

/// The site that the settings at the top make.
const TOP: usize = 0;

/// The site of this number: the one at the top is 0, the `[[site]]`s follow.
pub(crate) fn site(settings: &Settings, number: usize) -> &Site {
    match number.checked_sub(1) {
        None => &settings.site,
        Some(index) => &settings.sites[index],
    }
}

/// How many sites there are, the one at the top included.
pub(crate) fn count(settings: &Settings) -> usize {
    1 + settings.sites.len()
}

/// Where a site is described, to begin an error with.
pub(crate) fn describe(loaded: &Loaded, number: usize) -> String {
    match number.checked_sub(1).and_then(|index| loaded.site_line(index)) {
        Some((path, line)) => format!("{}:{line}: ", path.display()),
        None => String::new(),
    }
}

/// The places, in the order in which they are named. `passed`: whether the service manager has
/// passed sockets, which stand in for the default endpoint.
pub(crate) fn places(loaded: &Loaded, passed: bool) -> Result<Vec<Place>, Failure> {
    let settings = &loaded.settings;
    let sites = || settings.sites.iter().enumerate().map(|(index, site)| (index + 1, site));
    let mut common: Vec<_> =
        sites().filter(|(_, site)| site.bind.is_empty()).map(|(number, _)| number).collect();
    // The greeting is for a server without sites, or for endpoints at which there would be none.
    let greets = common.is_empty() && (settings.sites.is_empty() || !settings.bind.is_empty());
    if settings.site.root.is_some() || greets {
        common.push(TOP);
    }
    let mut places: Vec<Place> = Vec::new();
    if settings.bind.is_empty() && !common.is_empty() {
        let endpoint = (!passed).then(|| DEFAULT_BIND.to_owned());
        places.push(Place { endpoint, sites: common });
    } else {
        let place =
            |endpoint: &String| Place { endpoint: Some(endpoint.clone()), sites: common.clone() };
        places.extend(settings.bind.iter().map(place));
    }
    for (number, site) in sites() {
        for endpoint in &site.bind {
            let same = |place: &&mut Place| {
                place.endpoint.as_ref().is_some_and(|other| is_same_endpoint(other, endpoint))
            };
            match places.iter_mut().find(same) {
                Some(place) => place.sites.push(number),
                None => {
                    places.push(Place { endpoint: Some(endpoint.clone()), sites: vec![number] });
                }
            }
        }
    }
    places.iter().try_for_each(|place| check(loaded, place))?;
    Ok(places)
}

/// Checks that each name belongs to one site.
fn check(loaded: &Loaded, place: &Place) -> Result<(), Failure> {
    let any = ["*".to_owned()];
    let mut seen: Vec<(String, usize)> = Vec::new();
    for &number in &place.sites {
        let hosts = &site(&loaded.settings, number).hosts;
        for host in if hosts.is_empty() { &any[..] } else { &hosts[..] } {
            let host = host.to_ascii_lowercase();
            if let Some((_, other)) = seen.iter().find(|(other, _)| *other == host) {
                // The one at the top has no line: the other is named.
                let (at, first) = if number == TOP { (*other, TOP) } else { (number, *other) };
                let message = format!("{}a second site for {host:?}", describe(loaded, at));
                return Err(Failure::new(code::CONFIG, message).with_hint(match first {
                    TOP => "the root at the top, or ROOT, is for all names that no site has: give \
                            this site hosts"
                        .to_owned(),
                    first => format!(
                        "{}the first one; a site without hosts is for all other names",
                        describe(loaded, first)
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
        let places = places(&loaded(text), passed).unwrap();
        places.into_iter().map(|p| (p.endpoint.unwrap_or_default(), p.sites)).collect()
    }

    #[test]
    fn without_sites_the_top_is_served_everywhere() {
        assert_eq!(all("", false), [(DEFAULT_BIND.to_owned(), vec![0])]);
        assert_eq!(all("", true), [(String::new(), vec![0])]);
        assert_eq!(
            all("bind = [\"unix:/a\", \"unix:/b\"]\nroot = \"/a\"", true),
            [("unix:/a".to_owned(), vec![0]), ("unix:/b".to_owned(), vec![0])]
        );
    }

    #[test]
    fn a_site_is_served_where_it_says_or_where_the_others_are() {
        let text = "bind = \"tcp://[::]:80\"\nroot = \"/top\"\n\
                    [[site]]\nhosts = \"a.test\"\n\
                    [[site]]\nhosts = \"b.test\"\nbind = [\"[::]:80\", \"unix:/b\"]\n";
        assert_eq!(
            all(text, false),
            [("tcp://[::]:80".to_owned(), vec![1, 0, 2]), ("unix:/b".to_owned(), vec![2])]
        );
    }

    #[test]
    fn the_default_endpoint_is_bound_only_for_what_is_served_there() {
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
    fn a_name_belongs_to_one_site_at_an_endpoint() {
        let twice = "[[site]]\nhosts = [\"a\", \"b\"]\n\n[[site]]\nhosts = \"A\"\n";
        let failure = places(&loaded(twice), false).unwrap_err();
        assert_eq!(failure.code(), code::CONFIG);
        assert!(failure.message().ends_with("a.toml:4: a second site for \"a\""));
        assert!(failure.hint().unwrap().contains("a.toml:1: the first one"));
        let top = "root = \"/a\"\n[[site]]\nroot = \"/b\"\n";
        let failure = places(&loaded(top), false).unwrap_err();
        assert!(failure.message().ends_with("a.toml:2: a second site for \"*\""));
        let apart = "bind = \"unix:/a\"\nroot = \"/a\"\n[[site]]\nbind = \"unix:/b\"\n";
        assert_eq!(all(apart, false).len(), 2);
    }
}
