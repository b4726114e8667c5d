#include "cli/dlq.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "api/letter_json.h"
#include "base/clock.h"
#include "cli/answer.h"
#include "cli/client.h"
#include "cli/conf_arguments.h"
#include "cli/failure.h"
#include "conf/nearest.h"
#include "deadletter/selector.h"
#include "engine/engine.h"
#include "store/store.h"

enum { PATH_SIZE = 28000 };

/* No letter has a greater number: a search behind it looks at none. */
#define NUMBER_MAX INT64_C(999999999999999999)

const char *dlq_letters(uint64_t count)
{
    return count == 1 ? "dead letter" : "dead letters";
}

int dlq_nothing(const struct dlq *dlq)
{
    (void)puts(dlq->selects ? "no dead letters match" : "there are no dead letters");
    return EXIT_FINE;
}

static int fail_store(enum fan_status status, const struct fan_error *error)
{
    return failure_print(error, status == FAN_RETRY ? EXIT_STORE_IO : EXIT_CONF);
}

/* ---- selectors ---- */

static int read_selectors(struct dlq *dlq)
{
    struct fan_error error = {0};
    int64_t now_us = clock_wall_us();
    for (size_t i = 0; deadletter_selectors[i] != NULL; i++) {
        const char *name = deadletter_selectors[i];
        const char *text = arguments_value(dlq->arguments, name);
        if (text == NULL) {
            continue;
        }
        if (deadletter_select(&dlq->filter, name, text, now_us, &error) != FAN_OK) {
            return failure_usage(&error, dlq->command->name);
        }
        dlq->selects = true;
        char since[CLOCK_TEXT_SIZE];
        if (strcmp(name, "since") == 0) {
            /* One moment for all requests, whenever they are made. */
            (void)clock_format_utc(dlq->filter.since_us, since); /* the length is not needed */
            text = since;
        }
        if (strcmp(name, "after") != 0) { /* each request has its own */
            (void)json_object_set_new(dlq->selectors, name, json_string(text));
        }
        if (json_object_get(dlq->selectors, name) == NULL && strcmp(name, "after") != 0) {
            (void)fan_fail(&error, FAN_FATAL, "selector \"%s\" is not UTF-8", name);
            return failure_usage(&error, dlq->command->name);
        }
    }
    return EXIT_FINE;
}

static int read_limit(struct dlq *dlq)
{
    int64_t limit = 0;
    const char *text = arguments_value(dlq->arguments, "limit");
    dlq->limit = UINT64_MAX;
    if (text == NULL) {
        return EXIT_FINE;
    }
    if (!deadletter_number_parse(text, INT64_MAX, &limit)) {
        struct fan_error error = {0};
        (void)fan_fail(&error, FAN_FATAL, "\"%s\" is no limit: write a number from 1", text);
        return failure_usage(&error, dlq->command->name);
    }
    dlq->limit = (uint64_t)limit;
    return EXIT_FINE;
}

/* ---- asking the engine ---- */

static bool append_query(char *path, const char *key, const char *value)
{
    size_t size = strlen(path);
    int more = snprintf(path + size, PATH_SIZE - size,
                        "%c%s=", strchr(path, '?') == NULL ? '?' : '&', key);
    return more > 0 && (size_t)more < PATH_SIZE - size &&
           client_append_segment(path, PATH_SIZE, value);
}

static bool append_number(char *path, const char *key, int64_t number)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%" PRId64, number); /* fits */
    return number == 0 || append_query(path, key, text);
}

static int fail_too_long(const struct dlq *dlq)
{
    struct fan_error error = {0};
    (void)fan_fail(&error, FAN_FATAL, "the selectors are too long"); /* printed below */
    return failure_usage(&error, dlq->command->name);
}

/* The selectors of a list or count, as a query. */
static int append_selectors(const struct dlq *dlq, char *path, int64_t after)
{
    const char *name = NULL;
    json_t *value = NULL;
    bool fits = append_number(path, "after", after);
    json_object_foreach(dlq->selectors, name, value)
    {
        fits = fits && append_query(path, name, json_string_value(value));
    }
    return fits ? EXIT_FINE : fail_too_long(dlq);
}

