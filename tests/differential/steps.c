/* What a step of a random program can be: one function each, and the table of them at the end. */
#define _GNU_SOURCE
#include "differential.h"

#include <linux/capability.h>
#include <pthread.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/ipc.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif

static const unsigned kIds[] = {0, 1, 33, 999, 1000, 1421, 1633, 60000, 70000, 65534, 1185200044, 4294967294u, ~0u};
enum { IDS = sizeof kIds / sizeof *kIds, PAIR_FD = 100, LISTEN_FD = 110, CONNECT_FD = 120, ACCEPT_FD = 130, FILE_FD = 140 };

static unsigned id(unsigned pick) { return kIds[pick % IDS]; }
/* As a register: one in 16 has rubbish above bit 31, which the kernel does not look at. */
static unsigned long reg(unsigned pick) { return id(pick) | (pick >> 28 ? 0 : 0xdead1000ul << 32); }
static const char *name(unsigned pick) {
    static const char *names[] = {"a", "b", "c", "d", "d/a", "d/b"};
    return names[pick % 6];
}
static void show(unsigned value) { if (value == ~0u) say(" -1"); else say(" %u", value); }

/* --- what is seen ----------------------------------------------------------------------------------------------- */

static void see_three(void) {
    unsigned r = 7, e = 7, s = 7;
    errno = 0;
    if (syscall(SYS_getresuid, &r, &e, &s)) say(" getresuid %s", strerrorname_np(errno));
    say(" uid %u %u %u fs %u", r, e, s, (unsigned)syscall(SYS_setfsuid, -1));
    if (syscall(SYS_getresgid, &r, &e, &s)) say(" getresgid %s", strerrorname_np(errno));
    say(" gid %u %u %u fs %u", r, e, s, (unsigned)syscall(SYS_setfsgid, -1));
}
static void see_one(void) {
    say(" %u %u %u %u", (unsigned)syscall(SYS_getuid), (unsigned)syscall(SYS_geteuid), (unsigned)syscall(SYS_getgid),
        (unsigned)syscall(SYS_getegid));
}
static int ascending(const void *a, const void *b) {
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;
    return x < y ? -1 : x > y;
}
static void list(const char *what, unsigned *ids, long count) {
    say(" %s", what);
    if (count < 0) say(" %s", strerrorname_np(errno));
    else if (without("order")) qsort(ids, (size_t)count, sizeof *ids, ascending);
    for (long i = 0; i < count; ++i) say("%c%u", i ? ',' : ' ', ids[i]);
}
static void see_groups(void) {
    unsigned got[64];
    list("groups", got, syscall(SYS_getgroups, 64, got));
}
static void see_status(void) { /* capabilities; ids only where they are not translated */
    static char text[8192];
    int fd = open("/proc/self/status", O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0) close(fd);
    if (n < 0) { say(" status %s", strerrorname_np(errno)); return; }
    text[n] = 0;
    for (char *at = strtok(text, "\n"); at; at = strtok(NULL, "\n")) {
        if (!strncmp(at, "CapEff:", 7) || !strncmp(at, "CapPrm:", 7) || !strncmp(at, "NoNewPrivs:", 11)) say(" %s", at);
        if (!without("status") && (!strncmp(at, "Uid:", 4) || !strncmp(at, "Gid:", 4))) say(" %s", at);
    }
}
void observe_all(void) {
    see_three();
    see_groups();
    see_status();
    if (!without("auxv")) say(" aux %lu %lu %lu %lu", getauxval(AT_UID), getauxval(AT_EUID), getauxval(AT_GID), getauxval(AT_EGID));
    say(" secure %lu", getauxval(AT_SECURE));
}
static void op_see(const struct step *s) {
    switch (s->pick[0] % 4) {
        case 0: see_three(); break;
        case 1: see_one(); break;
        case 2: see_groups(); break;
        default: observe_all();
    }
}
static void op_see_badly(const struct step *s) { /* wrong pointers and sizes */
    unsigned one = 5, three = 5, got[2] = {5, 5};
    long nr = s->pick[0] % 2 ? SYS_getresuid : SYS_getresgid;
    switch (s->pick[1] % 4) {
        case 0: result(syscall(nr, &one, 16, &three)); break;
        case 1: result(syscall(nr, &one, &three, -8)); break;
        case 2: result(syscall(SYS_getgroups, s->pick[2] % 3, got)); break;
        default: result(syscall(SYS_getgroups, s->pick[2] % 2 ? -1 : 64, 16)); break;
    }
    if (without("order")) qsort(got, 2, sizeof *got, ascending);
    say(" %u %u %u %u", one, three, got[0], got[1]);
}

