//! Reads one rule file: every mistake named with file, line, rule and remedy; a bad rule never takes a good one along. Pure.

use std::fmt;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::SignalKind;
use super::captures::NAMES;
use super::event::{Level, Part, Place};
use super::fragments::{Fragments, MAX_PATTERN, Wrong as WrongFragment};
use super::pattern::{Pattern, Wrong};
use crate::vocab::{Class, Severity};

/// The longest rule file, in bytes: thousands of rules.
pub const MAX_FILE: usize = 2 * 1024 * 1024;

/// A rule file as text: who reads it from where is `setup`'s business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSource {
    /// The file's name as people know it; shown in problems.
    pub name: String,
    /// The pack: the folder's name. `generic` comes last.
    pub pack: String,
    /// The file's text.
    pub text: String,
    /// Whether a user wrote it: then it comes before what is shipped and may replace or switch off its rules.
    pub user: bool,
}

/// What is wrong with a rule file. The rule is left out, the others work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which file.
    pub file: String,
    /// Which line, 1 for the first.
    pub line: usize,
    /// Which rule, where it has a name.
    pub rule: Option<String>,
    /// What is wrong.
    pub what: String,
    /// What helps.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file, self.line)?;
        if let Some(rule) = &self.rule {
            write!(f, "rule {rule}: ")?;
        }
        write!(f, "{}; {}", self.what, self.remedy)
    }
}

/// What an entry does when it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Rule {
        class: Class,
        severity: Severity,
    },
    /// Claims the part so that no later rule does: a stranger's words stand there.
    Ignore,
    Signal {
        means: SignalKind,
    },
}

/// Which parts an entry is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum On {
    Any,
    Cause,
    Head,
}

impl On {
    pub(super) const fn allows(self, place: Place) -> bool {
        match self {
            Self::Any => true,
            Self::Cause => matches!(place, Place::Whole | Place::Cause),
            Self::Head => matches!(place, Place::Whole | Place::Head | Place::Told),
        }
    }
}

/// Where the text that the pattern sees begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    Line,
    Message,
}

/// One rule, ignore or signal.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) pack: String,
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) user: bool,
    pub(super) kind: Kind,
    pub(super) on: On,
    pub(super) at: At,
    pub(super) level: Option<Level>,
    pub(super) fallback: bool,
    /// Asked only where a rule behind it claims, whatever texts it needs.
    pub(super) late: bool,
    /// Of an ignore: louder lines are the program's own words, not a stranger's.
    loudest: Option<Level>,
    /// Of an ignore: with these words in the same text the program tells of a failure.
    unless: Option<Pattern>,
    pub(super) about: String,
    pub(super) pattern: Pattern,
}

/// A file's content.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) entries: Vec<Entry>,
    /// Identifiers that a user switched off.
    pub(super) off: Vec<(String, usize)>,
    /// Packs that this one cannot do without.
    pub(super) needs: Vec<String>,
    pub(super) problems: Vec<Problem>,
}

