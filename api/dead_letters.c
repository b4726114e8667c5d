/* dead_letters.c - the dead letters: which ones, and what is done with them. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "api/handlers.h"
#include "api/json.h"
#include "api/letter_json.h"
#include "base/clock.h"
#include "base/log.h"
#include "conf/nearest.h"
#include "deadletter/selector.h"

enum { LIMIT_DEFAULT = 100 };

/* A request about letters, from the query or the body. */
struct letters_request {
    json_t *body; /* owned; NULL of a query */
    struct deadletter_filter filter;
    int64_t limit;
    bool dry_run;
    bool payload;
    const char *confirm; /* borrowed from the body */
    unsigned seen;       /* bits of the members that were given */
};

static const char *const other_members[] = {"limit", "dry_run", "confirm", "payload", NULL};

static unsigned status_of(const struct fan_error *error)
{
    if (strcmp(error->code, "DEAD_LETTER_NOT_FOUND") == 0) {
        return 404;
    }
    return error->status == FAN_POISON ? 400 : 503;
}

static void answer_failure(struct answer *answer, const struct fan_error *error)
{
    answer_error(answer, status_of(error), error);
}

static void answer_malformed(struct answer *answer, const char *name, const char *hint)
{
    answer_refusal(answer, 400, "BAD_REQUEST", hint, "\"%s\" is malformed", name);
}

/* ---- names that the conf has not ---- */

static bool pipeline_known(const struct settings *settings, const char *name,
                           struct nearest *nearest)
{
    for (size_t i = 0; i < settings->pipelines.count; i++) {
        const char *known = settings_pipeline_at(settings, i)->name;
        if (strcmp(known, name) == 0) {
            return true;
        }
        nearest_offer(nearest, known);
    }
    return false;
}

/* Of that pipeline, or of any when it is NULL. */
static bool target_known(const struct settings *settings, const char *pipeline, const char *name,
                         struct nearest *nearest)
{
    for (size_t i = 0; i < settings->pipelines.count; i++) {
        const struct settings_pipeline *at = settings_pipeline_at(settings, i);
        for (size_t target = 0; target < at->targets.count; target++) {
            const char *known = settings_target_at(at, target)->name;
            if (pipeline != NULL && strcmp(at->name, pipeline) != 0) {
                continue;
            }
            if (strcmp(known, name) == 0) {
                return true;
            }
            nearest_offer(nearest, known);
        }
    }
    return false;
}

static bool refuse_unknown(const char *what, const char *name, const char *code,
                           const struct nearest *nearest, struct answer *answer)
{
    char hint[128] = "see GET /pipelines";
    if (nearest->best != NULL) {
        (void)snprintf(hint, sizeof(hint), "did you mean %s?", nearest->best); /* fits */
    }
    answer_refusal(answer, 404, code, hint, "no %s is named \"%s\"", what, name);
    return false;
}

static bool check_names(const struct settings *settings, const struct deadletter_filter *filter,
                        struct answer *answer)
{
    struct nearest nearest;
    if (filter->pipeline != NULL) {
        nearest_init(&nearest, filter->pipeline);
        if (!pipeline_known(settings, filter->pipeline, &nearest)) {
            return refuse_unknown("pipeline", filter->pipeline, "PIPELINE_NOT_FOUND", &nearest,
                                  answer);
        }
    }
    if (filter->target != NULL) {
        nearest_init(&nearest, filter->target);
        if (!target_known(settings, filter->pipeline, filter->target, &nearest)) {
            return refuse_unknown("target", filter->target, "TARGET_NOT_FOUND", &nearest, answer);
        }
    }
    return true;
}

/* ---- members of a query or body ---- */

static bool set_limit(struct letters_request *letters, int64_t limit, struct answer *answer)
{
    if (limit < 1 || limit > LETTERS_PAGE_MAX) {
        answer_malformed(answer, "limit", "a limit is a number from 1 to 1000");
        return false;
    }
    letters->limit = limit;
    return true;
}

/* Texts: selectors, and of a query everything. `ret_known` false: nobody knows that name. */
static bool set_text(struct letters_request *letters, const char *name, const char *text,
                     bool *ret_known, struct answer *answer)
{
    struct fan_error error = {0};
    *ret_known = true;
    for (size_t i = 0; deadletter_selectors[i] != NULL; i++) {
        if (strcmp(deadletter_selectors[i], name) != 0) {
            continue;
        }
        if ((letters->seen & 1U << i) != 0) {
            answer_refusal(answer, 400, "BAD_SELECTOR", NULL, "\"%s\" is given twice", name);
            return false;
        }
        letters->seen |= 1U << i;
        if (deadletter_select(&letters->filter, name, text, clock_wall_us(), &error) != FAN_OK) {
            answer_failure(answer, &error);
            return false;
        }
        return true;
    }
    *ret_known = false;
    return true;
}

