// `GET /metrics`: the Prometheus text format, from the same values as the health document.

import ControlProtocol
import Glibc
import SupervisorCore

extension Daemon {
  /// The whole page.
  func metrics() -> [UInt8] {
    let now = Clock.now()
    let report = core.health(at: now)
    var page = PrometheusWriter()
    page.metric("hivesup_info", .gauge, help: "The supervisor; the value is always 1.")
    page.sample("hivesup_info", [("version", options.version), ("container", report.container)], 1)
    page.metric(
      "hivesup_start_time_seconds", .gauge, help: "When the supervisor started, in seconds since the Unix epoch.")
    page.sample("hivesup_start_time_seconds", [], Double(core.startedAt.wall.nanoseconds) / 1e9)
    page.metric("hivesup_healthy", .gauge, help: "1 when everything that should be up is up and ready.")
    page.sample("hivesup_healthy", [], report.status == .healthy ? 1 : 0)
    page.metric("hivesup_status", .gauge, help: "1 for the word that the health document says, 0 for the others.")
    for status in HealthStatus.allCases {
      page.sample("hivesup_status", [("status", status.rawValue)], report.status == status ? 1 : 0)
    }
    if let database = report.database {
      page.metric("postgresql_up", .gauge, help: "1 when the database can be used.")
      page.sample("postgresql_up", [], database == .connected ? 1 : 0)
    }
    writePrograms(report, to: &page)
    writePinning(core.snapshots(at: now), to: &page)
    writeThermal(to: &page)
    writeOwn(to: &page)
    return page.bytes
  }

  private func writePrograms(_ report: HealthReport, to page: inout PrometheusWriter) {
    page.metric("hivesup_process_up", .gauge, help: "1 while the process is RUNNING and ready.")
    for service in report.services {
      page.sample("hivesup_process_up", [("name", service.name)], service.status == .healthy && service.pid > 0 ? 1 : 0)
    }
    page.metric(
      "hivesup_process_state", .gauge, help: "supervisord's numeric state: 0, 10, 20, 30, 40, 100, 200 or 1000.")
    for service in report.services {
      page.sample("hivesup_process_state", [("name", service.name)], service.state.rawValue)
    }
    page.metric(
      "hivesup_process_restarts_total", .counter, help: "How often the supervisor itself started the process again.")
    for service in report.services {
      page.sample("hivesup_process_restarts_total", [("name", service.name)], service.restarts)
    }
    page.metric("hivesup_process_uptime_seconds", .gauge, help: "How long the present run is up.")
    for service in report.services {
      guard let uptime = service.uptime else { continue }
      page.sample("hivesup_process_uptime_seconds", [("name", service.name)], uptime.inSeconds)
    }
    page.metric("hivesup_check_passing", .gauge, help: "1 while the check passes.")
    for service in report.services {
      for check in service.checks where check.status != .pending {
        page.sample(
          "hivesup_check_passing", [("name", service.name), ("check", check.name), ("type", check.type)],
          check.status == .passing ? 1 : 0)
      }
    }
    page.metric("hivesup_check_latency_seconds", .gauge, help: "How long the last probe took.")
    for service in report.services {
      for check in service.checks {
        guard let latency = check.latency else { continue }
        page.sample(
          "hivesup_check_latency_seconds", [("name", service.name), ("check", check.name), ("type", check.type)],
          latency.inSeconds)
      }
    }
  }

  private func writeOwn(to page: inout PrometheusWriter) {
    page.metric(
      "hivesup_orphans_reaped_total", .counter, help: "Processes that were left to the supervisor and reaped.")
    page.sample("hivesup_orphans_reaped_total", [], reaper.orphans)
    page.metric("hivesup_events_total", .counter, help: "Records written to the event ring.")
    page.sample("hivesup_events_total", [], core.events.newest)
    page.metric(
      "hivesup_spawn_seconds", .summary,
      help: "How long a start of a process held up the loop; quantiles of the last \(SpawnTimes.kept).")
    for (label, percent) in [("0.5", 50), ("0.9", 90), ("1", 100)] {
      guard let time = spawnTimes.quantile(percent: percent) else { continue }
      page.sample("hivesup_spawn_seconds", [("quantile", label)], time.inSeconds)
    }
    page.sample("hivesup_spawn_seconds_sum", [], spawnTimes.total.inSeconds)
    page.sample("hivesup_spawn_seconds_count", [], spawnTimes.count)
    page.metric("hivesup_loop_wakeups_total", .counter, help: "How often the loop has woken up.")
    page.sample("hivesup_loop_wakeups_total", [], loop.wakeups)
    page.metric(
      "hivesup_output_dropped_lines_total", .counter, help: "Lines that a stuck reader of the container's output cost.")
    page.sample("hivesup_output_dropped_lines_total", [("stream", "stdout")], standardOutput.droppedLines)
    page.sample("hivesup_output_dropped_lines_total", [("stream", "stderr")], standardError.droppedLines)
    if memory.path != nil {
      memory.look()
      page.metric(
        "hivesup_oom_kills_total", .counter,
        help: "Processes of this container that the kernel killed for want of memory.")
      page.sample("hivesup_oom_kills_total", [], memory.kills)
    }
    page.metric("hivesup_listener_queue_length", .gauge, help: "Connections that wait to be accepted.")
    for bound in listeners {
      guard let queue = bound.listener.acceptQueue else { continue }
      page.sample("hivesup_listener_queue_length", [("listener", bound.spec.name)], queue.length)
    }
    if let resident = ownResidentBytes() {
      page.metric("process_resident_memory_bytes", .gauge, help: "Resident memory of the supervisor.")
      page.sample("process_resident_memory_bytes", [], resident)
    }
  }

  /// Resident pages from /proc/self/statm (proc(5)).
  private func ownResidentBytes() -> Int? {
    guard let bytes = try? FileBytes.read("/proc/self/statm", limit: 256) else { return nil }
    let fields = bytes.split(separator: 0x20)
    guard fields.count > 1, let pages = decimalNumber(fields[1]) else { return nil }
    return Int(clamping: pages).multipliedReportingOverflow(by: sysconf(Int32(_SC_PAGESIZE))).partialValue
  }
}
