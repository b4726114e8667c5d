#include "targets/file/options.h"

#include <stddef.h>
#include <string.h>

#define SECOND_US INT64_C(1000000)
#define DAY_US (INT64_C(86400) * SECOND_US)

enum { PATH_TEXT_MAX = 3900 }; /* leaves room below PATH_MAX for the names of segments */

static const struct conf_choice fsync_choices[] = {
    {"interval", FILE_FSYNC_INTERVAL},
    {"batch", FILE_FSYNC_BATCH},
    {"os", FILE_FSYNC_OS},
    {NULL, 0},
};

#define AT(member) .offset = offsetof(struct file_options, member)

static const struct conf_option file_options[] = {
    {.key = "path",
     .type = CONF_TEXT,
     AT(path),
     .required = true,
     .minimum = 1,
     .maximum = PATH_TEXT_MAX,
     .help = "The file that is being written. A relative path starts at the working directory. The "
             "directory must exist.",
     .example = "/var/lib/pgfan/out/orders.jsonl"},
    {.key = "fsync",
     .type = CONF_CHOICE,
     AT(fsync),
     .value_default = "interval",
     .choices = fsync_choices,
     .help = "When events become durable: `interval` syncs by time and bytes, `batch` after every "
             "batch, `os` leaves it to the operating system, so that a power cut may lose events "
             "that were confirmed.",
     .example = "batch"},
    {.key = "fsync_interval",
     .type = CONF_DURATION,
     AT(fsync_interval_us),
     .value_default = "1s",
     .minimum = 10000,
     .maximum = 3600 * SECOND_US,
     .help = "With `fsync: interval`, the longest time that a written event waits for its sync."},
    {.key = "fsync_bytes",
     .type = CONF_SIZE,
     AT(fsync_bytes),
     .value_default = "64MiB",
     .minimum = 4096,
     .maximum = INT64_C(1) << 40,
     .help = "With `fsync: interval`, the bytes that start a sync before its time. At most 32 MiB "
             "are waited for, so that writing goes on while a sync runs."},
    {.key = "rotate_bytes",
     .type = CONF_SIZE,
     AT(rotate_bytes),
     .value_default = "0",
     .maximum = INT64_C(1) << 50,
     .help = "Closes the segment before a batch that would make it larger than this; 0 never does.",
     .example = "1GiB"},
    {.key = "rotate_interval",
     .type = CONF_DURATION,
     AT(rotate_interval_us),
     .value_default = "0",
     .maximum = 3660 * DAY_US,
     .help = "Closes a segment that holds events after this time; 0 never does.",
     .example = "1h"},
    {.key = "keep_segments",
     .type = CONF_INTEGER,
     AT(keep_segments),
     .value_default = "0",
     .maximum = 1000000,
     .help = "The number of closed segments to keep; 0 keeps all.",
     .example = "48"},
    {.key = "keep_bytes",
     .type = CONF_SIZE,
     AT(keep_bytes),
     .value_default = "0",
     .maximum = INT64_C(1) << 60,
     .help = "The bytes of closed segments to keep; 0 keeps all.",
     .example = "100GiB"},
    {.key = "keep_age",
     .type = CONF_DURATION,
     AT(keep_age_us),
     .value_default = "0",
     .maximum = 36600 * DAY_US,
     .help = "The age, since their last write, of closed segments to keep; 0 keeps all.",
     .example = "168h"},
    {.key = "mode",
     .type = CONF_TEXT,
     AT(mode),
     .value_default = "0640",
     .minimum = 1,
     .maximum = 4,
     .help = "Permissions of a file that is made, in octal; put it in quotes.",
     .example = "\"0600\""},
};

bool file_mode_parse(const char *text, mode_t *ret_mode)
{
    mode_t mode = 0;
    size_t length = strlen(text);
    if (length == 0 || length > 4) {
        return false;
    }
    for (const char *at = text; *at != '\0'; at++) {
        if (*at < '0' || *at > '7') {
            return false;
        }
        mode = mode * 8 + (mode_t)(*at - '0');
    }
    if (mode > 0777) {
        return false;
    }
    *ret_mode = mode;
    return true;
}

static const char *mode_rule(const void *section, const char **ret_key)
{
    const struct file_options *options = section;
    mode_t mode;
    *ret_key = "mode";
    bool fits = options->mode != NULL && file_mode_parse(options->mode, &mode);
    return fits && (mode & 0600) == 0600
               ? NULL
               : "must be octal, such as \"0640\", and let the owner read and write";
}

static const char *path_rule(const void *section, const char **ret_key)
{
    const struct file_options *options = section;
    size_t length = options->path == NULL ? 0 : strlen(options->path);
    *ret_key = "path";
    return length == 0 || options->path[length - 1] == '/' ? "must name a file, not a directory"
                                                           : NULL;
}

static const char *retain_rule(const void *section, const char **ret_key)
{
    const struct file_options *options = section;
    *ret_key = options->keep_segments > 0 ? "keep_segments"
               : options->keep_bytes > 0  ? "keep_bytes"
                                          : "keep_age";
    return file_options_retain(options) && options->rotate_bytes == 0 &&
                   options->rotate_interval_us == 0
               ? "removes closed segments only, and needs rotate_bytes or rotate_interval"
               : NULL;
}

static conf_rule *const file_options_rules[] = {mode_rule, path_rule, retain_rule, NULL};

const struct conf_table file_options_table = {
    .name = "file",
    .help = "Writes events as lines to a file, exactly once over crashes.",
    .size = sizeof(struct file_options),
    .options = file_options,
    .options_count = CONF_COUNT(file_options),
    .rules = file_options_rules,
};
