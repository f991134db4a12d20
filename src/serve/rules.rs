//! `rules`: which there are, what they would say of a line, what none of them knows. I/O.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRef, State};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{Identity, Viewer};
use super::input::Input;
use super::page::Page;
use super::problem::Problem;
use crate::classify::{Rules, Verdict};
use crate::engine::intake::RuleBook;
use crate::ledger::{Ledger, store, story};
use crate::vocab::redact;

/// The longest event that is explained, in bytes: as much as the agent keeps of one.
const MAX_EVENT: usize = 16 * 1024;

/// Kinds of unknown errors that are shown; as many as are kept.
const MAX_UNKNOWN: u32 = 500;

/// The rules in effect, by source; others after a reload.
pub type Book = watch::Receiver<Arc<RuleBook>>;

/// What these routes work with.
#[derive(Clone)]
struct Desk {
    ledger: Ledger,
    book: Book,
    identity: Identity,
}

impl FromRef<Desk> for Identity {
    fn from_ref(desk: &Desk) -> Self {
        desk.identity.clone()
    }
}

/// `rules/…`.
pub fn router<S>(ledger: Ledger, book: Book, identity: Identity) -> OpenApiRouter<S> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(suggestions)).routes(routes!(explain)).with_state(Desk {
        ledger,
        book,
        identity,
    })
}

/// A rule, ignore or signal.
#[derive(Debug, Serialize, ToSchema)]
struct RuleView {
    /// `pack.name`.
    id: String,
    /// `rule`, `ignore` or `signal`.
    kind: &'static str,
    /// Its pack.
    pack: String,
    /// Whether you wrote it.
    user: bool,
    /// The class of failure; `null` for an ignore or a signal.
    class: Option<&'static str>,
    /// How bad.
    severity: Option<&'static str>,
    /// Its pattern.
    pattern: String,
    /// What it means and what heals it.
    about: String,
    /// Whether it is asked about every event because it names no fixed text.
    slow: bool,
    /// The sources that use it.
    sources: Vec<String>,
    /// How many events it recognised since the state directory was made; of an ignore or a signal nothing is counted.
    hits: u64,
    /// When the latest of them was written, RFC 3339.
    last_hit: Option<String>,
}

/// Every rule in effect, in the order in which they are asked.
#[utoipa::path(get, path = "/rules", tag = "rules", responses((status = 200, body = Page<RuleView>)))]
async fn list(_: Viewer, State(desk): State<Desk>) -> Result<Json<Page<RuleView>>, Problem> {
    let mut hits = desk.ledger.read(story::hits)?;
    let book = desk.book.borrow().clone();
    let mut views: Vec<RuleView> = Vec::new();
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    for (source, rules) in book.iter() {
        for info in rules.list() {
            if let Some(at) = known.get(&info.id) {
                views[*at].sources.push(source.clone());
                continue;
            }
            known.insert(info.id.clone(), views.len());
            let (count, last_hit) = hits.remove(&info.id).map_or((0, None), |(count, at)| (count, Some(at)));
            views.push(RuleView {
                id: info.id,
                kind: info.kind,
                pack: info.pack,
                user: info.user,
                class: info.class.map(|class| class.as_str()),
                severity: info.severity.map(|severity| severity.as_str()),
                pattern: info.pattern,
                about: info.about,
                slow: info.slow,
                sources: vec![source.clone()],
                hits: count,
                last_hit,
            });
        }
    }
    Ok(Json(Page { items: views, next_cursor: None }))
}

/// Errors that no rule knows, those that are alike together.
#[derive(Debug, Serialize, ToSchema)]
struct Suggestion {
    /// The source that said so.
    source: String,
    /// What they share.
    shape: String,
    /// The latest of them, secrets redacted.
    text: String,
    /// How many.
    count: u64,
    /// When the last of them was written.
    last_at: String,
}

