//! Stores the library: a row a file. I/O.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params, params_from_iter};

/// Files that are gone and remembered all the same; the oldest beyond it are forgotten.
pub const GONE_KEPT: u32 = 100_000;

/// Whether a file is whole, as far as anybody looked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Integrity {
    /// Everything that should be there is.
    Sound,
    /// It ends before it should.
    Short,
    /// It is damaged, or not what its name says.
    Broken,
    /// Its content is not what was recorded, and nobody is known to have written to it.
    Changed,
    /// Nobody looked, or it cannot be told.
    #[default]
    Unknown,
}

impl Integrity {
    /// Every verdict.
    pub const ALL: &'static [Self] = &[Self::Sound, Self::Short, Self::Broken, Self::Changed, Self::Unknown];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sound => "sound",
            Self::Short => "short",
            Self::Broken => "broken",
            Self::Changed => "changed",
            Self::Unknown => "unknown",
        }
    }

    /// The verdict of this word; an unknown word is an unknown verdict.
    #[must_use]
    pub fn of(word: &str) -> Self {
        Self::ALL.iter().copied().find(|one| one.as_str() == word).unwrap_or_default()
    }
}

/// Who a file is: as long as all of it is the same, nobody wrote to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// Device.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
    /// Bytes.
    pub size: u64,
    /// Last change of the content, in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Last change of anything, in nanoseconds since 1970: nobody can set it back.
    pub ctime_ns: i64,
}

/// Where a file is: the root's name and the path below it, as the system has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The root's name.
    pub root: String,
    /// The directory below the root; empty for the root itself.
    pub dir: PathBuf,
    /// The file's name there.
    pub file: OsString,
}

impl Place {
    /// The path below the root.
    #[must_use]
    pub fn relative(&self) -> PathBuf {
        self.dir.join(&self.file)
    }
}

/// What is in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// `video`, `audio`, `image`, `document`, `archive`, `other`.
    pub kind: String,
    /// `mp4`, `mkv`, `jpeg` …, `unknown`.
    pub format: String,
    /// How long it plays, in milliseconds.
    pub duration_ms: Option<u64>,
    /// Pixels across.
    pub width: Option<u32>,
    /// Pixels down.
    pub height: Option<u32>,
    /// How its pictures are coded.
    pub video_codec: Option<String>,
    /// How its sound is coded.
    pub audio_codec: Option<String>,
    /// Hash of all of it, in hexadecimal.
    pub blake3: Option<String>,
}

/// What a look at a file's integrity said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Whether it is whole.
    pub verdict: Integrity,
    /// One sentence.
    pub reason: Option<String>,
    /// How thoroughly it was looked at.
    pub level: Option<String>,
    /// When, in Unix milliseconds.
    pub at: Option<i64>,
}

/// A file's small picture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Thumbnail {
    /// Hash of the picture.
    pub hash: Option<String>,
    /// Why there is none. `None` without a hash: nobody tried yet.
    pub reason: Option<String>,
    /// Hash of the content that it was tried with.
    pub of: Option<String>,
}

/// A file of the library.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Media {
    /// Its place in the order in which files were first seen; 0: not stored yet.
    pub ord: i64,
    /// Its identifier.
    pub id: String,
    /// Where it is.
    pub place: Place,
    /// The same, escaped for people.
    pub path: String,
    /// Its name, escaped for people.
    pub name: String,
    /// The first directory below the root, escaped for people; empty without one.
    pub model: String,
    /// What is in it.
    pub content: Content,
    /// Who it is.
    pub stamp: Stamp,
    /// When it was first seen, in Unix milliseconds.
    pub first_seen: i64,
    /// Since when it is not there any more, in Unix milliseconds.
    pub gone_at: Option<i64>,
    /// The download that brought it.
    pub job: Option<String>,
    /// Whether it is whole.
    pub checked: Checked,
    /// How it looks.
    pub thumbnail: Thumbnail,
}

const COLUMNS: &str = "ord, id, root, dir, file, path, name, model, kind, format, size, duration_ms, width, height, \
    video_codec, audio_codec, dev, ino, mtime_ns, ctime_ns, blake3, first_seen, gone_at, job, integrity, \
    integrity_reason, integrity_level, checked_at, thumbnail, thumbnail_reason, thumbnail_of";

