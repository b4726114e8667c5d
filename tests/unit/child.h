/*
 * child.h - this test program once more, as a child that works until it is killed.
 *
 * The child is given `verb` and a directory as its arguments, and writes a report of a fixed size
 * to its standard output after each step that it may be held to.
 */
#ifndef TESTS_UNIT_CHILD_H
#define TESTS_UNIT_CHILD_H

#include <check.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static inline pid_t child_start(const char *verb, const char *directory, int output)
{
    posix_spawn_file_actions_t actions;
    ck_assert_int_eq(posix_spawn_file_actions_init(&actions), 0);
    ck_assert_int_eq(posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO), 0);
    char program[] = "/proc/self/exe";
    char verb_copy[64];
    char directory_copy[PATH_MAX];
    (void)snprintf(verb_copy, sizeof(verb_copy), "%.60s", verb);
    (void)snprintf(directory_copy, sizeof(directory_copy), "%.4000s", directory);
    char *arguments[] = {program, verb_copy, directory_copy, NULL};
    pid_t pid;
    ck_assert_int_eq(posix_spawn(&pid, program, &actions, NULL, arguments, environ), 0);
    (void)posix_spawn_file_actions_destroy(&actions);
    return pid;
}

/* Kills the child after `reports` reports; the last that it wrote at all is in `ret_report`. */
static inline void child_kill_after(unsigned reports, const char *verb, const char *directory,
                                    void *ret_report, size_t report_size)
{
    int ends[2];
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = child_start(verb, directory, ends[1]);
    (void)close(ends[1]);
    for (unsigned i = 0; i < reports; i++) {
        ck_assert_int_eq(read(ends[0], ret_report, report_size), (ssize_t)report_size);
    }
    (void)kill(pid, SIGKILL);
    while (read(ends[0], ret_report, report_size) == (ssize_t)report_size) {
        /* written before it was killed */
    }
    (void)close(ends[0]);
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status));
}

#endif
