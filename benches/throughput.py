#!/usr/bin/env python3
"""How fast logs are classified, beside other programs: benches/throughput.py [--mib N] [--rounds N] [--only PART,…]

PART: rules (61 rules, three shares of lines that match), packs (the shipped packs against ripgrep with their patterns),
json, cores, start, hostile. Each round runs the contestants in turn on one processor, whole processes, page cache warm;
what is printed is the median of the ratios within a round, so that a machine whose speed drifts is fair to all.
Uses what is installed of ripgrep, grep and fail2ban-regex. The logs are made anew, the same each time (seeded).
"""
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
LOGMEDIC = os.path.abspath(os.environ.get("LOGMEDIC", f"{HERE}/../target/release/logmedic"))
WORK = os.environ.get("BENCH_DIR", f"{HERE}/../target/bench")
CLASS = {"missing": "missing_path", "nospace": "disk_full", "refused": "server_down"}


def option(name, default):
    return type(default)(sys.argv[sys.argv.index(name) + 1]) if name in sys.argv else default


MIB, ROUNDS = option("--mib", 1024), option("--rounds", 5)
ONLY = option("--only", "rules,packs,json,cores,start,hostile").split(",")
R = random.Random(7)
WORD = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"


def name(length):
    return "".join(R.choice(WORD) for _ in range(length))


def path():
    return f"/srv/bot/models/{R.choice(['ana', 'bea', 'zoe'])}/{R.randrange(10**8)}_{name(6)}.mp4"


def healthy():
    """What a busy bot writes all day, with words in it that look like failures."""
    host = R.choice(["api.telegram.org", "cdn.example.net", "www.example.org"])
    return R.choice([
        f"httpx - INFO - HTTP Request: POST https://api.telegram.org/bot7{R.randrange(10**9)}:AA{name(24)}/getUpdates \"HTTP/1.1 200 OK\"",
        f"bot.downloader - INFO - [download] {R.random() * 100:5.1f}% of {R.random() * 900:8.2f}MiB at {R.random() * 30:6.2f}MiB/s ETA 00:{R.randrange(60):02d}",
        f"bot.downloader - INFO - Received {name(9)}.mp4 ({R.randrange(10**9)} bytes) from user {R.randrange(10**9)}",
        f"bot.downloader - INFO - Saved '{path()}' in {R.random() * 60:.1f} s",
        f"bot.handlers - INFO - user={R.randrange(10**9)} command=/download url=https://{host}/watch?v={name(11)}",
        f"telegram.ext.Updater - DEBUG - Calling get_updates with timeout={R.randrange(60)} read_timeout=20 offset={R.randrange(10**9)}",
        f"bot.queue - INFO - Job {name(16)} finished in {R.random() * 60:.3f}s (queue length {R.randrange(9)}, errors 0, timeouts 0)",
        f"bot.health - INFO - disk {R.randrange(95)}% used, file permissions 0640 fine, no space warning, connection to the database open",
        f"bot.handlers - WARNING - Rate limited by chat -100{R.randrange(10**9)}, the request was queued for {R.randrange(40)} s",
        f"bot.cache - DEBUG - cache miss for file {path()}; expected etag {name(40)}",
    ])


def failing():
    host = R.choice(["127.0.0.1", "cdn.example.net"])
    return R.choice([
        "telegram.error.TimedOut: Timed out",
        "httpx.ReadTimeout: The read operation did not finish",
        f"HTTPSConnectionPool(host='{host}', port=443): Read timed out. (read timeout={R.randrange(60)})",
        f"PermissionError: [Errno 13] Permission denied: '{path()}'",
        f"OSError: [Errno 30] Read-only file system: '{path()}'",
        f"FileNotFoundError: [Errno 2] No such file or directory: '{path()}'",
        f"ENOENT: open {path()}",
        f"{path()}: Invalid data found when processing input",
        "[mov,mp4,m4a,3gp,3g2,mj2 @ 0x55d0] moov atom not found",
        f"checksum mismatch for {path()}: expected {R.randrange(10**12):064x}",
        f"OSError: [Errno 28] No space left on device: '{path()}'",
        "sqlite3.OperationalError: database or disk is full",
        f"ConnectionRefusedError: [Errno 111] Connect call failed ('{host}', {R.randrange(65535)})",
        f"curl: (7) Failed to connect to {host} port {R.randrange(65535)}: Connection refused",
        "telegram.error.NetworkError: Bad Gateway",
    ])