fn media(row: &Row<'_>) -> rusqlite::Result<Media> {
    Ok(Media {
        ord: row.get(0)?,
        id: row.get(1)?,
        place: Place {
            root: row.get(2)?,
            dir: OsString::from_vec(row.get(3)?).into(),
            file: OsString::from_vec(row.get(4)?),
        },
        path: row.get(5)?,
        name: row.get(6)?,
        model: row.get(7)?,
        content: Content {
            kind: row.get(8)?,
            format: row.get(9)?,
            duration_ms: row.get::<_, Option<i64>>(11)?.map(i64::unsigned_abs),
            width: row.get(12)?,
            height: row.get(13)?,
            video_codec: row.get(14)?,
            audio_codec: row.get(15)?,
            blake3: row.get(20)?,
        },
        stamp: Stamp {
            dev: row.get::<_, i64>(16)?.cast_unsigned(),
            ino: row.get::<_, i64>(17)?.cast_unsigned(),
            size: row.get::<_, i64>(10)?.unsigned_abs(),
            mtime_ns: row.get(18)?,
            ctime_ns: row.get(19)?,
        },
        first_seen: row.get(21)?,
        gone_at: row.get(22)?,
        job: row.get(23)?,
        checked: Checked {
            verdict: Integrity::of(row.get_ref(24)?.as_str()?),
            reason: row.get(25)?,
            level: row.get(26)?,
            at: row.get(27)?,
        },
        thumbnail: Thumbnail { hash: row.get(28)?, reason: row.get(29)?, of: row.get(30)? },
    })
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// One file.
///
/// # Errors
/// When the database cannot be read.
pub fn get(db: &Connection, id: &str) -> rusqlite::Result<Option<Media>> {
    db.prepare_cached(&format!("SELECT {COLUMNS} FROM media WHERE id = ?1"))?.query_row([id], media).optional()
}

/// The file at this place, also when it is gone.
///
/// # Errors
/// When the database cannot be read.
pub fn at(db: &Connection, place: &Place) -> rusqlite::Result<Option<Media>> {
    db.prepare_cached(&format!("SELECT {COLUMNS} FROM media WHERE root = ?1 AND dir = ?2 AND file = ?3"))?
        .query_row(params![place.root, place.dir.as_os_str().as_bytes(), place.file.as_bytes()], media)
        .optional()
}

/// Files behind `after` in the order in which they were first seen, that are there: to go through all of them bit by bit.
///
/// # Errors
/// When the database cannot be read.
pub fn next(db: &Connection, after: i64, limit: u32) -> rusqlite::Result<Vec<Media>> {
    let sql = format!("SELECT {COLUMNS} FROM media WHERE ord > ?1 AND gone_at IS NULL ORDER BY ord LIMIT ?2");
    db.prepare_cached(&sql)?.query_map((after, limit), media)?.collect()
}

/// The same, of those that have no small picture and of which nobody knows why.
///
/// # Errors
/// When the database cannot be read.
pub fn next_without_picture(db: &Connection, after: i64, limit: u32) -> rusqlite::Result<Vec<Media>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM media WHERE ord > ?1 AND gone_at IS NULL AND thumbnail IS NULL AND thumbnail_reason IS NULL \
         ORDER BY ord LIMIT ?2"
    );
    db.prepare_cached(&sql)?.query_map((after, limit), media)?.collect()
}

/// How many files are there, and how many of them have no small picture and no reason for it.
///
/// # Errors
/// When the database cannot be read.
pub fn count(db: &Connection) -> rusqlite::Result<(u64, u64)> {
    let one = |sql| db.prepare_cached(sql)?.query_row([], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs);
    Ok((
        one("SELECT count(*) FROM media WHERE gone_at IS NULL")?,
        one("SELECT count(*) FROM media WHERE gone_at IS NULL AND thumbnail IS NULL AND thumbnail_reason IS NULL")?,
    ))
}

