/*
 * errors.h - what an error of the server means for the source, by SQLSTATE and circumstances.
 *
 * SQLSTATEs: PostgreSQL documentation, appendix "PostgreSQL Error Codes".
 */
#ifndef SOURCES_POSTGRES_ERRORS_H
#define SOURCES_POSTGRES_ERRORS_H

#include <stdbool.h>

#include "sources/postgres/link.h"

enum error_class {
    ERROR_TRANSIENT, /* back off and try again */
    ERROR_SLOW,      /* as a rule somebody has to act, but it may mend itself: once a minute */
    ERROR_ACTIVE,    /* another walsender uses the slot */
    ERROR_STOPPING,  /* the server shuts down */
    ERROR_PERMANENT, /* trying again would give the same */
    ERROR_DECODING,  /* the server failed on a change: the same thrice is a source poison */
};

/* `streaming`: the stream was open when it came. */
enum error_class errors_classify(const struct link_failure *failure, bool streaming);

/* Gives the error a code and a hint where its SQLSTATE says more than the server's text. */
void errors_annotate(struct link_failure *failure, const char *slot, const char *publication);

#endif
