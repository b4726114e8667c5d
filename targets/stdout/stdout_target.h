/*
 * stdout_target.h - writes events as lines to standard output.
 *
 * Settled is what the system has taken: standard output has no place that could be gone back to,
 * so after a crash the events since the last checkpoint come again.
 */
#ifndef TARGETS_STDOUT_STDOUT_TARGET_H
#define TARGETS_STDOUT_STDOUT_TARGET_H

#include "targets/target.h"

extern const struct target_type stdout_target_type;

#endif
