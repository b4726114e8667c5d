/*
 * Property: a source starts only where nothing can have been lost; every other relation between
 *           store and server stops it with the code that names it.
 * Oracle:   the restart recipe, rules a to g, as a table.
 */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "sources/postgres/decide.h"
#include "tests/unit/suite.h"

/* A store that has confirmed 2000 on timeline 1, and the server that belongs to it. */
struct world {
    struct source_memory memory;
    struct link_facts facts;
    struct decide_input input;
};

static struct world *world_new(void)
{
    static struct world world;
    world = (struct world){
        .memory = {.system_id = "7000",
                   .timeline = 1,
                   .database = "shop",
                   .slot = "pgfan",
                   .publication = "pgfan",
                   .slot_stage = SLOT_CREATED,
                   .consistent_point = {1000},
                   .confirmed = {2000}},
        .facts = {.server_version = 150018,
                  .system_id = "7000",
                  .timeline = 1,
                  .wal_end = {9000},
                  .database = "shop",
                  .publication_exists = true,
                  .slot = {.exists = true,
                           .logical = true,
                           .plugin = "pgoutput",
                           .database = "shop",
                           .wal_status = "reserved",
                           .restart = {900},
                           .confirmed = {2000}}},
    };
    world.input = (struct decide_input){.memory = &world.memory,
                                        .facts = &world.facts,
                                        .furthest = {{1900}, 3},
                                        .slot = "pgfan",
                                        .create = true};
    return &world;
}

static void expect_start(const struct world *world, enum decide_action action, uint64_t start)
{
    struct decision decision;
    struct fan_error error;
    ck_assert_int_eq(decide(&world->input, &decision, &error), FAN_OK);
    ck_assert_int_eq(decision.action, action);
    ck_assert_uint_eq(decision.start.value, start);
}

static void expect_stop(const struct world *world, enum fan_status status, const char *code)
{
    struct decision decision = {.action = DECIDE_CREATE, .start = {77}};
    struct fan_error error = {.text = ""};
    ck_assert_int_eq(decide(&world->input, &decision, &error), status);
    ck_assert_str_eq(error.code, code);
    ck_assert_str_ne(error.text, "");
    ck_assert_str_ne(error.hint, "");
    ck_assert_uint_eq(decision.start.value, 77); /* untouched */
}

START_TEST(pg_decide_normal_restart_starts_at_the_persisted_ack)
{
    expect_start(world_new(), DECIDE_START, 2000);
}
END_TEST

START_TEST(pg_decide_slot_rolled_back_by_a_crash_starts_at_the_persisted_ack)
{
    struct world *world = world_new();
    world->facts.slot.confirmed.value = 1200;
    expect_start(world, DECIDE_START, 2000);
}
END_TEST

START_TEST(pg_decide_a_other_cluster_stops)
{
    struct world *world = world_new();
    (void)snprintf(world->facts.system_id, sizeof(world->facts.system_id), "7001");
    expect_stop(world, FAN_FATAL, "OTHER_CLUSTER");
    world = world_new();
    (void)snprintf(world->facts.database, sizeof(world->facts.database), "other");
    expect_stop(world, FAN_FATAL, "OTHER_CLUSTER");
}
END_TEST

START_TEST(pg_decide_standby_without_our_slot_is_waited_for)
{
    struct world *world = world_new();
    world->facts.in_recovery = true;
    world->facts.slot.exists = false;
    expect_stop(world, FAN_RETRY, "IN_RECOVERY");
    world->facts.slot.exists = true;
    world->facts.slot.synced = true;
    world->facts.wal_end.value = 1000; /* it lags behind what the primary had */
    expect_stop(world, FAN_RETRY, "IN_RECOVERY");
    world->facts.in_recovery = false; /* promoted */
    world->facts.wal_end.value = 9000;
    expect_start(world, DECIDE_START, 2000);
    world->facts.in_recovery = true;
    world->facts.slot.synced = false; /* made on the standby */
    expect_start(world, DECIDE_START, 2000);
}
END_TEST

