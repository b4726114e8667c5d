/*
 * Property: a source confirms only what the sink lets it and what this session has received, starts
 *           only from positions that are durable, keeps the link alive in every state, and stops
 *           on whatever it does not understand.
 * Oracle:   a scripted link that plays the server, and a sink that records what it was given.
 */
#include <check.h>

#include "base/log.h"
#include "tests/unit/pg_script.h"
#include "tests/unit/suite.h"

enum { SECOND = 1000000 };

START_TEST(pg_source_first_start_makes_publication_then_intent_then_slot)
{
    struct script *script = script_streaming();
    ck_assert_str_eq(script->log.text, "piPcS1");
    ck_assert_uint_eq(script->started_at.value, 1000);
    ck_assert_int_eq(script->memory.slot_stage, SLOT_CREATED);
    ck_assert_uint_eq(script->memory.consistent_point.value, 1000);
    ck_assert_str_eq(script->memory.slot, "pgfan_shop");
    script_free(script);
}
END_TEST

START_TEST(pg_source_crash_after_intent_adopts_the_slot)
{
    struct script *script = script_new();
    script->memory = (struct source_memory){
        .slot_stage = SLOT_INTENT, .system_id = "7000", .slot = "pgfan_shop", .timeline = 1};
    script->facts.publication_exists = true;
    script->facts.publication_change = false;
    script->facts.slot.exists = true;
    script->facts.slot.confirmed = (struct fan_lsn){555};
    script_open(script);
    script_settle(script);
    ck_assert_str_eq(script->log.text, "cS1");
    ck_assert_uint_eq(script->started_at.value, 555);
    script_free(script);
}
END_TEST

/* Between our look and our CREATE. */
START_TEST(pg_source_slot_that_somebody_else_made_meanwhile_is_never_adopted)
{
    struct script *script = script_new();
    script->fail_sqlstate[SCRIPT_CREATE] = "42710";
    script_open(script);
    script_settle(script);
    ck_assert_int_eq(script_state(script), SOURCE_FAILED);
    ck_assert_str_eq(script_code(script), "SLOT_FOREIGN");
    ck_assert_str_eq(script->log.text, "piPn");
    ck_assert_int_eq(script->memory.slot_stage, SLOT_UNKNOWN);
    struct source_status status;
    pg_source_status(script->source, &status);
    ck_assert_ptr_nonnull(strstr(status.hint, "--adopt-slot pgfan_shop"));
    script->facts.slot.exists = true;
    script->facts.slot.confirmed = (struct fan_lsn){555};
    script_restart(script);
    script_settle(script);
    ck_assert_str_eq(script_code(script), "SLOT_FOREIGN");
    ck_assert_str_eq(script->log.text, "piPn");
    script->setup.adopt_slot = "pgfan_shop";
    script_restart(script);
    script_settle(script);
    ck_assert_str_eq(script->log.text, "piPncS1");
    ck_assert_uint_eq(script->started_at.value, 555);
    script_free(script);
}
END_TEST

/* The server says that it made none: another engine may make it before the next attempt. */
START_TEST(pg_source_cancelled_creation_leaves_no_intent)
{
    struct script *script = script_new();
    script->fail_sqlstate[SCRIPT_CREATE] = "57014";
    script_open(script);
    script_settle(script);
    ck_assert_int_eq(script_state(script), SOURCE_RECONNECTING);
    ck_assert_int_eq(script->memory.slot_stage, SLOT_UNKNOWN);
    script_run(script, 3 * SECOND);
    ck_assert_str_eq(script->log.text, "piPniPcS1");
    script_free(script);
}
END_TEST

START_TEST(pg_source_link_lost_while_the_slot_is_made_adopts_it)
{
    struct script *script = script_new();
    script->fail_sqlstate[SCRIPT_CREATE] = "";
    script_open(script);
    script_settle(script);
    ck_assert_int_eq(script->memory.slot_stage, SLOT_INTENT);
    script->facts.slot.exists = true;
    script->facts.slot.confirmed = (struct fan_lsn){555};
    script_run(script, 3 * SECOND);
    ck_assert_str_eq(script->log.text, "piPcS1");
    ck_assert_uint_eq(script->started_at.value, 555);
    script_free(script);
}
END_TEST

START_TEST(pg_source_stop_while_an_intent_is_withdrawn_ends)
{
    struct script *script = script_new();
    script->fail_sqlstate[SCRIPT_CREATE] = "42710";
    script_open(script);
    while (script->fail_sqlstate[SCRIPT_CREATE] != NULL) {
        script->store_busy = script->job == SCRIPT_CREATE;
        script_step(script);
    }
    ck_assert_int_eq(script_state(script), SOURCE_CREATING);
    pg_source_stop(script->source);
    script_settle(script);
    ck_assert_int_eq(script_state(script), SOURCE_STOPPED);
    script_free(script);
}
END_TEST

