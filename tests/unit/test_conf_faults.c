/*
 * Property: every fault of a conf is found in one go and shown at its place, with the line, a mark
 *           under the words, and how to mend it; no text makes the loader crash or hang.
 * Oracle:   the whole output, written out; for truncations that the call returns, and that a
 *           failed load has an error.
 */
#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "conf/load.h"
#include "tests/unit/conf_fixture.h"
#include "tests/unit/suite.h"

#define TAIL "pipelines: [{name: a, source: shop, tables: [a], targets: [{type: stdout}]}]\n"
#define GOOD "sources: {shop: {dsn: service=shop}}\n" TAIL
#define GUARDED(steps)                                                                             \
    "sources:\n"                                                                                   \
    "  shop: {dsn: service=shop, slot_guard: {hard: 1GiB, then: " steps "}}\n" TAIL

/* A pipeline whose `targets` are line 6; further keys of it come behind them. */
#define PIPELINE(targets)                                                                          \
    "sources: {shop: {dsn: service=shop}}\n"                                                       \
    "pipelines:\n"                                                                                 \
    "- name: a\n"                                                                                  \
    "  source: shop\n"                                                                             \
    "  tables: [a]\n"                                                                              \
    "  targets: [" targets "]\n"
#define ONE PIPELINE("{type: stdout}")
#define OPTIONAL PIPELINE("{type: stdout, required: false}")
#define TWO PIPELINE("{type: stdout}, {type: file, path: /x}")
#define TWO_ONE_OPTIONAL PIPELINE("{type: stdout}, {type: file, path: /x, required: false}")
#define TRANSACTIONS PIPELINE("{type: stdout, transactions: true}")
#define ANSWERING PIPELINE("{type: 'null'}")