START_TEST(pg_decide_b_failover_behind_the_switch_point_goes_on)
{
    struct world *world = world_new();
    world->facts.timeline = 2;
    world->facts.timeline_switch.value = 2000;
    expect_start(world, DECIDE_START, 2000);
}
END_TEST

START_TEST(pg_decide_b_failover_that_lost_transactions_stops)
{
    struct world *world = world_new();
    world->facts.timeline = 2;
    world->facts.timeline_switch.value = 1999;
    expect_stop(world, FAN_FATAL, "DIVERGED");
    world->memory.confirmed.value = 1800;
    world->facts.slot.confirmed.value = 1800;
    world->input.furthest.commit_lsn.value = 1999; /* its commit record starts at the switch */
    expect_stop(world, FAN_FATAL, "DIVERGED");
    world->input.furthest.commit_lsn.value = 1998;
    expect_start(world, DECIDE_START, 1800);
}
END_TEST

START_TEST(pg_decide_b_unknown_history_stops)
{
    struct world *world = world_new();
    world->facts.timeline = 2;
    expect_stop(world, FAN_FATAL, "TIMELINE_UNKNOWN");
    world->memory.timeline = 3;
    expect_stop(world, FAN_FATAL, "TIMELINE_UNKNOWN");
}
END_TEST

START_TEST(pg_decide_c_server_behind_stops)
{
    struct world *world = world_new();
    world->facts.wal_end.value = 1999;
    expect_stop(world, FAN_FATAL, "SERVER_BEHIND");
    world->facts.wal_end.value = 2500;
    world->input.furthest.commit_lsn.value = 2501;
    expect_stop(world, FAN_FATAL, "SERVER_BEHIND");
}
END_TEST

START_TEST(pg_decide_d_missing_slot_is_never_made_again)
{
    struct world *world = world_new();
    world->facts.slot = (struct link_slot){.exists = false};
    expect_stop(world, FAN_FATAL, "SLOT_MISSING");
}
END_TEST

START_TEST(pg_decide_e_lost_slot_stops)
{
    struct world *world = world_new();
    (void)snprintf(world->facts.slot.wal_status, sizeof(world->facts.slot.wal_status), "lost");
    expect_stop(world, FAN_FATAL, "SLOT_LOST");
    world = world_new();
    (void)snprintf(world->facts.slot.invalidation, sizeof(world->facts.slot.invalidation),
                   "idle_timeout");
    expect_stop(world, FAN_FATAL, "SLOT_LOST");
}
END_TEST

START_TEST(pg_decide_f_slot_ahead_of_the_store_stops)
{
    struct world *world = world_new();
    world->facts.slot.confirmed.value = 2001;
    expect_stop(world, FAN_FATAL, "SLOT_MOVED");
}
END_TEST

START_TEST(pg_decide_f_slot_ahead_is_taken_when_named)
{
    struct world *world = world_new();
    world->facts.slot.confirmed.value = 2001;
    world->input.adopt_slot = "pgfan";
    expect_start(world, DECIDE_ADOPT, 2001);
}
END_TEST

START_TEST(pg_decide_fresh_store_creates)
{
    struct world *world = world_new();
    world->memory = (struct source_memory){.slot_stage = SLOT_UNKNOWN};
    world->input.furthest = POSITION_NONE;
    world->facts.slot = (struct link_slot){.exists = false};
    world->facts.publication_exists = false;
    expect_start(world, DECIDE_CREATE, 0);
    world->input.create = false;
    expect_stop(world, FAN_FATAL, "SLOT_MISSING");
}
END_TEST

START_TEST(pg_decide_fresh_store_refuses_a_slot_it_has_never_used)
{
    struct world *world = world_new();
    world->memory = (struct source_memory){.slot_stage = SLOT_UNKNOWN};
    world->input.furthest = POSITION_NONE;
    expect_stop(world, FAN_FATAL, "SLOT_FOREIGN");
    world->input.adopt_slot = "another";
    expect_stop(world, FAN_FATAL, "SLOT_FOREIGN");
    world->input.adopt_slot = "pgfan";
    expect_start(world, DECIDE_ADOPT, 2000);
}
END_TEST

