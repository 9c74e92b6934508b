// The control API's requests, answered from the core; and the port's, while the supervisor accepts there.

import ControlProtocol
import Glibc
import SupervisorConfig
import SupervisorCore

extension Daemon {
  /// The responder of the port.
  func makePublicServer() -> HTTPServer {
    let server = HTTPServer(loop: loop, buffer: readBuffer, limits: .port) { [weak self] request, responder in
      guard let self else { return responder.respond(HTTPResponse(status: 503)) }
      var response = PublicResponder.respond(to: request) { self.page($0) }
      // An http check that asks this port must not take the supervisor's answer for the program's.
      response.headers.append(HTTPHeader("X-Hivesup-Fallback", "1"))
      responder.respond(response)
    }
    server.refuse = PublicResponder.refuse
    return server
  }

  /// Binds the control socket, when there is one.
  func openControlSocket() throws(StartupError) {
    guard let path = options.spec.controlSocket else { return }
    do throws(ListenError) {
      let socket = try ControlSocket(loop: loop, buffer: readBuffer, path: path, guests: guests()) {
        [weak self] request, responder in
        guard let self else { return responder.respond(HTTPResponse(status: 503)) }
        self.answer(request, responder)
      }
      socket.server.refuse = \.controlResponse
      socket.onRepair = { [weak self] error in
        if let error {
          self?.log.error("the control socket \(path) is gone and cannot be made anew: \(error)")
        } else {
          self?.log.warn("the control socket \(path) was removed by somebody and has been made anew")
        }
      }
      control = socket
    } catch {
      throw StartupError("\(error)")
    }
  }

  /// The users that programs run as where the supervisor is root: they may ask how things are and report checks.
  private func guests() -> [ControlGuest] {
    guard geteuid() == 0 else { return [] }
    var found: [ControlGuest] = []
    for program in options.spec.programs {
      guard let identity = try? ChildIdentity.resolve(program.execution, users: spawner.users, effectiveUser: 0),
        let uid = identity.uid, let gid = identity.gid, uid != 0
      else { continue }
      let guest = ControlGuest(uid: uid, gid: gid)
      if !found.contains(guest) { found.append(guest) }
    }
    return found
  }

  private func answer(_ request: HTTPRequest, _ responder: HTTPResponder) {
    let route: Route
    do throws(ControlFault) {
      route = try Route(request)
    } catch {
      return responder.respond(error.response)
    }
    let requester = Requester.client(pid: responder.peer?.pid ?? 0, uid: responder.peer?.uid ?? 0)
    switch route {
    case .status: responder.respond(.json(statusDocument().json))
    case .program(let target): answerProgram(target, responder)
    case .start(let target, let options):
      act("start", target, .start(target: target, wait: options.wait), options.timeout, requester, responder)
    case .stop(let target, let options, let now):
      act("stop", target, .stop(target: target, wait: options.wait, now: now), options.timeout, requester, responder)
    case .restart(let target, let options):
      act("restart", target, .restart(target: target, wait: options.wait), options.timeout, requester, responder)
    case .signal(let target, let name):
      guard let number = SignalNames.number(of: name) else {
        return responder.respond(
          ControlFault(
            .badSignal, "cannot signal \(target): there is no signal '\(name)'; use a name such as HUP or a number"
          )
          .response)
      }
      act("signal", target, .signal(target: target, signal: number), nil, requester, responder)
    case .pin(let target, let request):
      do throws(PinningProblem) {
        act("pin", target, .pin(target: target, try LivePin.asked(request)), nil, requester, responder)
      } catch {
        responder.respond(
          ControlFault(.badArguments, "cannot pin \(target): \(error.message); \(error.remedy)").response)
      }
    case .events(let since, let follow): answerEvents(since: since, follow: follow, responder)
    case .logs(let target, let stream, let bytes, let follow):
      answerLogs(target, stream, bytes: bytes, follow: follow, responder)
    case .health: responder.respond(page(.health))
    case .livez: responder.respond(page(.livez))
    case .readyz: responder.respond(page(.readyz))
    case .startupz: responder.respond(page(.startupz))
    case .metrics: responder.respond(page(.metrics))
    case .version: responder.respond(.json(VersionDocument(version: options.version, pid: Int(getpid())).json))
    case .reload: answerReload(requester, responder)
    case .shutdown:
      ask(.shutdown, by: requester, responder, timeout: nil) { result in
        if case .fault(let fault, let text) = result { return ControlFault(ControlFault.Code(fault), text).response }
        return HTTPResponse(status: 202)
      }
    case .check(let target, let report): take(report, for: target, responder)
    case .thermal:
      guard let document = thermalDocument() else {
        return responder.respond(
          ControlFault(
            .notRunning,
            "cannot tell the temperature: nobody has reported it; `hive-postgres monitor` does where it runs"
          ).response)
      }
      responder.respond(.json(document.json))
    case .thermalReport(let document):
      take(document)
      responder.respond(HTTPResponse(status: 204))
    }
  }

