import ControlProtocol
import Testing

@Suite struct ThermalDocumentTests {
  private static let sample = ThermalDocument(
    state: "warning", knowledge: "known", celsius: 81.5, sensor: "coretemp Package id 0", warning: 80, critical: 85,
    transitions: 3, brakes: ["max_parallel_workers = 4"], remarks: [], intervalSeconds: 2)

  private static let pinning = ServerPinningDocument(
    profile: "by-class",
    roles: [
      .init(
        name: "backends", requested: "performance", cpus: "0-11", isMoved: false, explanation: "", processes: 7,
        elsewhere: 0),
      .init(
        name: "autovacuum", requested: "0", cpus: "12-19", isMoved: true, explanation: "hot", processes: 2, elsewhere: 1
      ),
    ],
    refused: [.init(processes: 1, message: "no", remedy: "CAP_SYS_NICE")])

  @Test func whereTheServerRunsIsWrittenAndReadBack() throws {
    var document = Self.sample
    #expect(!String(decoding: document.json, as: UTF8.self).contains("pinning"))
    document.pinning = Self.pinning
    #expect(try ThermalDocument(json: JSONValue(parsing: document.json)) == document)
    // One report of everything there is stays well below what a request may have.
    let role = Self.pinning.roles[1]
    document.pinning?.roles = Array(repeating: role, count: 32)
    #expect(document.json.count < 8192)
    #expect(try ThermalDocument(json: JSONValue(parsing: document.json)) == document)
  }

  @Test func aPinningHasItsBounds() throws {
    for change in [
      { $0.roles = Array(repeating: $0.roles[0], count: 33) }, { $0.roles[0].processes = -1 },
      { $0.roles[1].elsewhere = -1 },
      { $0.roles[0].name = "" }, { $0.roles[0].explanation = String(repeating: "x", count: 513) },
      { $0.refused[0].remedy = String(repeating: "x", count: 513) },
      { $0.profile = String(repeating: "x", count: 513) },
      { $0.refused = Array(repeating: $0.refused[0], count: 33) },
    ] as [(inout ServerPinningDocument) -> Void] {
      var document = Self.sample
      var pinning = Self.pinning
      change(&pinning)
      document.pinning = pinning
      let json = try JSONValue(parsing: document.json)
      #expect(throws: ControlFault.self) { try ThermalDocument(json: json) }
    }
    for text in [#"{}"#, #"{"profile":"off"}"#, #"[]"#, #"7"#, #"{"profile":1,"roles":[]}"#] {
      let json = try JSONValue(parsing: Array(text.utf8))
      #expect(throws: ControlFault.self) { try ServerPinningDocument(json: json) }
    }
  }

  @Test func whatIsWrittenIsReadBack() throws {
    for celsius in [nil, 81.5, -3] as [Double?] {
      for state in ThermalDocument.states {
        for knowledge in ThermalDocument.knowledges {
          var document = Self.sample
          document.celsius = celsius
          document.state = state
          document.knowledge = knowledge
          #expect(try ThermalDocument(json: JSONValue(parsing: document.json)) == document)
        }
      }
    }
    #expect(
      ThermalDocument.states.enumerated().allSatisfy { index, state in
        var document = Self.sample
        document.state = state
        return document.level == index
      })
  }

  @Test(arguments: [
    (#"{}"#, ControlFault.Code.incorrectParameters),
    (
      #"{"state":"warm","knowledge":"known","warning_celsius":80,"critical_celsius":85,"interval_seconds":2}"#,
      .badArguments
    ),
    (
      #"{"state":"normal","knowledge":"surely","warning_celsius":80,"critical_celsius":85,"interval_seconds":2}"#,
      .badArguments
    ),
    (
      #"{"state":"normal","knowledge":"known","warning_celsius":80,"critical_celsius":85,"interval_seconds":0}"#,
      .badArguments
    ),
    (
      #"{"state":"normal","knowledge":"known","celsius":1e9,"warning_celsius":80,"critical_celsius":85,"interval_seconds":2}"#,
      .badArguments
    ),
    (
      #"{"state":"normal","knowledge":"known","transitions":-1,"warning_celsius":80,"critical_celsius":85,"interval_seconds":2}"#,
      .badArguments
    ),
  ])
  func whatMakesNoSenseIsRefused(_ text: String, _ code: ControlFault.Code) throws {
    let json = try JSONValue(parsing: Array(text.utf8))
    let fault = #expect(throws: ControlFault.self) { try ThermalDocument(json: json) }
    #expect(fault?.code == code)
  }

  @Test func textHasItsBounds() throws {
    for change in [
      { $0.sensor = String(repeating: "x", count: 129) }, { $0.brakes = Array(repeating: "x", count: 17) },
      { $0.remarks = [String(repeating: "x", count: 513)] },
    ] as [(inout ThermalDocument) -> Void] {
      var document = Self.sample
      change(&document)
      let json = try JSONValue(parsing: document.json)
      #expect(throws: ControlFault.self) { try ThermalDocument(json: json) }
    }
  }

  @Test func theHealthDocumentCarriesIt() throws {
    var health = HealthDocument(
      status: "healthy", container: "genie", version: "1", timestamp: Timestamp(nanoseconds: 0), uptimeSeconds: 1,
      database: nil, reasons: [], services: [])
    #expect(!String(decoding: health.json, as: UTF8.self).contains("thermal"))
    health.thermal = Self.sample
    #expect(try HealthDocument(json: JSONValue(parsing: health.json))?.thermal == Self.sample)
  }

  @Test func theRoutesAreThere() throws {
    #expect(Route.thermal.message.target == "/v1/thermal" && Route.thermal.message.method == "GET")
    #expect(Route.thermalReport(Self.sample).message.method == "POST")
  }
}
