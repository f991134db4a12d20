//! Carries the shipped rule packs inside the binary. Pure.

use super::file::RuleSource;
use super::samples::SampleSource;

#[derive(rust_embed::RustEmbed)]
#[folder = "patterns/"]
struct Shipped;

fn shipped(suffix: &str, folder: &str) -> impl Iterator<Item = (String, String, String)> {
    let paths: Vec<_> = Shipped::iter().filter(|path| path.ends_with(suffix) && path.contains(folder)).collect();
    paths.into_iter().filter_map(|path| {
        let pack = path.split('/').next()?.to_owned();
        let data = Shipped::get(&path)?.data;
        Some((format!("patterns/{path}"), pack, String::from_utf8_lossy(&data).into_owned()))
    })
}

/// The rule files of the shipped packs, in name order; [`super::Rules::compile`] puts `generic` last.
#[must_use]
pub fn builtin() -> Vec<RuleSource> {
    let mut sources: Vec<_> =
        shipped("/rules.toml", "").map(|(name, pack, text)| RuleSource { name, pack, text, user: false }).collect();
    sources.sort_by(|a, b| a.name.cmp(&b.name));
    sources
}

/// The samples of the shipped packs, in name order.
#[must_use]
pub fn builtin_samples() -> Vec<SampleSource> {
    let mut sources: Vec<_> =
        shipped(".log", "/samples/").map(|(name, pack, text)| SampleSource { name, pack, text }).collect();
    sources.sort_by(|a, b| a.name.cmp(&b.name));
    sources
}
