#include "targets/kafka/records.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "encode/cloudevents.h"
#include "encode/id.h"
#include "encode/record.h"
#include "model/change.h"

enum {
    TEXT_MAX = 1 << 30,
    TOPIC_TEXT_MAX = 1024,
    RECORD_OVERHEAD = 128, /* what the protocol adds to a record, about, beside its headers */
};

/* ---- rules ---- */

static enum fan_status template_init(struct event_template *template, const char *text,
                                     unsigned names, struct fan_error *reterr)
{
    enum event_template_fault fault = event_template_parse(text, strlen(text), names, template);
    FAN_ASSERT(fault == EVENT_TEMPLATE_FINE || fault == EVENT_TEMPLATE_NO_MEMORY); /* options.c */
    return fault == EVENT_TEMPLATE_FINE
               ? FAN_OK
               : fan_fail(reterr, FAN_RETRY, "could not make a Kafka target: out of memory");
}

/* Debezium's name for it, unless the conf has one. */
static enum fan_status name_topic_marks(struct record_rules *rules,
                                        const struct target_context *context,
                                        struct fan_error *reterr)
{
    const char *prefix = context->encoding->debezium.topic_prefix;
    const char *name = rules->options->topic_transactions;
    struct bytes text;
    bytes_init(&text, TOPIC_TEXT_MAX);
    bytes_append_text(&text, name != NULL ? name : prefix != NULL ? prefix : rules->encode->source);
    bytes_append_text(&text, name != NULL ? "" : ".transaction");
    bool valid = bytes_ok(&text) && kafka_topic_valid(bytes_text(&text));
    rules->topic_marks = valid ? strdup(bytes_text(&text)) : NULL;
    bytes_release(&text);
    if (!valid) {
        (void)fan_fail(reterr, FAN_FATAL,
                       "Kafka cannot have the topic for the marks of transactions of target \"%s\"",
                       context->target); /* below */
        fan_error_annotate(reterr, "KAFKA_TOPIC",
                           "set topic_transactions: a topic is letters, digits, `.`, `_` and `-`, "
                           "at most 249 of them");
        return FAN_FATAL;
    }
    return rules->topic_marks != NULL
               ? FAN_OK
               : fan_fail(reterr, FAN_RETRY, "could not make a Kafka target: out of memory");
}

enum fan_status record_rules_init(struct record_rules *rules, const struct kafka_options *options,
                                  const struct target_context *context, struct fan_error *reterr)
{
    bool is_cloud =
        context->encoding != NULL && context->encoding->type == encoder_type_find("cloudevents");
    *rules = (struct record_rules){
        .options = options,
        .encode = context->encode,
        .format = context->format,
        .records = context->records,
        .attributes = is_cloud && context->encoding->cloudevents_mode == CLOUDEVENTS_BINARY,
        .tombstones = options->tombstones == KAFKA_TOMBSTONES_YES ||
                      (options->tombstones == KAFKA_TOMBSTONES_AUTO && context->records),
    };
    if (is_cloud) {
        rules->content_type = rules->attributes ? CLOUDEVENTS_DATA_TYPE
                                                : "application/cloudevents+json; charset=UTF-8";
    }
    enum fan_status status =
        template_init(&rules->topic, options->topic, KAFKA_TOPIC_NAMES, reterr);
    if (status == FAN_OK && options->key != NULL) {
        status = template_init(&rules->key, options->key, KAFKA_NAMES, reterr);
    }
    for (size_t at = 0; at < options->headers.count && status == FAN_OK; at++) {
        status = template_init(&rules->headers[at], options->headers.pairs[at].value, KAFKA_NAMES,
                               reterr);
        rules->headers_count += status == FAN_OK;
    }
    if (status == FAN_OK && rules->records && context->encoding != NULL &&
        context->encoding->transactions) {
        status = name_topic_marks(rules, context, reterr);
    }
    return status;
}

