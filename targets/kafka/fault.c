#include "targets/kafka/fault.h"

#include <ctype.h>
#include <stdio.h>

struct fault_line {
    rd_kafka_resp_err_t code;
    enum fan_status class;
    const char *hint;
};

static const struct fault_line lines[] = {
    /* These events will not be taken. */
    {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, FAN_POISON,
     "raise max.message.bytes of the topic and the property message.max.bytes of the target, then "
     "pgfan dlq replay"},
    {RD_KAFKA_RESP_ERR_INVALID_MSG, FAN_POISON, "the broker finds the record broken"},
    {RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE, FAN_POISON, "the broker finds the record's size wrong"},
    {RD_KAFKA_RESP_ERR_INVALID_RECORD, FAN_POISON,
     "the topic refuses it: a compacted one takes no record without a key"},
    {RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP, FAN_POISON, "see message.timestamp.* of the topic"},
    {RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION, FAN_POISON,
     "Kafka cannot have a topic of that name: letters, digits, `.`, `_`, `-`, at most 249 of them"},
    {RD_KAFKA_RESP_ERR__INVALID_ARG, FAN_POISON, "librdkafka cannot have such a record"},
    /* Nothing will be taken until somebody mends it. */
    {RD_KAFKA_RESP_ERR__AUTHENTICATION, FAN_FATAL,
     "check security.protocol and the sasl.* properties of the target"},
    {RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED, FAN_FATAL,
     "check the sasl.* properties of the target"},
    {RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM, FAN_FATAL,
     "the broker does not know the sasl.mechanism of the target"},
    {RD_KAFKA_RESP_ERR_ILLEGAL_SASL_STATE, FAN_FATAL,
     "check security.protocol of the target against the broker's listener"},
    {RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, FAN_FATAL,
     "the user needs WRITE and DESCRIBE on the topic"},
    {RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, FAN_FATAL,
     "the user needs IDEMPOTENT_WRITE on the cluster"},
    {RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, FAN_FATAL,
     "the user needs WRITE and DESCRIBE on the transactional id"},
    {RD_KAFKA_RESP_ERR_POLICY_VIOLATION, FAN_FATAL, "a policy of the broker refuses it"},
    {RD_KAFKA_RESP_ERR__FENCED, FAN_FATAL,
     "another pgfan runs this pipeline: stop one of them, then pgfan restart"},
    {RD_KAFKA_RESP_ERR_PRODUCER_FENCED, FAN_FATAL,
     "another pgfan runs this pipeline: stop one of them, then pgfan restart"},
    {RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION, FAN_FATAL, "the broker is too old"},
    {RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE, FAN_FATAL, "the broker is too old"},
    {RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT, FAN_FATAL,
     "the topic keeps an old message format"},
    {RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR, FAN_FATAL,
     "topics.replication_factor is more than there are brokers"},
    {RD_KAFKA_RESP_ERR_INVALID_PARTITIONS, FAN_FATAL, "check topics.partitions"},
    {RD_KAFKA_RESP_ERR_INVALID_CONFIG, FAN_FATAL, "check topics.config"},
    /* They are sent again. */
    {RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, FAN_RETRY,
     "create the topic, or set topics.create: true"},
    {RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, FAN_RETRY, "create the topic, or set topics.create: true"},
    {RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, FAN_RETRY, "the topic has fewer partitions than before"},
    {RD_KAFKA_RESP_ERR__SSL, FAN_RETRY,
     "check security.protocol and the ssl.* properties of the target"},
    {RD_KAFKA_RESP_ERR__RESOLVE, FAN_RETRY, "check the names in brokers"},
    {RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, FAN_RETRY, "check brokers, and that the cluster runs"},
    {RD_KAFKA_RESP_ERR__TRANSPORT, FAN_RETRY, "check brokers, and that the cluster runs"},
    {RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, FAN_RETRY, "check brokers, and that the cluster runs"},
    {RD_KAFKA_RESP_ERR__TIMED_OUT, FAN_RETRY, "check brokers, and that the cluster runs"},
    {RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, FAN_RETRY,
     "fewer replicas are in sync than min.insync.replicas of the topic asks for"},
    {RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND, FAN_RETRY,
     "fewer replicas are in sync than min.insync.replicas of the topic asks for"},
};

enum { LINES_COUNT = sizeof(lines) / sizeof(lines[0]) };

static const struct fault_line *line_of(rd_kafka_resp_err_t code)
{
    for (size_t at = 0; at < LINES_COUNT; at++) {
        if (lines[at].code == code) {
            return &lines[at];
        }
    }
    return NULL;
}

enum fan_status kafka_fault_class(rd_kafka_resp_err_t code)
{
    const struct fault_line *line = line_of(code);
    return line != NULL ? line->class : FAN_RETRY;
}

/* KAFKA_ and the library's name of the code, as far as it is a word. */
static void code_word(rd_kafka_resp_err_t code, char *word, size_t size)
{
    const char *name = rd_kafka_err2name(code);
    size_t at = (size_t)snprintf(word, size, "KAFKA_"); /* fits */
    for (name += *name == '_'; *name != '\0' && at + 1 < size; name++) {
        bool fine = isalnum((unsigned char)*name) != 0 || *name == '_';
        word[at++] = (char)(fine ? toupper((unsigned char)*name) : '_');
    }
    word[at] = '\0';
}

enum fan_status kafka_fault(rd_kafka_resp_err_t code, const char *text, struct fan_error *reterr)
{
    const struct fault_line *line = line_of(code);
    char word[sizeof(reterr->code)];
    code_word(code, word, sizeof(word));
    (void)fan_fail(reterr, kafka_fault_class(code), "%s",
                   text != NULL && text[0] != '\0' ? text : rd_kafka_err2str(code)); /* below */
    fan_error_annotate(reterr, word, line != NULL ? "%s" : NULL, line != NULL ? line->hint : "");
    return kafka_fault_class(code);
}

bool kafka_fault_is_worse(rd_kafka_resp_err_t code, rd_kafka_resp_err_t than)
{
    /* What was given up because of another says nothing. */
    bool follows = than == RD_KAFKA_RESP_ERR__PURGE_QUEUE ||
                   than == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT || than == RD_KAFKA_RESP_ERR_NO_ERROR;
    return follows || kafka_fault_class(code) > kafka_fault_class(than);
}
