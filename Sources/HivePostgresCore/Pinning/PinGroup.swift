// What can be placed separately: roles that belong together, each with a variable of its own.

/// Roles of the server that run on the same CPUs.
public enum PinGroup: String, CaseIterable, Sendable {
  /// The postmaster and client backends: a backend has the postmaster's CPUs from birth on.
  case backends
  /// Parallel workers of queries and of maintenance.
  case parallelWorkers = "parallel_workers"
  /// The walwriter.
  case walWriter = "walwriter"
  /// What sends and receives WAL.
  case replication
  /// The background writer.
  case backgroundWriter = "background_writer"
  /// The checkpointer.
  case checkpointer
  /// The autovacuum launcher and its workers.
  case autovacuum
  /// The archiver with what it runs, and the WAL summarizer.
  case archiver
  /// The logical replication launcher, the slot synchroniser, and the statistics collector of old servers.
  case logicalLauncher = "logical_launcher"
  /// What applies the changes of subscriptions.
  case logicalWorkers = "logical_workers"
  /// The logging collector.
  case logger
  /// Recovery.
  case startup
  /// What reads and writes for the backends, from PostgreSQL 18 on.
  case ioWorkers = "io_workers"
  /// Background workers of extensions.
  case others
  /// `hive-postgres monitor`, which also reads the temperature.
  case monitor

  /// The group of a role.
  public init(_ role: ServerRole) {
    self =
      switch role {
      case .postmaster, .backend: .backends
      case .parallelWorker: .parallelWorkers
      case .walWriter: .walWriter
      case .walSender, .walReceiver: .replication
      case .backgroundWriter: .backgroundWriter
      case .checkpointer: .checkpointer
      case .autovacuumLauncher, .autovacuumWorker: .autovacuum
      case .archiver, .walSummarizer: .archiver
      case .logicalLauncher, .slotSynchroniser, .statisticsCollector: .logicalLauncher
      case .logicalWorker: .logicalWorkers
      case .logger: .logger
      case .startup: .startup
      case .ioWorker: .ioWorkers
      case .other: .others
      }
  }

  /// `HIVE_PG_PIN_BACKENDS` and its kind.
  public var variable: String { PinSettings.variable + "_" + rawValue.uppercased() }

  /// From which state on the heat moves it to efficient cores; nil: it stays. Commits wait for the walwriter, and for the checkpointer
  /// when the WAL is full: both run shortly, and slow ones would keep everybody else busy for longer.
  var leavesAt: ThermalState? {
    switch self {
    case .autovacuum, .archiver: .warning
    case .backends, .parallelWorkers, .logicalWorkers, .ioWorkers: .critical
    case .walWriter, .replication, .backgroundWriter, .checkpointer, .logicalLauncher, .logger, .startup, .others,
      .monitor:
      nil
    }
  }
}
