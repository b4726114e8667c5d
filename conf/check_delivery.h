/*
 * check_delivery.h - rules between the targets of a pipeline and its policies, and what of the
 * policies, the dead letters and the slot's guard can lose changes or has no effect: each such
 * choice is allowed, and said.
 *
 * A default never gives a warning, though two of them have an end: a `spill_max` for targets that
 * nobody waits for, and a `max_payload`. Their help says so.
 */
#ifndef CONF_CHECK_DELIVERY_H
#define CONF_CHECK_DELIVERY_H

#include "conf/decode.h"

/* `node` is the pipeline's; adds faults and warnings to the decoder's report. */
void conf_check_delivery(const struct conf_decoder *decoder, const struct conf_node *node,
                         const struct settings_pipeline *pipeline);

/* Over all pipelines, which share one store. */
void conf_check_dead_letters(const struct conf_decoder *decoder, const struct settings *settings);

/* `node` is the source's. */
void conf_check_guard(const struct conf_decoder *decoder, const struct conf_node *node,
                      const struct settings_source *source);

#endif
