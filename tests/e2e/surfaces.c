/* Every way in which Linux tells a process whose id is whose, asked for one process: do they all say the same?
 *
 *   surfaces UID GID GROUPS [DIR...]      GROUPS: "42,60000", "-" for none; DIR: where to make files
 *
 * Prints a line for each surface: "ok NAME" or "BAD NAME: what came, what should have come" or "skip NAME: reason", and
 * exits 1 if one was bad. UID and the rest are what the process believes to be, and are compared with what it is.
 * Built static by the scripts; runs in any image, as any id. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif

static unsigned U, G, groups[64];
static int group_count, bad;

static void say(const char *how, const char *name, const char *format, ...) {
    va_list rest;
    printf("%s %s", how, name);
    if (format) {
        va_start(rest, format);
        printf(": ");
        vprintf(format, rest);
        va_end(rest);
    }
    printf("\n");
    if (how[0] == 'B') bad = 1;
}
static void failed(const char *name) { say("BAD", name, "%s", strerror(errno)); }
static void skipped(const char *name) { say("skip", name, "%s", strerror(errno)); }
static void same(const char *name, unsigned got, unsigned want) {
    if (got == want) say("ok", name, NULL);
    else say("BAD", name, "%u, should be %u", got, want);
}
static void pair(const char *name, unsigned uid, unsigned gid) {
    if (uid == U && gid == G) say("ok", name, NULL);
    else say("BAD", name, "%u:%u, should be %u:%u", uid, gid, U, G);
}
static int ascending(const void *a, const void *b) {
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;
    return x < y ? -1 : x > y;
}
static void same_groups(const char *name, unsigned *got, int count) {
    qsort(got, (size_t)count, sizeof *got, ascending);
    if (count == group_count && memcmp(got, groups, (size_t)count * sizeof *got) == 0) say("ok", name, NULL);
    else say("BAD", name, "%d groups, first %u; should be %d, first %u", count, count ? got[0] : 0, group_count,
             group_count ? groups[0] : 0);
}

/* --- the process itself --------------------------------------------------------------------------------------- */

static void calls(void) {
    uid_t r, e, s;
    gid_t list[64];
    getresuid(&r, &e, &s);
    if (r == U && e == U && s == U && getuid() == U && geteuid() == U) say("ok", "getresuid", NULL);
    else say("BAD", "getresuid", "%u %u %u, should be %u", r, e, s, U);
    getresgid(&r, &e, &s);
    if (r == G && e == G && s == G && getgid() == G && getegid() == G) say("ok", "getresgid", NULL);
    else say("BAD", "getresgid", "%u %u %u, should be %u", r, e, s, G);
    same_groups("getgroups", list, getgroups(64, list));
    pair("auxiliary vector", (unsigned)getauxval(AT_UID), (unsigned)getauxval(AT_GID));
    pair("auxiliary vector, effective", (unsigned)getauxval(AT_EUID), (unsigned)getauxval(AT_EGID));
}

static void status_line(const char *name, const char *values, unsigned want) {
    unsigned a, b, c, d;
    if (sscanf(values, "%u %u %u %u", &a, &b, &c, &d) == 4 && a == want && b == want && c == want && d == want)
        say("ok", name, NULL);
    else say("BAD", name, "%s, should be %u", values, want);
}

static void proc_status(void) {
    char line[4096];
    FILE *f = fopen("/proc/self/status", "r");
    if (!f) { failed("/proc/self/status"); return; }
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        if (!strncmp(line, "Uid:", 4)) status_line("/proc/self/status Uid", line + 4, U);
        if (!strncmp(line, "Gid:", 4)) status_line("/proc/self/status Gid", line + 4, G);
        if (!strncmp(line, "Groups:", 7)) {
            unsigned list[64];
            int count = 0;
            for (char *word = strtok(line + 7, " \t"); word && count < 64; word = strtok(NULL, " \t"))
                list[count++] = (unsigned)strtoul(word, NULL, 10);
            same_groups("/proc/self/status Groups", list, count);
        }
        if (U && (!strncmp(line, "CapEff:", 7) || !strncmp(line, "CapPrm:", 7) || !strncmp(line, "CapInh:", 7) ||
                  !strncmp(line, "CapAmb:", 7))) {
            char name[32];
            snprintf(name, sizeof name, "no %.6s", line);
            if (strtoull(line + 7, NULL, 16) == 0) say("ok", name, NULL);
            else say("BAD", name, "%s", line);
        }
    }
    fclose(f);
}

