#include "buffer/spill_segment.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/cleanup.h"

enum {
    NAME_DIGITS = 8,
    NAME_DIGITS_MAX = 18,
    WINDOW_BYTES = 1 << 18,
    AHEAD_BYTES = 1 << 22, /* asked of the system before it is needed */
    COPY_BYTES = 1 << 15,
};

void spill_name(uint64_t number, const char *suffix, char name[SPILL_NAME_SIZE])
{
    (void)snprintf(name, SPILL_NAME_SIZE, "%0*" PRIu64 "%s", NAME_DIGITS, number,
                   suffix); /* fits */
}

bool spill_name_parse(const char *name, const char *suffix, uint64_t *ret_number)
{
    size_t digits = strspn(name, "0123456789");
    if (digits < NAME_DIGITS || digits > NAME_DIGITS_MAX || strcmp(name + digits, suffix) != 0 ||
        (digits > NAME_DIGITS && name[0] == '0')) {
        return false;
    }
    uint64_t number = 0;
    for (size_t i = 0; i < digits; i++) {
        number = number * 10 + (uint64_t)(name[i] - '0');
    }
    *ret_number = number;
    return number > 0;
}

/* A file system that became read-only or a limit on file sizes may be mended while we run. */
static enum fan_status class_of(int sys_errno)
{
    switch (sys_errno) {
    case EACCES:
    case EPERM:
    case ENOENT:
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
    case ENAMETOOLONG:
        return FAN_FATAL;
    default:
        return FAN_RETRY;
    }
}

enum fan_status spill_fail(const struct spill_place *place, uint64_t number, int sys_errno,
                           const char *verb, struct fan_error *reterr)
{
    char name[SPILL_NAME_SIZE];
    enum fan_status status = class_of(sys_errno);
    const char *may = status == FAN_RETRY ? "could not" : "cannot";
    spill_name(number, SPILL_SUFFIX, name);
    if (sys_errno == 0) {
        return fan_fail(reterr, status, "%s %s spill file \"%s/%s\": out of memory", may, verb,
                        place->directory, name);
    }
    return fan_fail_errno(reterr, status, sys_errno, "%s %s spill file \"%s/%s\"", may, verb,
                          place->directory, name);
}

enum fan_status spill_damaged(const struct spill_place *place, uint64_t number, uint64_t offset,
                              const char *fault, struct fan_error *reterr)
{
    char name[SPILL_NAME_SIZE];
    spill_name(number, SPILL_SUFFIX, name);
    (void)fan_fail(reterr, FAN_FATAL, "cannot read spill file \"%s/%s\" at offset %" PRIu64 ": %s",
                   place->directory, name, offset, fault);
    fan_error_annotate(reterr, "SPILL_CORRUPT",
                       "put the directory back from a copy; or move it away and start the target "
                       "over: what it held was confirmed and is not sent again");
    return FAN_FATAL;
}

static int descriptor_steal(int *descriptor)
{
    int stolen = *descriptor;
    *descriptor = -1;
    return stolen;
}

enum fan_status spill_segment_open(const struct spill_place *place, uint64_t number, int flags,
                                   int *ret_descriptor, struct fan_error *reterr)
{
    char name[SPILL_NAME_SIZE];
    struct stat info;
    spill_name(number, SPILL_SUFFIX, name);
    /* Non-blocking, so that a named pipe is refused instead of waited for. */
    FAN_CLEANUP(fan_close_p)
    int descriptor = openat(place->descriptor, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (descriptor < 0 || fstat(descriptor, &info) != 0) {
        return spill_fail(place, number, errno, "open", reterr);
    }
    if (!S_ISREG(info.st_mode)) {
        return spill_damaged(place, number, 0, "it is not a regular file", reterr);
    }
    *ret_descriptor = descriptor_steal(&descriptor);
    return FAN_OK;
}

/* Writes all bytes at `offset`; false with errno set on failure. */
static bool write_at(int descriptor, const uint8_t *data, size_t size, uint64_t offset)
{
    while (size > 0) {
        ssize_t written = pwrite(descriptor, data, size, (off_t)offset);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            errno = written == 0 ? ENOSPC : errno;
            return false;
        }
        data += written;
        size -= (size_t)written;
        offset += (uint64_t)written;
    }
    return true;
}

