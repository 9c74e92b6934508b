// One connection of an HTTPServer: a request is read, answered, and only then is the next one read. What a client sends ahead waits in
// the kernel's buffer, not in ours.

import ControlProtocol
import Glibc
import SupervisorCore

final class HTTPConnection {
  /// Which connections make room for others first.
  enum Importance: Int, Comparable {
    case idle
    case writing
    case streaming
    case answering

    static func < (a: Importance, b: Importance) -> Bool { a.rawValue < b.rawValue }
  }

  private enum State {
    /// A request is being read, or waited for.
    case reading
    /// The handler has the request.
    case answering
    /// The handler writes a body piece by piece.
    case streaming(isChunked: Bool, overflow: [UInt8])
    /// The answer is complete and is being written.
    case writing(keepAlive: Bool)
    /// Our side is closed; what the client still sends is read and thrown away, so that it can read the answer (RFC 9112 section 9.6).
    case lingering(bytes: Int)
    case closed
  }

  /// How long, and for how many bytes, a client that was refused may go on sending.
  private static let linger = Interval.seconds(1)
  private static let lingerBytes = 256 * 1024

  let number: UInt64

  private weak var server: HTTPServer?
  private let loop: EventLoop
  private let limits: HTTPServerLimits
  private let peer: PeerCredentials?
  private var descriptor: Int32
  private var registration: Registration?
  private var interest: Readiness = []
  private var timer: TimerID?
  private var state = State.reading
  private var reader: HTTPRequestReader
  private var framing = HTTPResponse.Framing()
  private weak var responder: HTTPResponder?
  private var output: [UInt8] = []
  private var sent = 0
  private var wasRefused = false
  private var isProcessing = false
  private var isMidRequest = false

  init(server: HTTPServer, number: UInt64, descriptor: Int32, peer: PeerCredentials?) {
    self.server = server
    self.number = number
    self.descriptor = descriptor
    self.peer = peer
    loop = server.loop
    limits = server.limits
    reader = HTTPRequestReader(limits: server.limits.message)
  }

  deinit { close() }

  var importance: Importance {
    switch state {
    case .reading, .lingering, .closed: .idle
    case .writing: .writing
    case .streaming: .streaming
    case .answering: .answering
    }
  }

  /// Watches the connection; with `refusing`, this is the answer to whatever the client wants to ask.
  func begin(refusing refusal: HTTPRefusal?) {
    registration = try? loop.add(descriptor, .readable) { [weak self] in self?.ready($0) }
    guard registration != nil else { return close() }
    interest = .readable
    if let refusal { return refuse(refusal) }
    arm(limits.idle)
    // A client usually has sent its request by now.
    receive()
  }

  /// The answer as a whole.
  func respond(_ response: HTTPResponse) {
    if case .closed = state { return }
    responder = nil
    framing.keepAlive = framing.keepAlive && limits.keepAlive && !wasRefused
    response.write(to: &output, framing)
    beginWriting()
  }

  func beginStream(_ response: HTTPResponse, overflow: [UInt8]) {
    guard case .answering = state else { return }
    framing.keepAlive = framing.keepAlive && limits.keepAlive
    let isChunked = response.writeStreamHead(to: &output, framing)
    if !isChunked { framing.keepAlive = false }
    state = .streaming(isChunked: isChunked, overflow: overflow)
    if !response.body.isEmpty { return writeStream(response.body) }
    flush()
  }

  func writeStream(_ bytes: some Collection<UInt8>) {
    guard case .streaming(let isChunked, let overflow) = state, !framing.isHead else { return }
    let waiting = output.count - sent
    if waiting > 0 && waiting + bytes.count > limits.streamBytes {
      // It gets what is waiting already, is told why it gets no more, and has the usual time to read it.
      append(overflow, isChunked)
      let responder = self.responder
      finishStream(keepAlive: false)
      responder?.disconnected()
      return
    }
    append(bytes, isChunked)
    flush()
  }

  func endStream() {
    guard case .streaming = state else { return }
    finishStream(keepAlive: framing.keepAlive)
  }

  /// Closes at once.
  func close() {
    if case .closed = state { return }
    state = .closed
    if let registration { loop.remove(registration) }
    registration = nil
    if let timer { loop.cancel(timer) }
    timer = nil
    if descriptor >= 0 { Glibc.close(descriptor) }
    descriptor = -1
    output = []
    let responder = self.responder
    self.responder = nil
    server?.forget(number)
    responder?.disconnected()
  }

  private func append(_ bytes: some Collection<UInt8>, _ isChunked: Bool) {
    if isChunked { HTTPChunk.write(bytes, to: &output) } else { output.append(contentsOf: bytes) }
  }

  private func finishStream(keepAlive: Bool) {
    if case .streaming(true, _) = state, !framing.isHead { HTTPChunk.writeEnd(to: &output) }
    framing.keepAlive = keepAlive
    responder = nil
    beginWriting()
  }

  private func beginWriting() {
    state = .writing(keepAlive: framing.keepAlive)
    arm(limits.write)
    flush()
  }

