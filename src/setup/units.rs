//! Reads durations, sizes, modes and paths the way people write them in a configuration. Pure.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time, written `"500ms"`, `"5s"`, `"1h30m"`, `"30d"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

/// Number of bytes, written `"256MiB"` (powers of 1024) or `"4GB"` (powers of 1000).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// Permission bits, written in octal: `"0664"`, `"2775"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileMode(pub u32);

/// A path: where it leads, and how the user wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePath {
    /// Absolute, once the configuration is loaded.
    pub path: PathBuf,
    /// As configured; this is what people are shown.
    pub shown: String,
}

const TIME: &[(&str, u64)] =
    &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];
const SIZES: &[(&str, u64)] = &[
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
];
/// Ten years: longer periods are slips of the pen, and sums of them cannot overflow a clock.
const PERIOD_MAX_MS: u64 = 3_650 * 86_400_000;

impl Period {
    /// From whole seconds.
    #[must_use]
    pub const fn secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// Reads `1h30m`.
    ///
    /// # Errors
    /// A sentence that says what is expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "'{text}' is not a length of time; write a number and a unit, such as \"500ms\", \"5s\", \"10m\", \"2h\" or \"30d\""
            )
        };
        let mut rest = text.trim();
        let mut total = 0u64;
        if rest.is_empty() {
            return Err(wrong());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
            let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
            rest = &rest[digits..];
            let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
            let unit = TIME.iter().find(|(name, _)| *name == &rest[..letters]).ok_or_else(wrong)?.1;
            total = number.checked_mul(unit).and_then(|ms| ms.checked_add(total)).ok_or_else(wrong)?;
            rest = &rest[letters..];
        }
        if total > PERIOD_MAX_MS {
            return Err(format!("'{text}' is longer than ten years"));
        }
        Ok(Self(Duration::from_millis(total)))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        // Weeks are read but not written: "30d" is what people expect back.
        let (unit, size) =
            TIME[..5].iter().rev().find(|(_, size)| ms >= *size && ms.is_multiple_of(*size)).unwrap_or(&("s", 1_000));
        write!(f, "{}{unit}", ms / size)
    }
}

impl Size {
    /// Reads `256MiB`.
    ///
    /// # Errors
    /// A sentence that says what is expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("'{text}' is not a size; write a whole number and a unit, such as \"256MiB\", \"4GB\" or \"0B\"")
        };
        let trimmed = text.trim();
        let digits = trimmed.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = trimmed[..digits].parse().map_err(|_| wrong())?;
        let unit = trimmed[digits..].trim_start().to_ascii_lowercase();
        let unit = SIZES.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?.1;
        number.checked_mul(unit).filter(|&n| i64::try_from(n).is_ok()).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: &[(&str, u64)] = &[
            ("TiB", 1 << 40),
            ("GiB", 1 << 30),
            ("TB", 1_000_000_000_000),
            ("GB", 1_000_000_000),
            ("MiB", 1 << 20),
            ("MB", 1_000_000),
            ("KiB", 1 << 10),
            ("kB", 1_000),
        ];
        let whole = NAMES.iter().find(|(_, size)| self.0 >= *size && self.0.is_multiple_of(*size));
        let (unit, size) = whole.unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / size)
    }
}

impl FileMode {
    /// Reads octal permission bits.
    ///
    /// # Errors
    /// A sentence that says what is expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        u32::from_str_radix(text, 8)
            .ok()
            .filter(|bits| digits && *bits <= 0o7777 && (3..=5).contains(&text.len()))
            .map(Self)
            .ok_or_else(|| format!("'{text}' is not a mode; write it in octal, such as \"0664\" or \"2775\""))
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl FilePath {
    /// A path as written, made absolute against `base`; `~/` is the home directory where one is known.
    #[must_use]
    pub fn resolve(shown: &str, base: &Path, home: Option<&Path>) -> Self {
        let path = match (shown.strip_prefix("~/"), home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => base.join(shown),
        };
        // Only `.` is dropped: `..` behind a symlink means another place than the text says.
        let path = path.components().filter(|c| !matches!(c, std::path::Component::CurDir)).collect();
        Self { path, shown: shown.to_owned() }
    }
}

macro_rules! text_unit {
    ($name:ident, $format:literal, $example:literal) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                match toml::Value::deserialize(deserializer)? {
                    toml::Value::String(text) => Self::parse(&text).map_err(D::Error::custom),
                    other => Err(D::Error::custom(format!(
                        "found {other} where {} is expected; write it in quotes, such as \"{}\"",
                        concat!("a ", $format),
                        $example
                    ))),
                }
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "format": $format, "examples": [$example] })
            }
        }
    };
}