/* Reads up to `size` bytes; fewer only at the end of the file. -1 with errno set on failure. */
static ssize_t read_at(int descriptor, uint8_t *data, size_t size, uint64_t offset)
{
    size_t done = 0;
    while (done < size) {
        ssize_t got = pread(descriptor, data + done, size - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return -1;
        }
        if (got == 0) {
            break;
        }
        done += (size_t)got;
    }
    return (ssize_t)done;
}

/* Makes a file that must not be there yet. */
static int create_file(const struct spill_place *place, const char *name)
{
    return openat(place->descriptor, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                  0600);
}

enum fan_status spill_segment_create(const struct spill_place *place,
                                     const struct spill_header *header, int *ret_descriptor,
                                     struct fan_error *reterr)
{
    char name[SPILL_NAME_SIZE];
    uint8_t block[SPILL_RECORDS_START] = {0};
    spill_name(header->number, SPILL_SUFFIX, name);
    FAN_CLEANUP(fan_close_p) int descriptor = create_file(place, name);
    if (descriptor < 0) {
        return spill_fail(place, header->number, errno, "make", reterr);
    }
    spill_header_encode(header, block);
    if (!write_at(descriptor, block, sizeof(block), 0)) {
        int sys_errno = errno;
        (void)unlinkat(place->descriptor, name, 0); /* if it stays, making it again says so */
        return spill_fail(place, header->number, sys_errno, "write", reterr);
    }
    *ret_descriptor = descriptor_steal(&descriptor);
    return FAN_OK;
}

/* pwritev() does not write through its iovec, but its type does not say so. */
static void *writable(const void *data)
{
    union {
        const void *in;
        void *out;
    } pointer = {.in = data};
    return pointer.out;
}

enum fan_status spill_segment_write(const struct spill_place *place, uint64_t number,
                                    int descriptor, uint64_t offset,
                                    const struct spill_parts *parts, struct fan_error *reterr)
{
    struct iovec pieces[SPILL_PARTS] = {{0}};
    int count = 0;
    for (size_t i = 0; i < SPILL_PARTS; i++) {
        if (parts->part[i].size > 0) {
            pieces[count++] = (struct iovec){writable(parts->part[i].data), parts->part[i].size};
        }
    }
    struct iovec *piece = pieces;
    while (count > 0) {
        ssize_t written = pwritev(descriptor, piece, count, (off_t)offset);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return spill_fail(place, number, written == 0 ? ENOSPC : errno, "write", reterr);
        }
        offset += (uint64_t)written;
        size_t left = (size_t)written;
        while (count > 0 && left >= piece->iov_len) {
            left -= piece->iov_len;
            piece++;
            count--;
        }
        if (count > 0) { /* a short write ended within this piece */
            piece->iov_base = (uint8_t *)piece->iov_base + left;
            piece->iov_len -= left;
        }
    }
    return FAN_OK;
}

void spill_segment_mark(int descriptor, uint64_t number, uint64_t durable)
{
    uint8_t mark[SPILL_MARK_SIZE];
    spill_mark_encode(number, durable, mark);
    (void)write_at(descriptor, mark, sizeof(mark), SPILL_MARK_OFFSET); /* see the header */
}

void spill_window_init(struct spill_window *window)
{
    bytes_init(&window->bytes, (size_t)SPILL_RECORD_MAX + WINDOW_BYTES);
    window->offset = 0;
}

void spill_window_clear(struct spill_window *window, bool release)
{
    bytes_clear(&window->bytes);
    window->offset = 0;
    if (release) {
        bytes_release(&window->bytes);
    }
}

/* Brings `size` bytes from `offset` into the window, and up to WINDOW_BYTES more of the file's
 * `end` bytes. Returns how many are there, or -1 with errno set (0 for memory). */
static ssize_t window_fill(struct spill_window *window, int descriptor, uint64_t offset,
                           size_t size, uint64_t end)
{
    struct bytes *bytes = &window->bytes;
    uint64_t skip = offset - window->offset;
    if (offset < window->offset || skip > bytes->size) {
        bytes_clear(bytes);
        skip = 0;
        window->offset = offset;
    }
    if (bytes->size - skip >= size) {
        return (ssize_t)(bytes->size - skip);
    }
    if (skip > 0) {
        memmove(bytes->data, bytes->data + skip, bytes->size - skip);
        bytes_truncate(bytes, bytes->size - skip);
        window->offset = offset;
    }
    uint64_t wanted = size > WINDOW_BYTES ? size : WINDOW_BYTES;
    wanted = (wanted < end - offset ? wanted : end - offset) - bytes->size;
    if (!bytes_reserve(bytes, wanted)) {
        bytes_clear(bytes);
        errno = 0;
        return -1;
    }
    ssize_t got = read_at(descriptor, bytes->data + bytes->size, wanted, offset + bytes->size);
    if (got < 0) {
        return -1;
    }
    bytes->size += (size_t)got;
    (void)posix_fadvise(descriptor, (off_t)(offset + bytes->size), AHEAD_BYTES,
                        POSIX_FADV_WILLNEED); /* a hint */
    return (ssize_t)bytes->size;
}

