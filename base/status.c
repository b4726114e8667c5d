#include "base/status.h"

#include <stdio.h>
#include <string.h>

static void error_reset(struct fan_error *error, enum fan_status status, int sys_errno)
{
    error->status = status;
    error->sys_errno = sys_errno;
    error->code[0] = '\0';
    error->text[0] = '\0';
    error->hint[0] = '\0';
}

enum fan_status fan_fail(struct fan_error *reterr, enum fan_status status, const char *format, ...)
{
    if (reterr != NULL) {
        error_reset(reterr, status, 0);
        va_list args;
        va_start(args, format);
        (void)vsnprintf(reterr->text, sizeof(reterr->text), format, args); /* truncation is meant */
        va_end(args);
    }
    return status;
}

enum fan_status fan_fail_errno(struct fan_error *reterr, enum fan_status status, int sys_errno,
                               const char *format, ...)
{
    if (reterr != NULL) {
        error_reset(reterr, status, sys_errno);
        va_list args;
        va_start(args, format);
        (void)vsnprintf(reterr->text, sizeof(reterr->text), format, args); /* truncation is meant */
        va_end(args);
        const char *reason = strerrordesc_np(sys_errno);
        size_t used = strlen(reterr->text);
        (void)snprintf(reterr->text + used, sizeof(reterr->text) - used, ": %s",
                       reason != NULL ? reason : "unknown error"); /* truncation is meant */
    }
    return status;
}

void fan_error_annotate(struct fan_error *error, const char *code, const char *hint_format, ...)
{
    if (error == NULL) {
        return;
    }
    if (code != NULL) {
        (void)snprintf(error->code, sizeof(error->code), "%s", code); /* codes are short literals */
    }
    if (hint_format != NULL) {
        va_list args;
        va_start(args, hint_format);
        (void)vsnprintf(error->hint, sizeof(error->hint), hint_format, args); /* may be cut */
        va_end(args);
    }
}

const char *fan_status_name(enum fan_status status)
{
    switch (status) {
    case FAN_OK:
        return "ok";
    case FAN_AGAIN:
        return "again";
    case FAN_RETRY:
        return "retry";
    case FAN_POISON:
        return "poison";
    case FAN_FATAL:
        return "fatal";
    }
    return "unknown";
}
