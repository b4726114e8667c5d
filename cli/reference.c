#include "cli/reference.h"

#include <string.h>

#include "api/route.h"
#include "base/bytes.h"
#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/failure.h"
#include "cli/help.h"
#include "conf/reference.h"
#include "engine/engine.h"

enum { OPTION_TEXT_MAX = 64, PAGE_MAX = 16 * 1024 * 1024 };

/* Roff: a backslash starts an escape, a dot or quote at the start of a line a request; a plain
 * hyphen would become a typographic one, which nobody can paste into a shell. */
static void write_roff(FILE *file, const char *text)
{
    bool line_start = true;
    for (; *text != '\0'; text++) {
        if (line_start && (*text == '.' || *text == '\'')) {
            (void)fputs("\\&", file); /* main() asks ferror() once, here and below */
        }
        line_start = *text == '\n';
        if (*text == '\\') {
            (void)fputs("\\e", file);
        } else if (*text == '-') {
            (void)fputs("\\-", file);
        } else if (text[0] == '\n' && text[1] == '\n') {
            (void)fputs("\n.PP", file);
        } else {
            (void)fputc(*text, file);
        }
    }
}

static void write_man_option(FILE *file, const char *text, const char *help)
{
    (void)fputs(".TP\n.B ", file);
    write_roff(file, text);
    (void)fputc('\n', file);
    write_roff(file, help);
    (void)fputc('\n', file);
}

static void write_man_command(FILE *file, const struct command *command)
{
    (void)fputs(".SS pgfan ", file);
    write_roff(file, command->name);
    (void)fprintf(file, " [OPTION]...%s%s\n", command->arguments[0] == '\0' ? "" : " ",
                  command->arguments);
    write_roff(file, command->summary);
    (void)fputs(".\n.PP\n", file);
    write_roff(file, command->help);
    (void)fputc('\n', file);
    for (size_t i = 0; i < command->options_count; i++) {
        char text[OPTION_TEXT_MAX];
        help_option_text(&command->options[i], text, sizeof(text));
        write_man_option(file, text, command->options[i].help);
    }
}

void reference_write_man(FILE *file)
{
    (void)fputs(".TH PGFAN 1 \"\" \"pgfan " PGFAN_VERSION "\" \"User Commands\"\n"
                ".SH NAME\npgfan \\- streams the changes of a PostgreSQL database to many targets\n"
                ".SH SYNOPSIS\n.B pgfan\nCOMMAND [OPTION]... [ARGUMENT]...\n"
                ".SH DESCRIPTION\n"
                "pgfan reads one logical replication slot per source, fans each change out to the\n"
                "targets of its pipelines, and confirms to PostgreSQL what is durable there.\n"
                ".SH COMMANDS\n",
                file);
    for (size_t i = 0; commands[i] != NULL; i++) {
        if (!commands[i]->hidden) {
            write_man_command(file, commands[i]);
        }
    }
    (void)fputs(".SH EXIT STATUS\n", file);
    for (size_t i = 0; exit_meanings[i].meaning != NULL; i++) {
        char number[16];
        (void)snprintf(number, sizeof(number), "%d", exit_meanings[i].status);
        write_man_option(file, number, exit_meanings[i].meaning);
    }
    (void)fputs(".SH ENVIRONMENT\n", file);
    write_man_option(file, "PGFAN_CONF", "the conf file or directory when --conf is not given");
    write_man_option(file, "PGFAN_KEY__KEY",
                     "overrides one key of the conf, such as PGFAN_LOG__LEVEL=debug");
    write_man_option(file, "NO_COLOR", "when set, no colours are used");
    (void)fputs(".SH FILES\n", file);
    write_man_option(file, "/etc/pgfan/pgfan.yaml", "the conf when nothing else names one");
    write_man_option(file, "DATA_DIR/pgfan.sock", "the control socket of a running engine");
}

