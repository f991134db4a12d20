/* For live.py. `bare ROOT` prints the time, in nanoseconds, and the name of whatever appears in ROOT.
 *
 * `bare LOG ROOT` is the least that can be done: it waits for LOG to grow (inotify), and for each line that names
 * 'ROOT/NAME/x.mp4' behind "[Errno 2]" makes ROOT/NAME at once. It confirms nothing, writes nothing down, forgets
 * everything when it ends: what `live.py` holds logmedic's way against.
 *
 * `bare LOG ROOT DATABASE` is the least that a program can do which must not forget: it looks whether the directory is really
 * missing, commits to SQLite what it found, what it will do and how far the log is read (WAL, as logmedic without a forced
 * disk), and only then makes the directory.
 *
 * `bare LOG ROOT -` writes the same with one write to ROOT.ahead instead, as logmedic does before a repair.
 *
 * `bare LOG ROOT PROGRAM OUT` starts PROGRAM OUT NAME for each line that names 'ROOT/NAME' behind "timed out"; it looks at nothing
 * and writes nothing down.
 *
 * `bare LOG ROOT PROGRAM OUT -` is the least that a program can do which must neither forget nor repeat, also when it is killed: it
 * looks whether the file is missing, writes down with one write what it will do, and has a second process start the program, which
 * outlives it, sees to it that nothing is begun twice, and gets what the program says and how it ends.
 *
 * `bare stamp OUT NAME` is that program: the time of its first instruction, and NAME. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char buffer[1 << 20];

static int watch(const char *root) {
    int events = inotify_init1(0);
    if (events < 0 || inotify_add_watch(events, root, IN_CREATE) < 0) return 1;
    for (;;) {
        ssize_t got = read(events, buffer, sizeof buffer);
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        for (char *at = buffer; got > 0 && at < buffer + got;) {
            struct inotify_event *event = (struct inotify_event *)at;
            printf("%lld%09ld %s\n", (long long)now.tv_sec, now.tv_nsec, event->name);
            at += sizeof *event + event->len;
        }
        fflush(stdout);
    }
}

/* The library alone, without its headers. */
static int (*step)(void *), (*reset)(void *), (*bind_text)(void *, int, const char *, int, void *),
    (*bind_number)(void *, int, long long);
static void *begin, *row, *record, *position, *commit;

static int open_database(const char *path) {
    void *library = dlopen("libsqlite3.so.0", RTLD_NOW), *database;
    if (!library) return 0;
    int (*open)(const char *, void **) = dlsym(library, "sqlite3_open");
    int (*exec)(void *, const char *, void *, void *, void *) = dlsym(library, "sqlite3_exec");
    int (*prepare)(void *, const char *, int, void **, void *) = dlsym(library, "sqlite3_prepare_v2");
    step = dlsym(library, "sqlite3_step"), reset = dlsym(library, "sqlite3_reset");
    bind_text = dlsym(library, "sqlite3_bind_text"), bind_number = dlsym(library, "sqlite3_bind_int64");
    return !open(path, &database)
        && !exec(database, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                 "CREATE TABLE row (id TEXT PRIMARY KEY, json TEXT) WITHOUT ROWID;"
                 "CREATE TABLE record (seq INTEGER PRIMARY KEY, json TEXT);"
                 "CREATE TABLE position (log TEXT PRIMARY KEY, at INTEGER) WITHOUT ROWID;", 0, 0, 0)
        && !prepare(database, "BEGIN IMMEDIATE", -1, &begin, 0)
        && !prepare(database, "INSERT OR REPLACE INTO row VALUES (?1, ?2)", -1, &row, 0)
        && !prepare(database, "INSERT INTO record (json) VALUES (?1)", -1, &record, 0)
        && !prepare(database, "INSERT OR REPLACE INTO position VALUES ('bot', ?1)", -1, &position, 0)
        && !prepare(database, "COMMIT", -1, &commit, 0);
}

/* What was found, what will be done, how far the log is read: 101 is SQLITE_DONE. */
static int written_down(const char *line, const char *path, long long read, int ahead) {
    static char found[8192], planned[8192], all[32768];
    snprintf(found, sizeof found, "{\"class\":\"missing_path\",\"text\":\"%.4000s\",\"path\":\"%.4000s\"}", line, path);
    snprintf(planned, sizeof planned, "{\"action\":\"create_directory\",\"before\":{\"path\":\"%.4000s\",\"exists\":false}}", path);
    if (ahead >= 0) {
        int length = snprintf(all, sizeof all, "{\"row\":%s,\"records\":[%s,%s],\"read\":%lld}\n", found, found, planned, read);
        return pwrite(ahead, all, (size_t)length, 0) == length;
    }
    int done = step(begin) == 101;
    reset(begin);
    bind_text(row, 1, path, -1, 0), bind_text(row, 2, found, -1, 0);
    done &= step(row) == 101, reset(row);
    bind_text(record, 1, found, -1, 0);
    done &= step(record) == 101, reset(record);
    bind_text(record, 1, planned, -1, 0);
    done &= step(record) == 101, reset(record);
    bind_number(position, 1, read);
    done &= step(position) == 101, reset(position);
    done &= step(commit) == 101, reset(commit);
    return done;
}

