#include "conf/excerpt.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/escape.h"
#include "base/utf8.h"

enum {
    SHOWN_MAX = 160,   /* characters of a line that are shown */
    CARET_LEFT = 80,   /* of them, at most so many stand left of the mark */
    CARET_MAX = 60,    /* length of the mark */
    LINE_BYTES = 2000, /* longer lines are shown from near the mark on */
};

/* What a byte of the line belongs to. */
enum class { CLASS_SIGN, CLASS_SHOWN, CLASS_MASKED };

struct excerpt {
    const char *text; /* of the line, or of the part of it that is near the mark */
    size_t size;
    size_t offset; /* of `text` in the file */
    unsigned char classes[LINE_BYTES];
};

static void paint(struct excerpt *excerpt, const struct conf_place *place, enum class class)
{
    size_t end = excerpt->offset + excerpt->size;
    size_t from = place->start > excerpt->offset ? place->start : excerpt->offset;
    size_t to = place->end < end ? place->end : end;
    for (size_t at = from; at < to; at++) {
        excerpt->classes[at - excerpt->offset] = (unsigned char)class;
    }
}

/* Signs of YAML are no part of a value. A letter that no node covers is masked: if the parser's
 * places were ever short by a byte, nothing of a secret would show. */
static void classify_parsed(struct excerpt *excerpt, const struct conf_tree *tree,
                            const struct conf_file *file)
{
    for (const struct conf_node *node = tree->all; node != NULL; node = node->all_next) {
        if (node->key_place.file == file) {
            paint(excerpt, &node->key_place, CLASS_SHOWN);
        }
    }
    for (const struct conf_node *node = tree->all; node != NULL; node = node->all_next) {
        if (node->place.file == file && node->kind == CONF_NODE_SCALAR && node->text_size > 0) {
            paint(excerpt, &node->place, node->disclosed ? CLASS_SHOWN : CLASS_MASKED);
        }
    }
    for (size_t i = 0; i < excerpt->size; i++) {
        if (excerpt->classes[i] == CLASS_SIGN && excerpt->text[i] == '#') {
            excerpt->size = i; /* a comment may hold anything */
        } else if (excerpt->classes[i] == CLASS_SIGN &&
                   strchr(" \t-:,[]{}?|>\"'", excerpt->text[i]) == NULL) {
            excerpt->classes[i] = CLASS_MASKED;
        }
    }
}

static bool looks_secret(const char *text, size_t size)
{
    static const char *const words[] = {"pass", "secret", "token", "dsn", "pwd",
                                        "cred", "key",    "://",   "@",   "="};
    for (size_t word = 0; word < sizeof(words) / sizeof(words[0]); word++) {
        size_t length = strlen(words[word]);
        for (size_t at = 0; at + length <= size; at++) {
            if (strncasecmp(text + at, words[word], length) == 0) {
                return true;
            }
        }
    }
    return false;
}

static size_t skip_indent(const char *text, size_t size)
{
    size_t at = 0;
    while (at < size && (text[at] == ' ' || text[at] == '\t' ||
                         (text[at] == '-' && at + 1 < size && text[at + 1] == ' '))) {
        at++;
    }
    return at;
}

/* For a file that did not parse: its structure is unknown, so the look of the line decides. */
static void classify_unparsed(struct excerpt *excerpt)
{
    size_t indent = skip_indent(excerpt->text, excerpt->size);
    size_t key_end = indent;
    while (key_end < excerpt->size && (isalnum((unsigned char)excerpt->text[key_end]) ||
                                       strchr("_.-\"'", excerpt->text[key_end]) != NULL)) {
        key_end++;
    }
    bool has_key = key_end > indent && key_end < excerpt->size && excerpt->text[key_end] == ':';
    bool is_item = memchr(excerpt->text, '-', indent) != NULL;
    size_t comment = excerpt->size;
    for (size_t i = indent; i + 1 < excerpt->size && comment == excerpt->size; i++) {
        if (excerpt->text[i] == ' ' && excerpt->text[i + 1] == '#') {
            comment = i;
        }
    }
    excerpt->size = comment;
    bool harmless = (has_key || is_item) && !looks_secret(excerpt->text, excerpt->size);
    bool signs_only = excerpt->size > 0;
    for (size_t i = 0; i < excerpt->size; i++) {
        signs_only = signs_only && strchr(" \t-:,[]{}?|>.", excerpt->text[i]) != NULL;
    }
    harmless = harmless || signs_only;
    size_t shown = harmless ? excerpt->size : has_key ? key_end + 1 : indent;
    for (size_t i = 0; i < excerpt->size; i++) {
        excerpt->classes[i] = i < shown ? CLASS_SHOWN : CLASS_MASKED;
    }
}

