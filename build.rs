//! Finds out about the patterns of the shipped packs what the program would else find out at every start, and puts the
//! dashboard where it is embedded from.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use toml::de::DeTable;

#[path = "src/classify/facts.rs"]
mod facts;
#[path = "src/classify/fragments.rs"]
#[allow(dead_code)]
mod fragments;
#[path = "src/classify/groups.rs"]
#[allow(dead_code)]
mod groups;
#[path = "src/classify/healthy.rs"]
#[allow(dead_code)]
mod healthy;
#[path = "src/classify/literal.rs"]
#[allow(dead_code)]
mod literal;
#[path = "src/classify/pairs.rs"]
#[allow(dead_code)]
mod pairs;
#[path = "web/embed.rs"]
mod web;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    web::embed(&root, Path::new(&env::var("OUT_DIR")?))?;
    for path in [
        "patterns",
        "src/classify/facts.rs",
        "src/classify/fragments.rs",
        "src/classify/groups.rs",
        "src/classify/healthy.rs",
        "src/classify/healthy.txt",
        "src/classify/literal.rs",
        "src/classify/pairs.rs",
    ] {
        println!("cargo:rerun-if-changed={path}");
    }
    let mut known: BTreeMap<String, facts::Facts> = BTreeMap::new();
    for pack in fs::read_dir(root.join("patterns"))? {
        let rules = pack?.path().join("rules.toml");
        if rules.is_file() {
            for (key, pattern) in patterns(&rules)? {
                // What is wrong with a pattern is told at the start, and by the tests.
                if let Ok(mut facts) = facts::Facts::of(&pattern) {
                    // Asked about what another pattern found: its texts are not searched for.
                    facts.needs.take_if(|_| key == UNLESS);
                    known.insert(pattern, facts);
                }
            }
        }
    }
    let mut texts: Vec<literal::Literal> =
        known.values().flat_map(|facts| facts.needs.iter().flatten()).map(|(text, _)| *text).collect();
    texts.sort_unstable();
    texts.dedup();
    let mut code = Code::default();
    let places = [false, true].map(|parts| groups::places(&texts, &vec![None; texts.len()], parts, TRIED));
    for (number, text) in texts.iter().enumerate() {
        code.add_text(text, [places[0][number], places[1][number]])?;
    }
    known.iter().try_for_each(|(pattern, facts)| code.add(pattern, facts, &texts))?;
    let Code { known, needs, number: _, ways, texts, bytes } = code;
    let all = format!(
        "static KNOWN: &[Known] = &[\n{known}];\nstatic NEEDS: &[Need] = &[\n{needs}];\n\
         static WAYS: &[Mark] = &{ways:?};\n\
         static TEXTS: &[Text] = &[\n{texts}];\nstatic BYTES: &[u8] = &{bytes:?};\n"
    );
    fs::write(Path::new(&env::var("OUT_DIR")?).join("known.rs"), all)?;
    Ok(())
}

/// How many windows of each text are tried in every bucket. Forty took ten times as long and gained nothing.
const TRIED: usize = 4;

/// What `src/classify/pattern.rs` takes in.
#[derive(Default)]
struct Code {
    /// Each a `Known`.
    known: String,
    /// Each a `Need`.
    needs: String,
    /// How many those are.
    number: usize,
    /// Those of all patterns, one behind the other.
    ways: Vec<pairs::Mark>,
    /// Each a `Text`.
    texts: String,
    /// What they are cut out of.
    bytes: Vec<u8>,
}

impl Code {
    fn add_text(&mut self, text: &literal::Literal, places: [groups::Place; 2]) -> std::fmt::Result {
        let ((bytes, fold), at) = (text.parts(), self.bytes.len());
        let length = bytes.len();
        self.bytes.extend(bytes);
        writeln!(self.texts, "Text {{ at: {at}, length: {length}, fold: {fold}, places: {places:?} }},")
    }

    fn add(&mut self, pattern: &str, facts: &facts::Facts, texts: &[literal::Literal]) -> std::fmt::Result {
        let facts::Facts { needs, begins, groups, may_be_empty, first, ways, states: _ } = facts;
        let from = self.number;
        for (text, literal::Reach { least, most }) in needs.iter().flatten() {
            let text = texts.binary_search(text).map_err(|_| std::fmt::Error)?;
            writeln!(self.needs, "Need {{ text: {text}, least: {least}, most: {most:?} }},")?;
            self.number += 1;
        }
        let needs = needs.as_ref().map(|_| (from, self.number));
        write!(self.known, "Known {{ pattern: {pattern:?}, needs: {needs:?}, begins: Begins::{begins:?}, ")?;
        let (from, to) = (self.ways.len(), self.ways.len() + ways.len());
        self.ways.extend(ways);
        write!(self.known, "groups: &{groups:?}, may_be_empty: {may_be_empty}, first: {first:?}, ")?;
        writeln!(self.known, "ways: ({from}, {to}) }},")
    }
}

/// The key of an ignore's second pattern.
const UNLESS: &str = "unless";

/// Every pattern of a rule file with its fragments put in, as `src/classify/file.rs` has it, behind its key; one that is no TOML
/// has none.
fn patterns(path: &Path) -> Result<Vec<(&'static str, String)>, std::io::Error> {
    let text = fs::read_to_string(path)?;
    let Ok(document) = DeTable::parse(&text) else { return Ok(Vec::new()) };
    let document = document.get_ref();
    let mut known = fragments::Fragments::default();
    if let Some(table) = document.get("fragments").and_then(|value| value.get_ref().as_table()) {
        let mut all: Vec<_> = table.iter().collect();
        all.sort_by_key(|(name, _)| name.span().start);
        for (name, text) in all {
            let _ = known.define(name.get_ref(), text.get_ref().as_str().unwrap_or_default());
        }
    }
    let tables = document.values().filter_map(|value| value.get_ref().as_array()).flatten();
    let patterns = tables.flat_map(|table| {
        ["pattern", UNLESS].into_iter().filter_map(|key| Some((key, table.get_ref().get(key)?.get_ref().as_str()?)))
    });
    Ok(patterns.filter_map(|(key, pattern)| Some((key, known.expand(pattern).ok()?.into()))).collect())
}
