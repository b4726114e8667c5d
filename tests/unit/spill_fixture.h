/*
 * spill_fixture.h - events that are made from their number alone, and a spill of them.
 *
 * What is appended and read is given by numbers, so that what comes back can be compared with what
 * it must be. Each test has a directory of its own. The test is linked with spill_disk.c.
 */
#ifndef TESTS_UNIT_SPILL_FIXTURE_H
#define TESTS_UNIT_SPILL_FIXTURE_H

#include <check.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "buffer/spill.h"
#include "buffer/spill_record.h"
#include "buffer/spill_segment.h"
#include "spill_disk.h"

enum { FORMATS = 3, FILES_MAX = 64, DIRECTORY_MAX = 1024 };

extern char directory[DIRECTORY_MAX];    /* of the spill */
extern struct batch_pool *labelled_pool; /* FORMATS formats and labels */
extern struct batch_pool *plain_pool;    /* one format */
extern uint64_t append_limit;            /* files may not grow beyond this in append_in() */

/* Four events share a commit LSN: a message before the transaction, then three changes of it. */
struct fan_position position_of(uint64_t number);
/* Appends event `number` in every format. */
void batch_put(struct batch *batch, uint64_t number);
/* The part that append_in() gives a batch. */
enum txn_part part_of(uint64_t number);
/* Appends events [number, number + count) as one record; `skipped` more stand before them in the
 * batch. */
enum fan_status append_in(struct spill *spill, struct batch_pool *pool, size_t format,
                          uint64_t number, uint64_t count, size_t skipped, struct fan_error *error);
/* The same from the labelled pool in format 1; it must work. */
void append(struct spill *spill, uint64_t number, uint64_t count);
/* Event `at` of a batch is event `number`, whose bytes were written in another format. */
void check_event(const struct batch *batch, size_t at, size_t format, size_t written_format,
                 bool written_labels, uint64_t number);
/* Reads one record, which append() made of the events from `number` on. Returns how many they are, 0
 * at the end. */
uint64_t read_some(struct spill *spill, uint64_t number);
/* Reads everything that is left. Returns the number behind the last event. */
uint64_t read_all(struct spill *spill, uint64_t number);
/* The number of the event behind `position`. */
uint64_t number_behind(struct fan_position position);
struct spill *open_with(uint64_t bytes_max, uint64_t segment_bytes);
/* Some ten events fit a segment. */
struct spill *open_small(void);
/* Opening is FATAL with this code. */
void refused(const char *code);
void sync_ok(struct spill *spill);
/* The path of a segment. */
void path_of(uint64_t number, char path[PATH_MAX]);
void put_file(const char *path, const uint8_t *data, size_t size);
/* -1 when there is no such file. */
off_t size_of(const char *path);
size_t files_in_directory(void);

/* Runs the tests that `add` adds; returns the status to exit with. */
int spill_tests_run(const char *name, void (*add)(TCase *tests));

#endif
