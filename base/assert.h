/*
 * assert.h - checks of the engine's own invariants, on in every build.
 *
 * A broken invariant ends the process at once: unconfirmed changes are sent again by the server,
 * while going on could confirm what was never delivered. Never assert on bytes from the network,
 * a file, the conf or another process, nor on the content of a row: that would be a crash loop
 * that holds the slot until the primary's disk is full.
 */
#ifndef BASE_ASSERT_H
#define BASE_ASSERT_H

/* Prints one line to stderr and aborts. */
_Noreturn void fan_assert_failed(const char *condition, const char *file, int line);

#define FAN_ASSERT(condition)                                                                      \
    ((condition) ? (void)0 : fan_assert_failed(#condition, __FILE__, __LINE__))

#endif