/* --- credentials ------------------------------------------------------------------------------------------------ */

static void one_id(long nr, const struct step *s) {
    show(id(s->pick[0]));
    result(syscall(nr, reg(s->pick[0])));
}
static void op_setuid(const struct step *s) { one_id(SYS_setuid, s); see_three(); }
static void op_setgid(const struct step *s) { one_id(SYS_setgid, s); see_three(); }
static void op_setfsuid(const struct step *s) { one_id(SYS_setfsuid, s); see_three(); }
static void op_setfsgid(const struct step *s) { one_id(SYS_setfsgid, s); see_three(); }
static void more_ids(long nr, int count, const struct step *s) {
    for (int i = 0; i < count; ++i) show(id(s->pick[i]));
    result(syscall(nr, reg(s->pick[0]), reg(s->pick[1]), count == 3 ? reg(s->pick[2]) : 0ul));
    if (s->pick[3] % 2) see_three();
}
static void op_setreuid(const struct step *s) { more_ids(SYS_setreuid, 2, s); }
static void op_setregid(const struct step *s) { more_ids(SYS_setregid, 2, s); }
static void op_setresuid(const struct step *s) { more_ids(SYS_setresuid, 3, s); }
static void op_setresgid(const struct step *s) { more_ids(SYS_setresgid, 3, s); }
static void op_become(const struct step *s) { /* for good, as a service does */
    unsigned u = id(s->pick[0]), g = id(s->pick[1]);
    say(" %u:%u", u, g);
    result(setgroups(0, NULL));
    result(syscall(SYS_setresgid, g, g, g));
    result(syscall(SYS_setresuid, u, u, u));
    see_three();
}
static void op_setgroups(const struct step *s) {
    unsigned ids[6];
    int count = (int)(s->pick[0] % 7);
    if (count == 6) { /* wrong in one of three ways */
        count = s->pick[1] % 3 == 0 ? -1 : s->pick[1] % 3 == 1 ? 65537 : 3;
        say(" %d of nothing", count);
        result(syscall(SYS_setgroups, count, s->pick[1] % 3 == 2 ? 16 : 0));
        return;
    }
    for (int i = 0; i < count; ++i) {
        ids[i] = id((s->pick[i % 4] >> (i * 3)) + (unsigned)i);
        if (ids[i] == ~0u && s->pick[3] % 4) ids[i] = 60000; /* -1 is refused, mostly not what is wanted here */
        show(ids[i]);
    }
    result(syscall(SYS_setgroups, count, ids));
    for (int i = 0; i < count; ++i) show(ids[i]); /* as before */
    see_groups();
}
static void op_prctl(const struct step *s) {
    static const struct { const char *name; int what, value; } kinds[] = {
        {"keepcaps", PR_SET_KEEPCAPS, 1}, {"no keepcaps", PR_SET_KEEPCAPS, 0}, {"dumpable?", PR_GET_DUMPABLE, 0},
        {"dumpable", PR_SET_DUMPABLE, 1}, {"keepcaps?", PR_GET_KEEPCAPS, 0}, {"securebits?", PR_GET_SECUREBITS, 0},
        {"no setuid fixup", PR_SET_SECUREBITS, 4}, {"dumpable?", PR_GET_DUMPABLE, 0}, {"keepcaps", PR_SET_KEEPCAPS, 1},
        {"no new privileges", PR_SET_NO_NEW_PRIVS, 1}};
    unsigned n = s->pick[0] % 10;
    if (n == 9 && s->pick[1] % 4) n = 2;
    say(" %s", kinds[n].name);
    result(prctl(kinds[n].what, kinds[n].value, 0, 0, 0));
}
static void op_capset(const struct step *s) {
    static const int caps[] = {CAP_SETUID, CAP_SETGID, CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_KILL};
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    int cap = caps[s->pick[0] % 6];
    if (syscall(SYS_capget, &head, data)) { result(-1); return; }
    if (s->pick[1] % 4 == 0) data[0].effective = data[0].permitted; /* all back */
    else data[0].effective &= ~(1u << cap);
    say(" %d of %u", cap, s->pick[1] % 4);
    result(syscall(SYS_capset, &head, data));
    see_status();
}

