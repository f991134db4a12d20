//! `library`: every file under the roots, its small picture, and the operations that keep both up to date.

use axum::Json;
use axum::extract::{FromRef, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{Identity, Operator, Viewer};
use super::input::Wish;
use super::page::{Page, PageQuery};
use super::problem::Problem;
use crate::ledger::library::{self as rows, Filter, Integrity, Media, Sort};
use crate::library::{IDS_MAX, Library, POPULATE, THUMBNAILS, Thumbnails};
use crate::operate::{Kind, Operation, Operations, Priority};
use crate::vocab::{Id, rfc3339};

/// What a file may be.
const KINDS: [&str; 6] = ["video", "audio", "image", "document", "archive", "other"];

/// Directories that the summary names: the largest; the rest is told together.
const MODELS_MAX: usize = 100;

/// The longest text that is searched for, in bytes.
const Q_MAX: usize = 256;

/// A picture is shown and nothing else: no script, no frame, no other site.
const ALONE: &str = "default-src 'none'; sandbox";

/// What these routes work with.
#[derive(Clone)]
struct Desk {
    library: Library,
    operations: Operations,
    identity: Identity,
}

impl FromRef<Desk> for Identity {
    fn from_ref(desk: &Desk) -> Self {
        desk.identity.clone()
    }
}

impl FromRef<Desk> for Library {
    fn from_ref(desk: &Desk) -> Self {
        desk.library.clone()
    }
}

impl FromRef<Desk> for Operations {
    fn from_ref(desk: &Desk) -> Self {
        desk.operations.clone()
    }
}

/// Which files.
#[derive(Default, Deserialize, IntoParams)]
pub struct LibraryQuery {
    /// Only in this root.
    root: Option<String>,
    /// Only in this directory below the root: the first one, as it is shown.
    model: Option<String>,
    /// Only of this kind: `video`, `audio`, `image`, `document`, `archive`, `other`.
    kind: Option<String>,
    /// Only with this verdict: `sound`, `short`, `broken`, `changed`, `unknown`.
    integrity: Option<String>,
    /// Only with this text somewhere in the path; capitals do not count.
    q: Option<String>,
    /// `false` (without it): files that are there; `true`: those that are gone; `any`: both.
    gone: Option<String>,
    /// `first_seen`, `name`, `size`, `duration` or `modified`; with `-` before it the other way round. Without it: `-first_seen`.
    sort: Option<String>,
}

/// A file of the library.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct MediaView {
    /// Its identifier; stays when the file is moved within the roots.
    pub id: String,
    /// The root's name.
    pub root: String,
    /// Where it is: root and path below it, escaped for people.
    pub path: String,
    /// Its name.
    pub name: String,
    /// The first directory below the root; empty without one.
    pub model: String,
    /// `video`, `audio`, `image`, `document`, `archive`, `other`.
    pub kind: String,
    /// `mp4`, `mkv`, `jpeg` …, `unknown`.
    pub format: String,
    /// Bytes.
    pub size: u64,
    /// How long it plays.
    pub duration_ms: Option<u64>,
    /// Pixels across.
    pub width: Option<u32>,
    /// Pixels down.
    pub height: Option<u32>,
    /// How its pictures are coded.
    pub video_codec: Option<String>,
    /// How its sound is coded.
    pub audio_codec: Option<String>,
    /// Hash of its content when it was recorded, in hexadecimal.
    pub blake3: Option<String>,
    /// When it was first seen, RFC 3339.
    pub first_seen_at: String,
    /// When it was last written to, RFC 3339.
    pub modified_at: String,
    /// Since when it is not there any more, RFC 3339.
    pub gone_at: Option<String>,
    /// The download that brought it.
    pub job: Option<String>,
    /// Whether it is whole.
    pub integrity: IntegrityView,
    /// How it looks.
    pub thumbnail: ThumbnailView,
}

/// Whether a file is whole.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct IntegrityView {
    /// `sound`, `short`, `broken`, `changed` or `unknown`.
    pub verdict: &'static str,
    /// What shows it.
    pub reason: Option<String>,
    /// How thoroughly it was looked at.
    pub level: Option<String>,
    /// When, RFC 3339.
    pub checked_at: Option<String>,
}

