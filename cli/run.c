/*
 * run.c - `pgfan run`: brings the engine and its API up, waits, and takes them down in order.
 *
 * The main thread waits on a signalfd and on the engine's own end, and tells the service manager
 * between two waits that all is well; every other thread inherits the
 * blocked signals, so that no call of theirs is interrupted. A stop goes: readiness false (the
 * engine says so, the API still answers), sources let go, queues delivered, last checkpoint, last
 * ack; then the API; then the store. A second signal ends the process at once, which loses
 * nothing: what is not confirmed is sent again.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "api/api.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/conf_arguments.h"
#include "cli/failure.h"
#include "cli/libraries.h"
#include "cli/supervisor.h"
#include "engine/engine.h"

enum { FORGET_MAX = 256 };

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ADDRESS_SANITIZER 1
#endif
#endif
#ifndef HAS_ADDRESS_SANITIZER
#define HAS_ADDRESS_SANITIZER 0
#endif

/* The leak checker traces its own process, which an undumpable one does not allow. */
static void refuse_dumps(const struct arguments *arguments)
{
    if (!HAS_ADDRESS_SANITIZER && !arguments_flag(arguments, "core-dumps") &&
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
        log_write(LOG_WARN, "could not turn core dumps off", LOG_NUMBER("errno", errno));
    }
}

/* Blocks the signals in this thread, and so in those that it will start. */
static enum fan_status open_signals(sigset_t *ret_signals, int *ret_descriptor,
                                    struct fan_error *reterr)
{
    sigset_t signals;
    (void)sigemptyset(&signals); /* cannot fail on a set of our own */
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL); /* cannot fail for SIG_BLOCK */
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR) {
        return fan_fail_errno(reterr, FAN_FATAL, errno, "cannot ignore SIGPIPE");
    }
    int descriptor = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (descriptor < 0) {
        return fan_fail_errno(reterr, FAN_FATAL, errno, "cannot wait for signals");
    }
    *ret_signals = signals;
    *ret_descriptor = descriptor;
    return FAN_OK;
}

/* Returns the signal that asks for the end, or 0 when it was none. */
static int read_signal(int descriptor)
{
    struct signalfd_siginfo info;
    if (read(descriptor, &info, sizeof(info)) != (ssize_t)sizeof(info)) {
        return 0;
    }
    if (info.ssi_signo == SIGHUP) {
        log_write(LOG_WARN, "signal ignored: the conf is read at the start only, restart to use it",
                  LOG_TEXT("signal", "SIGHUP"));
        return 0;
    }
    return (int)info.ssi_signo;
}

/* Waits until the engine ends by itself or somebody asks for it. */
static enum engine_exit wait_for_end(struct engine *engine, struct supervisor *supervisor,
                                     int signals)
{
    struct pollfd waits[] = {{.fd = signals, .events = POLLIN},
                             {.fd = engine_ended_fd(engine), .events = POLLIN}};
    for (;;) {
        int timeout_ms = supervisor_step(supervisor, engine, clock_monotonic_us());
        if (poll(waits, 2, timeout_ms) < 0) {
            if (errno == EINTR) {
                continue;
            }
            log_write(LOG_ERROR, "could not wait for signals", LOG_NUMBER("errno", errno));
            return EXIT_INTERNAL;
        }
        enum engine_exit exit_status = EXIT_FINE;
        struct fan_error why = {0};
        if (engine_ended(engine, &exit_status, &why)) {
            log_write(LOG_ERROR, "engine ended", LOG_TEXT("reason", why.text),
                      LOG_TEXT("hint", why.hint[0] == '\0' ? NULL : why.hint),
                      LOG_TEXT("code", why.code[0] == '\0' ? NULL : why.code),
                      LOG_NUMBER("exit_status", exit_status));
            return exit_status;
        }
        int number = (waits[0].revents & POLLIN) != 0 ? read_signal(signals) : 0;
        if (number != 0) {
            log_write(LOG_INFO, "pgfan stops; the same signal again ends it at once",
                      LOG_TEXT("signal", number == SIGTERM ? "SIGTERM" : "SIGINT"));
            return EXIT_FINE;
        }
    }
}