/// What is known of the files in one directory: enough to tell whether anything is new.
///
/// # Errors
/// When the database cannot be read.
pub fn in_directory(db: &Connection, root: &str, dir: &Path) -> rusqlite::Result<Vec<(OsString, String, Stamp, bool)>> {
    let mut query = db.prepare_cached(
        "SELECT file, id, dev, ino, size, mtime_ns, ctime_ns, gone_at IS NOT NULL FROM media WHERE root = ?1 AND dir = ?2",
    )?;
    let row = |row: &Row<'_>| {
        let stamp = Stamp {
            dev: row.get::<_, i64>(2)?.cast_unsigned(),
            ino: row.get::<_, i64>(3)?.cast_unsigned(),
            size: row.get::<_, i64>(4)?.unsigned_abs(),
            mtime_ns: row.get(5)?,
            ctime_ns: row.get(6)?,
        };
        Ok((OsString::from_vec(row.get(0)?), row.get(1)?, stamp, row.get(7)?))
    };
    query.query_map(params![root, dir.as_os_str().as_bytes()], row)?.collect()
}

/// Every directory of this root in which files are known to be.
///
/// # Errors
/// When the database cannot be read.
pub fn directories(db: &Connection, root: &str) -> rusqlite::Result<Vec<PathBuf>> {
    let mut query = db.prepare_cached("SELECT DISTINCT dir FROM media WHERE root = ?1")?;
    query.query_map([root], |row| Ok(OsString::from_vec(row.get(0)?).into()))?.collect()
}

/// Every root of which files are known.
///
/// # Errors
/// When the database cannot be read.
pub fn roots(db: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut query = db.prepare_cached("SELECT DISTINCT root FROM media")?;
    query.query_map([], |row| row.get(0))?.collect()
}

/// Files with this inode, also under other names.
///
/// # Errors
/// When the database cannot be read.
pub fn of_inode(db: &Connection, dev: u64, ino: u64) -> rusqlite::Result<Vec<Media>> {
    let sql = format!("SELECT {COLUMNS} FROM media WHERE ino = ?1 AND dev = ?2 LIMIT 16");
    db.prepare_cached(&sql)?.query_map((ino.cast_signed(), dev.cast_signed()), media)?.collect()
}

/// Writes down a file as it was found: a new one, or what became of a known one (by its identifier).
///
/// # Errors
/// When the database refuses.
pub fn put(tx: &Transaction<'_>, file: &Media) -> rusqlite::Result<()> {
    // Another file may have been known at this place: the one that stands there now takes it.
    tx.prepare_cached("DELETE FROM media WHERE root = ?1 AND dir = ?2 AND file = ?3 AND id <> ?4")?.execute(
        params![file.place.root, file.place.dir.as_os_str().as_bytes(), file.place.file.as_bytes(), file.id],
    )?;
    tx.prepare_cached(
        "INSERT INTO media (id, root, dir, file, path, name, model, kind, format, size, duration_ms, width, height,
            video_codec, audio_codec, dev, ino, mtime_ns, ctime_ns, blake3, first_seen, gone_at, job, integrity,
            integrity_reason, integrity_level, checked_at, thumbnail, thumbnail_reason, thumbnail_of)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23,
            ?24, ?25, ?26, ?27, ?28, ?29, ?30)
         ON CONFLICT (id) DO UPDATE SET root = excluded.root, dir = excluded.dir, file = excluded.file,
            path = excluded.path, name = excluded.name, model = excluded.model, kind = excluded.kind,
            format = excluded.format, size = excluded.size, duration_ms = excluded.duration_ms, width = excluded.width,
            height = excluded.height, video_codec = excluded.video_codec, audio_codec = excluded.audio_codec,
            dev = excluded.dev, ino = excluded.ino, mtime_ns = excluded.mtime_ns, ctime_ns = excluded.ctime_ns,
            blake3 = excluded.blake3, gone_at = excluded.gone_at, job = excluded.job, integrity = excluded.integrity,
            integrity_reason = excluded.integrity_reason, integrity_level = excluded.integrity_level,
            checked_at = excluded.checked_at, thumbnail = excluded.thumbnail,
            thumbnail_reason = excluded.thumbnail_reason, thumbnail_of = excluded.thumbnail_of",
    )?
    .execute(params![
        file.id,
        file.place.root,
        file.place.dir.as_os_str().as_bytes(),
        file.place.file.as_bytes(),
        file.path,
        file.name,
        file.model,
        file.content.kind,
        file.content.format,
        signed(file.stamp.size),
        file.content.duration_ms.map(signed),
        file.content.width,
        file.content.height,
        file.content.video_codec,
        file.content.audio_codec,
        file.stamp.dev.cast_signed(),
        file.stamp.ino.cast_signed(),
        file.stamp.mtime_ns,
        file.stamp.ctime_ns,
        file.content.blake3,
        file.first_seen,
        file.gone_at,
        file.job,
        file.checked.verdict.as_str(),
        file.checked.reason,
        file.checked.level,
        file.checked.at,
        file.thumbnail.hash,
        file.thumbnail.reason,
        file.thumbnail.of,
    ])
    .map(drop)
}

