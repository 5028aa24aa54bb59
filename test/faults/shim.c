/*
 * LD_PRELOAD shim: makes the files below one folder fail as a bad disk would, and shifts the wall clock, while
 * the process runs. What is wrong is read from a small file that is mapped into memory, so that a test switches
 * it from outside:
 *
 *   int32  0  errno of every write (ENOSPC, EROFS, ...), 0 for none
 *   int32  4  errno of every sync: fsync, fdatasync, and writes to files that were opened with O_DSYNC or O_SYNC
 *   int32  8  errno of whatever changes a name: open for writing, rename, unlink, mkdir
 *   int32 12  how many calls were made to fail so far (written here)
 *   int64 16  seconds that the wall clock is ahead
 *   int32 24  of the calls that are to fail one in so many does; 0: all
 *
 * What is synced with its write is written all the same: after a failed sync nobody knows what is on the disk.
 * FAULT_FOLDER is the folder, FAULT_CONTROL the file. Without them nothing is changed.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct control {
  volatile int32_t write_errno;
  volatile int32_t sync_errno;
  volatile int32_t name_errno;
  int32_t failed;
  volatile int64_t clock_ahead_s;
  volatile int32_t one_in;
};

enum { DESCRIPTORS = 65536, WATCHED = 1, SYNCED = 2 };

static struct control *control;
static const char *folder;
static size_t folder_length;
static unsigned char descriptors[DESCRIPTORS];

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

__attribute__((constructor)) static void begin(void) {
  const char *file = getenv("FAULT_CONTROL");
  folder = getenv("FAULT_FOLDER");
  if (file == NULL || folder == NULL) return;
  folder_length = strlen(folder);
  int descriptor = (int)syscall(SYS_openat, AT_FDCWD, file, O_RDWR);
  if (descriptor < 0) return;
  void *mapped = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  syscall(SYS_close, descriptor);
  if (mapped != MAP_FAILED) control = mapped;
}

static int is_watched_path(const char *path) {
  return control != NULL && path != NULL && strncmp(path, folder, folder_length) == 0 &&
         (path[folder_length] == '/' || path[folder_length] == 0);
}

static unsigned char state_of(int descriptor) {
  return control != NULL && descriptor >= 0 && descriptor < DESCRIPTORS ? descriptors[descriptor] : 0;
}

/* 0 where the call may go on; else errno is set. */
static int refuse(int32_t wrong) {
  if (wrong == 0) return 0;
  static int32_t calls;
  if (control->one_in > 1 && __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED) % control->one_in != 0) return 0;
  __atomic_add_fetch(&control->failed, 1, __ATOMIC_RELAXED);
  errno = wrong;
  return -1;
}

static int refuse_write(int descriptor) {
  unsigned char state = state_of(descriptor);
  return state & WATCHED ? refuse(control->write_errno) : 0;
}

/* What a write returns that was done. */
static ssize_t synced(int descriptor, ssize_t written) {
  return written >= 0 && state_of(descriptor) & SYNCED && refuse(control->sync_errno) < 0 ? -1 : written;
}

static int refuse_sync(int descriptor) {
  return state_of(descriptor) & WATCHED ? refuse(control->sync_errno) : 0;
}

static int refuse_name(const char *path) { return is_watched_path(path) ? refuse(control->name_errno) : 0; }

static int opened(int descriptor, const char *path, int flags) {
  if (descriptor >= 0 && descriptor < DESCRIPTORS)
    descriptors[descriptor] = is_watched_path(path) ? WATCHED | (flags & O_DSYNC ? SYNCED : 0) : 0;
  return descriptor;
}

static int writes(int flags) { return (flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT) != 0; }

#define MODE                                 \
  mode_t mode = 0;                           \
  if (flags & (O_CREAT | O_TMPFILE)) {       \
    va_list list;                            \
    va_start(list, flags);                   \
    mode = (mode_t)va_arg(list, int);        \
    va_end(list);                            \
  }

#define OPEN(name)                                                        \
  int name(const char *path, int flags, ...) {                            \
    MODE if (writes(flags) && refuse_name(path) < 0) return -1;           \
    return opened(REAL(name)(path, flags, mode), path, flags);            \
  }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                      \
  int name(int from, const char *path, int flags, ...) {                  \
    MODE if (writes(flags) && refuse_name(path) < 0) return -1;           \
    return opened(REAL(name)(from, path, flags, mode), path, flags);      \
  }
OPENAT(openat)
OPENAT(openat64)

int close(int descriptor) {
  if (descriptor >= 0 && descriptor < DESCRIPTORS) descriptors[descriptor] = 0;
  return REAL(close)(descriptor);
}

ssize_t write(int descriptor, const void *bytes, size_t count) {
  return refuse_write(descriptor) < 0 ? -1 : synced(descriptor, REAL(write)(descriptor, bytes, count));
}

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
  return refuse_write(descriptor) < 0 ? -1 : synced(descriptor, REAL(writev)(descriptor, parts, count));
}

#define PWRITE(name, offset_t)                                                  \
  ssize_t name(int descriptor, const void *bytes, size_t count, offset_t at) {  \
    if (refuse_write(descriptor) < 0) return -1;                                \
    return synced(descriptor, REAL(name)(descriptor, bytes, count, at));        \
  }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define PWRITEV(name, offset_t)                                                      \
  ssize_t name(int descriptor, const struct iovec *parts, int count, offset_t at) {  \
    if (refuse_write(descriptor) < 0) return -1;                                     \
    return synced(descriptor, REAL(name)(descriptor, parts, count, at));             \
  }
PWRITEV(pwritev, off_t)
PWRITEV(pwritev64, off64_t)

int fsync(int descriptor) { return refuse_sync(descriptor) < 0 ? -1 : REAL(fsync)(descriptor); }
int fdatasync(int descriptor) { return refuse_sync(descriptor) < 0 ? -1 : REAL(fdatasync)(descriptor); }

int fallocate(int descriptor, int how, off_t at, off_t count) {
  return refuse_write(descriptor) < 0 ? -1 : REAL(fallocate)(descriptor, how, at, count);
}

int ftruncate64(int descriptor, off64_t length) {
  return refuse_write(descriptor) < 0 ? -1 : REAL(ftruncate64)(descriptor, length);
}

int rename(const char *from, const char *to) { return refuse_name(to) < 0 ? -1 : REAL(rename)(from, to); }
int unlink(const char *path) { return refuse_name(path) < 0 ? -1 : REAL(unlink)(path); }
int mkdir(const char *path, mode_t mode) { return refuse_name(path) < 0 ? -1 : REAL(mkdir)(path, mode); }

int clock_gettime(clockid_t clock, struct timespec *now) {
  int result = REAL(clock_gettime)(clock, now);
  if (result == 0 && control != NULL && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
    now->tv_sec += control->clock_ahead_s;
  return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  int result = REAL(gettimeofday)(now, zone);
  if (result == 0 && control != NULL) now->tv_sec += control->clock_ahead_s;
  return result;
}

time_t time(time_t *at) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (at != NULL) *at = now.tv_sec;
  return now.tv_sec;
}
