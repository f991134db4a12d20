//! `notifications`: what people were told, read and unread; own messages, trials, browsers that want to be told.

use axum::Json;
use axum::extract::{FromRef, Path, Query, State};
use axum::http::StatusCode;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{Identity, Operator, Viewer};
use super::page::{Page, PageQuery};
use super::problem::Problem;
use crate::ledger::channels::{self, Delivered};
use crate::ledger::notifications::{self as table, Entry, Filter, Silence, Stats};
use crate::ledger::{Ledger, outbox as owed};
use crate::outbox::{Channels, Texts, Tried, push_hash, render, subscription};
use crate::vocab::{Class, Id, Level, Notice, Rng, Story};

/// Longest title and text of a message that somebody writes, in bytes; channels shorten further.
const TITLE_MAX: usize = 300;
const TEXT_MAX: usize = 4_000;

/// Statistics go back a year.
const STATS_DAYS: i64 = 366;

/// Up to so many days they are told by the hour, when the client does not say.
const HOURLY_DAYS: i64 = 3;

/// What these routes need.
#[derive(Clone)]
pub struct Centre {
    /// Where entries are kept.
    pub ledger: Ledger,
    /// Who delivers them.
    pub channels: Channels,
    /// Who may do what.
    pub identity: Identity,
    /// The words that titles and texts of entries are made of.
    pub texts: Texts,
}

impl FromRef<Centre> for Identity {
    fn from_ref(centre: &Centre) -> Self {
        centre.identity.clone()
    }
}

/// `notifications…`.
pub fn router<S>(centre: Centre) -> OpenApiRouter<S> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(unread_count))
        .routes(routes!(stats))
        .routes(routes!(read_all))
        .routes(routes!(clear))
        .routes(routes!(test))
        .routes(routes!(push_key))
        .routes(routes!(subscribe, unsubscribe))
        .routes(routes!(silences))
        .routes(routes!(get))
        .routes(routes!(read))
        .routes(routes!(acknowledge))
        .with_state(centre)
}

/// One entry of the notification centre.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Notification {
    #[serde(skip)]
    ord: i64,
    /// Its identifier; that of the incident, where it is about one.
    pub id: String,
    /// When it was said, or changed last.
    pub at: String,
    /// `info`, `success`, `warning`, `error`.
    pub level: String,
    /// `incident`, `bot`, `agent`, `probe`, `operation`, `custom`.
    pub kind: String,
    /// What went wrong, for an incident.
    pub class: Option<String>,
    /// One line; plain text, nothing hidden in it.
    pub title: String,
    /// More lines; plain text, nothing hidden in it.
    pub text: String,
    /// Whether somebody read it.
    pub read: bool,
    /// When.
    pub read_at: Option<String>,
    /// When somebody took it over.
    pub acknowledged_at: Option<String>,
    /// Who did.
    pub acknowledged_by: Option<String>,
    /// Nobody was told, because its subject is silenced.
    pub silent: bool,
    /// The facts of which the text was made; `null` when a newer logmedic wrote them.
    #[schema(value_type = Object)]
    pub notice: Option<Notice>,
}

impl Notification {
    /// An entry in words.
    #[must_use]
    pub fn of(entry: Entry, texts: &Texts) -> Self {
        let told = entry.notice.as_ref().map(|notice| render(notice, texts).text).unwrap_or_default();
        let (title, text) = told.split_once('\n').unwrap_or((&told, ""));
        let (title, text) = (title.to_owned(), text.to_owned());
        let Entry { ord, id, at, level, kind, class, notice, read_at, acknowledged_at, acknowledged_by, silent } =
            entry;
        Self {
            ord,
            id,
            at,
            level,
            kind,
            class,
            title,
            text,
            read: read_at.is_some(),
            read_at,
            acknowledged_at,
            acknowledged_by,
            silent,
            notice,
        }
    }
}

/// Which entries.
#[derive(Debug, Default, Deserialize, IntoParams)]
pub struct NotificationQuery {
    /// Only of this level.
    level: Option<Level>,
    /// Only of this kind: `incident`, `bot`, `agent`, `probe`, `operation`, `custom`.
    #[param(pattern = "^(incident|bot|agent|probe|operation|custom)$")]
    kind: Option<String>,
    /// Only incidents of this class.
    class: Option<String>,
    /// `true`: only unread ones; `false`: only read ones.
    unread: Option<bool>,
    /// Only those that hold this text.
    search: Option<String>,
    /// Only those said at or after this moment, RFC 3339.
    since: Option<DateTime<Utc>>,
}