/// Marks a file as gone since `at` (Unix milliseconds). Returns 1 when it was there.
///
/// # Errors
/// When the database refuses.
pub fn gone(tx: &Transaction<'_>, id: &str, at: i64) -> rusqlite::Result<usize> {
    tx.prepare_cached("UPDATE media SET gone_at = ?2 WHERE id = ?1 AND gone_at IS NULL")?.execute((id, at))
}

/// Writes down that a file's file system has another number now.
///
/// # Errors
/// When the database refuses.
pub fn set_device(tx: &Transaction<'_>, id: &str, dev: u64) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE media SET dev = ?2 WHERE id = ?1")?.execute((id, dev.cast_signed())).map(drop)
}

/// Forgets files that are gone, the oldest beyond [`GONE_KEPT`]. Returns the identifiers of those that went.
///
/// # Errors
/// When the database refuses.
pub fn forget(tx: &Transaction<'_>) -> rusqlite::Result<Vec<String>> {
    let mut query = tx.prepare(
        "DELETE FROM media WHERE ord IN (SELECT ord FROM media WHERE gone_at IS NOT NULL
         ORDER BY gone_at DESC, ord DESC LIMIT -1 OFFSET ?1) RETURNING id",
    )?;
    query.query_map([GONE_KEPT], |row| row.get(0))?.collect()
}

/// Writes down what a look at a file's integrity said, if the file is still the one that was looked at. `blake3`: its
/// content, where it had none recorded yet. Returns whether it is.
///
/// # Errors
/// When the database refuses.
pub fn set_checked(
    tx: &Transaction<'_>,
    id: &str,
    stamp: &Stamp,
    checked: &Checked,
    blake3: Option<&str>,
) -> rusqlite::Result<bool> {
    tx.prepare_cached(
        "UPDATE media SET integrity = ?2, integrity_reason = ?3, integrity_level = ?4, checked_at = ?5,
            blake3 = coalesce(blake3, ?11)
         WHERE id = ?1 AND dev = ?6 AND ino = ?7 AND size = ?8 AND mtime_ns = ?9 AND ctime_ns = ?10",
    )?
    .execute(params![
        id,
        checked.verdict.as_str(),
        checked.reason,
        checked.level,
        checked.at,
        stamp.dev.cast_signed(),
        stamp.ino.cast_signed(),
        signed(stamp.size),
        stamp.mtime_ns,
        stamp.ctime_ns,
        blake3,
    ])
    .map(|rows| rows == 1)
}

/// Writes down how a file looks, or why that cannot be told.
///
/// # Errors
/// When the database refuses.
pub fn set_thumbnail(tx: &Transaction<'_>, id: &str, picture: &Thumbnail) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE media SET thumbnail = ?2, thumbnail_reason = ?3, thumbnail_of = ?4 WHERE id = ?1")?
        .execute((id, &picture.hash, &picture.reason, &picture.of))
        .map(drop)
}

/// In which order files are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// When they were first seen.
    #[default]
    FirstSeen,
    /// By name.
    Name,
    /// By size.
    Size,
    /// By how long they play; those of which it is not known stand below all others.
    Duration,
    /// When they were last written to.
    Modified,
}

impl Sort {
    /// Every order, by the word for it.
    pub const ALL: &'static [(&'static str, Self)] = &[
        ("first_seen", Self::FirstSeen),
        ("name", Self::Name),
        ("size", Self::Size),
        ("duration", Self::Duration),
        ("modified", Self::Modified),
    ];

    const fn column(self) -> &'static str {
        match self {
            Self::FirstSeen => "ord",
            Self::Name => "name",
            Self::Size => "size",
            Self::Duration => "coalesce(duration_ms, -1)",
            Self::Modified => "mtime_ns",
        }
    }
}