static bool set_query(struct letters_request *letters, const char *name, const char *text,
                      struct answer *answer)
{
    bool known = false;
    int64_t limit = 0;
    if (!set_text(letters, name, text, &known, answer)) {
        return false;
    }
    if (known) {
        return true;
    }
    if (strcmp(name, "limit") == 0) {
        (void)deadletter_number_parse(text, INT32_MAX, &limit); /* 0 is refused */
        return set_limit(letters, limit, answer);
    }
    /* The table of routes knows no other than `payload`. */
    letters->payload = strcmp(text, "true") == 0;
    if (!letters->payload && strcmp(text, "false") != 0) {
        answer_malformed(answer, name, "write true or false");
        return false;
    }
    return true;
}

static bool refuse_member(const char *name, struct answer *answer)
{
    struct nearest nearest;
    nearest_init(&nearest, name);
    for (size_t i = 0; deadletter_selectors[i] != NULL; i++) {
        nearest_offer(&nearest, deadletter_selectors[i]);
    }
    for (size_t i = 0; i < 3; i++) { /* of a query alone is the last */
        nearest_offer(&nearest, other_members[i]);
    }
    char hint[64] = "docs/api.md lists the members";
    if (nearest.best != NULL) {
        (void)snprintf(hint, sizeof(hint), "did you mean \"%.40s\"?", nearest.best);
    }
    answer_refusal(answer, 400, "UNKNOWN_MEMBER", hint, "unknown member \"%.64s\"", name);
    return false;
}

static bool set_member(struct letters_request *letters, const char *name, const json_t *value,
                       struct answer *answer)
{
    bool known = false;
    if (strcmp(name, "limit") == 0) {
        return set_limit(letters, json_is_integer(value) ? json_integer_value(value) : 0, answer);
    }
    if (strcmp(name, "dry_run") == 0) {
        letters->dry_run = json_is_true(value);
        if (!json_is_boolean(value)) {
            answer_malformed(answer, name, "write true or false");
        }
        return json_is_boolean(value);
    }
    if (strcmp(name, "after") == 0 && json_is_integer(value)) {
        letters->filter.after_number = json_integer_value(value);
        if (letters->filter.after_number < 0) {
            answer_malformed(answer, name, "write the number of a dead letter");
        }
        return letters->filter.after_number >= 0;
    }
    const char *text = json_string_value(value);
    if (strcmp(name, "confirm") == 0 && text != NULL) {
        letters->confirm = text;
        return true;
    }
    if (!set_text(letters, name, text == NULL ? "" : text, &known, answer)) {
        return false; /* no selector takes an empty text */
    }
    return known || refuse_member(name, answer);
}

static bool read_query(const struct request *request, struct letters_request *letters,
                       struct answer *answer)
{
    *letters = (struct letters_request){.limit = LIMIT_DEFAULT};
    for (size_t i = 0; i < request->query_count; i++) {
        if (!set_query(letters, request->query[i].key, request->query[i].value, answer)) {
            return false;
        }
    }
    return check_names(request->setup->settings, &letters->filter, answer);
}

/* The caller drops letters->body, on failure too. An empty body selects everything. */
static bool read_body(const struct request *request, struct letters_request *letters,
                      struct answer *answer)
{
    json_error_t fault;
    *letters = (struct letters_request){.limit = LIMIT_DEFAULT};
    letters->body = request->body_size == 0 ? json_object()
                                            : json_loadb(request->body, request->body_size,
                                                         JSON_REJECT_DUPLICATES, &fault);
    if (!json_is_object(letters->body)) {
        answer_refusal(answer, 400, "BAD_REQUEST", "send {\"pipeline\": \"...\", ...}",
                       "body is not a JSON object");
        return false;
    }
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach(letters->body, name, value)
    {
        if (!set_member(letters, name, value, answer)) {
            return false;
        }
    }
    return check_names(request->setup->settings, &letters->filter, answer);
}

/* ---- handlers ---- */

static void answer_result(struct answer *answer, enum fan_status status, json_t *value,
                          const struct fan_error *error)
{
    if (status == FAN_OK) {
        answer_json(answer, 200, value);
    } else {
        answer_failure(answer, error);
    }
}

void handle_letters(const struct request *request, struct answer *answer)
{
    struct letters_request letters;
    struct fan_error error = {0};
    json_t *value = NULL;
    if (read_query(request, &letters, answer)) {
        const struct letter_access access = letter_access_engine(request->setup->engine);
        enum fan_status status = letters_list(&access, &letters.filter, (uint64_t)letters.limit,
                                              letters.payload, &value, &error);
        answer_result(answer, status, value, &error);
    }
}

