/* Root who becomes many: a process of each id, told apart by what it sleeps, and who may signal whom.
 *
 *   multiuser ID...
 *
 * For each ID a child takes it for good and executes `sleep 3000+ID`; then a child of each ID tries to signal every
 * sleeper. Prints
 *   process ID PID OWNER         OWNER: of /proc/PID, as seen from here
 *   signals ID: ID,ID,...        whom a process of ID may signal
 *   ready
 * and ends, with its children, when stdin does. */
#define _GNU_SOURCE
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST 64
static unsigned ids[MOST];
static pid_t pids[MOST];
static int count;

static void become(unsigned id) {
    uid_t r, e, s;
    if (setgroups(0, NULL) || setresgid(id, id, id) || setresuid(id, id, id)) {
        printf("BAD %u: %s\n", id, strerror(errno));
        exit(1);
    }
    if (getresuid(&r, &e, &s) || r != id || e != id || s != id || getgid() != id) printf("BAD %u: it is %u\n", id, r);
    if (id && (setuid(0) == 0 || seteuid(0) == 0 || setgid(0) == 0)) printf("BAD %u: came back to 0\n", id);
}

static void start(int n) {
    char seconds[32];
    int ready[2];
    if (pipe2(ready, 02000000) != 0) exit(1); /* O_CLOEXEC: closed by exec */
    if ((pids[n] = fork()) == 0) {
        become(ids[n]);
        fflush(stdout);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        snprintf(seconds, sizeof seconds, "%llu", 3000ull + ids[n]);
        execlp("sleep", "sleep", seconds, NULL);
        _exit(127);
    }
    close(ready[1]);
    char byte;
    (void)!read(ready[0], &byte, 1);
    close(ready[0]);
}

static void try_all(int n) {
    pid_t child = fork();
    if (child == 0) {
        become(ids[n]);
        printf("signals %u:", ids[n]);
        for (int i = 0, first = 1; i < count; ++i) {
            if (kill(pids[i], 0) == 0) { printf("%c%u", first ? ' ' : ',', ids[i]); first = 0; }
            else if (errno != EPERM) printf(" BAD %u %s", ids[i], strerror(errno));
        }
        printf("\n");
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

int main(int argc, char **argv) {
    char path[32], byte;
    struct stat st;
    for (int i = 1; i < argc && count < MOST; ++i) ids[count++] = (unsigned)strtoul(argv[i], NULL, 10);
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    for (int i = 0; i < count; ++i) start(i);
    for (int i = 0; i < count; ++i) {
        snprintf(path, sizeof path, "/proc/%d", pids[i]);
        if (stat(path, &st) != 0) st.st_uid = ~0u;
        printf("process %u %d %u\n", ids[i], pids[i], st.st_uid);
    }
    fflush(stdout);
    for (int i = 0; i < count; ++i) try_all(i);
    printf("ready\n");
    fflush(stdout);
    while (read(0, &byte, 1) > 0) {}
    for (int i = 0; i < count; ++i) kill(pids[i], SIGKILL);
    return 0;
}
