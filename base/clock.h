/*
 * clock.h - the two clocks. Only threads and shims read them; the core is given `now`.
 *
 * Timers use the monotonic clock only. The wall clock is used for metadata that people read and
 * for the clock field of status updates, never for a decision.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

/* Microseconds since an arbitrary start; never goes back. Fits signed arithmetic. */
int64_t clock_monotonic_us(void);

/* Microseconds since 1970-01-01 UTC. */
int64_t clock_wall_us(void);

enum { CLOCK_TEXT_SIZE = 40 };

/*
 * Writes `wall_us` (microseconds since 1970-01-01 UTC, any int64) as 2026-11-22T01:02:03.456789Z
 * with NUL and returns the length. Years beyond 9999 take more digits; years before 1 are written
 * with a minus sign (astronomical numbering).
 */
size_t clock_format_utc(int64_t wall_us, char text[CLOCK_TEXT_SIZE]);

#endif