static const struct {
    const char *conf;
    const char *output;
} faults[] = {
    {"", "c.yaml:1:1: error: \"sources\" is missing at the top level\n"
         "  hint: add `sources: {shop: {dsn: \"${env:SHOP_DSN}\"}}`\n"
         "c.yaml:1:1: error: \"pipelines\" is missing at the top level\n"
         "  hint: add `pipelines: [{name: orders, source: shop, tables: [public.orders], targets: "
         "[...]}]`\n"},
    {"- a\n", "c.yaml:1:1: error: the file must be a section with keys\n"
              "    - ***\n"
              "    ^\n"
              "  hint: start with `sources:` and `pipelines:`\n"},
    {"text\n", "c.yaml:1:1: error: the file must be a section with keys\n"
               "    ***\n"
               "    ^~~\n"
               "  hint: start with `sources:` and `pipelines:`\n"},
    {"sources: {shop: {dsn: service=shop}}\n",
     "c.yaml:1:1: error: \"pipelines\" is missing at the top level\n"
     "    sources: {shop: {dsn: ***}}\n"
     "    ^\n"
     "  hint: add `pipelines: [{name: orders, source: shop, tables: [public.orders], targets: "
     "[...]}]`\n"
     "c.yaml:1:11: warning: no pipeline uses source \"shop\": it is not connected\n"
     "    sources: {shop: {dsn: ***}}\n"
     "              ^~~~\n"
     "  hint: remove it, or name it in a pipeline\n"},
    {"sources:\n"
     "pipelines: [{name: a, source: shop, tables: [a], targets: [{type: stdout}]}]\n",
     "c.yaml:1:1: error: \"sources\" has no value\n"
     "    sources:\n"
     "    ^~~~~~~\n"
     "  hint: write what belongs to it below it, indented, or remove the key\n"},
    {"sources: {shop: {dsn: service=shop}}\n"
     "pipelines:\n",
     "c.yaml:1:11: warning: no pipeline uses source \"shop\": it is not connected\n"
     "    sources: {shop: {dsn: ***}}\n"
     "              ^~~~\n"
     "  hint: remove it, or name it in a pipeline\n"
     "c.yaml:2:1: error: \"pipelines\" has no value\n"
     "    pipelines:\n"
     "    ^~~~~~~~~\n"
     "  hint: write what belongs to it below it, indented, or remove the key\n"},
    {"sources: {shop: {dsn: service=shop}}\n"
     "pipelines: []\n",
     "c.yaml:1:11: warning: no pipeline uses source \"shop\": it is not connected\n"
     "    sources: {shop: {dsn: ***}}\n"
     "              ^~~~\n"
     "  hint: remove it, or name it in a pipeline\n"
     "c.yaml:2:1: error: \"pipelines\" is empty: there is nothing to do\n"
     "    pipelines: []\n"
     "    ^~~~~~~~~\n"
     "  hint: add a pipeline: conf/examples/minimal.yaml shows one\n"},
    {"sources: {shop: {dsn: service=shop}}\n"
     "pipelines: [{name: a, source: shop, tables: [a], targets: [{type: stdout}]}]\n"
     "data_dir: [a]\n",
     "c.yaml:3:1: error: \"data_dir\" must be a single value, not a list\n"
     "    data_dir: [***]\n"
     "    ^~~~~~~~\n"
     "  hint: write `data_dir: /var/lib/pgfan`\n"},
    {"sources: {shop: {dsn: service=shop}}\n"
     "pipelines: [{name: a, source: shop, tables: [a], targets: [{type: stdout}]}]\n"
     "data_dir: {a: b}\n",
     "c.yaml:3:1: error: \"data_dir\" must be a single value, not a section\n"
     "    data_dir: {a: ***}\n"
     "    ^~~~~~~~\n"
     "  hint: write `data_dir: /var/lib/pgfan`\n"},
    {"sources: {shop: {dsn: service=shop}}\n"
     "pipelines: [{name: a, source: shop, tables: [a], targets: [{type: stdout}]}]\n"
     "log: debug\n",
     "c.yaml:3:1: error: \"log\" must be a section, not a single value\n"
     "    log: ***\n"
     "    ^~~\n"
     "  hint: write its keys below it, indented, as `key: value`\n"},
    {"sources: {shop: {dsn: service=shop}}\n"
     "pipelines: [{name: a, source: shop, tables: [a], targets: [{type: stdout}]}]\n"
     "shutdown_timeout: 5\n",
     "c.yaml:3:19: error: \"shutdown_timeout\" is not a duration: \"5\"\n"
     "    shutdown_timeout: 5\n"
     "                      ^\n"
     "  hint: write a number with its unit: 50ms, 1s, 2m or 1h\n"},
    {"sources: {shop: {dsn: service=shop}}\n"
     "pipelines: [{name: a, source: shop, tables: [a], targets: [{type: stdout}]}]\n"
     "shutdown_timeout: 2h\n",
     "c.yaml:3:19: error: \"shutdown_timeout\" must be at most 1h\n"
     "    shutdown_timeout: 2h\n"
     "                      ^~\n"},
    {"sources: {shop: {dsn: service=shop}}\n"
     "pipelines: [{name: a, source: shop, tables: [a], targets: [{type: stdout}]}]\n"
     "log: {level: verbos}\n",
     "c.yaml:3:14: error: \"level\" cannot be \"verbos\"\n"
     "    log: {level: verbos}\n"
     "                 ^~~~~~\n"
     "  hint: use one of: error, warn, info, debug\n"},
    {"sources: {shop: {dsn: service=shop}}\n"
     "pipelines: [{name: a, source: shop, tables: [a], targets: [{type: stdout}]}]\n"
     "log: {levle: info}\n",
     "c.yaml:3:7: error: unknown key \"levle\" in \"log\": did you mean \"level\"?\n"
     "    log: {levle: ***}\n"
     "          ^~~~~\n"},
    {"sources: {shop: {dsn: service=shop}}\n"
     "pipelines: [{name: a, source: shop, tables: [a], targets: [{type: stdout}]}]\n"
     "log: {level: info, level: warn}\n",
     "c.yaml:3:20: error: key \"level\" stands twice in this section\n"
     "    log: {level: info, level: ***}\n"
     "                       ^~~~~\n"
     "  hint: keep one of them\n"},
    {"sources: {shop: {dsn: service=shop}}\n"
     "pipelines: [{name: a, source: shop, tables: [a], targets: [{type: stdout}]}]\n"
     "api: {listen: '0.0.0.0:7432'}\n",
     "c.yaml:3:16: error: cannot listen on \"0.0.0.0:7432\": only 127.0.0.1:PORT and [::1]:PORT "
     "are allowed until there are tokens\n"
     "    api: {listen: '0.0.0.0:7432'}\n"
     "                   ^~~~~~~~~~~~\n"
     "  hint: write 127.0.0.1:7432, or remove the key to serve the unix socket only\n"},
    {"sources: {shop: {dsn: service=shop}}\n"
     "pipelines: [{name: a, source: shop, tables: [a], targets: [{type: stdout}]}]\n"
     "api: {tokens: []}\n"
     "nope: 1\n",
     "c.yaml:3:7: error: \"tokens\" is not available in this version\n"
     "    api: {tokens: []}\n"
     "          ^~~~~~\n"
     "  hint: remove it\n"
     "c.yaml:4:1: error: unknown key \"nope\" at the top level\n"
     "    nope: ***\n"
     "    ^~~~\n"
     "  hint: keys here: data_dir, shutdown_timeout, api, log, dead_letters, sources, pipelines\n"},
    {"sources: {shop: {dsn: service=shop}}\n"
     "pipelines: [{name: a, source: shop, tables: [a], targets: [{type: stdout}]}]\n"
     "dead_letters: {max_bytes: 1MiB, max_payload: 2MiB}\n",
     "c.yaml:3:33: error: dead_letters: \"max_payload\" is larger than \"max_bytes\", so that such "
     "an event would never fit\n"
     "    dead_letters: {max_bytes: 1MiB, max_payload: 2MiB}\n"
     "                                    ^~~~~~~~~~~\n"
     "c.yaml:3:46: warning: lossy: a dead letter larger than \"max_payload\" becomes a gap row at "
     "once\n"
     "    dead_letters: {max_bytes: 1MiB, max_payload: 2MiB}\n"
     "                                                 ^~~~\n"
     "  hint: remove it, which allows 64MiB, or make it larger\n"},
    /* What could not be read is no choice, and gives no warning. */
    {"dead_letters: 1\n"
     "sources: {shop: {dsn: service=shop}}\n"
     "pipelines:\n"
     "- {name: a, source: shop, tables: [a], targets: [{type: stdout}], error_handling: 1}\n"
     "- {name: b, source: shop, tables: [a], targets: [{type: stdout, required: false}], buffer: "
     "1}\n",
     "c.yaml:1:1: error: \"dead_letters\" must be a section, not a single value\n"
     "    dead_letters: ***\n"
     "    ^~~~~~~~~~~~\n"
     "  hint: write its keys below it, indented, as `key: value`\n"
     "c.yaml:4:67: error: \"error_handling\" must be a section, not a single value\n"
     "    - {name: a, source: shop, tables: [a], targets: [{type: stdout}], error_handling: ***}\n"
     "                                                                      ^~~~~~~~~~~~~~\n"
     "  hint: write its keys below it, indented, as `key: value`\n"
     "c.yaml:5:84: error: \"buffer\" must be a section, not a single value\n"
     "    - {name: b, source: shop, tables: [a], targets: [{type: stdout, required: false}], "
     "buffer: "
     "***}\n"
     "                                                                                       "
     "^~~~~~\n"
     "  hint: write its keys below it, indented, as `key: value`\n"},
    {"sources: {shop: {dsn: service=shop, slot_guard: {soft: 1GiB, then: warn}}}\n" TAIL,
     "c.yaml:1:37: error: sources.shop.slot_guard: the steps of \"then\" need a \"hard\" limit\n"
     "    sources: {shop: {dsn: ***, slot_guard: {soft: 1GiB, then: warn}}}\n"
     "                               ^~~~~~~~~~\n"},
    {"sources: {shop: {dsn: service=shop, slot: {mode: ephemeral, create: yes}}}\n"
     "pipelines: [{name: a, source: shop, tables: [a], targets: [{type: stdout}]}]\n",
     "c.yaml:1:50: error: \"mode: ephemeral\" is not available in this version\n"
     "    sources: {shop: {dsn: ***, slot: {mode: ephemeral, create: yes}}}\n"
     "                                            ^~~~~~~~~\n"
     "  hint: remove it\n"
     "c.yaml:1:69: error: \"create\" must be true or false, not \"yes\"\n"
     "    sources: {shop: {dsn: ***, slot: {mode: ephemeral, create: yes}}}\n"
     "                                                               ^~~\n"
     "  hint: write true or false\n"},
    {"sources:\n"
     "  a: {dsn: service=shop, slot: {name: x}}\n"
     "  b: {dsn: service=shop, slot: {name: y}}\n"
     "  x: {dsn: service=other}\n"
     "  c: {dsn: service=shop, slot: {name: x}}\n"
     "pipelines:\n"
     "  - {name: a, source: a, tables: [a], targets: [{type: 'null'}]}\n"
     "  - {name: b, source: b, tables: [a], targets: [{type: 'null'}]}\n"
     "  - {name: c, source: c, tables: [a], targets: [{type: 'null'}]}\n"
     "  - {name: x, source: x, tables: [a], targets: [{type: 'null'}]}\n",
     "c.yaml:5:26: error: source \"c\" reads through the same slot of the same server as source "
     "\"a\"\n"
     "      c: {dsn: ***, slot: {name: x}}\n"
     "                    ^~~~\n"
     "  hint: one program reads a slot: give each source a slot.name of its own, or put their "
     "pipelines under one source\n"},
    {"sources: {shop: {type: mysql, host: x}}\n"
     "pipelines: [{name: a, source: shop, tables: [a], targets: [{type: stdout}]}]\n",
     "c.yaml:1:24: error: unknown source type \"mysql\"\n"
     "    sources: {shop: {type: mysql, host: ***}}\n"
     "                           ^~~~~\n"
     "  hint: types here: postgres\n"},
    {"sources: {shop: {dns: service=shop}}\n"
     "pipelines: [{name: a, source: shop, tables: [a], targets: [{type: stdout}]}]\n",
     "c.yaml:1:11: error: \"dsn\" is missing in \"sources.shop\"\n"
     "    sources: {shop: {dns: ***}}\n"
     "              ^~~~\n"
     "  hint: add `dsn: ${env:SHOP_DSN}`\n"
     "c.yaml:1:18: error: unknown key \"dns\" in \"sources.shop\": did you mean \"dsn\"?\n"
     "    sources: {shop: {dns: ***}}\n"
     "                     ^~~\n"},
    {"sources: {shop: {dsn: service=shop}, spare: {dsn: service=b}, 'a b': {dsn: service=c}}\n"
     "pipelines: [{name: a, source: shop, tables: [a], targets: [{type: stdout}]}]\n",
     "c.yaml:1:38: warning: no pipeline uses source \"spare\": it is not connected\n"
     "    sources: {shop: {dsn: ***}, spare: {dsn: ***}, 'a b': {dsn: ***}}\n"
     "                                ^~~~~\n"
     "  hint: remove it, or name it in a pipeline\n"
     "c.yaml:1:64: error: name \"a b\" is not a valid name\n"
     "    sources: {shop: {dsn: ***}, spare: {dsn: ***}, 'a b': {dsn: ***}}\n"
     "                                                    ^~~\n"
     "  hint: use up to 63 letters, digits, _, - and ., and start with a letter, a digit or _\n"
     "c.yaml:1:64: warning: no pipeline uses source \"a b\": it is not connected\n"
     "    sources: {shop: {dsn: ***}, spare: {dsn: ***}, 'a b': {dsn: ***}}\n"
     "                                                    ^~~\n"
     "  hint: remove it, or name it in a pipeline\n"},
    {"sources: {shop: {dsn: service=shop}}\n"
     "pipelines:\n"
     "  - {name: a, source: shop, tables: [a], targets: []}\n",
     "c.yaml:3:42: error: \"targets\" is empty: a pipeline needs at least one\n"
     "      - {name: a, source: shop, tables: [a], targets: []}\n"
     "                                             ^~~~~~~\n"
     "  hint: add `- type: stdout`\n"},
    {"sources: {shop: {dsn: service=shop}}\n"
     "pipelines:\n"
     "  - {name: a, source: shop, tables: [a], targets: [{type: fil}]}\n",
     "c.yaml:3:59: error: unknown target type \"fil\": did you mean \"file\"?\n"
     "      - {name: a, source: shop, tables: [a], targets: [{type: fil}]}\n"
     "                                                              ^~~\n"
     "  hint: types here: file, null, stdout\n"},
    {"sources: {shop: {dsn: service=shop}}\n"
     "pipelines:\n"
     "  - {name: a, source: shop, tables: [a], targets: [{type: webhook, url: a}]}\n",
     "c.yaml:3:59: error: target type \"webhook\" is not available in this version\n"
     "      - {name: a, source: shop, tables: [a], targets: [{type: webhook, url: ***}]}\n"
     "                                                              ^~~~~~~\n"
     "  hint: types here: file, null, stdout\n"},
    {"sources: {shop: {dsn: service=shop}}\n"
     "pipelines:\n"
     "  - {name: a, source: shop, tables: [a], targets: [{name: x}]}\n",
     "c.yaml:3:52: error: \"type\" is missing in \"pipelines.a.targets.x\"\n"
     "      - {name: a, source: shop, tables: [a], targets: [{name: x}]}\n"
     "                                                       ^\n"
     "  hint: add `type: file`\n"},
    {"sources: {shop: {dsn: service=shop}}\n"
     "pipelines:\n"
     "  - {name: a, source: shop, tables: [a], targets: [{type: stdout}, {type: stdout}]}\n",
     "c.yaml:3:68: error: target \"stdout\" stands twice in this pipeline\n"
     "      - {name: a, source: shop, tables: [a], targets: [{type: stdout}, {type: stdout}]}\n"
     "                                                                       ^\n"
     "  hint: give each target of a pipeline its own `name`\n"},
    {"sources: {shop: {dsn: service=shop}}\n"
     "pipelines:\n"
     "  - {name: a, source: shop, tables: [a], targets: [{type: 'null', format: nativ}]}\n",
     "c.yaml:3:75: error: unknown format \"nativ\": did you mean \"native\"?\n"
     "      - {name: a, source: shop, tables: [a], targets: [{type: 'null', format: nativ}]}\n"
     "                                                                              ^~~~~\n"
     "  hint: formats here: native, cloudevents, debezium, avro\n"},
    {PIPELINE("{type: stdout, format: avro}"),
     "c.yaml:6:36: error: format \"avro\" needs the address of a schema registry\n"
     "      targets: [{type: stdout, format: avro}]\n"
     "                                       ^~~~\n"
     "  hint: add `avro: {registry: http://registry.internal:8081}`\n"},
    {PIPELINE("{type: stdout, avro: {registry: 'http://r:1'}}"),
     "c.yaml:6:28: error: section \"avro\" belongs to \"format: avro\"\n"
     "      targets: [{type: stdout, avro: {registry: 'http://r:1'}}]\n"
     "                               ^~~~\n"
     "  hint: add \"format: avro\", or remove the section\n"},
    {PIPELINE("{type: stdout, format: avro, avro: {registry: 'http://r:1'}, debezium: {schemas: "
              "true}}"),
     "c.yaml:6:94: error: format \"avro\" cannot write schemas into events\n"
     "      targets: [{type: stdout, format: avro, avro: {registry: 'http://r:1'}, debezium: "
     "{schemas: true}}]\n"
     "                                                                                         "
     "        ^~~~\n"
     "  hint: remove \"schemas\": the registry has them\n"},
    {PIPELINE("{type: stdout, format: avro, avro: {registry: 'ftp://r:1'}}"),
     "c.yaml:6:49: error: pipelines.a.targets.stdout.avro: the address of a schema registry "
     "begins with http:// or https://\n"
     "      targets: [{type: stdout, format: avro, avro: {registry: 'ftp://r:1'}}]\n"
     "                                                    ^~~~~~~~\n"},
    {PIPELINE("{type: stdout, avro: {names: unicode}}"),
     "c.yaml:6:28: error: section \"avro\" belongs to \"format: avro\"\n"
     "      targets: [{type: stdout, avro: {names: unicode}}]\n"
     "                               ^~~~\n"
     "  hint: add \"format: avro\", or remove the section\n"},
    {PIPELINE("{type: stdout, format: avro, avro: {registry: 'http://r:1', username: u}}"),
     "c.yaml:6:49: error: pipelines.a.targets.stdout.avro: a password or token would go over the "
     "network in clear text: use https://, or set \"allow_http: true\" where nobody listens\n"
     "      targets: [{type: stdout, format: avro, avro: {registry: 'http://r:1', username: u}}]\n"
     "                                                    ^~~~~~~~\n"},
    {PIPELINE("{type: stdout, format: avro, avro: {registry: 'http://u:p@r:1'}}"),
     "c.yaml:6:49: error: pipelines.a.targets.stdout.avro: the address of a schema registry has "
     "no user, query, fragment or space: users have keys of their own\n"
     "      targets: [{type: stdout, format: avro, avro: {registry: 'http://u:p@r:1'}}]\n"
     "                                                    ^~~~~~~~\n"},
    {PIPELINE("{type: stdout, debezium: {schemas: true}}"),
     "c.yaml:6:28: error: section \"debezium\" belongs to \"format: debezium\" and \"avro\"\n"
     "      targets: [{type: stdout, debezium: {schemas: true}}]\n"
     "                               ^~~~~~~~\n"
     "  hint: add \"format: debezium\", or remove the section\n"},
    {PIPELINE("{type: stdout, format: debezium, int8: string}"),
     "c.yaml:6:52: error: format \"debezium\" cannot write 64-bit integers as strings\n"
     "      targets: [{type: stdout, format: debezium, int8: string}]\n"
     "                                                       ^~~~~~\n"
     "  hint: remove \"int8\": an int64 of Kafka Connect is a number\n"},
    {PIPELINE("{type: stdout, format: debezium, debezium: {unavailable_value: 'hex:0'}}"),
     "c.yaml:6:57: error: pipelines.a.targets.stdout.debezium: behind `hex:` of "
     "\"unavailable_value\" stand pairs of hexadecimal digits\n"
     "      targets: [{type: stdout, format: debezium, debezium: {unavailable_value: 'hex:0'}}]\n"
     "                                                            ^~~~~~~~~~~~~~~~~\n"},
    {PIPELINE("{type: stdout, format: debezium, debezium: {unavailable_value: 'hex:0g'}}"),
     "c.yaml:6:57: error: pipelines.a.targets.stdout.debezium: behind `hex:` of "
     "\"unavailable_value\" stand pairs of hexadecimal digits\n"
     "      targets: [{type: stdout, format: debezium, debezium: {unavailable_value: 'hex:0g'}}]\n"
     "                                                            ^~~~~~~~~~~~~~~~~\n"},
    {PIPELINE("{type: stdout, format: debezium, debezium: {unavailable_value: 'hex:'}}"),
     "c.yaml:6:57: error: pipelines.a.targets.stdout.debezium: behind `hex:` of "
     "\"unavailable_value\" stand pairs of hexadecimal digits\n"
     "      targets: [{type: stdout, format: debezium, debezium: {unavailable_value: 'hex:'}}]\n"
     "                                                            ^~~~~~~~~~~~~~~~~\n"},
    {"sources: {shop: {dsn: service=shop}}\n"
     "pipelines:\n"
     "  - {name: a, source: shop, tables: [a], targets: [{type: file, path: /x}, {type: file, "
     "name: b, path: /x}]}\n",
     "c.yaml:3:95: error: target \"b\" writes to the same place as target \"file\" of pipeline "
     "\"a\"\n"
     "      - {name: a, source: shop, tables: [a], targets: [{type: file, path: /x}, {type: file, "
     "name: b, path: /x}]}\n"
     "                                                                                             "
     "     ^\n"
     "  hint: give each target an address of its own\n"},
    {"sources: {shop: {dsn: service=shop}}\n"
     "pipelines:\n"
     "  - {name: a, source: shop, tables: [a], targets: [{type: file, path: /x, keep_segments: "
     "3}]}\n",
     "c.yaml:3:75: error: pipelines.a.targets.file: \"keep_segments\" needs \"rotate_bytes\"\n"
     "      - {name: a, source: shop, tables: [a], targets: [{type: file, path: /x, keep_segments: "
     "3}]}\n"
     "                                                                              "
     "^~~~~~~~~~~~~\n"},
    {"sources: {shop: {dsn: service=shop}}\n"
     "pipelines:\n"
     "  - {name: a, source: shop, tables: [a], targets: [{type: file, rotate_bytes: many, fsync: "
     "always}]}\n",
     "c.yaml:3:52: error: \"path\" is missing in \"pipelines.a.targets.file\"\n"
     "      - {name: a, source: shop, tables: [a], targets: [{type: file, rotate_bytes: many, "
     "fsync: always}]}\n"
     "                                                       ^\n"
     "  hint: add `path: /var/lib/pgfan/out.jsonl`\n"
     "c.yaml:3:79: error: \"rotate_bytes\" is not a size: \"many\"\n"
     "      - {name: a, source: shop, tables: [a], targets: [{type: file, rotate_bytes: many, "
     "fsync: always}]}\n"
     "                                                                                  ^~~~\n"
     "  hint: write a size such as 1000, 16kB, 64MiB or 10GiB\n"
     "c.yaml:3:92: error: \"fsync\" cannot be \"always\"\n"
     "      - {name: a, source: shop, tables: [a], targets: [{type: file, rotate_bytes: many, "
     "fsync: always}]}\n"
     "                                                                                             "
     "  ^~~~~~\n"
     "  hint: use one of: interval, batch, os\n"},
    {"sources: {shop: {dsn: service=shop}}\n"
     "pipelines:\n"
     "  - {name: a, source: shop, tables: [a], targets: [{type: stdout, required: false}], "
     "commit_policy: {mode: all}}\n",
     "c.yaml:3:77: error: \"required\" has no meaning under this \"commit_policy\"\n"
     "      - {name: a, source: shop, tables: [a], targets: [{type: stdout, required: false}], "
     "commit_policy: {mode: all}}\n"
     "                                                                                ^~~~~\n"
     "  hint: remove it, or use `mode: required`\n"},
    {"sources: {shop: {dsn: service=shop}}\n"
     "pipelines:\n"
     "  - {name: a, source: shop, tables: [a], targets: [{type: stdout}], commit_policy: "
     "{mode: quorum, quorum: 2}}\n",
     "c.yaml:3:107: error: a quorum of 2 cannot be had from 1 targets\n"
     "      - {name: a, source: shop, tables: [a], targets: [{type: stdout}], commit_policy: "
     "{mode: quorum, quorum: 2}}\n"
     "                                                                                             "
     "                 ^\n"
     "  hint: lower it, or add targets\n"},
    {"sources: {shop: {dsn: service=shop}}\n"
     "pipelines:\n"
     "  - {name: a, source: shop, tables: [a], targets: [{type: stdout}], commit_policy: "
     "{mode: quorum}}\n",
     "c.yaml:3:69: error: pipelines.a.commit_policy: \"mode: quorum\" needs \"quorum\", a number "
     "of "
     "targets\n"
     "      - {name: a, source: shop, tables: [a], targets: [{type: stdout}], commit_policy: "
     "{mode: quorum}}\n"
     "                                                                        ^~~~~~~~~~~~~\n"},
    {"sources: {shop: {dsn: service=shop}}\n"
     "pipelines:\n"
     "  - {name: a, source: shop, tables: [a], targets: [{type: stdout}], buffer: {policy: spill, "
     "spill_max: 0}}\n",
     "c.yaml:3:104: error: \"policy: spill\" cannot spill anything with \"spill_max: 0\"\n"
     "      - {name: a, source: shop, tables: [a], targets: [{type: stdout}], buffer: {policy: "
     "spill, "
     "spill_max: 0}}\n"
     "                                                                                             "
     "              ^\n"
     "  hint: give it a size, or use another policy\n"},
    {"sources: {shop: {dsn: service=shop}}\n"
     "pipelines:\n"
     "  - {name: a, source: shop, tables: [a], targets: [{type: stdout}], snapshot: initial, "
     "processors: [x]}\n",
     "c.yaml:3:79: error: \"snapshot: initial\" is not available in this version\n"
     "      - {name: a, source: shop, tables: [a], targets: [{type: stdout}], snapshot: initial, "
     "processors: [***]}\n"
     "                                                                                  ^~~~~~~\n"
     "  hint: remove it\n"
     "c.yaml:3:88: error: \"processors\" is not available in this version\n"
     "      - {name: a, source: shop, tables: [a], targets: [{type: stdout}], snapshot: initial, "
     "processors: [***]}\n"
     "                                                                                           "
     "^~~~~~~~~~\n"
     "  hint: remove it\n"},
    {"sources: {shop: {dsn: service=shop}}\n"
     "pipelines:\n"
     "  - {name: a, source: shop, tables: [a], targets: [{type: stdout}], batch: {max_events: 0, "
     "max_bytes: 1, max_ms: 1d, respect_source_tx: 1, max_inflight: x}}\n",
     "c.yaml:3:89: error: \"max_events\" must be at least 1\n"
     "      - {name: a, source: shop, tables: [a], targets: [{type: stdout}], batch: {max_events: "
     "0, max_bytes: 1, max_ms: 1d, respect_source_tx: 1, max_inflight: x}}\n"
     "                                                                                            "
     "^\n"
     "c.yaml:3:103: error: \"max_bytes\" must be at least 1KiB\n"
     "      - {name: a, source: shop, tables: [a], targets: [{type: stdout}], batch: {max_events: "
     "0, max_bytes: 1, max_ms: 1d, respect_source_tx: 1, max_inflight: x}}\n"
     "                                                                                             "
     "             ^\n"
     "c.yaml:3:114: error: \"max_ms\" must be at most 1h\n"
     "      - {name: a, source: shop, tables: [a], targets: [{type: stdout}], batch: {max_events: "
     "0, max_bytes: 1, max_ms: 1d, respect_source_tx: 1, max_inflight: x}}\n"
     "                                                                                             "
     "                        ^~\n"
     "c.yaml:3:137: error: \"respect_source_tx\" must be true or false, not \"1\"\n"
     "      - {name: a, source: shop, tables: [a], targets: [{type: stdout}], batch: {max_events: "
     "0, max_bytes: 1, max_ms: 1d, respect_source_tx: 1, max_inflight: x}}\n"
     "                                                                                             "
     "                                               ^\n"
     "  hint: write true or false\n"
     "c.yaml:3:154: error: \"max_inflight\" is not a whole number: \"x\"\n"
     "      - {name: a, source: shop, tables: [a], targets: [{type: stdout}], batch: {max_events: "
     "0, max_bytes: 1, max_ms: 1d, respect_source_tx: 1, max_inflight: x}}\n"
     "                                                                                             "
     "                                                                ^\n"
     "  hint: write digits only, such as 1000\n"},
    {"sources: {shop: {dsn: service=shop}}\n"
     "pipelines:\n"
     "  - {name: a, source: shop, tables: [a], targets: [{type: stdout}], buffer: {policy: blok, "
     "max_event: 5}}\n",
     "c.yaml:3:86: error: \"policy\" cannot be \"blok\": did you mean \"block\"?\n"
     "      - {name: a, source: shop, tables: [a], targets: [{type: stdout}], buffer: {policy: "
     "blok, max_event: ***}}\n"
     "                                                                                         "
     "^~~~\n"
     "  hint: use one of: block, drop_oldest, error, spill\n"
     "c.yaml:3:92: error: unknown key \"max_event\" in \"pipelines.a.buffer\": did you mean "
     "\"max_events\"?\n"
     "      - {name: a, source: shop, tables: [a], targets: [{type: stdout}], buffer: {policy: "
     "blok, max_event: ***}}\n"
     "                                                                                             "
     "  ^~~~~~~~~\n"},
    {"sources: {shop: {dsn: service=shop}}\n"
     "pipelines:\n"
     "  - {name: a, source: shop, tables: [a], targets: [{type: stdout}], error_handling: "
     "{backoff: 1m, backoff_max: 1s}}\n",
     "c.yaml:3:99: error: pipelines.a.error_handling: \"backoff_max\" is shorter than \"backoff\"; "
     "make it at least as long\n"
     "      - {name: a, source: shop, tables: [a], targets: [{type: stdout}], error_handling: "
     "{backoff: 1m, backoff_max: 1s}}\n"
     "                                                                                             "
     "         ^~~~~~~~~~~\n"},
    {"sources: {shop: {dsn: service=shop}}\n"
     "pipelines:\n"
     "  - {name: a, source: shop, tables: ['a.b.c', 'ok', ''], targets: [{type: stdout}]}\n",
     "c.yaml:3:39: error: cannot read table pattern \"a.b.c\": it has more than two parts\n"
     "      - {name: a, source: shop, tables: ['a.b.c', 'ok', ''], targets: [{type: stdout}]}\n"
     "                                          ^~~~~\n"
     "  hint: write schema.table, with % or * for any text, and names with other characters in "
     "double quotes: '\"My Schema\".\"a b\"'\n"
     "c.yaml:3:54: error: cannot read table pattern \"\": a name is empty, or has a character that "
     "needs double quotes\n"
     "      - {name: a, source: shop, tables: ['a.b.c', 'ok', ''], targets: [{type: stdout}]}\n"
     "                                                         ^\n"
     "  hint: write schema.table, with % or * for any text, and names with other characters in "
     "double quotes: '\"My Schema\".\"a b\"'\n"},
    {"sources: {shop: {dsn: service=shop}}\n"
     "pipelines:\n"
     "  - name: a\n"
     "    source: shpo\n"
     "    targets: [{type: stdout}]\n"
     "  - name: a\n"
     "    source: shop\n"
     "    tables: a\n"
     "    targets: [{type: stdout}]\n"
     "  - name: a/b\n"
     "    source: shop\n"
     "    messages: ['']\n"
     "    targets: [{type: stdout}]\n",
     "c.yaml:3:5: error: pipeline \"a\" has neither \"tables\" nor \"messages\"\n"
     "      - name: a\n"
     "        ^\n"
     "  hint: add `tables: [public.orders]`, or `tables: [\"*.*\"]` for all\n"
     "c.yaml:4:13: error: unknown source \"shpo\": did you mean \"shop\"?\n"
     "        source: shpo\n"
     "                ^~~~\n"
     "  hint: name one of the keys of `sources`\n"
     "c.yaml:6:11: error: pipeline \"a\" stands twice\n"
     "      - name: a\n"
     "              ^\n"
     "  hint: give each pipeline its own name, over all files\n"
     "c.yaml:10:11: error: name \"a/b\" is not a valid name\n"
     "      - name: a/b\n"
     "              ^~~\n"
     "  hint: use up to 63 letters, digits, _, - and ., and start with a letter, a digit or _\n"
     "c.yaml:12:5: error: a message prefix is empty\n"
     "        messages: ['']\n"
     "        ^~~~~~~~\n"
     "  hint: write \"%\" for all messages\n"},
    {"a: [1, 2\n"
     "b: 3\n",
     "c.yaml:3:1: error: not valid YAML: flow sequence without a closing bracket\n"
     "  hint: check indentation, quotes and brackets up to here\n"},
    {"a: 'open\n", "c.yaml:1:5: error: not valid YAML: single-quoted scalar without closing quote\n"
                   "    a: 'open\n"
                   "        ^\n"
                   "  hint: check indentation, quotes and brackets up to here\n"},
    {"a: \"\\q\"\n", "c.yaml:1:5: error: not valid YAML: invalid escape \n"
                     "    a: \"\\q\"\n"
                     "        ^\n"
                     "  hint: check indentation, quotes and brackets up to here\n"},
    {"a:\n"
     "  b: 1\n"
     " c: 2\n",
     "c.yaml:3:2: error: not valid YAML: invalid indentation in mapping\n"
     "     c: 2\n"
     "     ^\n"
     "  hint: check indentation, quotes and brackets up to here\n"},
    {"\ta: 1\n", "c.yaml:1:1: error: not valid YAML: invalid tab as indendation in a mapping\n"
                 "     a: 1\n"
                 "    ^\n"
                 "  hint: check indentation, quotes and brackets up to here\n"},
    {"%YAML 1.2\n"
     "---\n"
     "a: 1\n",
     "c.yaml:1:1: error: a line cannot start with %\n"
     "    ***\n"
     "    ^~~\n"
     "  hint: put a value that starts with % in quotes; YAML directives are not supported\n"},
    {"a: 1\r%x\n",
     "c.yaml:2:1: error: a line cannot start with %\n"
     "    ***\n"
     "    ^~~\n"
     "  hint: put a value that starts with % in quotes; YAML directives are not supported\n"},
    {"a: &x 1\n"
     "b: *x\n",
     "c.yaml:1:5: error: anchors are not supported\n"
     "    a: &x 1\n"
     "        ^\n"
     "  hint: write the value out where it is needed\n"},
    {"a: !!int 1\n", "c.yaml:1:4: error: tags are not supported\n"
                     "    a: !!int 1\n"
                     "       ^~~~~\n"
                     "  hint: remove the tag; the key decides the type\n"},
    {"a: 1\n"
     "---\n"
     "b: 2\n",
     "c.yaml:2:1: error: a second document in one file is not supported\n"
     "    ---\n"
     "    ^~~\n"
     "  hint: put it into a file of its own in conf.d\n"},
    {"? [a]\n"
     ": b\n",
     "c.yaml:1:3: error: a key must be a plain word\n"
     "    ***\n"
     "    ^~~\n"
     "  hint: put a plain word before the colon\n"},
    {"a: \377\n", "c.yaml:1:4: error: the file is not valid UTF-8 here\n"
                  "    a: ?\n"
                  "       ^\n"
                  "  hint: save the file as UTF-8 text\n"},
    {"a: \001\n", "c.yaml:1:4: error: a control character stands here\n"
                  "    a: ?\n"
                  "       ^\n"
                  "  hint: save the file as UTF-8 text\n"},
    {"a: \"\\0\"\n", "c.yaml:1:5: error: a value cannot hold a NUL character\n"
                     "    a: \"\\0\"\n"
                     "        ^~\n"
                     "  hint: remove the \\0\n"},
    {"\"a\\0\": 1\n", "c.yaml:1:2: error: a key cannot hold a NUL character\n"
                      "    ***\n"
                      "    ^~~\n"
                      "  hint: remove the \\0\n"},
    {"a: ${env:X}\n"
     "sources: {shop: {dsn: service=shop}}\n"
     "pipelines: [{name: a, source: shop, tables: [a], targets: [{type: stdout}]}]\n",
     "c.yaml:1:1: error: unknown key \"a\" at the top level\n"
     "    a: ***\n"
     "    ^\n"
     "  hint: keys here: data_dir, shutdown_timeout, api, log, dead_letters, sources, pipelines\n"},
    {"sources: {shop: {dsn: service=shop}}\n"
     "pipelines: [{name: a, source: shop, tables: [a], targets: [{type: stdout}]}]\n"
     "data_dir: ${HOME}\n",
     "c.yaml:3:11: error: \"data_dir\": cannot expand ${HOME}: unknown reference\n"
     "    data_dir: ${HOME}\n"
     "              ^~~~~~~\n"
     "  hint: write ${env:HOME} for an environment variable, or $${ for a literal ${\n"},
    {"sources: {shop: {dsn: service=shop}}\n"
     "pipelines: [{name: a, source: shop, tables: [a], targets: [{type: stdout}]}]\n"
     "\303\274n\303\257c\303\266d\303\251: 1\n",
     "c.yaml:3:1: error: unknown key \"\303\274n\303\257c\303\266d\303\251\" at the top level\n"
     "    \303\274n\303\257c\303\266d\303\251: ***\n"
     "    ^~~~~~~\n"
     "  hint: keys here: data_dir, shutdown_timeout, api, log, dead_letters, sources, pipelines\n"},
    {TRANSACTIONS "  batch: {respect_source_tx: false}\n",
     "c.yaml:6:42: error: target \"stdout\" cannot have transactions: batches end within "
     "transactions\n"
     "      targets: [{type: stdout, transactions: true}]\n"
     "                                             ^~~~\n"
     "  hint: remove \"respect_source_tx: false\" from \"batch\"\n"},
    {TRANSACTIONS "  buffer: {policy: drop_oldest}\n",
     "c.yaml:6:42: error: target \"stdout\" cannot have transactions: \"drop_oldest\" takes single "
     "changes out of them\n"
     "      targets: [{type: stdout, transactions: true}]\n"
     "                                             ^~~~\n"
     "  hint: use another buffer policy: block and spill lose nothing\n"
     "c.yaml:7:20: warning: lossy: \"drop_oldest\" gives up changes when the buffer is full\n"
     "      buffer: {policy: drop_oldest}\n"
     "                       ^~~~~~~~~~~\n"
     "  hint: block and spill lose nothing\n"},
    {PIPELINE("{type: stdout, special_values: fail, transactions: true}"),
     "c.yaml:6:64: error: target \"stdout\" cannot have transactions: \"special_values: fail\" "
     "takes "
     "single events out of them\n"
     "      targets: [{type: stdout, special_values: fail, transactions: true}]\n"
     "                                                                   ^~~~\n"
     "  hint: set \"special_values\" to string or null\n"},
    {PIPELINE("{type: stdout, format: cloudevents, cloudevents: {mode: binary}}"),
     "c.yaml:6:69: error: target \"stdout\" cannot have \"mode: binary\": the attributes would be "
     "lost, because a target of its type has no headers\n"
     "      targets: [{type: stdout, format: cloudevents, cloudevents: {mode: binary}}]\n"
     "                                                                        ^~~~~~\n"
     "  hint: use `mode: structured`\n"},
    {PIPELINE("{type: stdout, cloudevents: {compat: debezium}}"),
     "c.yaml:6:28: error: \"cloudevents\" has no meaning with another \"format\"\n"
     "      targets: [{type: stdout, cloudevents: {compat: debezium}}]\n"
     "                               ^~~~~~~~~~~\n"
     "  hint: remove it, or set `format: cloudevents`\n"},
    {PIPELINE("{type: 'null', format: cloudevents, cloudevents: {mode: binary, compat: debezium}}"),
     "c.yaml:6:77: error: pipelines.a.targets.null.cloudevents: \"compat: debezium\" has no "
     "\"mode: "
     "binary\": its attributes have names that no header can carry back\n"
     "      targets: [{type: 'null', format: cloudevents, cloudevents: {mode: binary, compat: "
     "debezium}}]\n"
     "                                                                                ^~~~~~\n"},
    {PIPELINE("{type: stdout, format: cloudevents, transactions: true, "
              "cloudevents: {compat: debezium}}"),
     "c.yaml:6:63: error: target \"stdout\" cannot have transactions: there are no marks in the "
     "form "
     "that \"compat: debezium\" asks for\n"
     "      targets: [{type: stdout, format: cloudevents, transactions: true, cloudevents: "
     "{compat: "
     "debezium}}]\n"
     "                                                                  ^~~~\n"
     "  hint: remove \"compat\"\n"},
    {PIPELINE("{type: 'null', format: cloudevents, transactions: true, "
              "cloudevents: {mode: binary}}"),
     "c.yaml:6:63: error: target \"null\" cannot have transactions: a mark has no headers, which "
     "\"mode: binary\" needs\n"
     "      targets: [{type: 'null', format: cloudevents, transactions: true, cloudevents: {mode: "
     "binary}}]\n"
     "                                                                  ^~~~\n"
     "  hint: use `mode: structured`\n"},
};