enum fan_status spill_window_record(struct spill_window *window, int descriptor, uint64_t offset,
                                    uint64_t end, struct fan_position before,
                                    struct spill_record *ret_record, const char **ret_fault)
{
    const char *fault = "a record's header is cut short";
    uint32_t size = 0;
    if (end - offset < SPILL_RECORD_HEADER_SIZE) {
        *ret_fault = fault;
        return FAN_POISON;
    }
    ssize_t there = window_fill(window, descriptor, offset, SPILL_RECORD_HEADER_SIZE, end);
    if (there >= SPILL_RECORD_HEADER_SIZE) {
        fault =
            spill_record_claim(window->bytes.data + (offset - window->offset), end - offset, &size);
        there = fault == NULL ? window_fill(window, descriptor, offset, size, end) : there;
    }
    if (there < 0) {
        return FAN_RETRY;
    }
    if (fault == NULL && (size_t)there < size) {
        fault = "the record goes on beyond the end of the file"; /* it was cut while we read */
    }
    if (fault == NULL) {
        fault = spill_record_decode(window->bytes.data + (offset - window->offset), size, before,
                                    ret_record);
    }
    *ret_fault = fault;
    return fault == NULL ? FAN_OK : FAN_POISON;
}

/* Reads header and mark. False with errno set on failure; damage is noted in the scan. */
static bool scan_header(uint64_t number, int descriptor, struct spill_scan *scan)
{
    uint8_t block[SPILL_RECORDS_START] = {0};
    struct stat info;
    if (fstat(descriptor, &info) != 0 || read_at(descriptor, block, sizeof(block), 0) < 0) {
        return false;
    }
    scan->size = (uint64_t)info.st_size;
    scan->marked = spill_mark_decode(number, block + SPILL_MARK_OFFSET);
    if (scan->size < SPILL_RECORDS_START) {
        scan->fault = "the segment's header is cut short";
    } else if (!spill_header_decode(block, &scan->header)) {
        scan->fault = "the segment's header is damaged";
    } else if (scan->header.version == SPILL_VERSION && scan->header.number != number) {
        scan->fault = "it is another segment";
    } else {
        scan->intact = SPILL_RECORDS_START;
        scan->last = scan->header.before;
    }
    return true;
}

static enum fan_status refuse_version(const struct spill_place *place, uint64_t number,
                                      uint32_t version, struct fan_error *reterr)
{
    char name[SPILL_NAME_SIZE];
    spill_name(number, SPILL_SUFFIX, name);
    (void)fan_fail(reterr, FAN_FATAL,
                   "cannot read spill file \"%s/%s\": it has format %" PRIu32 ", this is format %d",
                   place->directory, name, version, SPILL_VERSION);
    fan_error_annotate(reterr, "SPILL_VERSION",
                       "run the version of pgfan that wrote it until the target has caught up");
    return FAN_FATAL;
}

enum fan_status spill_segment_scan(const struct spill_place *place, uint64_t number, int descriptor,
                                   struct spill_window *window, struct spill_scan *ret_scan,
                                   struct fan_error *reterr)
{
    struct spill_scan scan = {0};
    if (!scan_header(number, descriptor, &scan)) {
        return spill_fail(place, number, errno, "read", reterr);
    }
    if (scan.intact > 0 && scan.header.version != SPILL_VERSION) {
        return refuse_version(place, number, scan.header.version, reterr);
    }
    (void)posix_fadvise(descriptor, 0, 0, POSIX_FADV_SEQUENTIAL); /* a hint */
    spill_window_clear(window, false);
    while (scan.fault == NULL && scan.intact < scan.size) {
        struct spill_record record;
        enum fan_status status = spill_window_record(window, descriptor, scan.intact, scan.size,
                                                     scan.last, &record, &scan.fault);
        if (status == FAN_RETRY) {
            return spill_fail(place, number, errno, "read", reterr);
        }
        if (status == FAN_OK) {
            scan.first = scan.events == 0 ? record.first : scan.first;
            scan.last = record.last;
            scan.events += record.events_count;
            scan.intact += record.size;
        }
    }
    if (scan.fault == NULL && scan.marked > scan.intact) {
        scan.fault = "the file is shorter than what was synced";
    }
    *ret_scan = scan;
    return FAN_OK;
}