START_TEST(pg_decide_intent_adopts_or_creates)
{
    struct world *world = world_new();
    world->memory.slot_stage = SLOT_INTENT;
    world->memory.confirmed.value = 0;
    world->input.furthest = POSITION_NONE;
    expect_start(world, DECIDE_ADOPT, 2000);
    world->facts.slot = (struct link_slot){.exists = false};
    expect_start(world, DECIDE_CREATE, 0);
}
END_TEST

START_TEST(pg_decide_unfit_slot_stops)
{
    struct world *world = world_new();
    world->facts.slot.two_phase = true;
    expect_stop(world, FAN_FATAL, "SLOT_TWO_PHASE");
    world = world_new();
    (void)snprintf(world->facts.slot.plugin, sizeof(world->facts.slot.plugin), "wal2json");
    expect_stop(world, FAN_FATAL, "SLOT_FOREIGN");
    world = world_new();
    world->facts.slot.logical = false;
    expect_stop(world, FAN_FATAL, "SLOT_FOREIGN");
    world = world_new();
    (void)snprintf(world->facts.slot.database, sizeof(world->facts.slot.database), "other");
    expect_stop(world, FAN_FATAL, "SLOT_FOREIGN");
    world = world_new();
    world->facts.slot.temporary = true;
    expect_stop(world, FAN_FATAL, "SLOT_FOREIGN");
}
END_TEST

START_TEST(pg_decide_active_slot_is_waited_for)
{
    struct world *world = world_new();
    world->facts.slot.active = true;
    world->facts.slot.active_pid = 42;
    expect_stop(world, FAN_RETRY, "SLOT_ACTIVE");
}
END_TEST

START_TEST(pg_decide_other_slot_name_stops)
{
    struct world *world = world_new();
    world->input.slot = "renamed";
    expect_stop(world, FAN_FATAL, "SLOT_CHANGED");
    world->facts.slot.exists = false;
    world->input.adopt_slot = "renamed"; /* nothing to adopt: a new slot would leave a gap */
    expect_stop(world, FAN_FATAL, "SLOT_CHANGED");
}
END_TEST

START_TEST(pg_decide_slot_without_its_publication_stops)
{
    struct world *world = world_new();
    world->facts.publication_exists = false;
    expect_stop(world, FAN_FATAL, "PUBLICATION_MISSING");
}
END_TEST

int main(void)
{
    TCase *rules = tcase_create("rules");
    tcase_add_test(rules, pg_decide_normal_restart_starts_at_the_persisted_ack);
    tcase_add_test(rules, pg_decide_slot_rolled_back_by_a_crash_starts_at_the_persisted_ack);
    tcase_add_test(rules, pg_decide_a_other_cluster_stops);
    tcase_add_test(rules, pg_decide_standby_without_our_slot_is_waited_for);
    tcase_add_test(rules, pg_decide_b_failover_behind_the_switch_point_goes_on);
    tcase_add_test(rules, pg_decide_b_failover_that_lost_transactions_stops);
    tcase_add_test(rules, pg_decide_b_unknown_history_stops);
    tcase_add_test(rules, pg_decide_c_server_behind_stops);
    tcase_add_test(rules, pg_decide_d_missing_slot_is_never_made_again);
    tcase_add_test(rules, pg_decide_e_lost_slot_stops);
    tcase_add_test(rules, pg_decide_f_slot_ahead_of_the_store_stops);
    tcase_add_test(rules, pg_decide_f_slot_ahead_is_taken_when_named);
    tcase_add_test(rules, pg_decide_fresh_store_creates);
    tcase_add_test(rules, pg_decide_fresh_store_refuses_a_slot_it_has_never_used);
    tcase_add_test(rules, pg_decide_intent_adopts_or_creates);
    tcase_add_test(rules, pg_decide_unfit_slot_stops);
    tcase_add_test(rules, pg_decide_active_slot_is_waited_for);
    tcase_add_test(rules, pg_decide_other_slot_name_stops);
    tcase_add_test(rules, pg_decide_slot_without_its_publication_stops);
    return suite_run("pg_decide", rules);
}