impl Entry {
    /// The text its pattern sees.
    pub(super) fn sees<'a>(&self, part: &Part<'a>) -> &'a [u8] {
        match self.at {
            At::Line => part.line,
            At::Message => part.message(),
        }
    }

    /// Why it may not claim this part though its pattern matches.
    pub(super) fn objection(&self, part: &Part<'_>) -> Option<&'static str> {
        self.bar(part).or_else(|| {
            let unless = self.unless.as_ref().is_some_and(|unless| unless.is_match(self.sees(part)));
            unless.then_some("its `unless` matches, too")
        })
    }

    /// The same as far as it does not depend on the words.
    pub(super) fn bar(&self, part: &Part<'_>) -> Option<&'static str> {
        if !self.on.allows(part.place) {
            return Some("its `on` leaves this part of the event out");
        }
        if self.level.is_some() || self.loudest.is_some() {
            let is = part.level();
            let too_quiet = |least: Level| least > Level::Warning || !part.names_error();
            if self.level.zip(is).is_some_and(|(least, is)| is < least && too_quiet(least)) {
                return Some("the program wrote the line at a lower level than its `level`");
            }
            if self.loudest.zip(is).is_some_and(|(most, is)| is > most) {
                return Some("the program wrote the line at a higher level than its `loudest`");
            }
        }
        None
    }
}

const PACK_KEYS: &[&str] = &["at", "level", "needs"];
const RULE_KEYS: &[&str] = &["id", "class", "severity", "pattern", "about", "enabled", "on", "at", "level", "fallback"];
const IGNORE_KEYS: &[&str] = &["id", "pattern", "about", "enabled", "on", "at", "level", "late", "loudest", "unless"];
const SIGNAL_KEYS: &[&str] = &["id", "means", "pattern", "about", "enabled", "on", "at", "level"];
const TABLES: &[(&str, &[&str])] = &[("rule", RULE_KEYS), ("ignore", IGNORE_KEYS), ("signal", SIGNAL_KEYS)];

/// Reads the file.
pub(super) fn read(source: &RuleSource) -> Content {
    let mut content = Content::default();
    if source.text.len() > MAX_FILE {
        content.problems.push(Problem {
            file: source.name.clone(),
            line: 1,
            rule: None,
            what: format!("the file has {} bytes", source.text.len()),
            remedy: format!("split it: at most {MAX_FILE} bytes are read"),
        });
        return content;
    }
    let (table, errors) = DeTable::parse_recoverable(&source.text);
    let mut reader = Reader { source, content, at: At::Line, level: None, fragments: Fragments::default() };
    for error in &errors {
        let span = error.span().unwrap_or_default();
        reader.problem(span.start, None, format!("not valid TOML: {}", error.message()), "correct the syntax".into());
    }
    // What the parser guessed after a mistake is not what the user wrote.
    if errors.is_empty() {
        reader.document(table.get_ref());
    }
    reader.content
}

struct Reader<'a> {
    source: &'a RuleSource,
    content: Content,
    /// Defaults from `[pack]`.
    at: At,
    level: Option<Level>,
    /// From `[fragments]`.
    fragments: Fragments,
}

/// A table in the file with the words to complain about it.
struct Fields<'t, 'i> {
    table: &'t DeTable<'i>,
    start: usize,
    rule: Option<String>,
}

