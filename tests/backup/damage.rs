//! Backups that are damaged or made up, and disks that are full.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use logmedic::ledger::backup::known;
use logmedic::ledger::rusqlite::Connection;
use serde_json::json;

use super::house::{House, copied, forge, resum, said};

fn flip(path: &Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

type Harm = (&'static str, Box<dyn Fn(&Path)>, &'static str);

fn harm(name: &'static str, what: impl Fn(&Path) + 'static, says: &'static str) -> Harm {
    (name, Box::new(what), says)
}

/// Another path for the configuration file, with a manifest that fits.
fn path(name: &'static str, path: &'static str, says: &'static str) -> Harm {
    let lies = move |folder: &Path| {
        forge(folder, |manifest| {
            let files = manifest["files"].as_array_mut().unwrap();
            files.iter_mut().find(|one| one["path"] == "config/config.toml").unwrap()["path"] = json!(path);
        });
    };
    harm(name, lies, says)
}

fn every_harm() -> Vec<Harm> {
    vec![
        harm("a bit of the state", |folder| flip(&folder.join("state.db"), 5_000), "checksum differs"),
        harm("a bit of a file", |folder| flip(&folder.join("media/models/a.mp4"), 2), "a.mp4"),
        harm("a bit of the manifest", |folder| flip(&folder.join("manifest.json"), 60), "manifest"),
        harm("a bit of its checksum", |folder| flip(&folder.join("manifest.json.sha256"), 3), "manifest"),
        harm("no manifest", |folder| fs::remove_file(folder.join("manifest.json")).unwrap(), "does not exist"),
        harm("no checksum", |folder| fs::remove_file(folder.join("manifest.json.sha256")).unwrap(), "does not exist"),
        harm("no state", |folder| fs::remove_file(folder.join("state.db")).unwrap(), "state.db"),
        harm("no file", |folder| fs::remove_file(folder.join("config/config.toml")).unwrap(), "config.toml"),
        harm("one more file", |folder| fs::write(folder.join("config/x\x1b[2J"), "").unwrap(), "does not belong"),
        harm("a short file", |folder| fs::write(folder.join("media/models/a.mp4"), "f").unwrap(), "written with"),
        harm(
            "a long file",
            |folder| fs::write(folder.join("media/models/a.mp4"), "film film").unwrap(),
            "written with",
        ),
        harm("one more link", |folder| symlink("/etc/passwd", folder.join("config/y")).unwrap(), "link"),
        harm(
            "a file that is a link to its own content",
            |folder| {
                fs::rename(folder.join("config/config.toml"), folder.with_extension("out")).unwrap();
                symlink(folder.with_extension("out"), folder.join("config/config.toml")).unwrap();
            },
            "link",
        ),
        harm(
            "a folder that is a link",
            |folder| {
                fs::rename(folder.join("config"), folder.with_extension("out")).unwrap();
                symlink(folder.with_extension("out"), folder.join("config")).unwrap();
            },
            "link",
        ),
        path("a path upwards", "config/../../config.toml", "leads out"),
        path("a path from the top", "/etc/cron.d/x", "absolute"),
        path("a path elsewhere", "bin/x", "no place"),
        path("a path with an end", "config/a\u{0}b", "not the path"),
        path("no path", "", "not the path"),
        path("the state twice", "state.db", "twice"),
        path("the manifest itself", "manifest.json", "no place"),
        harm("a huge size", |folder| forge(folder, |m| m["files"][0]["size"] = json!(u64::MAX)), "no file has"),
        harm(
            "a size beyond counting",
            |folder| forge(folder, |m| m["files"][0]["size"] = json!(1e300)),
            "cannot be read",
        ),
        harm("sizes that do not add up", |folder| forge(folder, |m| m["bytes"] = json!(1)), "add up"),
        harm("no files", |folder| forge(folder, |m| m["files"] = json!([])), "add up"),
        harm(
            "another form",
            |folder| forge(folder, |m| m["schema"] = json!("logmedic.backup/v9")),
            "logmedic.backup/v1",
        ),
        harm("another format", |folder| forge(folder, |m| m["database_format"] = json!(1)), "the manifest says 1"),
        harm(
            "a database torn before its checksum was made",
            |folder| {
                let file = OpenOptions::new().write(true).open(folder.join("state.db")).unwrap();
                file.write_all_at(&[0x5a; 2048], 4096).unwrap();
                resum(folder, "state.db");
            },
            "state.db",
        ),
        harm(
            "no database",
            |folder| {
                fs::write(folder.join("state.db"), "a text").unwrap();
                resum(folder, "state.db");
            },
            "state.db",
        ),
        harm(
            "somebody else's database",
            |folder| {
                fs::remove_file(folder.join("state.db")).unwrap();
                let db = Connection::open(folder.join("state.db")).unwrap();
                db.execute_batch(&format!("CREATE TABLE x (y); PRAGMA user_version = {};", known())).unwrap();
                drop(db);
                resum(folder, "state.db");
            },
            "no state of logmedic",
        ),
    ]
}

#[test]
fn c8_whatever_is_damaged_or_made_up_is_refused_with_the_reason_and_nothing_is_changed() {
    let house = House::settled("");
    fs::write(house.night.path("models/a.mp4"), "film").unwrap();
    let name = house.create(&["--media"]);
    let good = house.folder(&name);
    let state = fs::read(house.state().join("state.db")).unwrap();
    for (what, hurt, says) in every_harm() {
        let folder = house.night.path("hurt");
        copied(&good, &folder);
        hurt(&folder);
        let verdict = house.verdict("./hurt");
        assert_eq!(verdict["sound"], false, "{what}");
        let damage = verdict["damage"].to_string();
        assert!(damage.contains(says), "{what}: {damage}");
        assert!(!damage.contains('\u{1b}'));
        let output = house.night.ask(&["backup", "restore", "./hurt", "--media", "--config-to", "new"]);
        assert_eq!(output.status.code(), Some(1), "{what}: {output:?}");
        assert!(said(&output).contains("damaged"), "{what}: {output:?}");
        assert!(
            !house.night.path("new").exists() && fs::read(house.state().join("state.db")).unwrap() == state,
            "{what}"
        );
        fs::remove_dir_all(&folder).unwrap();
        let out = house.night.path("hurt.out");
        let _ = fs::remove_file(&out).or_else(|_| fs::remove_dir_all(&out));
    }
    assert_eq!(house.verdict(&name)["sound"], true);
    // A state that is newer than this program is whole, but not for us.
    let folder = house.night.path("newer");
    copied(&good, &folder);
    Connection::open(folder.join("state.db")).unwrap().pragma_update(None, "user_version", known() + 1).unwrap();
    resum(&folder, "state.db");
    forge(&folder, |manifest| manifest["database_format"] = json!(known() + 1));
    let verdict = house.verdict("./newer");
    assert!(verdict["sound"] == true && verdict["notes"].to_string().contains("newer logmedic"), "{verdict}");
    let output = house.night.ask(&["backup", "restore", "./newer"]);
    assert!(output.status.code() == Some(1) && said(&output).contains("install the newer logmedic"), "{output:?}");
    assert_eq!(fs::read(house.state().join("state.db")).unwrap(), state);
}

#[test]
fn c8_a_damaged_state_is_not_backed_up_and_older_backups_stay() {
    let house = House::settled("[backup]\nkeep = 1\n");
    let name = house.create(&[]);
    let path = house.state().join("state.db");
    let db = Connection::open(&path).unwrap();
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    let number = |sql: &str| -> u64 { db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap().unsigned_abs() };
    let page = number("SELECT rootpage FROM sqlite_schema WHERE name = 'record'") - 1;
    let at = page * number("PRAGMA page_size");
    drop(db);
    OpenOptions::new().write(true).open(&path).unwrap().write_all_at(&[0x5a; 512], at).unwrap();
    let output = house.night.ask(&["backup", "create"]);
    assert!(output.status.code() == Some(1) && said(&output).contains("is damaged"), "{output:?}");
    assert!(house.half_done().is_empty());
    assert_eq!(house.names(), [name]);
}

/// No file may become longer than this many blocks of 512 bytes.
fn limited(house: &House, blocks: u32, args: &str) -> std::process::Output {
    let mut shell = std::process::Command::new("sh");
    let line = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$LOGMEDIC\" backup create {args}");
    shell.args(["-c", &line]).env("LOGMEDIC", env!("CARGO_BIN_EXE_logmedic"));
    shell.env("LOGMEDIC_CONFIG", house.night.path("config.toml")).current_dir(house.night.path(""));
    shell.output().unwrap()
}