/* What is allowed, and said. */
static const struct {
    const char *conf;
    const char *output;
} warnings[] = {
    {"dead_letters: {at_cap: reject}\n" GOOD,
     "c.yaml:1:24: warning: lossy: \"reject\" makes gap rows of new dead letters when their store "
     "is full\n"
     "    dead_letters: {at_cap: reject}\n"
     "                           ^~~~~~\n"
     "  hint: \"block\" holds the slot, and loses nothing\n"},
    {"dead_letters: {at_cap: drop_oldest}\n" GOOD,
     "c.yaml:1:24: warning: lossy: \"drop_oldest\" makes gap rows of the oldest dead letters when "
     "their store is full\n"
     "    dead_letters: {at_cap: drop_oldest}\n"
     "                           ^~~~~~~~~~~\n"
     "  hint: \"block\" holds the slot, and loses nothing\n"},
    {"dead_letters: {max_age: 720h}\n" GOOD,
     "c.yaml:1:25: warning: lossy: dead letters older than \"max_age\" become gap rows\n"
     "    dead_letters: {max_age: 720h}\n"
     "                            ^~~~\n"
     "  hint: replay them in time, or remove it: then they stay until they are replayed or "
     "purged\n"},
    {"dead_letters: {max_payload: 32MiB}\n" GOOD,
     "c.yaml:1:29: warning: lossy: a dead letter larger than \"max_payload\" becomes a gap row at "
     "once\n"
     "    dead_letters: {max_payload: 32MiB}\n"
     "                                ^~~~~\n"
     "  hint: remove it, which allows 64MiB, or make it larger\n"},
    {ANSWERING "  error_handling: {on_persistent_failure: stop_source}\n"
               "dead_letters: {at_cap: reject}\n",
     "c.yaml:8:24: warning: lossy: \"reject\" makes gap rows of new dead letters when their store "
     "is full\n"
     "    dead_letters: {at_cap: reject}\n"
     "                           ^~~~~~\n"
     "  hint: \"block\" holds the slot, and loses nothing\n"},
    {ANSWERING "  buffer: {policy: spill}\n"
               "dead_letters: {at_cap: reject}\n",
     "c.yaml:8:24: warning: lossy: \"reject\" makes gap rows of new dead letters when their store "
     "is full\n"
     "    dead_letters: {at_cap: reject}\n"
     "                           ^~~~~~\n"
     "  hint: \"block\" holds the slot, and loses nothing\n"},
    {GUARDED("[warn, detach, stop]"),
     "c.yaml:2:67: warning: lossy: \"detach\" gives up what pipelines hold, with gap rows\n"
     "      shop: {dsn: ***, slot_guard: {hard: 1GiB, then: [warn, detach, stop]}}\n"
     "                                                             ^~~~~~\n"
     "  hint: warn, spill and stop give up nothing\n"},
    {GUARDED("drop_slot"),
     "c.yaml:2:60: warning: lossy: \"drop_slot\" loses every change that is not confirmed by then, "
     "without gap rows: targets need a new copy of the tables\n"
     "      shop: {dsn: ***, slot_guard: {hard: 1GiB, then: drop_slot}}\n"
     "                                                      ^~~~~~~~~\n"
     "  hint: warn, spill and stop give up nothing\n"},
    {TWO "  commit_policy: {mode: quorum, quorum: 2}\n"
         "  error_handling: {on_persistent_failure: stop_source}\n",
     "c.yaml:8:43: warning: \"on_persistent_failure\" has no effect: under a quorum a failing "
     "target falls behind, or holds the pipeline\n"
     "      error_handling: {on_persistent_failure: stop_source}\n"
     "                                              ^~~~~~~~~~~\n"
     "  hint: remove it\n"},
    {ONE "  buffer: {policy: spill}\n"
         "  error_handling: {on_persistent_failure: stop_all}\n",
     "c.yaml:8:43: warning: \"on_persistent_failure\" has no effect: with \"policy: spill\" a "
     "failing target goes on out of its spill\n"
     "      error_handling: {on_persistent_failure: stop_all}\n"
     "                                              ^~~~~~~~\n"
     "  hint: remove it\n"},
    {OPTIONAL "  error_handling: {on_persistent_failure: isolate}\n",
     "c.yaml:7:43: warning: \"on_persistent_failure\" has no effect: no target is waited for, so "
     "that a failing one only falls behind\n"
     "      error_handling: {on_persistent_failure: isolate}\n"
     "                                              ^~~~~~~\n"
     "  hint: remove it\n"},
    {OPTIONAL "  buffer: {spill_max: 0}\n",
     "c.yaml:7:23: warning: lossy: target \"stdout\" loses changes whenever it is slower than "
     "those that count, because nothing is spilled\n"
     "      buffer: {spill_max: 0}\n"
     "                          ^\n"
     "  hint: give \"spill_max\" a size\n"},
    {ONE "  error_handling: {dead_letter: false}\n",
     "c.yaml:7:33: warning: lossy: what a failing target cannot take is given up with a gap row\n"
     "      error_handling: {dead_letter: false}\n"
     "                                    ^~~~~\n"
     "  hint: remove \"dead_letter: false\"\n"},
    {ONE "  buffer: {policy: drop_oldest}\n",
     "c.yaml:7:20: warning: lossy: \"drop_oldest\" gives up changes when the buffer is full\n"
     "      buffer: {policy: drop_oldest}\n"
     "                       ^~~~~~~~~~~\n"
     "  hint: block and spill lose nothing\n"},
};

