//! Makes small pictures of films and pictures. I/O.
//!
//! Of a film several frames are looked at. A frame of one colour becomes a tiny JPEG, one with something to see a large one: the
//! size of the picture says how much there is to see, and the first good one is taken.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::ffmpeg::{self, NoPicture};
use super::look::stamp;
use super::pace::{Pace, threads};
use super::populate::Stopped;
use super::{Library, picture};
use crate::ledger::library::{self as rows, Media, Thumbnail};
use crate::ledger::{self, Force};
use crate::roots::Error;

/// Where in a film frames are looked at, as shares of its length.
const SHARES: [f64; 6] = [0.2, 0.5, 0.8, 0.05, 0.35, 0.65];

/// Where, when nobody knows how long it is.
const SECONDS: [f64; 4] = [5.0, 30.0, 1.0, 0.0];

/// A frame with so many bytes has something to see: black ones have 700 to 1,500, plain titles 3,000.
const ENOUGH: usize = 4_000;

/// Files that are worked off before what became of them is written down.
const BATCH: u32 = 32;

/// What became of the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Made {
    pub(super) total: u64,
    pub(super) made: u64,
    /// Of these there can be none, or there is none.
    pub(super) without: u64,
    /// These had one.
    pub(super) kept: u64,
}

/// Which files.
pub(super) enum Wanted {
    /// Those that have none, and of which nobody knows why.
    Missing,
    /// All of them, anew.
    All,
    /// These; with `true` anew.
    These(Vec<String>, bool),
}

/// What became of one file.
enum Turn {
    Kept,
    Picture(Thumbnail),
    /// It is not there or changed: nothing is known.
    Later,
    Trouble(NoPicture),
}

/// Works them off. `Ok(Err(…))`: no picture can be made at all.
pub(super) fn thumbnails(
    library: &Library,
    wanted: &Wanted,
    pace: &Pace,
    tell: &dyn Fn(&Made, &str),
) -> Result<Result<Made, String>, Stopped> {
    let Some(program) = ffmpeg::find(&library.inner.settings.ffmpeg) else {
        let name = library.inner.settings.ffmpeg.display();
        return Ok(Err(trouble(
            library,
            Some(format!(
                "failed to find {name}: install it (`apt install ffmpeg`), or say where it is: [library] ffmpeg = \"/path/to/ffmpeg\""
            )),
        )));
    };
    trouble(library, None);
    let db = library.connection()?;
    let sql = |source| Stopped::Ledger(ledger::Error::Sqlite { path: library.inner.ledger.path().into(), source });
    let (all, missing) = rows::count(&db).map_err(sql)?;
    let mut made = Made {
        total: match wanted {
            Wanted::Missing => missing,
            Wanted::All => all,
            Wanted::These(ids, _) => ids.len() as u64,
        },
        ..Made::default()
    };
    let anew = matches!(wanted, Wanted::All | Wanted::These(_, true));
    let mut after = 0;
    loop {
        pace.point()?;
        let batch = match wanted {
            Wanted::Missing => rows::next_without_picture(&db, after, BATCH),
            Wanted::All => rows::next(&db, after, BATCH),
            Wanted::These(ids, _) => {
                let from = usize::try_from(after).unwrap_or(usize::MAX).min(ids.len());
                let these = &ids[from..(from + BATCH as usize).min(ids.len())];
                these.iter().filter_map(|id| rows::get(&db, id).transpose()).collect()
            }
        };
        let batch: Vec<Media> = batch.map_err(sql)?;
        let over = match wanted {
            Wanted::These(ids, _) => {
                after += i64::from(BATCH);
                usize::try_from(after).is_ok_and(|after| after >= ids.len())
            }
            _ => {
                after = batch.last().map_or(after, |last| last.ord);
                batch.is_empty()
            }
        };
        let results = work(library, &program, &batch, anew, pace);
        // What was made before somebody asked for the end is kept.
        let mut trouble_now = None;
        let mut rows_now = Vec::new();
        for (file, result) in batch.iter().zip(results) {
            match result {
                Some(Turn::Kept) => made.kept += 1,
                Some(Turn::Picture(thumbnail)) => {
                    made.made += u64::from(thumbnail.hash.is_some());
                    made.without += u64::from(thumbnail.hash.is_none());
                    rows_now.push((&file.id, thumbnail));
                }
                Some(Turn::Later) => made.without += 1,
                Some(Turn::Trouble(why)) => trouble_now = trouble_now.or(Some(why)),
                None => {}
            }
        }
        if !rows_now.is_empty() {
            library.inner.ledger.write_here(Force::Later, |tx| {
                rows_now.iter().try_for_each(|(id, thumbnail)| rows::set_thumbnail(tx, id, thumbnail))
            })?;
        }
        match trouble_now {
            Some(NoPicture::NotStarted(why)) => return Ok(Err(trouble(library, Some(why)))),
            Some(_) => return Err(Stopped::Ended),
            None => {}
        }
        tell(&made, batch.last().map(|file| file.path.as_str()).unwrap_or_default());
        if over {
            return Ok(Ok(made));
        }
    }
}

fn trouble(library: &Library, why: Option<String>) -> String {
    let told = why.clone().unwrap_or_default();
    *library.inner.trouble.lock().unwrap_or_else(PoisonError::into_inner) = why;
    told
}

