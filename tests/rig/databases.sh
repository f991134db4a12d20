#!/bin/bash
# Provokes what SQLite, PostgreSQL and Redis say: locked, full, read-only, damaged and missing files, refused and rejected clients.
# Run as root; needs sqlite3 and python3; node, psql with its server, redis-server and redis-cli when they are there.
export LC_ALL=C.UTF-8
W=$(mktemp -d); trap 'kill $pids 2>/dev/null; umount "$W/tiny" 2>/dev/null; rm -rf "$W"' EXIT; pids=
cd "$W" || exit 1; chmod 755 .; mkdir tiny locked; mount -t tmpfs -o size=64k tmpfs tiny
try() { echo "## $*"; timeout 20 "$@" </dev/null 2>&1 | head -40; }
as="setpriv --reuid=65534 --regid=65534 --clear-groups"
big="create table t(x); with recursive n(i) as (select 1 union all select i+1 from n where i<3000) insert into t select randomblob(400) from n;"
sqlite3 jobs.db "$big"; cp jobs.db bad.db; dd if=/dev/urandom of=bad.db bs=1 seek=2000 count=300000 conv=notrunc status=none
sqlite3 jobs.db "create unique index u on t(x);"; head -c 5000 /dev/urandom > html.db; echo '<html>502' > not.db; sqlite3 ro.db "create table t(x)"; chmod 444 ro.db; chmod 700 locked; cp jobs.db locked/
cat > py.py <<'P'
import logging, sqlite3, sys
logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
path, sql = sys.argv[1:3]
try:
    sqlite3.connect(path, timeout=0.2).executescript(sql)
except sqlite3.Error as error:
    logging.error("query failed: %s", error)
    logging.exception("cannot store the job")
    raise
P
( exec sqlite3 jobs.db ) < <(echo "begin exclusive;"; sleep 8) & pids="$pids $!"; sleep 0.5
for c in "sqlite3" "python3 py.py"; do
  try $c jobs.db "insert into t values(1);"; try $c tiny/j.db "$big"; try $c bad.db "select count(*), sum(length(x)) from t; pragma integrity_check;"; try $c not.db "select * from t;"; try $c html.db "select * from t;"
  try $as $c ro.db "insert into t values(1);"; try $as $c locked/jobs.db "select 1 from t;"; try $c nowhere/jobs.db "select 1 from t;"; try $as $c new.db "create table t(x);"
  try $c ro.db "select * from nothing;"; try $c ro.db "selec 1;"; try $c ro.db "create table q(a unique); insert into q values(1); insert into q values(1);"
done
kill $pids; pids=
if command -v redis-server >/dev/null; then
  mkdir r; redis-server --port 7781 --dir "$W/r" --requirepass geheim --maxmemory 2mb --save "" > redis.log 2>&1 & pids="$pids $!"; sleep 1
  redis-server --port 7781 --dir "$W/r" 2>&1 | head -20; redis-server --port 7782 --dir "$W/nowhere" 2>&1 | head -5
  try redis-cli -p 7781 get a; try redis-cli -p 7781 -a wrong get a; try redis-cli -p 7781 -a geheim set a "$(head -c 3000000 /dev/zero | tr '\0' x | head -c 100000)"
  for i in $(seq 40); do redis-cli -p 7781 -a geheim set k$i "$(head -c 90000 /dev/zero | tr '\0' x)" 2>&1 | grep -v Warning; done | sort | uniq -c; try redis-cli -p 7799 get a; try redis-cli -h no-such.example.invalid get a
  cp /dev/null r/dump.rdb; echo junk > r/dump.rdb; redis-server --port 7783 --dir "$W/r" 2>&1 | tail -5; kill $pids; pids=; sleep 0.5; cat redis.log
fi
pg=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -1)
if [ -n "$pg" ]; then
  mkdir pg sock pgtiny; chown -R postgres pg sock; chmod 777 sock; p="setpriv --reuid=postgres --regid=postgres --clear-groups"
  echo geheim > pw; chmod 644 pw; $p $pg/initdb -D "$W/pg" -A scram-sha-256 --pwfile="$W/pw" >/dev/null 2>&1
  start="$p $pg/postgres -D $W/pg -p 7791 -c listen_addresses=127.0.0.1 -c unix_socket_directories=$W/sock -c max_connections=4 -c superuser_reserved_connections=0 -c statement_timeout=2000 -c deadlock_timeout=500 -c fsync=off"
  $start > pg.log 2>&1 & pids="$pids $!"; for i in 1 2 3 4 5 6 7 8 9; do sleep 0.5; $pg/pg_isready -q -h 127.0.0.1 -p 7791 && break; done
  timeout 10 $start 2>&1 | head; export PGPASSWORD=geheim; q="psql -h 127.0.0.1 -p 7791 -U postgres -d postgres"
  PGPASSWORD=wrong try $q -c "select 1"; try psql -h 127.0.0.1 -p 7791 -U nobody_here -d postgres -c "select 1"; try psql -h 127.0.0.1 -p 7791 -U postgres -d nothing -c "select 1"; try psql -h 127.0.0.1 -p 7792 -U postgres -c "select 1"
  try psql -h no-such.example.invalid -U postgres -c "select 1"; try psql -h "$W/sock" -p 7799 -U postgres -c "select 1"
  try $q -c "select * from jobs"; try $q -c "create table jobs(id int primary key); insert into jobs values(1); insert into jobs values(1)"; try $q -c "select pg_sleep(5)"; try $q -c "copy jobs from '/nowhere/x'"; try $q -c "copy jobs to '/var/lib/dpkg/x'"
  $q -qc "create table jobs(id int primary key)" ; $q -qc "insert into jobs values(1)"; ( $q -c "begin; lock table jobs; select pg_sleep(1.5)" >/dev/null 2>&1 ) & sleep 0.5; try $q -c "set lock_timeout=300; select * from jobs"
  for i in 1 2 3 4; do $q -c "select pg_sleep(1.5)" >/dev/null 2>&1 & done; sleep 0.4; try $q -c "select 1"; sleep 2
  ( sleep 0.5; $q -qc "select pg_terminate_backend(pid) from pg_stat_activity where query like 'select pg_sleep%'" >/dev/null ) & try $q -c "select pg_sleep(1.9)"
  kill -INT $pids; sleep 1.5; pids=; cat pg.log
fi