/* Copies bytes [from, to) from one file to the same place of another, or of itself. Returns 0, or
 * the errno; `ret_reading` tells which side it was. A short file is EIO. */
static int copy_bytes(int source, int target, uint64_t from, uint64_t to, bool *ret_reading)
{
    uint8_t chunk[COPY_BYTES];
    *ret_reading = false;
    while (from < to) {
        size_t size = to - from < COPY_BYTES ? (size_t)(to - from) : COPY_BYTES;
        ssize_t got = read_at(source, chunk, size, from);
        if (got != (ssize_t)size) {
            *ret_reading = true;
            return got < 0 ? errno : EIO;
        }
        if (!write_at(target, chunk, size, from)) {
            return errno;
        }
        from += size;
    }
    return 0;
}

enum fan_status spill_segment_redo(const struct spill_place *place, uint64_t number, int descriptor,
                                   uint64_t from, uint64_t to, struct fan_error *reterr)
{
    bool reading;
    int sys_errno = copy_bytes(descriptor, descriptor, from, to, &reading);
    return sys_errno == 0
               ? FAN_OK
               : spill_fail(place, number, sys_errno, reading ? "read" : "write", reterr);
}

static enum fan_status fail_lost(const struct spill_place *place, uint64_t number,
                                 const char *fault, struct fan_error *reterr)
{
    char name[SPILL_NAME_SIZE];
    spill_name(number, SPILL_SUFFIX, name);
    (void)fan_fail(reterr, FAN_FATAL,
                   "cannot write spill file \"%s/%s\" again after a failed sync: %s",
                   place->directory, name, fault);
    fan_error_annotate(reterr, "SPILL_LOST",
                       "the disk lost what was not yet confirmed; check it, then start the engine "
                       "again: the events are sent once more");
    return FAN_FATAL;
}

static enum fan_status copy_check(const struct spill_place *place, uint64_t number, int copy,
                                  uint64_t size, struct fan_error *reterr)
{
    struct spill_window window;
    struct spill_scan scan = {0};
    spill_window_init(&window);
    enum fan_status status = spill_segment_scan(place, number, copy, &window, &scan, reterr);
    spill_window_clear(&window, true);
    if (status == FAN_OK && (scan.fault != NULL || scan.intact != size)) {
        status =
            fail_lost(place, number, scan.fault == NULL ? "it is shorter" : scan.fault, reterr);
    }
    if (status == FAN_OK && fdatasync(copy) != 0) {
        status = spill_fail(place, number, errno, "sync the copy of", reterr);
    }
    return status;
}

enum fan_status spill_segment_copy(const struct spill_place *place, uint64_t number, int descriptor,
                                   uint64_t size, int *ret_descriptor, struct fan_error *reterr)
{
    char name[SPILL_NAME_SIZE];
    bool reading;
    spill_name(number, SPILL_SUFFIX_NEW, name);
    (void)unlinkat(place->descriptor, name, 0); /* of an earlier try; if it stays, making fails */
    FAN_CLEANUP(fan_close_p) int copy = create_file(place, name);
    if (copy < 0) {
        return spill_fail(place, number, errno, "make a copy of", reterr);
    }
    enum fan_status status = FAN_OK;
    int sys_errno = copy_bytes(descriptor, copy, 0, size, &reading);
    if (sys_errno != 0 && reading) {
        status = fail_lost(place, number, "it cannot be read", reterr);
    } else if (sys_errno != 0) {
        status = spill_fail(place, number, sys_errno, "copy", reterr);
    } else {
        status = copy_check(place, number, copy, size, reterr);
    }
    if (status != FAN_OK) {
        (void)unlinkat(place->descriptor, name, 0); /* the next start removes it, too */
        return status;
    }
    *ret_descriptor = descriptor_steal(&copy);
    return FAN_OK;
}
