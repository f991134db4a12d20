//! Decides which addresses may be called: only listed hosts, and no private address unless it is listed.
//!
//! The names are resolved once, every address is judged, and the connection is pinned to those addresses, so that
//! a name server that answers differently the second time leads nowhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use url::{Host, Url};

use super::Settings;
use super::output::{Step, permanent, refused, transient_of};
use crate::roots::toml_quote;
use crate::vocab::Evidence;

/// Longest address taken from a log line.
const MAX_URL: usize = 4096;
/// Addresses of one name that are looked at.
const MAX_ADDRESSES: usize = 32;

/// An address that may be called, with what its name resolved to.
pub(super) struct Admitted {
    pub(super) url: Url,
    pub(super) host: String,
    pub(super) addresses: Vec<SocketAddr>,
}

/// `scheme://host:port` of an address, the port only where it is not the scheme's own.
pub(super) fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Reads an address from outside: http or https, with a host, without a password.
pub(super) fn parse(text: &str) -> Step<Url> {
    if text.len() > MAX_URL {
        return Err(permanent("the address is too long"));
    }
    let url = Url::parse(text.trim()).map_err(|error| permanent(format!("'{text}' is no address: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(refused(format!("only http and https addresses are called, not '{}:'", url.scheme()), None));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("an address with a user name or password in it is not called", None));
    }
    Ok(url)
}

/// Whether the host of `url` is on the user's list. Says nothing of where its name leads.
pub(super) fn listed(settings: &Settings, url: &Url) -> bool {
    let Some(host) = host_of(url) else { return false };
    let with_port = with_port(&host, url);
    settings.allow_private.iter().any(|entry| entry.eq_ignore_ascii_case(&with_port))
        || settings.allowed_hosts.iter().map(|entry| entry.trim_end_matches('.').to_ascii_lowercase()).any(|entry| {
            match entry.strip_prefix("*.") {
                Some(domain) => host.strip_suffix(domain).is_some_and(|front| front.ends_with('.')),
                None => entry == host || entry == with_port,
            }
        })
}

fn with_port(host: &str, url: &Url) -> String {
    format!("{host}:{}", url.port_or_known_default().unwrap_or(0))
}

fn host_of(url: &Url) -> Option<String> {
    Some(url.host_str()?.trim_end_matches('.').to_ascii_lowercase())
}

/// Admits an address of a log line, or says which configuration line would.
pub(super) async fn admit(settings: &Settings, url: Url) -> Step<Admitted> {
    let Some(host) = host_of(&url) else { return Err(permanent("the address has no host")) };
    if !listed(settings, &url) {
        return Err(refused(
            format!("{host} is not on the list of hosts that may be called"),
            Some(format!("[download]\nhosts = [{}]", toml_quote(&host))),
        ));
    }
    let addresses = addresses(&url).await?;
    check(settings, &url, &host, &addresses)?;
    Ok(Admitted { url, host, addresses })
}

/// Where the name of `url` leads.
pub(super) async fn addresses(url: &Url) -> Step<Vec<SocketAddr>> {
    let port = url.port_or_known_default().unwrap_or(80);
    let found: Vec<SocketAddr> = match url.host() {
        Some(Host::Ipv4(ip)) => vec![(ip, port).into()],
        Some(Host::Ipv6(ip)) => vec![(ip, port).into()],
        Some(Host::Domain(name)) => tokio::net::lookup_host((name, port))
            .await
            .map_err(|error| {
                let detail = format!("the name {name} could not be resolved: {error}");
                transient_of(detail, Evidence::new(), None, Some(origin(url)))
            })?
            .take(MAX_ADDRESSES)
            .collect(),
        None => Vec::new(),
    };
    if found.is_empty() {
        return Err(transient_of("the name has no address", Evidence::new(), None, Some(origin(url))));
    }
    Ok(found)
}

fn check(settings: &Settings, url: &Url, host: &str, addresses: &[SocketAddr]) -> Step<()> {
    let with_port = with_port(host, url);
    let allowed = |ip: IpAddr| {
        settings.allow_private.iter().any(|entry| {
            entry.eq_ignore_ascii_case(&with_port) || entry.eq_ignore_ascii_case(host) || in_network(entry, ip)
        })
    };
    // One private address among public ones is enough: the one that answers is not ours to choose.
    match addresses.iter().map(SocketAddr::ip).find(|ip| !is_public(*ip) && !allowed(*ip)) {
        None => Ok(()),
        Some(private) => Err(refused(
            format!("{host} leads to {private}, an address inside this machine or network"),
            Some(format!("[download]\nallow_private = [{}]", toml_quote(&with_port))),
        )),
    }
}

/// Whether `entry` is this address or a network (`10.0.0.0/8`) that holds it.
fn in_network(entry: &str, ip: IpAddr) -> bool {
    let (base, bits) = match entry.split_once('/') {
        Some((base, bits)) => (base, bits.parse::<u32>().ok()),
        None => (entry, Some(128)),
    };
    let (Ok(base), Some(bits)) = (base.parse::<IpAddr>(), bits) else { return false };
    let same = |a: u128, b: u128, width: u32| {
        let free = width.saturating_sub(bits);
        a.checked_shr(free).unwrap_or(0) == b.checked_shr(free).unwrap_or(0)
    };
    match (base, ip) {
        (IpAddr::V4(a), IpAddr::V4(b)) => same(u128::from(a.to_bits()), u128::from(b.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
        _ => false,
    }
}

/// Whether an address belongs to the public Internet (IANA special-purpose registries, as of 2026).
pub(super) fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => public_v4(ip),
        IpAddr::V6(ip) => public_v6(ip),
    }
}

fn public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !(ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local() // 169.254.169.254 is every cloud's metadata service
        || ip.is_multicast()
        || ip.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b)) // shared by carriers; Alibaba's metadata
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19)))
}