  private func ready(_ readiness: Readiness) {
    switch state {
    case .closed: break
    case .reading: receive()
    case .lingering: discard()
    case .answering, .streaming, .writing:
      // A unix client that is gone shows as a hang-up, a TCP client as a reset. A client that has only closed its sending side still
      // waits for its answer.
      if !readiness.isDisjoint(with: [.error, .hangup]) { return close() }
      if readiness.contains(.writable) { flush() }
    }
  }

  private func receive() {
    guard let server else { return close() }
    // Small pieces: what one connection may hold of our memory is the size of one request and one piece.
    let size = min(server.buffer.bytes.count, 8 * 1024)
    let count = recv(descriptor, server.buffer.bytes.baseAddress, size, Int32(MSG_DONTWAIT))
    if count < 0 && (errno == EAGAIN || errno == EINTR) { return }
    if count <= 0 { return close() }
    reader.append(UnsafeRawBufferPointer(rebasing: server.buffer.bytes[..<count]))
    process()
  }

  /// Hands on the requests that are complete, one after the other as they are answered.
  private func process() {
    // Answers that are given at once come back here: the loop below goes on with the next request instead of a deeper call.
    if isProcessing { return }
    isProcessing = true
    defer { isProcessing = false }
    while case .reading = state {
      switch reader.next() {
      case .request(let request):
        begin(request)
      case .refused(let refusal):
        refuse(refusal)
      case .incomplete:
        if reader.takeContinue() {
          output.append(contentsOf: HTTPResponse.continueLine)
          guard sendOutput() else { return close() }
          // 25 bytes that do not fit into a socket's buffer: this client is not worth waiting for.
          if output.count > sent { return close() }
        }
        if reader.isMidRequest != isMidRequest {
          isMidRequest = reader.isMidRequest
          arm(isMidRequest ? limits.request : limits.idle)
        }
        watch(.readable)
        return
      }
    }
  }

  private func begin(_ request: HTTPRequest) {
    guard let server else { return close() }
    state = .answering
    disarm()
    isMidRequest = false
    framing = HTTPResponse.Framing(for: request, date: HTTPConnection.date())
    watch([])
    let responder = HTTPResponder(connection: self, peer: peer)
    self.responder = responder
    server.handler(request, responder)
  }

  /// Sends what waits; whether the connection still works.
  private func sendOutput() -> Bool {
    while sent < output.count {
      let count = output.withUnsafeBytes { bytes in
        send(
          descriptor, bytes.baseAddress.map { $0 + sent }, bytes.count - sent, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT)
        )
      }
      if count < 0 {
        if errno == EINTR { continue }
        return errno == EAGAIN
      }
      sent += count
      if case .streaming = state { arm(limits.write) }
    }
    output.removeAll(keepingCapacity: false)
    sent = 0
    return true
  }

  private func flush() {
    guard sendOutput() else { return close() }
    // What has been sent need not be kept until the rest is.
    if sent > 64 * 1024 {
      output.removeFirst(sent)
      sent = 0
    }
    if sent < output.count {
      if case .streaming = state, timer == nil { arm(limits.write) }
      return watch(.writable)
    }
    switch state {
    case .streaming:
      disarm()
      watch([])
    case .writing(true):
      state = .reading
      arm(limits.idle)
      process()
    case .writing(false): finish()
    default: break
    }
  }

  /// Everything is written and nothing more will be asked.
  private func finish() {
    var unread: Int32 = 0
    let hasUnread = ioctl(descriptor, UInt(FIONREAD), &unread) == 0 && unread > 0
    guard wasRefused || hasUnread || reader.bufferedCount > 0 else { return close() }
    // Closing with unread bytes would reset the connection and could take the answer with it.
    guard shutdown(descriptor, Int32(SHUT_WR)) == 0 else { return close() }
    state = .lingering(bytes: 0)
    arm(HTTPConnection.linger)
    watch(.readable)
  }

  private func discard() {
    guard let server, case .lingering(let bytes) = state else { return close() }
    let count = recv(descriptor, server.buffer.bytes.baseAddress, server.buffer.bytes.count, Int32(MSG_DONTWAIT))
    if count < 0 && (errno == EAGAIN || errno == EINTR) { return }
    if count <= 0 || bytes + count > HTTPConnection.lingerBytes { return close() }
    state = .lingering(bytes: bytes + count)
  }

  private func expired() {
    timer = nil
    guard case .reading = state, isMidRequest else { return close() }
    refuse(HTTPRefusal(status: 408, message: "the request did not arrive in time"))
  }

  private func refuse(_ refusal: HTTPRefusal) {
    guard let server else { return close() }
    wasRefused = true
    framing = HTTPResponse.Framing(keepAlive: false, date: HTTPConnection.date())
    respond(server.refuse(refusal))
  }

  private static func date() -> Timestamp { Timestamp(nanoseconds: Clock.wall().nanoseconds) }

  private func watch(_ wanted: Readiness) {
    guard let registration, wanted != interest else { return }
    interest = wanted
    loop.modify(registration, wanted)
  }

  private func arm(_ interval: Interval) {
    disarm()
    timer = loop.schedule(after: interval) { [weak self] in self?.expired() }
  }

  private func disarm() {
    if let timer { loop.cancel(timer) }
    timer = nil
  }
}
