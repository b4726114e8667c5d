#include <string.h>

#include "deadletter/deadletter.h"

static const char *const names[] = {
    [LETTER_POISON] = "poison", [LETTER_PARKED] = "parked", [LETTER_ISOLATED] = "isolated"};

const char *deadletter_cause_name(enum deadletter_cause cause)
{
    return cause >= LETTER_POISON && cause <= LETTER_ISOLATED ? names[cause] : "unknown";
}

bool deadletter_cause_parse(const char *name, enum deadletter_cause *ret_cause)
{
    for (int cause = LETTER_POISON; cause <= LETTER_ISOLATED; cause++) {
        if (strcmp(names[cause], name) == 0) {
            *ret_cause = (enum deadletter_cause)cause;
            return true;
        }
    }
    return false;
}
