//! A random model (A2, A3): whatever is done to the file, each line comes exactly once.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use logmedic::acquire::Checkpoint;
use proptest::prelude::*;

use crate::engine::{Watch, from_start, next_tick, path_source, scratch, shift};

#[derive(Clone, Copy, Debug)]
enum Action {
    Write(u8),
    WritePart,
    Rotate,
    CopyTruncate,
    DeleteCreate,
    SwapLink,
    Stop,
    Start,
    CatchUp,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        5 => (1u8..20).prop_map(Action::Write),
        2 => Just(Action::WritePart),
        4 => Just(Action::Rotate),
        2 => Just(Action::CopyTruncate),
        1 => Just(Action::DeleteCreate),
        1 => Just(Action::SwapLink),
        2 => Just(Action::Stop),
        2 => Just(Action::Start),
        2 => Just(Action::CatchUp),
    ]
}

struct Model {
    dir: tempfile::TempDir,
    log: PathBuf,
    writer: File,
    written: u32,
    part: Option<String>,
    targets: u32,
    watch: Option<Watch>,
    checkpoints: Vec<Checkpoint>,
    done: Vec<String>,
}

impl Model {
    fn new() -> Self {
        let (dir, log) = scratch();
        let writer = OpenOptions::new().append(true).create(true).open(&log).unwrap();
        let watch = Watch::start(vec![path_source(&log)], vec![], from_start());
        Self {
            dir,
            log,
            writer,
            written: 0,
            part: None,
            targets: 0,
            watch: Some(watch),
            checkpoints: vec![],
            done: vec![],
        }
    }

    fn write(&mut self, count: u8) {
        self.finish_part();
        let mut text = String::new();
        for _ in 0..count {
            self.written += 1;
            text += &format!("line {} of the model, long enough to be told from others\n", self.written);
        }
        self.writer.write_all(text.as_bytes()).unwrap();
    }

    fn finish_part(&mut self) {
        if let Some(rest) = self.part.take() {
            self.writer.write_all(rest.as_bytes()).unwrap();
        }
    }

    fn reopen(&mut self) {
        self.writer = OpenOptions::new().append(true).create(true).open(&self.log).unwrap();
    }

    async fn catch_up(&mut self) {
        self.finish_part();
        let (wanted, before) = (self.written as usize, self.done.len());
        if let Some(watch) = &mut self.watch {
            watch.until("all lines", |engine| engine.lines().len() + before >= wanted).await;
        }
    }

    async fn stop(&mut self) {
        if let Some(watch) = self.watch.take() {
            let (checkpoints, lines) = watch.kill().await;
            self.checkpoints = checkpoints;
            self.done.extend(lines);
        }
    }

    fn start(&mut self) {
        if self.watch.is_none() {
            // Killed before the first checkpoint was stored: then it is the first start still.
            self.watch = Some(Watch::start(vec![path_source(&self.log)], self.checkpoints.clone(), from_start()));
        }
    }

    async fn run(&mut self, action: Action) {
        let is_link = self.log.symlink_metadata().is_ok_and(|meta| meta.is_symlink());
        match action {
            Action::Write(count) => self.write(count),
            Action::WritePart => {
                self.finish_part();
                self.written += 1;
                self.writer.write_all(format!("line {} of", self.written).as_bytes()).unwrap();
                self.part = Some(" the model, long enough to be told from others\n".into());
            }
            Action::Rotate if !is_link => {
                shift(&self.log);
                // A writer ends its line in the file that it has open.
                self.finish_part();
                self.reopen();
            }
            // What is physically lost is nobody's fault: only when everything was read, or what was read is in the copy.
            Action::CopyTruncate if !is_link && self.watch.is_some() => {
                self.catch_up().await;
                let first = self.dir.path().join("bot.log.1");
                if first.exists() {
                    shift(&first);
                }
                fs::copy(&self.log, &first).unwrap();
                OpenOptions::new().write(true).truncate(true).open(&self.log).unwrap();
            }
            Action::DeleteCreate if !is_link && self.watch.is_some() => {
                self.catch_up().await;
                let watch = self.watch.as_mut().unwrap();
                watch.until("all open", |engine| engine.has_open(&self.log)).await;
                fs::remove_file(&self.log).unwrap();
                // Of a file that is deleted only its time is left, and that ticks.
                next_tick(self.dir.path());
                self.reopen();
            }
            Action::SwapLink if self.watch.is_some() => {
                self.catch_up().await;
                self.targets += 1;
                let target = self.dir.path().join(format!("target-{}", self.targets));
                File::create(&target).unwrap();
                let link = self.dir.path().join("link");
                symlink(&target, &link).unwrap();
                fs::rename(&link, &self.log).unwrap();
                self.reopen();
            }
            Action::Stop => self.stop().await,
            Action::Start => self.start(),
            Action::CatchUp => self.catch_up().await,
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, max_shrink_iters: 0, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a2_a3_whatever_happens_to_the_file_each_line_comes_exactly_once(
        actions in proptest::collection::vec(action(), 1..25)
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let mut model = Model::new();
            // Before its first checkpoint is stored, a start is always the first.
            model.watch.as_mut().unwrap().until("open", |engine| engine.streams.len() == 2).await;
            for action in &actions {
                model.run(*action).await;
            }
            model.start();
            model.write(1);
            model.catch_up().await;
            // Once more, so that what would come twice has come.
            model.stop().await;
            model.start();
            model.write(1);
            model.catch_up().await;
            model.stop().await;
            let mut numbers: Vec<u32> =
                model.done.iter().map(|line| line.split(' ').nth(1).unwrap().parse().unwrap()).collect();
            numbers.sort_unstable();
            assert_eq!(numbers, (1..=model.written).collect::<Vec<_>>(), "{actions:?}");
        });
    }
}
