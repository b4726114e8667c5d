#include "base/secret.h"

#include <stdlib.h>
#include <string.h>

enum fan_status secret_set(struct secret *secret, const char *value, size_t size)
{
    char *copy = malloc(size + 1);
    if (copy == NULL) {
        return FAN_RETRY;
    }
    if (size > 0) {
        memcpy(copy, value, size);
    }
    copy[size] = '\0';
    secret_release(secret);
    secret->value = copy;
    secret->size = size;
    return FAN_OK;
}

void secret_release(struct secret *secret)
{
    if (secret->value != NULL) {
        explicit_bzero(secret->value, secret->size); /* a plain memset before free may be elided */
        free(secret->value);
    }
    secret->value = NULL;
    secret->size = 0;
}

const char *secret_reveal(const struct secret *secret)
{
    return secret->value;
}