static int stamp(const char *out, const char *name) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int file = open(out, O_WRONLY | O_APPEND | O_CREAT, 0600);
    return file < 0 || dprintf(file, "%lld%09ld %s\n", (long long)now.tv_sec, now.tv_nsec, name) < 0;
}

extern char **environ;
static char *program, *out;

static void start(char *name) {
    char *argv[] = {program, "stamp", out, name, 0};
    pid_t pid;
    posix_spawn(&pid, program, 0, 0, argv, environ);
}

/* The same in a process group of its own, with pipes for what it says. */
static void start_apart(char *name) {
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC), pipes[2][2];
    if (null < 0 || pipe2(pipes[0], O_CLOEXEC) || pipe2(pipes[1], O_CLOEXEC)) exit(1);
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions), posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_adddup2(&actions, null, 0);
    posix_spawn_file_actions_adddup2(&actions, pipes[0][1], 1);
    posix_spawn_file_actions_adddup2(&actions, pipes[1][1], 2);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    char *argv[] = {program, "stamp", out, name, 0};
    pid_t pid;
    posix_spawn(&pid, program, &actions, &attributes, argv, environ);
    close(null);
    for (int end = 0; end < 4; end++) close(pipes[end / 2][end % 2]);
}

/* The second process: whoever claims a name first begins it, and writes that down. */
static int starts_for(int agent, const char *root) {
    char name[NAME_MAX + 1], path[PATH_MAX];
    snprintf(path, sizeof path, "%s.claims", root);
    int claims = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    for (ssize_t got; (got = recv(agent, name, sizeof name - 1, 0)) > 0;) {
        name[got] = 0;
        struct flock byte = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = atoi(name + 1), .l_len = 1};
        struct stat there;
        snprintf(path, sizeof path, "%s.run.%s", root, name);
        if (fcntl(claims, F_OFD_SETLK, &byte) < 0 || stat(path, &there) == 0) continue;
        start_apart(name);
        int run = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (run < 0 || write(run, name, (size_t)got) != got) return 1;
        close(run);
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 2) return watch(argv[1]);
    if (argc == 4 && !strcmp(argv[1], "stamp")) return stamp(argv[2], argv[3]);
    if (argc < 3 || argc > 6) return 2;
    int ahead = -1, second[2] = {-1, -1};
    /* Where it writes down what it will do; NULL: it does not. */
    const char *before = argc == 4 ? argv[3] : argc == 6 ? argv[5] : NULL;
    if (argc > 4) {
        program = argv[3], out = argv[4];
        signal(SIGCHLD, SIG_IGN);
        if (before) {
            if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, second)) return 1;
            if (!fork()) {
                close(second[0]);
                return setsid() < 0 || starts_for(second[1], argv[2]);
            }
            close(second[1]);
        }
    }
    if (before && !strcmp(before, "-")) {
        snprintf(buffer, sizeof buffer, "%s.ahead", argv[2]);
        if ((ahead = open(buffer, O_WRONLY | O_CREAT, 0600)) < 0) return 3;
    } else if (before && !open_database(before)) return 3;
    long long taken = 0;
    int log = open(argv[1], O_RDONLY), events = inotify_init1(0);
    if (log < 0 || events < 0 || inotify_add_watch(events, argv[1], IN_MODIFY) < 0) return 1;
    lseek(log, 0, SEEK_END);
    size_t held = 0;
    char seen[4096];
    for (;;) {
        ssize_t got = read(log, buffer + held, sizeof buffer - 1 - held);
        if (got <= 0) {
            if (read(events, seen, sizeof seen) < 0) return 1;
            continue;
        }
        held += (size_t)got, taken += got;
        char *line = buffer, *end;
        while ((end = memchr(line, '\n', held - (size_t)(line - buffer)))) {
            *end = 0;
            char *fault = strstr(line, program ? "timed out" : "[Errno 2]"), *path = fault ? strstr(fault, argv[2]) : NULL;
            char *last = path ? strrchr(path, program ? '\'' : '/') : NULL;
            if (last && last - path < PATH_MAX) {
                *last = 0;
                struct stat there;
                if (!before || (stat(path, &there) < 0 && written_down(line, path, taken, ahead))) {
                    char *name = strrchr(path, '/') + 1;
                    if (!program) mkdir(path, 0755);
                    else if (second[0] < 0) start(name);
                    else if (send(second[0], name, strlen(name), 0) < 0) return 1;
                }
            }
            line = end + 1;
        }
        held -= (size_t)(line - buffer);
        memmove(buffer, line, held);
        if (held == sizeof buffer - 1) held = 0;
    }
}
