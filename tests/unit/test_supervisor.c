/*
 * When the service manager hears what: READY and a status at once, WATCHDOG twice within its
 * patience and not while a thread is stuck, a status when it changes, STOPPING with more time.
 *
 * Oracle: a datagram socket of the test, and virtual time.
 */
#include <check.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/supervisor.h"
#include "tests/unit/fake_engine.h"
#include "tests/unit/suite.h"

enum { SECOND_US = 1000000, ALL_MAX = 2048 };

static int manager;
static struct supervisor supervisor;
static char all[ALL_MAX];

static void open_with(const char *watchdog_usec)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char name[64];
    struct fan_error error;
    fake_engine_reset();
    fake_engine_stick(false);
    (void)snprintf(name, sizeof(name), "@pgfan-test-%d", (int)getpid());
    size_t size = strlen(name);
    memcpy(address.sun_path + 1, name + 1, size - 1);
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_eq(bind(manager, (struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size)),
                     0);
    const struct notify_environment environment = {name, watchdog_usec, NULL};
    ck_assert_int_eq(supervisor_open(&environment, &supervisor, &error), FAN_OK);
}

static void close_all(void)
{
    supervisor_close(&supervisor);
    (void)close(manager);
}

/* Everything sent since the last call, a datagram a line that begins with '<'. */
static const char *heard(void)
{
    size_t used = 0;
    all[0] = '\0';
    for (;;) {
        char text[NOTIFY_TEXT_MAX + 1];
        ssize_t size = recv(manager, text, NOTIFY_TEXT_MAX, 0);
        if (size < 0) {
            return all;
        }
        text[size] = '\0';
        used += (size_t)snprintf(all + used, sizeof(all) - used, "<%s>", text);
        ck_assert_uint_lt(used, sizeof(all));
    }
}

static int step(int64_t now_us)
{
    return supervisor_step(&supervisor, fake_engine(), now_us);
}

#define STATUS_ALL "<STATUS=streaming: 1 of 1 sources, 2 of 2 pipelines>"

START_TEST(supervisor_feeds_the_watchdog_twice_within_its_patience)
{
    open_with("4000000");
    supervisor_ready(&supervisor, fake_engine(), SECOND_US);
    ck_assert_str_eq(heard(), "<READY=1>" STATUS_ALL);
    int wait_ms = step(SECOND_US);
    ck_assert_int_ge(wait_ms, 2000);
    ck_assert_int_le(wait_ms, 2001);
    ck_assert_str_eq(heard(), "");
    for (int64_t now_us = 3 * SECOND_US; now_us < 20 * SECOND_US; now_us += 2 * SECOND_US) {
        (void)step(now_us - 1);
        ck_assert_str_eq(heard(), "");
        (void)step(now_us);
        ck_assert_str_eq(heard(), "<WATCHDOG=1>");
    }
    close_all();
}
END_TEST

START_TEST(supervisor_is_silent_while_a_thread_is_stuck)
{
    open_with("4000000");
    supervisor_ready(&supervisor, fake_engine(), 0);
    (void)heard();
    fake_engine_stick(true);
    for (int second = 2; second <= 20; second += 2) {
        (void)step(second * (int64_t)SECOND_US);
        ck_assert_str_eq(heard(), "");
    }
    fake_engine_stick(false);
    (void)step(22 * (int64_t)SECOND_US);
    ck_assert_str_eq(heard(), "<WATCHDOG=1>");
    close_all();
}
END_TEST

START_TEST(supervisor_tells_a_status_that_changed_once)
{
    open_with(NULL);
    supervisor_ready(&supervisor, fake_engine(), 0);
    (void)heard();
    fake_engine_pipeline(1)->state = PIPELINE_ERROR;
    (void)step(5 * (int64_t)SECOND_US);
    ck_assert_str_eq(heard(), "<STATUS=streaming: 1 of 1 sources, 1 of 2 pipelines; all: ERROR>");
    (void)step(10 * (int64_t)SECOND_US);
    ck_assert_str_eq(heard(), "");
    fake_engine_pipeline(1)->state = PIPELINE_STREAMING;
    (void)step(15 * (int64_t)SECOND_US);
    ck_assert_str_eq(heard(), STATUS_ALL);
    close_all();
}
END_TEST

START_TEST(supervisor_stopping_asks_for_the_time_of_the_conf)
{
    open_with("4000000");
    supervisor_stopping(&supervisor, 60 * (int64_t)SECOND_US);
    ck_assert_str_eq(heard(), "<STOPPING=1\nSTATUS=delivering what is queued\n"
                              "EXTEND_TIMEOUT_USEC=90000000><WATCHDOG_USEC=90000000>");
    close_all();
    open_with(NULL);
    supervisor_stopping(&supervisor, 0);
    ck_assert_str_eq(heard(), "<STOPPING=1\nSTATUS=delivering what is queued\n"
                              "EXTEND_TIMEOUT_USEC=30000000>");
    close_all();
}
END_TEST

START_TEST(supervisor_without_a_manager_never_wakes_the_main_thread)
{
    struct fan_error error;
    const struct notify_environment environment = {NULL, "4000000", NULL};
    ck_assert_int_eq(supervisor_open(&environment, &supervisor, &error), FAN_OK);
    supervisor_ready(&supervisor, fake_engine(), 0);
    ck_assert_int_eq(step(SECOND_US), -1);
    supervisor_stopping(&supervisor, SECOND_US);
    supervisor_close(&supervisor);
}
END_TEST

int main(void)
{
    log_set_level(LOG_ERROR);
    TCase *tests = tcase_create("supervisor");
    tcase_add_test(tests, supervisor_feeds_the_watchdog_twice_within_its_patience);
    tcase_add_test(tests, supervisor_is_silent_while_a_thread_is_stuck);
    tcase_add_test(tests, supervisor_tells_a_status_that_changed_once);
    tcase_add_test(tests, supervisor_stopping_asks_for_the_time_of_the_conf);
    tcase_add_test(tests, supervisor_without_a_manager_never_wakes_the_main_thread);
    return suite_run("supervisor", tests);
}
