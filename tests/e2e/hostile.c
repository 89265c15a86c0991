/* Programs that mean no good, or are merely in a hurry, one a word:
 *
 *   hostile NAME [ARGUMENTS]
 *
 * Started as root of a namespace. Each prints "ok NAME…" or "BAD NAME: what was wrong" and goes away; "trace" programs print what
 * must be the same as without a supervisor. All hold natively as well, but for what only a supervisor does (listener,
 * ring). FOREIGN is an id that nobody planned. */
#define _GNU_SOURCE
#include "hostile.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int bad;
const char *self;

void verdict(int ok, const char *what, long a, long b) {
    if (ok) printf("ok %s: %s\n", self, what);
    else printf("BAD %s: %s (%ld, %ld; %s)\n", self, what, a, b, strerror(errno));
    bad |= !ok;
}
void become(unsigned id) {
    if (setgroups(0, NULL) || setresgid(id, id, id) || setresuid(id, id, id)) {
        printf("BAD %s: cannot become %u: %s\n", self, id, strerror(errno));
        exit(1);
    }
}
double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
static unsigned owner_of(const char *path) {
    struct stat st;
    return lstat(path, &st) ? 77777u : st.st_uid;
}
static uint64_t seed = 1;
unsigned roll(void) {
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (unsigned)(seed >> 33);
}
void *pages(size_t count) { return mmap(NULL, count * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }

/* A directory of our own with a file of root's, one of ours, and a secret directory of root's. */
void scene(void) {
    char dir[] = "/tmp/hostile.XXXXXX";
    if (!mkdtemp(dir) || chdir(dir) || chmod(".", 01777)) exit(2);
    close(open("victim", O_CREAT | O_WRONLY, 0600));
    mkdir("secret", 0700);
    close(open("secret/x", O_CREAT | O_WRONLY, 0644));
    close(open("mine", O_CREAT | O_WRONLY, 0644));
    if (chown("mine", FOREIGN, FOREIGN)) printf("BAD %s: chown of mine: %s\n", self, strerror(errno));
    mkdir("own", 0777);
    if (chmod("own", 0777)) exit(2);
}
static void scene_is_whole(void) {
    verdict(owner_of("victim") == 0 && owner_of("secret") == 0 && owner_of("secret/x") == 0, "root's files are root's", owner_of("victim"), owner_of("secret/x"));
}

/* --- changed between check and use ------------------------------------------------------------------------------ */

static atomic_int stop;
static char *shared_path;
static void *flip_memory(void *unused) {
    (void)unused;
    for (unsigned n = 0; !stop; ++n) memcpy(shared_path, n & 1 ? "victim" : "./mine", 7);
    return NULL;
}
static void *flip_link(void *unused) {
    (void)unused;
    while (!stop) if (renameat2(AT_FDCWD, "own/l", AT_FDCWD, "own/k", RENAME_EXCHANGE)) sched_yield();
    return NULL;
}
static void *flip_fd(void *two) {
    for (unsigned n = 0; !stop; ++n) dup2(((int *)two)[n & 1], 50);
    return NULL;
}
static void race(void *(*flipper)(void *), void *argument, int rounds, void (*act)(int)) {
    pthread_t thread;
    stop = 0;
    pthread_create(&thread, NULL, flipper, argument);
    for (int i = 0; i < rounds; ++i) act(i);
    stop = 1;
    pthread_join(thread, NULL);
}
static long leaked;
static ino_t hidden; /* of a file in a directory that we may not enter */
static void act_memory(int i) {
    struct stat st;
    if (i & 1) (void)!chown(shared_path, FOREIGN, -1);
    else (void)!stat(shared_path, &st);
}
static void act_link(int i) {
    struct stat st;
    if (i % 3 == 0) (void)!chown("own/l", FOREIGN, FOREIGN);
    else if (i % 3 == 1) (void)!fchownat(AT_FDCWD, "own/l", FOREIGN, FOREIGN, AT_SYMLINK_NOFOLLOW);
    else if (stat("own/l", &st) == 0 && st.st_ino == hidden) ++leaked;
}
static void act_fd(int i) {
    struct stat st;
    if (i & 1) (void)!fchown(50, FOREIGN, FOREIGN);
    else (void)!fstat(50, &st);
}
static void swap_all(int rounds) {
    int fds[2] = {open("victim", O_RDONLY), open("mine", O_RDONLY)};
    become(FOREIGN);
    shared_path = pages(1);
    strcpy(shared_path, "./mine");
    race(flip_memory, NULL, rounds, act_memory);
    if (symlink("../secret/x", "own/l") || symlink("../mine", "own/k")) exit(2);
    race(flip_link, NULL, rounds, act_link);
    verdict(leaked == 0, "nothing is told of a file in a closed directory", leaked, 0);
    dup2(fds[1], 50);
    race(flip_fd, fds, rounds, act_fd);
    if (rename("own/l", "own/m") || symlink("../victim", "own/l")) exit(2);
    race(flip_link, NULL, rounds, act_link);
    exit(bad);
}
static int swap(char **argv) {
    struct stat st;
    scene();
    if (stat("secret/x", &st)) exit(2);
    hidden = st.st_ino;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) swap_all(argv[0] ? atoi(argv[0]) : 3000);
    int status = 0;
    waitpid(child, &status, 0);
    verdict(status == 0, "it ends well", status, 0);
    scene_is_whole();
    return 0;
}
static unsigned *shared_list;
static void *flip_list(void *unused) {
    (void)unused;
    for (unsigned n = 0; !stop; ++n) shared_list[1] = n & 1 ? OTHER : 0;
    return NULL;
}
static void act_list(int i) {
    unsigned got[8];
    (void)i;
    if (syscall(SYS_setgroups, 2, shared_list) || syscall(SYS_getgroups, 8, got) != 2) ++leaked; /* only this thread's */
}
static int groups(char **argv) {
    int rounds = argv[0] ? atoi(argv[0]) : 2000;
    shared_list = pages(1);
    shared_list[0] = FOREIGN;
    race(flip_list, NULL, rounds, act_list);
    verdict(shared_list[0] == FOREIGN, "a list that changes is ours afterwards", shared_list[0], leaked);
    shared_list[1] = OTHER;
    become(FOREIGN);
    long refused = 0;
    for (int i = 0; i < 200; ++i) refused += setgroups(2, shared_list) == -1 && errno == EPERM;
    verdict(refused == 200 && shared_list[0] == FOREIGN && shared_list[1] == OTHER, "without privileges it is refused and as it was", refused, shared_list[1]);
    return 0;
}

