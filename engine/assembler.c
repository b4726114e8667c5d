#include "engine/assembler.h"

#include "base/assert.h"

enum { SPARE_BATCHES_MAX = 4, SPARE_BYTES_MAX = 4 << 20 };

enum fan_status assembler_init(struct assembler *assembler, struct assembler_limits limits,
                               const struct encode_settings *formats, size_t formats_count,
                               bool labelled, const struct encode_context *context,
                               struct fan_error *reterr)
{
    FAN_ASSERT(formats_count <= BATCH_FORMATS_MAX);
    *assembler =
        (struct assembler){.limits = limits, .formats_count = formats_count, .context = context};
    assembler->pool =
        batch_pool_create(formats_count, labelled, SPARE_BATCHES_MAX, SPARE_BYTES_MAX);
    if (assembler->pool == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not allocate batches: out of memory");
    }
    for (size_t format = 0; format < formats_count; format++) {
        assembler->formats[format] = formats[format];
    }
    label_writer_init(&assembler->labels);
    return FAN_OK;
}

static enum fan_status encoder_create(const struct assembler *assembler, size_t format,
                                      bool lenient, struct encoder **ret_encoder,
                                      struct fan_error *reterr)
{
    struct encode_settings settings = assembler->formats[format];
    if (*ret_encoder != NULL) {
        return FAN_OK;
    }
    settings.special_values = lenient ? SPECIAL_STRING : settings.special_values;
    settings.lenient = lenient;
    return settings.type->create(&settings, assembler->context, ret_encoder, reterr);
}

static enum fan_status encoders_create(struct assembler *assembler, struct fan_error *reterr)
{
    enum fan_status status = FAN_OK;
    for (size_t format = 0; format < assembler->formats_count && status == FAN_OK; format++) {
        status = encoder_create(assembler, format, false, &assembler->encoders[format], reterr);
    }
    return status;
}

void assembler_release(struct assembler *assembler)
{
    assembler_reset(assembler);
    for (size_t format = 0; format < assembler->formats_count; format++) {
        const struct encoder_type *type = assembler->formats[format].type;
        type->destroy(assembler->encoders[format]);
        type->destroy(assembler->substitutes[format]);
    }
    label_writer_release(&assembler->labels);
    batch_pool_destroy(assembler->pool);
    *assembler = (struct assembler){0};
}

void assembler_reset(struct assembler *assembler)
{
    batch_unref(assembler->open);
    assembler->open = NULL;
    assembler->whole = 0;
    assembler->continuing = false;
    assembler->txn_open = false;
    assembler->begun = LSN_NONE;
}

static size_t batch_largest(const struct batch *batch)
{
    size_t largest = 0;
    for (size_t format = 0; format < batch->formats_count; format++) {
        size_t size = batch->encoded[format].bytes.size;
        largest = size > largest ? size : largest;
    }
    return largest;
}

/* Writes the event that its format has refused, in words that it does not have for itself. */
static enum fan_status encode_substitute(struct assembler *assembler, struct batch *batch,
                                         size_t format, const struct change *change,
                                         const struct fan_error *refusal, struct fan_error *reterr)
{
    enum fan_status status =
        encoder_create(assembler, format, true, &assembler->substitutes[format], reterr);
    if (status == FAN_OK) {
        struct encoder *encoder = assembler->substitutes[format];
        status = encoder->type->encode(encoder, change, &batch->encoded[format].bytes, reterr);
    }
    if (status == FAN_OK && !batch_refuse(batch, batch->events_count, format, refusal)) {
        status = fan_fail(reterr, FAN_RETRY, "could not encode an event: out of memory");
    }
    return status;
}

/* Whether the change belongs to a transaction that others share; neither gaps nor messages on their own do. */
static bool is_in_txn(const struct change *change)
{
    return change->op != CHANGE_GAP && change->position.seq >= 0;
}

static bool begins_txn(const struct assembler *assembler, const struct change *change)
{
    uint64_t lsn = change->position.commit_lsn.value;
    bool goes_on = assembler->txn_open && assembler->txn.position.commit_lsn.value == lsn;
    return is_in_txn(change) && !goes_on && assembler->begun.value != lsn;
}

/* Records are told apart by their own framing, lines by what stands between them. */
static void separate(const struct assembler *assembler, size_t format, struct bytes *out)
{
    if (!assembler->formats[format].records) {
        bytes_append_char(out, '\n');
    }
}

