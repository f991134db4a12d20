//! Judges by which names the server may be called. Pure.
//!
//! A page on the internet can have its own name point to this machine and then talks to us as if we were its server (DNS
//! rebinding); what gives it away is the name in `Host`. An address cannot be pointed anywhere.

use std::net::{IpAddr, SocketAddr};

use axum::http::uri::Authority;

/// A name with a port, where one is said.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    host: String,
    port: Option<u16>,
}

impl Name {
    fn parse(text: &str) -> Option<Self> {
        if text.contains('@') {
            return None;
        }
        let authority: Authority = text.parse().ok()?;
        let host = authority.host().trim_end_matches('.').to_ascii_lowercase();
        let port = authority.port_u16();
        // `name:` and `name:x` are no names of anybody.
        let said = authority.as_str().len() > authority.host().len();
        (!host.is_empty() && (port.is_some() || !said)).then_some(Self { host, port })
    }

    fn address(&self) -> Option<IpAddr> {
        self.host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
    }

    fn with_port(&self, scheme: &str) -> u16 {
        self.port.unwrap_or(if scheme == "https" { 443 } else { 80 })
    }
}

/// The names of this server.
#[derive(Clone, Debug)]
pub struct Names {
    listen: SocketAddr,
    hosts: Vec<Name>,
}

/// Whether this can stand in `[server] hosts`: a name or an address, with a port or without.
#[must_use]
pub fn is_host(text: &str) -> bool {
    Name::parse(text).is_some()
}

impl Names {
    /// Those of a server that listens there and is called so besides.
    #[must_use]
    pub fn new(listen: SocketAddr, hosts: &[String]) -> Self {
        Self { listen, hosts: hosts.iter().filter_map(|host| Name::parse(host)).collect() }
    }

    /// Whether a request for this `Host` is meant for us.
    #[must_use]
    pub fn knows(&self, host: &str) -> bool {
        let Some(name) = Name::parse(host) else { return false };
        let listen = self.listen.ip().to_canonical();
        let by_address = name.address().is_some_and(|ip| ip.is_loopback() || ip == listen || listen.is_unspecified());
        by_address || name.host == "localhost" || self.hosts.iter().any(|known| fits(known, &name))
    }

    /// Whether a page of this `Origin` was served by us, who are called `host` in the same request.
    #[must_use]
    pub fn same_origin(&self, origin: &str, host: &str) -> bool {
        let Some((scheme, rest)) = origin.split_once("://") else { return false };
        if scheme != "http" && scheme != "https" {
            return false;
        }
        let (Some(origin), Some(host)) = (Name::parse(rest), Name::parse(host)) else { return false };
        let port = origin.with_port(scheme);
        if origin.host == host.host && port == host.with_port(scheme) {
            return true;
        }
        // Behind a proxy `Host` may be that of the proxy's connection: then the configured name counts, at its own port
        // or the usual one.
        self.hosts.iter().any(|known| known.host == origin.host && known.with_port(scheme) == port)
    }
}

fn fits(known: &Name, name: &Name) -> bool {
    known.host == name.host && (known.port.is_none() || known.port == name.port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(listen: &str, hosts: &[&str]) -> Names {
        Names::new(listen.parse().unwrap(), &hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn h2_a_name_that_points_here_is_not_ours() {
        let names = names("127.0.0.1:7878", &["logmedic.example.org", "nas:8443"]);
        for ours in [
            "127.0.0.1:7878",
            "127.0.0.1",
            "localhost:7878",
            "LocalHost.",
            "[::1]:7878",
            "logmedic.example.org",
            "Logmedic.Example.org:9000",
            "nas:8443",
        ] {
            assert!(names.knows(ours), "{ours}");
        }
        for foreign in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evil.example:7878",
            "192.168.1.5:7878",
            "nas",
            "nas:8080",
            "x@localhost",
            "localhost:x",
            "localhost:",
            "",
            "localhost/",
            "[::1",
            "0x7f.1",
        ] {
            assert!(!names.knows(foreign), "{foreign}");
        }
        let everywhere = super::tests::names("0.0.0.0:7878", &[]);
        assert!(everywhere.knows("192.168.1.5:7878") && everywhere.knows("[fd00::1]:7878"));
        assert!(!everywhere.knows("evil.example:7878"));
    }

    #[test]
    fn h2_only_our_own_pages_may_act() {
        let names = names("127.0.0.1:7878", &["logmedic.example.org"]);
        let here = "127.0.0.1:7878";
        assert!(names.same_origin("http://127.0.0.1:7878", here));
        assert!(names.same_origin("https://logmedic.example.org", here), "behind a proxy that changes Host");
        assert!(names.same_origin("https://logmedic.example.org", "logmedic.example.org"));
        for foreign in [
            "null",
            "",
            "http://127.0.0.1:8080",
            "http://localhost:7878",
            "https://127.0.0.1",
            "http://evil.example",
            "http://127.0.0.1:7878.evil.example",
            "https://logmedic.example.org:8443",
            "file://",
            "chrome-extension://abc",
            "http://127.0.0.1:7878/",
            "http://x@127.0.0.1:7878",
        ] {
            assert!(!names.same_origin(foreign, here), "{foreign}");
        }
    }
}
