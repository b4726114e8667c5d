/*
 * signature.h - signs a message as Standard Webhooks 1.0.0 says.
 *
 * A signature is `v1,` and the base64 of HMAC-SHA256 over `<id>.<timestamp>.<payload>`, one for
 * each active secret, with a space between them, so that a secret is replaced without a moment in
 * which a receiver cannot check. A secret is `whsec_` and the base64 of 24 to 64 bytes.
 *
 * Ownership:  signer_release() erases and frees the keys; accepts a zeroed one.
 * Threading:  a signer is constant after signer_init(): signings of several threads may use it.
 */
#ifndef TARGETS_HTTP_SIGNATURE_H
#define TARGETS_HTTP_SIGNATURE_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/secret.h"
#include "base/status.h"

enum { SIGNER_KEYS_MAX = 2, SIGNATURE_KEY_MIN = 24, SIGNATURE_KEY_MAX = 64 };

struct evp_mac_ctx_st; /* libcrypto's */

struct signer {
    size_t count; /* 0: messages are not signed */
    struct evp_mac_ctx_st *keyed[SIGNER_KEYS_MAX];
};

/* One message while it is signed. */
struct signing {
    size_t count;
    struct evp_mac_ctx_st *contexts[SIGNER_KEYS_MAX];
    bool failed;
};

bool signature_secret_valid(const char *secret);

/* Unset secrets are left out. FAN_FATAL for one that is not valid, FAN_RETRY when memory is out. */
enum fan_status signer_init(struct signer *signer, const struct secret *secret,
                            const struct secret *old_secret,
                            struct fan_error *reterr) FAN_MUST_CHECK;
void signer_release(struct signer *signer);

/* begin, update any number of times, finish. Failures show in the result of finish. */
void signing_begin(struct signing *signing, const struct signer *signer, const char *id,
                   const char *timestamp);
void signing_update(struct signing *signing, const void *data, size_t size);
/* Appends the signatures; false when memory is out. Releases the signing in any case. */
bool signing_finish(struct signing *signing, struct bytes *out) FAN_MUST_CHECK;

#endif
