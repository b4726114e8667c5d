/*
 * httpsend.c - the HTTP targets of a conf file without an engine: requests in, answers out.
 *
 *     httpsend pgfan.yaml
 *
 * Reads one JSON object a line, {"target": NAME, "events": [{"schema", "table", "op", "key",
 * "event"}, ...]}, sends the events as one batch, waits for the answer and writes it as one line:
 * {"status", "code", "text", "hint", "retry_after_ms", "failed": [{"event", "poison", "text"}]}.
 * Event i of a batch has the position (1000 + i, 0), slot "s" and system identifier "7".
 */
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "conf/load.h"
#include "engine/engine.h"
#include "targets/target.h"

enum { TARGETS_MAX = 16, DEADLINE_S = 60, FIRST_LSN = 1000 };

/* Where the one answer that is waited for arrives. */
struct desk {
    struct outcome_sink base;
    pthread_mutex_t lock;
    pthread_cond_t came;
    struct answer *answer;
};

static struct desk desk;
static struct target *targets[TARGETS_MAX];
static const char *names[TARGETS_MAX];
static size_t targets_count;

static void die(const char *what, const char *why)
{
    (void)fprintf(stderr, "httpsend: %s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

static void desk_answer(struct outcome_sink *sink, struct answer *answer)
{
    (void)sink;
    (void)pthread_mutex_lock(&desk.lock);
    desk.answer = answer;
    (void)pthread_cond_signal(&desk.came);
    (void)pthread_mutex_unlock(&desk.lock);
}

static void open_target(const struct settings_target *settings)
{
    static const struct encode_context encode = {.source = "shop", .system_id = "7", .slot = "s"};
    const struct target_context context = {.pipeline = "p",
                                           .target = settings->name,
                                           .outcomes = &desk.base,
                                           .encode = &encode,
                                           .requests_max = 2,
                                           .deadline_us = DEADLINE_S * INT64_C(1000000)};
    const struct target_type *type = target_type_find(settings->type);
    struct fan_error error = {0};
    if (type == NULL || type->request == NULL || targets_count == TARGETS_MAX) {
        die(settings->name, "no answering target");
    }
    if (type->create(settings->options, &context, &targets[targets_count], &error) != FAN_OK ||
        type->start(targets[targets_count], NULL, &error) != FAN_OK) {
        die(settings->name, error.text);
    }
    names[targets_count++] = settings->name;
}

static void open_all(const char *path, struct settings *settings)
{
    struct conf_report report = {0};
    const struct conf_request request = {.path = path};
    if (conf_load(&request, engine_plugins(), settings, &report) != FAN_OK) {
        struct bytes text;
        bytes_init(&text, 1 << 16);
        conf_report_print(&report, false, &text);
        die("conf", bytes_text(&text));
    }
    conf_report_release(&report);
    const struct settings_pipeline *pipelines = settings->pipelines.items;
    for (size_t i = 0; i < settings->pipelines.count; i++) {
        const struct settings_target *list = pipelines[i].targets.items;
        for (size_t at = 0; at < pipelines[i].targets.count; at++) {
            open_target(&list[at]);
        }
    }
}

static const char *text_of(const json_t *object, const char *key, const char *otherwise)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : otherwise;
}

static void add_event(struct batch *batch, const json_t *event)
{
    struct bytes label;
    json_t *key = json_object_get(event, "key");
    char *key_text = key != NULL ? json_dumps(key, JSON_COMPACT) : NULL;
    char *text = json_dumps(json_object_get(event, "event"), JSON_COMPACT | JSON_ENCODE_ANY);
    bytes_init(&label, 1 << 20);
    bytes_append_text(&label, text_of(event, "schema", "public"));
    bytes_append_char(&label, '\0');
    bytes_append_text(&label, text_of(event, "table", "t"));
    bytes_append_char(&label, '\0');
    bytes_append_text(&label, key_text != NULL ? key_text : "");
    bytes_append_char(&label, '\0');
    const struct batch_event place = {.position = {{FIRST_LSN + batch->events_count}, 0},
                                      .op = (uint8_t)text_of(event, "op", "c")[0],
                                      .txn_end = true};
    if (text == NULL || batch_append(batch, &place, 0, (const uint8_t *)text, strlen(text),
                                     label.data, label.size) != FAN_OK) {
        die("event", "not understood");
    }
    bytes_release(&label);
    free(key_text);
    free(text);
}

static struct target *find(const char *name)
{
    for (size_t i = 0; i < targets_count; i++) {
        if (strcmp(names[i], name) == 0) {
            return targets[i];
        }
    }
    die(name, "no such target");
    return NULL;
}

static void print_answer(const struct answer *answer)
{
    json_t *failed = json_array();
    for (size_t i = 0; i < answer->failed_count; i++) {
        const struct verdict *verdict = &answer->failed[i];
        (void)json_array_append_new(failed,
                                    json_pack("{s:i, s:b, s:s}", "event", verdict->event, "poison",
                                              verdict->poison, "text", verdict->text));
    }
    json_t *line = json_pack("{s:s, s:s, s:s, s:s, s:I, s:o}", "status",
                             fan_status_name(answer->status), "code", answer->error.code, "text",
                             answer->error.text, "hint", answer->error.hint, "retry_after_ms",
                             (json_int_t)(answer->retry_after_us / 1000), "failed", failed);
    if (line == NULL || json_dumpf(line, stdout, JSON_COMPACT) != 0 || putchar('\n') == EOF ||
        fflush(stdout) != 0) {
        die("answer", "cannot be written");
    }
    json_decref(line);
}

static void send_batch(struct batch_pool *pool, const json_t *order)
{
    struct target *target = find(text_of(order, "target", "http"));
    const json_t *events = json_object_get(order, "events");
    struct batch *batch = batch_pool_take(pool);
    struct answer answer = {0};
    for (size_t i = 0; i < json_array_size(events); i++) {
        add_event(batch, json_array_get(events, i));
    }
    desk.answer = NULL;
    enum fan_status status =
        target->type->request(target, batch, &answer, clock_monotonic_us(), &answer.error);
    if (status == FAN_OK) {
        (void)pthread_mutex_lock(&desk.lock);
        while (desk.answer == NULL) {
            (void)pthread_cond_wait(&desk.came, &desk.lock);
        }
        (void)pthread_mutex_unlock(&desk.lock);
    } else {
        answer.status = status;
    }
    batch_unref(batch);
    print_answer(&answer);
    free(answer.failed);
}

int main(int argc, char **argv)
{
    struct settings settings = {0};
    if (argc != 2) {
        die("usage", "httpsend CONF");
    }
    desk.base.answer = desk_answer;
    (void)pthread_mutex_init(&desk.lock, NULL);
    (void)pthread_cond_init(&desk.came, NULL);
    struct batch_pool *pool = batch_pool_create(1, true, 2, 1 << 20);
    open_all(argv[1], &settings);
    char *line = NULL;
    size_t capacity = 0;
    ssize_t size;
    while ((size = getline(&line, &capacity, stdin)) > 0) {
        json_t *order = json_loadb(line, (size_t)size, 0, NULL);
        if (order == NULL) {
            die("order", "not JSON");
        }
        send_batch(pool, order);
        json_decref(order);
    }
    free(line);
    for (size_t i = 0; i < targets_count; i++) {
        targets[i]->type->stop(targets[i]);
        targets[i]->type->destroy(targets[i]);
    }
    batch_pool_destroy(pool);
    settings_release(&settings);
    return EXIT_SUCCESS;
}