impl Reader<'_> {
    fn line_of(&self, offset: usize) -> usize {
        let before = self.source.text.as_bytes().get(..offset).unwrap_or_default();
        memchr::memchr_iter(b'\n', before).count() + 1
    }

    fn problem(&mut self, offset: usize, rule: Option<String>, what: String, remedy: String) {
        let line = self.line_of(offset);
        self.content.problems.push(Problem { file: self.source.name.clone(), line, rule, what, remedy });
    }

    fn document(&mut self, document: &DeTable<'_>) {
        let known: Vec<&str> = TABLES.iter().map(|(name, _)| *name).chain(["pack", "fragments"]).collect();
        for (key, value) in document {
            if !known.contains(&key.get_ref().as_ref()) {
                let remedy = hint(key.get_ref(), &known);
                self.problem(value.span().start, None, format!("unknown table '{}'", key.get_ref()), remedy);
            }
        }
        if let Some(pack) = document.get("pack") {
            self.pack(pack);
        }
        if let Some(fragments) = document.get("fragments") {
            self.fragments(fragments);
        }
        // The order in the file is the order of the rules, whatever their kind.
        let mut tables = Vec::new();
        for (name, keys) in TABLES {
            let Some(value) = document.get(*name) else { continue };
            match value.get_ref() {
                DeValue::Array(items) => {
                    tables.extend(items.iter().map(|item| (item.span().start, *name, *keys, item)));
                }
                _ => self.problem(
                    value.span().start,
                    None,
                    format!("'{name}' is one table"),
                    format!("write [[{name}]]"),
                ),
            }
        }
        tables.sort_by_key(|(start, ..)| *start);
        for (start, name, keys, item) in tables {
            let Some(table) = item.get_ref().as_table() else {
                self.problem(start, None, format!("an element of '{name}' is no table"), format!("write [[{name}]]"));
                continue;
            };
            let rule = table.get("id").and_then(|id| id.get_ref().as_str()).map(str::to_owned);
            let fields = Fields { table, start, rule };
            match self.entry(name, keys, &fields) {
                Ok(Some(entry)) => self.content.entries.push(entry),
                Ok(None) => {}
                Err((offset, what, remedy)) => self.problem(offset, fields.rule.clone(), what, remedy),
            }
        }
    }

    fn pack(&mut self, pack: &Spanned<DeValue<'_>>) {
        let Some(table) = pack.get_ref().as_table() else {
            return self.problem(pack.span().start, None, "'pack' is no table".into(), "write [pack]".into());
        };
        let fields = Fields { table, start: pack.span().start, rule: None };
        let defaults =
            fields.only(PACK_KEYS).and_then(|()| Ok((fields.at()?, fields.level("level")?, fields.list("needs")?)));
        match defaults {
            Ok((at, level, needs)) => {
                self.at = at.unwrap_or(At::Line);
                self.level = level.flatten();
                self.content.needs = needs;
            }
            Err((offset, what, remedy)) => self.problem(offset, None, what, remedy),
        }
    }

    /// Takes the fragments in the order of the file: each may use those above it.
    fn fragments(&mut self, fragments: &Spanned<DeValue<'_>>) {
        let Some(table) = fragments.get_ref().as_table() else {
            let offset = fragments.span().start;
            return self.problem(offset, None, "'fragments' is no table".into(), "write [fragments]".into());
        };
        let mut all: Vec<_> = table.iter().collect();
        all.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in &all {
            let (offset, name) = (name.span().start, name.get_ref().as_ref());
            let Some(text) = value.get_ref().as_str() else {
                let remedy = format!("write {name} = '''…'''");
                self.problem(offset, None, format!("the fragment '{name}' is no text"), remedy);
                continue;
            };
            if let Err(wrong) = self.fragments.define(name, text) {
                let below = |used: &str| all.iter().any(|(other, _)| other.get_ref().as_ref() == used);
                let (what, remedy) = match &wrong {
                    WrongFragment::Unknown(used) if used == name => {
                        ("it uses itself".to_owned(), "write out what it stands for".to_owned())
                    }
                    WrongFragment::Unknown(used) if below(used) => (
                        format!("it uses '{used}', which is defined below it"),
                        format!("define '{used}' above it, and without it"),
                    ),
                    wrong => self.wrong_fragment(wrong),
                };
                self.problem(offset, None, format!("fragment '{name}': {what}"), remedy);
            }
        }
    }

    /// What is wrong with a fragment or its use, and what helps.
    fn wrong_fragment(&self, wrong: &WrongFragment) -> (String, String) {
        match wrong {
            WrongFragment::Name => (
                "that is no name for a fragment".into(),
                "take lower-case letters, digits and '_', a letter first, but not start or end".into(),
            ),
            WrongFragment::Many => ("there are too many fragments".into(), "make several files of this one".into()),
            WrongFragment::Cut => (
                "a group, a class or an escape goes beyond it".into(),
                "let it be a whole regex: what it opens it closes".into(),
            ),
            WrongFragment::Unknown(name) => {
                let known: Vec<&str> = self.fragments.names().collect();
                let define = || format!(r"define it in [fragments], or write \{{{name}\}} for what stands in braces");
                let remedy = if known.is_empty() { define() } else { hint(name, &known) };
                (format!("there is no fragment '{name}'"), remedy)
            }
            WrongFragment::Broken(name) => {
                (format!("the fragment '{name}' is wrong itself"), "correct that first".into())
            }
            WrongFragment::Long => (
                format!("with its fragments it has more than {MAX_PATTERN} bytes"),
                "make several rules of it, or shorten the fragments".into(),
            ),
            WrongFragment::Full => (
                "with their fragments the patterns of this file are too long together".into(),
                "make several files of this one".into(),
            ),
        }
    }

    /// The pattern in this key.
    fn pattern(&mut self, fields: &Fields<'_, '_>, key: &str) -> Result<Pattern, Complaint> {
        let text = fields.need(key)?;
        let offset = fields.offset(key);
        if text.len() > MAX_PATTERN {
            let remedy = format!("make several rules of it: at most {MAX_PATTERN} bytes are taken");
            return Err((offset, format!("the pattern has {} bytes", text.len()), remedy));
        }
        let text = self.fragments.expand(text).map_err(|wrong| {
            let (what, remedy) = self.wrong_fragment(&wrong);
            (offset, what, remedy)
        })?;
        let pattern = Pattern::new(&text).map_err(|Wrong(reason)| {
            (offset, format!("failed to compile the pattern: {reason}"), "see https://docs.rs/regex/#syntax".to_owned())
        })?;
        if pattern.may_be_empty() && pattern.is_match(b"") {
            return Err((
                offset,
                "the pattern matches nothing at all, so every line".into(),
                "let it name what the program writes".into(),
            ));
        }
        for name in pattern.groups() {
            if !NAMES.contains(&name.trim_end_matches(|c: char| c.is_ascii_digit())) {
                return Err((offset, format!("unknown group '{name}'"), hint(name, NAMES)));
            }
        }
        Ok(pattern)
    }

    fn entry(&mut self, table: &str, keys: &[&str], fields: &Fields<'_, '_>) -> Result<Option<Entry>, Complaint> {
        fields.only(keys)?;
        let id = fields.need("id")?;
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        if !id.contains('.') || !id.chars().all(plain) || id.len() > 100 {
            let remedy = "write pack.name in lower-case letters, digits, '_' and '-'".into();
            return Err((fields.offset("id"), format!("'{id}' is no identifier"), remedy));
        }
        if fields.flag("enabled")? == Some(false) {
            self.content.off.push((id.to_owned(), self.line_of(fields.start)));
            return Ok(None);
        }
        let kind = match table {
            "rule" => Kind::Rule {
                class: fields.word("class")?,
                severity: fields.opt_word("severity")?.unwrap_or(Severity::Error),
            },
            "signal" => Kind::Signal { means: fields.means()? },
            _ => Kind::Ignore,
        };
        let pattern = self.pattern(fields, "pattern")?;
        let unless = fields.text("unless")?.map(|_| self.pattern(fields, "unless")).transpose()?;
        Ok(Some(Entry {
            id: id.to_owned(),
            pack: self.source.pack.clone(),
            file: self.source.name.clone(),
            line: self.line_of(fields.start),
            user: self.source.user,
            kind,
            on: fields.on()?,
            at: fields.at()?.unwrap_or(self.at),
            level: fields.level("level")?.unwrap_or(self.level),
            loudest: fields.level("loudest")?.flatten(),
            unless,
            fallback: fields.flag("fallback")?.unwrap_or(false),
            late: fields.flag("late")?.unwrap_or(false),
            about: fields.text("about")?.unwrap_or_default().to_owned(),
            pattern,
        }))
    }
}

