#include "encode/encoder.h"

#include <string.h>

static bool text_equal(const char *left, const char *right)
{
    return left == right || (left != NULL && right != NULL && strcmp(left, right) == 0);
}

static bool debezium_settings_equal(const struct debezium_settings *left,
                                    const struct debezium_settings *right)
{
    return left->schemas == right->schemas && left->decimal == right->decimal &&
           left->time == right->time && left->binary == right->binary &&
           left->interval == right->interval && left->hstore == right->hstore &&
           left->transaction_metadata == right->transaction_metadata &&
           left->defaults == right->defaults &&
           text_equal(left->unavailable_value, right->unavailable_value) &&
           text_equal(left->topic_prefix, right->topic_prefix);
}

bool encode_settings_equal(const struct encode_settings *left, const struct encode_settings *right)
{
    return left->type == right->type && left->int8_as_string == right->int8_as_string &&
           left->special_values == right->special_values &&
           left->transactions == right->transactions && left->records == right->records &&
           left->octets == right->octets && left->cloudevents_mode == right->cloudevents_mode &&
           left->cloudevents_compat == right->cloudevents_compat &&
           left->lenient == right->lenient && left->avro.ids == right->avro.ids &&
           left->avro.subjects == right->avro.subjects && left->avro.names == right->avro.names &&
           debezium_settings_equal(&left->debezium, &right->debezium);
}