/* --- pointers (trace) ------------------------------------------------------------------------------------------- */

static void told(const char *name, long r) { printf("%s %s\n", name, r == -1 ? strerrorname_np(errno) : "done"); }
static int pointers(char **argv) {
    char *room = pages(40), *gone = room + 20 * 4096, *only = room + 4096;
    (void)argv;
    scene();
    munmap(gone, 4096);
    mprotect(only, 4096, PROT_READ);
    void *wrong[] = {NULL, (void *)16, gone, gone - 3, gone - 1, (void *)-8, (void *)0x8000000000000000, (void *)0xffff888000000000, only, room + 4094};
    int at = open(".", O_PATH);
    for (int i = 0; i < 10; ++i) {
        void *p = wrong[i];
        unsigned u, v;
        memset(room + 2 * 4096, 0, 18 * 4096);
        socklen_t size = 12;
        printf("pointer %d\n", i);
        told("getresuid 1", syscall(SYS_getresuid, p, &u, &v));
        told("getresgid 3", syscall(SYS_getresgid, &u, &v, p));
        told("getgroups", syscall(SYS_getgroups, 64, p));
        told("setgroups 1", syscall(SYS_setgroups, 1, p));
        told("setgroups 65536", syscall(SYS_setgroups, 65536, p));
        told("setgroups 3", syscall(SYS_setgroups, 3, p));
        told("setgroups 0", syscall(SYS_setgroups, 0, p));
        told("chown", syscall(SYS_chown, p, FOREIGN, OTHER));
        told("lchown", syscall(SYS_lchown, p, FOREIGN, OTHER));
        told("fchownat", syscall(SYS_fchownat, at, p, FOREIGN, OTHER, AT_EMPTY_PATH));
        told("stat", syscall(SYS_stat, "mine", p));
        told("stat path", syscall(SYS_stat, p, room + 2 * 4096));
        told("lstat", syscall(SYS_lstat, "mine", p));
        told("fstat", syscall(SYS_fstat, at, p));
        told("newfstatat", syscall(SYS_newfstatat, AT_FDCWD, "mine", p, 0));
        told("statx", syscall(SYS_statx, AT_FDCWD, "mine", 0, 0x7ff, p));
        told("getsockopt", syscall(SYS_getsockopt, 0, SOL_SOCKET, SO_PEERCRED, p, &size));
        told("getsockopt length", syscall(SYS_getsockopt, 0, SOL_SOCKET, SO_PEERCRED, room, p));
        told("mknod", syscall(SYS_mknod, p, S_IFCHR | 0600, 0x103));
        told("setxattr", syscall(SYS_setxattr, "mine", p, p, 44, 0));
        told("setxattr value", syscall(SYS_setxattr, "mine", "system.posix_acl_access", p, 44, 0));
        told("setxattr huge", syscall(SYS_setxattr, "mine", "system.posix_acl_access", p, 1ul << 40, 0));
        told("shmctl", syscall(SYS_shmctl, 0x7fffff, 1, p));
    }
    memset(room + 2 * 4096, 'a', 17 * 4096); /* no end of string before the hole */
    told("path without end", syscall(SYS_chown, room + 2 * 4096, FOREIGN, OTHER));
    told("path without end at the hole", syscall(SYS_chown, gone - 100, FOREIGN, OTHER));
    for (int n = 4090; n < 4100; ++n) {
        room[2 * 4096 + n] = 0;
        told("long path", syscall(SYS_chown, room + 2 * 4096, FOREIGN, OTHER));
        told("long path, stat", syscall(SYS_stat, room + 2 * 4096, room + 30 * 4096));
        room[2 * 4096 + n] = 'a';
    }
    memcpy(room + 3 * 4096 - 2, "mine", 5); /* over a page */
    told("over a page", syscall(SYS_chown, room + 3 * 4096 - 2, FOREIGN, OTHER));
    memcpy(gone - 5, "mine", 5); /* ends with the last byte */
    told("at the end", syscall(SYS_chown, gone - 5, OTHER, OTHER));
    printf("owner %u\n", owner_of("mine"));
    unsigned *many = (unsigned *)pages(64);
    for (int i = 0; i < 65536; ++i) many[i] = 100000 + (unsigned)i % 3;
    told("65536 groups", syscall(SYS_setgroups, 65536, many));
    printf("%ld groups\n", syscall(SYS_getgroups, 0, NULL));
    told("groups into too little", syscall(SYS_getgroups, 100, many));
    told("groups", syscall(SYS_getgroups, 65536, many));
    printf("%u %u %u\n", many[0], many[40000], many[65535]);
    told("no groups", syscall(SYS_setgroups, 0, NULL));
    return 0;
}
static int descriptors(char **argv) { /* trace */
    static const long lies[] = {-1, -2, -100, 0x7fffffff, 0x80000000, 0x100000000, 0xdead00000000, 0xffffffff, 1023, 99999};
    (void)argv;
    scene();
    for (int i = 0; i < 10; ++i) {
        struct stat st;
        struct ucred peer;
        socklen_t size = sizeof peer;
        long fd = lies[i];
        printf("descriptor %d\n", i);
        if ((int)fd < 0 || (int)fd > 2) told("fchown", syscall(SYS_fchown, fd, FOREIGN, FOREIGN));
        told("fchownat", syscall(SYS_fchownat, fd, "mine", FOREIGN, FOREIGN, 0));
        if ((int)fd < 0 || (int)fd > 2) told("fchownat empty", syscall(SYS_fchownat, fd, "", -1, -1, AT_EMPTY_PATH));
        told("newfstatat", syscall(SYS_newfstatat, fd, "mine", &st, 0));
        if ((int)fd < 0 || (int)fd > 2) told("fstat", syscall(SYS_fstat, fd, &st));
        if ((int)fd < 0 || (int)fd > 2) told("getsockopt", syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_PEERCRED, &peer, &size));
    }
    return 0;
}

