/* Shared by hostile.c (lies), hostile_storms.c (haste) and hostile_exec.c (set-uid programs). */
#pragma once
#include <stddef.h>

enum { FOREIGN = 60000, OTHER = 70000 };
extern const char *self;    /* the program's name */
extern int bad;

void verdict(int ok, const char *what, long a, long b);
void become(unsigned id);   /* for good */
double now(void);           /* seconds */
unsigned roll(void);
void *pages(size_t count);
void scene(void);           /* a directory with files of root's and ours */

int kills(char **argv);
int signals(char **argv);
int forks(char **argv);
int threads(char **argv);
int stuck(char **argv);
int steady(char **argv);
int exec_race(char **argv);
int setuid_files(char **argv);
int exhaust(char **argv);