impl NotificationQuery {
    fn filter(self, before: Option<String>) -> Result<Filter, Problem> {
        let bad = |detail: String| Problem::bad("bad_filter", detail);
        if let Some(kind) = self.kind.as_deref().filter(|kind| !Story::KINDS.contains(kind)) {
            return Err(bad(format!("there is no kind `{}`; known: {}", plain(kind), Story::KINDS.join(", "))));
        }
        let class = match self.class {
            None => None,
            Some(word) => Some(word.parse::<Class>().map_err(|error| bad(plain(&error.to_string())))?),
        };
        if self.search.as_ref().is_some_and(|text| text.chars().count() > table::SEARCH_MAX) {
            return Err(bad(format!("search is longer than {} signs", table::SEARCH_MAX)));
        }
        let before = match before {
            None => None,
            Some(place) => Some(place.parse().map_err(|_| {
                Problem::bad("bad_cursor", "the cursor is not one that this server gave out; begin without one")
            })?),
        };
        let Self { level, kind, unread, search, since, .. } = self;
        Ok(Filter { level, kind, class, unread, search, since, before })
    }
}

fn plain(text: &str) -> String {
    crate::vocab::shorten(&crate::vocab::clean_line(text), 100).into_owned()
}

fn missing(id: &str) -> Problem {
    Problem::missing("notification_not_found", format!("there is no notification `{}` (any more)", plain(id)))
}

/// What people were told, newest first.
#[utoipa::path(get, path = "/notifications", tag = "notifications", params(PageQuery, NotificationQuery),
    responses((status = 200, body = Page<Notification>), (status = 400, body = Problem)))]
async fn list(
    State(centre): State<Centre>,
    _: Viewer,
    Query(page): Query<PageQuery>,
    Query(query): Query<NotificationQuery>,
) -> Result<Json<Page<Notification>>, Problem> {
    let (limit, before) = page.read()?;
    let filter = query.filter(before)?;
    let found = centre.ledger.read(|db| table::list(db, &filter, limit + 1))?;
    let items = found.into_iter().map(|entry| Notification::of(entry, &centre.texts)).collect();
    Ok(Json(Page::of(items, limit, |item: &Notification| item.ord.to_string())))
}

/// How many nobody has read.
#[derive(Serialize, ToSchema)]
struct Unread {
    /// How many.
    unread: u64,
}

/// How many entries nobody has read.
#[utoipa::path(get, path = "/notifications/unread_count", tag = "notifications", responses((status = 200, body = Unread)))]
async fn unread_count(State(centre): State<Centre>, _: Viewer) -> Result<Json<Unread>, Problem> {
    Ok(Json(Unread { unread: centre.ledger.read(table::unread)? }))
}

/// From when, and how fine.
#[derive(Debug, Deserialize, IntoParams)]
struct StatsQuery {
    /// From this moment on, RFC 3339; the last seven days when not said.
    since: Option<DateTime<Utc>>,
    /// `hour` or `day`.
    #[param(pattern = "^(hour|day)$")]
    by: Option<String>,
}

/// Entries by level, class and kind, and deliveries by channel and result, over time.
#[utoipa::path(get, path = "/notifications/stats", tag = "notifications", params(StatsQuery),
    responses((status = 200, body = Stats), (status = 400, body = Problem)))]
async fn stats(
    State(centre): State<Centre>,
    _: Viewer,
    Query(query): Query<StatsQuery>,
) -> Result<Json<Stats>, Problem> {
    let now = Utc::now();
    let since = query.since.unwrap_or(now - TimeDelta::days(7)).max(now - TimeDelta::days(STATS_DAYS));
    let daily = match query.by.as_deref() {
        None => since < now - TimeDelta::days(HOURLY_DAYS),
        Some("hour") => false,
        Some("day") => true,
        Some(_) => return Err(Problem::bad("bad_filter", "by is `hour` or `day`")),
    };
    Ok(Json(centre.ledger.read(|db| table::stats(db, since, daily))?))
}

/// One entry and how it was delivered.
#[derive(Serialize, ToSchema)]
struct Told {
    #[serde(flatten)]
    notification: Notification,
    /// By channel.
    deliveries: Vec<Delivered>,
}

/// One entry, with how it was delivered.
#[utoipa::path(get, path = "/notifications/{id}", tag = "notifications", params(("id" = String, Path)),
    responses((status = 200, body = Told), (status = 404, body = Problem)))]
