// What docker, compose and hivesup really answer, as far as the tests need it. Taken from Docker 20.10 and docker-compose 1.29.2.

import ControlProtocol

@testable import HiveCommand

enum Samples {
  /// One element of `docker inspect`'s array.
  static func inspect(
    id: String = "ec48526c5934", state: String = "running", exit: Int = 0, restarts: Int = 0,
    health: String? = "healthy",
    error: String = "", oneOff: String = "False", startedAt: String = "2026-11-21T05:51:31.323456789Z",
    oom: Bool = false
  ) -> String {
    let check = health.map { ",\"Health\":{\"Status\":\"\($0)\",\"FailingStreak\":0,\"Log\":[]}" } ?? ""
    return """
      {"Id":"\(id)","Name":"/genie_genie_1","RestartCount":\(restarts),
       "State":{"Status":"\(state)","Running":\(state == "running"),"OOMKilled":\(oom),"Pid":12,"ExitCode":\(exit),
        "Error":"\(error)","StartedAt":"\(startedAt)","FinishedAt":"0001-01-01T00:00:00Z"\(check)},
       "Config":{"Image":"hive-genie","Labels":{"com.docker.compose.oneoff":"\(oneOff)"}},
       "NetworkSettings":{"Ports":{"48886/tcp":[{"HostIp":"127.0.0.1","HostPort":"48886"},{"HostIp":"::1","HostPort":"48886"}],
        "5432/tcp":null}}}
      """
  }

  static func container(
    id: String = "ec48526c5934", state: String = "running", exit: Int = 0, restarts: Int = 0,
    health: String? = "healthy",
    error: String = "", oneOff: String = "False", startedAt: String = "2026-11-21T05:51:31.323456789Z",
    oom: Bool = false
  ) -> ContainerDocument? {
    let text = inspect(
      id: id, state: state, exit: exit, restarts: restarts, health: health, error: error, oneOff: oneOff,
      startedAt: startedAt, oom: oom)
    return ContainerDocument.list(Array("[\(text)]".utf8))?.first
  }

  static func service(
    _ name: String, _ status: String, _ state: String, pid: Int? = nil, restarts: Int = 0, exit: ExitDocument? = nil,
    checks: [CheckDocument] = []
  ) -> ServiceDocument {
    ServiceDocument(
      name: name, status: status, state: state, pid: pid, uptimeSeconds: pid.map { _ in 3 }, restarts: restarts,
      lastExit: exit, checks: checks)
  }

  static func health(_ status: String, _ services: [ServiceDocument], reasons: [String] = []) -> HealthDocument {
    HealthDocument(
      status: status, container: "genie", version: "0.1.0", timestamp: Timestamp(nanoseconds: 0), uptimeSeconds: 65,
      database: "connected", reasons: reasons, services: services)
  }

  static let healthy = health("healthy", [service("postgresql", "healthy", "RUNNING", pid: 12)])
  static let starting = health(
    "starting",
    [
      service("postgres-init", "healthy", "EXITED"), service("postgresql", "starting", "STARTING", pid: 29),
      service("hive-service", "starting", "STOPPED"),
    ], reasons: ["postgresql is STARTING, not ready yet", "hive-service waits for postgresql:ready"])
  static let failing = health(
    "unhealthy",
    [service("postgresql", "unhealthy", "BACKOFF"), service("hive-service", "starting", "STOPPED")],
    reasons: ["hive-service waits for postgresql:ready", "postgresql could not be started and is tried again"])
  static let fatal = health(
    "unhealthy",
    [service("worker", "unhealthy", "FATAL"), service("postgresql", "healthy", "RUNNING", pid: 3)],
    reasons: ["worker is FATAL: exited too quickly"])
}
