#include "targets/file/retention.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

enum { SEGMENTS_MAX = 1 << 20 };

struct closed {
    uint64_t segment;
    uint64_t size;
    int64_t written_us;
};

struct closed_list {
    struct closed *items; /* owned */
    size_t count;
    size_t capacity;
    uint64_t bytes;
};

static void list_add(struct closed_list *list, const struct file_place *place, uint64_t segment)
{
    char path[PATH_MAX];
    struct stat status;
    place_closed_path(place, segment, path);
    if (lstat(path, &status) != 0 || !S_ISREG(status.st_mode)) {
        return; /* taken away meanwhile, or not ours */
    }
    if (list->count == list->capacity) {
        size_t wanted = list->capacity == 0 ? 64 : list->capacity * 2;
        struct closed *grown =
            wanted > SEGMENTS_MAX ? NULL : realloc(list->items, wanted * sizeof(*grown));
        if (grown == NULL) {
            return; /* the next run sees the rest */
        }
        list->items = grown;
        list->capacity = wanted;
    }
    list->items[list->count++] = (struct closed){
        .segment = segment,
        .size = (uint64_t)status.st_size,
        .written_us = (int64_t)status.st_mtim.tv_sec * 1000000 + status.st_mtim.tv_nsec / 1000};
    list->bytes += (uint64_t)status.st_size;
}

static int closed_compare(const void *left, const void *right)
{
    uint64_t left_segment = ((const struct closed *)left)->segment;
    uint64_t right_segment = ((const struct closed *)right)->segment;
    return left_segment < right_segment ? -1 : left_segment > right_segment;
}

static void list_read(struct closed_list *list, const struct file_place *place)
{
    DIR *directory = opendir(place->directory);
    if (directory == NULL) {
        return; /* the writer will find out, and says so */
    }
    const struct dirent *entry;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is this function's own */
    while ((entry = readdir(directory)) != NULL) {
        uint64_t segment = 0;
        if (place_closed_parse(place, entry->d_name, &segment)) {
            list_add(list, place, segment);
        }
    }
    (void)closedir(directory); /* it was only read */
    if (list->count > 1) {
        qsort(list->items, list->count, sizeof(*list->items), closed_compare);
    }
}

static bool closed_remove(const struct file_place *place, uint64_t segment)
{
    char path[PATH_MAX];
    char sum_path[PATH_MAX];
    place_closed_path(place, segment, path);
    if (unlink(path) != 0 && errno != ENOENT) {
        log_write(LOG_WARN, "could not remove closed segment", LOG_TEXT("file", path),
                  LOG_NUMBER("errno", errno));
        return false;
    }
    if (snprintf(sum_path, sizeof(sum_path), "%s.sum", path) < (int)sizeof(sum_path)) {
        (void)unlink(sum_path); /* missing, or left over: it harms nobody */
    }
    log_write(LOG_INFO, "closed segment removed", LOG_TEXT("file", path));
    return true;
}

size_t retention_apply(const struct file_place *place, const struct file_options *options,
                       int64_t wall_us)
{
    struct closed_list list = {0};
    list_read(&list, place);
    size_t removed = 0;
    uint64_t bytes = list.bytes;
    for (size_t i = 0; i < list.count; i++) {
        const struct closed *closed = &list.items[i];
        bool many = options->keep_segments > 0 && list.count - i > (size_t)options->keep_segments;
        bool large = options->keep_bytes > 0 && bytes > options->keep_bytes;
        bool old = options->keep_age_us > 0 && closed->written_us < wall_us - options->keep_age_us;
        if (!many && !large && !old) {
            break; /* later ones are younger, and fewer */
        }
        if (!closed_remove(place, closed->segment)) {
            break;
        }
        bytes -= closed->size;
        removed++;
    }
    free(list.items);
    return removed;
}