  // MARK: Questions

  private func answerProgram(_ target: String, _ responder: HTTPResponder) {
    let now = Clock.now()
    guard let ids = core.resolve(target), ids.count == 1, let id = ids.first,
      let program = core.snapshot(of: id, at: now)
    else {
      return responder.respond(
        ControlFault(.badName, "cannot find \(target): name one process (hivesup ctl status lists them)").response)
    }
    lookAtCPUs()
    memory.look()
    responder.respond(.json(document(program, at: now).json))
  }

  /// What the control socket and the port both have.
  private func page(_ page: PublicPage) -> HTTPResponse {
    switch page {
    case .health: return healthDocument().response
    case .livez: return text(core.health(at: Clock.now()).live)
    case .readyz: return text(core.health(at: Clock.now()).ready)
    case .startupz: return text(core.health(at: Clock.now()).started)
    case .metrics:
      return HTTPResponse(
        status: 200, headers: [HTTPHeader("Content-Type", PrometheusWriter.contentType)], body: metrics())
    }
  }

  private func text(_ verdict: SupervisorCore.ProbeVerdict) -> HTTPResponse {
    let text = verdict.passed ? "ok\n" : verdict.reasons.map { "\($0)\n" }.joined()
    return .text(text, status: verdict.passed ? 200 : 503)
  }

  private func answerEvents(since: UInt64, follow: Bool, _ responder: HTTPResponder) {
    let kept = core.events.records(after: since).map { EventDocument($0) }
    guard follow else {
      let oldest = core.events.oldest
      let missed = oldest > since &+ 1 ? oldest - since - 1 : 0
      return responder.respond(.json(EventsDocument(events: kept, newest: core.events.newest, missed: missed).json))
    }
    var body: [UInt8] = []
    for event in kept { body.append(contentsOf: event.line) }
    let number = nextRequest
    nextRequest &+= 1
    responder.onDisconnect = { [weak self] in self?.eventFollowers[number] = nil }
    responder.stream(
      HTTPResponse(status: 200, headers: [HTTPHeader("Content-Type", "application/x-ndjson")], body: body))
    guard responder.isOpen else { return }
    eventFollowers[number] = { record in responder.write(EventDocument(record).line) }
  }

  private func answerLogs(
    _ target: String, _ stream: LogStream, bytes: Int, follow: Bool, _ responder: HTTPResponder
  ) {
    guard let ids = core.resolve(target), ids.count == 1, let id = ids.first, let spec = core.spec(of: id) else {
      return responder.respond(
        ControlFault(.badName, "cannot read the log of \(target): name one process (hivesup ctl status lists them)")
          .response)
    }
    let sinks: Outputs
    do throws(SystemError) {
      sinks = try outputs(of: id, spec)
    } catch {
      return responder.respond(ControlFault(.noFile, "cannot read the log of \(target): \(error)").response)
    }
    var wanted: [ProgramOutput] = []
    if stream != .stderr { wanted.append(sinks.stdout) }
    if stream != .stdout && (sinks.stderr !== sinks.stdout || stream == .stderr) { wanted.append(sinks.stderr) }
    // What both streams have kept cannot be put into one order any more; each gets its share, error output last.
    let share = wanted.isEmpty ? 0 : bytes / wanted.count
    let body = wanted.flatMap { $0.tail.tail(share).bytes }
    let headers = [HTTPHeader("Content-Type", "text/plain; charset=utf-8"), HTTPHeader("X-Accel-Buffering", "no")]
    guard follow else { return responder.respond(HTTPResponse(status: 200, headers: headers, body: body)) }
    let followed = wanted.map { output in
      (output, output.tail.follow { _, bytes in responder.write(Array(bytes)) })
    }
    responder.onDisconnect = { for (output, id) in followed { output.tail.unfollow(id) } }
    responder.stream(
      HTTPResponse(status: 200, headers: headers, body: body),
      overflow: Array("\n==> the reader was too slow: output was lost <==\n".utf8))
    if !responder.isOpen { for (output, id) in followed { output.tail.unfollow(id) } }
  }

