/* Shared by differential.c (the machine) and steps.c (what a step can be). */
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum { TRACE_FD = 200, MOST_STEPS = 16, EXECUTABLES = 6 };

struct step { int op; unsigned pick[4]; };
struct op {
    const char *name;
    unsigned weight;
    void (*run)(const struct step *);
};
extern const struct op ops[];
extern const int op_count;

void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void result(long value);        /* " = VALUE" or the name of errno */
void end_line(void);
int without(const char *name);  /* this observation is excepted */
void observe_all(void);         /* ids, groups, capabilities */
void op_fork(const struct step *);
void op_exec(const struct step *);