static enum fan_status encode_event(struct assembler *assembler, struct batch *batch, size_t format,
                                    const struct change *change, struct fan_error *reterr)
{
    struct bytes *out = &batch->encoded[format].bytes;
    struct encoder *encoder = assembler->encoders[format];
    bool marks = assembler->formats[format].transactions && is_in_txn(change);
    struct fan_error error;
    enum fan_status status = FAN_OK;
    if (marks && begins_txn(assembler, change)) {
        status = encoder->type->mark(encoder, TXN_MARK_BEGIN, change, out, reterr);
        separate(assembler, format, out);
    }
    if (status != FAN_OK) {
        return status;
    }
    status = encoder->type->encode(encoder, change, out, &error);
    if (status == FAN_POISON) {
        status = encode_substitute(assembler, batch, format, change, &error, reterr);
    } else if (status != FAN_OK && reterr != NULL) {
        *reterr = error;
    }
    if (marks && change->txn_end && status == FAN_OK) {
        separate(assembler, format, out);
        status = encoder->type->mark(encoder, TXN_MARK_COMMIT, change, out, reterr);
    }
    return status;
}

/* Writes one format of the event, or its label. */
static enum fan_status encode_one(struct assembler *assembler, struct batch *batch, size_t format,
                                  const struct change *change, struct fan_error *reterr)
{
    struct encoded *encoded = &batch->encoded[format];
    enum fan_status status = FAN_OK;
    if (format < assembler->formats_count) {
        status = encode_event(assembler, batch, format, change, reterr);
    } else if (!label_write(&assembler->labels, change, &encoded->bytes)) {
        status = fan_fail(reterr, FAN_RETRY, "could not label an event: out of memory");
    }
    size_t end = encoded->bytes.size;
    if (status == FAN_OK) {
        bytes_append_char(&encoded->bytes, '\n');
        encoded->ends[batch->events_count] = (uint32_t)end;
        if (!bytes_ok(&encoded->bytes)) {
            status = fan_fail(reterr, FAN_RETRY, "could not encode an event: out of memory");
        }
    }
    return status;
}

/* Encodes into every format; on failure no format has anything of the event. */
static enum fan_status encode_all(struct assembler *assembler, struct batch *batch,
                                  const struct change *change, struct fan_error *reterr)
{
    size_t index = batch->events_count;
    for (size_t format = 0; format < batch->formats_count; format++) {
        enum fan_status status = encode_one(assembler, batch, format, change, reterr);
        if (status != FAN_OK) {
            assembler->again_format = format;
            for (size_t undo = 0; undo <= format; undo++) {
                size_t start = index == 0 ? 0 : (size_t)batch->encoded[undo].ends[index - 1] + 1;
                bytes_truncate(&batch->encoded[undo].bytes, start);
            }
            batch_refusals_cut(batch, index);
            return status;
        }
    }
    return FAN_OK;
}

static void event_add(struct batch *batch, const struct change *change)
{
    uint64_t gap_count = change->gap != NULL ? change->gap->count : 0;
    batch->events[batch->events_count++] = (struct batch_event){
        .position = change->position,
        .hold_lsn = change->hold_lsn,
        .commit_time_us = change->commit_time_us,
        .gap_first = change->gap != NULL ? change->gap->first : POSITION_NONE,
        .gap_count = gap_count < UINT32_MAX ? (uint32_t)gap_count : UINT32_MAX,
        .op = change->op,
        .txn_end = change->txn_end,
    };
}

enum fan_status assembler_marker(struct assembler *assembler, const struct change_gap *gap,
                                 struct batch **ret_batch, struct fan_error *reterr)
{
    struct change_gap range = *gap;
    const struct change change = {.op = CHANGE_GAP,
                                  .position = gap->last,
                                  .hold_lsn = gap->last.commit_lsn,
                                  .txn_end = true,
                                  .gap = &range};
    enum fan_status status = encoders_create(assembler, reterr);
    if (status != FAN_OK) {
        return status;
    }
    struct batch *batch = batch_pool_take(assembler->pool);
    if (batch == NULL || !batch_reserve_event(batch)) {
        batch_unref(batch);
        return fan_fail(reterr, FAN_RETRY, "could not write the marker of a gap: out of memory");
    }
    status = encode_all(assembler, batch, &change, reterr);
    if (status != FAN_OK) {
        batch_unref(batch);
        return status;
    }
    event_add(batch, &change);
    *ret_batch = batch;
    return FAN_OK;
}