/* --- processes -------------------------------------------------------------------------------------------------- */

static void op_vfork(const struct step *s) {
    volatile long did = 0, is = 0;
    int status = 0;
    volatile unsigned long wanted = reg(s->pick[0]);
    show(id(s->pick[0]));
    pid_t child = vfork();
    if (child == 0) {
        did = syscall(SYS_setresuid, wanted, wanted, wanted);
        is = syscall(SYS_getuid);
        _exit(3);
    }
    if (child < 0) { result(-1); return; }
    waitpid(child, &status, 0);
    say(" did %ld is %ld ended %d", did, is, status);
    see_three();
}
static long thread_did, thread_is;
static void *alone(void *wanted) { /* one thread alone may have other ids */
    thread_did = syscall(SYS_setresuid, -1l, wanted, -1l);
    thread_is = syscall(SYS_geteuid);
    return NULL;
}
static void op_thread(const struct step *s) {
    pthread_t thread;
    show(id(s->pick[0]));
    if (pthread_create(&thread, NULL, alone, (void *)(uintptr_t)id(s->pick[0]))) { say(" no thread"); return; }
    pthread_join(thread, NULL);
    say(" did %ld is %ld", thread_did, thread_is);
    see_one();
}
static pthread_barrier_t before, after;
static void *looks(void *into) {
    pthread_barrier_wait(&before);
    pthread_barrier_wait(&after);
    *(long *)into = syscall(SYS_geteuid);
    return NULL;
}
static void op_all_threads(const struct step *s) { /* the C library makes every thread do it */
    enum { THREADS = 3 };
    pthread_t threads[THREADS];
    long seen[THREADS];
    unsigned u = id(s->pick[0]);
    pthread_barrier_init(&before, NULL, THREADS + 1);
    pthread_barrier_init(&after, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; ++i)
        if (pthread_create(&threads[i], NULL, looks, &seen[i])) { say(" no thread"); end_line(); _exit(97); }
    show(u);
    pthread_barrier_wait(&before);
    errno = 0;
    long did = s->pick[1] % 3 == 0 ? setuid(u) : s->pick[1] % 3 == 1 ? seteuid(u) : setgid(u);
    result(did);
    pthread_barrier_wait(&after);
    for (int i = 0; i < THREADS; ++i) pthread_join(threads[i], NULL);
    for (int i = 0; i < THREADS; ++i) say(" %ld", seen[i]);
    see_three();
}
static pid_t sleepers[4];
static void op_sleeper(const struct step *s) {
    int ready[2];
    unsigned u = id(s->pick[0]), e = s->pick[1] % 3 ? u : id(s->pick[2]);
    char byte = 0;
    if (pipe(ready)) { result(-1); return; }
    pid_t child = fork();
    if (child == 0) {
        byte = (char)(syscall(SYS_setresuid, u, e, u) ? errno : 0);
        if (write(ready[1], &byte, 1) != 1) _exit(1);
        for (;;) pause();
    }
    close(ready[1]);
    if (read(ready[0], &byte, 1) != 1) byte = 1;
    close(ready[0]);
    sleepers[s->pick[3] % 4] = child;
    say(" %u as %d %d: %d", s->pick[3] % 4, (int)u, (int)e, byte);
}
static void op_kill(const struct step *s) {
    int n = (int)(s->pick[0] % 4);
    say(" %d", n);
    if (sleepers[n]) result(kill(sleepers[n], 0)); /* exec forgets them */
}
static void op_priority(const struct step *s) {
    unsigned who = id(s->pick[0]);
    show(who);
    if (who == 0 || who == ~0u) return; /* 0 is whoever runs this, and process 1 */
    result(setpriority(PRIO_USER, who, 12));
    errno = 0;
    result(getpriority(PRIO_USER, who));
    say(" own %ld", (long)getpriority(PRIO_PROCESS, 0));
}
static volatile unsigned told;
static void on_signal(int number, siginfo_t *info, void *context) { (void)number; (void)context; told = info->si_uid; }
static void op_signal(const struct step *s) {
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    unsigned u = id(s->pick[0]);
    pid_t parent = getpid(), child;
    if (without("siginfo")) return;
    sigaction(SIGUSR1, &action, NULL);
    told = 5;
    if ((child = fork()) == 0) {
        if (syscall(SYS_setresuid, u, u, u) != 0) _exit(2);
        _exit(kill(parent, SIGUSR1) ? errno : 0);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    say(" ended %d told %u", status, told);
}

/* --- files ------------------------------------------------------------------------------------------------------ */

static void see_file(const char *path) {
    struct stat st;
    errno = 0;
    if (lstat(path, &st)) say(" (%s)", strerrorname_np(errno));
    else if (without("stat")) say(" (%o)", st.st_mode);
    else say(" (%o %u:%u)", st.st_mode, st.st_uid, st.st_gid);
}
static void op_create(const struct step *s) {
    static const mode_t modes[] = {0600, 0644, 04755, 02755, 0666, 0777, 06711, 0400};
    const char *path = name(s->pick[0]);
    int fd = open(path, O_CREAT | O_WRONLY | O_NONBLOCK | (s->pick[2] % 2 ? O_EXCL : 0), modes[s->pick[1] % 8]);
    say(" %s %o", path, modes[s->pick[1] % 8]);
    result(fd < 0 ? -1 : 0);
    if (fd >= 0) close(fd);
    see_file(path);
}
static void op_mkdir(const struct step *s) {
    static const mode_t modes[] = {0700, 0755, 0777, 01777, 02777, 02775};
    say(" %o", modes[s->pick[1] % 6]);
    result(mkdir("d", modes[s->pick[1] % 6]));
    see_file("d");
}
static void op_symlink(const struct step *s) {
    static const char *targets[] = {"a", "d", "d/a", "nowhere", "../../proc/self/status"};
    say(" %s -> %s", name(s->pick[0]), targets[s->pick[1] % 5]);
    result(symlink(targets[s->pick[1] % 5], name(s->pick[0])));
    see_file(name(s->pick[0]));
}
static void op_special(const struct step *s) {
    static const mode_t modes[] = {S_IFIFO | 0644, S_IFSOCK | 0600, S_IFREG | 0640, S_IFBLK | 0600};
    say(" %s %o", name(s->pick[0]), modes[s->pick[1] % 4]);
    result(mknod(name(s->pick[0]), modes[s->pick[1] % 4], s->pick[1] % 4 == 3 ? 0x107 : 0));
    see_file(name(s->pick[0]));
}
static void op_unlink(const struct step *s) { say(" %s", name(s->pick[0])); result(unlink(name(s->pick[0]))); }
static void op_rename(const struct step *s) {
    say(" %s %s", name(s->pick[0]), name(s->pick[1]));
    result(rename(name(s->pick[0]), name(s->pick[1])));
}
static void op_link(const struct step *s) {
    say(" %s %s", name(s->pick[0]), name(s->pick[1]));
    result(link(name(s->pick[0]), name(s->pick[1])));
}
static void op_chmod(const struct step *s) {
    static const mode_t modes[] = {0600, 0755, 04755, 02755, 01777, 06777, 0};
    say(" %s %o", name(s->pick[0]), modes[s->pick[1] % 7]);
    result(chmod(name(s->pick[0]), modes[s->pick[1] % 7]));
    see_file(name(s->pick[0]));
}
static int any_file(unsigned pick) { /* kept over exec */
    int fd = open(name(pick), pick % 2 ? O_PATH | O_NOFOLLOW : O_RDONLY | O_NONBLOCK);
    if (fd < 0) return -1;
    dup2(fd, FILE_FD);
    close(fd);
    return FILE_FD;
}
static void op_chown(const struct step *s) {
    const char *path = name(s->pick[0]);
    unsigned long u = reg(s->pick[1]), g = reg(s->pick[2]);
    char magic[64];
    int fd, dir;
    say(" way %u %s", s->pick[3] % 11, path);
    show((unsigned)u);
    show((unsigned)g);
    switch (s->pick[3] % 11) {
        case 0: case 1: result(syscall(SYS_chown, path, u, g)); break;
        case 2: result(syscall(SYS_lchown, path, u, g)); break;
        case 3: fd = any_file(s->pick[0]); say(" fd %d", fd); result(syscall(SYS_fchown, fd, u, g)); break;
        case 4: result(syscall(SYS_fchownat, AT_FDCWD, path, u, g, 0)); break;
        case 5: result(syscall(SYS_fchownat, AT_FDCWD, path, u, g, AT_SYMLINK_NOFOLLOW)); break;
        case 6: fd = any_file(s->pick[0]); say(" fd %d", fd); result(syscall(SYS_fchownat, fd, "", u, g, AT_EMPTY_PATH)); break;
        case 7:
            dir = open("d", O_PATH | O_DIRECTORY);
            if (dir >= 0) { dup2(dir, FILE_FD); close(dir); }
            result(syscall(SYS_fchownat, dir < 0 ? 77 : FILE_FD, "a", u, g, 0));
            break;
        case 8:
            fd = any_file(s->pick[0]);
            snprintf(magic, sizeof magic, "/proc/self/fd/%d", fd);
            say(" %s", magic);
            result(syscall(SYS_chown, magic, u, g));
            break;
        case 9:
            snprintf(magic, sizeof magic, "%s/", path);
            result(syscall(SYS_lchown, magic, u, g));
            break;
        default:
            result(syscall(SYS_fchownat, s->pick[0] % 2 ? AT_FDCWD : 78, s->pick[0] % 3 ? "" : (char *)16, u, g, 0x8000 >> s->pick[0] % 4));
    }
    see_file(path);
}
static void see_statx(int at, const char *path, int flags) {
    struct statx more = {0};
    if (syscall(SYS_statx, at, path, flags, STATX_BASIC_STATS, &more)) say(" %s", strerrorname_np(errno));
    else if (!without("stat")) say(" %o %u:%u", more.stx_mode, more.stx_uid, more.stx_gid);
}
static void op_stat(const struct step *s) {
    struct stat st = {0};
    const char *path = name(s->pick[0]);
    long did;
    say(" way %u %s", s->pick[1] % 7, path);
    switch (s->pick[1] % 7) {
        case 0: did = syscall(SYS_stat, path, &st); break;
        case 1: did = syscall(SYS_lstat, path, &st); break;
        case 2: did = syscall(SYS_fstat, any_file(s->pick[0]), &st); break;
        case 3: did = syscall(SYS_newfstatat, any_file(s->pick[0]), "", &st, AT_EMPTY_PATH); break;
        case 4: did = syscall(SYS_newfstatat, AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW); break;
        case 5: did = syscall(SYS_stat, path, 16); break;
        default: see_statx(s->pick[2] % 2 ? AT_FDCWD : any_file(s->pick[0]), s->pick[2] % 2 ? path : "", s->pick[2] % 2 ? 0 : AT_EMPTY_PATH); return;
    }
    result(did);
    if (!without("stat")) say(" %o %u:%u", st.st_mode, st.st_uid, st.st_gid);
}
static void op_access(const struct step *s) {
    int mode = (int)(s->pick[1] % 8);
    say(" %s %d", name(s->pick[0]), mode);
    result(access(name(s->pick[0]), mode));
    result(syscall(SYS_faccessat2, AT_FDCWD, name(s->pick[0]), mode, AT_EACCESS));
}
static void op_open(const struct step *s) {
    int fd = open(name(s->pick[0]), (s->pick[1] % 2 ? O_WRONLY : O_RDONLY) | O_NONBLOCK);
    say(" %s %s", name(s->pick[0]), s->pick[1] % 2 ? "w" : "r");
    result(fd < 0 ? -1 : 0);
    if (fd >= 0) close(fd);
}
static void op_acl(const struct step *s) {
    struct { unsigned version; struct { unsigned short tag, perm; unsigned id; } entry[6]; } acl = {
        2, {{1, 6, ~0u}, {2, 6, id(s->pick[1])}, {4, 0, ~0u}, {8, 4, id(s->pick[2])}, {16, 6, ~0u}, {32, 0, ~0u}}}, back;
    const char *path = name(s->pick[0]);
    if (without("acl")) return;
    say(" %s", path);
    show(acl.entry[1].id);
    show(acl.entry[3].id);
    result(setxattr(path, "system.posix_acl_access", &acl, sizeof acl, 0));
    errno = 0;
    long n = getxattr(path, "system.posix_acl_access", &back, sizeof back);
    result(n);
    if (n == sizeof back) say(" %u %u %u", back.entry[1].tag, back.entry[1].id, back.entry[3].id);
}

/* --- others' words ---------------------------------------------------------------------------------------------- */

static void see_peer(int fd) {
    struct ucred peer = {0, 5, 5};
    unsigned got[64];
    socklen_t size = sizeof peer;
    errno = 0;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size)) say(" peer %s", strerrorname_np(errno));
    else say(" peer %u:%u", peer.uid, peer.gid);
    size = sizeof got;
    long n = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, got, &size);
    list("peer's", got, n < 0 ? n : (long)(size / sizeof *got));
}
static void op_pair(const struct step *s) {
    int fds[2], n = (int)(s->pick[0] % 2);
    if (without("peer")) return;
    say(" %d", n);
    result(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    dup2(fds[0], PAIR_FD + n);
    close(fds[0]);
    close(fds[1]);
    see_peer(PAIR_FD + n);
}
static void op_ask_pair(const struct step *s) {
    static const int fds[] = {PAIR_FD, PAIR_FD + 1, CONNECT_FD, CONNECT_FD + 1, ACCEPT_FD, ACCEPT_FD + 1, LISTEN_FD};
    struct ucred peer;
    socklen_t size = 3;
    if (without("peer")) return;
    say(" %u", s->pick[0] % 7);
    see_peer(fds[s->pick[0] % 7]);
    if (s->pick[1] % 4) return; /* a buffer that is too short, and one that is not there */
    result(getsockopt(fds[s->pick[0] % 7], SOL_SOCKET, SO_PEERCRED, &peer, &size));
    result(syscall(SYS_getsockopt, fds[s->pick[0] % 7], SOL_SOCKET, SO_PEERCRED, 16, &size));
    say(" %u", size);
}
static struct sockaddr_un address(int n) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "s%d", n);
    return a;
}
static void op_listen(const struct step *s) {
    int n = (int)(s->pick[0] % 2), fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un a = address(n);
    say(" %d", n);
    result(bind(fd, (void *)&a, sizeof a));
    result(listen(fd, 4));
    dup2(fd, LISTEN_FD + n);
    close(fd);
    see_file(a.sun_path);
}
static void op_connect(const struct step *s) {
    int n = (int)(s->pick[0] % 2), fd = socket(AF_UNIX, SOCK_STREAM, 0), got = -1;
    struct sockaddr_un a = address(n);
    long did = connect(fd, (void *)&a, sizeof a);
    say(" %d", n);
    result(did);
    if (did == 0 && (got = accept4(LISTEN_FD + n, NULL, NULL, SOCK_NONBLOCK)) >= 0) dup2(got, ACCEPT_FD + n);
    if (got >= 0) close(got);
    dup2(fd, CONNECT_FD + n);
    close(fd);
    if (!without("peer")) { see_peer(CONNECT_FD + n); if (got >= 0) see_peer(ACCEPT_FD + n); }
}
static void op_scm(const struct step *s) {
    struct ucred who = {getpid(), id(s->pick[0]), id(s->pick[1])}, got = {0, 5, 5};
    char data, control[CMSG_SPACE(sizeof who)] = {0};
    struct iovec io = {&data, 1};
    struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    int fds[2], on = 1, given = s->pick[2] % 2;
    if (without("scm") || socketpair(AF_UNIX, SOCK_DGRAM, 0, fds)) return;
    setsockopt(fds[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    *head = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof who), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_CREDENTIALS};
    memcpy(CMSG_DATA(head), &who, sizeof who);
    if (!given) { message.msg_control = NULL; message.msg_controllen = 0; }
    else say(" %d:%d", (int)who.uid, (int)who.gid);
    result(sendmsg(fds[1], &message, 0));
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    errno = 0;
    if (recvmsg(fds[0], &message, MSG_DONTWAIT) == 1 && (head = CMSG_FIRSTHDR(&message))) memcpy(&got, CMSG_DATA(head), sizeof got);
    say(" got %u:%u", got.uid, got.gid);
    close(fds[0]);
    close(fds[1]);
}
static void op_shm(const struct step *s) {
    struct shmid_ds ds = {0};
    int n = shmget(IPC_PRIVATE, 4096, 0640);
    if (without("ipc")) return;
    if (n < 0 || shmctl(n, IPC_STAT, &ds)) { result(-1); return; }
    say(" %u:%u by %u:%u,", ds.shm_perm.uid, ds.shm_perm.gid, ds.shm_perm.cuid, ds.shm_perm.cgid);
    show(ds.shm_perm.uid = id(s->pick[0]));
    show(ds.shm_perm.gid = id(s->pick[1]));
    result(shmctl(n, IPC_SET, &ds));
    errno = 0;
    result(shmctl(n, IPC_STAT, &ds));
    say(" %u:%u by %u:%u", ds.shm_perm.uid, ds.shm_perm.gid, ds.shm_perm.cuid, ds.shm_perm.cgid);
    result(shmctl(n, IPC_RMID, NULL));
}

