#!/usr/bin/env python3
"""How soon logmedic acts: benches/live.py [--lines N] [--only directory,command] [--keep]

A log grows by healthy lines; now and then one tells of a fault. The clock runs from before the write until something is done about it.

directory: the line says that a directory is missing, and it ends when the directory is there, as inotify tells a third program.
Beside logmedic, which confirms the fault, writes down what it will do, acts and proves it, run three loops in C (`bare.c`): one that
just makes the directory, and two that first look whether it is missing and write down what they found and will do, the least for a
program that must not forget: by one write to a file, or by a commit to SQLite.

command: the line says that a download timed out, and it ends with the first instruction of the program that fetches it again. Beside
logmedic run two loops in C: one that just starts the program, and one that looks, writes down, and has it started by a second process
which outlives it, the least for a program that must neither forget nor repeat when it is killed. Where it is built
(`cargo build --release --example floor`), so does `floor.rs`, the least that can be made of logmedic's own parts.

Needs a C compiler and libsqlite3.
"""
import os
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
LOGMEDIC = os.environ.get("LOGMEDIC", f"{HERE}/../target/release/logmedic")
FLOOR = os.environ.get("FLOOR", f"{HERE}/../target/release/examples/floor")
COUNT = int(sys.argv[sys.argv.index("--lines") + 1]) if "--lines" in sys.argv else 300
# As many lines a second as a busy bot writes, sixteen healthy ones to each fault.
PAUSE, HEALTHY = 0.01, 4

CONFIG = """[[source]]
name = "bot"
path = "bot.log"

[[root]]
name = "models"
path = "models"

# The limits for repairs are for nights, not for this.
[budget]
agent = 100000
per_class = 100000
per_job = 100000

[breaker]
threshold = 100000
"""
COMMAND = """
[retry]
attempts = 1
base = "0s"

[command.redownload]
argv = ["{program}", "stamp", "{out}", "{{target}}"]
"""
RULE = """[[rule]]
id = "own.timed_out"
class = "timeout"
pattern = "download timed out: '(?P<path>[^'\\\\n]+)'$"
about = "for benches/live.py"
"""
LINES = {
    "directory": "FileNotFoundError: [Errno 2] No such file or directory: '{path}/x.mp4'",
    "command": "download timed out: '{path}'",
}


def stamp():
    now = time.time()
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now)) + f",{int(now * 1000) % 1000:03d}"


def healthy(count):
    return "".join(
        f"{stamp()} - bot.uploader - INFO - Upload progress chat_id={i}: {i * 7919}/99999999 bytes\n" for i in range(count)
    ).encode()


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))]


def contestants(kind, folder, bare, program):
    log, root, out = f"{folder}/bot.log", f"{folder}/models", f"{folder}/made"
    logmedic = [LOGMEDIC, "run", "--config", "config.toml"]
    if kind == "directory":
        return {
            "bare": [bare, log, root],
            "ahead": [bare, log, root, "-"],
            "commit": [bare, log, root, f"{folder}/commit.db"],
            "logmedic": logmedic,
        }
    rules = f"{folder}/patterns.d/own.toml"
    floor = {"floor": [FLOOR, log, rules, f"{folder}/runs", LOGMEDIC, program, out]} if os.path.exists(FLOOR) else {}
    return {
        "bare": [bare, log, root, program, out],
        "outlived": [bare, log, root, program, out, "-"],
        **floor,
        "logmedic": logmedic,
    }


def run(kind, command, folder, ready, watcher):
    """How long it took for each fault, in milliseconds."""
    log, root, made = f"{folder}/bot.log", f"{folder}/models", f"{folder}/made"
    watch = subprocess.Popen(watcher, stdout=open(made, "wb")) if watcher else None
    said = open(f"{folder}/out", "wb")
    process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=subprocess.STDOUT)
    time.sleep(ready)
    written = {}
    with open(log, "ab", buffering=0) as out:
        due = time.time()
        for number in range(COUNT):
            for _ in range(4):
                out.write(healthy(HEALTHY))
                due += PAUSE
                time.sleep(max(0.0, due - time.time()))
            name = f"m{number:05d}"
            line = f"{stamp()} - bot - ERROR - {LINES[kind].format(path=f'{root}/{name}')}\n"
            written[name] = time.time_ns()
            out.write(line.encode())
            due += PAUSE
            time.sleep(max(0.0, due - time.time()))

    def done():
        return [line.split() for line in open(made) if line.endswith("\n")]

    deadline = time.time() + 10
    while time.time() < deadline and len(done()) < len(written):
        time.sleep(0.1)
    for started in filter(None, [watch, process]):
        started.terminate()
        started.wait()
    names = ((int(at), os.path.basename(name)) for at, name in done())
    return [(at - written[name]) / 1e6 for at, name in names if name in written]


def series(kind, work, bare, program):
    medians = {}
    for name in contestants(kind, work, bare, program):
        folder = f"{work}/{kind}-{name}"
        os.makedirs(f"{folder}/models")
        os.makedirs(f"{folder}/patterns.d")
        with open(f"{folder}/bot.log", "wb") as out:
            out.write(healthy(20))
        with open(f"{folder}/config.toml", "w") as out:
            out.write(CONFIG)
            if kind == "command":
                out.write(COMMAND.format(program=program, out=f"{folder}/made"))
        if kind == "command":
            open(f"{folder}/made", "w").close()
            with open(f"{folder}/patterns.d/own.toml", "w") as out:
                out.write(RULE)
        os.environ["XDG_STATE_HOME"] = f"{folder}/state"
        watcher = [bare, f"{folder}/models"] if kind == "directory" else None
        command = contestants(kind, folder, bare, program)[name]
        took = run(kind, command, folder, 2 if name in ("floor", "logmedic") else 0.2, watcher)
        figures = [f"p{int(share * 100)} {percentile(took, share):.2f} ms" for share in (0.5, 0.95, 0.99) if took]
        print(f"{kind:<10} {name:<9} {len(took)} of {COUNT}:", *figures, flush=True)
        if took:
            medians[name] = percentile(took, 0.5)
    logmedic = medians.pop("logmedic", None)
    if logmedic:
        print(f"{kind:<10} logmedic takes", ", ".join(f"{logmedic / other:.2f} x {name}" for name, other in medians.items()), flush=True)


def main():
    kinds = sys.argv[sys.argv.index("--only") + 1].split(",") if "--only" in sys.argv else list(LINES)
    work = tempfile.mkdtemp(prefix="live-")
    try:
        bare, program = f"{work}/bare-loop", f"{work}/program"
        subprocess.run(["cc", "-O2", "-o", bare, f"{HERE}/bare.c", "-ldl"], check=True)
        # What is started should cost little itself: linked statically where that can be done.
        static = ["cc", "-O2", "-w", "-static", "-o", program, f"{HERE}/bare.c", "-ldl"]
        if subprocess.run(static, capture_output=True).returncode:
            program = bare
        for kind in kinds:
            series(kind, work, bare, program)
    finally:
        if "--keep" in sys.argv:
            print(work)
        else:
            shutil.rmtree(work)


main()