#[test]
fn c8_a_full_disk_leaves_no_half_backup_and_is_said() {
    let house = House::settled("");
    let kept = house.create(&[]);
    let blocks = u32::try_from(fs::metadata(house.folder(&kept).join("state.db")).unwrap().len() / 512).unwrap();
    fs::File::create(house.night.path("models/a.mp4")).unwrap().set_len(64 << 20).unwrap();
    let in_media = limited(&house, blocks * 2 + 2_048, "--media");
    assert!(in_media.status.code() == Some(1) && said(&in_media).contains("no room"), "{in_media:?}");
    let in_state = limited(&house, blocks / 2, "");
    assert!(in_state.status.code() == Some(1) && said(&in_state).contains("no room"), "{in_state:?}");
    assert!(house.half_done().is_empty());
    assert_eq!(house.names(), [kept]);
    // What cannot fit is not even begun: a file with a hole that is larger than any disk here.
    fs::File::create(house.night.path("models/huge.mp4")).unwrap().set_len(8 << 40).unwrap();
    let output = house.night.ask(&["backup", "create", "--media"]);
    assert!(output.status.code() == Some(1) && said(&output).contains("failed to make room"), "{output:?}");
    assert!(house.half_done().is_empty());
}

#[test]
fn h1_a_folder_that_others_may_write_to_is_not_used() {
    let house = House::settled("");
    fs::create_dir(house.backups()).unwrap();
    fs::set_permissions(house.backups(), fs::Permissions::from_mode(0o777)).unwrap();
    let output = house.night.ask(&["backup", "create"]);
    assert!(output.status.code() == Some(1) && said(&output).contains("chmod go-w"), "{output:?}");
    fs::remove_dir(house.backups()).unwrap();
    house.night.configure("[backup]\ndirectory = 'not/mounted'\n");
    let output = house.night.ask(&["backup", "create"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(!house.night.path("not").exists(), "a disk that is not mounted is not made up");
    house.night.configure("[backup]\nevery = '1d'\nat = '04:30'\nkeep = 0\n");
    let output = house.night.ask(&["backup", "list"]);
    assert!(output.status.code() == Some(78) && said(&output).contains("both `every` and `at`"), "{output:?}");
}