/// Half of the processors at most: the other half is for whoever downloads.
fn work(library: &Library, program: &Path, batch: &[Media], anew: bool, pace: &Pace) -> Vec<Option<Turn>> {
    let results: Vec<Mutex<Option<Turn>>> = batch.iter().map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= batch.len() || pace.point().is_err() {
                return;
            }
            let turn = one(library, program, &batch[index], anew, pace);
            let stop = matches!(turn, Turn::Trouble(_));
            *results[index].lock().unwrap_or_else(PoisonError::into_inner) = Some(turn);
            if stop {
                next.store(batch.len(), Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..(threads() / 2).min(batch.len()) {
            // Without one more thread the others do its work.
            let _ = std::thread::Builder::new().name("library".into()).spawn_scoped(scope, || {
                pace.settle();
                work();
            });
        }
        work();
    });
    if pace.point().is_err() {
        // Those that were not begun.
        for result in &results {
            result.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(Turn::Trouble(NoPicture::Ended));
        }
    }
    results.into_iter().map(|result| result.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
}

fn one(library: &Library, program: &Path, file: &Media, anew: bool, pace: &Pace) -> Turn {
    let settings = &library.inner.settings;
    if !anew && file.thumbnail.hash.is_some() && picture::read(&settings.pictures, &file.id).is_some() {
        return Turn::Kept;
    }
    let of = file.content.blake3.clone();
    let none = |reason: String| Thumbnail { hash: None, reason: Some(reason), of: of.clone() };
    let made = match make(library, program, file, pace) {
        Ok(Some(bytes)) => match picture::write(&settings.pictures, &file.id, &bytes) {
            Ok(()) => Thumbnail { hash: Some(blake3::hash(&bytes).to_hex().to_string()), reason: None, of: of.clone() },
            // The next try may find room.
            Err(error) => {
                let place: PathBuf = settings.pictures.clone();
                return Turn::Trouble(NoPicture::NotStarted(format!(
                    "failed to write below {}: {error}",
                    place.display()
                )));
            }
        },
        Ok(None) => return Turn::Later,
        Err(NoPicture::Failed(reason)) => none(reason),
        Err(why) => return Turn::Trouble(why),
    };
    if made.hash.is_none() {
        picture::remove(&settings.pictures, &file.id);
    }
    Turn::Picture(made)
}

/// `Ok(None)`: the file is not what the library knows.
fn make(library: &Library, program: &Path, row: &Media, pace: &Pace) -> Result<Option<Vec<u8>>, NoPicture> {
    let failed = |why: &str| NoPicture::Failed(why.to_owned());
    match row.content.kind.as_str() {
        "video" | "image" => {}
        "audio" => return Err(failed("it is sound alone")),
        _ => return Err(failed("there is nothing to see in this kind of file")),
    }
    let demuxer = ffmpeg::demuxer(&row.content.format).ok_or_else(|| failed("no picture is made of this format"))?;
    let path = library.inner.roots.place(&row.place.root, &row.place.relative());
    let path = path.map_err(|refusal| NoPicture::Failed(refusal.reason))?;
    let (file, mark) = match path.open_marked() {
        Ok(opened) => opened,
        Err(Error::Missing(_)) => return Ok(None),
        Err(error) => return Err(NoPicture::Failed(error.to_string())),
    };
    if stamp(mark) != row.stamp {
        return Ok(None);
    }
    if row.content.kind == "image" {
        return ffmpeg::picture(&library.inner.settings, program, &file, demuxer, None, pace).map(Some);
    }
    best(library, program, &file, (demuxer, row.content.duration_ms), pace).map(Some)
}

/// The frame in which there is most to see; the first that has enough.
fn best(
    library: &Library,
    program: &Path,
    file: &File,
    (demuxer, duration): (&str, Option<u64>),
    pace: &Pace,
) -> Result<Vec<u8>, NoPicture> {
    let places: Vec<f64> = match duration {
        Some(ms) => SHARES.iter().map(|share| share * ms as f64 / 1_000.0).collect(),
        None => SECONDS.to_vec(),
    };
    let (mut best, mut why): (Option<Vec<u8>>, Option<NoPicture>) = (None, None);
    for place in places {
        let at = Duration::from_secs_f64(place.clamp(0.0, 1e9));
        match ffmpeg::picture(&library.inner.settings, program, file, demuxer, Some(at), pace) {
            Ok(bytes) => {
                let enough = bytes.len() >= ENOUGH;
                if best.as_ref().is_none_or(|best| best.len() < bytes.len()) {
                    best = Some(bytes);
                }
                if enough {
                    break;
                }
            }
            Err(NoPicture::Failed(reason)) => {
                // One that hangs or crashes does so everywhere; behind a cut there may be nothing, and before it something.
                let hopeless = reason.contains("took longer") || reason.contains("ended by");
                why.get_or_insert(NoPicture::Failed(reason));
                if hopeless {
                    break;
                }
            }
            Err(other) => return Err(other),
        }
    }
    best.ok_or_else(|| why.unwrap_or_else(|| NoPicture::Failed("ffmpeg found no picture in it".into())))
}
