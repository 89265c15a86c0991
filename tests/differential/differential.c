/* Random programs of everything that changes, shows or judges ids, and what came of each of their steps.
 *
 *   differential [--native] [--dir DIR] [--except NAME,NAME] FIRST COUNT      programs of the seeds FIRST…
 *   differential [same options] run SEED:KEEP…                               some of their steps; KEEP: a mask, hex
 *
 * Run once as root of a namespace that maps all ids (--native makes it) and once where ids are translated: what is
 * printed must be the same. Nothing is printed that differs by itself: no pid, inode or time. Each program is a process
 * in a directory of its own; all of them share a mount, pid and ipc namespace, whose process 1 starts one after the other.
 *
 * --dir: where files are made, instead of a tmpfs. --except: observations to leave out, see docs/SECURITY.md. */
#define _GNU_SOURCE
#include "differential.h"

#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

static char excepted[256];
static const char *work = "/tmp";
uint64_t seed, keep;

/* --- output: a step's line is collected and goes out as one write ----------------------------------------------- */

static char line[8192];
static size_t length;
void say(const char *format, ...) {
    va_list rest;
    va_start(rest, format);
    int n = vsnprintf(line + length, sizeof line - length, format, rest);
    va_end(rest);
    if (n > 0) length += (size_t)n < sizeof line - length ? (size_t)n : sizeof line - length - 1;
}
void result(long value) {
    if (value < 0) say(" = %s", errno ? strerrorname_np(errno) : "?");
    else say(" = %ld", value);
}
void end_line(void) {
    if (length == 0) return;
    line[length++] = '\n';
    if (write(TRACE_FD, line, length) < 0) _exit(99);
    length = 0;
}
int without(const char *name) {
    size_t n = strlen(name);
    for (const char *at = excepted; (at = strstr(at, name)); at += n)
        if ((at == excepted || at[-1] == ',') && (at[n] == 0 || at[n] == ',')) return 1;
    return 0;
}

/* --- programs --------------------------------------------------------------------------------------------------- */

