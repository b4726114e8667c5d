/*
 * What is sent arrives whole as one datagram at the socket that the environment names; without one,
 * nothing is sent; a name or a number that cannot be used is refused.
 *
 * Oracle: a datagram socket of the test, by path and by abstract name.
 */
#include <check.h>
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/notify.h"
#include "tests/unit/scratch.h"
#include "tests/unit/suite.h"

static char name[100];
static int manager;

/* The manager's end; `name` is what NOTIFY_SOCKET would hold. */
static void listen_at(bool abstract)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char path[PATH_MAX];
    scratch_path(path, sizeof(path));
    int size = snprintf(name, sizeof(name), "%s%.90s", abstract ? "@" : "", path);
    ck_assert_int_lt(size, (int)sizeof(name));
    memcpy(address.sun_path, name, (size_t)size);
    address.sun_path[0] = abstract ? '\0' : name[0];
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_ge(manager, 0);
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)size);
    ck_assert_int_eq(bind(manager, (struct sockaddr *)&address, length), 0);
}

static ssize_t receive(char text[NOTIFY_TEXT_MAX + 1])
{
    ssize_t size = recv(manager, text, NOTIFY_TEXT_MAX, 0);
    text[size < 0 ? 0 : size] = '\0';
    return size;
}

static struct notify opened(const char *watchdog_usec, const char *watchdog_pid)
{
    struct notify notify;
    struct fan_error error;
    const struct notify_environment environment = {name, watchdog_usec, watchdog_pid};
    ck_assert_int_eq(notify_open(&environment, &notify, &error), FAN_OK);
    return notify;
}

static void check_sending(bool abstract)
{
    char text[NOTIFY_TEXT_MAX + 1];
    struct fan_error error;
    listen_at(abstract);
    struct notify notify = opened(NULL, NULL);
    ck_assert_int_eq(notify.watchdog_us, 0);
    ck_assert_int_eq(notify_send(&notify, &error, "READY=1\nSTATUS=%d of %d", 1, 2), FAN_OK);
    ck_assert_int_eq(notify_send(&notify, &error, "WATCHDOG=1"), FAN_OK);
    (void)receive(text);
    ck_assert_str_eq(text, "READY=1\nSTATUS=1 of 2");
    (void)receive(text);
    ck_assert_str_eq(text, "WATCHDOG=1");
    ck_assert_int_lt(receive(text), 0);
    notify_close(&notify);
    notify_close(&notify);
    (void)close(manager);
}

START_TEST(notify_reaches_a_path)
{
    check_sending(false);
}
END_TEST

START_TEST(notify_reaches_an_abstract_name)
{
    check_sending(true);
}
END_TEST

START_TEST(notify_without_a_socket_sends_nothing)
{
    const char *const names[] = {NULL, ""};
    for (size_t i = 0; i < 2; i++) {
        struct notify notify = {.descriptor = 99};
        struct fan_error error;
        const struct notify_environment environment = {names[i], "30000000", NULL};
        ck_assert_int_eq(notify_open(&environment, &notify, &error), FAN_OK);
        ck_assert_int_eq(notify.descriptor, -1);
        ck_assert_int_eq(notify.watchdog_us, 0);
        ck_assert_int_eq(notify_send(&notify, &error, "READY=1"), FAN_OK);
        notify_close(&notify);
    }
}
END_TEST

START_TEST(notify_socket_of_another_kind_is_refused)
{
    char long_name[200];
    memset(long_name, 'a', sizeof(long_name));
    long_name[0] = '/';
    long_name[sizeof(long_name) - 1] = '\0';
    const char *const names[] = {"relative", "vsock:2:1234", "/", "@", long_name};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct notify notify;
        struct fan_error error;
        const struct notify_environment environment = {names[i], NULL, NULL};
        ck_assert_int_eq(notify_open(&environment, &notify, &error), FAN_FATAL);
        ck_assert_ptr_nonnull(strstr(error.text, "NOTIFY_SOCKET"));
    }
}
END_TEST

