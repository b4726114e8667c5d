/*
 * store_internal.h - the open store, for the files of this folder.
 */
#ifndef STORE_STORE_INTERNAL_H
#define STORE_STORE_INTERNAL_H

#include <limits.h>
#include <sqlite3.h>
#include <sys/types.h>

#include "store/letter.h"
#include "store/record.h"
#include "store/schema.h"
#include "store/store.h"

struct store_statements {
    sqlite3_stmt *load;
    sqlite3_stmt *save;
    sqlite3_stmt *remove;
};

/* What letter.c asks, in the order of its table. */
enum letter_statement {
    LETTER_TOUCH,
    LETTER_INSERT,
    LETTER_TOTALS,
    LETTER_BY_NUMBER,
    LETTER_BY_POSITION,
    LETTER_BY_CAUSE,
    LETTER_REMOVE,
    LETTER_REMOVE_UPTO,
    LETTER_FAILED,
    LETTER_FIRST,
    LETTER_LAST,
    LETTER_BETWEEN,
    LETTER_GAP_NEWEST,
    LETTER_GAP_EXTEND,
    LETTER_GAP_ADD,
    LETTER_STATEMENTS,
};

struct store {
    char data_dir[PATH_MAX];
    char path[PATH_MAX];
    dev_t device; /* of the file that is open */
    ino_t inode;
    sqlite3 *db;
    int version; /* of the file's schema; below the present one only when it is read only */
    struct schema_record records[STORE_KINDS]; /* as the file at hand has them */
    struct store_statements statements[STORE_KINDS];
    sqlite3_stmt *confirmed;                  /* the persisted ack of a source */
    sqlite3_stmt *letters[LETTER_STATEMENTS]; /* NULL in a file older than version 2 */
    bool needs_check;
    sqlite3 *copy; /* of a background check under way; else NULL */
    sqlite3_backup *backup;
};

/* The statements of letter.c, made and given back. Returns SQLite's result code. */
int letter_prepare(struct store *store);
void letter_release(struct store *store);

/* Steps a statement that gives no row, and makes it ready for the next use. */
int statement_finish(sqlite3_stmt *statement);

/* FAN_FATAL when the file is no longer the one that has the store's name. */
enum fan_status store_path_check(const struct store *store, struct fan_error *reterr);

#endif
