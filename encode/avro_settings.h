/*
 * avro_settings.h - what makes the envelope `avro` of two targets differ, beside the choices of
 * encode/debezium_settings.h, which hold for it, too.
 *
 * The section `avro` of a target has the same values, see conf/tables.c.
 */
#ifndef ENCODE_AVRO_SETTINGS_H
#define ENCODE_AVRO_SETTINGS_H

#include "encode/schema_ids.h"

#define AVRO_FORMAT "avro"

/* What the registry keeps a schema under; the names are those of Confluent's serializers. */
enum avro_subjects {
    AVRO_SUBJECTS_TOPIC = 0, /* TopicNameStrategy: shop.public.orders-key, -value */
    AVRO_SUBJECTS_RECORD,    /* RecordNameStrategy: shop.public.orders.Key, .Envelope */
    AVRO_SUBJECTS_BOTH,      /* TopicRecordNameStrategy: the topic, a minus, the record's name */
};

/* What stands for a character that a name may not have in Avro; Debezium's adjustment modes. */
enum avro_names {
    AVRO_NAMES_REPLACE = 0, /* _ */
    AVRO_NAMES_UNICODE,     /* _u0020; and _u005f for a _, so that no two names become one */
};

struct avro_settings {
    struct schema_ids *ids; /* borrowed; outlives every encoder. NULL: of another envelope */
    enum avro_subjects subjects;
    enum avro_names names;
};

#endif
