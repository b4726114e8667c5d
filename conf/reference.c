#include "conf/reference.h"

#include <inttypes.h>
#include <string.h>

#include "conf/scalar.h"
#include "conf/tables.h"
#include "conf/value.h"

static const char introduction[] =
    "# Configuration\n"
    "\n"
    "<!-- Generated from the option tables by `pgfan internal-reference conf-markdown`: edit conf/ "
    "instead. -->\n"
    "\n"
    "pgfan reads YAML: `pgfan run -c pgfan.yaml`. `pgfan check -c PATH` shows every fault of a "
    "conf "
    "in one go, `pgfan config -c PATH` the effective conf with defaults and without secrets. "
    "Annotated examples stand in `conf/examples/`; `docs/pgfan.schema.json` tells editors what is "
    "allowed where. A key that is not listed here is a fault: nothing is accepted and ignored.\n"
    "\n"
    "## Where values come from\n"
    "\n"
    "Later layers win:\n"
    "\n"
    "1. defaults;\n"
    "2. the file named by `-c`, or every `*.yaml` in the directory named by it, in name order;\n"
    "3. every `*.yaml` in `conf.d` beside the file (or in the directory), in name order;\n"
    "4. environment variables `PGFAN_<KEY>__<KEY>`: `PGFAN_LOG__LEVEL=debug`, "
    "`PGFAN_PIPELINES__ORDERS__BATCH__MAX_EVENTS=10`; names in capitals, with `_` for any "
    "character "
    "that is no letter or digit; two underscores between parts; `PGFAN_DATA_DIR` for a key of the "
    "top level;\n"
    "5. `--set key.path=value`: `--set pipelines.orders.batch.max_events=10`.\n"
    "\n"
    "Sections merge key by key, the list `pipelines` grows, and anything else is replaced whole. A "
    "pipeline name that stands in two files is a fault. Overrides address pipelines and targets by "
    "name, and change what the files have; a value that starts with `[` or `{` is read as YAML.\n"
    "\n"
    "## References and secrets\n"
    "\n"
    "Expanded in values, after parsing, so that no content can change the structure:\n"
    "\n"
    "| written | stands for |\n"
    "|---|---|\n"
    "| `${env:NAME}` | the environment variable |\n"
    "| `${file:PATH}` | the content of a regular file that belongs to root or to pgfan's user, "
    "mode "
    "0600 or less, at most 64 KiB, without its last newline |\n"
    "| `${cred:NAME}` | the file NAME in `$CREDENTIALS_DIRECTORY`, as systemd's `LoadCredential=` "
    "makes it |\n"
    "| `$${` | a literal `${` |\n"
    "\n"
    "One that is not set is a fault that names it. Secrets are never printed; a password written "
    "out in a file gives a warning, and is refused when other users can read the file.\n"
    "\n"
    "## Spelling of values\n"
    "\n"
    "Sizes: `1000`, `16kB`, `10MB`, `1GB` (powers of 1000), `16KiB`, `64MiB`, `10GiB` (powers of "
    "1024). Durations: `50ms`, `1s`, `2m`, `1h`, `7d`, `0`; a key that ends in `_ms` also takes a "
    "plain "
    "number. Switches: `true` and `false`. Lists may be written `[a, b]`; a list of one may be "
    "written as the value alone. YAML is used without anchors, aliases, tags, directives and "
    "second "
    "documents; files are UTF-8, at most 1 MiB each.\n";

static const char *type_name(const struct conf_option *option)
{
    switch (option->type) {
    case CONF_BOOL:
        return "switch";
    case CONF_INTEGER:
        return "number";
    case CONF_SIZE:
        return "size";
    case CONF_DURATION:
        return value_key_is_milliseconds(option->key) ? "milliseconds" : "duration";
    case CONF_TEXT:
        return "text";
    case CONF_SECRET:
        return "secret";
    case CONF_CHOICE:
        return "choice";
    case CONF_TEXT_LIST:
        return "list of texts";
    case CONF_TEXT_MAP:
        return "map of texts";
    case CONF_SECTION:
        return "section";
    case CONF_SECTION_LIST:
        return "list of sections";
    case CONF_SECTION_MAP:
        return "sections by name";
    case CONF_UNAVAILABLE:
        break;
    }
    return "";
}

static void append_bound(struct bytes *out, const struct conf_option *option, int64_t bound)
{
    if (option->type == CONF_SIZE) {
        value_append_size(out, (uint64_t)bound);
    } else if (option->type == CONF_DURATION) {
        value_append_duration(out, bound);
    } else {
        bytes_append_format(out, "%" PRId64, bound);
    }
}

