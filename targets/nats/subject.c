#include "targets/nats/subject.h"

#include <string.h>

static const char unfit = '\x01'; /* stands where a value does not fit a token */

void subjects_release(struct subjects *subjects)
{
    event_template_release(&subjects->of_table);
    event_template_release(&subjects->other);
}

static bool fits_token(uint8_t byte)
{
    return byte > ' ' && byte != 0x7F && byte != '.' && byte != '*' && byte != '>';
}

/* Whether the literal parts make tokens, with a letter in the place of each name. */
static const char *check_tokens(const struct event_template *template)
{
    size_t token = 0;
    for (size_t at = 0; at < template->pieces_count; at++) {
        const char *text =
            template->pieces[at].name == EVENT_LITERAL ? template->pieces[at].text : "x";
        for (; *text != '\0'; text++) {
            if (*text == '.' && token > 0) {
                token = 0;
            } else if (fits_token((uint8_t)*text) && (at > 0 || token > 0 || *text != '$')) {
                token++;
            } else {
                return "a subject has tokens with dots between them, without white space, "
                       "wildcards, an empty token, or a $ at its begin";
            }
        }
    }
    return token > 0 ? NULL : "a subject does not end with a dot";
}

static const char *parse(const char *text, unsigned allowed, const char *unknown,
                         struct event_template *ret_template)
{
    switch (event_template_parse(text, strlen(text), allowed, ret_template)) {
    case EVENT_TEMPLATE_FINE:
        break;
    case EVENT_TEMPLATE_UNCLOSED:
        return "a subject has a ${ without its }";
    case EVENT_TEMPLATE_UNKNOWN:
        return unknown;
    case EVENT_TEMPLATE_TOO_LONG:
        return "a subject has too many ${...}";
    case EVENT_TEMPLATE_NO_MEMORY:
        return "a subject cannot be read: out of memory";
    }
    return check_tokens(ret_template);
}

const char *subjects_parse(const char *of_table, const char *other, struct subjects *ret_subjects,
                           const char **ret_key)
{
    struct subjects subjects = {0};
    *ret_key = "subject";
    const char *fault =
        parse(of_table, EVENT_SCHEMA | EVENT_TABLE | EVENT_SOURCE | EVENT_OP | EVENT_KEY_COLUMN,
              "\"subject\" has an unknown name in ${...}: there are ${schema}, ${table}, "
              "${source}, ${op} and ${key.COLUMN}",
              &subjects.of_table);
    if (fault == NULL) {
        *ret_key = "subject_other";
        fault = parse(other, EVENT_SOURCE | EVENT_OP,
                      "\"subject_other\" has an unknown name in ${...}: its events have no table, "
                      "there are ${source} and ${op}",
                      &subjects.other);
    }
    if (fault != NULL) {
        subjects_release(&subjects);
        return fault;
    }
    *ret_subjects = subjects;
    return NULL;
}

static void mark_unfit(struct bytes *out, size_t before)
{
    for (size_t at = before; at < out->size; at++) {
        out->data[at] = fits_token(out->data[at]) ? out->data[at] : (uint8_t)unfit;
    }
}

static enum fan_status no_subject(const struct event_piece *missing, bool fits,
                                  struct fan_error *reterr)
{
    if (missing != NULL && missing->name == EVENT_KEY_COLUMN) {
        (void)fan_fail(
            reterr, FAN_POISON,
            "cannot make the subject: the key of the event has no value in column \"%.100s\"",
            missing->text);
    } else if (missing != NULL) {
        (void)fan_fail(reterr, FAN_POISON, "cannot make the subject: the event has no %s",
                       event_name_text(missing->name));
    } else {
        (void)fan_fail(reterr, FAN_POISON, "cannot make the subject: %s",
                       fits ? "it would be too long"
                            : "a value has white space, a dot, a wildcard or a control character");
    }
    fan_error_annotate(reterr, "NATS_SUBJECT",
                       "truncates and tables without a key have no ${key...}; send them to a "
                       "target whose subject does not need it");
    return FAN_POISON;
}

enum fan_status subjects_render(const struct subjects *subjects,
                                const struct event_subject *subject, struct bytes *out,
                                struct fan_error *reterr)
{
    bytes_clear(out);
    if (!bytes_reserve(out, 1)) {
        return fan_fail(reterr, FAN_RETRY, "could not make a subject: out of memory");
    }
    const struct event_template *template =
        subject->label->table_size > 0 ? &subjects->of_table : &subjects->other;
    const struct event_piece *missing = event_template_render(template, subject, mark_unfit, out);
    bool fits = memchr(out->data, unfit, out->size) == NULL;
    if (missing != NULL || !fits || !bytes_ok(out) || out->size == out->size_max) {
        return no_subject(missing, fits, reterr);
    }
    return FAN_OK;
}