void record_rules_release(struct record_rules *rules)
{
    free(rules->topic_marks);
    event_template_release(&rules->topic);
    event_template_release(&rules->key);
    for (size_t at = 0; at < rules->headers_count; at++) {
        event_template_release(&rules->headers[at]);
    }
    *rules = (struct record_rules){0};
}

/* ---- the list ---- */

void record_list_init(struct record_list *list)
{
    *list = (struct record_list){0};
    bytes_init(&list->text, TEXT_MAX);
}

void record_list_release(struct record_list *list)
{
    free(list->items);
    bytes_release(&list->text);
    *list = (struct record_list){0};
}

const uint8_t *records_part(const struct record_list *list, const struct record_part *part,
                            size_t *ret_size)
{
    *ret_size = part->none ? 0 : part->size;
    if (part->none) {
        return NULL;
    }
    return part->bytes != NULL ? part->bytes : list->text.data + part->place;
}

/* A size, and as many bytes. */
static const uint8_t *read_sized(const struct record_list *list, size_t *place, size_t *ret_size)
{
    uint32_t size;
    memcpy(&size, list->text.data + *place, sizeof(size));
    const uint8_t *bytes = list->text.data + *place + sizeof(size);
    *place += sizeof(size) + size;
    *ret_size = size;
    return bytes;
}

bool records_header(const struct record_list *list, const struct kafka_record *record,
                    size_t *place, struct record_header *ret_header)
{
    if (*place == record->headers_end) {
        return false;
    }
    ret_header->name = (const char *)read_sized(list, place, &ret_header->name_size);
    ret_header->value = read_sized(list, place, &ret_header->value_size);
    return true;
}

static enum fan_status out_of_memory(struct fan_error *reterr)
{
    return fan_fail(reterr, FAN_RETRY, "could not make records: out of memory");
}

static bool list_add(struct record_list *list, const struct kafka_record *record)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 256 : 2 * list->capacity;
        struct kafka_record *items = realloc(list->items, capacity * sizeof(*items));
        if (items == NULL) {
            return false;
        }
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = *record;
    return true;
}

/* ---- one event ---- */

/* An event on its way to become records. */
struct making {
    const struct record_rules *rules;
    const struct batch *batch;
    size_t event;
    struct batch_label label;
    struct event_subject subject;
    struct record_list *list;
    size_t topic;
    size_t headers;
    size_t headers_end;
    size_t last_topic;  /* of the event before; SIZE_MAX none */
    size_t marks_topic; /* SIZE_MAX: not in the text yet */
};

static enum fan_status missing(const struct event_piece *piece, const char *what,
                               struct fan_error *reterr)
{
    if (piece->name == EVENT_KEY_COLUMN) {
        (void)fan_fail(reterr, FAN_POISON,
                       "cannot make the %s: the key of the event has no value in column "
                       "\"%.100s\"",
                       what, piece->text); /* below */
    } else {
        (void)fan_fail(reterr, FAN_POISON, "cannot make the %s: the event has no %s", what,
                       event_name_text(piece->name)); /* below */
    }
    fan_error_annotate(reterr, "KAFKA_TEMPLATE",
                       "send such tables to a target whose templates do not need it");
    return FAN_POISON;
}

static enum fan_status make_topic(struct making *making, struct fan_error *reterr)
{
    const struct record_rules *rules = making->rules;
    struct bytes *text = &making->list->text;
    making->topic = text->size;
    if (making->label.table_size == 0) {
        bytes_append_text(text, rules->options->topic_other);
    } else {
        const struct event_piece *none =
            event_template_render(&rules->topic, &making->subject, NULL, text);
        if (none != NULL) {
            return missing(none, "topic", reterr);
        }
    }
    bytes_append_char(text, '\0');
    if (!bytes_ok(text)) {
        return out_of_memory(reterr);
    }
    const char *topic = (const char *)text->data + making->topic;
    if (making->last_topic != SIZE_MAX &&
        strcmp(topic, (const char *)text->data + making->last_topic) == 0) {
        bytes_truncate(text, making->topic);
        making->topic = making->last_topic;
    } else if (strlen(topic) + 1 != text->size - making->topic || !kafka_topic_valid(topic)) {
        (void)fan_fail(reterr, FAN_POISON, "Kafka cannot have a topic \"%.100s\"", topic);
        fan_error_annotate(reterr, "KAFKA_TOPIC",
                           "a topic is letters, digits, `.`, `_` and `-`, at most 249 of them");
        return FAN_POISON;
    }
    making->last_topic = making->topic;
    return FAN_OK;
}

