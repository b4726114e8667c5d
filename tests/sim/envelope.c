/*
 * envelope.c - the envelope native, but that now and then an event needs something that is not known
 * yet, as the number of a schema is: the encoder says so a few times, and then writes it.
 *
 * It stands before the registry of the product's envelopes.
 */
#include <stdlib.h>
#include <string.h>

#include "encode/native.h"
#include "tests/sim/world.h"

enum { WAITS_ONE_IN = 200, ASKS_MAX = 4 };

struct waiting_encoder {
    struct encoder base;
    struct encoder *native; /* owned */
    uint64_t asks;          /* how often the next event is still asked for in vain */
    bool asked;             /* the next event was waited for */
};

static enum fan_status waiting_create(const struct encode_settings *settings,
                                      const struct encode_context *context,
                                      struct encoder **ret_encoder, struct fan_error *reterr);
static enum fan_status waiting_encode(struct encoder *encoder, const struct change *change,
                                      struct bytes *out, struct fan_error *reterr);
static enum fan_status waiting_mark(struct encoder *encoder, enum txn_mark mark,
                                    const struct change *change, struct bytes *out,
                                    struct fan_error *reterr);
static void waiting_destroy(struct encoder *encoder);

static const struct encoder_type waiting_type = {
    .name = "native",
    .create = waiting_create,
    .encode = waiting_encode,
    .mark = waiting_mark,
    .destroy = waiting_destroy,
};

const struct encoder_type *const encoder_types[] = {&waiting_type, NULL};

const struct encoder_type *encoder_type_find(const char *name)
{
    return strcmp(name, waiting_type.name) == 0 ? &waiting_type : NULL;
}

static enum fan_status waiting_create(const struct encode_settings *settings,
                                      const struct encode_context *context,
                                      struct encoder **ret_encoder, struct fan_error *reterr)
{
    struct waiting_encoder *waiting = calloc(1, sizeof(*waiting));
    if (waiting == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not make an encoder: out of memory");
    }
    waiting->base.type = &waiting_type;
    enum fan_status status = native_encoder.create(settings, context, &waiting->native, reterr);
    if (status != FAN_OK) {
        free(waiting);
        return status;
    }
    *ret_encoder = &waiting->base;
    return FAN_OK;
}

static enum fan_status waiting_encode(struct encoder *encoder, const struct change *change,
                                      struct bytes *out, struct fan_error *reterr)
{
    struct waiting_encoder *waiting = (struct waiting_encoder *)encoder;
    if (!waiting->asked && world_mishap(sim_world, WAITS_ONE_IN)) {
        waiting->asked = true;
        waiting->asks = 1 + rng_below(&sim_world->rng, ASKS_MAX);
        world_note(sim_world, "waits to be encoded", change->position.commit_lsn.value,
                   (uint64_t)change->position.seq, waiting->asks);
    }
    if (waiting->asks > 0) {
        waiting->asks--;
        return fan_fail(reterr, FAN_AGAIN, "not known yet");
    }
    waiting->asked = false;
    return native_encoder.encode(waiting->native, change, out, reterr);
}

static enum fan_status waiting_mark(struct encoder *encoder, enum txn_mark mark,
                                    const struct change *change, struct bytes *out,
                                    struct fan_error *reterr)
{
    struct waiting_encoder *waiting = (struct waiting_encoder *)encoder;
    return native_encoder.mark(waiting->native, mark, change, out, reterr);
}

static void waiting_destroy(struct encoder *encoder)
{
    struct waiting_encoder *waiting = (struct waiting_encoder *)encoder;
    if (waiting != NULL) {
        native_encoder.destroy(waiting->native);
        free(waiting);
    }
}
