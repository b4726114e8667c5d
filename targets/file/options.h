/*
 * options.h - the keys of a file target in the conf.
 */
#ifndef TARGETS_FILE_OPTIONS_H
#define TARGETS_FILE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "conf/option.h"

enum file_fsync { FILE_FSYNC_INTERVAL = 0, FILE_FSYNC_BATCH, FILE_FSYNC_OS };

struct file_options {
    char *path;
    int fsync; /* enum file_fsync */
    int64_t fsync_interval_us;
    uint64_t fsync_bytes;
    uint64_t rotate_bytes;      /* 0: never */
    int64_t rotate_interval_us; /* 0: never */
    int64_t keep_segments;      /* 0: all */
    uint64_t keep_bytes;        /* 0: all */
    int64_t keep_age_us;        /* 0: for ever */
    char *mode;                 /* octal text */
};

extern const struct conf_table file_options_table;

/* Reads octal text such as 0640; false unless it is one to four octal digits, at most 0777. */
bool file_mode_parse(const char *text, mode_t *ret_mode);

static inline bool file_options_retain(const struct file_options *options)
{
    return options->keep_segments > 0 || options->keep_bytes > 0 || options->keep_age_us > 0;
}

#endif