static pid_t sleeper(void) {
    pid_t child = fork();
    if (child == 0) { for (;;) pause(); }
    return child;
}
static void end(pid_t child) { kill(child, SIGKILL); waitpid(child, NULL, 0); }

static void proc_owners(void) {
    struct stat st;
    struct dirent *entry;
    int found = 0;
    pid_t child = sleeper();
    DIR *proc = opendir("/proc");
    if (stat("/proc/self/", &st) == 0) pair("owner of /proc/self", st.st_uid, st.st_gid);
    else failed("owner of /proc/self");
    while (proc && (entry = readdir(proc))) {
        pid_t pid = atoi(entry->d_name);
        if ((pid != child && pid != getpid()) || fstatat(dirfd(proc), entry->d_name, &st, 0) != 0) continue;
        found += st.st_uid == U && st.st_gid == G;
    }
    same("a listing of /proc, as ps reads it", (unsigned)found, 2);
    if (proc) closedir(proc);
    end(child);
}

/* --- things that have an owner -------------------------------------------------------------------------------- */

static void owner_of_fd(const char *name, int fd) {
    struct stat st;
    if (fd < 0) { failed(name); return; }
    if (fstat(fd, &st) != 0) failed(name);
    else pair(name, st.st_uid, st.st_gid);
    close(fd);
}

static void unnamed(void) {
    int fds[2];
    owner_of_fd("memfd", memfd_create("x", 0));
    if (pipe(fds) == 0) { owner_of_fd("pipe", fds[0]); close(fds[1]); }
    owner_of_fd("socket", socket(AF_UNIX, SOCK_STREAM, 0));
    owner_of_fd("shared memory of POSIX", open("/dev/shm", O_RDWR | O_TMPFILE, 0600));
    char queue[40];
    snprintf(queue, sizeof queue, "/surfaces.%u.%d", U, getpid());
    mqd_t mq = mq_open(queue, O_CREAT | O_EXCL | O_RDWR, 0600, NULL);
    if (mq == (mqd_t)-1) skipped("message queue of POSIX");
    else { owner_of_fd("message queue of POSIX", mq); mq_unlink(queue); }
}

static void terminal(void) {
    struct stat st;
    int fd = posix_openpt(O_RDWR | O_NOCTTY);
    char *slave = fd < 0 || unlockpt(fd) != 0 ? NULL : ptsname(fd);
    if (!slave) skipped("pseudo terminal");
    else if (stat(slave, &st) != 0) failed("pseudo terminal");
    else same("pseudo terminal", st.st_uid, U);
    if (fd >= 0) close(fd);
}

static void tcp_port(void) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0), found = 0;
    unsigned port, uid = 0;
    char line[512];
    if (fd < 0 || bind(fd, (void *)&address, sizeof address) != 0 || listen(fd, 1) != 0 ||
        getsockname(fd, (void *)&address, &length) != 0) { skipped("/proc/net/tcp"); return; }
    FILE *f = fopen("/proc/net/tcp", "r");
    while (f && !found && fgets(line, sizeof line, f))
        found = sscanf(line, " %*u: %*x:%x %*x:%*x %*x %*x:%*x %*x:%*x %*x %u", &port, &uid) == 2 &&
                port == ntohs(address.sin_port);
    if (f) fclose(f);
    if (found) same("/proc/net/tcp", uid, U);
    else say("BAD", "/proc/net/tcp", "no line of ours");
    close(fd);
}

static void acl(const char *where, int fd) {
    struct { unsigned version; struct { unsigned short tag, perm; unsigned id; } entry[5]; } list = {
        2, {{1, 6, ~0u}, {2, 4, U}, {4, 0, ~0u}, {16, 4, ~0u}, {32, 0, ~0u}}}, back;
    char name[256];
    snprintf(name, sizeof name, "ACL in %s", where);
    if (fsetxattr(fd, "system.posix_acl_access", &list, sizeof list, 0) != 0) {
        if (errno == EOPNOTSUPP) skipped(name);
        else failed(name);
    } else if (fgetxattr(fd, "system.posix_acl_access", &back, sizeof back) != sizeof back) failed(name);
    else same(name, back.entry[1].id, U);
}

static void made(const char *dir, const char *kind, int error, int at, const char *path) {
    struct stat st;
    struct statx more;
    char name[256];
    snprintf(name, sizeof name, "%s in %s", kind, dir);
    if (error || fstatat(at, path, &st, AT_SYMLINK_NOFOLLOW) != 0) { failed(name); return; }
    if (statx(at, path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &more) == 0 &&
        (more.stx_uid != st.st_uid || more.stx_gid != st.st_gid)) say("BAD", name, "statx and stat differ");
    pair(name, st.st_uid, st.st_gid);
    if (fchownat(at, path, U, G, AT_SYMLINK_NOFOLLOW) != 0) say("BAD", name, "chown to itself: %s", strerror(errno));
    unlinkat(at, path, kind[0] == 'd' ? AT_REMOVEDIR : 0);
}

