/* The part of hostile.c about programs that make another one of whoever executes them, and about running out of slots. */
#define _GNU_SOURCE
#include "hostile.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NEVER = 424242 }; /* an id that nobody is made of */

/* This program as a file of somebody's. */
static void copy(const char *to, unsigned uid, unsigned gid, unsigned mode) {
    int in = open("/proc/self/exe", O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (in < 0 || out < 0) exit(2);
    char buffer[65536];
    for (ssize_t n; (n = read(in, buffer, sizeof buffer)) > 0;) if (write(out, buffer, (size_t)n) != n) exit(2);
    if (fchown(out, uid, gid) || fchmod(out, mode)) printf("BAD %s: %s cannot be made: %s\n", self, to, strerror(errno));
    close(in);
    close(out);
}

/* --- another thread executes a set-uid program while the first one waits ---------------------------------------- */

/* This program is linked to fixed addresses: here the next one has what the first one names to its calls. */
static unsigned canary[4096] __attribute__((aligned(4096)));

static int is_untouched(void) {
    if (geteuid() != 0 || getuid() != FOREIGN || !getauxval(AT_SECURE)) return 4;
    for (double end = now() + 0.003; now() < end;)
        for (int i = 0; i < 4096; ++i) if (((volatile unsigned *)canary)[i]) return 3;
    return 0;
}
static void *executes(void *unused) {
    (void)unused;
    usleep(roll() % 700);
    execl("./suid", "hostile", "exec_race", "canary", NULL);
    _exit(5);
}
static void waits(void) { /* in calls whose results, or lists, lie where the other program has its canary */
    pthread_t other;
    for (int i = 0; i < 4096; ++i) canary[i] = FOREIGN;
    pthread_create(&other, NULL, executes, NULL);
    for (;;) {
        syscall(SYS_getresuid, canary, canary + 1, canary + 4000);
        syscall(SYS_setgroups, 2048, canary);
        syscall(SYS_getgroups, 100, canary + 3000);
        stat("suid", (struct stat *)(canary + 2000));
    }
}
int exec_race(char **argv) {
    if (argv[0] && !strcmp(argv[0], "canary")) _exit(is_untouched());
    int rounds = argv[0] ? atoi(argv[0]) : 1000, outcome[256] = {0};
    scene();
    copy("suid", 0, 0, 04755);
    for (int worker = 0; worker < 4; ++worker)
        if (fork() == 0) {
            int wrong = 0;
            for (int i = 0; i < worker * 100; ++i) roll();
            for (int i = 0; i < rounds / 4; ++i) {
                int status;
                unsigned list[2] = {FOREIGN, OTHER};
                pid_t child = fork();
                if (child == 0) {
                    for (int n = i % 50; n; --n) roll();
                    if (setgroups(2, list) || setresgid(FOREIGN, FOREIGN, FOREIGN) || setresuid(FOREIGN, FOREIGN, FOREIGN)) _exit(6);
                    waits();
                }
                waitpid(child, &status, 0);
                if (status && !wrong) wrong = WIFEXITED(status) ? WEXITSTATUS(status) : 100;
            }
            _exit(wrong);
        }
    for (int status; wait(&status) > 0;) ++outcome[WEXITSTATUS(status)];
    verdict(outcome[0] == 4, "nothing is written into, or answered for another one to, a program that another thread has executed", outcome[3], outcome[4]);
    for (int i = 1; i < 256; ++i) if (outcome[i]) printf("# exit %d of %d\n", i, outcome[i]);
    return 0;
}

/* --- set-uid programs (trace) ------------------------------------------------------------------------------------ */

static void told(const char *name, long r) { printf("  %s %s\n", name, r == -1 ? strerrorname_np(errno) : "done"); }
static void show(const char *when) {
    unsigned r, e, s, gr, ge, gs, list[8];
    getresuid(&r, &e, &s);
    getresgid(&gr, &ge, &gs);
    int n = getgroups(8, list);
    printf("  %s: %u %u %u, %u %u %u, %d groups, secure %lu, fs %u %u, dumpable %d\n", when, r, e, s, gr, ge, gs, n, getauxval(AT_SECURE),
           (unsigned)syscall(SYS_setfsuid, -1), (unsigned)syscall(SYS_setfsgid, -1), prctl(PR_GET_DUMPABLE) != 1);
    FILE *status = fopen("/proc/self/status", "r");
    for (char line[256]; status && fgets(line, sizeof line, status);) if (!strncmp(line, "Cap", 3) && strncmp(line, "CapBnd", 6)) printf("  %d%s", !!strspn(line + 8, "123456789abcdef"), strchr(line, '0') ? "\n" : "");
    if (status) fclose(status);
}
static int executed(void) { /* what such a program is, and becomes */
    show("as executed");
    told("touch", close(open("made", O_CREAT | O_WRONLY | O_EXCL, 0600)));
    told("open of root's", close(open("victim", O_RDWR)));
    told("setuid to a third", setresuid(-1, OTHER, -1));
    if (!getenv("HOSTILE_TRACED")) told("setuid back", setresuid(-1, getuid(), -1)); /* else EPERM, see docs/SECURITY.md */
    told("setuid to nobody's", setresuid(NEVER, NEVER, NEVER));
    told("setgroups", setgroups(0, NULL));
    show("then");
    told("and to root", setresuid(0, 0, 0));
    return 0;
}
static void execute(const char *file, const char *how, void (*before)(void)) {
    printf("%s %s\n", file, how);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        if (chdir("own")) exit(2);
        become(FOREIGN);
        if (before) before();
        char path[64] = "../";
        execl(strcat(path, file), "hostile", "setuid_files", "executed", NULL);
        told("exec", -1);
        fflush(stdout);
        _exit(1);
    }
    int status;
    while (waitpid(child, &status, 0) == child && WIFSTOPPED(status)) ptrace(PTRACE_CONT, child, 0, WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status));
    struct stat st;
    if (stat("own/made", &st) == 0) printf("  it made a file of %u:%u\n", st.st_uid, st.st_gid);
    unlink("own/made");
}
static void no_new_privileges(void) { prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); }
static void owned_by_nobody(void) { /* of a user namespace of its own: its root is nobody */
    told("unshare", unshare(0x10000000));
}
static void traced_by_one_like_me(void) { /* a tracer without capabilities: set-uid does not count */
    pid_t child = fork();
    if (child == 0) { told("traceme", ptrace(PTRACE_TRACEME, 0, 0, 0)); setenv("HOSTILE_TRACED", "1", 1); return; }
    int status;
    while (waitpid(child, &status, 0) == child && WIFSTOPPED(status)) ptrace(PTRACE_CONT, child, 0, WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status));
    fflush(stdout);
    _exit(0);
}
/* What somebody can do to such a program of root's that he has started. */
static void touch_running(void) {
    int pair[2];
    if (pipe(pair)) exit(2);
    printf("a running one\n");
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        become(FOREIGN);
        prctl(PR_SET_DUMPABLE, 1);
        pid_t one = fork();
        if (one == 0) { dup2(pair[1], 1); execl("rootsuid", "hostile", "setuid_files", "sleeps", NULL); _exit(1); }
        char c;
        if (read(pair[0], &c, 1) != 1) exit(2);
        struct iovec here = {&c, 1}, there = {canary, 1};
        char path[64];
        told("seize", ptrace(PTRACE_SEIZE, one, 0, 0));
        told("read of memory", process_vm_readv(one, &here, 1, &there, 1, 0));
        snprintf(path, sizeof path, "/proc/%d/mem", one);
        told("open of memory", open(path, O_RDWR));
        snprintf(path, sizeof path, "/proc/%d/environ", one);
        told("open of environment", open(path, O_RDONLY));
        told("its pidfd's descriptor", syscall(SYS_pidfd_getfd, syscall(SYS_pidfd_open, one, 0), 0, 0));
        told("signal", kill(one, 0));
        kill(one, SIGKILL);
        fflush(stdout);
        _exit(0);
    }
    close(pair[0]), close(pair[1]);
    waitpid(child, NULL, 0);
}
static void mode(const char *what) {
    struct stat st;
    if (stat("given", &st)) exit(2);
    printf("  %s: %o\n", what, st.st_mode & 07777);
}
static void give_away(void) { /* who owns such a program, and who may not */
    printf("given away\n");
    copy("given", FOREIGN, FOREIGN, 06755);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        unsigned root[] = {0, 65534}; /* as in images whose programs may be anybody, and are of root's group */
        if (setresgid(FOREIGN, FOREIGN, FOREIGN) || setgroups(2, root) || setresuid(FOREIGN, FOREIGN, FOREIGN)) exit(2);
        mode("as made");
        told("to root", chown("given", 0, -1));
        told("to another", chown("given", OTHER, -1));
        told("to nobody's", chown("given", NEVER, -1));
        told("to another's group", chown("given", -1, OTHER));
        mode("still");
        told("to itself", chown("given", FOREIGN, FOREIGN));
        mode("then");
        told("chmod", chmod("given", 04755));
        told("another's", chmod("../other", 04755));
        unsigned group;
        struct stat st;
        if (stat("given", &st)) exit(2);
        group = st.st_gid;
        told("to a group that nobody has", chown("given", -1, NEVER + 1));
        told("to nobody and his group", chown("given", NEVER + 2, NEVER + 1));
        told("to itself and that group", chown("given", FOREIGN, NEVER + 1));
        told("of a link", lchown("given", -1, NEVER + 1));
        told("of what is not there", chown("nothing", -1, NEVER + 1));
        told("of another's", chown("rootsuid", -1, NEVER + 1));
        if (stat("given", &st)) exit(2);
        printf("  group %s\n", st.st_gid == group ? "as before" : "another");
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    mode("set once more");
    told("root gives it to another", chown("given", OTHER, -1));
    mode("then");
}
int setuid_files(char **argv) { /* trace */
    if (argv[0] && !strcmp(argv[0], "executed")) return executed();
    if (argv[0] && !strcmp(argv[0], "sleeps")) { if (write(1, "x", 1) == 1) sleep(20); return 0; }
    static const struct { const char *name; unsigned uid, gid, mode; } files[] = {
        {"rootsuid", 0, 0, 04755}, {"othersuid", OTHER, OTHER, 04755}, {"othersgid", OTHER, OTHER, 02755}, {"both", OTHER, 1000, 06755},
        {"planned", 1000, 1000, 06755}, {"hidden", OTHER, OTHER, 04750}, {"none", OTHER, OTHER, 0755}};
    scene();
    for (size_t i = 0; i < sizeof files / sizeof *files; ++i) {
        copy(files[i].name, files[i].uid, files[i].gid, files[i].mode);
        execute(files[i].name, "", NULL);
        execute(files[i].name, "without new privileges", no_new_privileges);
        execute(files[i].name, "traced", traced_by_one_like_me);
        execute(files[i].name, "in a namespace", owned_by_nobody);
    }
    touch_running();
    give_away();
    return 0;
}

