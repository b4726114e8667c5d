/*
 * libfault.c - makes the Nth call of a system function fail, fall short, or kill the process.
 *
 * Preloaded into the engine by tests (LD_PRELOAD). LIBFAULT holds one fault or several, separated
 * by commas: `<call>@<n>=<what>`, `<call>@<n>+=<what>` for the Nth and every later call.
 *
 *     <call>  write fsync fdatasync rename open ftruncate send
 *     <what>  EIO ENOSPC EDQUOT EINTR EMFILE, KILL (SIGKILL before the call), KILLED (after it),
 *             SHORT (write half of it), TORN (write half of it, then SIGKILL), HANG (returns once
 *             the file LIBFAULT_GATE is gone)
 *
 * `write` counts write, pwrite, writev, pwritev and their 64-bit names; `send` counts send and sendto.
 * LIBFAULT_PATH limits the calls on files to paths that contain this text; they are counted from
 * there. LIBFAULT_LOG names a file that gets one line a fault.
 *
 * Threading:  counters are atomic; safe in any thread.
 * Limits:     16 faults.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FAULTS_MAX = 16 };

enum fault_call {
    CALL_WRITE,
    CALL_FSYNC,
    CALL_FDATASYNC,
    CALL_RENAME,
    CALL_OPEN,
    CALL_FTRUNCATE,
    CALL_SEND,
    CALLS_COUNT,
};

static const char *const call_names[CALLS_COUNT] = {"write", "fsync",     "fdatasync", "rename",
                                                    "open",  "ftruncate", "send"};

enum fault_effect {
    EFFECT_NONE,
    EFFECT_ERROR,
    EFFECT_KILL,
    EFFECT_KILLED,
    EFFECT_SHORT,
    EFFECT_TORN,
    EFFECT_HANG,
};

struct fault {
    enum fault_call call;
    unsigned long nth;
    bool later; /* and every call after it */
    enum fault_effect effect;
    int error;
};

static struct fault faults[FAULTS_MAX];
static size_t faults_count;
static atomic_ulong counts[CALLS_COUNT];
static const char *only_path;
static const char *log_path;
static const char *gate_path;

static const struct {
    const char *name;
    int error;
} error_names[] = {
    {"EIO", EIO}, {"ENOSPC", ENOSPC}, {"EDQUOT", EDQUOT}, {"EINTR", EINTR}, {"EMFILE", EMFILE},
};

static void die(const char *text)
{
    (void)!write(STDERR_FILENO, text, strlen(text)); /* nothing is left to do if this fails */
    _exit(127);
}

static void parse_effect(struct fault *fault, const char *text)
{
    if (strcmp(text, "KILL") == 0) {
        fault->effect = EFFECT_KILL;
    } else if (strcmp(text, "KILLED") == 0) {
        fault->effect = EFFECT_KILLED;
    } else if (strcmp(text, "SHORT") == 0) {
        fault->effect = EFFECT_SHORT;
    } else if (strcmp(text, "TORN") == 0) {
        fault->effect = EFFECT_TORN;
    } else if (strcmp(text, "HANG") == 0) {
        fault->effect = EFFECT_HANG;
    }
    for (size_t i = 0; i < sizeof(error_names) / sizeof(error_names[0]); i++) {
        if (strcmp(text, error_names[i].name) == 0) {
            fault->effect = EFFECT_ERROR;
            fault->error = error_names[i].error;
        }
    }
    if (fault->effect == EFFECT_NONE) {
        die("libfault: unknown effect\n");
    }
}

