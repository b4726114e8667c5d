/*
 * Property: the later layer wins key by key; references are expanded only from where they may come;
 *           no secret is in any output; what is printed reads back as the same settings.
 * Oracle:   one key set to another value at each layer (A10); a marker text inside every secret,
 *           searched for in every output; printing twice.
 */
#include <check.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "conf/load.h"
#include "conf/print.h"
#include "conf/reference.h"
#include "tests/unit/conf_fixture.h"
#include "tests/unit/suite.h"

#define MARK "S3CR3T-7f31"

static char directory[64];
static struct settings settings;
static struct conf_report report;
static struct bytes text;

static void setup(void)
{
    memcpy(directory, "/tmp/pgfan-conf-XXXXXX", 23);
    ck_assert_ptr_nonnull(mkdtemp(directory));
    settings = (struct settings){0};
    report = (struct conf_report){0};
    bytes_init(&text, 1000000);
}

static void remove_tree(const char *path)
{
    static const char *const names[] = {"pgfan.yaml", "a.yaml",      "b.yaml",
                                        "10.yaml",    "20.yaml",     "x.yml",
                                        "secret",     "secret-link", ".hidden.yaml"};
    char name[200];
    for (size_t i = 0; i < CONF_COUNT(names); i++) {
        (void)snprintf(name, sizeof(name), "%s/%s", path, names[i]);
        (void)unlink(name); /* most do not exist */
    }
    (void)rmdir(path); /* may not exist */
}

static void teardown(void)
{
    char below[100];
    (void)snprintf(below, sizeof(below), "%s/conf.d", directory);
    remove_tree(below);
    remove_tree(directory);
    ck_assert_int_ne(access(directory, F_OK), 0);
    settings_release(&settings);
    conf_report_release(&report);
    bytes_release(&text);
}

static const char *path_of(const char *name)
{
    static char path[200];
    (void)snprintf(path, sizeof(path), "%s/%s", directory, name);
    return path;
}

static void write_file(const char *name, mode_t mode, const char *content)
{
    const char *path = path_of(name);
    int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_ge(descriptor, 0);
    struct fan_error error;
    ck_assert_int_eq(fs_write_all(descriptor, path, content, strlen(content), &error), FAN_OK);
    ck_assert_int_eq(fchmod(descriptor, mode), 0);
    ck_assert_int_eq(close(descriptor), 0);
}

static enum fan_status load(const char *name, const char *const *environment,
                            const char *const *sets, size_t sets_count)
{
    static const char *const nothing[] = {NULL};
    settings_release(&settings);
    conf_report_release(&report);
    bytes_clear(&text);
    char path[200];
    (void)snprintf(path, sizeof(path), "%s", path_of(name));
    const struct conf_request request = {.path = path,
                                         .sets = sets,
                                         .sets_count = sets_count,
                                         .environment =
                                             environment != NULL ? environment : nothing};
    enum fan_status status = conf_load(&request, &fixture_plugins, &settings, &report);
    conf_report_print(&report, false, &text);
    return status;
}

static bool said(const char *part)
{
    return strstr(bytes_text(&text), part) != NULL;
}

#define BASE                                                                                       \
    "sources: {shop: {dsn: host=db}}\n"                                                            \
    "pipelines:\n"                                                                                 \
    "  - name: orders.v1\n"                                                                        \
    "    source: shop\n"                                                                           \
    "    tables: public.orders\n"                                                                  \
    "    targets: [{type: 'null'}]\n"

static int64_t max_events(void)
{
    return settings_pipeline_at(&settings, 0)->batch.max_events;
}

