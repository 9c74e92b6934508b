// What the core asks for, done.

import Glibc
import SupervisorCore

extension Daemon {
  /// Performs one action. What comes of it goes back as events.
  func perform(_ action: Action) {
    switch action {
    case .spawn(let run): spawn(run)
    case .signal(let run, let number, let scope): signal(run, number, scope)
    case .endTree(let run, let number):
      tree.end(run, signal: number) { [weak self] in self?.send(.treeEnded(run)) }
    case .killTree(let run):
      tree.end(run, signal: SIGKILL) { [weak self] in self?.send(.treeEnded(run)) }
    case .releaseRun(let run): release(run)
    case .probe(let run, let role, let timeout): probe(run, role, timeout: timeout)
    case .cancelProbes(let run): cancelProbes(run)
    case .pin(let run): pin(run)
    case .listener(let name, let mode): setListener(name, mode)
    case .log(let level, let text): log.log(level, text)
    case .reopenLogs:
      files.reopen()
      log.info("supervisord logreopen")
    case .rereadConfiguration(let requester):
      lookAtCPUs()
      switch rereadConfiguration() {
      case .success(let spec): send(.reloaded(spec, by: requester))
      case .failure(let refused): send(.reloadFailed(refused.text, by: requester))
      }
    case .publish(let record):
      for follower in eventFollowers.values { follower(record) }
    case .answer(let request, let result):
      pendingAnswers.removeValue(forKey: request)?(result)
    case .programAdded(let id), .programChanged(let id):
      // Logs are opened at the next start; what was open under the old settings is let go.
      outputs[id] = nil
    case .programRemoved(let id):
      outputs[id] = nil
      pins.remove(id)
    case .endRemaining(let number):
      tree.endRemaining(signal: number) { [weak self] in self?.send(.remainingEnded) }
    case .killRemaining:
      tree.endRemaining(signal: SIGKILL) { [weak self] in self?.send(.remainingEnded) }
    case .exit(let status):
      exitStatus = status
      loop.stop()
    }
  }
}