/* Appends the line and notes where, in characters, `mark` (an offset in the line) went. */
static void render(const struct excerpt *excerpt, size_t mark, struct bytes *ret_text,
                   uint32_t *ret_caret, uint32_t *ret_width)
{
    uint32_t width = 0;
    *ret_caret = UINT32_MAX;
    for (size_t i = 0; i < excerpt->size;) {
        bool masked = excerpt->classes[i] == CLASS_MASKED && excerpt->text[i] != ' ';
        size_t next = i + 1;
        uint32_t added = 1;
        if (masked) {
            while (next < excerpt->size && excerpt->classes[next] == CLASS_MASKED) {
                next++;
            }
            BYTES_APPEND_LITERAL(ret_text, "***");
            added = 3;
        } else {
            size_t length = utf8_sequence((const uint8_t *)excerpt->text + i, excerpt->size - i);
            next = i + (length > 0 ? length : 1);
            char escaped[ESCAPE_SIZE];
            size_t escaped_size = 0;
            (void)escape_one(excerpt->text + i, next - i, false, escaped,
                             &escaped_size); /* consumes what was measured */
            bool same =
                escaped_size == next - i || excerpt->text[i] == '"' || excerpt->text[i] == '\\';
            bool blank = excerpt->text[i] == '\t';
            bytes_append(ret_text,
                         blank  ? " "
                         : same ? excerpt->text + i
                                : "?",
                         same ? next - i : 1);
        }
        if (mark < next && *ret_caret == UINT32_MAX) {
            *ret_caret = width;
        }
        width += added;
        i = next;
    }
    *ret_caret = *ret_caret == UINT32_MAX ? width : *ret_caret;
    *ret_width = width;
}

/* Cuts `text` to a window of SHOWN_MAX characters that holds the mark. */
static char *window(const char *text, uint32_t width, uint32_t *caret)
{
    struct bytes shown;
    bytes_init(&shown, (size_t)LINE_BYTES * 4);
    uint32_t from = width > SHOWN_MAX && *caret > CARET_LEFT ? *caret - CARET_LEFT : 0;
    uint32_t at = 0;
    if (from > 0) {
        BYTES_APPEND_LITERAL(&shown, "...");
    }
    size_t size = strlen(text);
    for (size_t i = 0; i < size; at++) {
        size_t length = utf8_sequence((const uint8_t *)text + i, size - i);
        length = length > 0 ? length : 1;
        if (at >= from && at < from + SHOWN_MAX) {
            bytes_append(&shown, text + i, length);
        }
        i += length;
    }
    if (at > from + SHOWN_MAX) {
        BYTES_APPEND_LITERAL(&shown, "...");
    }
    *caret = *caret - from + (from > 0 ? 3 : 0);
    while (shown.size > 0 && shown.data[shown.size - 1] == ' ') {
        shown.size--;
    }
    char *copy = strdup(bytes_text(&shown));
    bytes_release(&shown);
    return copy;
}

char *conf_excerpt(const struct conf_tree *tree, const struct conf_file *file, size_t start,
                   size_t end, uint32_t *ret_caret, uint32_t *ret_caret_length)
{
    size_t line_start = 0;
    size_t line_end = 0;
    conf_file_line(file, start, &line_start, &line_end);
    if (line_end - line_start > LINE_BYTES && start - line_start > LINE_BYTES / 2) {
        line_start = start - LINE_BYTES / 2;
        while (line_start < start && ((unsigned char)file->text[line_start] & 0xc0) == 0x80) {
            line_start++;
        }
    }
    if (line_end == line_start) {
        return NULL; /* the end of the file: a mark under nothing helps nobody */
    }
    line_end = line_end - line_start > LINE_BYTES ? line_start + LINE_BYTES : line_end;
    struct excerpt excerpt = {
        .text = file->text + line_start, .size = line_end - line_start, .offset = line_start};
    if (file->parsed) {
        classify_parsed(&excerpt, tree, file);
    } else {
        classify_unparsed(&excerpt);
    }
    struct bytes text;
    bytes_init(&text, (size_t)LINE_BYTES * 4);
    uint32_t width = 0;
    uint32_t stop = 0;
    size_t last = end < line_end ? end : line_end;
    render(&excerpt, last > start ? last - line_start : start - line_start, &text, &stop, &width);
    bytes_clear(&text);
    render(&excerpt, start - line_start, &text, ret_caret, &width);
    uint32_t length = stop > *ret_caret ? stop - *ret_caret : 1;
    bool on_mask =
        start - line_start < excerpt.size && excerpt.classes[start - line_start] == CLASS_MASKED;
    *ret_caret_length = on_mask ? 3 : length > CARET_MAX ? CARET_MAX : length;
    char *shown = window(bytes_text(&text), width, ret_caret);
    bytes_release(&text);
    return shown;
}