START_TEST(load_defaults_are_those_of_the_tables)
{
    write_file("pgfan.yaml", 0644, BASE);
    ck_assert_int_eq(load("pgfan.yaml", NULL, NULL, 0), FAN_OK);
    ck_assert_str_eq(bytes_text(&text), "");
    ck_assert_str_eq(settings.data_dir, "/var/lib/pgfan");
    ck_assert_ptr_null(settings.api.listen);
    ck_assert_int_eq(settings.log.level, LOG_INFO);
    ck_assert_int_eq(settings.shutdown_timeout_us, 30000000);
    ck_assert_uint_eq(settings.sources.count, 1);
    const struct settings_source *source = settings_source_at(&settings, 0);
    ck_assert_str_eq(source->name, "shop");
    ck_assert_str_eq(source->type, "postgres");
    const struct fixture_source *own = source->options;
    ck_assert_str_eq(secret_reveal(&own->dsn), "host=db");
    ck_assert(own->slot.create);
    ck_assert_int_eq(own->wal_sender_timeout_us, 60000000);
    const struct settings_pipeline *pipeline = settings_pipeline_at(&settings, 0);
    ck_assert_uint_eq(pipeline->tables.count, 1);
    ck_assert_str_eq(pipeline->tables.items[0], "public.orders");
    ck_assert_int_eq(pipeline->batch.max_events, 2000);
    ck_assert_uint_eq(pipeline->batch.max_bytes, 16777216);
    ck_assert_int_eq(pipeline->batch.max_us, 50000);
    ck_assert(pipeline->batch.respect_source_tx);
    ck_assert_int_eq(pipeline->buffer.policy, BUFFER_BLOCK);
    ck_assert_int_eq(pipeline->error_handling.backoff_us, 1000000);
    ck_assert_int_eq(pipeline->error_handling.backoff_max_us, 30000000);
    ck_assert_int_eq(settings.dead_letters.max_entries, 1000000);
    ck_assert_uint_eq(settings.dead_letters.max_bytes, UINT64_C(1) << 30);
    ck_assert_uint_eq(settings.dead_letters.max_payload_bytes, 64 << 20);
    ck_assert_int_eq(settings.dead_letters.max_age_us, 0);
    ck_assert_int_eq(settings.dead_letters.at_cap, 0); /* block */
    const struct settings_target *target = settings_target_at(pipeline, 0);
    ck_assert_str_eq(target->name, "null");
    ck_assert_str_eq(target->format, "native");
}
END_TEST

START_TEST(load_later_layer_wins_each_time)
{
    write_file("pgfan.yaml", 0644, BASE);
    ck_assert_int_eq(load("pgfan.yaml", NULL, NULL, 0), FAN_OK);
    ck_assert_int_eq(settings.shutdown_timeout_us, 30 * 1000000);
    write_file("pgfan.yaml", 0644, BASE "shutdown_timeout: 1s\n");
    ck_assert_int_eq(load("pgfan.yaml", NULL, NULL, 0), FAN_OK);
    ck_assert_int_eq(settings.shutdown_timeout_us, 1 * 1000000);
    ck_assert_int_eq(mkdir(path_of("conf.d"), 0755), 0);
    write_file("conf.d/20.yaml", 0644, "shutdown_timeout: 3s\n");
    write_file("conf.d/10.yaml", 0644, "shutdown_timeout: 2s\nlog: {level: debug}\n");
    ck_assert_int_eq(load("pgfan.yaml", NULL, NULL, 0), FAN_OK);
    ck_assert_int_eq(settings.shutdown_timeout_us, 3 * 1000000);
    ck_assert_int_eq(settings.log.level, LOG_DEBUG);
    const char *const environment[] = {"PGFAN_SHUTDOWN_TIMEOUT=4s", "PGFAN_LOG__LEVEL=warn", NULL};
    ck_assert_int_eq(load("pgfan.yaml", environment, NULL, 0), FAN_OK);
    ck_assert_int_eq(settings.shutdown_timeout_us, 4 * 1000000);
    ck_assert_int_eq(settings.log.level, LOG_WARN);
    const char *const sets[] = {"shutdown_timeout=5s", "shutdown_timeout=6s"};
    ck_assert_int_eq(load("pgfan.yaml", environment, sets, 1), FAN_OK);
    ck_assert_int_eq(settings.shutdown_timeout_us, 5 * 1000000);
    ck_assert_int_eq(load("pgfan.yaml", environment, sets, 2), FAN_OK);
    ck_assert_int_eq(settings.shutdown_timeout_us, 6 * 1000000);
}
END_TEST

