// Time zones from TZif files (RFC 8536, versions 1 to 3), without a library: PID 1 has none. Only what a schedule needs is kept: the offset
// from UTC at every time. After the last transition of the file the POSIX rule of its footer holds (PosixTimeZone.swift).

/// The rules of one time zone (RFC 8536, TZif).
public struct TimeZoneRules: Equatable, Sendable {
  /// When an offset begins (seconds since the epoch), ascending.
  private var transitions: [Int64] = []
  /// The offsets that begin then, in seconds east of UTC.
  private var offsets: [Int32] = []
  /// The offset before the first transition.
  private var first: Int32 = 0
  /// What holds after the last transition. nil: the last offset.
  private var footer: PosixTimeZone?

  /// Coordinated Universal Time.
  public static let utc = TimeZoneRules()

  private init() {}

  /// The rules in the bytes of a TZif file, versions 1 to 3 (`/usr/share/zoneinfo/…`).
  public init(tzif bytes: [UInt8]) throws(TimeZoneError) {
    var reader = TZifReader(bytes: bytes[...])
    let outer = try reader.header()
    if outer.version == 0 {
      try takeBlock(&reader, outer, timeSize: 4)
      return
    }
    try reader.skip(outer.blockSize(timeSize: 4))
    let inner = try reader.header()
    try takeBlock(&reader, inner, timeSize: 8)
    footer = try reader.footer()
  }

  private mutating func takeBlock(_ reader: inout TZifReader, _ header: TZifReader.Header, timeSize: Int)
    throws(TimeZoneError)
  {
    guard header.types > 0 else { throw TimeZoneError("it defines no offset") }
    guard header.types <= 256 else { throw TimeZoneError("it defines \(header.types) offsets; 256 are possible") }
    // A hostile count is refused before memory is taken for it.
    try reader.require(header.blockSize(timeSize: timeSize))
    transitions.reserveCapacity(header.times)
    for _ in 0..<header.times {
      let time = try reader.integer(timeSize)
      if let last = transitions.last, time <= last { throw TimeZoneError("its transitions are not in order") }
      transitions.append(time)
    }
    var indexes: [Int] = []
    for _ in 0..<header.times { indexes.append(Int(try reader.byte())) }
    var types: [Int32] = []
    for _ in 0..<header.types {
      let offset = try reader.integer(4)
      guard (-93_599...93_599).contains(offset) else { throw TimeZoneError("it has an offset of \(offset) s") }
      types.append(Int32(offset))
      try reader.skip(2)  // whether it is daylight saving, and its abbreviation
    }
    for index in indexes {
      guard index < types.count else { throw TimeZoneError("a transition leads to an offset that is not defined") }
      offsets.append(types[index])
    }
    // RFC 8536, 3.2: local time before the first transition is of type 0.
    first = types.first ?? 0
    try reader.skip(header.characters + header.leaps * (timeSize + 4) + header.standards + header.universals)
  }

  // MARK: Questions

  /// Seconds east of UTC at this time (seconds since the epoch).
  func offset(at time: Int64) -> Int64 {
    guard let last = transitions.last, let start = transitions.first else {
      return footer.map { $0.offset(at: time) } ?? Int64(first)
    }
    if time < start { return Int64(first) }
    if time >= last {
      if let footer { return footer.offset(at: time) }
      return Int64(offsets.last ?? first)
    }
    var low = 0
    var high = transitions.count - 1  // transitions[low] <= time < transitions[high]
    while high - low > 1 {
      let middle = (low + high) / 2
      if transitions[middle] <= time { low = middle } else { high = middle }
    }
    return Int64(offsets[low])
  }

  /// When the local clock shows this (seconds since 1970-01-01 00:00 local): the first time, where it shows it twice; the first moment after
  /// the gap, where it never does.
  func time(local: Int64) -> Int64 {
    let before = offset(at: local - 93_600)
    let after = offset(at: local + 93_600)
    var candidates = [local - before, local - after]
    // An offset that holds for less than two days in between.
    candidates.append(local - offset(at: local - before))
    candidates.append(local - offset(at: local - after))
    if let valid = candidates.filter({ $0 + offset(at: $0) == local }).min() { return valid }
    // A gap: the clock jumps over it between these two.
    var low = local - max(before, after) - 1
    var high = local - min(before, after) + 1
    while high - low > 1 {
      let middle = low + (high - low) / 2
      if middle + offset(at: middle) < local { low = middle } else { high = middle }
    }
    return high
  }
}

/// Why the bytes of a time zone file cannot be used.
public struct TimeZoneError: Error, Equatable, Sendable {
  /// "cannot read the time zone: …".
  public var text: String

  init(_ why: String) { text = "cannot read the time zone: \(why)" }
}

/// Reads the fields of a TZif file.
private struct TZifReader {
  var bytes: ArraySlice<UInt8>

  /// The counts of one header.
  struct Header {
    var version: UInt8
    var universals: Int
    var standards: Int
    var leaps: Int
    var times: Int
    var types: Int
    var characters: Int

    func blockSize(timeSize: Int) -> Int {
      times * (timeSize + 1) + types * 6 + characters + leaps * (timeSize + 4) + standards + universals
    }
  }

  func require(_ count: Int) throws(TimeZoneError) {
    if bytes.count < count { throw TimeZoneError("it is cut off") }
  }

  mutating func skip(_ count: Int) throws(TimeZoneError) {
    try require(count)
    bytes = bytes.dropFirst(count)
  }

  mutating func byte() throws(TimeZoneError) -> UInt8 {
    guard let byte = bytes.popFirst() else { throw TimeZoneError("it is cut off") }
    return byte
  }

  /// A signed number, most significant byte first.
  mutating func integer(_ size: Int) throws(TimeZoneError) -> Int64 {
    var value: UInt64 = 0
    for _ in 0..<size { value = value << 8 | UInt64(try byte()) }
    return size == 4 ? Int64(Int32(truncatingIfNeeded: value)) : Int64(bitPattern: value)
  }

  mutating func count() throws(TimeZoneError) -> Int {
    let value = try integer(4)
    guard value >= 0, value <= 1_000_000 else { throw TimeZoneError("a count in it is out of range") }
    return Int(value)
  }

  mutating func header() throws(TimeZoneError) -> Header {
    guard bytes.starts(with: [0x54, 0x5A, 0x69, 0x66]) else { throw TimeZoneError("it is no TZif file") }
    try skip(4)
    let version = try byte()
    guard version == 0 || version >= 0x32 else { throw TimeZoneError("its version is not known") }
    try skip(15)
    return Header(
      version: version, universals: try count(), standards: try count(), leaps: try count(), times: try count(),
      types: try count(),
      characters: try count())
  }

  /// The rule between two newlines; an empty one says nothing.
  mutating func footer() throws(TimeZoneError) -> PosixTimeZone? {
    guard try byte() == 0x0A else { throw TimeZoneError("its footer is missing") }
    guard let end = bytes.firstIndex(of: 0x0A) else { throw TimeZoneError("its footer is cut off") }
    let text = bytes[bytes.startIndex..<end]
    return text.isEmpty ? nil : try PosixTimeZone(Array(text))
  }
}
