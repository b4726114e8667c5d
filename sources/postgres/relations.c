#include "sources/postgres/relations.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

enum { SLOTS_START = 64 };

struct version {
    struct relation *relation; /* owned */
    struct version *older;
};

struct relations_entry {
    uint32_t relid;
    bool used;
    struct relation *current; /* NULL until described in this session */
    struct version *versions;
};

void relations_init(struct relations *relations)
{
    *relations = (struct relations){0};
}

void relations_release(struct relations *relations)
{
    for (size_t i = 0; i < relations->slots_count; i++) {
        struct version *version = relations->slots[i].versions;
        while (version != NULL) {
            struct version *older = version->older;
            relation_destroy(version->relation);
            free(version);
            version = older;
        }
    }
    free(relations->slots);
    *relations = (struct relations){0};
}

void relations_reset(struct relations *relations)
{
    for (size_t i = 0; i < relations->slots_count; i++) {
        relations->slots[i].current = NULL;
    }
}

/* The entry of a relid, or the free slot where it belongs. The table is never full. */
static struct relations_entry *slot_of(struct relations_entry *slots, size_t slots_count,
                                       uint32_t relid)
{
    uint32_t hash = relid * 2654435761u; /* modulo 2^32, as meant */
    size_t at = hash & (slots_count - 1);
    while (slots[at].used && slots[at].relid != relid) {
        at = (at + 1) & (slots_count - 1);
    }
    return &slots[at];
}

static bool grow(struct relations *relations)
{
    size_t count = relations->slots_count == 0 ? SLOTS_START : relations->slots_count * 2;
    struct relations_entry *slots = calloc(count, sizeof(*slots));
    if (slots == NULL) {
        return false;
    }
    for (size_t i = 0; i < relations->slots_count; i++) {
        if (relations->slots[i].used) {
            *slot_of(slots, count, relations->slots[i].relid) = relations->slots[i];
        }
    }
    free(relations->slots);
    relations->slots = slots;
    relations->slots_count = count;
    relations->last = NULL;
    return true;
}

struct relation *relations_find(struct relations *relations, uint32_t relid)
{
    if (relations->last != NULL && relations->last->relid == relid) {
        return relations->last->current;
    }
    if (relations->slots_count == 0) {
        return NULL;
    }
    struct relations_entry *entry = slot_of(relations->slots, relations->slots_count, relid);
    if (!entry->used) {
        return NULL;
    }
    relations->last = entry;
    return entry->current;
}

enum fan_status relations_draft(const struct pgoutput_relation *message,
                                struct relation **ret_draft, struct fan_error *reterr)
{
    struct relation *draft;
    const char *schema = message->schema[0] == '\0' ? "pg_catalog" : message->schema;
    enum fan_status status = relation_create(message->relid, schema, message->name,
                                             (enum replica_identity)message->identity,
                                             message->columns_count, &draft, reterr);
    if (status != FAN_OK) {
        return status;
    }
    struct wire columns = message->columns;
    for (size_t i = 0; i < draft->columns_count; i++) {
        struct pgoutput_column from = pgoutput_next_column(&columns);
        struct relation_column *column = &draft->columns[i];
        (void)snprintf(column->name, sizeof(column->name), "%s",
                       from.name); /* the parser bounds it */
        column->type_oid = from.type_oid;
        column->type_modifier = from.type_modifier;
        column->type = type_builtin(from.type_oid);
        column->in_identity = from.in_identity;
    }
    *ret_draft = draft;
    return FAN_OK;
}

static bool copy_text(const char *text, char **ret_copy)
{
    *ret_copy = text != NULL ? strdup(text) : NULL;
    return text == NULL || *ret_copy != NULL;
}

/* Under FULL every column is flagged: the key is then the primary key. False: memory is out. */
static bool complete(struct relation *draft, const struct link_column *facts)
{
    for (size_t i = 0; i < draft->columns_count; i++) {
        struct relation_column *column = &draft->columns[i];
        column->type = facts[i].type;
        column->in_primary_key = facts[i].in_primary_key;
        column->not_null = facts[i].not_null;
        if (!copy_text(facts[i].labels, &column->labels) ||
            !copy_text(facts[i].default_text, &column->default_text)) {
            return false;
        }
        if (draft->identity == REPLICA_IDENTITY_NOTHING) {
            column->in_key = false;
        } else if (draft->identity == REPLICA_IDENTITY_FULL) {
            column->in_key = column->in_primary_key;
        } else {
            column->in_key = column->in_identity;
        }
    }
    return true;
}