START_TEST(load_override_addresses_items_by_name)
{
    write_file("pgfan.yaml", 0644, BASE);
    const char *const environment[] = {"PGFAN_PIPELINES__ORDERS_V1__BATCH__MAX_EVENTS=11",
                                       "PGFAN_SOURCES__SHOP__SLOT__NAME=other",
                                       "PGFAN_SHOP_DSN=ignored: no override", NULL};
    ck_assert_int_eq(load("pgfan.yaml", environment, NULL, 0), FAN_OK);
    ck_assert_int_eq(max_events(), 11);
    const struct fixture_source *own = settings_source_at(&settings, 0)->options;
    ck_assert_str_eq(own->slot.name, "other");
    const char *const sets[] = {"pipelines.orders.v1.batch.max_events=12",
                                "pipelines.orders.v1.tables=[a.b, c]",
                                "pipelines.orders.v1.labels.team.x=y",
                                "pipelines.orders.v1.targets.null.special_values=null"};
    ck_assert_int_eq(load("pgfan.yaml", environment, sets, 4), FAN_OK);
    ck_assert_int_eq(max_events(), 12);
    const struct settings_pipeline *pipeline = settings_pipeline_at(&settings, 0);
    ck_assert_uint_eq(pipeline->tables.count, 2);
    ck_assert_str_eq(pipeline->labels.pairs[0].key, "team.x");
    ck_assert_int_eq(settings_target_at(pipeline, 0)->special_values, 1);
}
END_TEST

static const struct {
    const char *set;
    const char *said;
} bad_sets[] = {
    {"pipelines.orders.v2.batch.max_events=1", "there is no item \"orders\""},
    {"pipelines.orders.v1.batch.max_event=1",
     "--set pipelines.orders.v1.batch.max_event: error: unknown key \"max_event\" in "
     "\"pipelines.orders.v1.batch\": did you mean \"max_events\"?"},
    {"sources.sho.dsn=x", "hint: did you mean \"shop\"?"},
    {"pipelines=", "must be a list"},
    {"pipelines.orders.v1=x", "the path ends at a whole section"},
    {"shutdown_timeout", "a --set has no key or no ="},
    {"=x", "a --set has no key or no ="},
    {".x=1", "a key is empty"},
    {"log..level=x", "a key is empty"},
    {"log.level.x=1", "\"level\" must be a single value"},
    {"nope.x.y=1", "unknown key \"nope\" at the top level"},
    {"pipelines.orders.v1.tables=[a", "not valid YAML"},
    {"pipelines.orders.v1.tables={a: b}", "\"tables\" must be a list, not a section"},
    {"data_dir=", "\"data_dir\" cannot be empty"},
};

START_TEST(load_faulty_override_is_a_fault)
{
    write_file("pgfan.yaml", 0644, BASE);
    ck_assert_int_eq(load("pgfan.yaml", NULL, &bad_sets[_i].set, 1), FAN_FATAL);
    ck_assert_msg(said(bad_sets[_i].said), "%s gave %s", bad_sets[_i].set, bytes_text(&text));
}
END_TEST

START_TEST(load_faulty_variable_is_a_fault)
{
    write_file("pgfan.yaml", 0644, BASE);
    const char *const environment[] = {"PGFAN_LOG__LEVLE=debug", "PGFAN_MY__OWN=1", NULL};
    ck_assert_int_eq(load("pgfan.yaml", environment, NULL, 0), FAN_FATAL);
    ck_assert(said("environment PGFAN_LOG__LEVLE: error: unknown key \"levle\" in \"log\": did you "
                   "mean \"level\"?"));
    ck_assert(said("environment PGFAN_MY__OWN: error: unknown key \"my\""));
}
END_TEST

