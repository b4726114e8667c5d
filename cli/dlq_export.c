/* dlq_export.c - `pgfan dlq export`: one JSON object a line, to a pipe or to a private file. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "cli/answer.h"
#include "cli/dlq.h"
#include "cli/failure.h"
#include "conf/option.h"
#include "engine/engine.h"

struct exporting {
    const char *path; /* NULL: standard output */
    int descriptor;
    uint64_t written;
};

static int export_line(struct exporting *exporting, const json_t *letter)
{
    struct fan_error error = {0};
    FAN_CLEANUP(fan_free_p) char *line = json_dumps(letter, JSON_COMPACT);
    if (line == NULL) {
        (void)fan_fail(&error, FAN_RETRY, "could not export dead letters: out of memory");
        return failure_print(&error, EXIT_INTERNAL);
    }
    size_t size = strlen(line);
    line[size] = '\n'; /* in the place of the NUL */
    const char *name = exporting->path == NULL ? "standard output" : exporting->path;
    if (fs_write_all(exporting->descriptor, name, line, size + 1, &error) != FAN_OK) {
        return failure_print(&error, EXIT_FAILED);
    }
    exporting->written++;
    return EXIT_FINE;
}

static int export_page(struct exporting *exporting, const json_t *page)
{
    size_t index = 0;
    const json_t *letter = NULL;
    json_array_foreach(json_object_get(page, "dead_letters"), index, letter)
    {
        int status = export_line(exporting, letter);
        if (status != EXIT_FINE) {
            return status;
        }
    }
    return EXIT_FINE;
}

static int export_all(struct dlq *dlq, struct exporting *exporting)
{
    int64_t after = dlq->filter.after_number;
    int status = EXIT_FINE;
    for (bool more = true; more && status == EXIT_FINE && exporting->written < dlq->limit;) {
        json_t *page = NULL;
        status = dlq_page(dlq, dlq->limit - exporting->written, after, true, &page);
        if (status == EXIT_FINE) {
            status = export_page(exporting, page);
            more = answer_flag(page, "more");
            after = answer_number(page, "after");
            json_decref(page);
        }
    }
    return status;
}

static int export_to_file(struct dlq *dlq, const char *path)
{
    struct fan_error error = {0};
    FAN_CLEANUP(fan_close_p)
    int descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (descriptor < 0) {
        (void)fan_fail_errno(&error, FAN_FATAL, errno, "cannot make \"%s\"", path);
        if (errno == EEXIST) {
            fan_error_annotate(&error, NULL, "name another file: none is written over");
        }
        return failure_print(&error, EXIT_FAILED);
    }
    struct exporting exporting = {.path = path, .descriptor = descriptor};
    int status = export_all(dlq, &exporting);
    /* Somebody may purge what was exported: it must be on disk. */
    if (status == EXIT_FINE && fsync(descriptor) != 0) {
        (void)fan_fail_errno(&error, FAN_RETRY, errno, "could not sync \"%s\"", path);
        status = failure_print(&error, EXIT_FAILED);
    }
    if (status == EXIT_FINE) {
        (void)printf("%" PRIu64 " %s exported to %s\n", exporting.written,
                     dlq_letters(exporting.written), path);
    }
    return status;
}

static int run_export(const struct command *command, const struct arguments *arguments)
{
    struct dlq dlq;
    const char *path = arguments_value(arguments, "output");
    int status = dlq_open(command, arguments, DLQ_READ, &dlq);
    if (status == EXIT_FINE && path != NULL) {
        status = export_to_file(&dlq, path);
    } else if (status == EXIT_FINE) {
        struct exporting exporting = {.descriptor = STDOUT_FILENO};
        status = export_all(&dlq, &exporting);
    }
    dlq_close(&dlq);
    return status;
}

static const struct command_option options[] = {
    DLQ_OPTIONS_CONF,
    DLQ_OPTIONS_SELECT,
    {.name = "limit", .argument = "N", .help = "at most so many; default: all"},
    {.name = "output",
     .letter = 'o',
     .argument = "FILE",
     .help = "write to a new file that only its owner may read; default: standard output"},
};

const struct command command_dlq_export = {
    .name = "dlq export",
    .summary = "write dead letters with their payloads, one JSON object a line",
    .arguments = "",
    .help = "The objects are those of GET /dead-letters?payload=true (see api.md), the oldest "
            "first; nothing is removed. They hold row values: keep them as private as the tables.",
    .options = options,
    .options_count = CONF_COUNT(options),
    .run = run_export,
};