/* A vertical bar would end a table's cell. */
static void write_cell(FILE *file, const char *text)
{
    for (; *text != '\0'; text++) {
        (void)fputs(*text == '|' ? "\\" : "", file);
        (void)fputc(*text, file);
    }
}

static void write_cli_command(FILE *file, const struct command *command)
{
    (void)fprintf(file, "\n## pgfan %s\n\n`pgfan %s [OPTION]...%s%s` - %s.\n\n%s\n\n",
                  command->name, command->name, command->arguments[0] == '\0' ? "" : " ",
                  command->arguments, command->summary, command->help);
    (void)fputs("| option | meaning |\n|---|---|\n", file);
    for (size_t i = 0; i < command->options_count; i++) {
        char text[OPTION_TEXT_MAX];
        help_option_text(&command->options[i], text, sizeof(text));
        (void)fputs("| `", file);
        write_cell(file, text);
        (void)fputs("` | ", file);
        write_cell(file, command->options[i].help);
        (void)fputs(" |\n", file);
    }
    (void)fputs("| `-h, --help` | show the help of the command |\n", file);
}

void reference_write_cli(FILE *file)
{
    (void)fputs("# The command line\n\n"
                "Generated from the option tables by `pgfan internal-reference cli`; do not edit.\n"
                "Options may stand before or behind arguments; `--name=value` and `--name value` "
                "are the same.\n\n"
                "| command | what it does |\n|---|---|\n",
                file);
    for (size_t i = 0; commands[i] != NULL; i++) {
        if (!commands[i]->hidden) {
            (void)fprintf(file, "| `pgfan %s` | %s |\n", commands[i]->name, commands[i]->summary);
        }
    }
    (void)fputs("\n## Exit status\n\n| status | meaning |\n|---|---|\n", file);
    for (size_t i = 0; exit_meanings[i].meaning != NULL; i++) {
        (void)fprintf(file, "| %d | %s |\n", exit_meanings[i].status, exit_meanings[i].meaning);
    }
    for (size_t i = 0; commands[i] != NULL; i++) {
        if (!commands[i]->hidden) {
            write_cli_command(file, commands[i]);
        }
    }
}

static const char api_text[] =
    "# The control interface\n\n"
    "Generated from the table of routes by `pgfan internal-reference api`; do not edit.\n\n"
    "HTTP/1.1 on the unix socket `<data_dir>/pgfan.sock` (mode 0660; root, the engine's user and "
    "its group are served), and on loopback TCP when `api.listen` is set. TCP serves GET and HEAD "
    "only and no row values, wants a Host of `localhost`, `127.0.0.1` or `[::1]`, and refuses "
    "requests that a web "
    "page of another origin sends.\n\n"
    "    curl --unix-socket /var/lib/pgfan/pgfan.sock http://localhost/readyz\n\n"
    "Answers are JSON, except `/metrics`. Times are UTC, LSNs texts such as `0/16B3748`, durations "
    "numbers of seconds; what is not known is `null`. New members may be added, none is "
    "renamed.\n\n"
    "| method | path | meaning |\n|---|---|---|\n";