START_TEST(load_pipelines_of_all_files_come_together)
{
    write_file("pgfan.yaml", 0644, BASE);
    ck_assert_int_eq(mkdir(path_of("conf.d"), 0755), 0);
    write_file("conf.d/10.yaml", 0644,
               "sources: {shop: {slot: {name: s}}, crm: {dsn: host=crm}}\n"
               "pipelines:\n"
               "  - {name: second, source: crm, tables: [a], targets: [{type: stdout}]}\n");
    write_file("conf.d/x.yml", 0644, "nonsense: 1\n");
    write_file("conf.d/.hidden.yaml", 0644, "nonsense: 1\n");
    ck_assert_int_eq(load("pgfan.yaml", NULL, NULL, 0), FAN_OK);
    ck_assert_uint_eq(settings.pipelines.count, 2);
    ck_assert_str_eq(settings_pipeline_at(&settings, 1)->name, "second");
    ck_assert_uint_eq(settings.sources.count, 2);
    const struct fixture_source *own = settings_source_at(&settings, 0)->options;
    ck_assert_str_eq(own->slot.name, "s");
    ck_assert_str_eq(secret_reveal(&own->dsn), "host=db");
    ck_assert(said("x.yml\" is not read"));
    write_file("conf.d/20.yaml", 0644,
               "pipelines: [{name: orders.v1, source: shop, tables: [a], targets: [{type: "
               "stdout}]}]\n");
    ck_assert_int_eq(load("pgfan.yaml", NULL, NULL, 0), FAN_FATAL);
    ck_assert(said("20.yaml:1:20: error: pipeline \"orders.v1\" stands twice"));
}
END_TEST

START_TEST(load_directory_reads_every_file_in_it)
{
    write_file("b.yaml", 0644, "shutdown_timeout: 2s\n");
    write_file("a.yaml", 0644, BASE "shutdown_timeout: 1s\n");
    ck_assert_int_eq(load("", NULL, NULL, 0), FAN_OK);
    ck_assert_int_eq(settings.shutdown_timeout_us, 2000000);
}
END_TEST

START_TEST(load_missing_files_are_named)
{
    ck_assert_int_eq(load("pgfan.yaml", NULL, NULL, 0), FAN_FATAL);
    ck_assert(said("cannot open \""));
    ck_assert(said("No such file or directory"));
    ck_assert_int_eq(load("", NULL, NULL, 0), FAN_FATAL);
    ck_assert(said("has no *.yaml file"));
}
END_TEST

#define WITH_DSN(dsn)                                                                              \
    "sources: {shop: {dsn: " dsn "}}\n"                                                            \
    "pipelines: [{name: a, source: shop, tables: [a], targets: [{type: stdout}]}]\n"

static const char *dsn_of_source(void)
{
    const struct fixture_source *own = settings_source_at(&settings, 0)->options;
    return secret_reveal(&own->dsn);
}

START_TEST(load_references_are_expanded_in_values)
{
    char variable[200];
    (void)snprintf(variable, sizeof(variable), "CREDENTIALS_DIRECTORY=%s", directory);
    const char *const environment[] = {"PW=" MARK ": {[#", "EMPTY=", variable, NULL};
    write_file("pgfan.yaml", 0644,
               WITH_DSN("'host=db password=${env:PW} dbname=$${x}${env:EMPTY}'"));
    ck_assert_int_eq(load("pgfan.yaml", environment, NULL, 0), FAN_OK);
    ck_assert_str_eq(dsn_of_source(), "host=db password=" MARK ": {[# dbname=${x}");
    write_file("secret", 0600, "host=" MARK "\n");
    char content[400];
    (void)snprintf(content, sizeof(content), WITH_DSN("'${file:%s/secret}'"), directory);
    write_file("pgfan.yaml", 0644, content);
    ck_assert_int_eq(load("pgfan.yaml", environment, NULL, 0), FAN_OK);
    ck_assert_str_eq(dsn_of_source(), "host=" MARK);
    write_file("pgfan.yaml", 0644, WITH_DSN("'${cred:secret}'"));
    ck_assert_int_eq(load("pgfan.yaml", environment, NULL, 0), FAN_OK);
    ck_assert_str_eq(dsn_of_source(), "host=" MARK);
}
END_TEST

static const struct {
    const char *value;
    const char *said;
} bad_references[] = {
    {"'${env:NOPE}'", "environment variable \"NOPE\" is not set"},
    {"'${NOPE}'", "hint: write ${env:NOPE} for an environment variable"},
    {"'${env:}'", "unknown reference"},
    {"'${}'", "unknown reference"},
    {"'${vault:x}'", "references are ${env:NAME}, ${file:PATH} and ${cred:NAME}"},
    {"'${env:PW'", "a reference that starts with ${ is not closed"},
    {"'${file:/nonexistent}'", "cannot read \"/nonexistent\": No such file or directory"},
    {"'${file:/tmp}'", "not a regular file"},
    {"'${cred:x}'", "CREDENTIALS_DIRECTORY is not set"},
    {"'${cred:../x}'", "CREDENTIALS_DIRECTORY is not set"},
    {"'${env:EMPTY}'", "\"dsn\" cannot be empty"},
};