/* Near to the above, without loss and without a choice that does nothing. */
static const char *const silent[] = {
    GOOD,
    /* The defaults, written out. */
    "dead_letters: {at_cap: block, max_age: 0, max_payload: 64MiB}\n" GOOD,
    "dead_letters: {max_payload: 128MiB}\n" GOOD,
    /* No dead letter is ever written. */
    "dead_letters: {at_cap: reject, max_age: 1h, max_payload: 1KiB}\n" ONE
    "  error_handling: {on_persistent_failure: stop_source}\n",
    "dead_letters: {at_cap: reject, max_age: 1h, max_payload: 1KiB}\n" ONE
    "  buffer: {policy: spill}\n",
    "dead_letters: {at_cap: reject, max_age: 1h, max_payload: 1KiB}\n" OPTIONAL,
    "dead_letters: {at_cap: reject, max_age: 1h, max_payload: 1KiB}\n" ANSWERING
    "  error_handling: {on_persistent_failure: stop_all, dead_letter: false}\n",
    GUARDED("[warn, spill, stop]"),
    /* A target that nobody waits for, with room, and without a policy that is written out. */
    OPTIONAL,
    OPTIONAL "  buffer: {spill_max: 64KiB}\n",
    TWO "  commit_policy: {mode: quorum, quorum: 1}\n",
    ONE "  buffer: {policy: spill}\n",
    /* At least one target comes to the policy. */
    ONE "  error_handling: {on_persistent_failure: isolate}\n",
    TWO_ONE_OPTIONAL "  error_handling: {on_persistent_failure: stop_all}\n",
    TWO "  commit_policy: {mode: all}\n  error_handling: {on_persistent_failure: stop_all}\n",
    /* Nothing is isolated, so that nothing is given up. */
    ONE "  buffer: {policy: spill}\n  error_handling: {dead_letter: false}\n",
    TWO "  commit_policy: {mode: quorum, quorum: 1}\n  error_handling: {dead_letter: false}\n",
};