  // MARK: Actions

  private func act(
    _ verb: String, _ target: String, _ command: Command, _ timeout: Double?, _ requester: Requester,
    _ responder: HTTPResponder
  ) {
    ask(command, by: requester, responder, timeout: timeout) { result in
      switch result {
      case .processes(let results):
        ResultsDocument(action: verb, results: results.map { ResultDocument($0) }).response
      case .fault(let fault, let text):
        ControlFault(ControlFault.Code(fault), "cannot \(verb) \(target): \(text)").response
      case .reload, .accepted: HTTPResponse(status: 202)
      }
    }
  }

  /// Hands a command to the core and answers when the core does, or with TIMED_OUT before that.
  private func ask(
    _ command: Command, by requester: Requester, _ responder: HTTPResponder, timeout: Double?,
    _ response: @escaping (CommandResult) -> HTTPResponse
  ) {
    let id = RequestID(nextRequest)
    nextRequest &+= 1
    var timer: TimerID?
    pendingAnswers[id] = { [weak self] result in
      if let timer { self?.loop.cancel(timer) }
      responder.respond(response(result))
    }
    responder.onDisconnect = { [weak self] in self?.abandon(id, &timer) }
    send(.request(id, command, by: requester))
    guard let timeout, pendingAnswers[id] != nil else { return }
    timer = loop.schedule(after: .seconds(timeout)) { [weak self] in
      guard let self, self.pendingAnswers.removeValue(forKey: id) != nil else { return }
      self.send(.requestAbandoned(id))
      responder.respond(
        ControlFault(.timedOut, "it was not finished within \(seconds(.seconds(timeout))) s; it goes on").response)
    }
  }

  private func abandon(_ id: RequestID, _ timer: inout TimerID?) {
    if let timer { loop.cancel(timer) }
    timer = nil
    if pendingAnswers.removeValue(forKey: id) != nil { send(.requestAbandoned(id)) }
  }

  private func answerReload(_ requester: Requester, _ responder: HTTPResponder) {
    switch rereadConfiguration() {
    case .failure(let refused):
      responder.respond(ControlFault(.cantReread, "cannot reload: \(refused.text)").response)
    case .success(let spec):
      ask(.reload(spec), by: requester, responder, timeout: nil) { result in
        switch result {
        case .reload(let summary): .json(ReloadDocument(summary).json)
        case .fault(let fault, let text): ControlFault(ControlFault.Code(fault), "cannot reload: \(text)").response
        case .processes, .accepted: HTTPResponse(status: 202)
        }
      }
    }
  }

  private func take(_ report: ReportDocument, for target: String, _ responder: HTTPResponder) {
    guard core.resolve(target) != nil else {
      return responder.respond(ControlFault(.badName, "cannot take the report: there is no program \(target)").response)
    }
    lookAtCPUs()
    memory.look()
    send(
      .checkReported(
        program: target,
        ReportedCheck(
          name: report.name, type: report.type,
          result: ProbeResult(
            passed: report.passed, latency: .seconds(report.latencyMilliseconds / 1000), detail: report.detail),
          interval: .seconds(report.intervalSeconds))))
    responder.respond(HTTPResponse(status: 204))
  }
}