/* ` (1 to 1000)`, where numbers have bounds. */
static void append_range(struct bytes *out, const struct conf_option *option)
{
    bool number =
        option->type == CONF_INTEGER || option->type == CONF_SIZE || option->type == CONF_DURATION;
    if (!number || (option->minimum == 0 && option->maximum == 0)) {
        return;
    }
    BYTES_APPEND_LITERAL(out, ", ");
    append_bound(out, option, option->minimum);
    if (option->maximum == 0) {
        BYTES_APPEND_LITERAL(out, " or more");
        return;
    }
    BYTES_APPEND_LITERAL(out, " to ");
    append_bound(out, option, option->maximum);
}

static void append_choices(struct bytes *out, const struct conf_option *option, const char *quote)
{
    bool first = true;
    for (const struct conf_choice *choice = option->choices;
         option->type == CONF_CHOICE && choice->name != NULL; choice++) {
        if (choice->value != CONF_CHOICE_UNAVAILABLE) {
            bytes_append_format(out, "%s%s%s%s", first ? ": " : ", ", quote, choice->name, quote);
            first = false;
        }
    }
}

/* A text in a cell of a table: a bar would end it. */
static void append_cell(struct bytes *out, const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '|') {
            bytes_append_char(out, '\\');
        }
        bytes_append_char(out, *at);
    }
}

static void markdown_option(struct bytes *out, const struct conf_option *option)
{
    bytes_append_format(out, "| `%s` | %s", option->key, type_name(option));
    append_choices(out, option, "`");
    append_range(out, option);
    BYTES_APPEND_LITERAL(out, " | ");
    if (option->required) {
        BYTES_APPEND_LITERAL(out, "**required**");
    } else if (option->value_default != NULL) {
        BYTES_APPEND_LITERAL(out, "`");
        append_cell(out, option->value_default);
        BYTES_APPEND_LITERAL(out, "`");
    }
    BYTES_APPEND_LITERAL(out, " | ");
    append_cell(out, option->help != NULL ? option->help : "");
    bool tells = option->example != NULL && (option->value_default == NULL ||
                                             strcmp(option->example, option->value_default) != 0);
    if (tells && option->type != CONF_BOOL) {
        BYTES_APPEND_LITERAL(out, " Example: `");
        append_cell(out, option->example);
        BYTES_APPEND_LITERAL(out, "`");
    }
    BYTES_APPEND_LITERAL(out, " |\n");
}

static void markdown_unavailable(struct bytes *out, const struct conf_table *table)
{
    bool any = false;
    for (size_t i = 0; i < table->options_count; i++) {
        const struct conf_option *option = &table->options[i];
        if (option->type == CONF_UNAVAILABLE) {
            bytes_append_format(out, "%s`%s`",
                                any ? ", " : "\nNot available in this version: ", option->key);
            any = true;
        }
        for (const struct conf_choice *choice = option->choices;
             option->type == CONF_CHOICE && choice->name != NULL; choice++) {
            if (choice->value == CONF_CHOICE_UNAVAILABLE) {
                bytes_append_format(out, "%s`%s: %s`",
                                    any ? ", " : "\nNot available in this version: ", option->key,
                                    choice->name);
                any = true;
            }
        }
    }
    bytes_append_text(out, any ? ".\n" : "");
}

static void markdown_table(struct bytes *out, const struct conf_table *table)
{
    bool rows = false;
    for (size_t i = 0; i < table->options_count; i++) {
        if (table->options[i].type == CONF_UNAVAILABLE) {
            continue;
        }
        if (!rows) {
            BYTES_APPEND_LITERAL(out,
                                 "\n| key | type | default | what it does |\n|---|---|---|---|\n");
            rows = true;
        }
        markdown_option(out, &table->options[i]);
    }
    bytes_append_text(out, rows ? "" : "\nNo keys of its own.\n");
    markdown_unavailable(out, table);
}

/* What is done with each section, in the order of the reference. */
struct visitor {
    struct bytes *out;
    const struct conf_plugins *plugins;
    void (*section)(struct bytes *out, const char *path, const struct conf_table *table);
};

static void visit(const struct visitor *visitor, const struct conf_table *table, const char *path);

static void visit_plugins(const struct visitor *visitor, const struct conf_table *table,
                          const char *path)
{
    bool source = table->family == CONF_FAMILY_SOURCE;
    const struct conf_plugin *list = source ? visitor->plugins->sources : visitor->plugins->targets;
    size_t count = source ? visitor->plugins->sources_count : visitor->plugins->targets_count;
    for (size_t i = 0; i < count; i++) {
        static const struct conf_table nothing = {.name = "none", .help = ""};
        struct bytes below;
        bytes_init(&below, 1000);
        bytes_append_format(&below, "%s with type: %s", path, list[i].type);
        visit(visitor, list[i].table != NULL ? list[i].table : &nothing, bytes_text(&below));
        bytes_release(&below);
    }
}