def make(share, mib):
    """A log of this size in which this share of the lines fail."""
    file = f"{WORK}/{mib}_{share}.log"
    if os.path.exists(file):
        return file
    good = [f" - {healthy()}\n".encode() for _ in range(40_000)]
    bad = [f" - bot.downloader - ERROR - {failing()}\n".encode() for _ in range(8_000)]
    size, tick = 0, 1_768_356_697_000
    with open(file, "wb") as out:
        while size < mib << 20:
            lines = []
            for _ in range(20_000):
                tick += 7
                stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(tick // 1000)) + f",{tick % 1000:03d}"
                lines.append(stamp.encode() + R.choice(bad if R.random() < share else good))
            block = b"".join(lines)
            out.write(block)
            size += len(block)
    return file


def rules():
    """The 61 rules as each program wants them."""
    rows = [line.rstrip("\n").split("\t") for line in open(f"{HERE}/rules.tsv") if not line.startswith("#")]
    with open(f"{WORK}/rules.toml", "w") as out:
        for number, (kind, flags, pattern) in enumerate(rows):
            pattern = ("(?i)" if flags == "i" else "") + pattern
            out.write(f"[[rule]]\nid = \"bench.r{number}\"\nclass = \"{CLASS.get(kind, kind)}\"\npattern = '''{pattern}'''\n\n")
    with open(f"{WORK}/rules.rust", "w") as out:
        out.writelines(("(?i)" if flags == "i" else "") + pattern + "\n" for _, flags, pattern in rows)
    with open(f"{WORK}/rules.grep", "w") as out:
        # grep -E has one -i for all of them.
        out.writelines(pattern + "\n" for _, _, pattern in rows)
    with open(f"{WORK}/rules.fail2ban", "w") as out:
        lines = [("^.*?(?i:" if flags == "i" else "^.*?(?:") + pattern.replace("%", "%%") + ").*<F-ID>$</F-ID>" for _, flags, pattern in rows]
        out.write("[Definition]\nfailregex = " + "\n            ".join(lines) + "\nignoreregex =\n")


def seconds(command, pin="0"):
    command = ["taskset", "-c", pin, *command] if shutil.which("taskset") and pin else command
    start = time.perf_counter()
    # Not /dev/null: grep would stop at its first match.
    with open(f"{WORK}/out", "wb") as out:
        subprocess.run(command, stdout=out, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def race(title, size, contestants, pin="0"):
    """Runs them in turn and prints each one's speed and its ratio to the first."""
    contestants = [(name, command) for name, command in contestants if shutil.which(command[0])]
    taken = {name: [] for name, _ in contestants}
    for _ in range(ROUNDS):
        for name, command in contestants:
            taken[name].append(seconds(command, pin))
    first = contestants[0][0]
    print(f"\n{title}")
    for name, _ in contestants:
        median = statistics.median(taken[name])
        ratio = statistics.median(b / a for a, b in zip(taken[first], taken[name]))
        print(f"  {name:<28} {size / median / 1e6:9.0f} MB/s   {first} is {ratio:6.2f} ×")


def counted(file, *more):
    return [LOGMEDIC, "classify", "--count", *more, "-j1", file]


def main():
    os.makedirs(WORK, exist_ok=True)
    rules()
    print(f"{MIB} MiB, {ROUNDS} rounds; " + next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if "model name" in line), ""))
    own, rust = ["--rules", f"{WORK}/rules.toml"], f"{WORK}/rules.rust"
    if "rules" in ONLY:
        for share in (0.001, 0.01, 0.1):
            file = make(share, MIB)
            subprocess.run(["wc", "-l", file], stdout=subprocess.DEVNULL)
            race(f"61 rules, {share:.1%} of the lines match", os.path.getsize(file), [
                ("logmedic", counted(file, *own)),
                ("ripgrep", ["rg", "--no-unicode", "-j1", "-c", "-f", rust, file]),
                ("wc -l", ["wc", "-l", file]),
            ])
        small = make(0.01, 64)
        race("the same, 64 MiB, 1 %", os.path.getsize(small), [
            ("logmedic", counted(small, *own)), ("grep -E", ["grep", "-E", "-c", "-a", "-f", f"{WORK}/rules.grep", small])])
        tiny = make(0.01, 2)
        race("the same, 2 MiB, 1 %", os.path.getsize(tiny), [
            ("logmedic", counted(tiny, *own)), ("fail2ban-regex", ["fail2ban-regex", tiny, f"{WORK}/rules.fail2ban"])])
    if "packs" in ONLY:
        listed = subprocess.run([LOGMEDIC, "rules", "list", "--json"], capture_output=True, text=True, check=True).stdout
        patterns = [rule["pattern"] for rule in map(json.loads, listed.splitlines()) if rule["kind"] == "rule"]
        # ripgrep takes one pattern a line, each group's name once, and no line end; what it refuses it is spared.
        patterns = [re.sub(r"\(\?P<\w+>", "(?:", pattern).replace("\n", "") for pattern in patterns]
        known = [pattern for pattern in patterns if accepted(pattern)]
        print(f"\nripgrep takes {len(known)} of {len(patterns)} patterns")
        patterns = known
        open(f"{WORK}/packs.rust", "w").write("\n".join(patterns) + "\n")
        file = make(0.01, min(MIB, 64))
        race("all shipped packs, 1 %", os.path.getsize(file), [
            ("logmedic", counted(file)),
            ("ripgrep", ["rg", "--no-unicode", "--regex-size-limit", "1G", "--dfa-size-limit", "1G", "-j1", "-c", "-f", f"{WORK}/packs.rust", file]),
        ])
    if "json" in ONLY:
        file = make(0.01, MIB)
        race("61 rules, 1 %, every match as JSON", os.path.getsize(file), [
            ("logmedic --json", [LOGMEDIC, "classify", "--json", *own, "-j1", file]),
            ("ripgrep --json", ["rg", "--no-unicode", "-j1", "--json", "-f", rust, file]),
        ])
    if "cores" in ONLY:
        file = make(0.01, MIB)
        race("61 rules, 1 %, one core and all", os.path.getsize(file), [
            ("logmedic -j1", counted(file, *own)), ("logmedic", [LOGMEDIC, "classify", "--count", *own, file])], pin="")
    if "start" in ONLY:
        empty = f"{WORK}/empty.log"
        open(empty, "w").close()
        took = statistics.median(seconds([LOGMEDIC, "classify", "--count", empty]) for _ in range(20))
        print(f"\nstart with all packs: {took * 1000:.0f} ms")
    if "hostile" in ONLY:
        hostile()


