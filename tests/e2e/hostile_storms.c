/* The part of hostile.c that hurries: kills, signals, forks, threads, and a container that stands still on purpose. */
#define _GNU_SOURCE
#include "hostile.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const unsigned kIds[] = {FOREIGN, OTHER, 1185200044, 4294967294u, 1000, 33};

/* A handler without SA_RESTART may be seen as EINTR while a call waits for its supervisor, see docs/SECURITY.md. */
static int patient;
static long call(long number, long a, long b, long c) {
    long r;
    do r = syscall(number, a, b, c);
    while (patient && r == -1 && errno == EINTR);
    return r;
}
/* Root who is somebody else for a moment, in every way; 0 if all was as it should be. */
static int round_of_calls(unsigned who) {
    unsigned r, e, s, list[2] = {FOREIGN, OTHER}, got[4];
    struct stat st;
    if (call(SYS_setgroups, 2, (long)list, 0) || list[0] != FOREIGN || list[1] != OTHER) return 1;
    if (call(SYS_getgroups, 4, (long)got, 0) != 2 || got[0] + got[1] != FOREIGN + OTHER) return 2;
    if (call(SYS_setresuid, -1, who, 0)) return 3;
    if ((unsigned)call(SYS_geteuid, 0, 0, 0) != who || call(SYS_getuid, 0, 0, 0) != 0) return 4;
    if (call(SYS_getresuid, (long)&r, (long)&e, (long)&s) || r != 0 || e != who || s != 0) return 5;
    if ((unsigned)call(SYS_setfsuid, -1, 0, 0) != who) return 6;
    if (call(SYS_setresuid, 0, 0, 0) || call(SYS_geteuid, 0, 0, 0) != 0) return 7;
    if (call(SYS_chown, (long)"mine", who, OTHER)) return 8;
    if (getenv("HOSTILE_STAT") && (call(SYS_stat, (long)"mine", (long)&st, 0) || st.st_uid != who || st.st_gid != OTHER)) return 9;
    return 0;
}
static void check_round(const char *what) {
    int wrong = round_of_calls(FOREIGN);
    verdict(wrong == 0, what, wrong, 0);
}

/* --- killed at any moment --------------------------------------------------------------------------------------- */

int kills(char **argv) {
    int times = argv[0] ? atoi(argv[0]) : 10000, wrong = 0;
    scene();
    for (int i = 0; i < times; ++i) {
        pid_t child = fork();
        if (child == 0) {
            for (unsigned n = (unsigned)i;; ++n) if (round_of_calls(kIds[n % 6])) _exit(1);
        }
        struct timespec wait = {0, (long)(roll() % 600) * 1000};
        int status;
        nanosleep(&wait, NULL);
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
        wrong += !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL;
    }
    verdict(wrong == 0, "killed in the middle, 0 wrong answers", wrong, times);
    check_round("after that everything works");
    return 0;
}

/* --- signals ---------------------------------------------------------------------------------------------------- */

static atomic_long handled;
static void on_urgent(int number) { (void)number; ++handled; }
int signals(char **argv) {
    int rounds = argv[0] ? atoi(argv[0]) : 1000, status = -1;
    double end = now() + 60;
    scene();
    for (int restart = 0; restart < 2; ++restart) {
        pid_t child = fork();
        if (child == 0) {
            struct sigaction action = {.sa_handler = on_urgent, .sa_flags = restart ? SA_RESTART : 0};
            sigaction(SIGURG, &action, NULL);
            patient = !restart;
            for (int i = 0; i < rounds; ++i) {
                int wrong = round_of_calls(kIds[i % 6]);
                if (wrong) { printf("in round %d, step %d: %s\n", i, wrong, strerror(errno)); _exit(1); }
            }
            printf("# %d rounds, %ld signals\n", rounds, (long)handled);
            fflush(stdout);
            _exit(0);
        }
        for (int i = 0; waitpid(child, &status, WNOHANG) == 0; ++i) {
            struct timespec wait = {0, (long)(20 + roll() % 200) * 1000};
            kill(child, SIGURG);
            if (i % 100 == 99) { kill(child, SIGSTOP); kill(child, SIGCONT); }
            nanosleep(&wait, NULL);
            if (now() > end) kill(child, SIGKILL);
        }
        verdict(status == 0, restart ? "SIGURG and SIGSTOP, SA_RESTART" : "SIGURG and SIGSTOP", status, rounds);
    }
    return 0;
}

