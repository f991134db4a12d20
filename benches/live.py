#!/usr/bin/env python3
"""How soon logmedic acts: benches/live.py [--lines N] [--json]

A log grows by healthy lines; now and then one says that a directory is missing. The clock runs from before the write until
the directory is there, as inotify tells a third program. Beside logmedic, which confirms the fault, writes down what it will do, acts and
proves it, run three loops in C (`bare.c`): one that just makes the directory, and two that first look whether it is missing and
write down what they found and will do, the least for a program that must not forget: by one write to a file, or by a commit to SQLite. Needs a C compiler and libsqlite3.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
LOGMEDIC = os.environ.get("LOGMEDIC", f"{HERE}/../target/release/logmedic")
COUNT = int(sys.argv[sys.argv.index("--lines") + 1]) if "--lines" in sys.argv else 300
# As many lines a second as a busy bot writes, sixteen healthy ones to each fault.
PAUSE, HEALTHY = 0.01, 4


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


def run(bare, command, folder, log, root, ready):
    watcher = subprocess.Popen([bare, root], stdout=open(f"{folder}/made", "wb"))
    process = subprocess.Popen(command, cwd=folder, stdout=open(f"{folder}/out", "wb"), stderr=subprocess.STDOUT)
    time.sleep(ready)
    written = {}
    with open(log, "ab", buffering=0) as out:
        due = time.time()
        for number in range(COUNT):
            for _ in range(4):
                out.write(healthy(HEALTHY))
                due += PAUSE
                time.sleep(max(0.0, due - time.time()))
            name = f"{root}/m{number:05d}"
            line = f"{stamp()} - bot - ERROR - FileNotFoundError: [Errno 2] No such file or directory: '{name}/x.mp4'\n"
            written[os.path.basename(name)] = time.time_ns()
            out.write(line.encode())
            due += PAUSE
            time.sleep(max(0.0, due - time.time()))
    deadline = time.time() + 10
    while time.time() < deadline and len(os.listdir(root)) < len(written):
        time.sleep(0.1)
    time.sleep(0.2)
    watcher.terminate()
    made = [line.split() for line in open(f"{folder}/made")]
    took = [(int(at) - written[name]) / 1e6 for at, name in made if name in written]
    return process, took


def main():
    work = tempfile.mkdtemp(prefix="live-")
    results = {}
    try:
        bare = f"{work}/bare-loop"
        subprocess.run(["cc", "-O2", "-o", bare, f"{HERE}/bare.c", "-ldl"], check=True)
        for name in ("bare", "ahead", "commit", "logmedic"):
            folder = f"{work}/{name}"
            log, root = f"{folder}/bot.log", f"{folder}/models"
            os.makedirs(root)
            with open(log, "wb") as out:
                out.write(healthy(20))
            with open(f"{folder}/config.toml", "w") as out:
                out.write('[[source]]\nname = "bot"\npath = "bot.log"\n\n[[root]]\nname = "models"\npath = "models"\n')
                # The limits for repairs are for nights, not for this.
                out.write("\n[budget]\nagent = 100000\nper_class = 100000\nper_job = 100000\n\n[breaker]\nthreshold = 100000\n")
            os.environ["XDG_STATE_HOME"] = f"{folder}/state"
            command = {
                "bare": [bare, log, root],
                "ahead": [bare, log, root, "-"],
                "commit": [bare, log, root, f"{folder}/commit.db"],
                "logmedic": [LOGMEDIC, "run", "--config", "config.toml"],
            }[name]
            process, took = run(bare, command, folder, log, root, 2 if name == "logmedic" else 0.2)
            process.terminate()
            process.wait()
            results[name] = took
            print(f"{name:<9} {len(took)} of {COUNT}: " + "  ".join(
                f"p{int(share * 100)} {percentile(took, share):.2f} ms" for share in (0.5, 0.95, 0.99)) if took else f"{name}: nothing done")
    finally:
        if "--keep" in sys.argv: print(work)
        else: shutil.rmtree(work)
    if all(results.values()):
        for beside in ("bare", "ahead", "commit"):
            ratio = percentile(results["logmedic"], 0.5) / percentile(results[beside], 0.5)
            print(f"ratio of the medians to {beside} {ratio:.2f}")


main()
