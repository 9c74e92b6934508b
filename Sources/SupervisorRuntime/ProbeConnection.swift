// The part that tcp, unix, http and postgres probes have in common: connect, say something, listen, decide, in a bounded time.

import Glibc
import SupervisorCore

/// What a dialogue makes of the other side.
struct DialogueVerdict: Equatable {
  var passed: Bool
  var detail: String

  static func pass(_ detail: String = "") -> DialogueVerdict { DialogueVerdict(passed: true, detail: detail) }
  static func fail(_ detail: String) -> DialogueVerdict { DialogueVerdict(passed: false, detail: detail) }
}

/// What comes next in a dialogue.
enum ProbeStep: Equatable {
  /// More must be read.
  case more
  /// Decided; `farewell` is sent before the connection is closed.
  case decided(DialogueVerdict, farewell: [UInt8] = [])
  /// Decided and told at once, but the rest of the answer is read for a moment, so that the other side can finish writing it.
  case settled(DialogueVerdict)
  /// Decided, but what comes within a moment may improve the detail.
  case likely(DialogueVerdict)
}

/// One side of a conversation, without I/O: what to say, and what to make of the answer.
protocol ProbeDialogue {
  /// What is sent once the connection stands.
  mutating func opening() -> [UInt8]
  /// Called when the connection stands and everything has been sent.
  mutating func connected() -> ProbeStep
  /// Called with what the other side sent, in pieces of any size.
  mutating func received(_ bytes: UnsafeRawBufferPointer) -> ProbeStep
  /// The other side closed the connection.
  mutating func ended() -> DialogueVerdict
}

/// `tcp` and `unix`: that somebody listens is all there is to know.
struct ConnectDialogue: ProbeDialogue {
  mutating func opening() -> [UInt8] { [] }
  mutating func connected() -> ProbeStep { .decided(.pass()) }
  mutating func received(_ bytes: UnsafeRawBufferPointer) -> ProbeStep { .decided(.pass()) }
  mutating func ended() -> DialogueVerdict { .pass() }
}

/// Holds one dialogue over one socket. It keeps itself alive until it is done.
final class ProbeConnection {
  /// How long the rest of an answer is waited for when the verdict stands.
  private static let grace = Interval.milliseconds(250)
  /// How much is read altogether, in bytes.
  private static let longest = 256 * 1024

  private let loop: EventLoop
  private let address: SocketAddress
  private let timeout: Interval
  private let completion: (ProbeResult) -> Void
  private var dialogue: any ProbeDialogue
  private var candidates: [KernelAddress] = []
  private var descriptor: Int32 = -1
  private var registration: Registration?
  private var timer: TimerID?
  private var graceTimer: TimerID?
  private let begun = Clock.instant()
  private var isConnected = false
  private var isOpened = false
  private var isTold = false
  private var isOver = false
  private var unsent: [UInt8] = []
  private var likely: DialogueVerdict?
  private var read = 0

  init(
    loop: EventLoop, address: SocketAddress, dialogue: any ProbeDialogue, timeout: Interval,
    completion: @escaping (ProbeResult) -> Void
  ) {
    self.loop = loop
    self.address = address
    self.dialogue = dialogue
    self.timeout = timeout
    self.completion = completion
  }

  /// Begins; the completion is called later, from the loop.
  func start() {
    candidates = KernelAddress.toConnect(address).reversed()
    timer = loop.schedule(after: timeout) { self.timedOut() }
    if candidates.isEmpty { return fail(with: "cannot connect to \(address.text): this is no address") }
    connectNext(lastErrno: EADDRNOTAVAIL)
  }

  /// Forgets the whole thing.
  func cancel() {
    isTold = true
    finish()
  }

