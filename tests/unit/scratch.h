/*
 * scratch.h - a directory for the files of a test program; each test has one of its own in it.
 *
 *     scratch_open -> scratch_path* -> scratch_remove
 *
 * It is made in TMPDIR, else in /tmp.
 */
#ifndef TESTS_UNIT_SCRATCH_H
#define TESTS_UNIT_SCRATCH_H

#include <check.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static char scratch_root[PATH_MAX];

static inline bool scratch_open(const char *name)
{
    const char *temporary = getenv("TMPDIR");
    (void)snprintf(scratch_root, sizeof(scratch_root), "%s/pgfan-%s-XXXXXX",
                   temporary != NULL ? temporary : "/tmp", name);
    return mkdtemp(scratch_root) != NULL;
}

/* Another path in it, of which nothing is there yet. Called from a test or its fixture. */
static inline void scratch_path(char *path, size_t path_size)
{
    static unsigned number;
    int size = snprintf(path, path_size, "%.4000s/%u", scratch_root, number++);
    ck_assert_int_lt(size, (int)path_size);
}

static inline void scratch_remove(void)
{
    char command[PATH_MAX + 16];
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", scratch_root);
    (void)!system(command); /* what stays behind is in the temporary directory */
}

#endif