uint64_t next_random(uint64_t *state) { /* splitmix64 */
    uint64_t z = (*state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}
static int generate(struct step *steps) {
    uint64_t state = seed * 7919 + 1;
    unsigned total = 0;
    for (int i = 0; i < op_count; ++i) total += ops[i].weight;
    int count = 4 + (int)(next_random(&state) % (MOST_STEPS - 4));
    for (int i = 0; i < count; ++i) {
        unsigned pick = (unsigned)(next_random(&state) % total), op = 0;
        while (pick >= ops[op].weight) pick -= ops[op++].weight;
        steps[i].op = (int)op;
        for (int k = 0; k < 4; ++k) steps[i].pick[k] = (unsigned)next_random(&state);
    }
    return count;
}

static struct step steps[MOST_STEPS];
static int step_count;
static int here;   /* index of the step that runs */
static void run_steps(int from, int to) {
    for (here = from; here < to; ++here) {
        if (!(keep >> here & 1)) continue;
        const struct step *s = &steps[here];
        say("%d %s", here, ops[s->op].name);
        errno = 0;
        ops[s->op].run(s);
        end_line();
    }
}
/* The next one to four steps are done by a child, then we go on behind them. */
void op_fork(const struct step *s) {
    int from = here + 1, to = from + 1 + (int)(s->pick[0] % 4), status = 0;
    if (to > step_count) to = step_count;
    say(" %d", to - from);
    end_line();
    pid_t child = fork();
    if (child == 0) {
        run_steps(from, to);
        _exit(0);
    }
    waitpid(child, &status, 0);
    here = to - 1;
    say("  child ended: %d", status);
}
/* The program goes on in the same process, which is another program by then: x1… have set-id bits. */
void op_exec(const struct step *s) {
    char path[64], a[32], b[32], c[32];
    int which = (int)(s->pick[0] % (EXECUTABLES * 2));
    if (which >= EXECUTABLES) which = 0;
    snprintf(path, sizeof path, "/tmp/bin/x%d", which);
    snprintf(a, sizeof a, "%llu", (unsigned long long)seed);
    snprintf(b, sizeof b, "%llx", (unsigned long long)keep);
    snprintf(c, sizeof c, "%d", here + 1);
    say(" x%d", which);
    end_line();
    execl(path, "x", "resume", a, b, c, *excepted ? excepted : "-", NULL);
    say("  not executed");
    result(-1);
}
static void run_program(int from) {
    step_count = generate(steps);
    run_steps(from, step_count);
    say("end");
    observe_all();
    end_line();
}

/* --- process 1 of the namespaces -------------------------------------------------------------------------------- */

static volatile sig_atomic_t hung;
static void on_alarm(int number) { (void)number; hung = 1; kill(-1, SIGKILL); }
static void must(int ok, const char *what) {
    if (ok) return;
    fprintf(stderr, "differential: %s: %s\n", what, strerror(errno));
    _exit(3);
}
static void remove_tree(int at, const char *name) {
    static const char *inside[] = {"a", "b", "c", "d", "s0", "s1"};
    int dir;
    if (unlinkat(at, name, 0) == 0 || errno == ENOENT) return;
    if ((dir = openat(at, name, O_RDONLY | O_DIRECTORY)) >= 0) {
        for (size_t i = 0; i < sizeof inside / sizeof *inside; ++i) remove_tree(dir, inside[i]);
        close(dir);
    }
    unlinkat(at, name, AT_REMOVEDIR);
}
static void one_program(void) {
    static char text[1 << 20];
    static const mode_t modes[] = {0755, 0777, 01777, 02777, 0777, 0711};
    char dir[32];
    snprintf(dir, sizeof dir, "p%llu", (unsigned long long)seed);
    umask(0);
    must(mkdir(dir, 0755) == 0 && chmod(dir, modes[seed % 6]) == 0, dir);
    hung = 0;
    alarm(20);
    pid_t child = fork();
    must(child >= 0, "fork");
    if (child == 0) {
        signal(SIGALRM, SIG_DFL);
        if (chdir(dir) != 0) _exit(98);
        umask(seed % 3 ? 022 : 0);
        run_program(0);
        _exit(0);
    }
    int status = -1;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    alarm(0);
    kill(-1, SIGKILL); /* sleepers */
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) {}
    off_t size = lseek(TRACE_FD, 0, SEEK_CUR);
    if (size > (off_t)sizeof text) size = sizeof text;
    ssize_t got = pread(TRACE_FD, text, (size_t)size, 0);
    must(ftruncate(TRACE_FD, 0) == 0 && lseek(TRACE_FD, 0, SEEK_SET) == 0, "trace");
    printf("program %llu:%llx\n", (unsigned long long)seed, (unsigned long long)keep);
    fwrite(text, 1, got > 0 ? (size_t)got : 0, stdout);
    if (hung) printf("HUNG\n");
    if (status) printf("ended: %d\n", status);
    remove_tree(AT_FDCWD, dir);
}
static void place(void) {
    static const struct { uid_t u; gid_t g; mode_t mode; } bits[EXECUTABLES] = {
        {0, 0, 0755}, {60000, 0, 04755}, {0, 70000, 02755}, {0, 0, 04755}, {1633, 60000, 06755}, {1185200044, 999, 06711}};
    char path[64];
    static char program[4 << 20];
    must(mount("", "/", "", MS_REC | MS_PRIVATE, NULL) == 0, "make mounts private");
    must(mount("tmpfs", "/tmp", "tmpfs", 0, "mode=755") == 0, "mount a tmpfs");
    must(mkdir("/tmp/bin", 0755) == 0 && chmod("/tmp/bin", 0755) == 0, "/tmp/bin");
    int in = open("/proc/self/exe", O_RDONLY);
    ssize_t size = read(in, program, sizeof program);
    must(size > 0, "read ourselves");
    for (int i = 0; i < EXECUTABLES; ++i) {
        snprintf(path, sizeof path, "/tmp/bin/x%d", i);
        int out = open(path, O_CREAT | O_WRONLY, 0700);
        must(write(out, program, (size_t)size) == size, path);
        must(fchown(out, bits[i].u, bits[i].g) == 0 && fchmod(out, bits[i].mode) == 0, path);
        close(out);
    }
    must(chdir(work) == 0, work);
    int trace = memfd_create("trace", 0);
    must(dup2(trace, TRACE_FD) == TRACE_FD, "trace");
    close(trace);
    signal(SIGALRM, on_alarm);
    setvbuf(stdout, NULL, _IOFBF, 1 << 20);
    must(setpriority(PRIO_PROCESS, 0, 10) == 0, "setpriority: started with a nice value above 10?");
    setgroups(0, NULL);
}

