#include "conf/expand.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fs.h"

enum { NAME_MAX_BYTES = 4096 };

const char *expand_variable(const struct expand_environment *environment, const char *name,
                            size_t name_size)
{
    for (const char *const *at = environment->variables; at != NULL && *at != NULL; at++) {
        if (strncmp(*at, name, name_size) == 0 && (*at)[name_size] == '=') {
            return *at + name_size + 1;
        }
    }
    return NULL;
}

void expansion_release(struct expansion *expansion)
{
    if (expansion->text.data != NULL) {
        explicit_bzero(expansion->text.data, expansion->text.capacity);
    }
    bytes_release(&expansion->text);
}

const char *expansion_text(struct expansion *expansion)
{
    return bytes_text(&expansion->text);
}

static enum fan_status check_owner(const struct stat *info, mode_t forbidden, const char *path,
                                   struct fan_error *reterr)
{
    if (!S_ISREG(info->st_mode)) {
        return fan_fail(reterr, FAN_FATAL, "cannot use \"%s\": not a regular file", path);
    }
    if (info->st_uid != 0 && info->st_uid != geteuid()) {
        (void)fan_fail(reterr, FAN_FATAL, "cannot use \"%s\": it belongs to another user", path);
        fan_error_annotate(reterr, NULL, "chown it to root or to the user that runs pgfan");
        return FAN_FATAL;
    }
    if ((info->st_mode & forbidden) != 0) {
        (void)fan_fail(reterr, FAN_FATAL, "cannot use \"%s\": others than its owner may read it",
                       path);
        fan_error_annotate(reterr, NULL, "chmod 0600 %s", path);
        return FAN_FATAL;
    }
    return FAN_OK;
}

/* `forbidden` are the mode bits that must not be set. */
static enum fan_status read_secret_file(const char *path, mode_t forbidden, struct bytes *ret_text,
                                        struct fan_error *reterr)
{
    /* O_NONBLOCK: a FIFO must not hold the start for ever. */
    FAN_CLEANUP(fan_close_p) int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat info;
    if (descriptor < 0 || fstat(descriptor, &info) != 0) {
        return fan_fail_errno(reterr, FAN_FATAL, errno, "cannot read \"%s\"", path);
    }
    if (check_owner(&info, forbidden, path, reterr) != FAN_OK) {
        return FAN_FATAL;
    }
    size_t before = ret_text->size;
    if (fs_read_descriptor(descriptor, path, ret_text, reterr) != FAN_OK) {
        return FAN_FATAL;
    }
    if (ret_text->size > before && ret_text->data[ret_text->size - 1] == '\n') {
        ret_text->size--;
        if (ret_text->size > before && ret_text->data[ret_text->size - 1] == '\r') {
            ret_text->size--;
        }
    }
    if (memchr(ret_text->data + before, '\0', ret_text->size - before) != NULL) {
        return fan_fail(reterr, FAN_FATAL, "cannot use \"%s\": it holds a NUL byte", path);
    }
    return FAN_OK;
}

static enum fan_status expand_credential(const struct expand_environment *environment,
                                         const char *name, struct bytes *ret_text,
                                         struct fan_error *reterr)
{
    const char *directory = expand_variable(environment, "CREDENTIALS_DIRECTORY", 21);
    if (directory == NULL || strchr(name, '/') != NULL || name[0] == '.') {
        (void)fan_fail(reterr, FAN_FATAL,
                       directory == NULL ? "cannot expand ${cred:%s}: CREDENTIALS_DIRECTORY is "
                                           "not set"
                                         : "cannot expand ${cred:%s}: not the name of a credential",
                       name);
        fan_error_annotate(reterr, NULL, "set LoadCredential=NAME:/path in the systemd unit");
        return FAN_FATAL;
    }
    char path[NAME_MAX_BYTES + 300];
    int length = snprintf(path, sizeof(path), "%s/%s", directory, name);
    if (length < 0 || (size_t)length >= sizeof(path)) {
        return fan_fail(reterr, FAN_FATAL, "cannot expand ${cred:...}: the path is too long");
    }
    /* systemd grants the service's user by an ACL, which shows as group bits. */
    return read_secret_file(path, S_IROTH | S_IWOTH | S_IWGRP, ret_text, reterr);
}