static void parse_fault(char *text)
{
    char *at = strchr(text, '@');
    char *equals = strchr(text, '=');
    if (at == NULL || equals == NULL || at > equals || faults_count == FAULTS_MAX) {
        die("libfault: LIBFAULT is not <call>@<n>=<what>\n");
    }
    *at = '\0';
    *equals = '\0';
    struct fault fault = {.call = CALLS_COUNT};
    char *end = NULL;
    fault.nth = strtoul(at + 1, &end, 10);
    fault.later = *end == '+';
    for (int call = 0; call < CALLS_COUNT; call++) {
        if (strcmp(text, call_names[call]) == 0) {
            fault.call = (enum fault_call)call;
        }
    }
    if (fault.call == CALLS_COUNT || fault.nth == 0) {
        die("libfault: unknown call or count\n");
    }
    parse_effect(&fault, equals + 1);
    faults[faults_count++] = fault;
}

__attribute__((constructor)) static void load(void)
{
    const char *spec = getenv("LIBFAULT");
    only_path = getenv("LIBFAULT_PATH");
    log_path = getenv("LIBFAULT_LOG");
    gate_path = getenv("LIBFAULT_GATE");
    if (spec == NULL) {
        return;
    }
    char *copy = strdup(spec);
    char *rest = NULL;
    for (char *item = strtok_r(copy, ",", &rest); item != NULL; item = strtok_r(NULL, ",", &rest)) {
        parse_fault(item);
    }
    free(copy);
}

static bool path_counts(const char *path)
{
    return only_path == NULL || (path != NULL && strstr(path, only_path) != NULL);
}

static bool fd_counts(int fd)
{
    if (only_path == NULL) {
        return true;
    }
    char link[64];
    char path[PATH_MAX];
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd); /* always fits */
    ssize_t length = readlink(link, path, sizeof(path) - 1);
    if (length < 0) {
        return false;
    }
    path[length] = '\0';
    return path_counts(path);
}

/* By system call: the functions of the C library are the ones under test. */
static void note(enum fault_call call, unsigned long count)
{
    if (log_path == NULL) {
        return;
    }
    char line[64];
    int length = snprintf(line, sizeof(line), "%s %lu\n", call_names[call], count);
    long fd =
        syscall(SYS_openat, AT_FDCWD, log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd >= 0) {
        (void)syscall(SYS_write, fd, line, (size_t)length); /* a lost note fails the test anyway */
        (void)syscall(SYS_close, fd);
    }
}

static void hang(void)
{
    while (gate_path != NULL && access(gate_path, F_OK) == 0) {
        (void)poll(NULL, 0, 20); /* woken or not, it looks again */
    }
}

/* Counts one call; returns the fault that is due, or NULL. Dies here for KILL, waits for HANG. */
static const struct fault *due(enum fault_call call)
{
    unsigned long count = atomic_fetch_add(&counts[call], 1) + 1;
    for (size_t i = 0; i < faults_count; i++) {
        const struct fault *fault = &faults[i];
        if (fault->call == call && (count == fault->nth || (fault->later && count > fault->nth))) {
            note(call, count);
            if (fault->effect == EFFECT_KILL) {
                (void)kill(getpid(), SIGKILL); /* does not return */
            }
            if (fault->effect == EFFECT_HANG) {
                hang();
            }
            return fault;
        }
    }
    return NULL;
}

static long finish(const struct fault *fault, long result)
{
    if (fault != NULL && (fault->effect == EFFECT_KILLED || fault->effect == EFFECT_TORN)) {
        (void)kill(getpid(), SIGKILL); /* does not return */
    }
    return result;
}

static bool fails(const struct fault *fault)
{
    if (fault != NULL && fault->effect == EFFECT_ERROR) {
        errno = fault->error;
        return true;
    }
    return false;
}

static size_t shortened(const struct fault *fault, size_t size)
{
    bool half = fault != NULL && (fault->effect == EFFECT_SHORT || fault->effect == EFFECT_TORN);
    return half && size > 1 ? size / 2 : size;
}

static const struct fault *due_on(enum fault_call call, int fd)
{
    return fd_counts(fd) ? due(call) : NULL;
}