START_TEST(load_reference_that_fails_is_named)
{
    char content[400];
    (void)snprintf(content, sizeof(content), WITH_DSN("%s"), bad_references[_i].value);
    write_file("pgfan.yaml", 0644, content);
    const char *const environment[] = {"PW=" MARK, "EMPTY=", NULL};
    ck_assert_int_eq(load("pgfan.yaml", environment, NULL, 0), FAN_FATAL);
    ck_assert_msg(said(bad_references[_i].said), "%s", bytes_text(&text));
    ck_assert(!said(MARK));
}
END_TEST

START_TEST(load_value_that_is_not_utf8_is_refused_unless_secret)
{
    const char *const environment[] = {"BROKEN=\xff", NULL};
    write_file("pgfan.yaml", 0644, WITH_DSN("'${env:BROKEN}'"));
    ck_assert_int_eq(load("pgfan.yaml", environment, NULL, 0), FAN_OK);
    const char *const sets[] = {"data_dir=${env:BROKEN}"};
    ck_assert_int_eq(load("pgfan.yaml", environment, sets, 1), FAN_FATAL);
    ck_assert(said("\"data_dir\": what \"${env:BROKEN}\" stands for is not valid UTF-8"));
}
END_TEST

START_TEST(load_secret_file_that_others_can_read_is_refused)
{
    static const mode_t modes[] = {0644, 0640, 0604, 0660, 0700, 0610};
    char content[400];
    (void)snprintf(content, sizeof(content), WITH_DSN("'${file:%s/secret}'"), directory);
    write_file("pgfan.yaml", 0644, content);
    for (size_t i = 0; i < CONF_COUNT(modes); i++) {
        write_file("secret", modes[i], MARK);
        ck_assert_int_eq(load("pgfan.yaml", NULL, NULL, 0), FAN_FATAL);
        ck_assert(said("others than its owner may read it"));
        ck_assert(said("hint: chmod 0600 "));
        ck_assert(!said(MARK));
    }
    write_file("secret", 0400, MARK);
    ck_assert_int_eq(load("pgfan.yaml", NULL, NULL, 0), FAN_OK);
    if (geteuid() == 0) {
        ck_assert_int_eq(chown(path_of("secret"), 12345, 12345), 0);
        ck_assert_int_eq(load("pgfan.yaml", NULL, NULL, 0), FAN_FATAL);
        ck_assert(said("it belongs to another user"));
    }
}
END_TEST

START_TEST(load_secret_file_over_the_limit_is_refused)
{
    char content[400];
    (void)snprintf(content, sizeof(content), WITH_DSN("'${file:%s/secret}'"), directory);
    write_file("pgfan.yaml", 0644, content);
    static char large[70000];
    memset(large, 'x', sizeof(large) - 1);
    write_file("secret", 0600, large);
    ck_assert_int_eq(load("pgfan.yaml", NULL, NULL, 0), FAN_FATAL);
    ck_assert(said("larger than"));
}
END_TEST

START_TEST(load_inline_secret_warns_or_is_refused)
{
    write_file("pgfan.yaml", 0600, WITH_DSN("host=db password=" MARK));
    ck_assert_int_eq(load("pgfan.yaml", NULL, NULL, 0), FAN_OK);
    ck_assert(said("1:23: warning: \"dsn\" holds a secret as plain text"));
    ck_assert(!said(MARK));
    write_file("pgfan.yaml", 0640, WITH_DSN("host=db password=" MARK));
    ck_assert_int_eq(load("pgfan.yaml", NULL, NULL, 0), FAN_FATAL);
    ck_assert(said("error: \"dsn\" holds a secret, and other users can read this file"));
    ck_assert(!said(MARK));
    write_file("pgfan.yaml", 0644, BASE);
    const char *const sets[] = {"sources.shop.dsn=password=" MARK};
    ck_assert_int_eq(load("pgfan.yaml", NULL, sets, 1), FAN_OK);
    ck_assert(said("--set sources.shop.dsn: warning: "));
    ck_assert(!said(MARK));
}
END_TEST

