#include "targets/nats/nats_target.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "targets/clerk.h"
#include "targets/nats/session.h"

struct nats_target {
    struct target base;
    const struct nats_options *options; /* borrowed */
    struct target_context context;
    struct redactor redactor;
    struct subjects subjects;
    struct clerk clerk;
    struct session session; /* the clerk's while it runs */
};

static struct nats_target *nats_of(struct target *target)
{
    return (struct nats_target *)target;
}

/* ---- answers ---- */

static bool has_poison(const struct publication *publication)
{
    return memchr(publication->fates, PUBLISH_POISON, publication->batch->events_count) != NULL;
}

/* Names every event that is not taken. False: out of memory. */
static bool name_failed(const struct publication *publication, struct answer *answer)
{
    const size_t count = publication->batch->events_count;
    struct verdict *failed = calloc(count, sizeof(*failed));
    size_t named = 0;
    if (failed == NULL) {
        return false;
    }
    for (size_t event = 0; event < count; event++) {
        if (publication->fates[event] != PUBLISH_TAKEN) {
            struct verdict *verdict = &failed[named++];
            verdict->event = (uint32_t)event;
            verdict->poison = publication->fates[event] == PUBLISH_POISON;
            bool unsent = !verdict->poison && publication->status == FAN_POISON;
            (void)snprintf(verdict->text, sizeof(verdict->text), "%.95s", /* cut if long */
                           unsent ? "not sent, because an event before it was not taken"
                                  : publication->error.text);
        }
    }
    answer->failed = failed;
    answer->failed_count = named;
    return true;
}

static void compose(const struct publication *publication, struct answer *answer)
{
    const size_t count = publication->batch->events_count;
    bool whole = publication->taken == 0 && (count == 1 || !has_poison(publication));
    answer->error = publication->error;
    answer->status = publication->status;
    if (publication->status != FAN_OK && !whole) {
        answer->status = name_failed(publication, answer) ? FAN_OK : FAN_RETRY;
    }
}

static bool nats_serve(void *context, const struct batch *batch, int64_t deadline_us,
                       struct answer *answer)
{
    struct nats_target *nats = context;
    FAN_CLEANUP(fan_free_p) uint8_t *fates = calloc(batch->events_count, 1);
    if (fates == NULL) {
        answer->status =
            fan_fail(&answer->error, FAN_RETRY, "could not publish a batch: out of memory");
        return true;
    }
    int64_t until_us = clock_monotonic_us() + nats->options->timeout_us;
    struct publication publication = {.batch = batch, .fates = fates, .status = FAN_OK};
    if (session_publish(&nats->session, &publication,
                        until_us < deadline_us ? until_us : deadline_us) != FAN_OK) {
        return false;
    }
    compose(&publication, answer);
    return true;
}

/* ---- the verbs ---- */

static void nats_destroy(struct target *target)
{
    struct nats_target *nats = nats_of(target);
    if (nats == NULL) {
        return;
    }
    session_release(&nats->session);
    clerk_release(&nats->clerk);
    subjects_release(&nats->subjects);
    redactor_release(&nats->redactor);
    free(nats);
}

static enum fan_status make_parts(struct nats_target *nats, struct fan_error *reterr)
{
    const struct nats_options *options = nats->options;
    const char *key;
    enum fan_status status =
        clerk_init(&nats->clerk, "nats", &nats->context, nats_serve, nats, reterr);
    if (status != FAN_OK) {
        return status;
    }
    if (!redactor_add(&nats->redactor, secret_reveal(&options->password)) ||
        !redactor_add(&nats->redactor, secret_reveal(&options->token))) {
        return fan_fail(reterr, FAN_RETRY, "could not make target \"%s\": out of memory",
                        nats->context.target);
    }
    const char *fault =
        subjects_parse(options->subject, options->subject_other, &nats->subjects, &key);
    if (fault != NULL) {
        return fan_fail(reterr, FAN_FATAL, "cannot use target \"%s\": %s", nats->context.target,
                        fault);
    }
    nats->session.options = options;
    nats->session.encode = nats->context.encode;
    nats->session.subjects = &nats->subjects;
    nats->session.redactor = &nats->redactor;
    nats->session.clerk = &nats->clerk;
    nats->session.format = nats->context.format;
    return FAN_OK;
}

static enum fan_status nats_create(const void *options, const struct target_context *context,
                                   struct target **ret_target, struct fan_error *reterr)
{
    struct nats_target *nats = calloc(1, sizeof(*nats));
    if (nats == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not make target \"%s\": out of memory",
                        context->target);
    }
    nats->base.type = &nats_target_type;
    nats->options = options;
    nats->context = *context;
    session_init(&nats->session);
    enum fan_status status = make_parts(nats, reterr);
    if (status != FAN_OK) {
        nats_destroy(&nats->base);
        return status;
    }
    *ret_target = &nats->base;
    return FAN_OK;
}

static void nats_stop(struct target *target)
{
    struct nats_target *nats = nats_of(target);
    clerk_stop(&nats->clerk);
    session_close(&nats->session);
    errand_drop(nats->session.dialling);
    nats->session.dialling = NULL;
}

/* The library would say so too, but only when it connects, and not which one. */
static enum fan_status check_file(const char *path, struct fan_error *reterr)
{
    if (path == NULL || access(path, R_OK) == 0) {
        return FAN_OK;
    }
    (void)fan_fail_errno(reterr, FAN_FATAL, errno, "cannot read \"%.400s\"", path);
    fan_error_annotate(reterr, "NATS_CERTIFICATE",
                       "check credentials, ca, client_cert and client_key");
    return FAN_FATAL;
}

static enum fan_status nats_start(struct target *target, const struct target_checkpoint *checkpoint,
                                  struct fan_error *reterr)
{
    struct nats_target *nats = nats_of(target);
    const struct nats_options *options = nats->options;
    const char *const files[] = {options->credentials, options->ca, options->client_cert,
                                 options->client_key};
    (void)
        checkpoint; /* what was published cannot be taken back: streams know events by their ids */
    nats_stop(target);
    for (size_t at = 0; at < sizeof(files) / sizeof(files[0]); at++) {
        enum fan_status status = check_file(files[at], reterr);
        if (status != FAN_OK) {
            return status;
        }
    }
    return clerk_start(&nats->clerk, reterr);
}

static enum fan_status nats_request(struct target *target, struct batch *batch,
                                    struct answer *answer, int64_t now_us, struct fan_error *reterr)
{
    (void)reterr; /* every failure is an answer */
    return clerk_request(&nats_of(target)->clerk, batch, answer, now_us);
}

static int64_t nats_tick(struct target *target, int64_t now_us)
{
    (void)target; /* the clerk's thread keeps time */
    (void)now_us;
    return INT64_MAX;
}

static const char *nats_marks_fault(const void *section, const char *format)
{
    (void)section; /* of no target of this type, in no envelope */
    (void)format;
    return "it publishes each event alone";
}

const struct target_type nats_target_type = {
    .name = "nats",
    .table = &nats_options_table,
    .create = nats_create,
    .start = nats_start,
    .request = nats_request,
    .tick = nats_tick,
    .stop = nats_stop,
    .destroy = nats_destroy,
    .labels = true,
    .octets = true,
    .marks_fault = nats_marks_fault,
};