fn public_v6(ip: Ipv6Addr) -> bool {
    if let Some(inner) = ip.to_ipv4_mapped() {
        return public_v4(inner);
    }
    let s = ip.segments();
    let low = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match s {
        // NAT64 and 6to4 carry an IPv4 address that is called in the end.
        [0x64, 0xff9b, 0, 0, 0, 0, high, last] => public_v4(low(high, last)),
        [0x2002, high, last, ..] => public_v4(low(high, last)),
        // Only 2000::/3 is given out; of it, 2001::/23 (Teredo and other protocols) and documentation are not.
        [first, second, ..] => {
            first & 0xe000 == 0x2000
                && !(first == 0x2001 && (second < 0x200 || second == 0xdb8))
                && !(first == 0x3fff && second < 0x1000)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_public_internet_is_public() {
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.100.100.200",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00:ec2::254",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:0:1::1",
            "::127.0.0.1",
            "ff02::1",
            "2001:db8::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in ["1.1.1.1", "149.154.167.220", "2606:4700::1111", "2001:4860:4860::8888", "64:ff9b::101:101"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn networks_hold_their_addresses_only() {
        let held = |entry, ip: &str| in_network(entry, ip.parse().unwrap());
        assert!(held("10.0.0.0/8", "10.9.8.7") && held("10.1.1.1", "10.1.1.1") && held("fd00::/8", "fd12::1"));
        assert!(!held("10.0.0.0/8", "11.0.0.1") && !held("10.1.1.1", "10.1.1.2") && !held("10.0.0.0/x", "10.0.0.1"));
        assert!(!held("fd00::/8", "10.0.0.1") && !held("localhost", "127.0.0.1"));
    }

    #[test]
    fn hosts_match_as_a_whole_and_wildcards_only_below_a_dot() {
        let settings = Settings {
            allowed_hosts: vec!["cdn.example.org".into(), "*.films.net".into(), "h:8080".into()],
            ..Settings::default()
        };
        let ok = |text: &str| listed(&settings, &Url::parse(text).unwrap());
        assert!(ok("https://cdn.example.org/a") && ok("http://CDN.example.org.:81/") && ok("http://h:8080/"));
        assert!(ok("https://a.films.net/") && !ok("https://evilfilms.net/") && !ok("https://films.net/"));
        assert!(!ok("http://h:8081/") && !ok("https://cdn.example.org.evil.com/") && !ok("https://x@evil.com/"));
    }
}
