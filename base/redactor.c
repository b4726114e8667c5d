#include "base/redactor.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/escape.h"

bool redactor_add(struct redactor *redactor, const char *text)
{
    if (text == NULL || text[0] == '\0') {
        return true;
    }
    struct secret *secrets =
        realloc(redactor->secrets, (redactor->count + 1) * sizeof(*redactor->secrets));
    if (secrets == NULL) {
        return false;
    }
    redactor->secrets = secrets;
    secrets[redactor->count] = (struct secret){0};
    if (secret_set(&secrets[redactor->count], text, strlen(text)) != FAN_OK) {
        return false;
    }
    redactor->count++;
    return true;
}

bool redactor_add_basic(struct redactor *redactor, const char *username, const char *password)
{
    struct bytes pair;
    bytes_init(&pair, 8192);
    bytes_append_format(&pair, "%s:%s", username, password);
    size_t size = (pair.size + 2) / 3 * 4 + 1;
    char *base64 = bytes_ok(&pair) ? malloc(size) : NULL;
    bool fine = base64 != NULL;
    if (fine) {
        (void)EVP_EncodeBlock((unsigned char *)base64, pair.data, (int)pair.size); /* it fits */
        fine = redactor_add(redactor, password) && redactor_add(redactor, base64);
        explicit_bzero(base64, size);
        explicit_bzero(pair.data, pair.size);
    }
    free(base64);
    bytes_release(&pair);
    return fine;
}

void redactor_release(struct redactor *redactor)
{
    for (size_t i = 0; i < redactor->count; i++) {
        secret_release(&redactor->secrets[i]);
    }
    free(redactor->secrets);
    *redactor = (struct redactor){0};
}

static void hide(char *text, size_t size, const char *secret)
{
    size_t length = strlen(secret);
    char *end = text + size;
    for (char *at = text; (at = memmem(at, (size_t)(end - at), secret, length)) != NULL;
         at += length) {
        memset(at, '*', length);
    }
}

void redactor_append(const struct redactor *redactor, struct bytes *out, const char *text,
                     size_t size, size_t size_max)
{
    char *copy = size > 0 ? malloc(size + 1) : NULL;
    if (copy == NULL) {
        return; /* a message without the receiver's words */
    }
    memcpy(copy, text, size);
    copy[size] = '\0';
    for (size_t i = 0; i < redactor->count; i++) {
        hide(copy, size, secret_reveal(&redactor->secrets[i]));
    }
    bytes_append_escaped(out, copy, size, size_max);
    free(copy);
}
