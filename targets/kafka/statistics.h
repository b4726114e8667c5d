/*
 * statistics.h - a few of the numbers that librdkafka tells of itself (its STATISTICS.md).
 *
 * Threading:  statistics_take() on the sender's thread, statistics_figures() on any.
 */
#ifndef TARGETS_KAFKA_STATISTICS_H
#define TARGETS_KAFKA_STATISTICS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "targets/target.h"

enum { STATISTICS_COUNT = 8 };

struct statistics {
    _Atomic uint64_t values[STATISTICS_COUNT]; /* in the order of the figures */
};

/* Reads the library's JSON; what cannot be read changes nothing. */
void statistics_take(struct statistics *statistics, const char *json, size_t size);

size_t statistics_figures(struct statistics *statistics,
                          struct target_figure ret_figures[TARGET_FIGURES_MAX]);

#endif