/* --- many short lives ------------------------------------------------------------------------------------------- */

int forks(char **argv) {
    double seconds = argv[0] ? atof(argv[0]) : 4, start = now();
    int count = 0, running = 0, wrong = 0, status;
    while (now() < start + seconds || running > 0) {
        if (now() < start + seconds && running < 8) {
            unsigned who = kIds[roll() % 6], r, e, s;
            pid_t child = fork();
            if (child == 0) {
                if (syscall(SYS_getuid) != 0) _exit(1);
                if (syscall(SYS_setresuid, who, who, who)) _exit(2);
                if (syscall(SYS_getresuid, &r, &e, &s) || r != who || e != who || s != who) _exit(3);
                _exit((unsigned)syscall(SYS_geteuid) == who ? 0 : 4);
            }
            ++count;
            ++running;
        } else if (waitpid(-1, &status, 0) > 0) { --running; wrong += status != 0; }
    }
    printf("# %.0f processes a second\n", count / (now() - start));
    verdict(wrong == 0 && count > 0, "each process is what it became", wrong, count);
    return 0;
}

/* --- threads ---------------------------------------------------------------------------------------------------- */

enum { THREADS = 64 };
static pthread_barrier_t gate;
static unsigned expected;
static atomic_int rounds_left, odd;
static void *member(void *unused) {
    (void)unused;
    for (;;) {
        pthread_barrier_wait(&gate); /* main has changed us */
        if (rounds_left == 0) return NULL;
        if ((unsigned)syscall(SYS_geteuid) != expected) ++odd;
        pthread_barrier_wait(&gate);
    }
}
static void *wants(void *id) {
    for (int i = 0; i < 20; ++i) if (seteuid(*(const unsigned *)id) || seteuid(0)) ++odd;
    return NULL;
}
int threads(char **argv) {
    pthread_t thread[THREADS];
    int rounds = argv[0] ? atoi(argv[0]) : 20;
    pthread_barrier_init(&gate, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; ++i) if (pthread_create(&thread[i], NULL, member, NULL)) exit(3);
    for (rounds_left = rounds; rounds_left > 0; --rounds_left) {
        expected = rounds_left % 2 ? kIds[rounds_left % 6] : 0;
        if (seteuid(expected)) ++odd;
        pthread_barrier_wait(&gate);
        pthread_barrier_wait(&gate);
        if (expected && seteuid(0)) ++odd;
    }
    pthread_barrier_wait(&gate);
    for (int i = 0; i < THREADS; ++i) pthread_join(thread[i], NULL);
    verdict(odd == 0, "64 threads change together", odd, 0);
    for (int i = 0; i < 8; ++i) if (pthread_create(&thread[i], NULL, wants, (void *)&kIds[i % 4])) exit(3);
    for (int i = 0; i < 8; ++i) pthread_join(thread[i], NULL);
    verdict(geteuid() == 0, "8 threads that want different things", odd, geteuid());
    return 0;
}

/* --- a buffer in a file system of its own, which does not answer -------------------------------------------------- */

