/*
 * slot_script - runs a script on the model of the server and prints the frames it sends.
 *
 *     slot_script [--14] < SCRIPT
 *
 * Lines: `begin T`, `insert|update|key|delete T TABLE`, `alter T TABLE`, `truncate T N` (the first
 * N tables), `message T`, `commit T`, `abort T`, `empty T`, `loose`; then `ack LSN` and
 * `start LSN`. T is 0, 1 or 2. An LSN is 0, `commit N` or `end N` of the Nth transaction that the
 * first session has sent, from 0. A session prints `session`, and then `frame` with hexadecimal
 * digits for each data message; keepalives are left out.
 *
 * tests/integration/test_slot_model.py runs the same script on a real server and compares.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "model/change.h"
#include "tests/sim/slot.h"

enum { CHANGE_SIZE = 64, SEEN_MAX = 256 };

struct script {
    struct wal wal;
    struct server server;
    struct rng rng;
    struct notes notes;
    struct fan_lsn commits[SEEN_MAX]; /* of the first session */
    struct fan_lsn ends[SEEN_MAX];
    size_t seen;
    bool seen_all;
    bool altered[WAL_SUBJECTS]; /* since the last change of it */
};

static void change(struct script *script, size_t txn, uint8_t op, uint8_t table, bool key)
{
    struct wal_event event = {.op = op,
                              .table = table,
                              .group = 1,
                              .version = table < WAL_TABLES ? script->wal.versions[table] : 0,
                              .key_change = key,
                              .altered = script->altered[table]};
    script->altered[table] = false;
    wal_change(&script->wal, txn, event, CHANGE_SIZE);
}

static void truncate(struct script *script, size_t txn, size_t tables)
{
    for (size_t table = 0; table < tables; table++) {
        struct wal_event event = {.op = CHANGE_TRUNCATE,
                                  .table = (uint8_t)table,
                                  .group = table == 0 ? (uint16_t)tables : 0,
                                  .version = script->wal.versions[table]};
        wal_change(&script->wal, txn, event, table + 1 < tables ? 0 : CHANGE_SIZE);
    }
}

static struct fan_lsn place(const struct script *script, const char *what, size_t index)
{
    if (strcmp(what, "0") == 0) {
        return LSN_NONE;
    }
    FAN_ASSERT(index < script->seen);
    return strcmp(what, "end") == 0 ? script->ends[index] : script->commits[index];
}

static uint64_t number_at(const uint8_t *bytes)
{
    uint64_t wire;
    memcpy(&wire, bytes, sizeof(wire));
    return __builtin_bswap64(wire);
}

static void print_frame(struct script *script, const struct frame *frame)
{
    const uint8_t *bytes = frame->data;
    if (bytes[0] != 'w') {
        return;
    }
    const uint8_t *payload = bytes + MESSAGE_HEADER_SIZE;
    if (payload[0] == 'C' && !script->seen_all) {
        FAN_ASSERT(script->seen < SEEN_MAX);
        script->commits[script->seen] = (struct fan_lsn){number_at(payload + 2)};
        script->ends[script->seen++] = (struct fan_lsn){number_at(payload + 10)};
    }
    (void)printf("frame ");
    for (size_t at = 0; at < frame->size; at++) {
        (void)printf("%02x", bytes[at]);
    }
    (void)printf("\n");
}

static void run_session(struct script *script, struct fan_lsn start)
{
    struct server *server = &script->server;
    struct walsender *sender = &server->sender;
    (void)printf("session\n");
    server_open_session(server, start);
    while (sender->item < script->wal.items_count || sender->queue_count > 0) {
        for (; sender->queue_count > 0; sender->queue_count--) {
            struct frame *frame = &sender->queue[sender->queue_head++ % SERVER_QUEUE];
            print_frame(script, frame);
            free(frame->data);
        }
        server_send_some(server, 1);
    }
    script->seen_all = true;
}

static void run_line(struct script *script, char *line)
{
    char verb[16] = "";
    char second[16] = "0";
    unsigned third = 0;
    if (sscanf(line, "%15s %15s %u", verb, second, &third) < 1 || verb[0] == '#') {
        return;
    }
    size_t txn = (size_t)strtoul(second, NULL, 10);
    if (strcmp(verb, "insert") == 0) {
        change(script, txn, CHANGE_INSERT, (uint8_t)third, false);
    } else if (strcmp(verb, "update") == 0 || strcmp(verb, "key") == 0) {
        change(script, txn, CHANGE_UPDATE, (uint8_t)third, verb[0] == 'k');
    } else if (strcmp(verb, "delete") == 0) {
        change(script, txn, CHANGE_DELETE, (uint8_t)third, false);
    } else if (strcmp(verb, "message") == 0) {
        change(script, txn, CHANGE_MESSAGE, WAL_MESSAGES, false);
    } else if (strcmp(verb, "truncate") == 0) {
        truncate(script, txn, third);
    } else if (strcmp(verb, "alter") == 0) {
        script->wal.versions[third]++;
        script->altered[third] = true;
    } else if (strcmp(verb, "commit") == 0 || strcmp(verb, "empty") == 0) {
        wal_commit(&script->wal, txn, 1);
    } else if (strcmp(verb, "abort") == 0) {
        script->wal.open[txn] = (struct wal_txn){0};
        wal_foreign(&script->wal, CHANGE_SIZE);
    } else if (strcmp(verb, "loose") == 0) {
        wal_loose(&script->wal, 0);
    } else if (strcmp(verb, "ack") == 0) {
        script->server.confirmed = place(script, second, third);
    } else if (strcmp(verb, "start") == 0) {
        run_session(script, place(script, second, third));
    } else {
        FAN_ASSERT(strcmp(verb, "begin") == 0);
    }
}

int main(int argc, char **argv)
{
    struct script *script = calloc(1, sizeof(*script));
    FAN_ASSERT(script != NULL);
    script->rng = rng_seeded(1);
    wal_init(&script->wal, &script->rng);
    server_init(&script->server, &script->wal, &script->rng, &script->notes);
    script->server.plain = true;
    script->server.version_14 = argc > 1 && strcmp(argv[1], "--14") == 0;
    script->server.slot_exists = true;
    script->server.confirmed = script->wal.end;
    char line[128];
    while (fgets(line, sizeof(line), stdin) != NULL) {
        run_line(script, line);
    }
    server_release(&script->server);
    wal_release(&script->wal);
    free(script);
    return 0;
}