static enum fan_status expand_reference(const struct expand_environment *environment,
                                        const char *name, struct bytes *ret_text,
                                        struct fan_error *reterr)
{
    if (strncmp(name, "env:", 4) == 0 && name[4] != '\0') {
        const char *value = expand_variable(environment, name + 4, strlen(name + 4));
        if (value == NULL) {
            (void)fan_fail(reterr, FAN_FATAL, "environment variable \"%s\" is not set", name + 4);
            fan_error_annotate(reterr, NULL, "export %s before starting pgfan", name + 4);
            return FAN_FATAL;
        }
        bytes_append_text(ret_text, value);
        return FAN_OK;
    }
    if (strncmp(name, "file:", 5) == 0 && name[5] != '\0') {
        return read_secret_file(name + 5, S_IRWXG | S_IRWXO | S_IXUSR, ret_text, reterr);
    }
    if (strncmp(name, "cred:", 5) == 0 && name[5] != '\0') {
        return expand_credential(environment, name + 5, ret_text, reterr);
    }
    (void)fan_fail(reterr, FAN_FATAL, "cannot expand ${%.100s}: unknown reference", name);
    if (strchr(name, ':') == NULL && name[0] != '\0') {
        fan_error_annotate(reterr, NULL,
                           "write ${env:%.100s} for an environment variable, or $${ "
                           "for a literal ${",
                           name);
    } else {
        fan_error_annotate(reterr, NULL,
                           "references are ${env:NAME}, ${file:PATH} and ${cred:NAME}; $${ stands "
                           "for a literal ${");
    }
    return FAN_FATAL;
}

/* Whether `name` is a part of an event, for a template. */
static bool is_event_part(const char *name)
{
    static const char *const names[] = {"schema", "table", "source", "op"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return strncmp(name, "key.", 4) == 0 || strncmp(name, "after.", 6) == 0;
}

/* Expands the reference at `at`, which starts with ${, and returns its end in `ret_end`. */
static enum fan_status expand_at(const struct expand_environment *environment, const char *at,
                                 size_t size, bool templated, struct bytes *ret_text,
                                 size_t *ret_size, struct fan_error *reterr)
{
    const char *close = memchr(at, '}', size);
    if (close == NULL) {
        (void)fan_fail(reterr, FAN_FATAL, "a reference that starts with ${ is not closed");
        fan_error_annotate(reterr, NULL, "add the }, or write $${ for a literal ${");
        return FAN_FATAL;
    }
    size_t name_size = (size_t)(close - at) - 2;
    char name[NAME_MAX_BYTES];
    if (name_size >= sizeof(name)) {
        return fan_fail(reterr, FAN_FATAL, "a reference is longer than %d bytes", NAME_MAX_BYTES);
    }
    memcpy(name, at + 2, name_size);
    name[name_size] = '\0';
    *ret_size = name_size + 3;
    if (!templated || strchr(name, ':') != NULL) {
        return expand_reference(environment, name, ret_text, reterr);
    }
    if (is_event_part(name)) {
        bytes_append(ret_text, at, name_size + 3);
        return FAN_OK;
    }
    (void)fan_fail(reterr, FAN_FATAL, "cannot expand ${%.100s}: unknown reference", name);
    fan_error_annotate(reterr, NULL,
                       "parts of an event are ${schema}, ${table}, ${source}, ${op}, ${key.COLUMN} "
                       "and ${after.COLUMN}; an environment variable is ${env:%.100s}",
                       name);
    return FAN_FATAL;
}

static enum fan_status expand_all(const struct expand_environment *environment, const char *text,
                                  size_t size, bool templated, struct expansion *expansion,
                                  struct fan_error *reterr)
{
    for (size_t at = 0; at < size;) {
        if (size - at >= 3 && memcmp(text + at, "$${", 3) == 0) {
            BYTES_APPEND_LITERAL(&expansion->text, "${");
            at += 3;
        } else if (size - at >= 2 && memcmp(text + at, "${", 2) == 0) {
            size_t used = 0;
            enum fan_status status = expand_at(environment, text + at, size - at, templated,
                                               &expansion->text, &used, reterr);
            if (status != FAN_OK) {
                return status;
            }
            expansion->expanded = true;
            at += used;
        } else {
            bytes_append_char(&expansion->text, text[at]);
            at++;
        }
    }
    (void)expansion_text(expansion); /* a failure shows in bytes_ok */
    return bytes_ok(&expansion->text)
               ? FAN_OK
               : fan_fail(reterr, FAN_FATAL, "the expanded value is longer than %d bytes",
                          EXPANSION_MAX);
}

enum fan_status expansion_make(const struct expand_environment *environment, const char *text,
                               size_t size, bool templated, struct expansion *ret_expansion,
                               struct fan_error *reterr)
{
    struct expansion expansion = {0};
    bytes_init(&expansion.text, EXPANSION_MAX + 1);
    enum fan_status status = bytes_reserve(&expansion.text, EXPANSION_MAX + 1)
                                 ? FAN_OK /* whole at once: growing would leave copies behind */
                                 : fan_fail(reterr, FAN_FATAL, "out of memory");
    if (status == FAN_OK) {
        status = expand_all(environment, text, size, templated, &expansion, reterr);
    }
    if (status != FAN_OK) {
        expansion_release(&expansion);
        return status;
    }
    *ret_expansion = expansion;
    return FAN_OK;
}