/* Begins something sized; its size is written by end_sized(). */
static size_t begin_sized(struct bytes *text)
{
    static const uint32_t later = 0;
    size_t before = text->size;
    bytes_append(text, &later, sizeof(later));
    return before;
}

static void end_sized(struct bytes *text, size_t before)
{
    uint32_t size = (uint32_t)(text->size - before - sizeof(size));
    if (bytes_ok(text)) {
        memcpy(text->data + before, &size, sizeof(size));
    }
}

static void append_sized(struct bytes *text, const char *prefix, const char *bytes, size_t size)
{
    size_t before = begin_sized(text);
    bytes_append_text(text, prefix);
    bytes_append(text, bytes, size);
    end_sized(text, before);
}

static void append_id(const struct making *making, const char *name)
{
    char id[EVENT_ID_MAX];
    const struct batch_event *event = making->subject.event;
    size_t size =
        event_id_write(making->rules->encode, event->position, event->op == CHANGE_GAP, id);
    append_sized(&making->list->text, "", name, strlen(name));
    append_sized(&making->list->text, "", id, size);
}

/* What is about no row need not have every header. */
static const struct event_piece *append_header(struct making *making, const char *name,
                                               const struct event_template *template)
{
    struct bytes *text = &making->list->text;
    size_t before = text->size;
    append_sized(text, "", name, strlen(name));
    size_t value = begin_sized(text);
    const struct event_piece *none = event_template_render(template, &making->subject, NULL, text);
    end_sized(text, value);
    if (none != NULL && bytes_ok(text) && making->label.table_size == 0) {
        bytes_truncate(text, before);
        none = NULL;
    }
    return none;
}

/* As the Kafka protocol binding of CloudEvents names them. */
static void append_attributes(struct making *making)
{
    struct cloudevents_attributes attributes;
    struct bytes *text = &making->list->text;
    cloudevents_attributes(making->rules->encode, making->subject.event, &making->label,
                           &attributes);
    for (size_t at = 0; at < attributes.count; at++) {
        const struct cloudevents_attribute *attribute = &attributes.items[at];
        append_sized(text, "ce_", attribute->name, strlen(attribute->name));
        append_sized(text, "", attribute->value, attribute->value_size);
    }
}

static bool has_id_header(const struct kafka_options *options)
{
    return options->id_header != NULL && options->id_header[0] != '\0';
}

static enum fan_status make_headers(struct making *making, struct fan_error *reterr)
{
    const struct record_rules *rules = making->rules;
    const struct event_piece *none = NULL;
    struct bytes *text = &making->list->text;
    making->headers = text->size;
    if (has_id_header(rules->options)) {
        append_id(making, rules->options->id_header);
    }
    for (size_t at = 0; at < rules->headers_count && none == NULL; at++) {
        none = append_header(making, rules->options->headers.pairs[at].key, &rules->headers[at]);
    }
    if (rules->content_type != NULL) {
        append_sized(text, "", "content-type", strlen("content-type"));
        append_sized(text, "", rules->content_type, strlen(rules->content_type));
    }
    if (rules->attributes) {
        append_attributes(making);
    }
    making->headers_end = text->size;
    if (none != NULL) {
        return missing(none, "headers", reterr);
    }
    return bytes_ok(text) ? FAN_OK : out_of_memory(reterr);
}

