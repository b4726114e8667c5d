/*
 * letters_fixture.h - letters in a store, for tests of the API and the command line.
 */
#ifndef TESTS_UNIT_LETTERS_FIXTURE_H
#define TESTS_UNIT_LETTERS_FIXTURE_H

#include <check.h>
#include <stdio.h>

#include "deadletter/deadletter.h"
#include "store/store.h"

/* Opens a store in `directory`, a new one or that of an earlier call. */
static inline struct store *letters_open(const char *directory)
{
    struct store *store = NULL;
    struct fan_error error = {0};
    const struct store_options options = {.create = true};
    enum fan_status status = store_open(directory, &options, &store, &error);
    ck_assert_msg(status == FAN_OK, "%s", error.text);
    return store;
}

static inline void letters_remove_store(const char *directory)
{
    static const char *const names[] = {"pgfan.db", "pgfan.db-wal", "pgfan.lock"};
    for (size_t i = 0; i < 3; i++) {
        char path[256];
        (void)snprintf(path, sizeof(path), "%.200s/%s", directory, names[i]);
        (void)remove(path); /* or it was never there */
    }
}

/* The letter at position (number, 0) of target "file" of "orders"; `payload` is a text. */
static inline void letters_add(struct store *store, uint64_t number, enum deadletter_cause cause,
                               const char *payload)
{
    char label[128];
    int label_size = snprintf(label, sizeof(label), "public%corders%c{\"id\":%llu}%c", 0, 0,
                              (unsigned long long)number, 0);
    const struct deadletter letter = {
        .pipeline = "orders",
        .target = "file",
        .source = "shop",
        .commit_lsn = number,
        .op = 'c',
        .txn_end = true,
        .id = "7301-pgfan_shop-0000000000000001-00000000",
        .format = "native",
        .label = (const uint8_t *)label,
        .label_size = (size_t)label_size,
        .payload = (const uint8_t *)payload,
        .payload_size = strlen(payload),
        .cause = cause,
        .code = "HTTP_422",
        .error = "the target said no",
        .attempts = 5,
        .first_us = 1700000000000000,
        .last_us = 1700000030000000,
    };
    const struct deadletter_caps caps = {
        .entries_max = 100000, .bytes_max = 1 << 30, .payload_bytes_max = 1 << 30};
    struct deadletter_added added = {0};
    struct fan_error error = {0};
    enum fan_status status = deadletter_add(store, &letter, 1, &caps, 1, &added, &error);
    ck_assert_msg(status == FAN_OK && added.added == 1, "%s", error.text);
}

#endif