/// A file's small picture.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ThumbnailView {
    /// `ready`, `none` (see `reason`) or `pending`: nobody tried yet.
    pub state: &'static str,
    /// Where it is; this address always shows this picture.
    pub url: Option<String>,
    /// Why there is none.
    pub reason: Option<String>,
}

/// What the library holds.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct LibraryStats {
    /// Files that are there.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that are gone and remembered.
    pub gone: u64,
    /// By root.
    pub by_root: Vec<Share>,
    /// By kind.
    pub by_kind: Vec<Share>,
    /// By verdict.
    pub by_integrity: Vec<Share>,
    /// By the first directory below the root, the largest first; at most a hundred.
    pub by_model: Vec<Share>,
    /// How many such directories there are.
    pub models: u64,
    /// Files of which nobody tried to make a small picture yet.
    pub thumbnails_pending: u64,
    /// Why no small picture can be made at all.
    pub thumbnails_trouble: Option<String>,
}

/// A part of the library.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Share {
    /// Of what.
    pub name: String,
    /// Files.
    pub files: u64,
    /// Bytes.
    pub bytes: u64,
}

/// `library/…` and the operations of the library.
pub fn router<S>(library: Library, operations: Operations, identity: Identity) -> OpenApiRouter<S> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(stats))
        .routes(routes!(one))
        .routes(routes!(thumbnail))
        .routes(routes!(populate))
        .routes(routes!(regenerate))
        .with_state(Desk { library, operations, identity })
}

/// The files of the library.
#[utoipa::path(get, path = "/library", tag = "library", params(PageQuery, LibraryQuery),
    responses((status = 200, body = Page<MediaView>), (status = 400, body = Problem)))]
async fn list(
    State(library): State<Library>,
    _: Viewer,
    Query(page): Query<PageQuery>,
    Query(of): Query<LibraryQuery>,
) -> Result<Json<Page<MediaView>>, Problem> {
    let (limit, place) = page.read()?;
    let bad = |_| Problem::bad("bad_cursor", "the cursor is not one that this server gave out; begin without one");
    let after = place.map(|place| place.parse::<i64>().map_err(bad)).transpose()?;
    let order = order(of.sort.as_deref()).map_err(|detail| Problem::bad("bad_sort", detail))?;
    let filter = filter(of)?;
    let found = library.read(move |db| rows::list(db, &filter, order, after, limit + 1)).await?;
    let Page { items, next_cursor } = Page::of(found, limit, |file| file.ord.to_string());
    Ok(Json(Page { items: items.iter().map(view).collect(), next_cursor }))
}

/// Reads an order: a word, `-` before it for the other way round.
///
/// # Errors
/// Which words there are.
pub fn order(text: Option<&str>) -> Result<(Sort, bool), String> {
    let text = text.unwrap_or("-first_seen");
    let (word, falling) = text.strip_prefix('-').map_or((text, false), |word| (word, true));
    let sort = Sort::ALL.iter().find(|(name, _)| *name == word).map(|(_, sort)| (*sort, falling));
    sort.ok_or_else(|| {
        let words: Vec<&str> = Sort::ALL.iter().map(|(name, _)| *name).collect();
        format!("sort by one of {}, with - before it for the other way round", words.join(", "))
    })
}

fn filter(of: LibraryQuery) -> Result<Filter, Problem> {
    let known = |name: &'static str, code, value: Option<String>, words: &[&str]| match value {
        Some(word) if !words.contains(&word.as_str()) => {
            Err(Problem::bad(code, format!("{name} is one of {}", words.join(", "))))
        }
        value => Ok(value),
    };
    let verdicts: Vec<&str> = Integrity::ALL.iter().map(|one| one.as_str()).collect();
    if of.q.as_ref().is_some_and(|q| q.len() > Q_MAX) {
        return Err(Problem::bad("bad_q", format!("q is longer than {Q_MAX} bytes")));
    }
    Ok(Filter {
        root: of.root,
        model: of.model,
        kind: known("kind", "bad_kind", of.kind, &KINDS)?,
        integrity: known("integrity", "bad_integrity", of.integrity, &verdicts)?,
        q: of.q.filter(|q| !q.is_empty()),
        gone: match of.gone.as_deref() {
            None | Some("false") => Some(false),
            Some("true") => Some(true),
            Some("any") => None,
            Some(_) => return Err(Problem::bad("bad_gone", "gone is one of false, true, any")),
        },
    })
}

