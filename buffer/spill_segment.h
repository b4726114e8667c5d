/*
 * spill_segment.h - one file of a spill: making, reading, checking, writing, copying it.
 *
 * Ownership:  descriptors that are returned are the caller's.
 * Threading:  any; of one file one writer at a time. A window belongs to one thread.
 * Errors:     FAN_RETRY for what may pass (full disk, I/O, memory), FAN_FATAL for what will not
 *             (missing, no permission, not a regular file). Damage is not an error of these
 *             functions but part of their answer.
 */
#ifndef BUFFER_SPILL_SEGMENT_H
#define BUFFER_SPILL_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"
#include "buffer/spill_record.h"
#include "model/position.h"

enum { SPILL_NAME_SIZE = 32 };

#define SPILL_SUFFIX ".seg"
#define SPILL_SUFFIX_NEW ".new" /* a copy on its way to take a segment's place */

/* The directory of one spill; borrowed by what uses it. */
struct spill_place {
    int descriptor;
    const char *directory; /* for messages */
};

void spill_name(uint64_t number, const char *suffix, char name[SPILL_NAME_SIZE]);
/* True for exactly the names that spill_name() makes. */
bool spill_name_parse(const char *name, const char *suffix, uint64_t *ret_number);

/* Fails for a system call on the segment's file: `verb` as in "could not <verb> ...". */
enum fan_status spill_fail(const struct spill_place *place, uint64_t number, int sys_errno,
                           const char *verb, struct fan_error *reterr);
/* FAN_FATAL SPILL_CORRUPT with the file, the offset and the reason. */
enum fan_status spill_damaged(const struct spill_place *place, uint64_t number, uint64_t offset,
                              const char *fault, struct fan_error *reterr);

/* `flags` is O_RDONLY or O_RDWR. */
enum fan_status spill_segment_open(const struct spill_place *place, uint64_t number, int flags,
                                   int *ret_descriptor, struct fan_error *reterr) FAN_MUST_CHECK;

/* Makes a file with a header and no record; on failure there is no file. */
enum fan_status spill_segment_create(const struct spill_place *place,
                                     const struct spill_header *header, int *ret_descriptor,
                                     struct fan_error *reterr) FAN_MUST_CHECK;

/* Writes a record at `offset`. On failure part of it may stand there. */
enum fan_status spill_segment_write(const struct spill_place *place, uint64_t number,
                                    int descriptor, uint64_t offset,
                                    const struct spill_parts *parts,
                                    struct fan_error *reterr) FAN_MUST_CHECK;

/* Writes the mark. It is only a help against damage, so a failure is nobody's business. */
void spill_segment_mark(int descriptor, uint64_t number, uint64_t durable);

/* A reused buffer over part of a file. */
struct spill_window {
    struct bytes bytes;
    uint64_t offset; /* in the file, of the first byte */
};

void spill_window_init(struct spill_window *window);
/* Forgets the content; frees the memory, too, when `release` is set. */
void spill_window_clear(struct spill_window *window, bool release);

/*
 * Reads and checks the record at `offset` of a file of `end` bytes; the record points into the
 * window until it is used again. FAN_POISON: there is no whole record; `ret_fault` says why.
 * FAN_RETRY: memory, or an I/O error (then errno is set, else 0).
 */
enum fan_status spill_window_record(struct spill_window *window, int descriptor, uint64_t offset,
                                    uint64_t end, struct fan_position before,
                                    struct spill_record *ret_record,
                                    const char **ret_fault) FAN_MUST_CHECK;

struct spill_scan {
    uint64_t size;              /* of the file */
    struct spill_header header; /* when `intact` is not 0 */
    uint64_t marked;            /* durable bytes by the mark; 0 when there is none */
    uint64_t intact;            /* up to the end of the last whole record; 0: not even the header */
    const char *fault;          /* why nothing more is whole; NULL when the file ends there */
    struct fan_position first;  /* of the whole records */
    struct fan_position last;   /* the header's `before` when there is none */
    uint64_t events;
};

/* Reads and checks a whole file. */
enum fan_status spill_segment_scan(const struct spill_place *place, uint64_t number, int descriptor,
                                   struct spill_window *window, struct spill_scan *ret_scan,
                                   struct fan_error *reterr) FAN_MUST_CHECK;

/* Writes bytes [from, to) again where they stand, so that the next sync has them to write:
 * whether the system still thinks so is not known after another process's sync. */
enum fan_status spill_segment_redo(const struct spill_place *place, uint64_t number, int descriptor,
                                   uint64_t from, uint64_t to,
                                   struct fan_error *reterr) FAN_MUST_CHECK;

/*
 * Copies the first `size` bytes of a segment into a new file, checks every record of it and syncs
 * it. The file has the suffix SPILL_SUFFIX_NEW; on failure there is none. FAN_FATAL SPILL_LOST:
 * the segment cannot be read whole.
 */
enum fan_status spill_segment_copy(const struct spill_place *place, uint64_t number, int descriptor,
                                   uint64_t size, int *ret_descriptor,
                                   struct fan_error *reterr) FAN_MUST_CHECK;

#endif
