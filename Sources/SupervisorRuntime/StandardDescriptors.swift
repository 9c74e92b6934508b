import Glibc

/// Descriptors 0, 1 and 2. A process that is started without one of them would get its first socket there, and its messages would go to
/// whoever that is connected to.
public enum StandardDescriptors {
  /// Opens /dev/null on each of the three that is closed. It is close-on-exec: a program that inherits everything finds them as they
  /// were.
  public static func ensureOpen() {
    for descriptor in Int32(0)...2 where fcntl(descriptor, F_GETFD) < 0 {
      let opened = open("/dev/null", O_RDWR | O_CLOEXEC)
      if opened >= 0 && opened != descriptor {
        dup2(opened, descriptor)
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        close(opened)
      }
    }
  }
}