/// Where, what, remedy.
type Complaint = (usize, String, String);

impl<'t> Fields<'t, '_> {
    fn offset(&self, key: &str) -> usize {
        self.table.get(key).map_or(self.start, |value| value.span().start)
    }

    fn only(&self, keys: &[&str]) -> Result<(), Complaint> {
        match self.table.iter().find(|(key, _)| !keys.contains(&key.get_ref().as_ref())) {
            None => Ok(()),
            Some((key, _)) => {
                Err((key.span().start, format!("unknown key '{}'", key.get_ref()), hint(key.get_ref(), keys)))
            }
        }
    }

    fn text(&self, key: &str) -> Result<Option<&'t str>, Complaint> {
        let Some(value) = self.table.get(key) else { return Ok(None) };
        match value.get_ref().as_str() {
            Some(text) => Ok(Some(text)),
            None => Err((value.span().start, format!("'{key}' is no text"), format!("write {key} = \"…\""))),
        }
    }

    fn need(&self, key: &str) -> Result<&'t str, Complaint> {
        self.text(key)?.ok_or_else(|| (self.start, format!("'{key}' is missing"), format!("add {key} = \"…\"")))
    }

    fn flag(&self, key: &str) -> Result<Option<bool>, Complaint> {
        let Some(value) = self.table.get(key) else { return Ok(None) };
        let wrong =
            || (value.span().start, format!("'{key}' is neither true nor false"), format!("write {key} = true"));
        value.get_ref().as_bool().map(Some).ok_or_else(wrong)
    }

    fn list(&self, key: &str) -> Result<Vec<String>, Complaint> {
        let Some(value) = self.table.get(key) else { return Ok(Vec::new()) };
        let words = value.get_ref().as_array().and_then(|items| {
            items.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        });
        words.ok_or_else(|| {
            (value.span().start, format!("'{key}' is no list of texts"), format!("write {key} = [\"…\"]"))
        })
    }

    fn opt_word<T: std::str::FromStr<Err: fmt::Display>>(&self, key: &str) -> Result<Option<T>, Complaint> {
        let Some(word) = self.text(key)? else { return Ok(None) };
        word.parse()
            .map(Some)
            .map_err(|error: T::Err| (self.offset(key), error.to_string(), "choose one of them".into()))
    }

    fn word<T: std::str::FromStr<Err: fmt::Display>>(&self, key: &str) -> Result<T, Complaint> {
        self.need(key)?;
        self.opt_word(key)?.ok_or_else(|| (self.start, format!("'{key}' is missing"), format!("add {key} = \"…\"")))
    }

    fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Result<Option<T>, Complaint> {
        let Some(word) = self.text(key)? else { return Ok(None) };
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        match choices.iter().find(|(name, _)| *name == word) {
            Some((_, value)) => Ok(Some(*value)),
            None => Err((self.offset(key), format!("unknown {key} '{word}'"), hint(word, &names))),
        }
    }

    fn on(&self) -> Result<On, Complaint> {
        Ok(self.choice("on", &[("any", On::Any), ("cause", On::Cause), ("head", On::Head)])?.unwrap_or(On::Any))
    }

    fn at(&self) -> Result<Option<At>, Complaint> {
        self.choice("at", &[("line", At::Line), ("message", At::Message)])
    }

    fn level(&self, key: &str) -> Result<Option<Option<Level>>, Complaint> {
        let levels = [
            ("any", None),
            ("info", Some(Level::Info)),
            ("warning", Some(Level::Warning)),
            ("error", Some(Level::Error)),
        ];
        self.choice(key, &levels)
    }

    fn means(&self) -> Result<SignalKind, Complaint> {
        use SignalKind::{Alive, Completed, Failed, Known, Progress, Started};
        let words = [
            ("known", Known),
            ("started", Started),
            ("progress", Progress),
            ("completed", Completed),
            ("failed", Failed),
            ("alive", Alive),
        ];
        self.need("means")?;
        self.choice("means", &words)?
            .ok_or_else(|| (self.start, "'means' is missing".into(), "add means = \"known\"".into()))
    }
}