/* Confs with the marker where a secret could stand, most of them faulty around it. */
static const char *const marked[] = {
    WITH_DSN("host=db password=" MARK),
    WITH_DSN("'postgres://u:" MARK "@db/x?sslpassword=" MARK "'") "nope: " MARK "\n",
    "sources: {shop: {dns: host=db password=" MARK ", bogus: 1}}\n",
    "sources: {shop: {dsn: [" MARK "], slot: " MARK "}}\n",
    "sources: {shop: {dsn: {password: " MARK "}}}\npassword: " MARK "\n",
    "sources:\n  shop:\n    dsn: >\n      host=x\n      " MARK "\n    bogus: 1 # " MARK "\n",
    "sources:\n  shop:\n    dsn: |\n      " MARK "\n    dsn: |\n      " MARK "\n",
    "sources: {shop: {dsn: \"host=db password=" MARK "}}\n",
    "sources:\n  shop:\n    dsn: host=db password=" MARK "\n   bad\n",
    "sources:\n  shop:\n    dsn: @" MARK "\n",
    "sources:\n  shop:\n    dsn: *" MARK "\n",
    "sources:\n  shop:\n    dsn: &a " MARK "\n",
    "sources:\n  shop:\n    dsn: !!str " MARK "\n",
    "sources:\n  shop:\n    dsn: a\n     " MARK ": b\n",
    "sources:\n  shop: {token: " MARK ", dsn: a, slot_guard: " MARK "}\n",
    "api: {tokens: [{token: " MARK "}]}\n",
    "sources:\n  shop:\n    dsn: \"a\\q" MARK "\"\n",
    "# " MARK "\nbogus: 1 # " MARK "\n",
    "sources: {shop: {dsn: '${file:" MARK "', bogus: 1}}",
};

START_TEST(load_secret_is_in_no_output)
{
    write_file("pgfan.yaml", 0600, marked[_i]);
    enum fan_status status = load("pgfan.yaml", NULL, NULL, 0);
    ck_assert_uint_gt(report.errors + report.warnings, 0);
    conf_report_print(&report, true, &text);
    conf_report_print_json(&report, &text);
    if (status == FAN_OK) {
        conf_print_yaml(&settings, &text);
        conf_print_json(&settings, &text);
        ck_assert(said("***"));
    }
    ck_assert_msg(!said(MARK), "%s", bytes_text(&text));
}
END_TEST

static const char full[] =
    "data_dir: \"/x y\"\n"
    "api: {listen: \"[::1]:7432\"}\n"
    "log: {level: debug, format: json}\n"
    "sources:\n"
    "  shop: {dsn: host=db user=app, slot: {name: 'null', create: false}}\n"
    "pipelines:\n"
    "  - name: a\n"
    "    labels: {team: \"x: y\", \"a b\": 'true', n: '12'}\n"
    "    source: shop\n"
    "    tables: ['\"a b\".\"c\"\"d\"', s.*, '$${x}']\n"
    "    messages: ['%', '# no comment', \"tab\\there\"]\n"
    "    batch: {max_events: 5, max_bytes: 100kB, max_ms: 1500us, respect_source_tx: false}\n"
    "    buffer: {policy: drop_oldest}\n"
    "    targets:\n"
    "      - {type: file, path: '- odd: [path', rotate_bytes: 1GiB, keep_segments: 3}\n"
    "      - {type: stdout, special_values: null, int8: string}\n"
    "  - {name: b, source: shop, messages: x, targets: [{type: 'null'}]}\n";