async fn get(State(centre): State<Centre>, _: Viewer, Path(id): Path<String>) -> Result<Json<Told>, Problem> {
    let found = centre.ledger.read(|db| Ok((table::get(db, &id)?, channels::delivered(db, &id)?)))?;
    let (Some(entry), deliveries) = found else { return Err(missing(&id)) };
    Ok(Json(Told { notification: Notification::of(entry, &centre.texts), deliveries }))
}

/// A message that somebody writes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewNotification {
    /// How it is shown, and how loud it is.
    level: Level,
    /// One line, 1 to 300 bytes.
    title: String,
    /// More, at most 4,000 bytes.
    #[serde(default)]
    text: String,
}

/// What was made.
#[derive(Serialize, ToSchema)]
struct Made {
    /// Its identifier.
    id: String,
}

/// Tells everybody something of your own, by every channel whose rules let it through.
#[utoipa::path(post, path = "/notifications", tag = "notifications", request_body = NewNotification,
    responses((status = 201, body = Made), (status = 400, body = Problem)))]
async fn create(
    State(centre): State<Centre>,
    Operator(who): Operator,
    Json(new): Json<NewNotification>,
) -> Result<(StatusCode, Json<Made>), Problem> {
    let notice = custom(new.level, &new.title, &new.text, &who.account, Utc::now())
        .map_err(|error| Problem::bad("bad_notification", error))?;
    let id = notice.key.clone();
    centre.ledger.write(move |tx| owed::put(tx, &notice)).await?;
    Ok((StatusCode::CREATED, Json(Made { id })))
}

/// A message that somebody writes, as a notice.
///
/// # Errors
/// When the title is missing, or something is too long.
pub fn custom(level: Level, title: &str, text: &str, by: &str, at: DateTime<Utc>) -> Result<Notice, String> {
    let (title, text) = (title.trim(), text.trim());
    if title.is_empty() || title.len() > TITLE_MAX {
        return Err(format!("the title must have 1 to {TITLE_MAX} bytes"));
    }
    if text.len() > TEXT_MAX {
        return Err(format!("the text must have at most {TEXT_MAX} bytes"));
    }
    let seed = at.timestamp_nanos_opt().unwrap_or_default().cast_unsigned() ^ u64::from(std::process::id());
    let key = Id::new(at, &mut Rng::new(seed)).to_string();
    let story = Story::Custom { level, title: title.to_owned(), text: text.to_owned(), by: by.to_owned() };
    Ok(Notice { key, revision: 1, severity: level.severity(), story, at })
}

/// Marks one as read.
#[utoipa::path(post, path = "/notifications/{id}/read", tag = "notifications", params(("id" = String, Path)),
    responses((status = 204), (status = 404, body = Problem)))]
async fn read(State(centre): State<Centre>, _: Viewer, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    let key = id.clone();
    match centre.ledger.write(move |tx| table::read(tx, &key, Utc::now())).await? {
        Some(_) => Ok(StatusCode::NO_CONTENT),
        None => Err(missing(&id)),
    }
}

/// How many it concerned.
#[derive(Serialize, ToSchema)]
struct Concerned {
    /// How many.
    count: usize,
}

/// Marks all as read.
#[utoipa::path(post, path = "/notifications/read_all", tag = "notifications", responses((status = 200, body = Concerned)))]
async fn read_all(State(centre): State<Centre>, _: Viewer) -> Result<Json<Concerned>, Problem> {
    let count = centre.ledger.write(|tx| table::read_all(tx, Utc::now())).await?;
    Ok(Json(Concerned { count }))
}

/// Takes all entries out of the centre. What was not delivered of them is not delivered any more, except by Telegram.
#[utoipa::path(post, path = "/notifications/clear", tag = "notifications", responses((status = 200, body = Concerned)))]
async fn clear(State(centre): State<Centre>, _: Operator) -> Result<Json<Concerned>, Problem> {
    let count = centre.ledger.write(table::clear).await?;
    Ok(Json(Concerned { count }))
}

/// Takes it over: nobody is reminded of it any more.
#[utoipa::path(post, path = "/notifications/{id}/acknowledge", tag = "notifications", params(("id" = String, Path)),
    responses((status = 204), (status = 404, body = Problem)))]
async fn acknowledge(
    State(centre): State<Centre>,
    Operator(who): Operator,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let key = id.clone();
    let known = centre.ledger.write(move |tx| table::acknowledge(tx, &key, &who.account, Utc::now())).await?;
    if known { Ok(StatusCode::NO_CONTENT) } else { Err(missing(&id)) }
}

