//! Makes operations of what the library does: they pause, end, and begin again after a restart. I/O.

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Library;
use super::pace::{self, Pace};
use super::populate::{self, Stopped, Summary};
use super::thumbnails::{self, Made, Wanted};
use crate::operate::{Control, Kind, Outcome, Report, Task, Worker};
use crate::vocab::{Id, shorten};

/// Files that one operation may name.
pub const IDS_MAX: usize = 1_000;

/// Longest path in a message.
const PATH_MAX: usize = 120;

/// Name of the operation that finds out what files there are.
pub const POPULATE: &str = "populate";

/// Name of the operation that makes small pictures.
pub const THUMBNAILS: &str = "thumbnails";

/// How to find out what files there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Populate {
    /// Nobody waits for it: files are read no faster than `[library] rate`.
    pub gently: bool,
}

/// Of which files small pictures are made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = ThumbnailsOrder)]
#[serde(default, deny_unknown_fields)]
pub struct Thumbnails {
    /// These files; without any: all.
    #[schema(max_items = 1000)]
    pub ids: Vec<String>,
    /// Also of those that have one.
    pub force: bool,
}

impl Thumbnails {
    /// Whether it stays within the limits.
    #[must_use]
    pub fn is_fine(&self) -> bool {
        self.ids.len() <= IDS_MAX && self.ids.iter().all(|id| Id::parse(id).is_some())
    }
}

/// The library's tasks.
#[must_use]
pub fn tasks(library: &Library) -> Vec<Box<dyn Task>> {
    vec![Box::new(PopulateTask(library.clone())), Box::new(ThumbnailsTask(library.clone()))]
}

struct PopulateTask(Library);

impl Task for PopulateTask {
    fn kind(&self) -> Kind {
        Kind::Library
    }

    fn worker(&self, input: &Value) -> Option<Box<dyn Worker>> {
        let order = serde_json::from_value(input.clone()).ok()?;
        Some(Box::new(Populating { library: self.0.clone(), order }))
    }
}

struct Populating {
    library: Library,
    order: Populate,
}

impl Worker for Populating {
    fn run(self: Box<Self>, mut control: Control) -> BoxFuture<'static, Outcome> {
        Box::pin(async move {
            if control.checkpoint().await.is_err() {
                return Outcome::cancelled("it was not begun");
            }
            let rate = if self.order.gently { self.library.inner.settings.rate } else { 0 };
            let teller = control.clone();
            let done = pace::drive(control, (rate, self.order.gently), move |pace: &Pace| {
                populate::populate(&self.library, pace, &|summary, known, at| tell(&teller, summary, known, at))
            });
            match done.await {
                Some(Ok(summary)) => {
                    Outcome::Done(Report { detail: summary.detail(), output: summary.reasons, ..Report::default() })
                }
                Some(Err(why)) => stopped(why),
                None => died(),
            }
        })
    }
}

fn tell(control: &Control, summary: &Summary, known: u64, at: &str) {
    control.tell(|tally| {
        tally.done = Some(summary.files);
        // The first time nobody knows how many there are.
        tally.total = (known > 0).then(|| known.max(summary.files));
        tally.succeeded = Some(summary.files.saturating_sub(summary.unreadable + summary.busy));
        tally.failed = Some(summary.unreadable);
        tally.message = Some(shorten(at, PATH_MAX).into_owned());
    });
}

struct ThumbnailsTask(Library);

impl Task for ThumbnailsTask {
    fn kind(&self) -> Kind {
        Kind::Thumbnails
    }

    fn worker(&self, input: &Value) -> Option<Box<dyn Worker>> {
        let order: Thumbnails = serde_json::from_value(input.clone()).ok()?;
        order.is_fine().then(|| Box::new(Picturing { library: self.0.clone(), order }) as Box<dyn Worker>)
    }
}

struct Picturing {
    library: Library,
    order: Thumbnails,
}

impl Worker for Picturing {
    fn run(self: Box<Self>, mut control: Control) -> BoxFuture<'static, Outcome> {
        Box::pin(async move {
            if control.checkpoint().await.is_err() {
                return Outcome::cancelled("it was not begun");
            }
            let Thumbnails { ids, force } = self.order;
            let wanted = match (ids.is_empty(), force) {
                (false, force) => Wanted::These(ids, force),
                (true, false) => Wanted::Missing,
                (true, true) => Wanted::All,
            };
            let (library, teller) = (self.library, control.clone());
            let done = pace::drive(control, (0, true), move |pace: &Pace| {
                thumbnails::thumbnails(&library, &wanted, pace, &|made, at| tell_made(&teller, made, at))
            });
            match done.await {
                Some(Ok(Ok(Made { made, without, kept, .. }))) => {
                    Outcome::done(format!("{made} made, {kept} kept, {without} files without a picture"))
                }
                Some(Ok(Err(why))) => Outcome::failed(why),
                Some(Err(why)) => stopped(why),
                None => died(),
            }
        })
    }
}

fn tell_made(control: &Control, made: &Made, at: &str) {
    control.tell(|tally| {
        let done = made.made + made.without + made.kept;
        (tally.done, tally.total) = (Some(done), Some(made.total.max(done)));
        (tally.succeeded, tally.failed) = (Some(made.made + made.kept), Some(made.without));
        tally.message = Some(shorten(at, PATH_MAX).into_owned());
    });
}

fn stopped(why: Stopped) -> Outcome {
    match why {
        Stopped::Ended => Outcome::cancelled("stopped; what was done so far is kept"),
        Stopped::Ledger(error) => Outcome::failed(error.to_string()),
    }
}

fn died() -> Outcome {
    Outcome::failed("failed to go on: an error inside logmedic; please report what stands in its log")
}
