#define _GNU_SOURCE 1
#include "sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

int hive_accept(int listener) { return accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK); }

int hive_output_pipe(int *read_end, int *write_end) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return -1;
  // O_NONBLOCK belongs to the open file description: each end of a pipe has its own.
  if (fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0) {
    int reason = errno;
    close(ends[0]);
    close(ends[1]);
    errno = reason;
    return -1;
  }
  *read_end = ends[0];
  *write_end = ends[1];
  return 0;
}

int hive_peer_credentials(int socket, pid_t *pid, uid_t *uid, gid_t *gid) {
  struct ucred peer;
  socklen_t size = sizeof peer;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return -1;
  *pid = peer.pid;
  *uid = peer.uid;
  *gid = peer.gid;
  return 0;
}

ssize_t hive_write_nowait(int descriptor, const void *bytes, size_t count) {
  struct iovec vector = {(void *)(uintptr_t)bytes, count};
  ssize_t written = pwritev2(descriptor, &vector, 1, -1, RWF_NOWAIT);
  // Kernels before 4.14 have no flags at all (ENOSYS without pwritev2); ESPIPE and EINVAL come from older pipes.
  if (written < 0 && (errno == ENOSYS || errno == ESPIPE || errno == EINVAL)) errno = EOPNOTSUPP;
  return written;
}

int hive_accept_queue(int listener, uint32_t *length, uint32_t *limit) {
  struct tcp_info info;
  memset(&info, 0, sizeof info);
  socklen_t size = sizeof info;
  if (getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return -1;
  if (info.tcpi_state != TCP_LISTEN) {
    errno = EINVAL;
    return -1;
  }
  *length = info.tcpi_unacked;
  *limit = info.tcpi_sacked;
  return 0;
}

int hive_pass_credentials(int socket) {
  int on = 1;
  return setsockopt(socket, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
}

int hive_autobind(int socket, char *name, size_t size) {
  struct sockaddr_un address;
  memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  if (bind(socket, (struct sockaddr *)&address, sizeof(sa_family_t)) != 0) return -1;
  socklen_t length = sizeof address;
  if (getsockname(socket, (struct sockaddr *)&address, &length) != 0) return -1;
  size_t header = offsetof(struct sockaddr_un, sun_path) + 1;
  if (length <= header || length - header >= size) {
    errno = ENAMETOOLONG;
    return -1;
  }
  memcpy(name, address.sun_path + 1, length - header);
  name[length - header] = 0;
  return 0;
}

void hive_close_in_background(int descriptor) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0) {
    // A socket whose only holder is its own queue: a cycle, which only the collector resolves. Without it the queue would be emptied
    // by our own close(2) below.
    int rights[2] = {descriptor, pair[1]};
    union {
      struct cmsghdr align;
      char bytes[CMSG_SPACE(sizeof rights)];
    } control;
    memset(&control, 0, sizeof control);
    char byte = 0;
    struct iovec vector = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof rights);
    memcpy(CMSG_DATA(header), rights, sizeof rights);
    // Where this fails, the descriptor is simply closed.
    ssize_t sent = sendmsg(pair[0], &message, MSG_NOSIGNAL);
    (void)sent;
    close(descriptor);
    // Closing a socket is what calls the collector, and that may come at once on another processor: what it is to collect must be
    // nobody's by then. Else it stayed until somebody on this machine closed the next socket.
    close(pair[1]);
    close(pair[0]);
    return;
  }
  close(descriptor);
}

ssize_t hive_receive_datagram(int socket, void *bytes, size_t size, struct hive_datagram *datagram) {
  // Room for the credentials and for as many descriptors as the kernel lets through (SCM_MAX_FD, 253): what does not fit into the
  // control buffer is closed by the kernel (unix(7)).
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int) * 253)];
  } control;
  struct iovec vector = {bytes, size};
  struct msghdr message = {
      .msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  memset(datagram, 0, sizeof *datagram);
  ssize_t length = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (length < 0) return -1;
  datagram->truncated = (message.msg_flags & MSG_TRUNC) != 0;
  for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header != NULL; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET) continue;
    if (header->cmsg_type == SCM_CREDENTIALS && header->cmsg_len >= CMSG_LEN(sizeof(struct ucred))) {
      struct ucred sender;
      memcpy(&sender, CMSG_DATA(header), sizeof sender);
      datagram->pid = sender.pid;
      datagram->uid = sender.uid;
      datagram->gid = sender.gid;
    } else if (header->cmsg_type == SCM_RIGHTS) {
      size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (size_t index = 0; index < count; index++) {
        int descriptor;
        memcpy(&descriptor, CMSG_DATA(header) + index * sizeof(int), sizeof descriptor);
        close(descriptor);
        datagram->descriptors++;
      }
    }
  }
  return length;
}