static struct bytes output;

static enum fan_status load(const char *text, size_t size)
{
    struct settings settings = {0};
    struct conf_report report = {0};
    enum fan_status status =
        conf_load_text("c.yaml", text, size, &fixture_plugins, &settings, &report);
    ck_assert_int_eq(status == FAN_OK, report.errors == 0);
    bytes_clear(&output);
    conf_report_print(&report, false, &output);
    settings_release(&settings);
    conf_report_release(&report);
    return status;
}

static void setup(void)
{
    bytes_init(&output, 1000000);
}

static void teardown(void)
{
    bytes_release(&output);
}

START_TEST(conf_fault_is_shown_exactly)
{
    ck_assert_int_eq(load(faults[_i].conf, strlen(faults[_i].conf)), FAN_FATAL);
    ck_assert_str_eq(bytes_text(&output), faults[_i].output);
}
END_TEST

START_TEST(conf_warning_is_shown_exactly)
{
    ck_assert_int_eq(load(warnings[_i].conf, strlen(warnings[_i].conf)), FAN_OK);
    ck_assert_str_eq(bytes_text(&output), warnings[_i].output);
}
END_TEST

START_TEST(conf_without_loss_is_silent)
{
    ck_assert_int_eq(load(silent[_i], strlen(silent[_i])), FAN_OK);
    ck_assert_str_eq(bytes_text(&output), "");
}
END_TEST

