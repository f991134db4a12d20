//! `operations/integrity`: begins a check of the library, and shows what one found, as JSON or CSV.

use axum::Json;
use axum::extract::{FromRef, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{Identity, Operator, Viewer};
use super::input::Wish;
use super::page::{Page, PageQuery};
use super::problem::Problem;
use crate::ledger::integrity::{self as rows, FINDINGS_MAX, Finding};
use crate::library::{IDS_MAX, Library, VERIFY, Verify};
use crate::operate::{Kind, Operation, Operations, Priority, Refused};
use crate::vocab::{Id, rfc3339};

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

/// A file that a check found not to be sound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IntegrityFinding {
    /// Its identifier in the library.
    pub id: String,
    /// Where it was: the root's name and the path below it.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// `short`, `broken`, `changed`, `unknown`.
    pub verdict: String,
    /// How thoroughly it was looked at: `structure`, `checksum`, `decode`.
    pub level: String,
    /// What shows it.
    pub reason: String,
    /// When.
    pub checked_at: String,
    /// The incident that it led to.
    pub incident: Option<String>,
}

/// What a check found.
#[derive(Serialize, ToSchema)]
pub struct IntegrityReport {
    /// The check.
    operation: Operation,
    /// What is not sound, in the order in which files were first seen; 10,000 at most.
    findings: Page<IntegrityFinding>,
}

/// How the report is wanted.
#[derive(Default, Deserialize, IntoParams)]
pub struct ReportQuery {
    /// `json` (without it), or `csv`: all of it in one answer.
    format: Option<String>,
}

/// `operations/integrity/…`.
pub fn router<S>(library: Library, operations: Operations, identity: Identity) -> OpenApiRouter<S> {
    OpenApiRouter::new().routes(routes!(verify)).routes(routes!(report)).with_state(Desk {
        library,
        operations,
        identity,
    })
}

/// Verifies files: those named, those of a root, those that were reported before; else all of the library.
#[utoipa::path(post, path = "/operations/integrity/verify", tag = "operations", request_body = Option<Verify>,
    responses((status = 202, body = Operation), (status = 400, body = Problem), (status = 409, body = Problem)))]
async fn verify(
    State(desk): State<Desk>,
    Operator(who): Operator,
    Wish(order): Wish<Verify>,
) -> Result<(StatusCode, Json<Operation>), Problem> {
    if !order.is_fine() {
        let why = format!("ids are up to {IDS_MAX} identifiers of files of the library");
        return Err(Problem::bad("bad_ids", why));
    }
    let order = serde_json::to_value(&order).unwrap_or_default();
    let begun = desk.operations.run_task((Kind::Integrity, VERIFY), order, Priority::Normal, &who.account).await?;
    Ok((StatusCode::ACCEPTED, Json(begun)))
}

/// What a check found that is not sound, also while it is under way.
#[utoipa::path(get, path = "/operations/integrity/{id}", tag = "operations",
    params(("id" = String, Path), PageQuery, ReportQuery),
    responses((status = 200, content((IntegrityReport = "application/json"), (String = "text/csv"))),
        (status = 400, body = Problem), (status = 404, body = Problem)))]
async fn report(
    State(desk): State<Desk>,
    _: Viewer,
    Path(id): Path<String>,
    Query(page): Query<PageQuery>,
    Query(of): Query<ReportQuery>,
) -> Result<Response, Problem> {
    let missing = || Problem::from(Refused::Missing(id.clone()));
    let known = Id::parse(&id).ok_or_else(missing)?;
    let operation = desk.operations.get(known)?.filter(|one| one.kind == Kind::Integrity).ok_or_else(missing)?;
    let name = operation.id.to_string();
    match of.format.as_deref() {
        None | Some("json") => {
            let (limit, place) = page.read()?;
            let bad =
                |_| Problem::bad("bad_cursor", "the cursor is not one that this server gave out; begin without one");
            let after = place.map(|place| place.parse::<i64>().map_err(bad)).transpose()?.unwrap_or(0);
            let found = desk.library.read(move |db| rows::findings(db, &name, after, limit + 1)).await?;
            let Page { items, next_cursor } = Page::of(found, limit, |finding| finding.ord.to_string());
            let findings = Page { items: items.into_iter().map(shown).collect(), next_cursor };
            Ok(Json(IntegrityReport { operation, findings }).into_response())
        }
        Some("csv") => {
            let all = u32::try_from(FINDINGS_MAX).unwrap_or(u32::MAX);
            let found = desk.library.read(move |db| rows::findings(db, &name, 0, all)).await?;
            let file = format!("attachment; filename=\"integrity-{}.csv\"", operation.id);
            let about =
                [(header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()), (header::CONTENT_DISPOSITION, file)];
            Ok((about, csv(found.into_iter().map(shown))).into_response())
        }
        Some(_) => Err(Problem::bad("bad_format", "format is one of json, csv")),
    }
}

/// A finding as it is shown.
#[must_use]
pub fn shown(found: Finding) -> IntegrityFinding {
    let Finding { media, path, size, verdict, level, reason, checked_at, incident, .. } = found;
    let checked_at = DateTime::<Utc>::from_timestamp_millis(checked_at).map(rfc3339).unwrap_or_default();
    IntegrityFinding { id: media, path, size, verdict, level, reason, checked_at, incident }
}

/// A table as RFC 4180 has it. Names of files are strangers': what a spreadsheet would take for a formula gets a quote before it.
#[must_use]
pub fn csv(findings: impl Iterator<Item = IntegrityFinding>) -> String {
    let mut out = String::from("id,path,size,verdict,level,reason,checked_at,incident\r\n");
    for found in findings {
        let size = found.size.to_string();
        let incident = found.incident.unwrap_or_default();
        let cells = [
            found.id.as_str(),
            &found.path,
            &size,
            &found.verdict,
            &found.level,
            &found.reason,
            &found.checked_at,
            &incident,
        ];
        let cells: Vec<String> = cells.into_iter().map(cell).collect();
        out.push_str(&cells.join(","));
        out.push_str("\r\n");
    }
    out
}

fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h1_no_cell_of_a_report_is_a_formula_or_breaks_the_table() {
        for (text, cell_is) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("=HYPERLINK(\"http://x\")", "\"'=HYPERLINK(\"\"http://x\"\")\""),
            ("@SUM(1)", "'@SUM(1)"),
            ("two\nlines", "\"two\nlines\""),
        ] {
            assert_eq!(cell(text), cell_is);
        }
    }
}
