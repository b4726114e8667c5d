/*
 * fuzz_conf.c - any bytes as a conf file: no crash, no hang, and a verdict that agrees with itself.
 *
 * What loads must print as YAML that loads again. Secrets are shown masked there, and stay valid
 * as text, so that this holds for them too.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "conf/load.h"
#include "conf/print.h"
#include "tests/unit/conf_fixture.h"

enum { OUTPUT_MAX = 64 * 1024 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/*
 * libfyaml 0.7.12 loses a scratch buffer (2 KiB) where it joins the many pieces of a scalar, as with
 * a long row of quotes. A conf is read once, so that is left alone. That the documents themselves
 * are given back is seen by the unit tests under the same sanitizer, without this exception.
 */
const char *__lsan_default_suppressions(void)
{
    return "leak:libfyaml.so";
}

static enum fan_status load(const char *text, size_t size, struct bytes *ret_printed)
{
    struct settings settings = {0};
    struct conf_report report = {0};
    enum fan_status status =
        conf_load_text("fuzz.yaml", text, size, &fixture_plugins, &settings, &report);
    FAN_ASSERT((status == FAN_OK) == (report.errors == 0));
    struct bytes shown;
    bytes_init(&shown, OUTPUT_MAX);
    conf_report_print(&report, true, &shown);
    conf_report_print_json(&report, &shown);
    bytes_release(&shown);
    if (status == FAN_OK) {
        conf_print_yaml(&settings, ret_printed);
    }
    settings_release(&settings);
    conf_report_release(&report);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes first;
    struct bytes second;
    bytes_init(&first, OUTPUT_MAX);
    bytes_init(&second, OUTPUT_MAX);
    if (load((const char *)data, size, &first) == FAN_OK && first.size <= CONF_FILE_MAX) {
        FAN_ASSERT(bytes_ok(&first));
        enum fan_status again = load((const char *)first.data, first.size, &second);
        FAN_ASSERT(again == FAN_OK);
        FAN_ASSERT(first.size == second.size && memcmp(first.data, second.data, first.size) == 0);
    }
    bytes_release(&first);
    bytes_release(&second);
    return 0;
}
