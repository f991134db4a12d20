//! Cuts lists into pages: `?limit=&cursor=`. Pure.
//!
//! A cursor is the place of the last item shown, opaque to clients. Lists grow at their newest end, so a page never
//! repeats or skips what stood there when the first one was read.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::problem::Problem;

/// Items of a page when the client does not say.
pub const DEFAULT_LIMIT: u32 = 50;

/// Items of a page at most: one answer stays below a megabyte.
pub const MAX_LIMIT: u32 = 200;

/// Which page is wanted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
pub struct PageQuery {
    /// Items at most, 1 to 200; 50 when not said.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// One page.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// The items, newest first.
    pub items: Vec<T>,
    /// Where the next page begins; `null` on the last.
    pub next_cursor: Option<String>,
}

impl PageQuery {
    /// How many items, and behind which place.
    ///
    /// # Errors
    /// When the limit is not 1 to 200 or the cursor is not one of ours.
    pub fn read(&self) -> Result<(u32, Option<String>), Problem> {
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT);
        if limit == 0 || limit > MAX_LIMIT {
            return Err(Problem::bad("bad_limit", format!("limit is {limit}; it must be 1 to {MAX_LIMIT}")));
        }
        let bad = || Problem::bad("bad_cursor", "the cursor is not one that this server gave out; begin without one");
        let place = match self.cursor.as_deref() {
            None | Some("") => None,
            Some(cursor) if cursor.len() > 128 => return Err(bad()),
            Some(cursor) => {
                let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| bad())?;
                Some(String::from_utf8(bytes).map_err(|_| bad())?)
            }
        };
        Ok((limit, place))
    }
}

impl<T> Page<T> {
    /// A page of at most `limit` of these items, of which one more than that was asked for; `place` tells where an
    /// item stands.
    #[must_use]
    pub fn of(mut items: Vec<T>, limit: u32, place: impl Fn(&T) -> String) -> Self {
        let limit = limit as usize;
        let more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = items.last().filter(|_| more).map(|last| URL_SAFE_NO_PAD.encode(place(last)));
        Self { items, next_cursor }
    }
}
