/*
 * pipeclock.c - stamps and counts what arrives on standard input, for bench/run.
 *
 *     pipeclock latency FORMAT          one line a transaction: arrival time, microseconds it took
 *     pipeclock until FORMAT LSN SEQ    when the first event arrived, and the first one after (LSN, SEQ)
 *     pipeclock count FORMAT            the number of row changes
 *
 * FORMAT is `native` (lines of JSON) or `pgoutput` (what pg_recvlogical writes: the messages of
 * protocol 1, each followed by a newline; their layout is in the PostgreSQL manual, "Logical
 * Replication Message Formats"). A message is measured by its layout, never by looking for a
 * newline, because row values are binary. All that one read() returned has one stamp.
 *
 * Limits:  an event is at most EVENT_BYTES_MAX, a run at most SAMPLES_MAX transactions.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { EVENT_BYTES_MAX = 16 << 20, SAMPLES_MAX = 20 * 1000 * 1000, READ_BYTES = 256 << 10 };

/* Microseconds from 1970 to 2000, PostgreSQL's epoch. */
#define EPOCH_2000_US INT64_C(946684800000000)

enum mode { MODE_LATENCY, MODE_UNTIL, MODE_COUNT };

struct sample {
    int64_t arrived_us;
    int64_t took_us;
};

struct clockwork {
    enum mode mode;
    uint64_t after_lsn; /* MODE_UNTIL: the position that is not new any more */
    int64_t after_seq;
    int64_t stamp_us; /* of the read() that brought the present event */
    int64_t first_us; /* MODE_UNTIL: 0 until there was one */
    int64_t new_us;
    uint64_t lsn; /* of the transaction that is open */
    int64_t seq;
    uint64_t changes;
    struct sample *samples;
    size_t samples_count;
    size_t samples_room;
};

static void die(const char *what)
{
    (void)fprintf(stderr, "pipeclock: %s\n", what); /* nowhere else to say it */
    exit(70);
}