/* --- more ids than slots ----------------------------------------------------------------------------------------- */

/* Each is somebody else or nobody at all; what was somebody's stays his. */
int exhaust(char **argv) {
    enum { IDS = 1300 };
    int made = 0, refused = 0, wrong = 0, strangers = 0;
    (void)argv;
    scene();
    for (unsigned i = 0; i < IDS; ++i) {
        char name[32], before[32];
        snprintf(name, sizeof name, "own/%u", i);
        snprintf(before, sizeof before, "own/%u", i ? roll() % i : 0);
        fflush(stdout);
        int status;
        pid_t child = fork();
        if (child == 0) {
            unsigned id = 2000000 + i;
            if (setgroups(0, NULL) || setresgid(id, id, id) || setresuid(id, id, id)) _exit(errno == EINVAL ? 1 : 2);
            int fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0600);
            if (fd < 0 || geteuid() != id) _exit(3);
            if (i && (open(before, O_RDONLY) >= 0 || chmod(before, 0666) == 0 || kill(getppid(), 0) == 0)) _exit(4);
            _exit(0);
        }
        waitpid(child, &status, 0);
        if (status == 0) ++made;
        else if (WIFEXITED(status) && WEXITSTATUS(status) == 1) { ++refused; continue; }
        else ++wrong;
        struct stat st;
        if (getenv("HOSTILE_STAT") && (stat(name, &st) || st.st_uid != 2000000 + i)) ++strangers;
    }
    verdict(wrong == 0 && made > 300, "each is somebody of its own", made, wrong);
    verdict(strangers == 0, "and shown as that", strangers, 0);
    printf("# %d became somebody, %d were refused\n", made, refused);
    verdict(geteuid() == 0 && setresuid(-1, FOREIGN, -1) == 0 && geteuid() == FOREIGN, "who was somebody before still can be", geteuid(), 0);
    return 0;
}
