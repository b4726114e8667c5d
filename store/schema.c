#include "store/schema.h"

/* LSNs are stored as SQLite's signed 64-bit integers; no LSN in practice reaches the sign bit, and
 * if one did, the same bits come back. */
const char *const schema_create_sql =
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE source ("
    " source TEXT PRIMARY KEY, system_id TEXT NOT NULL, timeline INTEGER NOT NULL,"
    " slot TEXT NOT NULL, database TEXT NOT NULL, publication TEXT NOT NULL,"
    " slot_state INTEGER NOT NULL, consistent_point INTEGER NOT NULL,"
    " confirmed INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE checkpoint ("
    " pipeline TEXT NOT NULL, target TEXT NOT NULL, commit_lsn INTEGER NOT NULL,"
    " seq INTEGER NOT NULL, detail TEXT NOT NULL, updated_us INTEGER NOT NULL,"
    " start_lsn INTEGER NOT NULL, type TEXT NOT NULL, address TEXT NOT NULL,"
    " settled_lsn INTEGER NOT NULL DEFAULT 0, settled_seq INTEGER NOT NULL DEFAULT 0,"
    " fatal INTEGER NOT NULL DEFAULT 0,"
    " PRIMARY KEY (pipeline, target)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE pipeline ("
    " pipeline TEXT PRIMARY KEY, source TEXT NOT NULL, state INTEGER NOT NULL,"
    " reason TEXT NOT NULL, since_us INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE gap ("
    " pipeline TEXT NOT NULL, target TEXT NOT NULL, gap_id INTEGER NOT NULL,"
    " first_lsn INTEGER NOT NULL, first_seq INTEGER NOT NULL, last_lsn INTEGER NOT NULL,"
    " last_seq INTEGER NOT NULL, count INTEGER NOT NULL, cause TEXT NOT NULL,"
    " at_us INTEGER NOT NULL, PRIMARY KEY (pipeline, target, gap_id)) STRICT, WITHOUT "
    "ROWID;" SCHEMA_LETTERS_SQL;

#define FIELD(record, member, schema_type)                                                         \
    {                                                                                              \
        .column = #member, .type = (schema_type), .offset = offsetof(struct record, member),       \
        .size = sizeof(((struct record *)NULL)->member)                                            \
    }

static const struct schema_field source_fields[] = {
    FIELD(store_source, source, SCHEMA_TEXT),
    FIELD(store_source, system_id, SCHEMA_TEXT),
    FIELD(store_source, timeline, SCHEMA_UINT32),
    FIELD(store_source, slot, SCHEMA_TEXT),
    FIELD(store_source, database, SCHEMA_TEXT),
    FIELD(store_source, publication, SCHEMA_TEXT),
    FIELD(store_source, slot_state, SCHEMA_INT32),
    FIELD(store_source, consistent_point, SCHEMA_UINT64),
    FIELD(store_source, confirmed, SCHEMA_UINT64),
};

static const struct schema_field checkpoint_fields[] = {
    FIELD(store_checkpoint, pipeline, SCHEMA_TEXT),
    FIELD(store_checkpoint, target, SCHEMA_TEXT),
    FIELD(store_checkpoint, commit_lsn, SCHEMA_UINT64),
    FIELD(store_checkpoint, seq, SCHEMA_INT64),
    FIELD(store_checkpoint, detail, SCHEMA_TEXT),
    FIELD(store_checkpoint, updated_us, SCHEMA_INT64),
    FIELD(store_checkpoint, start_lsn, SCHEMA_UINT64),
    FIELD(store_checkpoint, type, SCHEMA_TEXT),
    FIELD(store_checkpoint, address, SCHEMA_TEXT),
    FIELD(store_checkpoint, settled_lsn, SCHEMA_UINT64),
    FIELD(store_checkpoint, settled_seq, SCHEMA_INT64),
    FIELD(store_checkpoint, fatal, SCHEMA_INT32),
};

static const struct schema_field pipeline_fields[] = {
    FIELD(store_pipeline, pipeline, SCHEMA_TEXT),  FIELD(store_pipeline, source, SCHEMA_TEXT),
    FIELD(store_pipeline, state, SCHEMA_INT32),    FIELD(store_pipeline, reason, SCHEMA_TEXT),
    FIELD(store_pipeline, since_us, SCHEMA_INT64),
};

static const struct schema_field gap_fields[] = {
    FIELD(store_gap, pipeline, SCHEMA_TEXT),   FIELD(store_gap, target, SCHEMA_TEXT),
    FIELD(store_gap, gap_id, SCHEMA_INT64),    FIELD(store_gap, first_lsn, SCHEMA_UINT64),
    FIELD(store_gap, first_seq, SCHEMA_INT64), FIELD(store_gap, last_lsn, SCHEMA_UINT64),
    FIELD(store_gap, last_seq, SCHEMA_INT64),  FIELD(store_gap, count, SCHEMA_UINT64),
    FIELD(store_gap, cause, SCHEMA_TEXT),      FIELD(store_gap, at_us, SCHEMA_INT64),
};

static const struct schema_field letter_fields[] = {
    FIELD(store_letter_total, pipeline, SCHEMA_TEXT),
    FIELD(store_letter_total, target, SCHEMA_TEXT),
    FIELD(store_letter_total, cause, SCHEMA_INT32),
    FIELD(store_letter_total, entries, SCHEMA_UINT64),
    FIELD(store_letter_total, bytes, SCHEMA_UINT64),
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

const struct schema_record schema_records[STORE_KINDS] = {
    [STORE_SOURCE] = {.table = "source",
                      .load_order = "source",
                      .size = sizeof(struct store_source),
                      .fields = source_fields,
                      .fields_count = COUNT(source_fields),
                      .keys_count = 1,
                      .rows_max = STORE_SOURCES_MAX},
    [STORE_CHECKPOINT] = {.table = "checkpoint",
                          .load_order = "pipeline, target",
                          .size = sizeof(struct store_checkpoint),
                          .fields = checkpoint_fields,
                          .fields_count = COUNT(checkpoint_fields),
                          .fields_count_v1 = COUNT(checkpoint_fields) - 3,
                          .keys_count = 2,
                          .rows_max = STORE_CHECKPOINTS_MAX},
    [STORE_PIPELINE] = {.table = "pipeline",
                        .load_order = "pipeline",
                        .size = sizeof(struct store_pipeline),
                        .fields = pipeline_fields,
                        .fields_count = COUNT(pipeline_fields),
                        .keys_count = 1,
                        .rows_max = STORE_PIPELINES_MAX},
    [STORE_GAP] = {.table = "gap",
                   .load_order = "at_us DESC, gap_id DESC, pipeline DESC, target DESC",
                   .size = sizeof(struct store_gap),
                   .fields = gap_fields,
                   .fields_count = COUNT(gap_fields),
                   .keys_count = 3,
                   .rows_max = STORE_GAPS_LOAD_MAX},
    [STORE_LETTER] = {.table = "letter_total",
                      .remove_from = "letter",
                      .derived = true,
                      .version = 2,
                      .load_order = "pipeline, target, cause",
                      .size = sizeof(struct store_letter_total),
                      .fields = letter_fields,
                      .fields_count = COUNT(letter_fields),
                      .keys_count = 3,
                      .rows_max = STORE_LETTER_TOTALS_MAX},
};