static void reply(int fd, uint64_t unique, int error, const void *body, size_t size) {
    char out[sizeof(struct fuse_out_header) + 256] = {0};
    struct fuse_out_header *head = (void *)out;
    *head = (struct fuse_out_header){(uint32_t)(sizeof *head + size), -error, unique};
    if (size) memcpy(out + sizeof *head, body, size);
    (void)!write(fd, out, head->len);
}
static struct fuse_attr attributes(uint64_t node) {
    return (struct fuse_attr){.ino = node, .size = node == 1 ? 0 : 1 << 20, .mode = node == 1 ? S_IFDIR | 0755 : S_IFREG | 0644, .nlink = 1, .blksize = 4096};
}
static void dead_server(int fd) {
    static char buffer[1 << 17];
    for (;;) {
        struct fuse_in_header *in = (void *)buffer;
        if (read(fd, buffer, sizeof buffer) < (ssize_t)sizeof *in) _exit(0);
        if (in->opcode == FUSE_INIT) {
            struct fuse_init_out out = {.major = 7, .minor = 31, .max_write = 1 << 16, .max_background = 1000, .congestion_threshold = 1000};
            reply(fd, in->unique, 0, &out, sizeof out);
        } else if (in->opcode == FUSE_LOOKUP) {
            struct fuse_entry_out out = {.nodeid = 2, .entry_valid = 1000, .attr_valid = 1000, .attr = attributes(2)};
            reply(fd, in->unique, 0, &out, sizeof out);
        } else if (in->opcode == FUSE_GETATTR) {
            struct fuse_attr_out out = {.attr_valid = 1000, .attr = attributes(in->nodeid)};
            reply(fd, in->unique, 0, &out, sizeof out);
        } else if (in->opcode == FUSE_OPEN) {
            struct fuse_open_out out = {.fh = 1};
            reply(fd, in->unique, 0, &out, sizeof out);
        } else if (in->opcode != FUSE_READ && in->opcode != FUSE_FORGET && in->opcode != FUSE_BATCH_FORGET && in->opcode != FUSE_INTERRUPT) {
            reply(fd, in->unique, ENOSYS, NULL, 0);
        }
    }
}
static char *dead_pages;
static volatile int go;
static void *touches(void *n) {
    char *page = dead_pages + 4096 * (size_t)n;
    while (!go) usleep(1000);
    switch ((size_t)n % 4) {
        case 0: (void)!syscall(SYS_chown, page, FOREIGN, FOREIGN); break;
        case 1: (void)!syscall(SYS_setgroups, 4, page); break;
        case 2: (void)!syscall(SYS_stat, page, page + 512); break;
        default: (void)!syscall(SYS_getresuid, page, page + 8, page + 16); break;
    }
    return NULL;
}
int stuck(char **argv) { /* ends only when it is killed; "stuck" when all threads wait */
    int fd = open("/dev/fuse", O_RDWR), count = argv[0] ? atoi(argv[0]) : THREADS;
    char options[128];
    pthread_t thread;
    scene();
    if (fd < 0 || unshare(CLONE_NEWNS) || mount("", "/", "", MS_REC | MS_PRIVATE, NULL)) { printf("BAD %s: %s\n", self, strerror(errno)); return 1; }
    snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
    if (mount("dead", "own", "fuse", MS_NOSUID | MS_NODEV, options)) { printf("BAD %s: mount: %s\n", self, strerror(errno)); return 1; }
    if (fork() == 0) { prctl(PR_SET_PDEATHSIG, SIGKILL); dead_server(fd); }
    close(fd);
    int file = open("own/x", O_RDWR);
    dead_pages = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
    if (file < 0 || dead_pages == MAP_FAILED) { printf("BAD %s: %s\n", self, strerror(errno)); return 1; }
    for (long i = 0; i < count; ++i) if (pthread_create(&thread, NULL, touches, (void *)i)) break;
    /* From here on nothing that takes memory: who asks for some waits with those that are looked at meanwhile. */
    go = 1;
    sleep(1);
    if (write(1, "stuck\n", 6) != 6) return 1;
    for (;;) pause();
}

/* Somebody else, meanwhile: until stdin ends. */
int steady(char **argv) {
    double longest = 0;
    int rounds = 0, wrong = 0;
    (void)argv;
    scene();
    fcntl(0, F_SETFL, O_NONBLOCK);
    for (char byte; read(0, &byte, 1) != 0; ++rounds) {
        double start = now();
        if (round_of_calls(kIds[rounds % 6])) ++wrong;
        if (now() - start > longest) longest = now() - start;
        usleep(1000);
    }
    printf("# %d rounds, the longest %.1f ms\n", rounds, longest * 1e3);
    verdict(wrong == 0 && rounds > 10, "somebody else is answered", wrong, rounds);
    return 0;
}
