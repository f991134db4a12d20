//! Sends files, whole or from a byte on, stalling, cutting and resetting as was asked for.

use std::io::{self, SeekFrom};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Path, State};
use axum::http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::api::{error, misbehave};
use super::fault::Misbehaviour;
use super::server::Fate;
use super::world::World;

/// Bytes read and sent at a time.
const CHUNK: u64 = 64 * 1024;
/// A short rest before a connection breaks, in which what was sent so far leaves the buffers.
const FLUSH: Duration = Duration::from_millis(50);

/// How a transfer ends.
#[derive(Clone, Copy, PartialEq)]
enum Ending {
    Whole,
    Close,
    Reset,
}

/// One transfer under way.
struct Transfer {
    world: World,
    fate: Fate,
    file: tokio::fs::File,
    sent: u64,
    /// Bytes that will be sent.
    length: u64,
    ending: Ending,
    stall: Option<(u64, Duration)>,
}

/// `/file/bot<token>/<path>`; teloxide sends the path as one percent-encoded segment.
pub(super) async fn file(
    State(world): State<World>,
    ConnectInfo(fate): ConnectInfo<Fate>,
    Path((bot, path)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    if bot.strip_prefix("bot").and_then(|token| world.account(token)).is_none() {
        return error(StatusCode::UNAUTHORIZED, "Unauthorized");
    }
    let stored = if world.local_mode() { None } else { world.file_at(&path) };
    let Some(stored) = stored else { return error(StatusCode::NOT_FOUND, "Not Found") };
    let fault = world.enter("file", &[&stored.file_id, &stored.file_path]);
    let size = stored.size;
    let Some(start) = range_start(&headers, size) else {
        return (StatusCode::RANGE_NOT_SATISFIABLE, [(CONTENT_RANGE, format!("bytes */{size}"))]).into_response();
    };
    let mut announced = size - start;
    let (mut length, mut ending, mut stall) = (announced, Ending::Whole, None);
    match fault {
        None => {}
        Some(Misbehaviour::Hang { ms }) => tokio::time::sleep(Duration::from_millis(ms)).await,
        Some(Misbehaviour::Stall { after, ms }) => stall = Some((after.min(length), Duration::from_millis(ms))),
        Some(Misbehaviour::Cut { keep, claims_whole }) => {
            length = (length as f64 * keep.clamp(0.0, 1.0)) as u64;
            (announced, ending) = if claims_whole { (length, Ending::Whole) } else { (announced, Ending::Close) };
        }
        Some(Misbehaviour::Reset { after }) => (length, ending) = (after.min(length), Ending::Reset),
        Some(other) => return misbehave(&other),
    }
    let opened = async {
        let mut file = tokio::fs::File::open(&stored.local).await?;
        file.seek(SeekFrom::Start(start)).await?;
        io::Result::Ok(file)
    };
    let Ok(file) = opened.await else { return error(StatusCode::NOT_FOUND, "Not Found") };
    let transfer = Transfer { world, fate, file, sent: 0, length, ending, stall };
    let body = Body::from_stream(stream::try_unfold(transfer, next));
    let status = if start > 0 { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let headers = [
        (CONTENT_LENGTH, announced.to_string()),
        (CONTENT_TYPE, "application/octet-stream".into()),
        (ACCEPT_RANGES, "bytes".into()),
    ];
    let mut answer = (status, headers, body).into_response();
    if start > 0
        && let Ok(value) = format!("bytes {start}-{}/{size}", size - 1).parse()
    {
        answer.headers_mut().insert(CONTENT_RANGE, value);
    }
    answer
}

/// The next bytes; `None` at the end, an error to break the connection.
async fn next(mut transfer: Transfer) -> io::Result<Option<(Bytes, Transfer)>> {
    let mut until = transfer.length;
    if let Some((after, pause)) = transfer.stall {
        if transfer.sent < after {
            until = after;
        } else {
            transfer.stall = None;
            transfer.world.note_stall();
            tokio::time::sleep(pause).await;
        }
    }
    if transfer.sent < until {
        let mut chunk = vec![0; usize::try_from((until - transfer.sent).min(CHUNK)).unwrap_or(1)];
        if let Some(pace) = transfer.world.pace() {
            tokio::time::sleep(Duration::from_secs_f64(chunk.len() as f64 / pace.max(1) as f64)).await;
        }
        let read = transfer.file.read(&mut chunk).await?;
        chunk.truncate(read);
        transfer.sent += read as u64;
        return if read == 0 { Ok(None) } else { Ok(Some((chunk.into(), transfer))) };
    }
    match transfer.ending {
        Ending::Whole => Ok(None),
        ending => {
            tokio::time::sleep(FLUSH).await;
            if ending == Ending::Reset {
                transfer.fate.reset();
            }
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
}

/// Where to start: 0 without a (usable) `Range: bytes=N-`, `None` when it is behind the end.
fn range_start(headers: &HeaderMap, size: u64) -> Option<u64> {
    let range = headers.get(RANGE).and_then(|v| v.to_str().ok()).and_then(|v| v.strip_prefix("bytes="));
    let start = range.and_then(|r| r.split('-').next()).and_then(|n| n.parse().ok()).unwrap_or(0);
    (start < size || start == 0).then_some(start)
}