/// One file of the library; also one that is gone.
#[utoipa::path(get, path = "/library/{id}", tag = "library", params(("id" = String, Path)),
    responses((status = 200, body = MediaView), (status = 404, body = Problem)))]
async fn one(State(library): State<Library>, _: Viewer, Path(id): Path<String>) -> Result<Json<MediaView>, Problem> {
    Ok(Json(view(&known(&library, &id).await?)))
}

async fn known(library: &Library, id: &str) -> Result<Media, Problem> {
    let missing = || Problem::missing("file_not_found", "the library has no file with this identifier");
    let id = Id::parse(id).ok_or_else(missing)?.to_string();
    library.read(move |db| rows::get(db, &id)).await?.ok_or_else(missing)
}

/// A file's small picture. Without one: a problem that says why.
#[utoipa::path(get, path = "/library/{id}/thumbnail", tag = "library",
    params(("id" = String, Path), ("v" = Option<String>, Query, description = "The picture's hash, as in `thumbnail.url`: the answer then never changes")),
    responses((status = 200, content_type = "image/jpeg", body = [u8]), (status = 304), (status = 404, body = Problem)))]
async fn thumbnail(
    State(library): State<Library>,
    _: Viewer,
    Path(id): Path<String>,
    Query(wanted): Query<Version>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let file = known(&library, &id).await?;
    if file.thumbnail.hash.is_none() {
        let view = picture(&file);
        let pending = || library.trouble().unwrap_or_else(|| "no picture was made of it yet".into());
        return Err(Problem::missing("no_thumbnail", view.reason.unwrap_or_else(pending)));
    }
    let id = file.id;
    let bytes = tokio::task::spawn_blocking(move || library.picture(&id)).await.ok().flatten();
    let lost = "its picture is not there any more: POST operations/thumbnails/regenerate makes it again";
    let bytes = bytes.ok_or_else(|| Problem::missing("no_thumbnail", lost))?;
    // Of the bytes that are sent, whatever the row says.
    let hash = blake3::hash(&bytes).to_hex().to_string();
    let tag = format!("\"{hash}\"");
    let cache = if wanted.v.as_deref() == Some(hash.as_str()) {
        "private, max-age=31536000, immutable"
    } else {
        "private, no-cache"
    };
    let same = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let same = same.flat_map(|value| value.split(',')).any(|one| one.trim().trim_start_matches("W/") == tag);
    let about = [(header::ETAG, tag.as_str()), (header::CACHE_CONTROL, cache)];
    if same {
        return Ok((StatusCode::NOT_MODIFIED, about).into_response());
    }
    let kind = [(header::CONTENT_TYPE, "image/jpeg"), (header::CONTENT_SECURITY_POLICY, ALONE)];
    Ok((about, kind, bytes).into_response())
}

/// Which picture.
#[derive(Default, Deserialize)]
struct Version {
    v: Option<String>,
}

/// What the library holds.
#[utoipa::path(get, path = "/library/stats", tag = "library", responses((status = 200, body = LibraryStats)))]
async fn stats(State(library): State<Library>, _: Viewer) -> Result<Json<LibraryStats>, Problem> {
    let read = library.read(|db| Ok((rows::figures(db)?, rows::count(db)?.1)));
    let ((figures, gone), pending) = read.await?;
    Ok(Json(summary(&figures, gone, pending, library.trouble())))
}