def accepted(pattern):
    return shutil.which("rg") and subprocess.run(
        ["rg", "--no-unicode", "-c", "-e", pattern, os.devnull], stderr=subprocess.DEVNULL).returncode < 2


def hostile():
    """Lines of 16 KB: what a bot writes, and one that almost matches every rule."""
    listed = subprocess.run([LOGMEDIC, "rules", "list", "--json"], capture_output=True, text=True, check=True).stdout
    words = []
    for rule in map(json.loads, listed.splitlines()):
        # The longest plain words of the pattern, in its order: most of what the rule looks for.
        found = re.findall(r"[A-Za-z0-9][A-Za-z0-9 ',:]{3,60}", re.sub(r"\\[a-zA-Z]|\(\?[^:)]*[:>]", "|", rule["pattern"]))
        words += sorted(found, key=len)[-2:]
    R.shuffle(words)
    near = " ".join(words).encode()
    plain = " ".join(name(R.randrange(3, 12)) for _ in range(40_000)).encode()
    bot = " ".join(healthy() for _ in range(3000)).encode()
    took = {}
    for kind, text in (("words", plain), ("a hundred healthy lines in one", bot), ("near-misses for every rule", near)):
        file = f"{WORK}/hostile.log"
        with open(file, "wb") as out:
            for number in range(2000):
                at = number * 977 % (len(text) - 16_000)
                out.write(b"2026-01-02 03:04:05,678 - bot - INFO - " + text[at:at + 16_000].replace(b"\n", b" ") + b"\n")
        base = statistics.median(seconds([LOGMEDIC, "classify", "--count", f"{WORK}/empty.log"]) for _ in range(5))
        took[kind] = max(1e-9, statistics.median(seconds(counted(file)) for _ in range(ROUNDS)) - base) / 2000
    print("\nlines of 16 KB, all packs")
    for kind, each in took.items():
        print(f"  {kind:<32} {each * 1e6:7.0f} µs   {each / took['words']:6.1f} ×")


main()