/* What the engine refuses for a name or a selector is a fault of the command line. */
static int ask_engine(struct dlq *dlq, const char *method, const char *path, const json_t *body,
                      json_t **ret_value)
{
    long http_status = 0;
    json_t *answer = NULL;
    int status = client_ask(dlq->arguments, method, path, body, &http_status, &answer);
    if (status == EXIT_FINE && (http_status != 200 || answer == NULL)) {
        int failed = client_refused(http_status, answer);
        json_decref(answer);
        return http_status == 400 || http_status == 404 ? EXIT_USAGE : failed;
    }
    if (status == EXIT_FINE) {
        *ret_value = answer;
    }
    return status;
}

/* ---- the file, when no engine runs ---- */

static enum fan_status run_on_file(void *context, engine_store_work *work, void *work_context,
                                   struct fan_error *reterr)
{
    return work(work_context, context, reterr);
}

static struct letter_access file_access(struct dlq *dlq)
{
    return (struct letter_access){.run = run_on_file, .context = dlq->store};
}

static int of_file(enum fan_status status, const struct fan_error *error)
{
    if (status == FAN_OK) {
        return EXIT_FINE;
    }
    return status == FAN_POISON ? failure_print(error, EXIT_USAGE) : fail_store(status, error);
}

/* A name is known when the conf has it or the store remembers it. */
struct known {
    const char *name;
    const char *of_pipeline; /* of targets: NULL any */
    bool found;
    struct nearest nearest;
};

static void known_offer(struct known *known, const char *pipeline, const char *name)
{
    if (known->of_pipeline != NULL && strcmp(known->of_pipeline, pipeline) != 0) {
        return;
    }
    known->found = known->found || strcmp(known->name, name) == 0;
    nearest_offer(&known->nearest, name);
}

static void offer_conf(struct known *known, const struct settings *settings, bool targets)
{
    for (size_t i = 0; i < settings->pipelines.count; i++) {
        const struct settings_pipeline *pipeline = settings_pipeline_at(settings, i);
        if (!targets) {
            known_offer(known, pipeline->name, pipeline->name);
            continue;
        }
        for (size_t target = 0; target < pipeline->targets.count; target++) {
            known_offer(known, pipeline->name, settings_target_at(pipeline, target)->name);
        }
    }
}

static void offer_store(struct known *known, const struct store_state *state, bool targets)
{
    for (size_t i = 0; i < state->checkpoints_count; i++) {
        const struct store_checkpoint *record = &state->checkpoints[i];
        known_offer(known, record->pipeline, targets ? record->target : record->pipeline);
    }
    for (size_t i = 0; i < state->letters_count; i++) {
        const struct store_letter_total *total = &state->letters[i];
        known_offer(known, total->pipeline, targets ? total->target : total->pipeline);
    }
}

static int check_name(const struct dlq *dlq, const struct store_state *state, bool target)
{
    const char *name = target ? dlq->filter.target : dlq->filter.pipeline;
    struct known known = {.name = name, .of_pipeline = target ? dlq->filter.pipeline : NULL};
    if (name == NULL) {
        return EXIT_FINE;
    }
    nearest_init(&known.nearest, name);
    offer_conf(&known, &dlq->settings, target);
    offer_store(&known, state, target);
    if (known.found) {
        return EXIT_FINE;
    }
    struct fan_error error = {0};
    (void)fan_fail(&error, FAN_POISON, "no %s is named \"%s\"", target ? "target" : "pipeline",
                   name);
    if (known.nearest.best != NULL) {
        fan_error_annotate(&error, NULL, "did you mean %s?", known.nearest.best);
    }
    return failure_print(&error, EXIT_USAGE);
}

static int check_names(struct dlq *dlq)
{
    struct store_state state = {0};
    struct fan_error error = {0};
    enum fan_status loaded = store_load(dlq->store, &state, &error);
    if (loaded != FAN_OK) {
        return fail_store(loaded, &error);
    }
    int status = check_name(dlq, &state, false);
    if (status == EXIT_FINE) {
        status = check_name(dlq, &state, true);
    }
    store_state_release(&state);
    return status;
}

