/*
 * null.h - a target that takes everything and keeps nothing: for measuring, and for dry runs.
 */
#ifndef TARGETS_NULL_NULL_H
#define TARGETS_NULL_NULL_H

#include "targets/target.h"

extern const struct target_type null_target_type;

#endif