START_TEST(pg_source_publication_that_somebody_else_made_meanwhile_is_looked_at_again)
{
    struct script *script = script_new();
    script->fail_sqlstate[SCRIPT_PUBLICATION] = "42710";
    script_open(script);
    script_settle(script);
    ck_assert_int_eq(script_state(script), SOURCE_RECONNECTING);
    ck_assert_str_eq(script_code(script), "PUBLICATION_CHANGED");
    script_run(script, 3 * SECOND);
    ck_assert_int_eq(script_state(script), SOURCE_STREAMING);
    script_free(script);
}
END_TEST

START_TEST(pg_source_streams_on_without_a_table_and_says_so)
{
    struct script *script = script_new();
    struct link_shortfall *shortfall = &script->facts.shortfall;
    (void)fan_fail(&shortfall->error, FAN_RETRY, "a table is left out");
    fan_error_annotate(&shortfall->error, "NO_REPLICA_IDENTITY", "give it a key");
    script->shortfall = *shortfall; /* the first sample comes with the start */
    script_open(script);
    script_settle(script);
    struct source_status status;
    pg_source_status(script->source, &status);
    ck_assert_int_eq(status.state, SOURCE_STREAMING);
    ck_assert_str_eq(status.code, "NO_REPLICA_IDENTITY");
    ck_assert_str_eq(status.reason, "a table is left out");
    ck_assert_str_eq(status.hint, "give it a key");
    ck_assert(!status.incomplete);
    shortfall->losing = true;
    script->shortfall = *shortfall;
    pg_source_rewind(script->source);
    script_settle(script);
    pg_source_status(script->source, &status);
    ck_assert(status.incomplete);
    script->facts.shortfall = (struct link_shortfall){.losing = false};
    script->shortfall = script->facts.shortfall;
    pg_source_rewind(script->source);
    script_settle(script);
    pg_source_status(script->source, &status);
    ck_assert_str_eq(status.code, "");
    ck_assert(!status.incomplete);
    script_free(script);
}
END_TEST

START_TEST(pg_source_table_that_leaves_the_publication_shows_at_the_next_sample)
{
    struct script *script = script_streaming();
    (void)fan_fail(&script->shortfall.error, FAN_RETRY, "a table left");
    fan_error_annotate(&script->shortfall.error, "PUBLICATION_TABLES", "add it");
    script->shortfall.losing = true;
    script_run(script, 11 * SECOND);
    struct source_status status;
    pg_source_status(script->source, &status);
    ck_assert_int_eq(status.state, SOURCE_STREAMING);
    ck_assert_str_eq(status.code, "PUBLICATION_TABLES");
    ck_assert_str_eq(status.hint, "add it");
    ck_assert(status.incomplete);
    script->shortfall = (struct link_shortfall){.losing = false};
    script_run(script, 11 * SECOND);
    pg_source_status(script->source, &status);
    ck_assert_str_eq(status.code, "");
    ck_assert_str_eq(status.reason, "");
    ck_assert(!status.incomplete);
    script_free(script);
}
END_TEST

START_TEST(pg_source_insecure_tls_is_shown)
{
    struct script *script = script_streaming();
    struct source_status status;
    pg_source_status(script->source, &status);
    ck_assert(!status.insecure_tls);
    script->options.insecure_tls = true;
    script_restart(script);
    pg_source_status(script->source, &status);
    ck_assert(status.insecure_tls);
    script_free(script);
}
END_TEST

START_TEST(pg_source_foreign_slot_fails_before_anything_is_made)
{
    struct script *script = script_new();
    script->facts.slot.exists = true;
    script_open(script);
    script_settle(script);
    ck_assert_int_eq(script_state(script), SOURCE_FAILED);
    ck_assert_str_eq(script_code(script), "SLOT_FOREIGN");
    ck_assert_str_eq(script->log.text, "");
    script_free(script);
}
END_TEST

START_TEST(pg_source_active_slot_is_waited_for)
{
    struct script *script = script_streaming();
    script->facts.slot.active = true;
    script->facts.slot.active_pid = 4711;
    pg_source_rewind(script->source);
    script_settle(script);
    struct source_status status;
    pg_source_status(script->source, &status);
    ck_assert_int_eq(status.state, SOURCE_RECONNECTING);
    ck_assert_str_eq(status.code, "SLOT_ACTIVE");
    ck_assert_ptr_nonnull(strstr(status.reason, "4711"));
    script->facts.slot.active = false;
    script_run(script, SECOND);
    ck_assert_int_eq(script_state(script), SOURCE_STREAMING);
    script_free(script);
}
END_TEST

START_TEST(pg_source_start_refused_as_active_is_tried_again)
{
    struct script *script = script_new();
    script->fail_sqlstate[SCRIPT_START] = "55006";
    script_open(script);
    script_settle(script);
    ck_assert_int_eq(script_state(script), SOURCE_RECONNECTING);
    ck_assert_str_eq(script_code(script), "SLOT_ACTIVE");
    script_run(script, SECOND);
    ck_assert_int_eq(script_state(script), SOURCE_STREAMING);
    script_free(script);
}
END_TEST

/* One transaction at `lsn`: relation, insert, update, delete; it ends at lsn + 10. */
static void send_transaction(struct script *script, uint64_t lsn)
{
    script_send(script, frame_begin(lsn));
    script_send(script, frame_relation(5, "t"));
    script_send(script, frame_insert(5));
    script_send(script, frame_update(5));
    script_send(script, frame_delete(5));
    script_send(script, frame_commit(lsn, lsn + 10));
}

