#include "targets/redis/commands.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "encode/id.h"

enum { SPARE_MAX = 1 << 20, DIGEST_SIZE = 20 };

/* KEYS: the stream, its ids. ARGV: the id, the window, what follows the stream in XADD. Errors are
 * returned as the server gave them; an entry's id begins with a time that never goes back. */
static const char script[] = "local known = redis.pcall('ZSCORE', KEYS[2], ARGV[1])\n"
                             "if type(known) == 'table' then return known end\n"
                             "if known then return 0 end\n"
                             "local entry = redis.pcall('XADD', KEYS[1], unpack(ARGV, 3))\n"
                             "if type(entry) == 'table' then return entry end\n"
                             "redis.call('ZADD', KEYS[2], string.match(entry, '^%d+'), ARGV[1])\n"
                             "redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -1 - ARGV[2])\n"
                             "return 1\n";

static void digest_text(const unsigned char *digest, char text[41])
{
    for (size_t at = 0; at < DIGEST_SIZE; at++) {
        (void)snprintf(text + 2 * at, 3, "%02x", digest[at]); /* it fits */
    }
}

enum fan_status commands_init(struct commands *commands, const struct redis_options *options,
                              const struct encode_context *encode, const struct stream_names *names,
                              size_t format, struct fan_error *reterr)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    *commands =
        (struct commands){.options = options, .encode = encode, .names = names, .format = format};
    bytes_init(&commands->bytes, SIZE_MAX / 2);
    bytes_init(&commands->stream, STREAM_NAME_MAX);
    bytes_init(&commands->ids, STREAM_NAME_MAX + sizeof(":ids"));
    if (EVP_Q_digest(NULL, "SHA1", NULL, script, sizeof(script) - 1, digest, NULL) != 1) {
        return fan_fail(reterr, FAN_FATAL,
                        "cannot make the digest of a script: the TLS library "
                        "has no SHA-1");
    }
    digest_text(digest, commands->script_digest);
    return FAN_OK;
}

void commands_release(struct commands *commands)
{
    bytes_release(&commands->bytes);
    bytes_release(&commands->stream);
    bytes_release(&commands->ids);
}

void commands_reset(struct commands *commands)
{
    if (commands->bytes.capacity > SPARE_MAX) {
        bytes_release(&commands->bytes);
        bytes_init(&commands->bytes, SIZE_MAX / 2);
    }
}

/* ---- one command: its count, then each argument with its size ---- */

static void command(struct bytes *out, size_t arguments)
{
    bytes_append_format(out, "*%zu\r\n", arguments);
}

static void argument(struct bytes *out, const void *data, size_t size)
{
    bytes_append_format(out, "$%zu\r\n", size);
    bytes_append(out, data, size);
    BYTES_APPEND_LITERAL(out, "\r\n");
}

static void argument_text(struct bytes *out, const char *text)
{
    argument(out, text, strlen(text));
}

static void argument_number(struct bytes *out, int64_t number)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%" PRId64, number); /* it fits */
    argument_text(out, text);
}

size_t commands_hello(struct commands *commands)
{
    const struct redis_options *options = commands->options;
    const char *password = secret_reveal(&options->password);
    struct bytes *out = &commands->bytes;
    size_t replies = 1;
    bytes_clear(out);
    if (password != NULL) {
        command(out, options->username != NULL ? 3 : 2);
        argument_text(out, "AUTH");
        if (options->username != NULL) {
            argument_text(out, options->username);
        }
        argument_text(out, password);
        replies++;
    }
    if (options->database != 0) {
        command(out, 2);
        argument_text(out, "SELECT");
        argument_number(out, options->database);
        replies++;
    }
    command(out, 1);
    argument_text(out, "PING");
    return replies;
}

/* What stands behind the stream in XADD: how many arguments, and the arguments. */
static size_t entry_arguments(const struct commands *commands, const struct batch_label *label)
{
    return 1 + (commands->options->max_length > 0 ? 3 : 0) + 4 + (label->key_size > 0 ? 2 : 0);
}