enum fan_status assembler_add(struct assembler *assembler, struct change *change, int64_t now_us,
                              struct fan_error *reterr)
{
    if (assembler->open == NULL) {
        enum fan_status made = encoders_create(assembler, reterr);
        if (made != FAN_OK) {
            return made;
        }
        assembler->open = batch_pool_take(assembler->pool);
        assembler->whole = 0;
        assembler->whole_before = 0;
    }
    struct batch *open = assembler->open;
    if (is_in_txn(change) && assembler->begun.value == change->position.commit_lsn.value &&
        open != NULL && open->events_count == 0) {
        assembler->continuing = assembler->limits.respect_source_tx;
    }
    if (open != NULL && open->events_count > 0 &&
        open->events[open->events_count - 1].position.commit_lsn.value !=
            change->position.commit_lsn.value) {
        enum fan_status ended = assembler_end_txn(assembler, reterr); /* nobody knew before */
        if (ended != FAN_OK) {
            return ended;
        }
    }
    if (open == NULL || !batch_reserve_event(open)) {
        return fan_fail(reterr, FAN_RETRY, "could not extend a batch: out of memory");
    }
    enum fan_status status = encode_all(assembler, open, change, reterr);
    if (status != FAN_OK) {
        return status;
    }
    if (open->events_count == 0) {
        assembler->opened_us = now_us;
    }
    event_add(open, change);
    assembler->txn = *change;
    assembler->txn.message = NULL;
    assembler->txn_open = is_in_txn(change) && !change->txn_end;
    assembler->whole_before = assembler->whole;
    if (change->txn_end) {
        assembler->whole = open->events_count;
    }
    change_release(change);
    return FAN_OK;
}

/* Writes the commit mark behind the last event's bytes, which end the buffer but for a separator. */
static enum fan_status mark_behind(const struct assembler *assembler, size_t format,
                                   struct encoded *encoded, struct fan_error *reterr)
{
    struct encoder *encoder = assembler->encoders[format];
    struct bytes *out = &encoded->bytes;
    bytes_truncate(out, encoded->ends[assembler->open->events_count - 1]);
    separate(assembler, format, out);
    enum fan_status status =
        encoder->type->mark(encoder, TXN_MARK_COMMIT, &assembler->txn, out, reterr);
    bytes_append_char(out, '\n');
    return status != FAN_OK || bytes_ok(out)
               ? status
               : fan_fail(reterr, FAN_RETRY, "could not mark a transaction: out of memory");
}

/* Puts the commit mark behind the last event, in the formats that have marks; all of them or none. */
static enum fan_status mark_commit(struct assembler *assembler, struct fan_error *reterr)
{
    struct batch *open = assembler->open;
    size_t last = open->events_count - 1;
    enum fan_status status = FAN_OK;
    for (size_t format = 0; format < assembler->formats_count && status == FAN_OK; format++) {
        if (assembler->formats[format].transactions) {
            status = mark_behind(assembler, format, &open->encoded[format], reterr);
            assembler->again_format = format;
        }
    }
    for (size_t format = 0; format < assembler->formats_count; format++) {
        struct encoded *encoded = &open->encoded[format];
        if (status == FAN_OK) {
            encoded->ends[last] = (uint32_t)encoded->bytes.size - 1;
        } else {
            bytes_truncate(&encoded->bytes, encoded->ends[last]);
            bytes_append_char(&encoded->bytes, '\n'); /* it has room: there was one before */
        }
    }
    assembler->txn_open = status != FAN_OK;
    return status;
}

enum fan_status assembler_end_txn(struct assembler *assembler, struct fan_error *reterr)
{
    struct batch *open = assembler->open;
    if (open == NULL || open->events_count == 0) {
        return FAN_OK;
    }
    enum fan_status status = assembler->txn_open ? mark_commit(assembler, reterr) : FAN_OK;
    if (status == FAN_OK) {
        open->events[open->events_count - 1].txn_end = true;
        assembler->whole = open->events_count;
    }
    return status;
}

