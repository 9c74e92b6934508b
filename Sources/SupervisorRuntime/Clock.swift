import Glibc
import SupervisorCore

/// The two clocks of the kernel (clock_gettime(2)); both are answered by the vDSO without a system call.
public enum Clock {
  /// CLOCK_MONOTONIC.
  public static func instant() -> Instant {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Instant(
      nanoseconds: UInt64(bitPattern: Int64(time.tv_sec)) &* 1_000_000_000 &+ UInt64(bitPattern: Int64(time.tv_nsec)))
  }

  /// CLOCK_REALTIME.
  public static func wall() -> WallTime {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return WallTime(nanoseconds: Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec))
  }

  /// Both.
  public static func now() -> Moment { Moment(instant: instant(), wall: wall()) }
}
