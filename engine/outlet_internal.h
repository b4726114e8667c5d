/*
 * outlet_internal.h - what the files of the outlet share; outlet.h has the picture.
 *
 *     outlet.c            life, failures, offers and steps
 *     outlet_memory.c     what the store has of it when it begins
 *     outlet_window.c     the positional way to the target
 *     outlet_courier.c    the answering way to the target
 *     outlet_diversion.c  into the backlog, and back
 *     outlet_parked.c     keys that wait behind dead letters
 *     outlet_refusal.c    events that are refused before the target sees them
 *     outlet_replay.c     letters that go out once more
 */
#ifndef ENGINE_OUTLET_INTERNAL_H
#define ENGINE_OUTLET_INTERNAL_H

#include "engine/outlet.h"

/* ---- outlet.c ---- */

/* Something has changed that the reader has to see, and the store to keep. */
void outlet_move(struct outlet *outlet);
/* The worst trouble is the one to act on: one whose attempts were spent, and that could not be
 * diverted then, may say that it cannot work. A loss is worse than what led to it. */
void outlet_trouble(struct outlet *outlet, enum trouble trouble, const struct fan_error *error);
/* A call failed and comes again after `wait_us`; `what` is the line in the log. */
void outlet_note_failure(struct outlet *outlet, const char *what, const struct fan_error *error,
                         int64_t wait_us);
/* The same for the list of retries: events [first, last], `count` of them and 0 when the target could not
 * be started, have failed so many times in a row. */
void outlet_note_retry(struct outlet *outlet, const struct batch_event *first,
                       const struct batch_event *last, uint64_t count, uint32_t failures,
                       int64_t wait_us, const struct fan_error *error);
void outlet_note_success(struct outlet *outlet);
/* Whether the failures in a row are as many as the conf allows; told once. */
void outlet_count_attempts(struct outlet *outlet, uint32_t failures, const struct fan_error *error);
/* What is under way, for people. */
void outlet_show_window(struct outlet *outlet, uint64_t batches, uint64_t bytes);
/* The checkpoint has moved: once the marker of a gap is durable, it need not be shown again. */
void outlet_marked(struct outlet *outlet);
/* Looks up to where everything is in one of the places of invariant (2). */
void outlet_settle(struct outlet *outlet);
/* What the target still posted before it stopped counts. */
void outlet_stop_target(struct outlet *outlet, int64_t wall_us);
/* The target has been stopped: what it had is no longer under way. */
void outlet_forget_sent(struct outlet *outlet);
/* Gives out again, from the backlog, what the target does not have for sure. */
void outlet_rewind(struct outlet *outlet);

/* ---- outlet_window.c ---- */

/* Whether the target has taken events [first, ...) of the batch. */
bool window_deliver(struct outlet *outlet, struct batch *batch, size_t first,
                    const struct outlet_moment *moment);
/* The target says that everything up to the checkpoint is durable. */
void window_settle(struct outlet *outlet, const struct target_checkpoint *checkpoint,
                   int64_t wall_us);
void window_feed(struct outlet *outlet, const struct outlet_moment *moment);

/* ---- outlet_courier.c ---- */

enum fan_status outlet_courier_init(struct outlet *outlet, const struct outlet_setup *setup,
                                    struct backoff backoff,
                                    struct fan_error *reterr) FAN_MUST_CHECK;
/* Whether the courier has taken events [first, ...) of the batch. */
bool outlet_courier_take(struct outlet *outlet, struct batch *batch, size_t first);
/* Counts the rows of the courier's batch whose fate is known, each once. */
void outlet_courier_count(struct outlet *outlet);
/* Takes note of what the courier went through. */
void outlet_courier_look(struct outlet *outlet, const struct outlet_moment *moment);
/* Sends, ends and begins what can be now. */
void outlet_courier_step(struct outlet *outlet, bool may_deliver,
                         const struct outlet_moment *moment);

/* More convictions within a minute than the conf allows mean that the target is at fault. Of a target
 * that takes whole transactions each of these counts once. */
void outlet_count_poison(struct outlet *outlet, struct fan_position position);

/* ---- outlet_parked.c ---- */

/* Later events of the key become letters, too, if the conf says so. */
void outlet_park(struct outlet *outlet, const struct batch *batch, size_t event);
/* Whether no key waits behind letters that were purged, expired or dropped. If not, the store is asked
 * which it has, and the worker is woken then; until then nothing may be judged by its key. */
bool outlet_parked_fresh(struct outlet *outlet);

/* ---- outlet_refusal.c ---- */

/* Whether some event of the batch, of which those before `first` are settled, may be refused before the
 * target sees it. */
bool outlet_refuses(const struct outlet *outlet, const struct batch *batch, size_t first);
/* Where the run of events that begins at `first` ends: all of them are refused, or none. */
size_t outlet_refusal_run(const struct outlet *outlet, const struct batch *batch, size_t first,
                          bool *ret_refused);
/* Whether events [first, end), which are refused, are settled. */
bool outlet_refusal_take(struct outlet *outlet, struct batch *batch, size_t first, size_t end,
                         const struct outlet_moment *moment);

/* ---- outlet_diversion.c ---- */

/* Whether nothing in the batch stands for drops that a crash would make unknown. */
bool outlet_may_keep(struct outlet *outlet, const struct batch *batch, size_t first);
/* Appends to the backlog, and counts. */
enum fan_status outlet_keep(struct outlet *outlet, struct batch *batch, size_t first,
                            const struct fan_error *why, struct fan_error *reterr) FAN_MUST_CHECK;
/* The events of the batch become a gap of this target, which is diverted. */
enum fan_status outlet_give_up(struct outlet *outlet, struct batch *batch,
                               struct fan_error *reterr) FAN_MUST_CHECK;
/* Live again, if the target has everything of the backlog. */
void outlet_return(struct outlet *outlet);
/* Live again without a backlog, if what comes next may be the probe. */
void outlet_probe_gap(struct outlet *outlet, const struct outlet_moment *moment);

/* ---- outlet_replay.c ---- */

/* Whether the letter has to wait because an older one of its key stays a letter. */
bool outlet_replay_waits(const struct outlet *outlet, const struct batch *batch, size_t event);
/* The letter stays, and holds later ones of its key. */
void outlet_replay_hold(struct outlet *outlet, const struct batch *batch, size_t event);
void outlet_replay_begin(struct outlet *outlet);
/* `may_send`: the target may get something now. */
void outlet_replay_step(struct outlet *outlet, bool may_send);
/* Whether the one that waits would wait for a target that takes nothing, or for the store. */
bool outlet_replay_in_vain(const struct outlet *outlet);
/* Tells the asker of the one that waits that it is not tried. */
void outlet_replay_refuse(struct outlet *outlet, const struct fan_error *error);
/* Tells the asker. `stopped`: the target is down. */
void outlet_replay_finish(struct outlet *outlet, bool stopped);

#endif