static bool type_equal(const struct type_info *left, const struct type_info *right)
{
    return left->kind == right->kind && left->element == right->element &&
           left->delimiter == right->delimiter && left->family == right->family &&
           left->oid == right->oid && left->element_oid == right->element_oid &&
           left->modifier == right->modifier && left->has_modifier == right->has_modifier;
}

static bool text_equal(const char *left, const char *right)
{
    return (left == NULL) == (right == NULL) && (left == NULL || strcmp(left, right) == 0);
}

static bool column_equal(const struct relation_column *left, const struct relation_column *right)
{
    return strcmp(left->name, right->name) == 0 && left->type_oid == right->type_oid &&
           left->type_modifier == right->type_modifier && type_equal(&left->type, &right->type) &&
           left->in_identity == right->in_identity &&
           left->in_primary_key == right->in_primary_key && left->not_null == right->not_null &&
           text_equal(left->labels, right->labels) &&
           text_equal(left->default_text, right->default_text);
}

static bool relation_equal(const struct relation *left, const struct relation *right)
{
    if (left->identity != right->identity || left->columns_count != right->columns_count ||
        strcmp(left->schema, right->schema) != 0 || strcmp(left->name, right->name) != 0) {
        return false;
    }
    for (size_t i = 0; i < left->columns_count; i++) {
        if (!column_equal(&left->columns[i], &right->columns[i])) {
            return false;
        }
    }
    return true;
}

static struct relations_entry *entry_for(struct relations *relations, uint32_t relid)
{
    if (relations->entries_count * 2 >= relations->slots_count && !grow(relations)) {
        return NULL;
    }
    struct relations_entry *entry = slot_of(relations->slots, relations->slots_count, relid);
    if (!entry->used) {
        *entry = (struct relations_entry){.relid = relid, .used = true};
        relations->entries_count++;
    }
    return entry;
}

static enum fan_status add_version(struct relations *relations, struct relations_entry *entry,
                                   struct relation *draft, struct fan_error *reterr)
{
    if (relations->versions_count >= RELATION_VERSIONS_MAX) {
        enum fan_status status =
            fan_fail(reterr, FAN_FATAL,
                     "cannot take another version of table \"%s.%s\": %d versions are kept already",
                     draft->schema, draft->name, RELATION_VERSIONS_MAX);
        fan_error_annotate(reterr, "RELATIONS_FULL", "restart pgfan: versions are kept per run");
        return status;
    }
    enum fan_status status = relation_finish(draft, reterr);
    if (status != FAN_OK) {
        return status;
    }
    struct version *version = malloc(sizeof(*version));
    if (version == NULL) {
        return fan_fail(reterr, FAN_RETRY,
                        "could not keep a version of table \"%s.%s\": out of memory", draft->schema,
                        draft->name);
    }
    *version = (struct version){.relation = draft, .older = entry->versions};
    entry->versions = version;
    relations->versions_count++;
    return FAN_OK;
}

static void relation_destroy_p(struct relation **address)
{
    relation_destroy(*address);
}

enum fan_status relations_accept(struct relations *relations, struct relation *draft,
                                 const struct link_column *facts, struct relation **ret_current,
                                 bool *ret_new, struct fan_error *reterr)
{
    FAN_CLEANUP(relation_destroy_p) struct relation *owned = draft;
    struct relations_entry *entry = entry_for(relations, owned->relid);
    if (entry == NULL || !complete(owned, facts)) {
        return fan_fail(reterr, FAN_RETRY, "could not describe table \"%s.%s\": out of memory",
                        owned->schema, owned->name);
    }
    struct relation *found = NULL;
    for (struct version *at = entry->versions; at != NULL && found == NULL; at = at->older) {
        found = relation_equal(at->relation, owned) ? at->relation : NULL;
    }
    if (found == NULL) {
        enum fan_status status = add_version(relations, entry, owned, reterr);
        if (status != FAN_OK) {
            return status;
        }
        found = FAN_STEAL(owned);
    }
    *ret_new = entry->current != found;
    if (*ret_new && entry->current != NULL) { /* the count goes on over a change of the table */
        found->counted_txn = entry->current->counted_txn;
        found->counted = entry->current->counted;
    }
    *ret_current = found;
    entry->current = found;
    return FAN_OK;
}