static int open_file(struct dlq *dlq, enum dlq_use use)
{
    struct fan_error error = {0};
    const char *data_dir = arguments_value(dlq->arguments, "data-dir");
    if (data_dir == NULL) {
        if (!conf_arguments_load(dlq->arguments, &dlq->settings)) {
            return EXIT_CONF;
        }
        data_dir = dlq->settings.data_dir;
    }
    dlq->on_file = true;
    enum fan_status status = store_lock(data_dir, false, &dlq->lock, &error);
    if (status == FAN_OK) {
        const struct store_options options = {.read_only = use == DLQ_READ};
        status = store_open(data_dir, &options, &dlq->store, &error);
    }
    return status == FAN_OK ? check_names(dlq) : fail_store(status, &error);
}

/* ---- both ---- */

int dlq_open(const struct command *command, const struct arguments *arguments, enum dlq_use use,
             struct dlq *ret_dlq)
{
    *ret_dlq = (struct dlq){
        .command = command, .arguments = arguments, .lock = -1, .selectors = json_object()};
    int status = read_selectors(ret_dlq);
    if (status == EXIT_FINE) {
        status = read_limit(ret_dlq);
    }
    char path[PATH_SIZE] = "/dead-letters/count";
    if (status == EXIT_FINE) {
        status = append_selectors(ret_dlq, path, NUMBER_MAX); /* nothing to count: only the names */
    }
    json_t *answer = NULL;
    if (status == EXIT_FINE) {
        status = ask_engine(ret_dlq, "GET", path, NULL, &answer);
    }
    json_decref(answer);
    if (status == CLIENT_NO_ENGINE && arguments_value(arguments, "socket") != NULL) {
        struct fan_error error = {0};
        (void)fan_fail(&error, FAN_RETRY, "no engine answers on \"%s\"",
                       arguments_value(arguments, "socket"));
        fan_error_annotate(&error, "NO_ENGINE",
                           "without --socket the file is read when no engine runs");
        return failure_print(&error, EXIT_FAILED);
    }
    return status == CLIENT_NO_ENGINE ? open_file(ret_dlq, use) : status;
}

void dlq_close(struct dlq *dlq)
{
    json_decref(dlq->selectors);
    if (dlq->on_file) {
        store_close(dlq->store);
        store_unlock(dlq->lock);
        settings_release(&dlq->settings);
    }
    *dlq = (struct dlq){.lock = -1};
}

/* An engine that answered a moment ago. */
static int engine_gone(int status)
{
    if (status != CLIENT_NO_ENGINE) {
        return status;
    }
    struct fan_error error = {0};
    (void)fan_fail(&error, FAN_RETRY, "the engine ended meanwhile");
    return failure_print(&error, EXIT_FAILED);
}

int dlq_page(struct dlq *dlq, uint64_t limit, int64_t after, bool with_payload, json_t **ret_value)
{
    uint64_t page = limit < LETTERS_PAGE_MAX ? limit : LETTERS_PAGE_MAX;
    if (dlq->on_file) {
        struct fan_error error = {0};
        const struct letter_access access = file_access(dlq);
        struct deadletter_filter filter = dlq->filter;
        filter.after_number = after;
        return of_file(letters_list(&access, &filter, page, with_payload, ret_value, &error),
                       &error);
    }
    char path[PATH_SIZE] = "/dead-letters";
    int status = append_selectors(dlq, path, after);
    if (status != EXIT_FINE) {
        return status;
    }
    if (!append_number(path, "limit", (int64_t)page) ||
        (with_payload && !append_query(path, "payload", "true"))) {
        return fail_too_long(dlq);
    }
    return engine_gone(ask_engine(dlq, "GET", path, NULL, ret_value));
}

int dlq_show(struct dlq *dlq, int64_t number, bool whole, json_t **ret_value)
{
    if (dlq->on_file) {
        struct fan_error error = {0};
        const struct letter_access access = file_access(dlq);
        return of_file(
            letters_show(&access, number, whole ? SIZE_MAX : LETTER_SHOWN_BYTES, ret_value, &error),
            &error);
    }
    char path[64];
    (void)snprintf(path, sizeof(path), "/dead-letters/%" PRId64 "%s", number,
                   whole ? "?full=true" : ""); /* fits */
    return engine_gone(ask_engine(dlq, "GET", path, NULL, ret_value));
}

static json_t *body_of(const struct dlq *dlq, uint64_t limit, int64_t after)
{
    json_t *body = json_copy(dlq->selectors);
    uint64_t page = limit < LETTERS_PAGE_MAX ? limit : LETTERS_PAGE_MAX;
    /* Without memory a member is missing; the whole is not sent then, see dlq_send(). */
    (void)json_object_set_new(body, "limit", json_integer((json_int_t)page));
    (void)json_object_set_new(body, "after", json_integer(after));
    return body;
}