/* --- start ------------------------------------------------------------------------------------------------------ */

static void write_map(pid_t child, const char *name) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", child, name);
    int fd = open(path, O_WRONLY);
    must(write(fd, "0 0 4294967295", 14) == 14, path);
    close(fd);
}
/* Goes on as root of a user namespace that maps everything. */
static void full_map(void) {
    int up[2], down[2], status;
    char byte = 0;
    must(pipe(up) == 0 && pipe(down) == 0, "pipe");
    pid_t child = fork();
    if (child == 0) {
        must(unshare(CLONE_NEWUSER) == 0, "unshare(CLONE_NEWUSER)");
        must(write(up[1], &byte, 1) == 1 && read(down[0], &byte, 1) == 1, "pipe");
        return;
    }
    must(read(up[0], &byte, 1) == 1, "the namespace");
    write_map(child, "uid_map");
    write_map(child, "gid_map");
    must(write(down[1], &byte, 1) == 1, "pipe");
    waitpid(child, &status, 0);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 4);
}
static void all_programs(char **argv) {
    if (!strcmp(*argv, "run")) {
        for (++argv; *argv; ++argv) {
            char *rest;
            seed = strtoull(*argv, &rest, 10);
            keep = *rest == ':' ? strtoull(rest + 1, NULL, 16) : ~0ull;
            one_program();
        }
    } else {
        uint64_t first = strtoull(argv[0], NULL, 10), count = strtoull(argv[1], NULL, 10);
        keep = ~0ull;
        for (seed = first; seed < first + count; ++seed) one_program();
    }
    fflush(stdout);
}
int main(int argc, char **argv) {
    int native = 0, status = 0;
    if (argc == 6 && !strcmp(argv[1], "resume")) {
        seed = strtoull(argv[2], NULL, 10);
        keep = strtoull(argv[3], NULL, 16);
        snprintf(excepted, sizeof excepted, "%s", argv[5]);
        run_program(atoi(argv[4]));
        return 0;
    }
    for (++argv; *argv && !strncmp(*argv, "--", 2); ++argv) {
        if (!strcmp(*argv, "--native")) native = 1;
        else if (!strcmp(*argv, "--dir") && argv[1]) work = *++argv;
        else if (!strcmp(*argv, "--except") && argv[1]) snprintf(excepted, sizeof excepted, "%s", *++argv);
        else must(0, *argv);
    }
    if (!*argv || !argv[1]) {
        fprintf(stderr, "usage: differential [--native] [--dir DIR] [--except NAMES] FIRST COUNT | run SEED:KEEP…\n");
        return 2;
    }
    if (native) full_map();
    must(unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC) == 0, "unshare");
    pid_t first = fork();
    if (first == 0) {
        place();
        all_programs(argv);
        _exit(0);
    }
    while (waitpid(first, &status, 0) < 0 && errno == EINTR) {}
    return WIFEXITED(status) ? WEXITSTATUS(status) : 5;
}
