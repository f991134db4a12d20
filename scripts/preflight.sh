#!/bin/sh
# Checks that everything logmedic needs is in place: finds the program and runs `logmedic check`.
# Arguments are passed on (--config FILE, --json). Exit code: 0 all good, 1 something will not work, 2 usage.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
for program in "${LOGMEDIC_BIN:-}" "$here/target/release/logmedic" "$(command -v logmedic || true)" "$here/target/debug/logmedic"; do
    if [ -n "$program" ] && [ -x "$program" ]; then
        exec "$program" check "$@"
    fi
done
echo "preflight: failed to find logmedic; build it with: cargo build --release" >&2
exit 1
