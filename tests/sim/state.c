/* What the engine of a history holds in memory at the moment when a rule is broken. */
#include <inttypes.h>
#include <stdio.h>

#include "tests/sim/process.h"

#define POSITION_TEXT "%" PRIX64 "/%" PRId64
#define POSITION(position) (position).commit_lsn.value, (position).seq

static void print_outlet(const struct outlet *outlet)
{
    const struct backlog *backlog = &outlet->backlog;
    const struct courier *courier = &outlet->courier;
    (void)printf("    %s: %s%s%s%s divert %d trouble %d started %d no_more %" PRId64
                 " retry_at %" PRId64 "\n",
                 outlet->name, outlet->answering ? "answering" : "positional",
                 outlet->counts ? " counts" : "", outlet->fatal ? " FATAL" : "",
                 outlet->circuit_open ? " circuit open" : "", (int)outlet->divert,
                 (int)outlet->trouble, outlet->started, outlet->no_more_us,
                 outlet->answering ? courier->retry_at_us : outlet->retry_at_us);
    (void)printf(
        "      given " POSITION_TEXT " settled " POSITION_TEXT " checkpoint " POSITION_TEXT
        " persisted " POSITION_TEXT " kept_until " POSITION_TEXT " given_up " POSITION_TEXT "\n",
        POSITION(outlet->given), POSITION(outlet->settled), POSITION(outlet->checkpoint.position),
        POSITION(outlet->persisted), POSITION(outlet->kept_until), POSITION(outlet->given_up));
    (void)printf("      window %" PRIu64 " courier %s open %zu from_backlog %d letters %d "
                 "to_mark %" PRIu64 " taken %d squeezed %d\n",
                 outlet->window_tail - outlet->window_head,
                 courier->batch == NULL ? "idle" : "busy", courier->open_count,
                 outlet->from_backlog,
                 letter_writer_settled(&outlet->letters, outlet->letters_serial),
                 outlet->gap_to_mark.count, outlet->gap_taken, outlet->squeezed);
    (void)printf("      backlog %d appended " POSITION_TEXT " taken " POSITION_TEXT
                 " delivered " POSITION_TEXT " drained %d over %d ends_txn %d gap known %d open %d "
                 "unasked %d unmarked %" PRIu64 "\n",
                 (int)backlog->kind, POSITION(backlog->appended), POSITION(backlog->taken),
                 POSITION(backlog->delivered), backlog_drained(backlog), backlog_over(backlog),
                 backlog->last_ends_txn, backlog->gap_known, backlog->gap_open,
                 backlog->gap_unasked, backlog->unmarked.count);
    (void)printf("      error %s\n", outlet->last_error.text);
}

static void print_pipeline(const struct process *process, size_t index)
{
    const struct pipeline *pipeline = &process->pipelines[index];
    const struct settings_pipeline *settings = pipeline->settings;
    const struct intake *intake = &process->reader.intakes[index];
    (void)printf("  p%zu: state %d run %d wish %d drained %d lost %d; commit mode %d quorum %lld, "
                 "buffer policy %d spill %" PRIu64 ", errors %d letters %d\n",
                 process->plan[index], (int)intake->state, (int)pipeline->run, (int)pipeline->wish,
                 pipeline->drained, pipeline->lost, (int)settings->commit_policy.mode,
                 (long long)settings->commit_policy.quorum, (int)settings->buffer.policy,
                 settings->buffer.spill_max, (int)settings->error_handling.on_persistent_failure,
                 settings->error_handling.dead_letter);
    (void)printf("    current %s left %" PRIx64 ", taken %zu of %zu\n",
                 pipeline->current == NULL ? "none" : "there", pipeline->current_left,
                 pipeline->taken_next, pipeline->taken_count);
    for (size_t target = 0; target < pipeline->outlets_count; target++) {
        print_outlet(&pipeline->outlets[target]);
    }
}

void process_print(const struct process *process)
{
    for (size_t index = 0; index < process->count; index++) {
        print_pipeline(process, index);
    }
}