/// Adds the figures up.
#[must_use]
pub fn summary(figures: &[rows::Figure], gone: u64, pending: u64, trouble: Option<String>) -> LibraryStats {
    let by = |name: &dyn Fn(&rows::Figure) -> String| {
        let mut shares = std::collections::BTreeMap::<String, Share>::new();
        for figure in figures {
            let share = shares.entry(name(figure)).or_default();
            share.files += figure.files;
            share.bytes = share.bytes.saturating_add(figure.bytes);
        }
        let mut shares: Vec<Share> = shares.into_iter().map(|(name, share)| Share { name, ..share }).collect();
        shares.sort_by_key(|share| std::cmp::Reverse(share.bytes));
        shares
    };
    let mut by_model = by(&|figure| figure.model.clone());
    let models = by_model.len() as u64;
    by_model.truncate(MODELS_MAX);
    LibraryStats {
        files: figures.iter().map(|figure| figure.files).sum(),
        bytes: figures.iter().fold(0, |sum, figure| sum.saturating_add(figure.bytes)),
        gone,
        by_root: by(&|figure| figure.root.clone()),
        by_kind: by(&|figure| figure.kind.clone()),
        by_integrity: by(&|figure| figure.integrity.as_str().to_owned()),
        by_model,
        models,
        thumbnails_pending: pending,
        thumbnails_trouble: trouble,
    }
}

/// Finds out what files there are.
#[utoipa::path(post, path = "/operations/library/populate", tag = "operations",
    responses((status = 202, body = Operation), (status = 409, body = Problem)))]
async fn populate(
    State(operations): State<Operations>,
    Operator(who): Operator,
) -> Result<(StatusCode, Json<Operation>), Problem> {
    let begun = operations.run_task((Kind::Library, POPULATE), json!({}), Priority::Normal, &who.account).await?;
    Ok((StatusCode::ACCEPTED, Json(begun)))
}

/// Makes small pictures: of the files named, else of all that have none; with `force` also of those that have one.
#[utoipa::path(post, path = "/operations/thumbnails/regenerate", tag = "operations", request_body = Option<Thumbnails>,
    responses((status = 202, body = Operation), (status = 400, body = Problem), (status = 409, body = Problem)))]
async fn regenerate(
    State(operations): State<Operations>,
    Operator(who): Operator,
    Wish(order): Wish<Thumbnails>,
) -> Result<(StatusCode, Json<Operation>), Problem> {
    if !order.is_fine() {
        return Err(Problem::bad("bad_ids", format!("ids are up to {IDS_MAX} identifiers of files of the library")));
    }
    let order = serde_json::to_value(&order).unwrap_or_default();
    let begun = operations.run_task((Kind::Thumbnails, THUMBNAILS), order, Priority::Normal, &who.account).await?;
    Ok((StatusCode::ACCEPTED, Json(begun)))
}

/// A file as it is shown.
#[must_use]
pub fn view(file: &Media) -> MediaView {
    let at = |ms: i64| DateTime::<Utc>::from_timestamp_millis(ms).map(rfc3339);
    let Media { id, place, path, name, model, content, stamp, checked, .. } = file.clone();
    MediaView {
        id,
        root: place.root,
        path,
        name,
        model,
        kind: content.kind,
        format: content.format,
        size: stamp.size,
        duration_ms: content.duration_ms,
        width: content.width,
        height: content.height,
        video_codec: content.video_codec,
        audio_codec: content.audio_codec,
        blake3: content.blake3,
        first_seen_at: at(file.first_seen).unwrap_or_default(),
        modified_at: at(stamp.mtime_ns / 1_000_000).unwrap_or_default(),
        gone_at: file.gone_at.and_then(at),
        job: file.job.clone(),
        integrity: IntegrityView {
            verdict: checked.verdict.as_str(),
            reason: checked.reason,
            level: checked.level,
            checked_at: checked.at.and_then(at),
        },
        thumbnail: picture(file),
    }
}

fn picture(file: &Media) -> ThumbnailView {
    let (state, url, reason) = match (&file.thumbnail.hash, &file.thumbnail.reason) {
        (Some(hash), _) => {
            ("ready", Some(format!("{}/library/{}/thumbnail?v={hash}", super::run::BASE, file.id)), None)
        }
        (None, Some(reason)) => ("none", None, Some(reason.clone())),
        (None, None) => ("pending", None, None),
    };
    ThumbnailView { state, url, reason }
}