void handle_letters_count(const struct request *request, struct answer *answer)
{
    struct letters_request letters;
    struct fan_error error = {0};
    json_t *value = NULL;
    if (read_query(request, &letters, answer)) {
        const struct letter_access access = letter_access_engine(request->setup->engine);
        enum fan_status status = letters_count(&access, &letters.filter, &value, &error);
        answer_result(answer, status, value, &error);
    }
}

void handle_letter(const struct request *request, struct answer *answer)
{
    struct fan_error error = {0};
    int64_t number = 0;
    json_t *value = NULL;
    bool whole = false;
    if (!deadletter_number_parse(request->name, INT64_MAX, &number)) {
        answer_malformed(answer, request->name, "a dead letter has a number");
        return;
    }
    for (size_t i = 0; i < request->query_count; i++) {
        whole = strcmp(request->query[i].value, "true") == 0;
        if (!whole && strcmp(request->query[i].value, "false") != 0) {
            answer_malformed(answer, request->query[i].key, "write true or false");
            return;
        }
    }
    const struct letter_access access = letter_access_engine(request->setup->engine);
    enum fan_status status =
        letters_show(&access, number, whole ? SIZE_MAX : LETTER_SHOWN_BYTES, &value, &error);
    answer_result(answer, status, value, &error);
}

static void replay(const struct request *request, const struct letters_request *letters,
                   struct answer *answer)
{
    struct replay_result result = {0};
    struct fan_error error = {0};
    if (engine_replay(request->setup->engine, &letters->filter, (uint64_t)letters->limit, &result,
                      &error) != FAN_OK) {
        answer_failure(answer, &error);
        return;
    }
    json_t *object = json_object();
    json_put_count(object, "succeeded", result.succeeded);
    json_put_count(object, "failed", result.failed);
    json_put_bool(object, "stopped", result.stopped);
    json_put_text(object, "why", result.stopped ? result.why : NULL);
    json_put(object, "after",
             result.last_number == 0 ? json_null() : json_integer(result.last_number));
    answer_json(answer, 200, object);
}

static void answer_dry_run(const struct request *request, const struct letters_request *letters,
                           struct answer *answer)
{
    const struct letter_access access = letter_access_engine(request->setup->engine);
    struct fan_error error = {0};
    json_t *value = NULL;
    enum fan_status status = letters_count(&access, &letters->filter, &value, &error);
    json_put_bool(value, "dry_run", true);
    answer_result(answer, status, value, &error);
}

void handle_letters_replay(const struct request *request, struct answer *answer)
{
    struct letters_request letters;
    if (read_body(request, &letters, answer)) {
        if (letters.confirm != NULL) {
            (void)refuse_member("confirm", answer); /* a replay loses nothing */
        } else if (letters.dry_run) {
            answer_dry_run(request, &letters, answer);
        } else {
            replay(request, &letters, answer);
        }
    }
    json_decref(letters.body);
}

/* The word must name what is given up. */
static bool check_confirmed(const struct letters_request *letters, struct answer *answer)
{
    const char *wanted = letters->filter.pipeline == NULL ? "all" : letters->filter.pipeline;
    if (letters->confirm != NULL && strcmp(letters->confirm, wanted) == 0) {
        return true;
    }
    char hint[128];
    (void)snprintf(hint, sizeof(hint), "add \"confirm\": \"%.63s\"", wanted); /* fits */
    answer_refusal(answer, 400, "NOT_CONFIRMED", hint,
                   "what is purged can never be delivered: it must be confirmed");
    return false;
}

static void purge(const struct request *request, const struct letters_request *letters,
                  struct answer *answer)
{
    const struct letter_access access = letter_access_engine(request->setup->engine);
    struct fan_error error = {0};
    json_t *value = NULL;
    enum fan_status status =
        letters_purge(&access, &letters->filter, (uint64_t)letters->limit, &value, &error);
    engine_letters_removed(request->setup->engine); /* some may be gone although it failed */
    if (status == FAN_OK) {
        log_write(LOG_WARN, "dead letters purged", LOG_TEXT("confirmed", letters->confirm),
                  LOG_NUMBER("letters", json_integer_value(json_object_get(value, "purged"))));
    }
    answer_result(answer, status, value, &error);
}

void handle_letters_purge(const struct request *request, struct answer *answer)
{
    struct letters_request letters;
    if (read_body(request, &letters, answer)) {
        if (letters.dry_run) {
            answer_dry_run(request, &letters, answer);
        } else if (check_confirmed(&letters, answer)) {
            purge(request, &letters, answer);
        }
    }
    json_decref(letters.body);
}
