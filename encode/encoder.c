#include "encode/encoder.h"

bool encode_settings_equal(const struct encode_settings *left, const struct encode_settings *right)
{
    return left->type == right->type && left->int8_as_string == right->int8_as_string &&
           left->special_values == right->special_values &&
           left->transactions == right->transactions && left->records == right->records &&
           left->cloudevents_mode == right->cloudevents_mode &&
           left->cloudevents_compat == right->cloudevents_compat;
}
