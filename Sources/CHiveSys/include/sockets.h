// System calls on sockets and pipes that the Glibc module does not carry (they need _GNU_SOURCE) or whose arguments are C macros.
#ifndef CHIVESYS_SOCKETS_H
#define CHIVESYS_SOCKETS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/// accept4(2) with SOCK_CLOEXEC | SOCK_NONBLOCK. -1 and errno on error.
int hive_accept(int listener);

/// pipe2(2) with O_CLOEXEC; the read end is non-blocking too, the write end blocks as a child expects. -1 and errno on error.
int hive_output_pipe(int *read_end, int *write_end);

/// SO_PEERCRED of a connected unix socket: who called connect(2). -1 and errno on error.
int hive_peer_credentials(int socket, pid_t *pid, uid_t *uid, gid_t *gid);

/// Writes without ever waiting, whatever the flags of the open file description are (which others may share):
/// pwritev2(2) with RWF_NOWAIT at the current position. -1 with EOPNOTSUPP where the file or the kernel has no such mode.
ssize_t hive_write_nowait(int descriptor, const void *bytes, size_t count);

/// Length of a TCP listener's accept queue and its limit: tcpi_unacked and tcpi_sacked of TCP_INFO, which carry sk_ack_backlog and
/// sk_max_ack_backlog in state LISTEN (Linux net/ipv4/tcp.c, tcp_get_info). -1 and errno on error; EINVAL when it does not listen.
int hive_accept_queue(int listener, uint32_t *length, uint32_t *limit);

/// Lets SCM_CREDENTIALS come with every datagram (SO_PASSCRED). -1 and errno on error.
int hive_pass_credentials(int socket);

/// Binds an AF_UNIX socket to an abstract address of the kernel's choosing (unix(7), "autobind") and stores the name without its
/// leading zero byte, terminated. -1 and errno on error.
int hive_autobind(int socket, char *name, size_t size);

/// Lets go of a descriptor without waiting for what closing the last one costs: it is put in flight on a socket that nobody can reach
/// any more, and the kernel's collector of such sockets (unix_gc(), a kernel thread's work since Linux 6.10; before that, and where the
/// socket cannot be had, it is closed here) releases it. For an inotify descriptor: close(2) of one waits for the end of an SRCU
/// grace period (fsnotify_destroy_group() flushes the marks' reaper), seen to take up to 20 ms.
void hive_close_in_background(int descriptor);

/// One datagram: its length, the sender's kernel-checked credentials (pid 0 when there are none), how many descriptors came with it
/// (they are closed at once) and whether it did not fit.
struct hive_datagram {
  pid_t pid;
  uid_t uid;
  gid_t gid;
  int descriptors;
  int truncated;
};

/// recvmsg(2), never waiting. Descriptors that come along are closed. The length, or -1 and errno.
ssize_t hive_receive_datagram(int socket, void *bytes, size_t size, struct hive_datagram *datagram);

#endif