static void append_entry(const struct commands *commands, const struct batch *batch, size_t index,
                         const struct batch_label *label, const char *id, struct bytes *out)
{
    if (commands->options->max_length > 0) {
        argument_text(out, "MAXLEN");
        argument_text(out, "~");
        argument_number(out, commands->options->max_length);
    }
    argument_text(out, "*");
    argument_text(out, "id");
    argument_text(out, id);
    if (label->key_size > 0) {
        argument_text(out, "key");
        argument(out, label->key, label->key_size);
    }
    size_t size;
    const uint8_t *event = batch_event_bytes(batch, commands->format, index, &size);
    argument_text(out, commands->options->field);
    argument(out, event, size);
}

static enum fan_status append_event(struct commands *commands, const struct batch *batch,
                                    size_t index, struct fan_error *reterr)
{
    const struct batch_event *event = &batch->events[index];
    const struct batch_label label = batch_label(batch, index);
    const struct event_subject subject = {
        .encode = commands->encode, .label = &label, .event = event};
    struct bytes *out = &commands->bytes;
    char id[EVENT_ID_MAX];
    (void)event_id_write(commands->encode, event->position, event->op == CHANGE_GAP,
                         id); /* its NUL says how long */
    enum fan_status status =
        stream_names_render(commands->names, &subject, &commands->stream, reterr);
    if (status != FAN_OK) {
        return status;
    }
    if (commands->options->dedup_window > 0) {
        bytes_clear(&commands->ids);
        bytes_append(&commands->ids, commands->stream.data, commands->stream.size);
        BYTES_APPEND_LITERAL(&commands->ids, ":ids");
        command(out, 7 + entry_arguments(commands, &label));
        argument_text(out, "EVALSHA");
        argument_text(out, commands->script_digest);
        argument_text(out, "2");
        argument(out, commands->stream.data, commands->stream.size);
        argument(out, commands->ids.data, commands->ids.size);
        argument_text(out, id);
        argument_number(out, commands->options->dedup_window);
    } else {
        command(out, 2 + entry_arguments(commands, &label));
        argument_text(out, "XADD");
        argument(out, commands->stream.data, commands->stream.size);
    }
    append_entry(commands, batch, index, &label, id, out);
    return FAN_OK;
}

size_t commands_end(const struct commands *commands, const struct batch *batch, size_t first)
{
    size_t end = first;
    size_t bytes = 0;
    do {
        size_t size;
        (void)batch_event_bytes(batch, commands->format, end, &size); /* only the size is needed */
        bytes += size;
        end++;
    } while (end < batch->events_count && end - first < COMMANDS_EVENTS_MAX &&
             bytes < COMMANDS_BYTES_MAX);
    return end;
}

size_t commands_ahead(const struct commands *commands, size_t events)
{
    return (commands->options->dedup_window > 0 ? 2 : 1) + events;
}

enum fan_status commands_add(struct commands *commands, const struct batch *batch, size_t first,
                             size_t end, int64_t wait_ms, size_t *ret_event,
                             struct fan_error *reterr)
{
    struct bytes *out = &commands->bytes;
    bytes_clear(out);
    if (commands->options->dedup_window > 0) {
        command(out, 3);
        argument_text(out, "SCRIPT");
        argument_text(out, "LOAD");
        argument(out, script, sizeof(script) - 1);
    }
    command(out, 1);
    argument_text(out, "MULTI");
    for (size_t index = first; index < end; index++) {
        enum fan_status status = append_event(commands, batch, index, reterr);
        if (status != FAN_OK) {
            *ret_event = index;
            return status;
        }
    }
    command(out, 1);
    argument_text(out, "EXEC");
    if (commands->options->wait_replicas > 0) {
        command(out, 3);
        argument_text(out, "WAIT");
        argument_number(out, commands->options->wait_replicas);
        argument_number(out, wait_ms);
    }
    if (!bytes_ok(out) || !bytes_ok(&commands->ids)) {
        *ret_event = first;
        return fan_fail(reterr, FAN_RETRY, "could not write a batch: out of memory");
    }
    return FAN_OK;
}