/// Which channel.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct Trial {
    /// Its name, with or without its kind (`webhook:ops`, `ops`); `telegram`; `push` for all browsers. All when not said.
    channel: Option<String>,
}

/// Sends a trial message at once, whatever the rules say, and tells what came of it.
#[utoipa::path(post, path = "/notifications/test", tag = "notifications", request_body = Option<Trial>,
    responses((status = 200, body = Vec<Tried>), (status = 404, body = Problem)))]
async fn test(
    State(centre): State<Centre>,
    _: Operator,
    trial: Option<Json<Option<Trial>>>,
) -> Result<Json<Vec<Tried>>, Problem> {
    let name = trial.and_then(|Json(trial)| trial?.channel);
    let tried = centre.channels.test(name.as_deref()).await;
    match name {
        Some(name) if tried.is_empty() => {
            Err(Problem::missing("channel_not_found", format!("there is no channel `{}`", plain(&name))))
        }
        _ => Ok(Json(tried)),
    }
}

/// The silences that hold now.
#[utoipa::path(get, path = "/notifications/silences", tag = "notifications", responses((status = 200, body = Vec<Silence>)))]
async fn silences(State(centre): State<Centre>, _: Viewer) -> Result<Json<Vec<Silence>>, Problem> {
    Ok(Json(centre.ledger.read(|db| table::silences(db, Utc::now()))?))
}

/// The key for browsers.
#[derive(Serialize, ToSchema)]
struct PushKey {
    /// `applicationServerKey`, base64url.
    key: String,
}

/// The key that a browser needs to subscribe.
#[utoipa::path(get, path = "/notifications/push/key", tag = "notifications", responses((status = 200, body = PushKey)))]
async fn push_key(State(centre): State<Centre>, _: Viewer) -> Json<PushKey> {
    Json(PushKey { key: centre.channels.public_key() })
}

/// What a browser's `PushSubscription.toJSON()` gives, and its language.
#[derive(Debug, Deserialize, ToSchema)]
struct Subscribe {
    /// Where messages for it go.
    endpoint: String,
    /// Its keys.
    keys: PushKeys,
    /// `en` or `es`.
    #[serde(default)]
    language: Option<String>,
}

/// A browser's keys, base64url.
#[derive(Debug, Deserialize, ToSchema)]
struct PushKeys {
    /// Its public key.
    p256dh: String,
    /// Its shared secret.
    auth: String,
}

/// A browser that is told from now on.
#[derive(Serialize, ToSchema)]
struct Subscribed {
    /// Its channel.
    channel: String,
}

/// Lets this browser be told. The same endpoint again renews it.
#[utoipa::path(post, path = "/notifications/push", tag = "notifications", request_body = Subscribe,
    responses((status = 201, body = Subscribed), (status = 400, body = Problem), (status = 409, body = Problem)))]
async fn subscribe(
    State(centre): State<Centre>,
    Viewer(who): Viewer,
    Json(body): Json<Subscribe>,
) -> Result<(StatusCode, Json<Subscribed>), Problem> {
    let keys = (body.keys.p256dh.as_str(), body.keys.auth.as_str());
    let allowed = centre.channels.push_settings();
    let new = subscription(&body.endpoint, keys, &who.account, body.language.as_deref(), &allowed)
        .map_err(|error| Problem::bad("bad_subscription", plain(&error)))?;
    let channel = format!("push:{}", new.hash);
    if !centre.ledger.write(move |tx| channels::subscribe(tx, &new)).await? {
        let most = channels::SUBSCRIPTIONS;
        return Err(Problem::conflict("too_many_subscriptions", format!("{most} browsers are subscribed already")));
    }
    Ok((StatusCode::CREATED, Json(Subscribed { channel })))
}

/// Which browser.
#[derive(Debug, Deserialize, ToSchema)]
struct Unsubscribe {
    /// As it was subscribed.
    endpoint: String,
}

/// Lets this browser not be told any more. Who subscribed it may, nobody else.
#[utoipa::path(delete, path = "/notifications/push", tag = "notifications", request_body = Unsubscribe,
    responses((status = 204), (status = 404, body = Problem)))]
async fn unsubscribe(
    State(centre): State<Centre>,
    Viewer(who): Viewer,
    Json(body): Json<Unsubscribe>,
) -> Result<StatusCode, Problem> {
    let hash = push_hash(&body.endpoint);
    let gone = centre.ledger.write(move |tx| channels::unsubscribe(tx, &hash, Some(&who.account))).await?;
    if gone {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::missing("subscription_not_found", "this browser is not subscribed by you"))
    }
}
