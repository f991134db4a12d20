#!/usr/bin/env python3
"""The library beside `find -exec sha256sum` and `b3sum`: small files, large files, a second look, and how long a page takes.

usage: benches/library.py [--files N] [--large MIB] [--directory DIR]    (target/release/logmedic is measured)
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

HOME = pathlib.Path(__file__).resolve().parent.parent
LOGMEDIC = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", HOME / "target")) / "release/logmedic"
LOGMEDIC = os.environ.get("LOGMEDIC", str(LOGMEDIC))


def timed(command, **more):
    began = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)
    took = time.perf_counter() - began
    assert done.returncode == 0, (command, done)
    return took, done.stdout


class Agent:
    """logmedic with one root, and nothing that it does by itself."""

    def __init__(self, work, root):
        self.work = pathlib.Path(work)
        self.config = self.work / "config.toml"
        self.config.write_text(
            "[state]\ndir = 'state'\n[[source]]\nname = 'bot'\npath = 'bot.log'\n[server]\nlisten = '127.0.0.1:0'\n"
            f"[[root]]\nname = 'models'\npath = '{root}'\n[library]\nenabled = false\n"
        )
        self.env = {"PATH": os.environ["PATH"], "HOME": str(work), "LOGMEDIC_CONFIG": str(self.config)}
        self.log = open(self.work / "log", "w")
        self.run = subprocess.Popen([LOGMEDIC, "run"], env=self.env, stdout=self.log, stderr=self.log)
        while not (self.work / "state/api.sock").exists():
            assert self.run.poll() is None, (self.work / "log").read_text()
            time.sleep(0.01)

    def populate(self):
        """Seconds from the beginning of the work to its end, and what it says."""
        out = timed([LOGMEDIC, "library", "populate", "--wait", "--json"], env=self.env)[1]
        over = json.loads(out)
        stamp = lambda key: time.mktime(time.strptime(over[key][:19], "%Y-%m-%dT%H:%M:%S")) + float("0." + over[key][20:].split("Z")[0])
        return stamp("ended_at") - stamp("started_at"), over["report"]["detail"]

    def get(self, route):
        url = f"http://localhost/api/v1/{route}"
        socket = str(self.work / "state/api.sock")
        return timed(["curl", "-s", "-o", "/dev/null", "-w", "%{time_total}", "--unix-socket", socket, url])[1].decode()

    def end(self):
        self.run.terminate()
        self.run.wait()


def fill(root, files):
    for n in range(files):
        directory = root / f"model{n // 200:04d}"
        directory.mkdir(exist_ok=True)
        (directory / f"{n:06d}.jpg").write_bytes(b"\xff\xd8\xff\xe0" + os.urandom(2_000))


def small(work, files):
    root = work / "small"
    root.mkdir()
    fill(root, files)
    agent = Agent(work / "a", root)
    for turn in range(3):
        took, detail = agent.populate()
        print(f"{files} files of 2 KB: populate {took:.2f} s ({detail})")
    for route in ["library?sort=-size&limit=200", "library?q=nowhere", "library?kind=video&sort=name", "library/stats"]:
        times = sorted(float(agent.get(route)) for _ in range(9))
        print(f"  GET {route}: {times[4] * 1000:.1f} ms")
    agent.end()
    took, _ = timed(["find", str(root), "-type", "f", "-exec", "sha256sum", "{}", ";"])
    print(f"  find -exec sha256sum {{}} ';': {took:.2f} s")


def large(work, mib):
    root = work / "large"
    root.mkdir()
    part = os.urandom(64 << 20)
    with open(root / "film.bin", "wb") as film:
        for _ in range(mib // 64):
            film.write(part)
    ours, theirs, agent = [], [], Agent(work / "b", root)
    b3sum = shutil.which("b3sum")
    for turn in range(5):
        os.utime(root / "film.bin", (turn + 1, turn + 1))
        ours.append(agent.populate()[0])
        if b3sum:
            theirs.append(timed([b3sum, str(root / "film.bin")])[0])
    agent.end()
    rate = lambda times: mib / 1024 / min(times)
    print(f"{mib} MiB in one file, page cache warm: populate {rate(ours):.2f} GiB/s", end="")
    print(f", b3sum {rate(theirs):.2f} GiB/s, {rate(ours) / rate(theirs):.2f} of it" if theirs else " (b3sum is not installed)")


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--files", type=int, default=20_000)
    parse.add_argument("--large", type=int, default=2_048, metavar="MIB")
    parse.add_argument("--directory", default=None)
    args = parse.parse_args()
    with tempfile.TemporaryDirectory(dir=args.directory) as work:
        work = pathlib.Path(work)
        (work / "a").mkdir()
        (work / "b").mkdir()
        small(work, args.files)
        large(work, args.large)


if __name__ == "__main__":
    main()