text_unit!(Period, "duration", "5s");
text_unit!(Size, "size", "256MiB");
text_unit!(FileMode, "mode", "0664");

impl Serialize for FilePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.path.display())
    }
}

impl<'de> Deserialize<'de> for FilePath {
    /// The loader hands over `{ path, shown }`, since only it knows which file said it.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match toml::Value::deserialize(deserializer)? {
            toml::Value::String(text) if text.is_empty() => Err(D::Error::custom("a path cannot be empty")),
            toml::Value::String(text) => Ok(Self { path: text.clone().into(), shown: text }),
            toml::Value::Table(table) => {
                let field = |name| table.get(name).and_then(toml::Value::as_str).map(str::to_owned);
                match (field("path"), field("shown")) {
                    (Some(_), Some(shown)) if shown.is_empty() => Err(D::Error::custom("a path cannot be empty")),
                    (Some(_), Some(shown)) if shown.contains('\0') => Err(D::Error::custom("a path cannot hold a NUL")),
                    (Some(path), Some(shown)) => Ok(Self { path: path.into(), shown }),
                    _ => Err(D::Error::custom("found a table where a path is expected; write it in quotes")),
                }
            }
            other => Err(D::Error::custom(format!("found {other} where a path is expected; write it in quotes"))),
        }
    }
}

impl schemars::JsonSchema for FilePath {
    fn schema_name() -> Cow<'static, str> {
        "FilePath".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "path" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_read_and_write_what_people_write() {
        for (text, ms, shown) in
            [("500ms", 500, "500ms"), ("1h30m", 5_400_000, "90m"), ("30d", 2_592_000_000, "30d"), ("0s", 0, "0s")]
        {
            let period = Period::parse(text).unwrap();
            assert_eq!((period.0.as_millis(), period.to_string().as_str()), (ms, shown));
        }
        for (text, bytes, shown) in [
            ("256MiB", 268_435_456, "256MiB"),
            ("4GB", 4_000_000_000, "4GB"),
            ("4 gib", 4 << 30, "4GiB"),
            ("7B", 7, "7B"),
        ] {
            let size = Size::parse(text).unwrap();
            assert_eq!((size.0, size.to_string().as_str()), (bytes, shown));
        }
        assert_eq!(FileMode::parse("2775").unwrap().to_string(), "2775");
        for bad in ["", "5", "s", "5 s", "5x", "-1s", "1e3s", "99999999999999999999s", "9999999w"] {
            assert!(Period::parse(bad).is_err(), "{bad}");
        }
        for bad in ["", "5", "GB", "1.5GB", "99999999999TB", "-1B"] {
            assert!(Size::parse(bad).is_err(), "{bad}");
        }
        for bad in ["", "664x", "0898", "17777", "+664"] {
            assert!(FileMode::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_relative_path_belongs_to_the_place_that_says_it() {
        let path = |shown| FilePath::resolve(shown, Path::new("/etc/x"), Some(Path::new("/home/u"))).path;
        assert_eq!(path("./logs/a.log"), PathBuf::from("/etc/x/logs/a.log"));
        assert_eq!(path("/var/a.log"), PathBuf::from("/var/a.log"));
        assert_eq!(path("~/a.log"), PathBuf::from("/home/u/a.log"));
    }
}