/* --- namespaces and filters of its own -------------------------------------------------------------------------- */

static void wrote(const char *path, const char *text) {
    int fd = open(path, O_WRONLY);
    told(path, fd < 0 ? -1 : write(fd, text, strlen(text)));
    if (fd >= 0) close(fd);
}
static void inside(const char *how) {
    unsigned r, e, s, list[8];
    struct stat st;
    getresuid(&r, &e, &s);
    printf("%s: %u %u %u, %u, groups %d\n", how, r, e, s, getegid(), getgroups(8, list));
    told("setuid of nobody", setuid(FOREIGN));
    printf("fs %u\n", (unsigned)syscall(SYS_setfsuid, FOREIGN));
    told("chown", chown("mine", 5, 5));
    told("stat", stat("mine", &st));
    printf("owner %u:%u\n", st.st_uid, st.st_gid);
}
static void nested_child(const char *how) {
    pid_t outside = getppid();
    (void)outside;
    inside(how);
    wrote("/proc/self/setgroups", "deny");
    wrote("/proc/self/uid_map", "7 1000 1");
    wrote("/proc/self/gid_map", "7 1000 1");
    inside(how);
    told("setuid to itself", setuid(7));
    _exit(0);
}
static int nested(char **argv) { /* trace: a user namespace of its own, made in three ways */
    (void)argv;
    scene();
    if (chown("mine", 1000, 1000)) return 1;
    fflush(stdout);
    for (int way = 0; way < 3; ++way) {
        struct clone_args args = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
        pid_t child = fork();
        if (child == 0) {
            become(1000);
            prctl(PR_SET_DUMPABLE, 1);
            if (way == 0) { told("unshare", unshare(CLONE_NEWUSER)); nested_child("unshare"); }
            long made = way == 1 ? syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0) : syscall(SYS_clone3, &args, sizeof args);
            if (made == 0) { nested_child(way == 1 ? "clone" : "clone3"); }
            if (made > 0) waitpid((pid_t)made, NULL, 0);
            told(way == 1 ? "clone" : "clone3", made);
            fflush(stdout);
            _exit(0);
        }
        waitpid(child, NULL, 0);
    }
    return 0;
}
static long filter(int nr, unsigned action, unsigned flags) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)nr, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, action), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {4, code};
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}
static int filters(char **argv) {
    int supervised = argv[0] && !strcmp(argv[0], "supervised");
    long made = filter(SYS_getppid, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);
    if (supervised) verdict(made == -1 && errno == EBUSY, "a listener of its own is refused, EBUSY", made, 0);
    if (made >= 0) close((int)made);
    verdict(filter(SYS_getuid, SECCOMP_RET_ERRNO | 42, 0) == 0 && syscall(SYS_getuid) == -1 && errno == 42, "its own filter wins", 0, 0);
    verdict(geteuid() == 0, "other calls are answered", geteuid(), 0);
    verdict(filter(SYS_setresuid, SECCOMP_RET_ERRNO | EACCES, 0) == 0 && syscall(SYS_setresuid, FOREIGN, FOREIGN, FOREIGN) == -1 && errno == EACCES && geteuid() == 0,
            "a filter that refuses setresuid", geteuid(), 0);
    verdict(setreuid(FOREIGN, FOREIGN) == 0 && geteuid() == FOREIGN, "and nothing else", geteuid(), 0);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    verdict(filter(SYS_geteuid, SECCOMP_RET_ALLOW, SECCOMP_FILTER_FLAG_TSYNC) == 0, "a filter for all threads", 0, 0);
    long ring = syscall(SYS_io_uring_setup, 8, pages(1));
    if (supervised) verdict(ring == -1 && errno == ENOSYS, "no ring", ring, 0);
    return 0;
}

