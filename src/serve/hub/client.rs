//! One client's connection: empties its queue into the socket, reads what it asks for. I/O.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite;

use super::ask::{self, Ask, Command};
use super::frame::{Kind, Topic};
use super::gate::Commands;
use super::patience::{Patience, Verdict};
use super::room::{Room, Seat};
use super::{Hub, lock};

/// Frames that are handed to the socket at once. Those are on their way; what waits behind them can still be folded.
const AT_ONCE: usize = 64;

/// How long the goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// Why a connection ends.
enum End {
    /// The client left or its connection broke.
    Gone,
    /// It broke in the middle.
    Broken,
    /// Nothing was heard from it.
    Dead,
    /// We send it away, with this code and reason.
    Close(u16, &'static str),
}

/// Serves one client until its end.
pub async fn attend(hub: Hub, seat: Arc<Seat>, socket: WebSocket, commands: Arc<dyn Commands>) {
    let (mut sink, mut stream) = socket.split();
    let heard = AtomicBool::new(true);
    let end = tokio::select! {
        end = speak(&mut sink, &hub, &seat, &heard) => end,
        end = listen(&mut stream, &hub, &seat, &heard, &*commands) => end,
        () = seat.closed.notified() => End::Close(close_code::POLICY, seat.closing()),
        () = expiry(seat.guest().left) => End::Close(close_code::POLICY, "your session ended; log in again"),
    };
    hub.leave(&seat);
    let close = match end {
        End::Gone => {
            // Its own goodbye has been answered, but not sent yet.
            let _ = timeout(GOODBYE, sink.flush()).await;
            return;
        }
        End::Broken | End::Dead => {
            hub.0.figures.error();
            return;
        }
        End::Close(code, reason) => Message::Close(Some(CloseFrame { code, reason: reason.into() })),
    };
    hub.0.figures.error();
    if let Ok(mut socket) = sink.reunite(stream) {
        // It may be the very client that takes nothing. What it still sends is read: closing over unread bytes would
        // tear the connection down before it has read why.
        let goodbye = async {
            let _ = socket.send(close).await;
            while let Some(Ok(_)) = socket.next().await {}
        };
        let _ = timeout(GOODBYE, goodbye).await;
    }
}

async fn expiry(left: Option<Duration>) {
    match left {
        Some(left) => tokio::time::sleep(left).await,
        None => std::future::pending().await,
    }
}

async fn speak(sink: &mut SplitSink<WebSocket, Message>, hub: &Hub, seat: &Seat, heard: &AtomicBool) -> End {
    let settings = hub.settings();
    let slow = End::Close(close_code::AGAIN, "you take too long; connect again");
    let mut ping = tokio::time::interval_at(Instant::now() + settings.heartbeat, settings.heartbeat);
    ping.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = seat.wake.notified() => {}
            _ = ping.tick() => {
                if !heard.swap(false, Ordering::Relaxed) {
                    return End::Dead;
                }
                match timeout(settings.stall, sink.send(Message::Ping(Vec::new().into()))).await {
                    Err(_) => return slow,
                    Ok(Err(_)) => return End::Broken,
                    Ok(Ok(())) => {}
                }
            }
        }
        loop {
            let next = seat.take(AT_ONCE);
            if next.gap.is_none() && next.frames.is_empty() {
                break;
            }
            let write = async {
                if let Some(gap) = &next.gap {
                    hub.0.figures.gap();
                    sink.feed(Message::Text(hub.gap_frame(gap).text.clone())).await?;
                }
                for frame in &next.frames {
                    sink.feed(Message::Text(frame.text.clone())).await?;
                }
                sink.flush().await
            };
            match timeout(settings.stall, write).await {
                Err(_) => return slow,
                Ok(Err(_)) => return End::Broken,
                Ok(Ok(())) => hub.0.figures.delivered(&next.frames),
            }
        }
    }
}