START_TEST(pg_source_transaction_is_handed_over_in_order)
{
    struct script *script = script_streaming();
    send_transaction(script, 2000);
    script_settle(script);
    ck_assert_uint_eq(script->changes_count, 3);
    for (size_t i = 0; i < 3; i++) {
        const struct change *change = &script->changes[i];
        ck_assert_uint_eq(change->position.commit_lsn.value, 2000);
        ck_assert_int_eq(change->position.seq, (int64_t)i);
        ck_assert_uint_eq(change->hold_lsn.value, 2000);
        ck_assert_uint_eq(change->xid, 77);
        ck_assert_int_eq(change->commit_time_us, INT64_C(946684801) * SECOND);
    }
    ck_assert_int_eq(script->changes[0].op, CHANGE_INSERT);
    ck_assert_int_eq(script->changes[1].op, CHANGE_UPDATE);
    ck_assert_int_eq(script->changes[1].old_row, OLD_ROW_KEY);
    ck_assert_int_eq(script->changes[2].op, CHANGE_DELETE);
    ck_assert_uint_eq(script->boundary.value, 2010);
    ck_assert_uint_eq(script->relations, 1);
    ck_assert_uint_ge(script->published, 1);
    script_free(script);
}
END_TEST

START_TEST(pg_source_origin_belongs_to_its_transaction)
{
    struct script *script = script_streaming();
    static const char *const names[] = {"north", NULL, "south", "north"};
    for (uint64_t txn = 0; txn < 4; txn++) {
        uint64_t commit = 2000 + 100 * txn;
        script_send(script, frame_begin(commit));
        if (names[txn] != NULL) {
            script_send(script, frame_origin(7 + txn, names[txn]));
        }
        script_send(script, frame_relation(5, "t"));
        script_send(script, frame_insert(5));
        script_send(script, frame_delete(5));
        script_send(script, frame_commit(commit, commit + 10));
    }
    script_settle(script);
    ck_assert_uint_eq(script->changes_count, 8);
    for (size_t i = 0; i < 8; i++) {
        const struct change *change = &script->changes[i];
        ck_assert_pstr_eq(change->origin, names[i / 2]);
        ck_assert_uint_eq(change->origin_lsn.value, names[i / 2] == NULL ? 0 : 7 + i / 2);
    }
    ck_assert_ptr_eq(script->changes[0].origin, script->changes[7].origin);
    script_free(script);
}
END_TEST

START_TEST(pg_source_origins_beyond_the_limit_are_not_shown)
{
    struct origins origins = {0};
    struct fan_error error;
    const char *first = NULL;
    const char *got = NULL;
    char name[32];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < ORIGINS_MAX; i++) {
            (void)snprintf(name, sizeof(name), "origin %d", i);
            ck_assert_int_eq(origins_keep(&origins, name, &got, &error), FAN_OK);
            ck_assert_str_eq(got, name);
            first = first == NULL ? got : first;
        }
        ck_assert_int_eq(origins_keep(&origins, "one more", &got, &error), FAN_OK);
        ck_assert_ptr_null(got);
    }
    ck_assert_int_eq(origins_keep(&origins, "origin 0", &got, &error), FAN_OK);
    ck_assert_ptr_eq(got, first);
    origins_release(&origins);
    ck_assert_uint_eq(origins.count, 0);
}
END_TEST

START_TEST(pg_source_same_relation_again_is_no_new_version)
{
    struct script *script = script_streaming();
    send_transaction(script, 2000);
    send_transaction(script, 3000);
    script_settle(script);
    ck_assert_uint_eq(script->relations, 1);
    ck_assert_ptr_eq(script->changes[0].relation, script->changes[5].relation);
    script_free(script);
}
END_TEST

START_TEST(pg_source_relation_with_other_labels_is_a_new_version)
{
    static const char *const labels[] = {"sad", "sad,so so", NULL, "sad"};
    struct relation *versions[4];
    struct relations relations;
    struct fan_error error;
    relations_init(&relations);
    for (size_t i = 0; i < 4; i++) {
        const struct link_column fact = {.labels = labels[i]};
        struct relation *draft;
        bool changed;
        ck_assert_int_eq(
            relation_create(5, "public", "t", REPLICA_IDENTITY_DEFAULT, 1, &draft, &error), FAN_OK);
        ck_assert_int_eq(relations_accept(&relations, draft, &fact, &versions[i], &changed, &error),
                         FAN_OK);
        ck_assert(changed);
        ck_assert_pstr_eq(versions[i]->columns[0].labels, labels[i]);
    }
    ck_assert_ptr_eq(versions[0], versions[3]);
    ck_assert_ptr_ne(versions[0], versions[1]);
    ck_assert_ptr_ne(versions[0], versions[2]);
    relations_release(&relations);
}
END_TEST

