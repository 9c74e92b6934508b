// Docker keeps the times of a layer's files in whole seconds, and SwiftPM's build database compares nanoseconds: what one layer
// has built would be built again in the next. Preloaded into `swift build`, this lets it see whole seconds from the start.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/stat.h>

static int whole(int result, struct stat *status) {
  if (result == 0) status->st_mtim.tv_nsec = status->st_ctim.tv_nsec = status->st_atim.tv_nsec = 0;
  return result;
}
#define CALL(name, type) ((type)dlsym(RTLD_NEXT, name))
int stat(const char *path, struct stat *status) { return whole(CALL("stat", int (*)(const char *, struct stat *))(path, status), status); }
int lstat(const char *path, struct stat *status) { return whole(CALL("lstat", int (*)(const char *, struct stat *))(path, status), status); }
int fstat(int fd, struct stat *status) { return whole(CALL("fstat", int (*)(int, struct stat *))(fd, status), status); }
int fstatat(int fd, const char *path, struct stat *status, int flags) {
  return whole(CALL("fstatat", int (*)(int, const char *, struct stat *, int))(fd, path, status, flags), status);
}