static const char api_text_end[] =
    "\n## A pipeline\n\n"
    "`{name}` is the pipeline's name, or its id `{source}:{schema.table}:{target type}` where it "
    "has one exact table and one target; percent-encoded where needed. A verb answers with the "
    "pipeline when it is in effect.\n\n"
    "```json\n"
    "{\"metadata\": {\"name\": \"orders\", \"labels\": {\"team\": \"shop\"}, "
    "\"id\": \"shop:public.orders:file\"},\n"
    " \"spec\": {\"source\": \"shop\", \"tables\": [\"public.orders\"], \"batch\": {}, "
    "\"targets\": []},\n"
    " \"status\": {\"state\": \"STREAMING\", \"reason\": \"\", \"counters\": {\"read\": 3, "
    "\"delivered\": 3, \"gap\": 0, \"filtered\": 0, \"pending\": 0}}}\n"
    "```\n\n"
    "`spec` is the effective one, with defaults, secrets as `***`. `counters` add up: read = "
    "delivered + dead_lettered + spilled + gap + filtered + pending. `retries` lists the last 64 "
    "that were scheduled, in the order they happened:\n\n"
    "```json\n"
    "{\"number\": 3, \"target\": \"search\", \"batch_key\": "
    "\"7301234567890123456-pgfan_shop-00000000016B3748-00000000"
    "~7301234567890123456-pgfan_shop-00000000016B3748-00000001~2\",\n"
    " \"next_attempt\": 4, \"reason\": \"the target answered 503\", "
    "\"at\": \"2026-11-22T01:02:04.000000Z\", \"retry_at_ms\": 1795309327000}\n"
    "```\n\n"
    "`number` counts those of the pipeline since the engine started, so that a reader sees what it "
    "has missed. `batch_key` is `<first id>~<last id>~<count>`, `null` where the target could not "
    "be started. Nothing is sent before `retry_at_ms`, in milliseconds since 1970, unless an "
    "operator asks for it.\n\n"
    "## Dead letters\n\n"
    "Members of the query, or of the JSON object in a body; all of them must fit:\n\n"
    "| member | selects |\n|---|---|\n"
    "| `pipeline`, `target` | by name |\n"
    "| `table` | `schema.table` |\n"
    "| `key` | the key's JSON text, exactly as `key` of a letter |\n"
    "| `since` | last attempt not before: `2026-11-22T01:02:03Z`, `2026-11-22`, or `90s`, `15m`, "
    "`2h`, `7d` ago |\n"
    "| `error` | a piece of the error's text or code, whatever its case |\n"
    "| `cause` | `poison`, `parked` or `isolated` |\n"
    "| `after` | only those with a greater number |\n"
    "| `limit` | 1 to 1000, default 100 |\n"
    "| `payload` | of the list: `true` adds payloads, up to 16 MiB an answer |\n"
    "| `dry_run` | of a body: only count |\n"
    "| `confirm` | of a purge: the selected pipeline's name, `all` when none is selected |\n\n"
    "```json\n"
    "{\"dead_letters\": [{\"number\": 12, \"pipeline\": \"orders\", \"target\": \"search\", "
    "\"source\": \"shop\",\n"
    "  \"id\": \"7301234567890123456-pgfan_shop-00000000016B3748-00000000\", "
    "\"commit_lsn\": \"0/16B3748\", \"seq\": 0,\n"
    "  \"committed_at\": \"2026-11-22T01:02:03.456789Z\", \"op\": \"c\", "
    "\"table\": \"public.orders\", \"key\": \"{\\\"id\\\":7}\",\n"
    "  \"cause\": \"poison\", \"code\": \"HTTP_422\", \"error\": \"the target answered 422\", "
    "\"attempts\": 5,\n"
    "  \"first_at\": \"2026-11-22T01:02:04.000000Z\", "
    "\"last_at\": \"2026-11-22T01:02:35.000000Z\",\n"
    "  \"format\": \"native\", \"payload_bytes\": 310}],\n"
    " \"more\": false, \"after\": null}\n"
    "```\n\n"
    "With its payload a letter has `payload`, `payload_encoding` (`text`, or `base64` for bytes "
    "that are not UTF-8) and `payload_truncated`. A list, a count, a purge or a dry run that has "
    "looked for half a second, or has filled its page, answers with `more` true: ask again with "
    "its `after`, and add counts up. A replay answers `{\"succeeded\", \"failed\", \"stopped\", "
    "\"why\", \"after\"}`: what failed stays; `stopped` says that the target is down and nothing "
    "more was tried; go on with `after` until nothing was tried. A purge answers "
    "`{\"purged\", \"more\", \"after\"}`. See dead-letters.md.\n\n"
    "## Errors\n\n"
    "`{\"code\": …, \"message\": …, \"hint\": …}`; the hint may be missing.\n\n"
    "| status | codes |\n|---|---|\n"
    "| 400 | `BAD_REQUEST`, `UNKNOWN_PARAMETER`, `UNKNOWN_MEMBER`, `BAD_SELECTOR`, "
    "`NOT_CONFIRMED` |\n"
    "| 403 | `FORBIDDEN`, `HOST_REFUSED`, `ORIGIN_REFUSED`, `SOCKET_ONLY` |\n"
    "| 404 | `NOT_FOUND`, `PIPELINE_NOT_FOUND`, `TARGET_NOT_FOUND`, "
    "`DEAD_LETTER_NOT_FOUND` |\n"
    "| 405 | `METHOD_NOT_ALLOWED` |\n"
    "| 409 | `ILLEGAL_TRANSITION` |\n"
    "| 413 | `BODY_TOO_LARGE` |\n"
    "| 415 | `UNSUPPORTED_MEDIA_TYPE` |\n"
    "| 503 | `TIMEOUT` (a verb takes effect later), `BUSY` (too many commands wait), `STORE` and "
    "other codes of the store (store.md), `OUT_OF_MEMORY` |\n"
    "| 505 | `HTTP_VERSION` |\n\n"
    "## Limits\n\n"
    "64 connections a listener, 8 an IP address, 1,000 requests a connection; 32 KiB for request "
    "line and headers, 1 MiB for a body; headers within 10 s, body and answer within 30 s, idle "
    "30 s. A body must be `application/json`. Content-Length together with Transfer-Encoding, or "
    "more than one of either, is refused. A verb may take ten seconds, and holds other requests up "
    "as "
    "little as they hold it; one verb is carried out at a time, and of more than eight the last is "
    "answered 503 with Retry-After.\n";

