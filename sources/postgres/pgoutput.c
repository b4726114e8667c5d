#include "sources/postgres/pgoutput.h"

#include <string.h>

#include "model/relation.h"
#include "model/row.h"

static enum fan_status malformed(struct fan_error *reterr, uint8_t tag, const char *reason)
{
    enum fan_status status =
        fan_fail(reterr, FAN_FATAL, "cannot read message '%c' from the server: %s",
                 tag >= 0x20 && tag < 0x7f ? tag : '?', reason);
    fan_error_annotate(reterr, "PROTOCOL", NULL);
    return status;
}

static struct fan_lsn wire_lsn(struct wire *wire)
{
    return (struct fan_lsn){wire_u64(wire)};
}

static const char *parse_begin(struct wire *wire, struct pgoutput_begin *begin)
{
    begin->final_lsn = wire_lsn(wire);
    begin->commit_time = (int64_t)wire_u64(wire);
    begin->xid = wire_u32(wire);
    return begin->final_lsn.value == 0 && wire_ok(wire) ? "no commit position" : NULL;
}

static const char *parse_commit(struct wire *wire, struct pgoutput_commit *commit)
{
    uint8_t flags = wire_u8(wire);
    commit->commit_lsn = wire_lsn(wire);
    commit->end_lsn = wire_lsn(wire);
    (void)wire_u64(wire); /* the commit time stood in Begin already */
    return flags != 0 ? "unknown flags" : NULL;
}

struct pgoutput_column pgoutput_next_column(struct wire *columns)
{
    struct pgoutput_column column;
    column.in_identity = (wire_u8(columns) & 1) != 0;
    column.name = wire_cstring(columns);
    column.type_oid = wire_u32(columns);
    column.type_modifier = (int32_t)wire_u32(columns);
    return column;
}

static bool name_fits(const char *name)
{
    return name != NULL && strlen(name) < RELATION_NAME_MAX;
}

static const char *parse_relation(struct wire *wire, struct pgoutput_relation *relation)
{
    static const char identities[] = {'d', 'n', 'f', 'i'};
    relation->relid = wire_u32(wire);
    relation->schema = wire_cstring(wire);
    relation->name = wire_cstring(wire);
    relation->identity = (char)wire_u8(wire);
    relation->columns_count = wire_u16(wire);
    if (!wire_ok(wire)) {
        return NULL;
    }
    if (!name_fits(relation->schema) || !name_fits(relation->name)) {
        return "name too long";
    }
    if (memchr(identities, relation->identity, sizeof(identities)) == NULL) {
        return "unknown replica identity";
    }
    if (relation->columns_count > RELATION_COLUMNS_MAX) {
        return "too many columns";
    }
    relation->columns = *wire;
    for (uint16_t i = 0; i < relation->columns_count; i++) {
        if (wire_remaining(wire) > 0 && (wire->bytes[wire->offset] & ~1u) != 0) {
            return "unknown column flags";
        }
        struct pgoutput_column column = pgoutput_next_column(wire);
        if (!wire_ok(wire)) {
            return NULL;
        }
        if (!name_fits(column.name)) {
            return "column name too long";
        }
    }
    return NULL;
}

/* One tuple behind its kind byte; stores where it starts. */
static const char *parse_tuple(struct wire *wire, size_t columns_max, uint32_t *ret_offset)
{
    *ret_offset = (uint32_t)wire->offset;
    return row_check(wire, columns_max) ? NULL : "broken row";
}

static const char *parse_row(struct wire *wire, uint8_t tag, pgoutput_columns_of *columns_of,
                             const void *context, struct pgoutput_row *row)
{
    *row = (struct pgoutput_row){.relid = wire_u32(wire)};
    uint8_t kind = wire_u8(wire);
    if (!wire_ok(wire)) {
        return NULL;
    }
    size_t columns_max;
    if (!columns_of(context, row->relid, &columns_max)) {
        return "a row of a relation that was not described";
    }
    const char *fault = NULL;
    if (tag != PGOUTPUT_INSERT && (kind == 'K' || kind == 'O')) {
        row->old_kind = (char)kind;
        fault = parse_tuple(wire, columns_max, &row->old_offset);
        if (fault != NULL || tag == PGOUTPUT_DELETE) {
            return fault;
        }
        kind = wire_u8(wire);
    }
    if (tag == PGOUTPUT_DELETE || kind != 'N') {
        return wire_ok(wire) ? "unknown kind of row" : NULL;
    }
    return parse_tuple(wire, columns_max, &row->new_offset);
}