static struct record_part part_of(const uint8_t *bytes, size_t size)
{
    return (struct record_part){.bytes = bytes, .size = size, .none = bytes == NULL};
}

/* The key of the conf's template, or the event's own as the label has it. */
static enum fan_status make_key(struct making *making, struct record_part *ret_key,
                                struct fan_error *reterr)
{
    const struct batch_label *label = &making->label;
    struct bytes *text = &making->list->text;
    if (making->rules->key.pieces_count == 0 && label->key_size > 0) {
        *ret_key = part_of((const uint8_t *)label->key, label->key_size);
        return FAN_OK;
    }
    struct record_part key = {.place = text->size};
    if (making->rules->key.pieces_count > 0) {
        const struct event_piece *none =
            event_template_render(&making->rules->key, &making->subject, NULL, text);
        if (none != NULL && label->table_size > 0) {
            return missing(none, "key", reterr);
        }
        key.none = none != NULL; /* markers and messages are about no row */
    } else if (label->table_size > 0) {
        bytes_append(text, label->schema, label->schema_size);
        bytes_append_char(text, '.');
        bytes_append(text, label->table, label->table_size);
    } else {
        key.none = true;
    }
    key.size = text->size - key.place;
    *ret_key = key;
    return bytes_ok(text) ? FAN_OK : out_of_memory(reterr);
}

static enum fan_status add_record(struct making *making, const struct kafka_record *record,
                                  struct fan_error *reterr)
{
    size_t size = record->key.size + record->value.size + record->headers_end - record->headers;
    if (size + RECORD_OVERHEAD > making->rules->size_max) {
        (void)fan_fail(reterr, FAN_POISON, "a record of %zu bytes is too large for this target",
                       size);
        fan_error_annotate(reterr, "KAFKA_MSG_SIZE_TOO_LARGE",
                           "raise the property message.max.bytes of the target, and "
                           "max.message.bytes of the topic, then pgfan dlq replay");
        return FAN_POISON;
    }
    return list_add(making->list, record) ? FAN_OK : out_of_memory(reterr);
}

static enum fan_status add(struct making *making, const struct record_part *key,
                           const struct record_part *value, struct fan_error *reterr)
{
    const struct kafka_record record = {.event = making->event,
                                        .topic = making->topic,
                                        .key = *key,
                                        .value = *value,
                                        .headers = making->headers,
                                        .headers_end = making->headers_end};
    return add_record(making, &record, reterr);
}

static enum fan_status no_records(struct fan_error *reterr)
{
    return fan_fail(reterr, FAN_POISON, "the event is no sequence of records");
}

/* Those that all records of the event have, and its own. */
static enum fan_status add_own_headers(const struct making *making, const struct record *own,
                                       struct kafka_record *record, struct fan_error *reterr)
{
    struct bytes *text = &making->list->text;
    struct record header;
    size_t at = 0;
    size_t shared = making->headers_end - making->headers;
    record->headers = text->size;
    if (bytes_reserve(text, shared)) { /* so the text does not move while it is read */
        bytes_append(text, text->data + making->headers, shared);
    }
    while (record_next(own->headers, own->headers_size, &at, &header)) {
        append_sized(text, "", (const char *)header.key, header.key_size);
        append_sized(text, "", (const char *)header.value, header.value_size);
    }
    record->headers_end = text->size;
    if (at != own->headers_size) {
        return no_records(reterr);
    }
    return bytes_ok(text) ? FAN_OK : out_of_memory(reterr);
}

/* A mark has the key of its transaction, and no headers: those of the conf are about an event, whose id
 * is none of the mark. */