/* From here on a signal has its default effect again: it ends the process. */
static void let_signals_kill(const sigset_t *signals)
{
    (void)signal(SIGTERM, SIG_DFL); /* cannot fail for these */
    (void)signal(SIGINT, SIG_DFL);
    (void)signal(SIGHUP, SIG_IGN);
    (void)pthread_sigmask(SIG_UNBLOCK, signals, NULL);
}

/* Who collects JSON lines gets the failure as one; people get it with its hint on a line. */
static enum engine_exit fail_start(const struct settings *settings, const struct fan_error *error,
                                   enum engine_exit exit_status)
{
    if (settings->log.format != LOG_JSON) {
        return (enum engine_exit)failure_print(error, exit_status);
    }
    log_write(LOG_ERROR, "pgfan cannot start", LOG_TEXT("reason", error->text),
              LOG_TEXT("hint", error->hint[0] == '\0' ? NULL : error->hint),
              LOG_TEXT("code", error->code[0] == '\0' ? NULL : error->code),
              LOG_NUMBER("exit_status", exit_status));
    return exit_status;
}

static enum engine_exit serve(struct engine *engine, const struct settings *settings,
                              struct supervisor *supervisor, const sigset_t *signals,
                              int signals_descriptor)
{
    struct api_setup api_setup = {.engine = engine, .settings = settings};
    api_setup.versions = libraries_versions(&api_setup.versions_count);
    struct api *api = NULL;
    struct fan_error error = {0};
    if (api_start(&api_setup, &api, &error) != FAN_OK) {
        return fail_start(settings, &error, EXIT_CONF);
    }
    enum engine_exit exit_status = EXIT_INTERNAL;
    if (engine_start(engine, &error) == FAN_OK) {
        supervisor_ready(supervisor, engine, clock_monotonic_us());
        exit_status = wait_for_end(engine, supervisor, signals_descriptor);
    } else {
        (void)fail_start(settings, &error, exit_status); /* it is the status already */
    }
    let_signals_kill(signals);
    supervisor_stopping(supervisor, settings->shutdown_timeout_us);
    if (engine_stop(engine, settings->shutdown_timeout_us, &error) != FAN_OK) {
        log_write(LOG_WARN, "not everything was delivered before the stop; it is sent again",
                  LOG_TEXT("reason", error.text));
        exit_status = exit_status == EXIT_FINE ? EXIT_INTERNAL : exit_status;
    }
    api_stop(api);
    return exit_status;
}

static void log_start(const struct settings *settings)
{
    size_t count = 0;
    const struct api_version *versions = libraries_versions(&count);
    struct log_field fields[16] = {LOG_TEXT("data_dir", settings->data_dir),
                                   LOG_NUMBER("pid", getpid())};
    size_t used = 2;
    for (size_t i = 0; i < count && used < CONF_COUNT(fields); i++) {
        fields[used++] = LOG_TEXT(versions[i].name, versions[i].version);
    }
    if (log_get_level() >= LOG_INFO) {
        log_write_fields(LOG_INFO, "pgfan starts", fields, used);
    }
}

static int run_engine(const struct arguments *arguments, const struct settings *settings)
{
    const char *forget[FORGET_MAX];
    struct engine_setup setup = {.settings = settings, .forget = forget};
    setup.adopt_slot = arguments_value(arguments, "adopt-slot");
    setup.forget_count = arguments_values(arguments, "forget", forget, FORGET_MAX);
    if (setup.forget_count > FORGET_MAX) {
        struct fan_error error = {0};
        (void)fan_fail(&error, FAN_FATAL, "--forget is given more than %d times", FORGET_MAX);
        return failure_usage(&error, "run");
    }
    sigset_t signals;
    FAN_CLEANUP(fan_close_p) int signals_descriptor = -1;
    struct fan_error error = {0};
    if (open_signals(&signals, &signals_descriptor, &error) != FAN_OK) {
        return failure_print(&error, EXIT_INTERNAL);
    }
    struct supervisor supervisor;
    /* NOLINTBEGIN(concurrency-mt-unsafe): pgfan never changes its environment */
    const struct notify_environment environment = {.socket = getenv("NOTIFY_SOCKET"),
                                                   .watchdog_usec = getenv("WATCHDOG_USEC"),
                                                   .watchdog_pid = getenv("WATCHDOG_PID")};
    /* NOLINTEND(concurrency-mt-unsafe) */
    if (supervisor_open(&environment, &supervisor, &error) != FAN_OK) {
        return failure_print(&error, EXIT_CONF);
    }
    log_start(settings);
    struct engine *engine = NULL;
    enum engine_exit exit_status = EXIT_INTERNAL;
    if (engine_create(&setup, &engine, &exit_status, &error) != FAN_OK) {
        supervisor_close(&supervisor);
        return fail_start(settings, &error, exit_status);
    }
    exit_status = serve(engine, settings, &supervisor, &signals, signals_descriptor);
    supervisor_close(&supervisor);
    engine_destroy(engine);
    log_write(LOG_INFO, "pgfan stopped", LOG_NUMBER("exit_status", exit_status));
    return exit_status;
}