/* The recursion goes over our tables: they are few, and no input decides about them. */
static void visit(const struct visitor *visitor, const struct conf_table *table, const char *path)
{
    visitor->section(visitor->out, path, table);
    if (table->family != CONF_FAMILY_NONE) {
        visit_plugins(visitor, table, path);
    }
    for (size_t i = 0; i < table->options_count; i++) {
        const struct conf_option *option = &table->options[i];
        const char *suffix = option->type == CONF_SECTION        ? ""
                             : option->type == CONF_SECTION_LIST ? "[]"
                             : option->type == CONF_SECTION_MAP  ? ".NAME"
                                                                 : NULL;
        if (suffix == NULL) {
            continue;
        }
        const char *of = strstr(path, " with type");
        size_t size = of != NULL ? (size_t)(of - path) : strlen(path);
        struct bytes below;
        bytes_init(&below, 1000);
        bytes_append_format(&below, "%.*s%s%s%s", (int)size, path, size > 0 ? "." : "", option->key,
                            suffix);
        visit(visitor, option->table, bytes_text(&below));
        bytes_release(&below);
    }
}

static void markdown_section(struct bytes *out, const char *path, const struct conf_table *table)
{
    if (path[0] == '\0') {
        BYTES_APPEND_LITERAL(out, "\n## Top level\n");
    } else {
        bytes_append_format(out, "\n## `%s`\n", path);
    }
    if (table->help != NULL && table->help[0] != '\0') {
        bytes_append_format(out, "\n%s\n", table->help);
    }
    markdown_table(out, table);
}

void conf_reference_markdown(const struct conf_plugins *plugins, struct bytes *ret_text)
{
    BYTES_APPEND_LITERAL(ret_text, introduction);
    const struct visitor visitor = {
        .out = ret_text, .plugins = plugins, .section = markdown_section};
    visit(&visitor, &conf_root_table, "");
    BYTES_APPEND_LITERAL(ret_text, "\n## Formats\n\n`format` of a target is one of:");
    for (size_t i = 0; plugins->formats != NULL && plugins->formats[i] != NULL; i++) {
        bytes_append_format(ret_text, "%s `%s`", i > 0 ? "," : "", plugins->formats[i]);
    }
    BYTES_APPEND_LITERAL(ret_text, ".\n");
}

/* man(7) takes a backslash, and a leading dot or quote, for a command. */
static void append_roff(struct bytes *out, const char *text)
{
    if (text[0] == '.' || text[0] == '\'') {
        BYTES_APPEND_LITERAL(out, "\\&");
    }
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '`') {
            continue;
        }
        if (*at == '\\') {
            BYTES_APPEND_LITERAL(out, "\\e");
        } else if (*at == '-') {
            BYTES_APPEND_LITERAL(out, "\\-");
        } else {
            bytes_append_char(out, *at);
        }
    }
}

void conf_reference_man_table(const struct conf_table *table, struct bytes *ret_text)
{
    for (size_t i = 0; i < table->options_count; i++) {
        const struct conf_option *option = &table->options[i];
        if (option->type == CONF_UNAVAILABLE) {
            continue;
        }
        bytes_append_format(ret_text, ".TP\n.B %s\n(%s", option->key, type_name(option));
        append_choices(ret_text, option, "");
        append_range(ret_text, option);
        if (option->required) {
            BYTES_APPEND_LITERAL(ret_text, "; required");
        } else if (option->value_default != NULL) {
            BYTES_APPEND_LITERAL(ret_text, "; default ");
            append_roff(ret_text, option->value_default);
        }
        BYTES_APPEND_LITERAL(ret_text, ")\n");
        append_roff(ret_text, option->help != NULL ? option->help : "");
        bytes_append_char(ret_text, '\n');
    }
}

static void man_section(struct bytes *out, const char *path, const struct conf_table *table)
{
    BYTES_APPEND_LITERAL(out, ".SS ");
    append_roff(out, path[0] != '\0' ? path : "Top level");
    bytes_append_char(out, '\n');
    append_roff(out, table->help != NULL ? table->help : "");
    bytes_append_char(out, '\n');
    conf_reference_man_table(table, out);
}

void conf_reference_man(const struct conf_plugins *plugins, struct bytes *ret_text)
{
    const struct visitor visitor = {.out = ret_text, .plugins = plugins, .section = man_section};
    visit(&visitor, &conf_root_table, "");
}
