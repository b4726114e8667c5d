#include "sources/postgres/errors.h"

#include <string.h>

struct rule {
    const char *prefix; /* of the SQLSTATE; the first rule that fits counts */
    enum error_class class;
};

static const struct rule rules[] = {
    {"55006", ERROR_ACTIVE},    /* object_in_use: the slot is active */
    {"57P01", ERROR_TRANSIENT}, /* admin_shutdown: also pg_terminate_backend, also invalidation */
    {"57P03", ERROR_STOPPING},  /* cannot_connect_now: starting up or shutting down */
    {"57014", ERROR_TRANSIENT}, /* query_canceled: our own time-outs among them */
    {"57", ERROR_TRANSIENT},    /* operator intervention */
    {"08P01", ERROR_PERMANENT}, /* protocol_violation */
    {"08", ERROR_TRANSIENT},    /* connection exceptions */
    {"53", ERROR_TRANSIENT},    /* insufficient resources: too many connections, memory, disk */
    {"58", ERROR_TRANSIENT},    /* system errors: I/O on the server's side */
    {"40", ERROR_TRANSIENT},    /* transaction rollback */
    {"55P03", ERROR_TRANSIENT}, /* lock_not_available */
    {"28", ERROR_SLOW},         /* invalid authorization: password, pg_hba.conf */
    {"3D000", ERROR_SLOW},      /* the database does not exist */
    {"42704", ERROR_PERMANENT}, /* undefined_object: the slot, the publication */
    {"55000", ERROR_PERMANENT}, /* object_not_in_prerequisite_state: lost slot, wal_level */
    {"42501", ERROR_PERMANENT}, /* insufficient_privilege */
    {"42", ERROR_PERMANENT},    /* syntax error or access rule violation */
    {"0A", ERROR_PERMANENT},    /* feature_not_supported: protocol version, mixed column lists */
    {"22023", ERROR_PERMANENT}, /* invalid_parameter_value: plug-in options */
};

enum error_class errors_classify(const struct link_failure *failure, bool streaming)
{
    if (strcmp(failure->error.code, "SLOT_ACTIVE") == 0) {
        return ERROR_ACTIVE; /* seen in the view of slots, before the server could refuse */
    }
    if (failure->sqlstate[0] == '\0' || failure->error.code[0] != '\0') {
        return failure->error.status == FAN_FATAL ? ERROR_PERMANENT : ERROR_TRANSIENT;
    }
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        if (strncmp(failure->sqlstate, rules[i].prefix, strlen(rules[i].prefix)) == 0) {
            return rules[i].class == ERROR_STOPPING && !streaming ? ERROR_TRANSIENT
                                                                  : rules[i].class;
        }
    }
    return streaming ? ERROR_DECODING : ERROR_TRANSIENT;
}

void errors_annotate(struct link_failure *failure, const char *slot, const char *publication)
{
    const char *sqlstate = failure->sqlstate;
    struct fan_error *error = &failure->error;
    if (error->code[0] != '\0' || sqlstate[0] == '\0') {
        return;
    }
    if (strcmp(sqlstate, "55006") == 0) {
        fan_error_annotate(error, "SLOT_ACTIVE",
                           "one program at a time reads a slot: stop the other one, or wait until "
                           "the server has noticed that it is gone");
    } else if (strcmp(sqlstate, "42704") == 0 && strstr(error->text, "publication") != NULL) {
        fan_error_annotate(error, "PUBLICATION_MISSING",
                           "changes from before the publication \"%s\" was created cannot be "
                           "decoded: drop the slot, take a new baseline and start again",
                           publication);
    } else if (strcmp(sqlstate, "42704") == 0) {
        fan_error_annotate(error, "SLOT_MISSING",
                           "somebody dropped the slot \"%s\": a new baseline is required", slot);
    } else if (strcmp(sqlstate, "55000") == 0) {
        fan_error_annotate(error, "SLOT_LOST",
                           "the server no longer keeps the WAL of slot \"%s\": a new baseline is "
                           "required",
                           slot);
    } else if (strcmp(sqlstate, "42501") == 0) {
        fan_error_annotate(error, "PERMISSION_DENIED", NULL);
    } else if (strncmp(sqlstate, "28", 2) == 0) {
        fan_error_annotate(error, "AUTHENTICATION",
                           "check role, password and pg_hba.conf; the next attempt is in a minute");
    } else if (strncmp(sqlstate, "53", 2) == 0) {
        fan_error_annotate(
            error, "SERVER_FULL",
            "check max_connections, max_wal_senders and the role's connection limit");
    }
}