void reference_write_api(FILE *file)
{
    (void)fputs(api_text, file);
    for (size_t i = 0; i < routes_count; i++) {
        (void)fprintf(file, "| %s | `%s` | ", routes[i].method == ROUTE_GET ? "GET" : "POST",
                      routes[i].path);
        write_cell(file, routes[i].help);
        (void)fputs(" |\n", file);
    }
    (void)fputs(api_text_end, file);
}

static int write_conf(void (*append)(const struct conf_plugins *plugins, struct bytes *ret_text))
{
    struct bytes text;
    bytes_init(&text, PAGE_MAX);
    append(engine_plugins(), &text);
    bool whole = bytes_ok(&text);
    (void)fputs(bytes_text(&text), stdout); /* main() asks ferror() */
    bytes_release(&text);
    return whole ? EXIT_FINE : EXIT_INTERNAL;
}

static int run_reference(const struct command *command, const struct arguments *arguments)
{
    const char *page = arguments->positional[0];
    if (strcmp(page, "man") == 0) {
        reference_write_man(stdout);
    } else if (strcmp(page, "cli") == 0) {
        reference_write_cli(stdout);
    } else if (strcmp(page, "api") == 0) {
        reference_write_api(stdout);
    } else if (strcmp(page, "conf-markdown") == 0) {
        return write_conf(conf_reference_markdown);
    } else if (strcmp(page, "conf-schema") == 0) {
        return write_conf(conf_reference_schema);
    } else if (strcmp(page, "conf-man") == 0) {
        (void)fputs(".TH PGFAN.YAML 5 \"\" \"pgfan " PGFAN_VERSION "\" \"File Formats\"\n"
                    ".SH NAME\npgfan.yaml \\- the conf of pgfan\n.SH KEYS\n",
                    stdout);
        return write_conf(conf_reference_man);
    } else {
        struct fan_error error = {0};
        (void)fan_fail(&error, FAN_FATAL, "unknown page \"%s\"", page); /* printed below */
        return failure_usage(&error, command->name);
    }
    return EXIT_FINE;
}

const struct command command_internal_reference = {
    .name = "internal-reference",
    .summary = "write a generated page",
    .arguments = "man|cli|api|conf-markdown|conf-schema|conf-man",
    .help = "For the build of the documentation.",
    .arguments_min = 1,
    .arguments_max = 1,
    .hidden = true,
    .run = run_reference,
};