bool assembler_full(const struct assembler *assembler)
{
    const struct batch *open = assembler->open;
    if (open == NULL || open->events_count == 0) {
        return false;
    }
    if (batch_largest(open) > assembler->limits.max_bytes) {
        /* A single event waits for the next one or its commit: only then its part is known. */
        return open->events_count > 1 || assembler->whole > 0 ||
               !assembler->limits.respect_source_tx;
    }
    if (!assembler->limits.respect_source_tx) {
        return open->events_count >= assembler->limits.max_events;
    }
    if (assembler->continuing) {
        return assembler->whole > 0; /* its batches hold nothing of other transactions */
    }
    return open->events_count >= assembler->limits.max_events && assembler->whole > 0;
}

/* How many events the next batch gets, and why; 0: none can be cut. */
static size_t cut_length(const struct assembler *assembler, enum cut_reason reason, int64_t now_us,
                         enum batch_limit *ret_limit)
{
    const struct batch *open = assembler->open;
    size_t count = open->events_count;
    bool respect = assembler->limits.respect_source_tx;
    if (batch_largest(open) > assembler->limits.max_bytes) {
        *ret_limit = BATCH_LIMIT_BYTES;
        if (count == 1) {
            return respect ? assembler->whole : 1;
        }
        /* The last event is the one too many, and its transaction goes with it if it can. */
        size_t boundary = assembler->whole < count ? assembler->whole : assembler->whole_before;
        return respect && boundary > 0 ? boundary : count - 1;
    }
    size_t ready = respect ? assembler->whole : count;
    if (assembler->continuing && assembler->whole_before > 0) {
        ready = assembler->whole_before; /* the last event is of another transaction */
    }
    if (assembler_full(assembler)) {
        *ret_limit = assembler->continuing ? BATCH_LIMIT_BYTES : BATCH_LIMIT_EVENTS;
        return ready;
    }
    if (reason == CUT_NOW) {
        *ret_limit = BATCH_LIMIT_IDLE;
        return ready;
    }
    if (reason == CUT_IF_DUE && now_us >= assembler_due_us(assembler)) {
        *ret_limit = BATCH_LIMIT_TIMER;
        return ready;
    }
    return 0;
}

/* Marks the batch as a part of a transaction where it is one, and notes whether one goes on. */
static void mark_part(struct assembler *assembler, struct batch *batch)
{
    bool ends = batch->events[batch->events_count - 1].txn_end;
    if (!assembler->limits.respect_source_tx) {
        return;
    }
    if (assembler->continuing) {
        batch->part = ends ? TXN_LAST : TXN_MIDDLE;
    } else {
        batch->part = ends ? TXN_WHOLE : TXN_FIRST;
    }
    assembler->continuing = !ends;
}

struct batch *assembler_cut(struct assembler *assembler, enum cut_reason reason, int64_t now_us)
{
    struct batch *batch = assembler->open;
    assembler->starved = false;
    if (batch == NULL || batch->events_count == 0) {
        return NULL;
    }
    enum batch_limit limit = BATCH_LIMIT_IDLE;
    size_t length = cut_length(assembler, reason, now_us, &limit);
    if (length == 0) {
        return NULL;
    }
    struct batch *rest = NULL;
    if (length < batch->events_count) {
        rest = batch_pool_take(assembler->pool);
        if (rest == NULL || batch_split(batch, length, rest) != FAN_OK) {
            batch_unref(rest);
            assembler->starved = true;
            return NULL;
        }
    }
    assembler->open = rest;
    assembler->whole = assembler->whole > length ? assembler->whole - length : 0;
    assembler->whole_before = 0;
    assembler->opened_us = now_us;
    batch->sequence = ++assembler->sequence;
    batch->limit = limit;
    mark_part(assembler, batch);
    return batch;
}

int64_t assembler_due_us(const struct assembler *assembler)
{
    bool any = assembler->open != NULL && assembler->open->events_count > 0;
    return any ? assembler->opened_us + assembler->limits.max_us : INT64_MAX;
}

const struct batch_event *assembler_oldest(const struct assembler *assembler)
{
    return assembler_open_events(assembler) > 0 ? &assembler->open->events[0] : NULL;
}

size_t assembler_open_events(const struct assembler *assembler)
{
    return assembler->open == NULL ? 0 : assembler->open->events_count;
}