const struct op ops[] = {
    {"see", 10, op_see}, {"see badly", 2, op_see_badly},
    {"setuid", 4, op_setuid}, {"setgid", 4, op_setgid}, {"setreuid", 4, op_setreuid}, {"setregid", 4, op_setregid},
    {"setresuid", 6, op_setresuid}, {"setresgid", 6, op_setresgid}, {"setfsuid", 4, op_setfsuid}, {"setfsgid", 4, op_setfsgid},
    {"setgroups", 6, op_setgroups}, {"become", 4, op_become}, {"prctl", 6, op_prctl}, {"capset", 3, op_capset},
    {"fork", 5, op_fork}, {"vfork", 3, op_vfork}, {"exec", 5, op_exec}, {"thread", 2, op_thread}, {"all threads", 3, op_all_threads},
    {"sleeper", 4, op_sleeper}, {"kill", 4, op_kill}, {"priority", 2, op_priority}, {"signal", 1, op_signal},
    {"create", 12, op_create}, {"mkdir", 5, op_mkdir}, {"symlink", 3, op_symlink}, {"special", 2, op_special},
    {"unlink", 3, op_unlink}, {"rename", 2, op_rename}, {"link", 2, op_link}, {"chmod", 3, op_chmod}, {"chown", 14, op_chown},
    {"stat", 8, op_stat}, {"access", 5, op_access}, {"open", 4, op_open}, {"acl", 3, op_acl},
    {"pair", 3, op_pair}, {"ask", 3, op_ask_pair}, {"listen", 3, op_listen}, {"connect", 4, op_connect}, {"scm", 2, op_scm},
    {"shm", 2, op_shm}};
const int op_count = sizeof ops / sizeof *ops;
