/*
 * check_delivery.h - rules between the targets of a pipeline and its policies, and what of them
 * can lose changes: each such choice is allowed, and said.
 */
#ifndef CONF_CHECK_DELIVERY_H
#define CONF_CHECK_DELIVERY_H

#include "conf/decode.h"

/* `node` is the pipeline's; adds faults and warnings to the decoder's report. */
void conf_check_delivery(const struct conf_decoder *decoder, const struct conf_node *node,
                         const struct settings_pipeline *pipeline);

#endif