START_TEST(pg_source_truncate_counts_a_seq_for_each_relation)
{
    struct script *script = script_streaming();
    script_send(script, frame_begin(2000));
    script_send(script, frame_relation(5, "t"));
    script_send(script, frame_relation(6, "u"));
    script_send(script, frame_truncate(5, 6));
    script_send(script, frame_insert(5));
    script_send(script, frame_commit(2000, 2010));
    script_settle(script);
    ck_assert_uint_eq(script->changes_count, 3);
    ck_assert_uint_eq(script->changes[0].relation->relid, 5);
    ck_assert_int_eq(script->changes[0].truncate_flags, 1);
    ck_assert_uint_eq(script->changes[1].relation->relid, 6);
    ck_assert_int_eq(script->changes[1].position.seq, 1);
    ck_assert_int_eq(script->changes[2].position.seq, 2);
    ck_assert_uint_eq(script->changes[0].table_seq, 0);
    ck_assert_uint_eq(script->changes[1].table_seq, 0);
    ck_assert_uint_eq(script->changes[2].table_seq, 1);
    script_free(script);
}
END_TEST

START_TEST(pg_source_truncate_blocked_goes_on_where_it_stopped)
{
    struct script *script = script_streaming();
    script->full = true;
    script_send(script, frame_begin(2000));
    script_send(script, frame_relation(5, "t"));
    script_send(script, frame_relation(6, "u"));
    script_send(script, frame_truncate(5, 6));
    script_send(script, frame_commit(2000, 2010));
    script_settle(script);
    ck_assert_int_eq(script_state(script), SOURCE_BLOCKED);
    script->full = false;
    script_settle(script);
    ck_assert_uint_eq(script->changes_count, 2);
    ck_assert_uint_eq(script->changes[1].relation->relid, 6);
    ck_assert_uint_eq(script->commits, 1);
    script_free(script);
}
END_TEST

START_TEST(pg_source_message_without_transaction_holds_the_boundary)
{
    struct script *script = script_streaming();
    script_send(script, frame_keepalive(1500, false));
    script_send(script, frame_logical(false, 2000, "wanted"));
    script_send(script, frame_logical(false, 2100, "other"));
    script_settle(script);
    ck_assert_uint_eq(script->changes_count, 1);
    ck_assert_uint_eq(script->changes[0].position.commit_lsn.value, 2000);
    ck_assert_int_eq(script->changes[0].position.seq, SEQ_MESSAGE);
    ck_assert_uint_eq(script->changes[0].hold_lsn.value, 1500);
    script_free(script);
}
END_TEST

START_TEST(pg_source_unwanted_message_still_counts_a_seq)
{
    struct script *script = script_streaming();
    script_send(script, frame_begin(2000));
    script_send(script, frame_logical(true, 1990, "other"));
    script_send(script, frame_logical(true, 1991, "wanted"));
    script_send(script, frame_commit(2000, 2010));
    script_settle(script);
    ck_assert_uint_eq(script->changes_count, 1);
    ck_assert_int_eq(script->changes[0].position.seq, 1);
    ck_assert_uint_eq(script->changes[0].table_seq, 1);
    script_free(script);
}
END_TEST

START_TEST(pg_source_keepalive_inside_a_transaction_moves_nothing)
{
    struct script *script = script_streaming();
    script->ack = (struct fan_lsn){UINT64_MAX};
    script_send(script, frame_keepalive(1500, false));
    script_send(script, frame_begin(2000));
    script_send(script, frame_keepalive(1900, true));
    script_run(script, 3 * SECOND);
    ck_assert_uint_eq(script->boundary.value, 1500);
    ck_assert_uint_eq(script_last_status(script).flush.value, 1500);
    ck_assert_uint_eq(script_last_status(script).write.value, 1900);
    script_send(script, frame_commit(2000, 2010));
    script_run(script, 3 * SECOND);
    ck_assert_uint_eq(script_last_status(script).flush.value, 2010);
    script_free(script);
}
END_TEST

START_TEST(pg_source_never_confirms_beyond_the_sink_nor_backwards)
{
    struct script *script = script_streaming();
    script_send(script, frame_keepalive(5000, false));
    script->ack = (struct fan_lsn){3000};
    script_run(script, 2 * SECOND);
    ck_assert_uint_eq(script_last_status(script).flush.value, 3000);
    script->ack = (struct fan_lsn){2000};
    script_run(script, 30 * SECOND);
    ck_assert_uint_eq(script_last_status(script).flush.value, 3000);
    ck_assert_uint_eq(script_last_status(script).apply.value, 3000);
    script_free(script);
}
END_TEST

START_TEST(pg_source_ack_moves_at_most_once_a_second)
{
    struct script *script = script_streaming();
    size_t before = script->statuses_count;
    for (uint64_t i = 1; i <= 50; i++) {
        script_send(script, frame_keepalive(1000 + i, false));
        script->ack = (struct fan_lsn){1000 + i};
        script_run(script, SECOND / 10);
    }
    ck_assert_uint_le(script->statuses_count - before, 6);
    ck_assert_uint_ge(script->statuses_count - before, 4);
    script_free(script);
}
END_TEST