ssize_t write(int fd, const void *data, size_t size)
{
    const struct fault *fault = due_on(CALL_WRITE, fd);
    return fails(fault) ? -1 : finish(fault, syscall(SYS_write, fd, data, shortened(fault, size)));
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    const struct fault *fault = due_on(CALL_WRITE, fd);
    return fails(fault)
               ? -1
               : finish(fault, syscall(SYS_pwrite64, fd, data, shortened(fault, size), offset));
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
    return pwrite(fd, data, size, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int parts_count)
{
    const struct fault *fault = due_on(CALL_WRITE, fd);
    if (fails(fault)) {
        return -1;
    }
    if (fault != NULL && shortened(fault, 2) == 1) {
        size_t half = shortened(fault, parts[0].iov_len);
        return finish(fault, syscall(SYS_write, fd, parts[0].iov_base, half));
    }
    return finish(fault, syscall(SYS_writev, fd, parts, parts_count));
}

ssize_t pwritev(int fd, const struct iovec *parts, int parts_count, off_t offset)
{
    const struct fault *fault = due_on(CALL_WRITE, fd);
    if (fails(fault)) {
        return -1;
    }
    if (fault != NULL && shortened(fault, 2) == 1) {
        size_t half = shortened(fault, parts[0].iov_len);
        return finish(fault, syscall(SYS_pwrite64, fd, parts[0].iov_base, half, offset));
    }
    /* The offset's halves: the upper one means nothing where a long has 64 bits. */
    return finish(fault, syscall(SYS_pwritev, fd, parts, parts_count, offset, 0L));
}

ssize_t pwritev64(int fd, const struct iovec *parts, int parts_count, off64_t offset)
{
    return pwritev(fd, parts, parts_count, offset);
}

int fsync(int fd)
{
    const struct fault *fault = due_on(CALL_FSYNC, fd);
    return fails(fault) ? -1 : (int)finish(fault, syscall(SYS_fsync, fd));
}

int fdatasync(int fd)
{
    const struct fault *fault = due_on(CALL_FDATASYNC, fd);
    return fails(fault) ? -1 : (int)finish(fault, syscall(SYS_fdatasync, fd));
}

int ftruncate(int fd, off_t size)
{
    const struct fault *fault = due_on(CALL_FTRUNCATE, fd);
    return fails(fault) ? -1 : (int)finish(fault, syscall(SYS_ftruncate, fd, size));
}

int ftruncate64(int fd, off64_t size)
{
    return ftruncate(fd, size);
}

int rename(const char *from, const char *to)
{
    const struct fault *fault = path_counts(to) ? due(CALL_RENAME) : NULL;
    return fails(fault) ? -1 : (int)finish(fault, syscall(SYS_rename, from, to));
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    const struct fault *fault = path_counts(to) ? due(CALL_RENAME) : NULL;
    return fails(fault) ? -1 : (int)finish(fault, syscall(SYS_renameat, from_fd, from, to_fd, to));
}

static int open_at(int directory, const char *path, int flags, mode_t mode)
{
    const struct fault *fault = path_counts(path) ? due(CALL_OPEN) : NULL;
    return fails(fault) ? -1
                        : (int)finish(fault, syscall(SYS_openat, directory, path, flags, mode));
}

static mode_t mode_of(int flags, va_list arguments)
{
    return (flags & (O_CREAT | O_TMPFILE)) != 0 ? (mode_t)va_arg(arguments, int) : 0;
}

int open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_at(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_at(AT_FDCWD, path, flags, mode);
}

int openat(int directory, const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_at(directory, path, flags, mode);
}

int openat64(int directory, const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_at(directory, path, flags, mode);
}

ssize_t send(int fd, const void *data, size_t size, int flags)
{
    const struct fault *fault = due(CALL_SEND);
    return fails(fault) ? -1
                        : finish(fault, syscall(SYS_sendto, fd, data, shortened(fault, size), flags,
                                                NULL, 0));
}

ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *address,
               socklen_t address_size)
{
    const struct fault *fault = due(CALL_SEND);
    return fails(fault) ? -1
                        : finish(fault, syscall(SYS_sendto, fd, data, shortened(fault, size), flags,
                                                address, address_size));
}
