/*
 * suite.h - runs a test program's tests.
 *
 * All run in this process, so that debuggers and sanitizers see them, and a test that fails is
 * followed by its teardown and the next test. TAP goes to standard output: meson lists each test.
 */
#ifndef TESTS_UNIT_SUITE_H
#define TESTS_UNIT_SUITE_H

#include <check.h>
#include <stdlib.h>

/* Takes the suite. Returns what main() returns. */
static inline int suite_run_all(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* The same for a suite of one test case, which it takes. */
static inline int suite_run(const char *name, TCase *tests)
{
    Suite *suite = suite_create(name);
    suite_add_tcase(suite, tests);
    return suite_run_all(suite);
}

#endif