START_TEST(pg_source_answers_at_most_four_a_second)
{
    struct script *script = script_streaming();
    size_t before = script->statuses_count;
    for (uint64_t i = 0; i < 100; i++) {
        script_send(script, frame_keepalive(1001 + i, true));
        script_run(script, SECOND / 50);
    }
    ck_assert_uint_le(script->statuses_count - before, 9); /* two seconds */
    ck_assert_uint_ge(script->statuses_count - before, 6);
    script_free(script);
}
END_TEST

/* The longest pause between two statuses from `first` on, the last one up to now. */
static int64_t longest_pause_us(const struct script *script, size_t first)
{
    int64_t longest = 0;
    for (size_t i = first; i <= script->statuses_count; i++) {
        int64_t at_us = i < script->statuses_count ? script->statuses[i].at_us : script->now_us;
        int64_t pause_us = at_us - script->statuses[i - 1].at_us;
        longest = pause_us > longest ? pause_us : longest;
    }
    return longest;
}

START_TEST(pg_source_blocked_sends_status_in_time)
{
    struct script *script = script_new();
    script->options.wal_sender_timeout_us = 3 * SECOND;
    script_open(script);
    script_settle(script);
    script->full = true;
    script_send(script, frame_begin(2000));
    script_send(script, frame_relation(5, "t"));
    script_send(script, frame_insert(5));
    script_send(script, frame_insert(5));
    script_settle(script);
    size_t first = script->statuses_count;
    script_run(script, 120 * SECOND);
    ck_assert_int_eq(script_state(script), SOURCE_BLOCKED);
    ck_assert_int_le(longest_pause_us(script, first), SECOND);
    ck_assert_uint_eq(script->changes_count, 0);
    script->full = false;
    script_run(script, SECOND);
    ck_assert_int_eq(script_state(script), SOURCE_STREAMING);
    ck_assert_uint_eq(script->changes_count, 2);
    script_free(script);
}
END_TEST

START_TEST(pg_source_describing_sends_status_and_reads_nothing)
{
    struct script *script = script_streaming();
    script->hold_describe = true;
    send_transaction(script, 2000);
    script_settle(script);
    size_t first = script->statuses_count;
    script_run(script, 90 * SECOND);
    ck_assert_int_le(longest_pause_us(script, first), 10 * SECOND);
    ck_assert_uint_eq(script->changes_count, 0);
    ck_assert_int_eq(script_state(script), SOURCE_STREAMING);
    script->hold_describe = false;
    script_settle(script);
    ck_assert_uint_eq(script->changes_count, 3);
    script_free(script);
}
END_TEST

START_TEST(pg_source_stopping_server_is_let_go)
{
    struct script *script = script_streaming();
    send_transaction(script, 2000);
    script_settle(script);
    int64_t start_us = script->now_us;
    size_t first = script->statuses_count;
    while (script->now_us < start_us + 7 * SECOND &&
           (script->statuses_count == first || script_last_status(script).flush.value != 0)) {
        /* A stopping server asks again as soon as it was answered. */
        script_send(script, frame_keepalive(2010, true));
        script_run(script, SECOND / 4);
    }
    ck_assert_uint_eq(script_last_status(script).flush.value, 0);
    ck_assert_uint_eq(script_last_status(script).write.value, 2010);
    ck_assert_int_eq(script_state(script), SOURCE_DRAINING);
    ck_assert_int_lt(script->now_us - start_us, 7 * SECOND);
    script->broken = true;
    (void)fan_fail(&script->end.error, FAN_RETRY, "the server ended the stream");
    script_settle(script);
    ck_assert_int_eq(script_state(script), SOURCE_RECONNECTING);
    script_free(script);
}
END_TEST

START_TEST(pg_source_stopping_server_while_blocked_loses_the_link)
{
    struct script *script = script_streaming();
    script->full = true;
    send_transaction(script, 2000);
    script_settle(script);
    script->fail_sqlstate[SCRIPT_SAMPLE] = "57P03";
    script_run(script, 20 * SECOND);
    ck_assert_uint_ge(script->probes, 2);
    script_free(script);
}
END_TEST

START_TEST(pg_source_lost_in_a_transaction_reads_it_again_from_the_ack)
{
    struct script *script = script_streaming();
    send_transaction(script, 2000);
    script->ack = (struct fan_lsn){2010};
    script_run(script, 2 * SECOND);
    script_send(script, frame_begin(3000));
    script_send(script, frame_insert(5));
    script->broken = true;
    script->end = script_failure("57P01");
    script_settle(script);
    ck_assert_int_eq(script_state(script), SOURCE_RECONNECTING);
    ck_assert(!script->session);
    script->facts.slot.confirmed = (struct fan_lsn){2010};
    script_run(script, 2 * SECOND);
    ck_assert_uint_eq(script->started_at.value, 2010);
    script->changes_count = 0;
    send_transaction(script, 3000);
    script_settle(script);
    ck_assert_uint_eq(script->changes_count, 3);
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(script->changes[i].position.seq, (int64_t)i);
        ck_assert_uint_eq(script->changes[i].table_seq, i); /* counted anew, too */
    }
    script_free(script);
}
END_TEST