static const char *parse_truncate(struct wire *wire, pgoutput_columns_of *columns_of,
                                  const void *context, struct pgoutput_truncate *truncate)
{
    truncate->relids_count = wire_u32(wire);
    truncate->flags = wire_u8(wire);
    truncate->relids_offset = (uint32_t)wire->offset;
    if (!wire_ok(wire)) {
        return NULL;
    }
    if ((truncate->flags & ~3u) != 0) {
        return "unknown flags";
    }
    if (truncate->relids_count > PGOUTPUT_TRUNCATE_MAX ||
        truncate->relids_count != wire_remaining(wire) / 4) {
        return "wrong number of relations";
    }
    for (uint32_t i = 0; i < truncate->relids_count; i++) {
        size_t columns;
        if (!columns_of(context, wire_u32(wire), &columns)) {
            return "a relation that was not described";
        }
    }
    return NULL;
}

static const char *parse_logical(struct wire *wire, struct pgoutput_logical *logical)
{
    uint8_t flags = wire_u8(wire);
    logical->transactional = flags == 1;
    logical->lsn = wire_lsn(wire);
    logical->prefix = wire_cstring(wire);
    (void)wire_bytes(wire, wire_u32(wire)); /* the content stays in the message */
    return flags > 1 ? "unknown flags" : NULL;
}

static const char *parse_body(struct wire *wire, uint8_t tag, pgoutput_columns_of *columns_of,
                              const void *context, struct pgoutput_message *message)
{
    switch (tag) {
    case PGOUTPUT_BEGIN:
        return parse_begin(wire, &message->begin);
    case PGOUTPUT_COMMIT:
        return parse_commit(wire, &message->commit);
    case PGOUTPUT_ORIGIN:
        message->origin.commit_lsn = wire_lsn(wire);
        message->origin.name = wire_cstring(wire);
        return NULL;
    case PGOUTPUT_TYPE:
        (void)wire_u32(wire);     /* types are looked up in the catalog: for a domain the */
        (void)wire_cstring(wire); /* message gives the name of its base type only */
        (void)wire_cstring(wire);
        return NULL;
    case PGOUTPUT_RELATION:
        return parse_relation(wire, &message->relation);
    case PGOUTPUT_INSERT:
    case PGOUTPUT_UPDATE:
    case PGOUTPUT_DELETE:
        return parse_row(wire, tag, columns_of, context, &message->row);
    case PGOUTPUT_TRUNCATE:
        return parse_truncate(wire, columns_of, context, &message->truncate);
    case PGOUTPUT_MESSAGE:
        return parse_logical(wire, &message->logical);
    default:
        return "unknown kind of message";
    }
}

enum fan_status pgoutput_parse(const uint8_t *payload, size_t size, pgoutput_columns_of *columns_of,
                               const void *context, struct pgoutput_message *ret_message,
                               struct fan_error *reterr)
{
    struct wire wire;
    wire_init(&wire, payload, size);
    uint8_t tag = wire_u8(&wire);
    struct pgoutput_message message;
    message.tag = (enum pgoutput_tag)tag;
    const char *fault =
        wire_ok(&wire) ? parse_body(&wire, tag, columns_of, context, &message) : "empty message";
    if (fault == NULL && !wire_ok(&wire)) {
        fault = "it ends too early";
    }
    if (fault == NULL && wire_remaining(&wire) > 0) {
        fault = "bytes behind its end";
    }
    if (fault != NULL) {
        return malformed(reterr, tag, fault);
    }
    *ret_message = message;
    return FAN_OK;
}
