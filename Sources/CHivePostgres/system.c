#define _GNU_SOURCE 1
#include "CHivePostgres.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <locale.h>
#include <signal.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/vfs.h>
#include <unistd.h>

int hpg_random(void *buffer, size_t length) {
  unsigned char *at = buffer;
  while (length > 0) {
    ssize_t got = getrandom(at, length, 0);
    if (got < 0) {
      if (errno == EINTR) {
        continue;
      }
      return -1;
    }
    at += got;
    length -= (size_t)got;
  }
  return 0;
}

int hpg_memory_file(const char *name) { return memfd_create(name, MFD_CLOEXEC); }

uint64_t hpg_filesystem_type(const char *path) {
  struct statfs info;
  return statfs(path, &info) == 0 ? (uint64_t)info.f_type : 0;
}

uint64_t hpg_tmpfs(void) { return TMPFS_MAGIC; }

int hpg_syncs_whole(uint64_t type) {
  switch (type) {
  case EXT4_SUPER_MAGIC: // ext2 and ext3 have the same number.
  case XFS_SUPER_MAGIC:
  case BTRFS_SUPER_MAGIC:
  case F2FS_SUPER_MAGIC:
  case OVERLAYFS_SUPER_MAGIC:
  case TMPFS_MAGIC:
    return 1;
  default:
    return 0;
  }
}

int hpg_sync_filesystem(int fd) { return syncfs(fd); }

int hpg_allocate(int fd, int64_t length) { return fallocate(fd, 0, 0, (off_t)length); }

int hpg_signal_descriptor(const sigset_t *signals) { return signalfd(-1, signals, SFD_CLOEXEC | SFD_NONBLOCK); }

char *const *hpg_environment(void) { return environ; }

int hpg_pipe(int ends[2]) { return pipe2(ends, O_CLOEXEC); }

int hpg_has_locale(const char *name) {
  locale_t locale = newlocale(LC_ALL_MASK, name, (locale_t)0);
  if (locale == (locale_t)0) {
    return 0;
  }
  freelocale(locale);
  return 1;
}

int hpg_is_open_for_writing(const char *path, uid_t owner) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
  if (fd < 0) {
    return -errno;
  }
  // Whoever opens the file in this moment waits for us and makes the kernel send SIGIO, whose default ends a process.
  struct sigaction ignore = {.sa_handler = SIG_IGN};
  struct sigaction before;
  sigaction(SIGIO, &ignore, &before);
  // Containers' root has no CAP_LEASE, but may be another user for the filesystem (credentials(7)).
  int is_root = geteuid() == 0;
  if (is_root) {
    setfsuid(owner);
  }
  int result = 0;
  if (fcntl(fd, F_SETLEASE, F_RDLCK) == 0) {
    fcntl(fd, F_SETLEASE, F_UNLCK);
  } else {
    result = errno == EAGAIN ? 1 : -errno;
  }
  if (is_root) {
    setfsuid(0);
  }
  close(fd);
  sigaction(SIGIO, &before, NULL);
  return result;
}

void hpg_filesystem_user(uid_t user, gid_t group) {
  setfsgid(group);
  setfsuid(user);
}