/* The flags stand above the conf: they go into the settings. */
static enum fan_status apply_log(const struct arguments *arguments, struct settings *settings,
                                 struct fan_error *reterr)
{
    enum log_level level = (enum log_level)settings->log.level;
    enum log_format format = (enum log_format)settings->log.format;
    const char *level_text = arguments_value(arguments, "log-level");
    const char *format_text = arguments_value(arguments, "log-format");
    if (level_text != NULL && !log_level_parse(level_text, &level)) {
        return fan_fail(reterr, FAN_FATAL, "unknown log level \"%s\": error, warn, info or debug",
                        level_text);
    }
    if (format_text != NULL && strcmp(format_text, "json") != 0 &&
        strcmp(format_text, "logfmt") != 0) {
        return fan_fail(reterr, FAN_FATAL, "unknown log format \"%s\": logfmt or json",
                        format_text);
    }
    if (format_text != NULL) {
        format = strcmp(format_text, "json") == 0 ? LOG_JSON : LOG_LOGFMT;
    }
    settings->log.level = (int)level;
    settings->log.format = (int)format;
    log_set_level(level);
    log_set_format(format);
    return FAN_OK;
}

static int run_run(const struct command *command, const struct arguments *arguments)
{
    refuse_dumps(arguments);
    struct settings settings = {0};
    struct conf_report report = {0};
    enum fan_status loaded = conf_arguments_read(arguments, &settings, &report);
    conf_arguments_print(&report);
    conf_report_release(&report);
    if (loaded != FAN_OK) {
        return EXIT_CONF;
    }
    struct fan_error error = {0};
    int status = apply_log(arguments, &settings, &error) == FAN_OK
                     ? run_engine(arguments, &settings)
                     : failure_usage(&error, command->name);
    settings_release(&settings);
    return status;
}

static const struct command_option options[] = {
    OPTION_CONF,
    OPTION_SET,
    {.name = "adopt-slot",
     .argument = "NAME",
     .help = "use this replication slot although the store in data_dir has never used it; what "
             "was confirmed on it before is taken as delivered"},
    {.name = "forget",
     .argument = "NAME",
     .help = "give up the backlog and dead letters of a pipeline that was removed from the conf, "
             "or of a target as PIPELINE/TARGET; may be repeated"},
    {.name = "log-level",
     .argument = "LEVEL",
     .help = "error, warn, info or debug; default: log.level of the conf"},
    {.name = "log-format",
     .argument = "FORMAT",
     .help = "logfmt or json; default: log.format of the conf"},
    {.name = "core-dumps", .help = "allow core dumps and debuggers, which show row data"},
};

const struct command command_run = {
    .name = "run",
    .summary = "stream from the sources to the targets until told to stop",
    .arguments = "",
    .help =
        "Runs in the foreground; log lines go to stderr, standard output belongs to targets "
        "of the type stdout. SIGTERM and SIGINT stop it gracefully: what is queued is "
        "delivered and acknowledged within shutdown_timeout. A second one ends it at once; "
        "what was not acknowledged is sent again.\n\n"
        "The conf is read at the start only. A permanent fault of every source ends the "
        "program with the status of the fault.\n\n"
        "Where NOTIFY_SOCKET is set, as by a systemd unit with Type=notify, the service "
        "manager is told that the engine runs, how it is, and that it stops; with WATCHDOG_USEC "
        "also, again and again, that its threads are alive.",
    .options = options,
    .options_count = CONF_COUNT(options),
    .run = run_run,
};