  private func connectNext(lastErrno: Int32) {
    var reason = lastErrno
    while let candidate = candidates.popLast() {
      closeSocket()
      descriptor = socket(
        candidate.family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
      if descriptor < 0 {
        reason = errno
        continue
      }
      let result = candidate.withPointer { connect(descriptor, $0, $1) }
      reason = result == 0 ? 0 : errno
      guard result == 0 || reason == EINPROGRESS || reason == EINTR else { continue }
      do {
        // An established connection is reported as writable by the next turn of the loop: nothing is decided inside `start`.
        registration = try loop.add(descriptor, .writable) { self.ready($0) }
        return
      } catch {
        reason = error.errno
      }
    }
    let text = reason == EAGAIN ? "its queue of connections is full" : errorText(reason)
    fail(with: "cannot connect to \(address.text): \(text)")
  }

  private func ready(_ readiness: Readiness) {
    if !isConnected {
      var reason: Int32 = 0
      var size = socklen_t(MemoryLayout<Int32>.size)
      if getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &reason, &size) != 0 { reason = errno }
      if reason != 0 { return connectNext(lastErrno: reason) }
      isConnected = true
      unsent = dialogue.opening()
    }
    if !isOpened && !open() { return }
    if readiness.isDisjoint(with: [.readable, .hangup, .error]) || isOver { return }
    receive()
  }

  /// Sends the opening as far as it goes; whether that was all, and the dialogue goes on.
  private func open() -> Bool {
    while !unsent.isEmpty {
      let count = unsent.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
      if count < 0 && errno == EINTR { continue }
      if count < 0 && errno == EAGAIN { return false }
      if count < 0 {
        // What the other side said before it closed may tell why.
        unsent = []
        break
      }
      unsent.removeFirst(min(count, unsent.count))
    }
    isOpened = true
    watch(.readable)
    step(dialogue.connected())
    return !isOver
  }

  private func receive() {
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = Glibc.read(descriptor, &buffer, buffer.count)
    if count < 0 && (errno == EAGAIN || errno == EINTR) { return }
    if count <= 0 {
      let verdict = count < 0 ? DialogueVerdict.fail("\(address.text): \(errorText(errno))") : dialogue.ended()
      tell(likely ?? verdict)
      finish()
      return
    }
    read += count
    if isTold {
      if read > ProbeConnection.longest { finish() }
      return
    }
    step(buffer.withUnsafeBytes { dialogue.received(UnsafeRawBufferPointer(rebasing: $0[..<count])) })
    if !isTold && read > ProbeConnection.longest {
      tell(likely ?? .fail("\(address.text): the answer is longer than \(ProbeConnection.longest) bytes"))
      finish()
    }
  }

  private func step(_ step: ProbeStep) {
    switch step {
    case .more: break
    case .decided(let verdict, let farewell):
      if !farewell.isEmpty {
        _ = farewell.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
      }
      tell(verdict)
      finish()
    case .settled(let verdict):
      tell(verdict)
      startGrace()
    case .likely(let verdict):
      likely = verdict
      startGrace()
    }
  }

  private func startGrace() {
    guard graceTimer == nil, !isOver else { return }
    graceTimer = loop.schedule(after: ProbeConnection.grace) {
      if let likely = self.likely { self.tell(likely) }
      self.finish()
    }
  }

  private func timedOut() {
    timer = nil
    if let likely {
      tell(likely)
    } else {
      tell(.fail("no \(isConnected ? "answer" : "connection") from \(address.text) within \(seconds(timeout)) s"))
    }
    finish()
  }

  private func fail(with detail: String) {
    closeSocket()
    // Never from inside `start`.
    if let timer { loop.cancel(timer) }
    timer = loop.schedule(after: .zero) {
      self.tell(.fail(detail))
      self.finish()
    }
  }

  private func tell(_ verdict: DialogueVerdict) {
    guard !isTold else { return }
    isTold = true
    if let timer { loop.cancel(timer) }
    timer = nil
    completion(ProbeResult(passed: verdict.passed, latency: Clock.instant() - begun, detail: verdict.detail))
  }

  private func finish() {
    isOver = true
    closeSocket()
    if let timer { loop.cancel(timer) }
    if let graceTimer { loop.cancel(graceTimer) }
    timer = nil
    graceTimer = nil
  }

  private func watch(_ interest: Readiness) {
    if let registration { loop.modify(registration, interest) }
  }

  private func closeSocket() {
    if let registration { loop.remove(registration) }
    registration = nil
    if descriptor >= 0 { close(descriptor) }
    descriptor = -1
  }
}
