//! Gives any text to the reader of client frames. What it understands holds the limits that the rest of the hub relies on.
#![no_main]

use libfuzzer_sys::fuzz_target;
use logmedic::serve::hub::{Ask, Command, FRAME_MAX, read_frame};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if text.len() > FRAME_MAX {
        return;
    }
    let Ok(asked) = read_frame(text) else { return };
    assert_eq!(read_frame(text).as_ref(), Ok(&asked), "it depends on something else than the text");
    match asked.ask {
        Ok(Ask::Command(Command::Notifications { limit })) => assert!((1..=1_000).contains(&limit)),
        Ok(Ask::Command(Command::MarkRead { id } | Command::Operation { id, .. })) => assert!(!id.is_empty()),
        Ok(Ask::Subscribe(selection) | Ask::Unsubscribe(selection) | Ask::Resume(_, selection)) => {
            assert!(selection.rooms.iter().map(String::len).sum::<usize>() <= 8 * text.len());
        }
        Ok(_) => {}
        Err(why) => assert!(why.len() < 400, "a refusal quotes too much: {why}"),
    }
});