static int send_body(struct dlq *dlq, const char *path, json_t *body, size_t members,
                     json_t **ret_value)
{
    int status = EXIT_INTERNAL;
    if (json_object_size(body) == json_object_size(dlq->selectors) + members) {
        status = engine_gone(ask_engine(dlq, "POST", path, body, ret_value));
    } else {
        struct fan_error error = {0};
        (void)fan_fail(&error, FAN_RETRY, "could not make the request: out of memory");
        (void)failure_print(&error, status); /* returned below */
    }
    json_decref(body);
    return status;
}

int dlq_purge(struct dlq *dlq, uint64_t limit, int64_t after, const char *confirm,
              json_t **ret_value)
{
    if (dlq->on_file) {
        struct fan_error error = {0};
        const struct letter_access access = file_access(dlq);
        struct deadletter_filter filter = dlq->filter;
        filter.after_number = after;
        return of_file(letters_purge(&access, &filter, limit, ret_value, &error), &error);
    }
    json_t *body = body_of(dlq, limit, after);
    (void)json_object_set_new(body, "confirm", json_string(confirm)); /* counted below */
    return send_body(dlq, "/dead-letters/purge", body, 3, ret_value);
}

int dlq_replay(struct dlq *dlq, uint64_t limit, int64_t after, json_t **ret_value)
{
    if (dlq->on_file) {
        struct fan_error error = {0};
        (void)fan_fail(&error, FAN_RETRY, "cannot replay: no engine runs");
        fan_error_annotate(&error, NULL, "start the engine with pgfan run: it has the targets");
        return failure_print(&error, EXIT_FAILED);
    }
    return send_body(dlq, "/dead-letters/replay", body_of(dlq, limit, after), 2, ret_value);
}

/* ---- counts ---- */

static int count_page(struct dlq *dlq, int64_t after, json_t **ret_value)
{
    if (dlq->on_file) {
        struct fan_error error = {0};
        const struct letter_access access = file_access(dlq);
        struct deadletter_filter filter = dlq->filter;
        filter.after_number = after;
        return of_file(letters_count(&access, &filter, ret_value, &error), &error);
    }
    char path[PATH_SIZE] = "/dead-letters/count";
    int status = append_selectors(dlq, path, after);
    return status == EXIT_FINE ? engine_gone(ask_engine(dlq, "GET", path, NULL, ret_value))
                               : status;
}

static void add_number(json_t *sum, const json_t *page, const char *key)
{
    json_int_t more = json_integer_value(json_object_get(page, key));
    json_t *number = json_object_get(sum, key);
    if (number == NULL) {
        (void)json_object_set_new(sum, key, json_integer(more)); /* missing without memory */
    } else {
        (void)json_integer_set(number, json_integer_value(number) + more); /* it is an integer */
    }
}

static void add_counts(json_t *sum, json_t *page)
{
    const char *cause = NULL;
    json_t *number = NULL;
    json_t *causes = json_object_get(sum, "by_cause");
    add_number(sum, page, "count");
    add_number(sum, page, "bytes");
    json_object_foreach(json_object_get(page, "by_cause"), cause, number)
    {
        add_number(causes, json_object_get(page, "by_cause"), cause);
    }
    const char *oldest = answer_text(page, "oldest_at");
    const char *known = answer_text(sum, "oldest_at");
    if (oldest[0] != '\0' && (known[0] == '\0' || strcmp(oldest, known) < 0)) {
        (void)json_object_set(sum, "oldest_at", json_object_get(page, "oldest_at"));
    }
}

int dlq_count(struct dlq *dlq, json_t **ret_value)
{
    int64_t after = dlq->filter.after_number;
    json_t *sum = json_pack("{s:{},s:n}", "by_cause", "oldest_at");
    for (bool more = true; more;) {
        json_t *page = NULL;
        int status = count_page(dlq, after, &page);
        if (status != EXIT_FINE) {
            json_decref(sum);
            return status;
        }
        add_counts(sum, page);
        more = answer_flag(page, "more");
        after = answer_number(page, "after");
        json_decref(page);
    }
    *ret_value = sum;
    return EXIT_FINE;
}