static void files(const char *dir) {
    char own[64], name[128];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(own, sizeof own, "surfaces.%u.%d", U, getpid());
    int at = open(dir, O_PATH | O_DIRECTORY), fd;
    fd = openat(at, own, O_CREAT | O_EXCL | O_RDWR, 0600);
    if (fd < 0) { snprintf(name, sizeof name, "file in %s", dir); failed(name); return; }
    acl(dir, fd);
    made(dir, "file", 0, at, own);
    owner_of_fd("unlinked file", fd);
    made(dir, "directory", mkdirat(at, own, 0700), at, own);
    made(dir, "symbolic link", symlinkat("x", at, own), at, own);
    made(dir, "fifo", mkfifoat(at, own, 0600), at, own);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", at, own);
    made(dir, "socket", bind(fd, (void *)&address, sizeof address), at, own);
    close(fd);
    close(at);
}

static void system_v(void) {
    struct shmid_ds shm;
    struct msqid_ds msg;
    struct semid_ds sem;
    int id = shmget(IPC_PRIVATE, 4096, 0600);
    if (id < 0 || shmctl(id, IPC_STAT, &shm) != 0) failed("shared memory of System V");
    else { pair("shared memory of System V", shm.shm_perm.uid, shm.shm_perm.gid); pair("its creator", shm.shm_perm.cuid, shm.shm_perm.cgid); }
    if (id >= 0) shmctl(id, IPC_RMID, NULL);
    id = msgget(IPC_PRIVATE, 0600);
    if (id < 0 || msgctl(id, IPC_STAT, &msg) != 0) failed("message queue of System V");
    else { pair("message queue of System V", msg.msg_perm.uid, msg.msg_perm.gid); pair("its creator", msg.msg_perm.cuid, msg.msg_perm.cgid); }
    if (id >= 0) msgctl(id, IPC_RMID, NULL);
    id = semget(IPC_PRIVATE, 1, 0600);
    if (id < 0 || semctl(id, 0, IPC_STAT, &sem) != 0) failed("semaphore of System V");
    else { pair("semaphore of System V", sem.sem_perm.uid, sem.sem_perm.gid); pair("its creator", sem.sem_perm.cuid, sem.sem_perm.cgid); }
    if (id >= 0) semctl(id, 0, IPC_RMID);
}

/* --- what others are told ------------------------------------------------------------------------------------- */

static int receive_credentials(int fd, struct ucred *got) {
    char data, control[CMSG_SPACE(sizeof *got)] = {0};
    struct iovec io = {&data, 1};
    struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    if (recvmsg(fd, &message, MSG_DONTWAIT) != 1) return -1;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (!header || header->cmsg_type != SCM_CREDENTIALS) { errno = ENODATA; return -1; }
    memcpy(got, CMSG_DATA(header), sizeof *got);
    return 0;
}
static int send_credentials(int fd, struct ucred who) {
    char control[CMSG_SPACE(sizeof who)] = {0};
    struct iovec io = {"x", 1};
    struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    *header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof who), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_CREDENTIALS};
    memcpy(CMSG_DATA(header), &who, sizeof who);
    return sendmsg(fd, &message, 0) == 1 ? 0 : -1;
}

