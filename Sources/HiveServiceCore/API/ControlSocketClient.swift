import NIOCore
import NIOHTTP1
import NIOPosix

/// Asks PID 1 over its control socket: one request, one connection, one deadline.
struct ControlSocketClient: Sendable {
  let path: String
  let eventLoopGroup: any EventLoopGroup

  struct Answer: Sendable {
    var status: Int
    var body: ByteBuffer
  }

  /// Why there is no answer.
  struct Failure: Error, CustomStringConvertible {
    let description: String
  }

  static let maximumBytes = 1 << 20

  /// `GET target`. Throws `Failure` when there is no complete answer within `timeout`.
  func get(_ target: String, timeout: Duration) async throws -> Answer {
    try await send(.GET, target, body: [], timeout: timeout)
  }

  /// Sends JSON, or nothing. Throws `Failure` when there is no complete answer within `timeout`.
  func send(_ method: HTTPMethod, _ target: String, body: [UInt8], timeout: Duration) async throws -> Answer {
    let loop = eventLoopGroup.next()
    let promise = loop.makePromise(of: Answer.self)
    let deadline = loop.scheduleTask(in: TimeAmount(timeout)) {
      promise.fail(Failure(description: "no answer within \(timeout)"))
    }
    ClientBootstrap(group: loop)
      .connectTimeout(TimeAmount(timeout))
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHTTPClientHandlers()
          try channel.pipeline.syncOperations.addHandler(
            AnswerHandler(
              head: Self.head(method, target, body), body: body, promise: promise))
        }
      }
      .connect(unixDomainSocketPath: path)
      .whenComplete { result in
        switch result {
        case .success(let channel): promise.futureResult.whenComplete { _ in channel.close(promise: nil) }
        case .failure(let error): promise.fail(Failure(description: "\(error)"))
        }
      }
    defer { deadline.cancel() }
    return try await promise.futureResult.get()
  }

  private static func head(_ method: HTTPMethod, _ target: String, _ body: [UInt8]) -> HTTPRequestHead {
    var headers: HTTPHeaders = ["Host": "hivesup", "Connection": "close"]
    if !body.isEmpty {
      headers.add(name: "Content-Type", value: "application/json")
      headers.add(name: "Content-Length", value: "\(body.count)")
    }
    return HTTPRequestHead(version: .http1_1, method: method, uri: target, headers: headers)
  }
}

private final class AnswerHandler: ChannelInboundHandler {
  typealias InboundIn = HTTPClientResponsePart
  typealias OutboundOut = HTTPClientRequestPart

  private let head: HTTPRequestHead
  private let body: [UInt8]
  private let promise: EventLoopPromise<ControlSocketClient.Answer>
  private var answer = ControlSocketClient.Answer(status: 0, body: ByteBuffer())

  init(head: HTTPRequestHead, body: [UInt8], promise: EventLoopPromise<ControlSocketClient.Answer>) {
    self.head = head
    self.body = body
    self.promise = promise
  }

  func channelActive(context: ChannelHandlerContext) {
    context.write(wrapOutboundOut(.head(head)), promise: nil)
    if !body.isEmpty { context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: body)))), promise: nil) }
    context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head): answer.status = Int(head.status.code)
    case .body(var part):
      guard answer.body.readableBytes + part.readableBytes <= ControlSocketClient.maximumBytes else {
        return fail(context, "the answer is larger than \(ControlSocketClient.maximumBytes) bytes")
      }
      answer.body.writeBuffer(&part)
    case .end: promise.succeed(answer)
    }
  }

  func channelInactive(context: ChannelHandlerContext) { fail(context, "the connection was closed without an answer") }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { fail(context, "\(error)") }

  private func fail(_ context: ChannelHandlerContext, _ reason: String) {
    promise.fail(ControlSocketClient.Failure(description: reason))
    context.close(promise: nil)
  }
}
