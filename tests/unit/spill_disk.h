/*
 * spill_disk.h - a disk that fails, hangs and loses power, between a test and the real one.
 *
 * The test is linked with --wrap for fdatasync, fsync, pwritev, unlinkat and renameat. What a sync covered is
 * remembered by inode, the names in one directory each time that they change; a power cut then makes
 * the directory as a disk could have it: names as of some moment since the last directory sync (they
 * reach the disk in order), of each file every sector either as it was synced or as it is.
 *
 * Threading:  every function from any thread.
 */
#ifndef TESTS_UNIT_SPILL_DISK_H
#define TESTS_UNIT_SPILL_DISK_H

#include <stdbool.h>

#include "base/rng.h"

enum disk_call { DISK_FDATASYNC, DISK_FSYNC, DISK_CALLS };

/* Back to a disk that works and remembers nothing. */
void disk_reset(void);

/* Syncs do nothing, for tests that only look at what is in the files. */
void disk_skip_syncs(bool skip);

/* Calls number `nth` from now and the `count` - 1 after it fail. */
void disk_fail(enum disk_call call, unsigned nth, unsigned count, int sys_errno);
/* Every nth sync fails, too; 0: none. */
void disk_fail_every(unsigned nth);
/* An fdatasync that fails leaves zeros at the end of its file. */
void disk_drop_on_failure(bool drop);
/* A file that another one replaces loses what is in it: its pages are not kept for who has it open. */
void disk_drop_replaced(bool drop);
/* Whether a file was synced after its fdatasync had failed. */
bool disk_failed_was_synced_again(void);

/* The nth fdatasync from now hangs until disk_release(). */
void disk_hold(unsigned nth);
void disk_wait_held(void);
void disk_release(void);

/* The next record that is written waits for so many calls of fdatasync, but not for long. */
void disk_hold_write(unsigned syncs);
/* Waits until a record is being written so. */
void disk_wait_writing(void);

/* Begins to remember; everything in the directory is durable at this moment. */
void disk_record(const char *directory);
/* Call after each step that may have made a file. */
void disk_note_names(void);
/* Decides what stays of what is there now ... */
void disk_cut_power(struct rng *rng);
/* ... and makes the directory so. Ends the recording. */
void disk_come_back(void);

#endif