static int64_t now_us(clockid_t which)
{
    struct timespec now;
    (void)clock_gettime(which, &now); /* cannot fail for these clocks */
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void add_sample(struct clockwork *clockwork, int64_t committed_us)
{
    if (clockwork->samples_count == clockwork->samples_room) {
        clockwork->samples_room = clockwork->samples_room == 0 ? 4096 : clockwork->samples_room * 2;
        if (clockwork->samples_room > SAMPLES_MAX * UINT64_C(2)) {
            die("too many transactions");
        }
        clockwork->samples = (struct sample *)realloc(
            clockwork->samples, clockwork->samples_room * sizeof(*clockwork->samples));
        if (clockwork->samples == NULL) {
            die("out of memory");
        }
    }
    clockwork->samples[clockwork->samples_count++] = (struct sample){
        .arrived_us = clockwork->stamp_us, .took_us = clockwork->stamp_us - committed_us};
}

static void add_change(struct clockwork *clockwork, uint64_t lsn, int64_t seq)
{
    clockwork->changes++;
    if (clockwork->first_us == 0) {
        clockwork->first_us = clockwork->stamp_us;
    }
    bool is_new =
        lsn > clockwork->after_lsn || (lsn == clockwork->after_lsn && seq > clockwork->after_seq);
    if (clockwork->new_us == 0 && is_new) {
        clockwork->new_us = clockwork->stamp_us;
    }
}

/* ---- pgoutput ---- */

/* Reads without going past the end; `is_short` sticks once it would have. */
struct cursor {
    const unsigned char *at;
    size_t left;
    bool is_short;
};

static const unsigned char *take(struct cursor *cursor, size_t size)
{
    if (cursor->is_short || cursor->left < size) {
        cursor->is_short = true;
        return NULL;
    }
    const unsigned char *at = cursor->at;
    cursor->at += size;
    cursor->left -= size;
    return at;
}

static uint64_t take_number(struct cursor *cursor, size_t size)
{
    const unsigned char *at = take(cursor, size);
    uint64_t value = 0;
    for (size_t i = 0; at != NULL && i < size; i++) {
        value = value << 8 | at[i];
    }
    return value;
}

static void take_text(struct cursor *cursor)
{
    const void *end = cursor->left > 0 ? memchr(cursor->at, '\0', cursor->left) : NULL;
    if (end == NULL) {
        cursor->is_short = true;
        return;
    }
    (void)take(cursor, (size_t)((const unsigned char *)end - cursor->at) + 1); /* it is there */
}

static void take_tuple(struct cursor *cursor)
{
    uint64_t columns = take_number(cursor, 2);
    for (uint64_t i = 0; i < columns && !cursor->is_short; i++) {
        uint64_t kind = take_number(cursor, 1);
        if (kind == 't' || kind == 'b') {
            (void)take(cursor, (size_t)take_number(cursor, 4)); /* a short one sticks */
        } else if (kind != 'n' && kind != 'u' && !cursor->is_short) {
            die("not pgoutput: unknown kind of column");
        }
    }
}

/* Behind the relation's id: marks K, O and N, each with a tuple; N is the last, or the only one. */
static void take_row(struct cursor *cursor, bool is_delete)
{
    uint64_t mark = take_number(cursor, 1);
    take_tuple(cursor);
    if ((mark == 'K' || mark == 'O') && !is_delete) {
        (void)take_number(cursor, 1); /* N */
        take_tuple(cursor);
    }
}

static void take_relation(struct cursor *cursor)
{
    (void)take(cursor, 4); /* id */
    take_text(cursor);
    take_text(cursor);
    (void)take(cursor, 1); /* replica identity */
    uint64_t columns = take_number(cursor, 2);
    for (uint64_t i = 0; i < columns && !cursor->is_short; i++) {
        (void)take(cursor, 1); /* flags */
        take_text(cursor);
        (void)take(cursor, 8); /* type and its modifier */
    }
}

/* Steps over the body of a message that this program does not look into. */
static void take_other(struct cursor *cursor, uint64_t kind)
{
    switch (kind) {
    case 'I':
    case 'U':
    case 'D':
        (void)take(cursor, 4);
        take_row(cursor, kind == 'D');
        break;
    case 'T': {
        uint64_t relations = take_number(cursor, 4);
        (void)take(cursor, 1 + 4 * (size_t)relations);
        break;
    }
    case 'R':
        take_relation(cursor);
        break;
    case 'Y':
        (void)take(cursor, 4);
        take_text(cursor);
        take_text(cursor);
        break;
    case 'O':
        (void)take(cursor, 8);
        take_text(cursor);
        break;
    case 'M':
        (void)take(cursor, 9);
        take_text(cursor);
        (void)take(cursor, (size_t)take_number(cursor, 4));
        break;
    default:
        die("not pgoutput: unknown kind of message");
    }
}

/* Takes one message; returns its size with its newline, or 0 when there is not all of it yet. */
static size_t step_pgoutput(struct clockwork *clockwork, const unsigned char *at, size_t size)
{
    struct cursor cursor = {.at = at, .left = size};
    uint64_t kind = take_number(&cursor, 1);
    uint64_t lsn = 0;
    int64_t committed_us = 0;
    if (cursor.is_short) {
        return 0;
    }
    if (kind == 'B') {
        lsn = take_number(&cursor, 8);
        (void)take(&cursor, 12); /* time, xid */
    } else if (kind == 'C') {
        (void)take(&cursor, 17); /* flags, LSN, end LSN */
        committed_us = (int64_t)take_number(&cursor, 8) + EPOCH_2000_US;
    } else {
        take_other(&cursor, kind);
    }
    const unsigned char *newline = take(&cursor, 1);
    if (newline == NULL) {
        return 0;
    }
    if (*newline != '\n') {
        die("not pgoutput: no newline behind a message");
    }
    if (kind == 'B') {
        clockwork->lsn = lsn;
        clockwork->seq = 0;
    } else if (kind == 'C') {
        if (clockwork->mode == MODE_LATENCY) {
            add_sample(clockwork, committed_us);
        }
    } else if (kind == 'I' || kind == 'U' || kind == 'D') {
        add_change(clockwork, clockwork->lsn, clockwork->seq++);
    }
    return size - cursor.left;
}

/* ---- native ---- */

/* What stands behind the last `key` of the line: a row's values come before the engine's keys. */
static const char *value_of(const char *line, size_t size, const char *key)
{
    size_t key_size = strlen(key);
    for (size_t i = size; i >= key_size; i--) {
        if (memcmp(line + i - key_size, key, key_size) == 0) {
            return line + i;
        }
    }
    die("not native: a key is missing");
    return NULL;
}

/* Days from 1970-01-01, in the proleptic Gregorian calendar, for years from 1970 on. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    int64_t shifted = month > 2 ? year : year - 1; /* a year begins in March: leap days are last */
    int64_t months = month > 2 ? month - 3 : month + 9;
    return 365 * shifted + shifted / 4 - shifted / 100 + shifted / 400 + (153 * months + 2) / 5 +
           day - 1 - 719468;
}