static void sockets(void) {
    int fds[2], on = 1;
    struct ucred peer, own = {getpid(), U, G};
    unsigned list[64];
    socklen_t length = sizeof peer;
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, fds) != 0) { failed("socketpair"); return; }
    if (getsockopt(fds[0], SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0) pair("SO_PEERCRED", peer.uid, peer.gid);
    else failed("SO_PEERCRED");
    length = sizeof list;
    if (getsockopt(fds[0], SOL_SOCKET, SO_PEERGROUPS, list, &length) == 0) same_groups("SO_PEERGROUPS", list, (int)(length / 4));
    else failed("SO_PEERGROUPS");
    setsockopt(fds[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    if (write(fds[1], "x", 1) == 1 && receive_credentials(fds[0], &peer) == 0) pair("SCM_CREDENTIALS", peer.uid, peer.gid);
    else failed("SCM_CREDENTIALS");
    if (send_credentials(fds[1], own) == 0 && receive_credentials(fds[0], &peer) == 0) pair("SCM_CREDENTIALS, given", peer.uid, peer.gid);
    else failed("SCM_CREDENTIALS, given");
    own.uid = 0;
    if (U && (send_credentials(fds[1], own) == 0 || errno != EPERM)) say("BAD", "SCM_CREDENTIALS, forged", "not EPERM");
    else if (U) say("ok", "SCM_CREDENTIALS, forged", NULL);
    close(fds[0]);
    close(fds[1]);
}

static volatile unsigned told;
static void on_signal(int number, siginfo_t *info, void *context) { (void)number; (void)context; told = info->si_uid; }

static void child_that_signals(int number, int queued) {
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        union sigval value = {0};
        _exit(queued ? sigqueue(parent, number, value) : kill(parent, number));
    }
    waitpid(child, NULL, 0);
}

static void signals(void) {
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    struct signalfd_siginfo seen;
    siginfo_t info;
    sigset_t set;
    sigaction(SIGUSR1, &action, NULL);
    told = ~0u; child_that_signals(SIGUSR1, 0); same("siginfo of kill", told, U);
    told = ~0u; child_that_signals(SIGUSR1, 1); same("siginfo of sigqueue", told, U);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    child_that_signals(SIGUSR2, 0);
    same("siginfo of SIGCHLD", sigwaitinfo(&(sigset_t){{1ul << (SIGCHLD - 1)}}, &info) == SIGCHLD ? info.si_uid : ~0u, U);
    sigdelset(&set, SIGCHLD);
    int fd = signalfd(-1, &set, SFD_NONBLOCK);
    same("signalfd", read(fd, &seen, sizeof seen) == sizeof seen ? seen.ssi_uid : ~0u, U);
    close(fd);
    pid_t child = fork();
    if (child == 0) _exit(0);
    info.si_uid = ~0u;
    waitid(P_PID, (id_t)child, &info, WEXITED);
    same("waitid", info.si_uid, U);
}

/* --- what an id may do ---------------------------------------------------------------------------------------- */

static void priorities(void) {
    if (!U) return; /* would slow down all that the user has */
    pid_t child = sleeper();
    if (setpriority(PRIO_USER, U, 7) != 0) failed("setpriority of a user");
    else same("setpriority of a user", (unsigned)getpriority(PRIO_PROCESS, (id_t)child), 7);
    end(child);
}

static void others(void) {
    struct stat st;
    pid_t child = sleeper();
    if (kill(child, 0) == 0) say("ok", "kill of an own process", NULL);
    else failed("kill of an own process");
    end(child);
    if (!U || getpid() == 1 || stat("/proc/1/", &st) != 0 || st.st_uid == U) return;
    if (kill(1, 0) == -1 && errno == EPERM) say("ok", "kill of another's process is refused", NULL);
    else say("BAD", "kill of another's process is refused", "it was not");
}

static void refused(const char *name, int result) {
    if (result == -1 && errno == EPERM) say("ok", name, NULL);
    else say("BAD", name, result == 0 ? "allowed" : strerror(errno));
}

static void no_way_back(void) {
    gid_t none[1] = {0};
    if (!U) return;
    refused("no setuid(0)", setuid(0));
    refused("no seteuid(0)", seteuid(0));
    refused("no setresuid(0)", setresuid(0, 0, 0));
    refused("no setreuid of another", setreuid((uid_t)-1, U == 2 ? 3 : 2));
    if (G) refused("no setgid(0)", setgid(0));
    if (G) refused("no setegid(0)", setegid(0));
    refused("no setgid of another", setregid(G == 11 ? 12 : 11, (gid_t)-1));
    refused("no setgroups", setgroups(1, none));
    refused("no setgroups of none", setgroups(0, none));
    int r = setresuid(U, U, U);
    if (r == 0) say("ok", "setresuid to itself", NULL);
    else failed("setresuid to itself");
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc < 4) return 2;
    U = (unsigned)strtoul(argv[1], NULL, 10);
    G = (unsigned)strtoul(argv[2], NULL, 10);
    for (char *word = strtok(argv[3], ","); word && strcmp(word, "-"); word = strtok(NULL, ","))
        groups[group_count++] = (unsigned)strtoul(word, NULL, 10);
    qsort(groups, (size_t)group_count, sizeof *groups, ascending);
    calls();
    proc_status();
    proc_owners();
    unnamed();
    terminal();
    tcp_port();
    for (int i = 4; i < argc; ++i) files(argv[i]);
    system_v();
    sockets();
    signals();
    others();
    priorities();
    no_way_back();
    fflush(stdout);
    return bad;
}