/// The nearest known word, or all of them.
pub(super) fn hint(word: &str, known: &[&str]) -> String {
    // Nobody means a longer one.
    let begin: String = word.chars().take(64).collect();
    let nearest = known.iter().map(|name| (strsim::levenshtein(&begin, name), *name)).min();
    match nearest {
        Some((far, name)) if far <= 2 => format!("did you mean '{name}'?"),
        _ => format!("known are {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(fragments: &str, patterns: &[&str]) -> Content {
        let rule = |(number, pattern)| {
            format!("[[rule]]\nid = \"mine.r{number}\"\nclass = \"crash\"\npattern = '''{pattern}'''\n")
        };
        let rules: String = patterns.iter().enumerate().map(rule).collect();
        let text = format!("[fragments]\n{fragments}{rules}");
        read(&RuleSource { name: "mine.toml".into(), pack: "mine".into(), text, user: true })
    }

    fn told(content: &Content) -> Vec<String> {
        content.problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_rule_is_what_its_fragments_make_of_it() {
        let fragments = "slash = '''/|\\\\'''\npath = '''(?P<path>{slash}\\w+)'''\n";
        let content = content(fragments, &["full: {path}$", r"\{path}\d{3}"]);
        assert_eq!(told(&content), Vec::<String>::new());
        let patterns: Vec<&str> = content.entries.iter().map(|entry| entry.pattern.as_str()).collect();
        assert_eq!(patterns, [r"full: (?:(?P<path>(?:/|\\)\w+))$", r"\{path}\d{3}"]);
        assert_eq!(content.entries[0].pattern.groups().collect::<Vec<_>>(), ["path"]);
    }

    #[test]
    fn a_wrong_fragment_is_told_with_line_and_remedy_and_leaves_only_its_rules_out() {
        let fragments =
            "one = 'x{two}'\ntwo = 'y{one}'\nself = '{self}'\nopen = '(a'\nend = 'a'\nlist = 1\ngood = 'z'\n";
        let content = content(fragments, &["{one}", "{god}", "{good}+", "a{good", "[{good}]"]);
        let expected = [
            ("mine.toml:2: fragment 'one': it uses 'two', which is defined below it", "define 'two' above it"),
            ("mine.toml:3: fragment 'two': the fragment 'one' is wrong itself", "correct that first"),
            ("mine.toml:4: fragment 'self': it uses itself", "write out"),
            ("mine.toml:5: fragment 'open': a group, a class or an escape goes beyond it", "whole regex"),
            ("mine.toml:6: fragment 'end': that is no name for a fragment", "not start or end"),
            ("mine.toml:7: the fragment 'list' is no text", "write list = "),
            ("mine.toml:12: rule mine.r0: the fragment 'one' is wrong itself", "correct that first"),
            ("mine.toml:16: rule mine.r1: there is no fragment 'god'", "did you mean 'good'?"),
            ("mine.toml:24: rule mine.r3: failed to compile the pattern", "regex"),
        ];
        let told = told(&content);
        assert_eq!(told.len(), expected.len(), "{told:#?}");
        for (problem, (start, remedy)) in told.iter().zip(expected) {
            assert!(problem.starts_with(start) && problem.contains(remedy), "{problem}");
        }
        let ids: Vec<&str> = content.entries.iter().map(|entry| entry.id.as_str()).collect();
        assert_eq!(ids, ["mine.r2", "mine.r4"]);
    }

    #[test]
    fn what_grows_beyond_a_pattern_is_told() {
        let doubled: String = (1..20).map(|n| format!("a{n} = '{{a{0}}}{{a{0}}}'\n", n - 1)).collect();
        let content = content(&format!("a0 = 'xxxxxxxx'\n{doubled}"), &["{a3}", "{a19}"]);
        let told = told(&content);
        assert!(told[0].contains("with its fragments it has more than 4096 bytes; make several rules"), "{told:#?}");
        assert!(told.last().is_some_and(|last| last.contains("rule mine.r1: the fragment 'a19' is wrong itself")));
        assert_eq!(content.entries.len(), 1);
    }
}