static int64_t parse_time_us(const char *text)
{
    int part[7];
    int count = sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d.%6dZ", &part[0], &part[1], &part[2], &part[3],
                       &part[4], &part[5], &part[6]);
    if (count != 7) {
        die("not native: ts is no time");
    }
    int64_t seconds =
        ((days_of(part[0], part[1], part[2]) * 24 + part[3]) * 60 + part[4]) * 60 + part[5];
    return seconds * 1000000 + part[6];
}

static size_t step_native(struct clockwork *clockwork, const unsigned char *at, size_t size)
{
    const unsigned char *end = size > 0 ? memchr(at, '\n', size) : NULL;
    if (end == NULL) {
        return 0;
    }
    const char *line = (const char *)at;
    size_t line_size = (size_t)(end - at);
    if (clockwork->mode == MODE_LATENCY) {
        add_sample(clockwork, parse_time_us(value_of(line, line_size, "\"ts\":\"")));
    } else if (clockwork->mode == MODE_UNTIL) {
        unsigned high;
        unsigned low;
        if (sscanf(value_of(line, line_size, "\"lsn\":\""), "%8X/%8X", &high, &low) != 2) {
            die("not native: lsn is no LSN");
        }
        add_change(clockwork, (uint64_t)high << 32 | low,
                   strtoll(value_of(line, line_size, "\"seq\":"), NULL, 10));
    } else {
        clockwork->changes++;
    }
    return line_size + 1;
}

/* ---- all ---- */

typedef size_t step_function(struct clockwork *clockwork, const unsigned char *at, size_t size);

static void run(struct clockwork *clockwork, step_function *step)
{
    static unsigned char buffer[EVENT_BYTES_MAX];
    size_t used = 0;
    while (clockwork->mode != MODE_UNTIL || clockwork->new_us == 0) {
        size_t room = sizeof(buffer) - used;
        ssize_t got = read(STDIN_FILENO, buffer + used, room < READ_BYTES ? room : READ_BYTES);
        clockwork->stamp_us =
            now_us(clockwork->mode == MODE_LATENCY ? CLOCK_REALTIME : CLOCK_MONOTONIC);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0 || room == 0) {
            die(got < 0 ? "could not read" : "an event is too large");
        }
        if (got == 0) {
            return;
        }
        used += (size_t)got;
        size_t done = 0;
        size_t size;
        while ((size = step(clockwork, buffer + done, used - done)) > 0) {
            done += size;
        }
        memmove(buffer, buffer + done, used - done);
        used -= done;
    }
}

static void print_results(const struct clockwork *clockwork)
{
    switch (clockwork->mode) {
    case MODE_LATENCY:
        for (size_t i = 0; i < clockwork->samples_count; i++) {
            (void)printf("%" PRId64 " %" PRId64 "\n", clockwork->samples[i].arrived_us,
                         clockwork->samples[i].took_us);
        }
        break;
    case MODE_UNTIL:
        (void)printf("%" PRId64 " %" PRId64 "\n", clockwork->first_us, clockwork->new_us);
        break;
    case MODE_COUNT:
        (void)printf("%" PRIu64 "\n", clockwork->changes);
        break;
    }
    if (fflush(stdout) != 0) {
        die("could not write");
    }
}

int main(int argc, char **argv)
{
    static const char usage[] = "usage: pipeclock latency|until|count native|pgoutput [LSN SEQ]";
    struct clockwork clockwork = {.mode = MODE_COUNT};
    bool is_until = argc > 1 && strcmp(argv[1], "until") == 0;
    if (argc != (is_until ? 5 : 3)) {
        die(usage);
    }
    if (is_until) {
        clockwork.mode = MODE_UNTIL;
        clockwork.after_lsn = strtoull(argv[3], NULL, 10);
        clockwork.after_seq = strtoll(argv[4], NULL, 10);
    } else if (strcmp(argv[1], "latency") == 0) {
        clockwork.mode = MODE_LATENCY;
    } else if (strcmp(argv[1], "count") != 0) {
        die(usage);
    }
    run(&clockwork, strcmp(argv[2], "native") == 0 ? step_native : step_pgoutput);
    print_results(&clockwork);
    free(clockwork.samples);
    return 0;
}