/// Which files are wanted. A field that is `None` takes all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// In this root.
    pub root: Option<String>,
    /// In this directory below the root, as it is shown.
    pub model: Option<String>,
    /// Of this kind.
    pub kind: Option<String>,
    /// With this verdict.
    pub integrity: Option<String>,
    /// With this text somewhere in the path.
    pub q: Option<String>,
    /// Only those that are gone (`true`) or are there (`false`).
    pub gone: Option<bool>,
}

/// Up to `limit` files, in this order, behind the one that `after` names by its place.
///
/// # Errors
/// When the database cannot be read.
pub fn list(
    db: &Connection,
    filter: &Filter,
    (sort, falling): (Sort, bool),
    after: Option<i64>,
    limit: u32,
) -> rusqlite::Result<Vec<Media>> {
    let mut sql = format!("SELECT {COLUMNS} FROM media WHERE 1");
    let mut values: Vec<Value> = Vec::new();
    let mut and = |clause: &str, value: Option<Value>| {
        if let Some(value) = value {
            values.push(value);
            sql.push_str(&format!(" AND {}", clause.replace('?', &format!("?{}", values.len()))));
        }
    };
    let text = |value: &Option<String>| value.clone().map(Value::Text);
    and("root = ?", text(&filter.root));
    and("model = ?", text(&filter.model));
    // The sign keeps the index of the order in use, which these few words would be worse at.
    and("+kind = ?", text(&filter.kind));
    and("+integrity = ?", text(&filter.integrity));
    let like = |q: &String| format!("%{}%", q.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_"));
    and("path LIKE ? ESCAPE '\\'", filter.q.as_ref().map(|q| Value::Text(like(q))));
    let column = sort.column();
    let (beyond, order) = if falling { ("<", "DESC") } else { (">", "ASC") };
    let behind = format!("({column}, ord) {beyond} (SELECT {column}, ord FROM media WHERE ord = ?)");
    and(&behind, after.map(Value::Integer));
    match filter.gone {
        Some(true) => sql.push_str(" AND gone_at IS NOT NULL"),
        Some(false) => sql.push_str(" AND gone_at IS NULL"),
        None => {}
    }
    sql.push_str(&format!(" ORDER BY {column} {order}, ord {order} LIMIT {limit}"));
    db.prepare_cached(&sql)?.query_map(params_from_iter(values), media)?.collect()
}

/// Files that are there, counted by root, model, kind and verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// The root's name.
    pub root: String,
    /// The directory below it.
    pub model: String,
    /// What they are.
    pub kind: String,
    /// Whether they are whole.
    pub integrity: Integrity,
    /// How many.
    pub files: u64,
    /// Their bytes together.
    pub bytes: u64,
}

/// What the library holds, and how many files are remembered that are gone.
///
/// # Errors
/// When the database cannot be read.
pub fn figures(db: &Connection) -> rusqlite::Result<(Vec<Figure>, u64)> {
    // `total` is a floating number: sizes that strangers claim cannot overflow it.
    let mut query = db.prepare_cached(
        "SELECT root, model, kind, integrity, count(*), total(size) FROM media WHERE gone_at IS NULL GROUP BY 1, 2, 3, 4",
    )?;
    let row = |row: &Row<'_>| {
        Ok(Figure {
            root: row.get(0)?,
            model: row.get(1)?,
            kind: row.get(2)?,
            integrity: Integrity::of(row.get_ref(3)?.as_str()?),
            files: row.get::<_, i64>(4)?.unsigned_abs(),
            bytes: row.get::<_, f64>(5)?.clamp(0.0, 9e18) as u64,
        })
    };
    let figures = query.query_map([], row)?.collect::<rusqlite::Result<Vec<_>>>()?;
    let all: i64 = db.prepare_cached("SELECT count(*) FROM media")?.query_row([], |row| row.get(0))?;
    let there = figures.iter().map(|figure| figure.files).sum();
    Ok((figures, all.unsigned_abs().saturating_sub(there)))
}
