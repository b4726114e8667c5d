/*
 * schema_ids.h - who knows the number that a schema registry has given to a schema. The contract
 * stands here, because an encoder writes the number; schemas/ fulfils it.
 *
 * Threading:  find() from any thread, and it never waits for the registry.
 */
#ifndef ENCODE_SCHEMA_IDS_H
#define ENCODE_SCHEMA_IDS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct schema_ids {
    /*
     * The number of the schema under the subject, and with FAN_OK always the same one.
     *
     *   FAN_AGAIN   not known yet: it is asked for, or will be asked for again. `reterr` says what keeps
     *               it (nobody answers, the registry does not take this schema), or has an empty text.
     *               Whoever needs it calls again.
     *   FAN_RETRY   memory is out.
     */
    enum fan_status (*find)(struct schema_ids *ids, const char *subject, const char *schema,
                            size_t schema_size, uint32_t *ret_id, struct fan_error *reterr);
};

#endif
