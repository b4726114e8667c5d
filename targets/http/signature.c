#include "targets/http/signature.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <string.h>

#define PREFIX "whsec_"

enum { HMAC_SIZE = 32, BASE64_MAX = (SIGNATURE_KEY_MAX + 2) / 3 * 4 };

/* Strict base64: its alphabet, padded, nothing else. Returns the number of bytes, or 0. */
static size_t base64_decode(const char *text, uint8_t bytes[BASE64_MAX])
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t size = strlen(text);
    size_t letters = strspn(text, alphabet);
    size_t padding = strspn(text + letters, "=");
    if (size == 0 || size > BASE64_MAX || size % 4 != 0 || letters + padding != size ||
        padding > 2) {
        return 0;
    }
    int decoded = EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)size);
    return decoded < 0 ? 0 : (size_t)decoded - padding;
}

/* Returns the size of the key, or 0 when the secret is not valid. */
static size_t read_key(const char *secret, uint8_t key[BASE64_MAX])
{
    if (strncmp(secret, PREFIX, sizeof(PREFIX) - 1) != 0) {
        return 0;
    }
    size_t size = base64_decode(secret + sizeof(PREFIX) - 1, key);
    return size >= SIGNATURE_KEY_MIN && size <= SIGNATURE_KEY_MAX ? size : 0;
}

bool signature_secret_valid(const char *secret)
{
    uint8_t key[BASE64_MAX];
    bool valid = read_key(secret, key) > 0;
    explicit_bzero(key, sizeof(key));
    return valid;
}

static EVP_MAC_CTX *make_keyed(const uint8_t *key, size_t size)
{
    char digest[] = "SHA256";
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_END};
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *context = EVP_MAC_CTX_new(mac);
    EVP_MAC_free(mac);
    if (context != NULL && EVP_MAC_init(context, key, size, parameters) != 1) {
        EVP_MAC_CTX_free(context);
        context = NULL;
    }
    return context;
}

static enum fan_status add_key(struct signer *signer, const struct secret *secret,
                               struct fan_error *reterr)
{
    const char *text = secret_reveal(secret);
    if (text == NULL) {
        return FAN_OK;
    }
    uint8_t key[BASE64_MAX];
    size_t size = read_key(text, key);
    EVP_MAC_CTX *keyed = size > 0 ? make_keyed(key, size) : NULL;
    explicit_bzero(key, sizeof(key));
    if (size == 0) {
        return fan_fail(reterr, FAN_FATAL,
                        "cannot use a signing secret: it is not whsec_ and the "
                        "base64 of 24 to 64 bytes");
    }
    if (keyed == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not prepare a signing secret: out of memory");
    }
    signer->keyed[signer->count++] = keyed;
    return FAN_OK;
}

enum fan_status signer_init(struct signer *signer, const struct secret *secret,
                            const struct secret *old_secret, struct fan_error *reterr)
{
    *signer = (struct signer){0};
    enum fan_status status = add_key(signer, secret, reterr);
    if (status == FAN_OK) {
        status = add_key(signer, old_secret, reterr);
    }
    if (status != FAN_OK) {
        signer_release(signer);
    }
    return status;
}

void signer_release(struct signer *signer)
{
    for (size_t i = 0; i < signer->count; i++) {
        EVP_MAC_CTX_free(signer->keyed[i]); /* it erases the key */
    }
    *signer = (struct signer){0};
}

void signing_begin(struct signing *signing, const struct signer *signer, const char *id,
                   const char *timestamp)
{
    *signing = (struct signing){.count = signer->count};
    for (size_t i = 0; i < signing->count; i++) {
        signing->contexts[i] = EVP_MAC_CTX_dup(signer->keyed[i]);
        signing->failed = signing->failed || signing->contexts[i] == NULL;
    }
    signing_update(signing, id, strlen(id));
    signing_update(signing, ".", 1);
    signing_update(signing, timestamp, strlen(timestamp));
    signing_update(signing, ".", 1);
}

void signing_update(struct signing *signing, const void *data, size_t size)
{
    for (size_t i = 0; i < signing->count && !signing->failed; i++) {
        signing->failed = EVP_MAC_update(signing->contexts[i], data, size) != 1;
    }
}

static bool append_signature(EVP_MAC_CTX *context, struct bytes *out)
{
    uint8_t code[HMAC_SIZE];
    unsigned char base64[(HMAC_SIZE + 2) / 3 * 4 + 1];
    size_t size = 0;
    if (EVP_MAC_final(context, code, &size, sizeof(code)) != 1 || size != sizeof(code)) {
        return false;
    }
    int length = EVP_EncodeBlock(base64, code, (int)size);
    BYTES_APPEND_LITERAL(out, "v1,");
    bytes_append(out, base64, (size_t)length);
    return bytes_ok(out);
}

bool signing_finish(struct signing *signing, struct bytes *out)
{
    bool fine = !signing->failed;
    for (size_t i = 0; i < signing->count; i++) {
        if (fine && i > 0) {
            bytes_append_char(out, ' ');
        }
        fine = fine && append_signature(signing->contexts[i], out);
        EVP_MAC_CTX_free(signing->contexts[i]);
    }
    *signing = (struct signing){0};
    return fine && bytes_ok(out);
}