/* --- the other two ways into the kernel ------------------------------------------------------------------------- */

#if defined(__x86_64__)
static long i386(long nr, long a, long b, long c, long d) {
    long r;
    __asm__ volatile("int $0x80" : "=a"(r) : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(d) : "memory", "r8", "r9", "r10", "r11");
    return (int)r;
}
static int other_calls(char **argv) {
    unsigned *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    long at = (long)(uintptr_t)low;
    int supervised = argv[0] && !strcmp(argv[0], "supervised");
    scene();
    if (i386(20, 0, 0, 0, 0) == -ENOSYS) { printf("skip %s: this kernel has no i386\n", self); return 0; }
    strcpy((char *)(low + 512), "mine");
    verdict(i386(212, at + 2048, OTHER, FOREIGN, 0) == 0 && owner_of("mine") == OTHER, "i386: chown32", owner_of("mine"), 0);
    low[0] = FOREIGN;
    verdict(i386(206, 1, at, 0, 0) == 0 && low[0] == FOREIGN, "i386: setgroups32", low[0], 0);
    low[0] = 0;
    verdict(i386(205, 8, at, 0, 0) == 1 && low[0] == FOREIGN, "i386: getgroups32", low[0], 0);
    verdict(i386(195, at + 2048, at + 64, 0, 0) == 0 && low[16 + 6] == OTHER, "i386: stat64", low[16 + 6], 0);
    verdict(i386(210, OTHER, OTHER, OTHER, 0) == 0 && getegid() == OTHER, "i386: setresgid32", getegid(), 0);
    long r = i386(208, -1, FOREIGN, -1, 0);
    verdict(r == 0 && geteuid() == FOREIGN && getuid() == 0, "i386: setresuid32", r, geteuid());
    r = i386(209, at, at + 4, at + 8, 0);
    verdict(r == 0 && low[0] == 0 && low[1] == FOREIGN && low[2] == 0, "i386: getresuid32", low[1], low[2]);
    verdict(i386(201, 0, 0, 0, 0) == FOREIGN && i386(202, 0, 0, 0, 0) == OTHER, "i386: geteuid32, getegid32", 0, 0);
    if (supervised) verdict(i386(24, 0, 0, 0, 0) == -ENOSYS && i386(23, 5, 0, 0, 0) == -ENOSYS, "i386: calls with 16 bits are not there", i386(24, 0, 0, 0, 0), 0);
    verdict(syscall(0x40000000 + SYS_getuid) == -1 && errno == ENOSYS, "x32 is not there", 0, 0);
    verdict(syscall(0x40000000 + SYS_setuid, 0) == -1 && errno == ENOSYS, "x32: setuid neither", 0, 0);
    return 0;
}
#else
static int other_calls(char **argv) { (void)argv; printf("skip %s: not this machine\n", self); return 0; }
#endif


int main(int argc, char **argv) {
    static const struct { const char *name; int (*run)(char **); } programs[] = {
        {"swap", swap}, {"groups", groups}, {"pointers", pointers}, {"descriptors", descriptors}, {"nested", nested},
        {"filters", filters}, {"other_calls", other_calls}, {"kills", kills}, {"signals", signals}, {"forks", forks},
        {"threads", threads}, {"stuck", stuck}, {"steady", steady}, {"exec_race", exec_race},
        {"setuid_files", setuid_files}, {"exhaust", exhaust}};
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; argc > 1 && i < sizeof programs / sizeof *programs; ++i)
        if (!strcmp(argv[1], programs[i].name)) { self = argv[1]; programs[i].run(argv + 2); return bad; }
    return 2;
}