static enum fan_status add_mark(struct making *making, const struct record *mark,
                                struct fan_error *reterr)
{
    struct bytes *text = &making->list->text;
    if (making->marks_topic == SIZE_MAX) {
        const char *topic = making->rules->topic_marks;
        if (topic == NULL) {
            return fan_fail(reterr, FAN_POISON,
                            "the event has a mark of a transaction, and the target has no topic "
                            "for it");
        }
        making->marks_topic = text->size;
        bytes_append(text, topic, strlen(topic) + 1);
        if (!bytes_ok(text)) {
            return out_of_memory(reterr);
        }
    }
    const struct kafka_record record = {.event = making->event,
                                        .topic = making->marks_topic,
                                        .key = part_of(mark->key, mark->key_size),
                                        .value = part_of(mark->value, mark->value_size)};
    return add_record(making, &record, reterr);
}

/* A record of the event's own, whose headers stand behind those that all of them have. */
static enum fan_status add_own(struct making *making, const struct record *own,
                               struct fan_error *reterr)
{
    struct kafka_record record = {.event = making->event,
                                  .topic = making->topic,
                                  .key = part_of(own->key, own->key_size),
                                  .value = part_of(own->value, own->value_size),
                                  .headers = making->headers,
                                  .headers_end = making->headers_end};
    enum fan_status status = FAN_OK;
    if (own->value == NULL && !making->rules->tombstones) {
        return FAN_OK;
    }
    if (making->rules->key.pieces_count > 0) {
        status = make_key(making, &record.key, reterr);
    }
    if (status == FAN_OK && own->headers != NULL) {
        status = add_own_headers(making, own, &record, reterr);
    }
    return status == FAN_OK ? add_record(making, &record, reterr) : status;
}

/* The event is records already. */
static enum fan_status add_framed(struct making *making, struct fan_error *reterr)
{
    size_t size;
    const uint8_t *bytes =
        batch_event_bytes(making->batch, making->rules->format, making->event, &size);
    enum fan_status status = FAN_OK;
    size_t at = 0;
    struct record record;
    while (status == FAN_OK && record_next(bytes, size, &at, &record)) {
        status = record.mark ? add_mark(making, &record, reterr) : add_own(making, &record, reterr);
    }
    return status == FAN_OK && at != size ? no_records(reterr) : status;
}

/* Tombstones follow: of the key that a delete, or a change of the key, leaves without a row. */
static enum fan_status add_plain(struct making *making, struct fan_error *reterr)
{
    static const struct record_part nothing = {.none = true};
    const struct batch_label *label = &making->label;
    size_t size;
    const uint8_t *bytes =
        batch_event_bytes(making->batch, making->rules->format, making->event, &size);
    const struct record_part value = part_of(bytes, size);
    struct record_part key;
    enum fan_status status = make_key(making, &key, reterr);
    if (status == FAN_OK) {
        status = add(making, &key, &value, reterr);
    }
    if (status != FAN_OK || !making->rules->tombstones || label->key_size == 0) {
        return status;
    }
    if (making->subject.event->op == CHANGE_DELETE) {
        status = add(making, &key, &nothing, reterr);
    } else if (label->old_key_size > 0 && making->rules->key.pieces_count == 0) {
        const struct record_part old =
            part_of((const uint8_t *)label->old_key, label->old_key_size);
        status = add(making, &old, &nothing, reterr);
    }
    return status;
}

enum fan_status records_make(const struct record_rules *rules, const struct batch *batch,
                             struct record_list *list, struct fan_error *reterr)
{
    struct making making = {.rules = rules,
                            .batch = batch,
                            .list = list,
                            .last_topic = SIZE_MAX,
                            .marks_topic = SIZE_MAX};
    enum fan_status status = FAN_OK;
    list->count = 0;
    bytes_clear(&list->text);
    for (size_t event = 0; event < batch->events_count && status == FAN_OK; event++) {
        making.event = event;
        making.label = batch_label(batch, event);
        making.subject = (struct event_subject){
            .encode = rules->encode, .label = &making.label, .event = &batch->events[event]};
        status = make_topic(&making, reterr);
        if (status == FAN_OK) {
            status = make_headers(&making, reterr);
        }
        if (status == FAN_OK) {
            status = rules->records ? add_framed(&making, reterr) : add_plain(&making, reterr);
        }
    }
    return status;
}