START_TEST(conf_warning_is_in_json)
{
    static const char text[] = GUARDED("detach");
    struct settings settings = {0};
    struct conf_report report = {0};
    ck_assert_int_eq(conf_load_text("c", text, strlen(text), &fixture_plugins, &settings, &report),
                     FAN_OK);
    conf_report_print_json(&report, &output);
    ck_assert_str_eq(bytes_text(&output),
                     "{\"valid\":true,\"errors\":0,\"warnings\":1,\"faults\":[{\"severity\":"
                     "\"warning\",\"file\":\"c\",\"line\":2,\"column\":60,\"message\":\"lossy: "
                     "\\\"detach\\\" gives up what pipelines hold, with gap "
                     "rows\",\"hint\":\"warn, spill and stop give up nothing\"}]}\n");
    settings_release(&settings);
    conf_report_release(&report);
}
END_TEST

START_TEST(conf_good_file_has_no_fault)
{
    ck_assert_int_eq(load(GOOD, strlen(GOOD)), FAN_OK);
    ck_assert_str_eq(bytes_text(&output), "");
    static const char marked[] = "\xef\xbb\xbf" GOOD; /* a byte order mark */
    ck_assert_int_eq(load(marked, strlen(marked)), FAN_OK);
    static const char crlf[] =
        "sources: {shop: {dsn: service=shop}}\r\n"
        "pipelines:\r\n"
        "- {name: a, source: shop, tables: a, targets: [{type: stdout}]}\r\n";
    ck_assert_int_eq(load(crlf, strlen(crlf)), FAN_OK);
}
END_TEST