START_TEST(notify_watchdog_is_taken_by_the_process_it_is_meant_for)
{
    char own[32];
    (void)snprintf(own, sizeof(own), "%d", (int)getpid());
    listen_at(true);
    struct notify notify = opened("30000000", NULL);
    ck_assert_int_eq(notify.watchdog_us, 30000000);
    notify_close(&notify);
    notify = opened("5", own);
    ck_assert_int_eq(notify.watchdog_us, 5);
    notify_close(&notify);
    notify = opened("30000000", "1");
    ck_assert_int_eq(notify.watchdog_us, 0);
    notify_close(&notify);
    (void)close(manager);
}
END_TEST

START_TEST(notify_watchdog_that_is_no_number_is_refused)
{
    const char *const numbers[] = {"", "0", "-1", "30s", "99999999999999999999"};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct notify notify;
        struct fan_error error;
        const struct notify_environment usec = {"@pgfan-nobody", numbers[i], NULL};
        const struct notify_environment pid = {"@pgfan-nobody", "1", numbers[i]};
        ck_assert_int_eq(notify_open(&usec, &notify, &error), FAN_FATAL);
        ck_assert_int_eq(notify_open(&pid, &notify, &error), FAN_FATAL);
    }
}
END_TEST

START_TEST(notify_manager_that_is_gone_or_full_does_not_block)
{
    struct fan_error error;
    char text[NOTIFY_TEXT_MAX + 1];
    listen_at(true);
    struct notify notify = opened(NULL, NULL);
    enum fan_status status = FAN_OK;
    for (unsigned sent = 0; status == FAN_OK && sent < 1000000; sent++) {
        status = notify_send(&notify, &error, "WATCHDOG=1");
    }
    ck_assert_int_eq(status, FAN_RETRY);
    ck_assert_int_eq(error.sys_errno, EAGAIN);
    (void)receive(text);
    ck_assert_int_eq(notify_send(&notify, &error, "WATCHDOG=1"), FAN_OK);
    (void)close(manager);
    ck_assert_int_eq(notify_send(&notify, &error, "WATCHDOG=1"), FAN_RETRY);
    ck_assert_int_eq(error.sys_errno, ECONNREFUSED);
    notify_close(&notify);
}
END_TEST

START_TEST(notify_text_that_is_too_long_is_cut)
{
    char word[2 * NOTIFY_TEXT_MAX];
    char text[NOTIFY_TEXT_MAX + 1];
    struct fan_error error;
    memset(word, 'x', sizeof(word));
    word[sizeof(word) - 1] = '\0';
    listen_at(true);
    struct notify notify = opened(NULL, NULL);
    ck_assert_int_eq(notify_send(&notify, &error, "STATUS=%s", word), FAN_OK);
    ck_assert_int_eq(receive(text), NOTIFY_TEXT_MAX - 1);
    ck_assert_int_eq(strncmp(text, "STATUS=xxx", 10), 0);
    notify_close(&notify);
    (void)close(manager);
}
END_TEST

int main(void)
{
    if (!scratch_open("notify")) {
        return EXIT_FAILURE;
    }
    TCase *tests = tcase_create("notify");
    tcase_add_test(tests, notify_reaches_a_path);
    tcase_add_test(tests, notify_reaches_an_abstract_name);
    tcase_add_test(tests, notify_without_a_socket_sends_nothing);
    tcase_add_test(tests, notify_socket_of_another_kind_is_refused);
    tcase_add_test(tests, notify_watchdog_is_taken_by_the_process_it_is_meant_for);
    tcase_add_test(tests, notify_watchdog_that_is_no_number_is_refused);
    tcase_add_test(tests, notify_manager_that_is_gone_or_full_does_not_block);
    tcase_add_test(tests, notify_text_that_is_too_long_is_cut);
    int status = suite_run("notify", tests);
    scratch_remove();
    return status;
}
