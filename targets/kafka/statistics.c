#include "targets/kafka/statistics.h"

#include <jansson.h>
#include <string.h>

enum figure {
    RECORDS_QUEUED,
    BYTES_QUEUED,
    RECORDS_SENT,
    REQUESTS,
    REQUESTS_RETRIED,
    REQUESTS_TIMED_OUT,
    BROKERS_UP,
    ROUND_TRIP_US, /* the slowest broker's mean */
};

static const char *const names[STATISTICS_COUNT] = {
    [RECORDS_QUEUED] = "records_queued",
    [BYTES_QUEUED] = "bytes_queued",
    [RECORDS_SENT] = "records_sent",
    [REQUESTS] = "requests",
    [REQUESTS_RETRIED] = "requests_retried",
    [REQUESTS_TIMED_OUT] = "requests_timed_out",
    [BROKERS_UP] = "brokers_up",
    [ROUND_TRIP_US] = "round_trip_microseconds",
};

static uint64_t number(const json_t *object, const char *name)
{
    json_int_t value = json_integer_value(json_object_get(object, name)); /* 0: it is none */
    return value > 0 ? (uint64_t)value : 0;
}

static void add_broker(const json_t *broker, uint64_t values[STATISTICS_COUNT])
{
    const char *state = json_string_value(json_object_get(broker, "state"));
    uint64_t round_trip = number(json_object_get(broker, "rtt"), "avg");
    values[REQUESTS_RETRIED] += number(broker, "txretries");
    values[REQUESTS_TIMED_OUT] += number(broker, "req_timeouts");
    values[BROKERS_UP] += state != NULL && strcmp(state, "UP") == 0;
    values[ROUND_TRIP_US] = round_trip > values[ROUND_TRIP_US] ? round_trip : values[ROUND_TRIP_US];
}

void statistics_take(struct statistics *statistics, const char *json, size_t size)
{
    json_t *root = json_loadb(json, size, 0, NULL);
    if (root == NULL) {
        return;
    }
    uint64_t values[STATISTICS_COUNT] = {[RECORDS_QUEUED] = number(root, "msg_cnt"),
                                         [BYTES_QUEUED] = number(root, "msg_size"),
                                         [RECORDS_SENT] = number(root, "txmsgs"),
                                         [REQUESTS] = number(root, "tx")};
    const char *name;
    json_t *broker;
    json_object_foreach(json_object_get(root, "brokers"), name, broker)
    {
        add_broker(broker, values);
    }
    json_decref(root);
    for (size_t at = 0; at < STATISTICS_COUNT; at++) {
        atomic_store_explicit(&statistics->values[at], values[at], memory_order_relaxed);
    }
}

size_t statistics_figures(struct statistics *statistics,
                          struct target_figure ret_figures[TARGET_FIGURES_MAX])
{
    _Static_assert((int)STATISTICS_COUNT <= (int)TARGET_FIGURES_MAX, "all have room");
    for (size_t at = 0; at < STATISTICS_COUNT; at++) {
        ret_figures[at] = (struct target_figure){
            names[at], atomic_load_explicit(&statistics->values[at], memory_order_relaxed)};
    }
    return STATISTICS_COUNT;
}
