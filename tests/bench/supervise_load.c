/* Microseconds a call, for the table of supervise.sh:
 *
 *   supervise_load none|bare|apart|ptrace CALL ROUNDS
 *
 * none: whoever supervises us is measured. bare: by a second process that receives each notification and answers at once,
 * the least that any supervisor costs (apart: in a session of its own, as every daemon is; the scheduler takes
 * longer between two sessions): 0, and for stat "continue" after a look at the file's owner by blocking calls. ptrace:
 * by one that stops us at the call and skips it. CALL: getuid, getresuid, setresuid, setgroups, chown,
 * stat, fstat. Prints the median of nine times ROUNDS
 * calls. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *what;
static char file[64];
static int opened;
static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e6 * (double)t.tv_sec + 1e-3 * (double)t.tv_nsec;
}
static int number(void) {
    static const struct { const char *name; int number; } all[] = {
        {"getuid", SYS_getuid}, {"getresuid", SYS_getresuid}, {"setresuid", SYS_setresuid}, {"setgroups", SYS_setgroups},
        {"chown", SYS_chown}, {"fstat", SYS_fstat}};
    for (size_t i = 0; i < sizeof all / sizeof *all; ++i)
        if (!strcmp(what, all[i].name)) return all[i].number;
    return SYS_stat;
}
static void once(int i) {
    struct stat st;
    unsigned ids[3] = {42, i & 1 ? 60000u : 70000u};
    switch (number()) {
        case SYS_getuid: syscall(SYS_getuid); break;
        case SYS_setresuid: syscall(SYS_setresuid, -1, i & 1 ? 0 : 60000, -1); break;
        case SYS_getresuid: syscall(SYS_getresuid, &ids[0], &ids[1], &ids[2]); break;
        case SYS_setgroups: syscall(SYS_setgroups, 2, ids); break;
        case SYS_fstat: syscall(SYS_fstat, opened, &st); break;
        case SYS_chown: syscall(SYS_chown, file, i & 1 ? 60000 : 70000, -1); break;
        default: syscall(SYS_stat, file, &st);
    }
}
static int ascending(const void *a, const void *b) { return *(const double *)a < *(const double *)b ? -1 : 1; }
static void load(int rounds) {
    double times[9];
    rounds &= ~1;
    for (int k = 0; k < 9; ++k) {
        double start = now();
        for (int i = 0; i < rounds; ++i) once(i);
        times[k] = (now() - start) / rounds;
    }
    qsort(times, 9, sizeof *times, ascending);
    printf("%.3f\n", times[4]);
    fflush(stdout);
}
static int filter(unsigned action, unsigned flags) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number(), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, action), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {4, code};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}
static void hand_over(int socket, int fd) {
    char control[CMSG_SPACE(sizeof fd)] = {0};
    struct iovec io = {"x", 1};
    struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *head = CMSG_FIRSTHDR(&m);
    *head = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(head), &fd, sizeof fd);
    if (sendmsg(socket, &m, 0) != 1) exit(3);
}
static int taken_over(int socket) {
    char data, control[CMSG_SPACE(sizeof(int))];
    struct iovec io = {&data, 1};
    struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    int fd = -1;
    if (recvmsg(socket, &m, 0) == 1 && CMSG_FIRSTHDR(&m)) memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof fd);
    return fd;
}
/* What is to be known before stat may go on as it is: the path, in the task's root, and its owner there. */
static unsigned look(int pid, unsigned long address) {
    char path[4096] = "", root[64];
    struct iovec ours = {path, 4096 - (address & 4095)}, theirs = {(void *)address, 4096 - (address & 4095)};
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    struct statx st = {0};
    process_vm_readv(pid, &ours, 1, &theirs, 1, 0);
    snprintf(root, sizeof root, "/proc/%d/root", pid);
    int top = open(root, O_PATH | O_CLOEXEC), found = (int)syscall(SYS_openat2, top, path, &how, sizeof how);
    statx(found, "", AT_EMPTY_PATH, STATX_UID | STATX_GID, &st);
    close(found);
    close(top);
    return st.stx_uid;
}
static void bare(int rounds, int apart) {
    int pair[2], listener;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) exit(3);
    if (fork() == 0) {
        if (apart) setsid();
        if ((listener = filter(SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER)) < 0) { perror("seccomp"); exit(3); }
        hand_over(pair[0], listener);
        close(listener);
        load(rounds);
        exit(0);
    }
    if ((listener = taken_over(pair[1])) < 0) exit(3);
#ifdef SECCOMP_IOCTL_NOTIF_SET_FLAGS
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, 1ul); /* SYNC_WAKE_UP */
#else
    ioctl(listener, SECCOMP_IOW(4, unsigned long long), 1ul);
#endif
    for (;;) {
        struct seccomp_notif got = {0};
        struct pollfd ready = {listener, POLLIN, 0};
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &got) != 0) {
            if (poll(&ready, 1, 0) < 0 || ready.revents & POLLHUP) exit(0);
            continue;
        }
        struct seccomp_notif_resp answer = {.id = got.id};
        if (got.data.nr == SYS_stat && look((int)got.pid, got.data.args[0]) != 12345) answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
}
static void traced(int rounds) {
    int status;
    pid_t child = fork();
    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        if (filter(SECCOMP_RET_TRACE, 0) != 0) exit(3);
        load(rounds);
        exit(0);
    }
    waitpid(child, &status, 0);
    ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL);
    for (;;) {
        ptrace(PTRACE_CONT, child, 0, 0);
        if (waitpid(child, &status, 0) < 0 || !WIFSTOPPED(status)) exit(0);
#if defined(__x86_64__)
        struct user_regs_struct regs;
        ptrace(PTRACE_GETREGS, child, 0, &regs);
        regs.orig_rax = -1ull;
        regs.rax = 0;
        ptrace(PTRACE_SETREGS, child, 0, &regs);
#endif
    }
}
int main(int argc, char **argv) {
    if (argc != 4) return 2;
    what = argv[2];
    snprintf(file, sizeof file, "/tmp/supervise_load.%d", getpid());
    opened = open(file, O_CREAT | O_WRONLY, 0600);
    if (!strcmp(argv[1], "bare") || !strcmp(argv[1], "apart")) bare(atoi(argv[3]), argv[1][0] == 'a');
    if (!strcmp(argv[1], "ptrace")) traced(atoi(argv[3]));
    load(atoi(argv[3]));
    unlink(file);
    return 0;
}
