#include "encode/id.h"

#include <inttypes.h>
#include <stdio.h>

size_t event_id_write(const struct encode_context *context, struct fan_position position, bool gap,
                      char text[EVENT_ID_MAX])
{
    char seq[24] = "m";
    if (position.seq != SEQ_MESSAGE) {
        int digits = position.seq > UINT32_MAX ? 16 : 8; /* as json_write_hex() */
        (void)snprintf(seq, sizeof(seq), "%0*" PRIx64, digits,
                       (uint64_t)position.seq); /* it fits */
    }
    /* 20 + 63 + 16 + 16 bytes and what is between them: it fits, names are bounded. */
    int size = snprintf(text, EVENT_ID_MAX, "%s-%s-%016" PRIx64 "-%s%s", context->system_id,
                        context->slot, position.commit_lsn.value, seq, gap ? "-g" : "");
    return (size_t)size;
}
