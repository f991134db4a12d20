//! Puts the dashboard where the program embeds it from: `web/dist`, or a plain page that says how to build it.
//!
//! `LOGMEDIC_UI=required` makes a missing dashboard an error, `LOGMEDIC_UI=skip` never runs npm.

use std::error::Error;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use flate2::{Compression, write::GzEncoder};

/// What helps a missing dashboard.
const REMEDY: &str = "run `npm ci && npm run build` in web/ (Node.js 20 or newer)";

/// The page without a dashboard.
const PLAIN: &str = "src/serve/pages/plain.html";

/// A file below this gains nothing: the headers are as long.
const WORTH: u64 = 1_024;

/// What gets smaller.
const TEXTS: [&str; 7] = ["css", "html", "js", "json", "svg", "txt", "webmanifest"];

/// Fills `OUT_DIR/web`.
pub fn embed(root: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-env-changed=LOGMEDIC_UI");
    println!("cargo:rerun-if-changed=web/embed.rs");
    println!("cargo:rerun-if-changed={PLAIN}");
    let wanted = std::env::var("LOGMEDIC_UI").unwrap_or_default();
    let (web, dist) = (root.join("web"), root.join("web/dist"));
    let built = || dist.join("index.html").is_file();
    let may_build = wanted != "skip" && web.join("package-lock.json").is_file();
    if !built()
        && may_build
        && let Err(error) = build(&web)
    {
        println!("cargo:warning=the dashboard was not built: {error}; {REMEDY}");
    }
    if web.is_dir() {
        // cargo asks for ever about a folder that is not there, and npm's files are no reason to build again.
        fs::create_dir_all(&dist)?;
        println!("cargo:rerun-if-changed=web/dist");
        backdate(&dist)?;
    }
    let to = out.join("web");
    if to.exists() {
        fs::remove_dir_all(&to)?;
    }
    fs::create_dir_all(&to)?;
    if built() {
        return copy(&dist, &to);
    }
    if wanted == "required" {
        return Err(format!("web/dist/index.html is not there and LOGMEDIC_UI=required asks for it: {REMEDY}").into());
    }
    fs::copy(root.join(PLAIN), to.join("index.html"))?;
    Ok(())
}

fn build(web: &Path) -> Result<(), Box<dyn Error>> {
    for step in [&["ci", "--no-audit", "--no-fund"][..], &["run", "build"]] {
        let done = Command::new("npm").args(step).current_dir(web).output();
        let done = done.map_err(|error| format!("failed to start npm: {error}"))?;
        if !done.status.success() {
            let said = String::from_utf8_lossy(&done.stderr);
            let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
            return Err(format!("npm {}: {}: {last}", step.join(" "), done.status).into());
        }
    }
    Ok(())
}

/// What was made while this runs would be taken for a change at the next build.
fn backdate(dist: &Path) -> Result<(), Box<dyn Error>> {
    let now = SystemTime::now();
    let before = now - Duration::from_secs(3_600);
    let mut left = vec![dist.to_owned()];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(
                fs::read_dir(&path)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, std::io::Error>>()?,
            );
        }
        let file = File::open(&path)?;
        if now.duration_since(file.metadata()?.modified()?).is_ok_and(|age| age < Duration::from_secs(3_600)) {
            file.set_modified(before)?;
        }
    }
    Ok(())
}

/// Every file, and beside each text its gzip where that is smaller. Source maps stay out.
fn copy(from: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(to)?;
    let mut entries: Vec<PathBuf> =
        fs::read_dir(from)?.map(|entry| Ok(entry?.path())).collect::<Result<_, std::io::Error>>()?;
    entries.sort();
    for path in entries {
        let target = to.join(path.file_name().unwrap_or_default());
        let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or_default();
        if path.is_dir() {
            copy(&path, &target)?;
        } else if !matches!(kind, "map" | "gz" | "br") {
            let bytes = fs::read(&path)?;
            fs::write(&target, &bytes)?;
            if TEXTS.contains(&kind) && bytes.len() as u64 >= WORTH {
                let mut packed = GzEncoder::new(Vec::new(), Compression::best());
                packed.write_all(&bytes)?;
                let packed = packed.finish()?;
                if packed.len() < bytes.len() {
                    fs::write(
                        to.join(format!("{}.gz", target.file_name().unwrap_or_default().to_string_lossy())),
                        packed,
                    )?;
                }
            }
        }
    }
    Ok(())
}
