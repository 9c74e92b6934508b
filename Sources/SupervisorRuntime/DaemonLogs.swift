// Where the output of programs goes.

import Glibc
import SupervisorCore

extension Daemon {
  /// The sinks of one program. They outlive its runs.
  struct Outputs {
    var stdout: ProgramOutput
    var stderr: ProgramOutput
  }

  /// The sinks of a program: made at its first start. Throws what opening a log file was refused with.
  func outputs(of id: ProgramID, _ spec: ProgramSpec) throws(SystemError) -> Outputs {
    if let made = outputs[id] { return made }
    let out = try output(spec, spec.stdout, stream: "stdout")
    let err = spec.redirectStderr ? out : try output(spec, spec.stderr, stream: "stderr")
    let made = Outputs(stdout: out, stderr: err)
    outputs[id] = made
    return made
  }

  private func output(_ spec: ProgramSpec, _ log: LogSpec, stream: String) throws(SystemError) -> ProgramOutput {
    var path: String?
    var container: ContainerOutput?
    switch log.sink {
    case .automatic:
      path = try AutoLogFile.create(
        directory: core.spec.childLogDirectory, process: spec.name, stream: stream, identifier: core.spec.identifier)
    case .discard: break
    case .file(let name): path = name
    case .descriptor(let number): container = number == 2 ? standardError : standardOutput
    }
    var file: RotatingFile?
    if let path {
      let opened = try files.file(path, maxBytes: log.maxBytes, backups: log.backups)
      let name = spec.name
      opened.onTrouble = { [weak self] error in
        self?.log.error(
          "cannot write the \(stream) log of '\(name)': \(error); what comes meanwhile is counted and dropped")
      }
      opened.onRecovery = { [weak self] dropped in
        self?.log.warn("the \(stream) log of '\(name)' is written again; \(dropped) bytes were dropped")
      }
      file = opened
    }
    return ProgramOutput(
      program: spec.name, stream: stream, format: log.format, stripsANSI: log.stripANSI, tailBytes: core.spec.tailBytes,
      file: file, container: container)
  }

  /// supervisord's `nocleanup`: automatic log files of an earlier run go, unless they are to be kept.
  func prepareChildLogs() {
    guard !options.spec.keepOldChildLogs,
      options.spec.programs.contains(where: { $0.stdout.sink == .automatic || $0.stderr.sink == .automatic })
    else { return }
    do throws(SystemError) {
      for refused in try AutoLogFile.removeOld(
        directory: options.spec.childLogDirectory, identifier: options.spec.identifier)
      {
        log.warn("\(refused)")
      }
    } catch {
      log.warn("\(error)")
    }
  }
}
