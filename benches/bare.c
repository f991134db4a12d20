/* For live.py. `bare ROOT` prints the time, in nanoseconds, and the name of whatever appears in ROOT.
 *
 * `bare LOG ROOT` is the least that can be done: it waits for LOG to grow (inotify), and for each line that names
 * 'ROOT/NAME/x.mp4' behind "[Errno 2]" makes ROOT/NAME at once. It confirms nothing, writes nothing down, forgets
 * everything when it ends: what `live.py` holds logmedic's way against. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
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

int main(int argc, char **argv) {
    if (argc == 2) return watch(argv[1]);
    if (argc != 3) return 2;
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
        held += (size_t)got;
        char *line = buffer, *end;
        while ((end = memchr(line, '\n', held - (size_t)(line - buffer)))) {
            *end = 0;
            char *fault = strstr(line, "[Errno 2]"), *path = fault ? strstr(fault, argv[2]) : NULL;
            char *last = path ? strrchr(path, '/') : NULL;
            if (last && last - path < PATH_MAX) {
                *last = 0;
                mkdir(path, 0755);
            }
            line = end + 1;
        }
        held -= (size_t)(line - buffer);
        memmove(buffer, line, held);
        if (held == sizeof buffer - 1) held = 0;
    }
}
