/*
 * Property: whatever a receiver answers, verdicts name events of the request, each once, in words
 *           that can be shown; whatever a row's key holds, a rendered URL has the segments and the
 *           query of its template and nothing else.
 * Oracle:   the batch; counting slashes, question marks and characters that no URL has.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "targets/http/event_ids.h"
#include "targets/http/reply.h"
#include "targets/http/url_template.h"
#include "targets/http/verdicts.h"
#include "targets/key_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { EVENTS = 8, SIZE_MAX_PARSED = 4096 };

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

/* A batch that lives as long as the process; only positions matter. */
static const struct batch *the_batch(void)
{
    static struct batch *batch;
    if (batch == NULL) {
        struct batch_pool *pool = batch_pool_create(1, false, 1, 1 << 16);
        batch = pool != NULL ? batch_pool_take(pool) : NULL;
        require(batch != NULL);
        for (uint64_t i = 0; i < EVENTS; i++) {
            const struct batch_event event = {.position = {{i / 2 + 1}, (int64_t)(i % 2) - 1},
                                              .op = i == EVENTS - 1 ? 'g' : 'c'};
            require(batch_append(batch, &event, 0, (const uint8_t *)"1", 1, NULL, 0) == FAN_OK);
        }
    }
    return batch;
}

static void read_verdicts(const uint8_t *data, size_t size)
{
    static const struct encode_context encode = {.source = "s", .system_id = "7", .slot = "p"};
    const struct redactor redactor = {0};
    const struct verdict_scope scope = {
        .encode = &encode, .batch = the_batch(), .end = EVENTS, .redactor = &redactor};
    struct verdict *failed = NULL;
    size_t count = 0;
    unsigned named = 0;
    if (verdicts_read(&scope, data, size, &failed, &count, NULL) != FAN_OK) {
        require(failed == NULL && count == 0);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        unsigned bit = 1U << failed[i].event;
        require(failed[i].event < EVENTS && (named & bit) == 0);
        named |= bit;
        size_t length = strnlen(failed[i].text, sizeof(failed[i].text));
        require(length < sizeof(failed[i].text));
        for (size_t at = 0; at < length; at++) {
            require((uint8_t)failed[i].text[at] >= ' ' && failed[i].text[at] != 0x7f);
        }
    }
    free(failed);
}

static size_t count_of(const char *text, size_t size, char wanted)
{
    size_t count = 0;
    for (size_t i = 0; i < size; i++) {
        count += text[i] == wanted;
    }
    return count;
}

/* Slashes and question marks of a template, without those inside ${...}. */
static size_t count_literal(const struct url_template *url, char wanted)
{
    size_t count = count_of(url->origin, strlen(url->origin), wanted);
    for (size_t i = 0; i < url->path.pieces_count; i++) {
        const struct event_piece *piece = &url->path.pieces[i];
        if (piece->name == EVENT_LITERAL) {
            count += count_of(piece->text, strlen(piece->text), wanted);
        }
    }
    return count;
}

/* The bytes up to the first newline are the template, up to the second the table, then the key. */
static void render(const uint8_t *data, size_t size)
{
    char text[SIZE_MAX_PARSED + 1];
    memcpy(text, data, size);
    text[size] = '\0';
    char *table = strchr(text, '\n');
    char *key = table != NULL ? strchr(table + 1, '\n') : NULL;
    struct url_template url;
    if (key == NULL) {
        return;
    }
    *table++ = '\0';
    *key++ = '\0';
    if (url_template_parse(text, &url) != NULL) {
        return;
    }
    const struct batch_label label = {.schema = "s",
                                      .schema_size = 1,
                                      .table = table,
                                      .table_size = strlen(table),
                                      .key = key,
                                      .key_size = size - (size_t)(key - text)};
    struct bytes made;
    bytes_init(&made, URL_ROOM);
    const struct encode_context encode = {.source = "source"};
    const struct batch_event event = {.op = 'c'};
    const struct event_subject subject = {.encode = &encode, .label = &label, .event = &event};
    if (url_template_render(&url, &subject, &made, NULL) == FAN_OK) {
        const char *bytes = (const char *)made.data;
        require(made.size >= strlen(url.origin) &&
                memcmp(bytes, url.origin, strlen(url.origin)) == 0);
        require(count_of(bytes, made.size, '/') == count_literal(&url, '/'));
        require(count_of(bytes, made.size, '?') == count_literal(&url, '?'));
        for (size_t i = 0; i < made.size; i++) {
            require(bytes[i] > ' ' && bytes[i] <= '~' && bytes[i] != '#');
        }
    }
    bytes_release(&made);
    url_template_release(&url);
}

static void wait_for(const uint8_t *data, size_t size)
{
    char text[64];
    if (size < sizeof(text)) {
        memcpy(text, data, size);
        text[size] = '\0';
        int64_t wait_us = reply_retry_after_us(text, INT64_C(1700000000000000));
        require(wait_us >= 0 && wait_us <= INT64_C(3600000000));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > SIZE_MAX_PARSED) {
        return 0;
    }
    switch (data[0]) {
    case 'u':
        render(data + 1, size - 1);
        break;
    case 'w':
        wait_for(data + 1, size - 1);
        break;
    default:
        read_verdicts(data, size);
        break;
    }
    return 0;
}