START_TEST(pg_source_row_without_relation_in_the_new_session_fails)
{
    struct script *script = script_streaming();
    send_transaction(script, 2000);
    script_settle(script);
    script->ack = (struct fan_lsn){2010};
    pg_source_rewind(script->source);
    script_settle(script);
    script_send(script, frame_begin(3000));
    script_send(script, frame_insert(5));
    script_settle(script);
    ck_assert_int_eq(script_state(script), SOURCE_FAILED);
    script_free(script);
}
END_TEST

START_TEST(pg_source_backs_off_by_doubling)
{
    struct script *script = script_streaming();
    script->broken = true;
    script->end = script_failure("57P01");
    int64_t longest_us = 0;
    for (int attempt = 0; attempt < 9; attempt++) {
        int64_t before_us = script->now_us;
        unsigned probes = script->probes;
        while (script->probes == probes) {
            script->fail_sqlstate[SCRIPT_PROBE] = "53300";
            script_settle(script);
            script->now_us = script->wait.deadline_us;
        }
        int64_t waited_us = script->now_us - before_us;
        ck_assert_int_le(waited_us, 61 * SECOND);
        longest_us = waited_us > longest_us ? waited_us : longest_us;
    }
    ck_assert_int_ge(longest_us, 30 * SECOND);
    script->fail_sqlstate[SCRIPT_PROBE] = NULL;
    script_run(script, 61 * SECOND);
    ck_assert_int_eq(script_state(script), SOURCE_STREAMING);
    script_free(script);
}
END_TEST

struct failure_case {
    enum script_job job;
    const char *sqlstate;
    enum source_state state;
    const char *code;
    int64_t wait_us; /* at least */
};

static const struct failure_case failure_cases[] = {
    {SCRIPT_PROBE, "28P01", SOURCE_RECONNECTING, "AUTHENTICATION", 60 * SECOND},
    {SCRIPT_PROBE, "28000", SOURCE_RECONNECTING, "AUTHENTICATION", 60 * SECOND},
    {SCRIPT_PROBE, "53300", SOURCE_RECONNECTING, "SERVER_FULL", SECOND / 2},
    {SCRIPT_PROBE, "57P03", SOURCE_RECONNECTING, "", SECOND / 2},
    {SCRIPT_PROBE, "08006", SOURCE_RECONNECTING, "", SECOND / 2},
    {SCRIPT_START, "42704", SOURCE_FAILED, "SLOT_MISSING", 0},
    {SCRIPT_START, "55000", SOURCE_FAILED, "SLOT_LOST", 0},
    {SCRIPT_CREATE, "42501", SOURCE_FAILED, "PERMISSION_DENIED", 0},
};

START_TEST(pg_source_failure_is_classed_by_sqlstate)
{
    const struct failure_case *expected = &failure_cases[_i];
    struct script *script = script_new();
    script->fail_sqlstate[expected->job] = expected->sqlstate;
    script_open(script);
    script_settle(script);
    ck_assert_int_eq(script_state(script), expected->state);
    ck_assert_str_eq(script_code(script), expected->code);
    if (expected->wait_us > 0) {
        ck_assert_int_ge(script->wait.deadline_us - script->now_us, expected->wait_us);
    }
    script_free(script);
}
END_TEST

START_TEST(pg_source_same_decoding_error_thrice_is_poison)
{
    struct script *script = script_streaming();
    for (int round = 0; round < 3; round++) {
        ck_assert_int_ne(script_state(script), SOURCE_POISONED);
        script->broken = true;
        script->end = script_failure("XX000");
        script->end.lsn = (struct fan_lsn){4242};
        script_settle(script);
        if (round < 2) {
            script_run(script, 10 * SECOND);
        }
    }
    ck_assert_int_eq(script_state(script), SOURCE_POISONED);
    ck_assert_str_eq(script_code(script), "SOURCE_POISON");
    unsigned probes = script->probes;
    script_run(script, 29 * SECOND);
    ck_assert_uint_eq(script->probes, probes);
    script_run(script, 2 * SECOND);
    ck_assert_uint_eq(script->probes, probes + 1);
    script_send(script, frame_keepalive(5000, false)); /* the change passed after all */
    script_settle(script);
    ck_assert_int_eq(script_state(script), SOURCE_STREAMING);
    script_free(script);
}
END_TEST

START_TEST(pg_source_silent_link_is_given_up)
{
    struct script *script = script_streaming();
    script_run(script, 59 * SECOND);
    ck_assert_uint_eq(script->probes, 1);
    struct source_status status;
    pg_source_status(script->source, &status);
    ck_assert(status.stalled);
    script_run(script, 40 * SECOND);
    ck_assert_uint_ge(script->probes, 2);
    script_free(script);
}
END_TEST

START_TEST(pg_source_probed_link_that_answers_stays)
{
    struct script *script = script_streaming();
    unsigned asked = 0;
    for (int second = 0; second < 300; second++) {
        size_t before = script->statuses_count;
        script_run(script, SECOND);
        if (script->statuses_count > before && script_last_status(script).reply) {
            asked++;
            script_send(script, frame_keepalive(1000, false));
        }
    }
    ck_assert_uint_ge(asked, 29);
    ck_assert_uint_eq(script->probes, 1);
    script_free(script);
}
END_TEST

