// Where hivesupd's own thread runs: `cpu_class` or `cpu_affinity` of `[supervisord]`. Affinity is inherited, so what is asked for here is
// taken back in every child (`Daemon.addPinning`); and what is allowed cannot be read from the own affinity any more.

import CPUTopology
import ControlProtocol
import Glibc
import SupervisorCore

/// The place of the calling thread, which is the only one.
final class OwnPlace {
  /// The CPUs that hivesupd was started with, while it is on others. nil: it is where it was started.
  private(set) var moved: HomeCPUs?
  /// What the wish came to; nil: there is none.
  var placement: Placement?
  /// What the kernel refused of it.
  var refused: RefusedSetting?

  /// The CPUs that hivesupd, and so every program, may use; nil when that is unknown. One system call while it has not moved.
  func allowed() -> CPUSet? { moved.map { $0.allowed() } ?? Affinity.current() }

  /// Moves to these CPUs, or home. 0 or errno: then it is at home.
  func move(to cpus: CPUSet?) -> Int32 {
    guard let cpus else {
      defer { moved = nil }
      return moved?.enter() ?? 0
    }
    guard let home = moved ?? HomeCPUs() else { return EPERM }
    let error = Affinity.set(cpus)
    if error == 0 {
      moved = home
    } else {
      _ = home.enter()
      moved = nil
    }
    return error
  }
}

extension Daemon {
  /// What hivesupd is called among programs.
  static let ownName = "hivesupd"

  /// Takes hivesupd's own thread to where the configuration wants it; also when the CPUs have changed. Nothing is asked of the kernel where
  /// the configuration says nothing.
  func placeSelf() {
    let own = pins.own
    guard core.spec.cpus != .any else { return }
    watchCPUs()
    var wish = PinningSpec()
    wish.cpus = core.spec.cpus
    let placement = pins.view.placement(wish)
    sayOverrideProblems()
    own.placement = placement
    let isWhole = placement.cpus.isEmpty || placement.cpus == own.allowed()
    let error = own.move(to: isWhole ? nil : placement.cpus)
    own.refused = error == 0 ? nil : RefusedSetting(.cpus, placement.cpus.list, error: error)
    if let refused = own.refused {
      let text =
        "hivesupd itself runs where it was started: \(refused.text)"
        + (refused.remedy.map { "; what would allow it: \($0)" } ?? "")
      if pins.isNew(text) { log.warn(text) }
    } else if isFallback(placement, wish) {
      let text =
        "hivesupd itself asks for \(wish.cpusText) and runs on CPU \(placement.cpus.list): \(placement.explanation)"
      if pins.isNew(text) { log.info(text) }
    } else if !isWhole {
      let text = "hivesupd itself runs on CPU \(placement.cpus.list); its programs do not inherit that"
      if pins.isNew(text) { log.info(text) }
    }
  }

  /// Where hivesupd itself runs.
  func ownPinningDocument() -> PinningDocument {
    var document = PinningDocument()
    var wish = PinningSpec()
    wish.cpus = core.spec.cpus
    if wish.choosesCPUs, let placement = pins.own.placement {
      document.requested = wish.cpus.text
      document.threads = wish.threads.rawValue
      document.explanation = placement.explanation
      document.isFallback = isFallback(placement, wish)
      document.refused = pins.own.refused.map { [RefusalDocument($0)] } ?? []
    }
    document.readKernel(getpid(), pins.own.placement)
    return document
  }
}
