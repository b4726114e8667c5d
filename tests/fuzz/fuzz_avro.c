/*
 * Property: whatever the text is, reading it along a schema stays within it and ends; a value that was
 *           read whole has a binary form.
 * Oracle:   the text's bounds, under the sanitizers; avro-c writes what was read.
 */
#include <stdint.h>
#include <stdlib.h>

#include "encode/avro_value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char schema_text[] =
    "{\"type\":\"record\",\"name\":\"R\",\"fields\":["
    "{\"name\":\"b\",\"type\":[\"null\",\"boolean\"]},"
    "{\"name\":\"i\",\"type\":[\"int\",\"null\"]},{\"name\":\"l\",\"type\":\"long\"},"
    "{\"name\":\"f\",\"type\":\"float\"},{\"name\":\"d\",\"type\":\"double\"},"
    "{\"name\":\"s\",\"type\":\"string\"},{\"name\":\"y\",\"type\":\"bytes\"},"
    "{\"name\":\"a\",\"type\":{\"type\":\"array\",\"items\":[\"null\",\"string\"]}},"
    "{\"name\":\"m\",\"type\":{\"type\":\"map\",\"values\":\"int\"}},"
    "{\"name\":\"p\",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"record\",\"name\":\"E\","
    "\"fields\":[{\"name\":\"k\",\"type\":\"int\"},{\"name\":\"v\",\"type\":\"double\"}]}}}]}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static avro_schema_t schema;
    static avro_value_iface_t *iface;
    struct bytes scratch;
    avro_value_t value;
    size_t written;
    if (iface == NULL &&
        avro_schema_from_json_length(schema_text, sizeof(schema_text) - 1, &schema) == 0) {
        iface = avro_generic_class_from_schema(schema);
    }
    if (iface == NULL || avro_generic_value_new(iface, &value) != 0) {
        abort();
    }
    bytes_init(&scratch, 1 << 20);
    if (avro_value_fill(&value, data, size, &scratch) == FAN_OK &&
        avro_value_sizeof(&value, &written) != 0) {
        abort();
    }
    bytes_release(&scratch);
    avro_value_decref(&value);
    return 0;
}