/* Every kind of message, as the server sends them. */
static size_t messages_of(struct frame *frames)
{
    size_t count = 0;
    frames[count++] = frame_begin(2000);
    frames[count++] = frame_relation(5, "t");
    frames[count++] = frame_relation(6, "u");
    frames[count++] = frame_insert(5);
    frames[count++] = frame_update(5);
    frames[count++] = frame_delete(6);
    frames[count++] = frame_truncate(5, 6);
    frames[count++] = frame_logical(true, 1990, "wanted");
    frames[count++] = frame_commit(2000, 2010);
    frames[count++] = frame_logical(false, 2100, "wanted");
    frames[count++] = frame_keepalive(2200, true);
    return count;
}

/* Sends everything up to `last` and that one broken, and expects the source to stop there. */
static void expect_stop(const struct frame *frames, size_t last, const struct frame *broken)
{
    struct script *script = script_streaming();
    script->ack = (struct fan_lsn){UINT64_MAX};
    for (size_t i = 0; i < last; i++) {
        script_send(script, frames[i]);
    }
    script_settle(script);
    ck_assert_int_eq(script_state(script), SOURCE_STREAMING);
    uint64_t boundary = script->boundary.value;
    script_send_part(script, broken, broken->size);
    script_run(script, 30 * SECOND);
    ck_assert_int_eq(script_state(script), SOURCE_FAILED);
    ck_assert_str_eq(script_code(script), "PROTOCOL");
    ck_assert_uint_eq(script->boundary.value, boundary);
    for (size_t i = 0; i < script->statuses_count; i++) {
        ck_assert_uint_le(script->statuses[i].sent.flush.value, boundary);
    }
    script_free(script);
}

START_TEST(pg_source_truncated_frame_stops_and_confirms_nothing_more)
{
    struct frame frames[16];
    size_t count = messages_of(frames);
    for (size_t i = 0; i < count; i++) {
        for (size_t size = 1; size < frames[i].size; size++) {
            struct frame broken = frames[i];
            broken.size = size;
            expect_stop(frames, i, &broken);
        }
    }
}
END_TEST

START_TEST(pg_source_trailing_byte_stops)
{
    struct frame frames[16];
    size_t count = messages_of(frames);
    for (size_t i = 0; i < count; i++) {
        struct frame broken = frames[i];
        frame_number(&broken, 0, 1);
        expect_stop(frames, i, &broken);
    }
}
END_TEST

START_TEST(pg_source_order_that_cannot_be_stops)
{
    struct frame frames[16];
    (void)messages_of(frames);
    struct frame early = frame_begin(999);
    expect_stop(frames, 0, &early); /* before the start */
    struct frame nested = frame_begin(2500);
    expect_stop(frames, 1, &nested);
    struct frame other = frame_commit(2001, 2010);
    expect_stop(frames, 1, &other);
    struct frame backwards = frame_commit(2000, 2000);
    expect_stop(frames, 1, &backwards);
    struct frame outside = frame_insert(5);
    expect_stop(frames, 0, &outside);
    struct frame origin = frame_origin(7, "north");
    expect_stop(frames, 0, &origin);
    struct frame unknown = frame_insert(7);
    expect_stop(frames, 3, &unknown);
    struct frame again = frame_begin(2005);
    expect_stop(frames, 9, &again); /* the previous one ends at 2010 */
    struct frame stream_start = frame_payload('S');
    expect_stop(frames, 0, &stream_start);
}
END_TEST

START_TEST(pg_source_rewind_starts_at_the_ack_without_delay)
{
    struct script *script = script_streaming();
    send_transaction(script, 2000);
    send_transaction(script, 3000);
    script_settle(script);
    script->ack = (struct fan_lsn){2010};
    script->facts.slot.confirmed = (struct fan_lsn){2010};
    pg_source_rewind(script->source);
    script_settle(script);
    ck_assert_int_eq(script_state(script), SOURCE_STREAMING);
    ck_assert_uint_eq(script->started_at.value, 2010);
    script_free(script);
}
END_TEST

START_TEST(pg_source_stop_sends_the_last_status_and_ends_the_copy)
{
    struct script *script = script_streaming();
    send_transaction(script, 2000);
    script_settle(script);
    script->ack = (struct fan_lsn){2010};
    pg_source_stop(script->source);
    script_run(script, 2 * SECOND);
    ck_assert_uint_eq(script_last_status(script).flush.value, 2010);
    ck_assert_uint_eq(script->ended, 1);
    ck_assert_int_eq(script_state(script), SOURCE_STOPPED);
    ck_assert(!script->session);
    script_free(script);
}
END_TEST

START_TEST(pg_source_slot_moved_by_others_stops_after_restart)
{
    struct script *script = script_streaming();
    script->facts.slot.confirmed = (struct fan_lsn){9000};
    script_restart(script);
    script_settle(script);
    ck_assert_int_eq(script_state(script), SOURCE_FAILED);
    ck_assert_str_eq(script_code(script), "SLOT_MOVED");
    script_free(script);
}
END_TEST