/// Errors that no rule knows, the latest first: what a new rule would be good for.
#[utoipa::path(get, path = "/rules/suggestions", tag = "rules", responses((status = 200, body = Page<Suggestion>)))]
async fn suggestions(_: Viewer, State(desk): State<Desk>) -> Result<Json<Page<Suggestion>>, Problem> {
    let unknown = desk.ledger.read(|db| Ok(store::unclassified(db, MAX_UNKNOWN)))?;
    let items = unknown
        .into_iter()
        .map(|kind| Suggestion {
            source: kind.source,
            shape: kind.shape,
            text: kind.text,
            count: kind.count,
            last_at: kind.last_at,
        })
        .collect();
    Ok(Json(Page { items, next_cursor: None }))
}

/// A line to be explained.
#[derive(Debug, Deserialize, ToSchema)]
struct Line {
    /// The line, or a whole event with its line ends; at most 16 KiB.
    text: String,
    /// Whose rules to ask; the first source's when not said.
    source: Option<String>,
}

/// A rule whose pattern matches.
#[derive(Debug, Serialize, ToSchema)]
struct ClaimView {
    /// Its identifier.
    rule: String,
    /// Its class; `null` for an ignore.
    class: Option<&'static str>,
    /// Which part of the event it matches.
    part: &'static str,
    /// What it reads out.
    captures: BTreeMap<String, String>,
    /// Whether it wins.
    wins: bool,
    /// If not, why.
    reason: Option<&'static str>,
    /// What it means and what heals it.
    about: String,
}

/// What the rules say of a line.
#[derive(Debug, Serialize, ToSchema)]
struct ExplanationView {
    /// The class of failure; `null`: none.
    class: Option<&'static str>,
    /// The rule that claims it.
    rule: Option<String>,
    /// The part that is asked first, without time, logger and level.
    message: String,
    /// Whether it reads like an error, so that it is counted as unknown when no rule knows it.
    looks_like_error: bool,
    /// Every rule whose pattern matches, in order.
    claims: Vec<ClaimView>,
}

/// Which rule claims a line, what it reads out, why not another.
#[utoipa::path(post, path = "/rules/explain", tag = "rules", request_body = Line,
    responses((status = 200, body = ExplanationView), (status = 400, body = Problem), (status = 404, body = Problem)))]
async fn explain(
    _: Viewer,
    State(desk): State<Desk>,
    Input(line): Input<Line>,
) -> Result<Json<ExplanationView>, Problem> {
    if line.text.len() > MAX_EVENT {
        return Err(Problem::bad("too_long", format!("the text is longer than {MAX_EVENT} bytes")));
    }
    let rules = of_source(&desk, line.source.as_deref())?;
    let explanation = rules.explain(line.text.as_bytes());
    let claims: Vec<ClaimView> = explanation
        .claims
        .into_iter()
        .map(|claim| ClaimView {
            rule: claim.rule,
            class: claim.class.map(|class| class.as_str()),
            part: claim.part,
            captures: claim.captures.into_iter().map(|(name, value)| (name, redact(&value).into_owned())).collect(),
            wins: claim.verdict == Verdict::Wins,
            reason: match claim.verdict {
                Verdict::Wins => None,
                Verdict::Later => Some("it is asked later"),
                Verdict::Objects(reason) => Some(reason),
            },
            about: claim.about,
        })
        .collect();
    let winner = claims.iter().find(|claim| claim.wins);
    Ok(Json(ExplanationView {
        class: winner.and_then(|claim| claim.class),
        rule: winner.map(|claim| claim.rule.clone()),
        message: redact(&explanation.message).into_owned(),
        looks_like_error: explanation.looks_like_error,
        claims,
    }))
}

fn of_source(desk: &Desk, source: Option<&str>) -> Result<Arc<Rules>, Problem> {
    let book = desk.book.borrow();
    let found = match source {
        Some(name) => book.get(name),
        None => book.values().next(),
    };
    found.cloned().ok_or_else(|| {
        let known = book.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        Problem::missing("source_not_found", format!("there is no such source; there are: {known}"))
    })
}
