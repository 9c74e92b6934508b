// What tells that CPUs came or went, or that the container's cpuset was changed, without a tick:
//
// * uevents of the CPUs (a netlink socket, with a filter in the kernel so that nothing else wakes us). The kernel sends them to the network
//   namespaces of the initial user namespace, which those of ordinary containers are; in rootless ones there is silence.
// * writes to our own cgroup's `cpuset.cpus`, and to those above it that can be seen (inotify works on cgroup files for what is *written*):
//   `docker update --cpuset-cpus`, the kubelet's CPU manager. A cpuset that narrows because of one outside of our view tells nobody.
//
// Both were seen to work in a container without any capability, as an ordinary user. What neither tells is found at the next occasion: a
// start, a request, a report of the health monitor, HUP.

import CHiveSys
import Glibc
import SupervisorCore

/// Waits for changes of the machine's CPUs.
final class CPUChangeWatch {
  private let loop: EventLoop
  private var events: (descriptor: Int32, registration: Registration)?
  private var files: (descriptor: Int32, registration: Registration)?
  private var settling: TimerID?
  /// Called at the first notice, and once more when what the kernel does about it in the background is likely to be done.
  var changed: (() -> Void)?
  /// What tells: `uevents`, `cpuset`; empty where nothing does.
  private(set) var sources: [String] = []

  private static let settlingTime = Interval.milliseconds(100)

  /// A watch, which waits from now on. Whatever the kernel refuses is left out.
  init(loop: EventLoop, place: CgroupPlace = .detect()) {
    self.loop = loop
    let socket = hive_cpu_events_open()
    if socket >= 0 {
      events = add(socket) { _ = hive_cpu_events_drain(socket) }
      if events != nil { sources.append("uevents") }
    }
    let watch = hive_file_watch_open()
    guard watch >= 0 else { return }
    let added = place.cpusetFiles.filter { hive_file_watch_add(watch, $0) == 0 }
    guard !added.isEmpty else {
      close(watch)
      return
    }
    files = add(watch) {
      var bytes = [UInt8](repeating: 0, count: 4096)
      while read(watch, &bytes, bytes.count) > 0 {}
    }
    if files != nil { sources.append("cpuset") }
  }

  deinit {
    if let settling { loop.cancel(settling) }
    for one in [events, files] {
      guard let one else { continue }
      loop.remove(one.registration)
      close(one.descriptor)
    }
  }

  private func add(_ descriptor: Int32, drain: @escaping () -> Void) -> (Int32, Registration)? {
    let registration = try? loop.add(descriptor, .readable) { [weak self] _ in
      drain()
      self?.noticed()
    }
    guard let registration else {
      close(descriptor)
      return nil
    }
    return (descriptor, registration)
  }

  private func noticed() {
    changed?()
    if let settling { loop.cancel(settling) }
    // Cpusets follow a CPU that goes offline from a work queue (kernel/cgroup/cpuset.c).
    settling = loop.schedule(after: CPUChangeWatch.settlingTime) { [weak self] in
      self?.settling = nil
      self?.changed?()
    }
  }
}