START_TEST(pg_source_time_that_goes_back_changes_nothing)
{
    struct script *script = script_streaming();
    script_run(script, 5 * SECOND);
    size_t before = script->statuses_count;
    int64_t now_us = script->now_us;
    pg_source_step(script->source, now_us - 3600LL * SECOND, &script->wait);
    ck_assert_uint_eq(script->statuses_count, before);
    ck_assert_int_eq(script_state(script), SOURCE_STREAMING);
    script_free(script);
}
END_TEST

int main(void)
{
    log_set_level(LOG_ERROR);
    log_set_descriptor(-1);
    Suite *suite = suite_create("pg_source");
    TCase *start = tcase_create("start");
    tcase_add_test(start, pg_source_first_start_makes_publication_then_intent_then_slot);
    tcase_add_test(start, pg_source_crash_after_intent_adopts_the_slot);
    tcase_add_test(start, pg_source_foreign_slot_fails_before_anything_is_made);
    tcase_add_test(start, pg_source_slot_that_somebody_else_made_meanwhile_is_never_adopted);
    tcase_add_test(start, pg_source_cancelled_creation_leaves_no_intent);
    tcase_add_test(start, pg_source_link_lost_while_the_slot_is_made_adopts_it);
    tcase_add_test(start, pg_source_stop_while_an_intent_is_withdrawn_ends);
    tcase_add_test(start,
                   pg_source_publication_that_somebody_else_made_meanwhile_is_looked_at_again);
    tcase_add_test(start, pg_source_streams_on_without_a_table_and_says_so);
    tcase_add_test(start, pg_source_table_that_leaves_the_publication_shows_at_the_next_sample);
    tcase_add_test(start, pg_source_insecure_tls_is_shown);
    tcase_add_test(start, pg_source_active_slot_is_waited_for);
    tcase_add_test(start, pg_source_start_refused_as_active_is_tried_again);
    tcase_add_test(start, pg_source_slot_moved_by_others_stops_after_restart);
    suite_add_tcase(suite, start);
    TCase *stream = tcase_create("stream");
    tcase_add_test(stream, pg_source_transaction_is_handed_over_in_order);
    tcase_add_test(stream, pg_source_origin_belongs_to_its_transaction);
    tcase_add_test(stream, pg_source_origins_beyond_the_limit_are_not_shown);
    tcase_add_test(stream, pg_source_same_relation_again_is_no_new_version);
    tcase_add_test(stream, pg_source_relation_with_other_labels_is_a_new_version);
    tcase_add_test(stream, pg_source_truncate_counts_a_seq_for_each_relation);
    tcase_add_test(stream, pg_source_truncate_blocked_goes_on_where_it_stopped);
    tcase_add_test(stream, pg_source_message_without_transaction_holds_the_boundary);
    tcase_add_test(stream, pg_source_unwanted_message_still_counts_a_seq);
    tcase_add_test(stream, pg_source_keepalive_inside_a_transaction_moves_nothing);
    suite_add_tcase(suite, stream);
    TCase *feedback = tcase_create("feedback");
    tcase_add_test(feedback, pg_source_never_confirms_beyond_the_sink_nor_backwards);
    tcase_add_test(feedback, pg_source_ack_moves_at_most_once_a_second);
    tcase_add_test(feedback, pg_source_answers_at_most_four_a_second);
    tcase_add_test(feedback, pg_source_blocked_sends_status_in_time);
    tcase_add_test(feedback, pg_source_describing_sends_status_and_reads_nothing);
    tcase_add_test(feedback, pg_source_stopping_server_is_let_go);
    tcase_add_test(feedback, pg_source_stopping_server_while_blocked_loses_the_link);
    tcase_add_test(feedback, pg_source_silent_link_is_given_up);
    tcase_add_test(feedback, pg_source_probed_link_that_answers_stays);
    suite_add_tcase(suite, feedback);
    TCase *failure = tcase_create("failure");
    tcase_set_timeout(failure, 60);
    tcase_add_test(failure, pg_source_lost_in_a_transaction_reads_it_again_from_the_ack);
    tcase_add_test(failure, pg_source_row_without_relation_in_the_new_session_fails);
    tcase_add_test(failure, pg_source_backs_off_by_doubling);
    tcase_add_loop_test(failure, pg_source_failure_is_classed_by_sqlstate, 0,
                        sizeof(failure_cases) / sizeof(failure_cases[0]));
    tcase_add_test(failure, pg_source_same_decoding_error_thrice_is_poison);
    tcase_add_test(failure, pg_source_truncated_frame_stops_and_confirms_nothing_more);
    tcase_add_test(failure, pg_source_trailing_byte_stops);
    tcase_add_test(failure, pg_source_order_that_cannot_be_stops);
    tcase_add_test(failure, pg_source_rewind_starts_at_the_ack_without_delay);
    tcase_add_test(failure, pg_source_stop_sends_the_last_status_and_ends_the_copy);
    tcase_add_test(failure, pg_source_time_that_goes_back_changes_nothing);
    suite_add_tcase(suite, failure);
    return suite_run_all(suite);
}