async fn listen(
    stream: &mut SplitStream<WebSocket>,
    hub: &Hub,
    seat: &Seat,
    heard: &AtomicBool,
    commands: &dyn Commands,
) -> End {
    let begun = Instant::now();
    let mut patience = Patience::default();
    while let Some(message) = stream.next().await {
        heard.store(true, Ordering::Relaxed);
        let text = match message {
            Ok(Message::Text(text)) => text,
            // Answered by the library, in time with our own writes.
            Ok(Message::Ping(_) | Message::Pong(_)) => match patience.frame(begun.elapsed()) {
                Verdict::Enough => return End::Close(close_code::POLICY, "too many frames"),
                _ => continue,
            },
            Ok(Message::Close(_)) => return End::Gone,
            Ok(Message::Binary(_)) => return End::Close(close_code::UNSUPPORTED, "frames are JSON text"),
            Err(error) => return refused(error),
        };
        let verdict = match patience.frame(begun.elapsed()) {
            Verdict::Go => match carry_out(hub, seat, commands, &text).await {
                Ok(()) => continue,
                Err(problem) => {
                    hub.answer(seat, Kind::Error, problem.data);
                    if problem.mistake { patience.mistake(begun.elapsed()) } else { Verdict::Refuse }
                }
            },
            verdict => {
                hub.answer(seat, Kind::Error, json!({"code": "too_fast", "detail": "you send too many frames"}));
                verdict
            }
        };
        if verdict == Verdict::Enough {
            return End::Close(close_code::POLICY, "too many mistakes or frames");
        }
    }
    End::Gone
}

fn refused(error: axum::Error) -> End {
    match error.into_inner().downcast::<tungstenite::Error>() {
        Ok(error) => match *error {
            tungstenite::Error::Capacity(_) => End::Close(close_code::SIZE, "a frame may have 4096 bytes"),
            tungstenite::Error::Utf8(_) => End::Close(close_code::INVALID, "frames are UTF-8"),
            tungstenite::Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => End::Gone,
            tungstenite::Error::Protocol(_) => End::Close(close_code::PROTOCOL, "that is not WebSocket"),
            _ => End::Broken,
        },
        Err(_) => End::Broken,
    }
}

/// A frame that was refused.
struct Refusal {
    data: Value,
    /// The client is wrong, not only unlucky.
    mistake: bool,
}

async fn carry_out(hub: &Hub, seat: &Seat, commands: &dyn Commands, text: &str) -> Result<(), Refusal> {
    let asked = match ask::read(text) {
        Ok(asked) => asked,
        Err(_) if commands.is_known_text(text) => return Ok(()),
        Err(detail) => return Err(Refusal { data: json!({"code": "bad_frame", "detail": detail}), mistake: true }),
    };
    let refuse = |code: &str, detail: String, mistake: bool| Refusal {
        data: json!({"code": code, "detail": detail, "about": asked.kind, "ref": asked.reference}),
        mistake,
    };
    let ask = asked.ask.clone().map_err(|detail| refuse("bad_frame", detail, true))?;
    let forbidden = |(code, detail): (&str, String)| refuse(code, detail, true);
    match ask {
        Ask::Ping => {
            hub.answer(seat, Kind::Pong, json!({"ref": asked.reference}));
            return Ok(());
        }
        Ask::Subscribe(selection) => with_room(hub, |_| seat.want(&selection)).map_err(forbidden)?,
        Ask::Unsubscribe(selection) => seat.unwant(&selection),
        Ask::Resume(since, selection) => {
            with_room(hub, |room| room.resume(seat, &since, &selection)).map_err(forbidden)?;
        }
        Ask::Command(command) => {
            let least = command.least_role();
            if seat.guest().role < least {
                return Err(refuse("forbidden", format!("that needs the role {least}"), true));
            }
            obey(hub, seat, commands, command).await.map_err(|(code, detail)| refuse(code, detail, false))?;
        }
    }
    hub.answer(seat, Kind::Ok, json!({"about": asked.kind, "ref": asked.reference}));
    Ok(())
}

fn with_room<T>(hub: &Hub, act: impl FnOnce(&Room) -> T) -> T {
    act(&lock(&hub.0.room))
}

async fn obey(hub: &Hub, seat: &Seat, commands: &dyn Commands, command: Command) -> Result<(), (&'static str, String)> {
    let answers = commands.carry_out(seat.guest(), command).await.map_err(|problem| (problem.code, problem.detail))?;
    for data in answers {
        hub.answer_with(seat, Topic::Notification, Kind::Notification, data);
    }
    Ok(())
}