START_TEST(conf_fault_colours_and_json_say_the_same)
{
    struct settings settings = {0};
    struct conf_report report = {0};
    static const char text[] = GOOD "x\x1b[0m: 1\n";
    static const char good[] = GOOD "nope: 1\n";
    ck_assert_int_eq(conf_load_text("c", text, strlen(text), &fixture_plugins, &settings, &report),
                     FAN_FATAL); /* a control character is refused at once */
    conf_report_release(&report);
    ck_assert_int_eq(conf_load_text("c", good, strlen(good), &fixture_plugins, &settings, &report),
                     FAN_FATAL);
    conf_report_print(&report, true, &output);
    ck_assert_ptr_nonnull(strstr(
        bytes_text(&output), "\x1b[1mc:3:1: \x1b[1;31merror\x1b[0m: unknown key \"nope\" at the "
                             "top level\n"));
    bytes_clear(&output);
    conf_report_print_json(&report, &output);
    ck_assert_str_eq(bytes_text(&output),
                     "{\"valid\":false,\"errors\":1,\"warnings\":0,\"faults\":[{\"severity\":"
                     "\"error\",\"file\":\"c\",\"line\":3,\"column\":1,\"message\":\"unknown key "
                     "\\\"nope\\\" at the top level\",\"hint\":\"keys here: data_dir, "
                     "shutdown_timeout, api, log, dead_letters, sources, pipelines\"}]}\n");
    conf_report_release(&report);
}
END_TEST

