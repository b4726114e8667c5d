#include <string.h>

#include "encode/avro_encoder.h"
#include "encode/cloudevents.h"
#include "encode/debezium.h"
#include "encode/encoder.h"
#include "encode/native.h"

const struct encoder_type *const encoder_types[] = {
    &native_encoder, &cloudevents_encoder, &debezium_encoder, &avro_encoder, NULL,
};

const struct encoder_type *encoder_type_find(const char *name)
{
    for (size_t i = 0; encoder_types[i] != NULL; i++) {
        if (strcmp(encoder_types[i]->name, name) == 0) {
            return encoder_types[i];
        }
    }
    return NULL;
}