START_TEST(print_effective_conf_reads_back_the_same)
{
    write_file("pgfan.yaml", 0600, full);
    ck_assert_msg(load("pgfan.yaml", NULL, NULL, 0) == FAN_OK, "%s", bytes_text(&text));
    struct bytes first;
    bytes_init(&first, 100000);
    conf_print_yaml(&settings, &first);
    write_file("pgfan.yaml", 0600, bytes_text(&first));
    ck_assert_msg(load("pgfan.yaml", NULL, NULL, 0) == FAN_OK, "%s\n%s", bytes_text(&first),
                  bytes_text(&text));
    struct bytes second;
    bytes_init(&second, 100000);
    conf_print_yaml(&settings, &second);
    ck_assert_str_eq(bytes_text(&first), bytes_text(&second));
    /* JSON is YAML too, and must say the same. */
    bytes_clear(&first);
    conf_print_json(&settings, &first);
    json_t *json = json_loads(bytes_text(&first), JSON_REJECT_DUPLICATES, NULL);
    ck_assert_ptr_nonnull(json);
    json_decref(json);
    write_file("pgfan.yaml", 0600, bytes_text(&first));
    ck_assert_msg(load("pgfan.yaml", NULL, NULL, 0) == FAN_OK, "%s", bytes_text(&text));
    bytes_clear(&first);
    conf_print_yaml(&settings, &first);
    ck_assert_str_eq(bytes_text(&first), bytes_text(&second));
    bytes_release(&first);
    bytes_release(&second);
}
END_TEST

START_TEST(reference_names_every_key_and_is_valid_json)
{
    conf_reference_markdown(&fixture_plugins, &text);
    ck_assert(bytes_ok(&text));
    static const char *const keys[] = {"`max_events`", "`rotate_bytes`",  "`dsn`",
                                       "`listen`",     "`commit_policy`", "`snapshot: initial`"};
    for (size_t i = 0; i < CONF_COUNT(keys); i++) {
        ck_assert_msg(said(keys[i]), "%s", keys[i]);
    }
    bytes_clear(&text);
    conf_reference_schema(&fixture_plugins, &text);
    json_error_t error;
    json_t *schema = json_loads(bytes_text(&text), JSON_REJECT_DUPLICATES, &error);
    ck_assert_msg(schema != NULL, "%s", error.text);
    const json_t *each = json_object_get(
        json_object_get(
            json_object_get(
                json_object_get(
                    json_object_get(
                        json_object_get(json_object_get(schema, "properties"), "pipelines"),
                        "items"),
                    "properties"),
                "targets"),
            "items"),
        "oneOf");
    ck_assert_uint_eq(json_array_size(each), CONF_COUNT(fixture_targets));
    json_decref(schema);
    bytes_clear(&text);
    conf_reference_man(&fixture_plugins, &text);
    ck_assert(said(".TP\n.B max_events\n(number, 1 to 1000000; default 2000)\n"));
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("conf_load");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, load_defaults_are_those_of_the_tables);
    tcase_add_test(tcase, load_later_layer_wins_each_time);
    tcase_add_test(tcase, load_override_addresses_items_by_name);
    tcase_add_loop_test(tcase, load_faulty_override_is_a_fault, 0, (int)CONF_COUNT(bad_sets));
    tcase_add_test(tcase, load_faulty_variable_is_a_fault);
    tcase_add_test(tcase, load_pipelines_of_all_files_come_together);
    tcase_add_test(tcase, load_directory_reads_every_file_in_it);
    tcase_add_test(tcase, load_missing_files_are_named);
    tcase_add_test(tcase, load_references_are_expanded_in_values);
    tcase_add_loop_test(tcase, load_reference_that_fails_is_named, 0,
                        (int)CONF_COUNT(bad_references));
    tcase_add_test(tcase, load_value_that_is_not_utf8_is_refused_unless_secret);
    tcase_add_test(tcase, load_secret_file_that_others_can_read_is_refused);
    tcase_add_test(tcase, load_secret_file_over_the_limit_is_refused);
    tcase_add_test(tcase, load_inline_secret_warns_or_is_refused);
    tcase_add_loop_test(tcase, load_secret_is_in_no_output, 0, (int)CONF_COUNT(marked));
    tcase_add_test(tcase, print_effective_conf_reads_back_the_same);
    tcase_add_test(tcase, reference_names_every_key_and_is_valid_json);
    return suite_run("conf_load", tcase);
}