START_TEST(conf_too_many_faults_are_counted)
{
    struct bytes text;
    bytes_init(&text, 1000000);
    bytes_append_text(&text, GOOD);
    for (int i = 0; i < 300; i++) {
        bytes_append_format(&text, "key_%d: 1\n", i);
    }
    ck_assert_int_eq(load((const char *)text.data, text.size), FAN_FATAL);
    ck_assert_ptr_nonnull(strstr(bytes_text(&output), "100 more faults are not shown\n"));
    bytes_release(&text);
}
END_TEST

/* Texts that grow where a limit stands: each must be refused in reasonable time, by name. */
static void repeat(struct bytes *text, const char *piece, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bytes_append_text(text, piece);
    }
}

START_TEST(conf_limits_are_faults)
{
    static const struct {
        const char *start;
        const char *piece;
        size_t count;
        const char *said;
    } limits[] = {
        {"a: ", "[", 40, "sections are nested more than 32 deep"},
        {"", "- ", 40, "sections are nested more than 32 deep"},
        {"a: ", "[", 300000, "not valid YAML"},
        {"# ", "x", 1100000, "the file is larger than 1 MiB"},
        {"a: [", "a,", 210000, "the conf has too many values"},
        {"pipelines: [", "{},", 10001, "\"pipelines\" has 10001 items, and at most 10000"},
    };
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        struct bytes text;
        bytes_init(&text, 2000000);
        bytes_append_text(&text, limits[i].start);
        repeat(&text, limits[i].piece, limits[i].count);
        bytes_append_text(&text, strchr(limits[i].start, '[') != NULL ? "]" : "");
        ck_assert_int_eq(load((const char *)text.data, text.size), FAN_FATAL);
        ck_assert_msg(i == 2 || strstr(bytes_text(&output), limits[i].said) != NULL, "%zu: %.1000s",
                      i, bytes_text(&output));
        bytes_release(&text);
    }
    struct bytes text;
    bytes_init(&text, 2000000);
    for (int i = 0; i < 3000; i++) {
        bytes_append_format(&text, "k%d: 1\n", i);
    }
    ck_assert_int_eq(load((const char *)text.data, text.size), FAN_FATAL);
    ck_assert_ptr_nonnull(strstr(bytes_text(&output), "a section has more than 2000 keys"));
    bytes_release(&text);
}
END_TEST

/* conf/examples from the source tree; meson gives its root. */
static void each_example(void (*visit)(const char *text, size_t size))
{
    const char *root = getenv("PGFAN_SOURCE_ROOT");
    char directory[1000];
    (void)snprintf(directory, sizeof(directory), "%s/conf/examples", root != NULL ? root : ".");
    DIR *examples = opendir(directory);
    ck_assert_msg(examples != NULL, "no %s: set PGFAN_SOURCE_ROOT", directory);
    size_t count = 0;
    for (const struct dirent *entry = readdir(examples); entry != NULL; entry = readdir(examples)) {
        if (strstr(entry->d_name, ".yaml") == NULL) {
            continue;
        }
        char path[1300];
        (void)snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
        struct bytes content;
        bytes_init(&content, CONF_FILE_MAX);
        struct fan_error error;
        ck_assert_int_eq(fs_read_file(path, &content, &error), FAN_OK);
        visit((const char *)content.data, content.size);
        bytes_release(&content);
        count++;
    }
    (void)closedir(examples); /* only read */
    ck_assert_uint_ge(count, 4);
}

static void load_every_prefix(const char *text, size_t size)
{
    for (size_t length = 0; length <= size; length++) {
        (void)load(text, length); /* it may be valid or not; load() checks that it says so */
    }
}

static void load_every_damage(const char *text, size_t size)
{
    static const char damages[] = "%\"'[{:&*!|>\t\n\r\x80#-";
    char *copy = malloc(size + 1);
    for (size_t at = 0; at < size; at += 7) {
        for (size_t i = 0; i < sizeof(damages) - 1; i++) {
            memcpy(copy, text, size);
            copy[at] = damages[(i + at) % (sizeof(damages) - 1)];
            i += at % 3;
            (void)load(copy, size); /* as above */
        }
    }
    free(copy);
}

START_TEST(conf_every_truncation_of_an_example_returns)
{
    each_example(load_every_prefix);
}
END_TEST

START_TEST(conf_damaged_example_returns)
{
    each_example(load_every_damage);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("conf_faults");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, conf_fault_is_shown_exactly, 0,
                        (int)(sizeof(faults) / sizeof(faults[0])));
    tcase_add_loop_test(tcase, conf_warning_is_shown_exactly, 0, (int)CONF_COUNT(warnings));
    tcase_add_loop_test(tcase, conf_without_loss_is_silent, 0, (int)CONF_COUNT(silent));
    tcase_add_test(tcase, conf_warning_is_in_json);
    tcase_add_test(tcase, conf_good_file_has_no_fault);
    tcase_add_test(tcase, conf_fault_colours_and_json_say_the_same);
    tcase_add_test(tcase, conf_too_many_faults_are_counted);
    tcase_add_test(tcase, conf_limits_are_faults);
    tcase_add_test(tcase, conf_every_truncation_of_an_example_returns);
    tcase_add_test(tcase, conf_damaged_example_returns);
    return suite_run("conf_faults", tcase);
}
