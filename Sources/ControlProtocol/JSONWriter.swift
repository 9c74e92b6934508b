// JSON text (RFC 8259), written straight into bytes. Commas and colons are the writer's business; matching begin and end is
// the caller's.

/// Writes JSON into bytes.
public struct JSONWriter: Sendable {
  /// What has been written.
  public private(set) var bytes: [UInt8] = []
  private var needsComma = false

  /// An empty writer.
  /// - Parameter reserving: how many bytes to expect.
  public init(reserving: Int = 512) { bytes.reserveCapacity(max(reserving, 0)) }

  /// The text, for tests and messages.
  public var text: String { String(decoding: bytes, as: UTF8.self) }

  /// Takes the bytes and begins anew.
  public mutating func take() -> [UInt8] {
    needsComma = false
    let taken = bytes
    bytes = []
    return taken
  }

  /// `{`
  public mutating func beginObject() { open(0x7B) }
  /// `}`
  public mutating func endObject() { close(0x7D) }
  /// `[`
  public mutating func beginArray() { open(0x5B) }
  /// `]`
  public mutating func endArray() { close(0x5D) }

  /// Ends a line of NDJSON and begins the next document.
  public mutating func endLine() {
    bytes.append(ASCII.lineFeed)
    needsComma = false
  }

  /// The name of the next value.
  public mutating func key(_ name: String) {
    separate()
    quote(name)
    bytes.append(ASCII.colon)
    needsComma = false
  }

  /// A string.
  public mutating func value(_ text: String) {
    separate()
    quote(text)
  }

  /// A string, or null.
  public mutating func value(_ text: String?) {
    if let text { value(text) } else { null() }
  }

  /// A string from bytes of any origin; what is not UTF-8 becomes U+FFFD.
  public mutating func value(bytes text: some Collection<UInt8>) { value(String(decoding: text, as: UTF8.self)) }

  /// A number without a fraction.
  public mutating func value(_ number: some BinaryInteger) {
    separate()
    bytes.append(contentsOf: String(number).utf8)
  }

  /// A number; null when it is infinite or not a number, which JSON cannot say.
  public mutating func value(_ number: Double) {
    guard number.isFinite else { return null() }
    separate()
    bytes.append(contentsOf: number.description.utf8)
  }

  /// A number rounded to so many decimals (0…9); null when it is infinite or not a number.
  public mutating func value(_ number: Double, decimals: Int) {
    var scale = 1.0
    for _ in 0..<min(max(decimals, 0), 9) { scale *= 10 }
    let scaled = number * scale
    // Beyond 2^53 every Double is a whole number, and scaling could only lose digits.
    value(scaled.magnitude < 9e15 ? scaled.rounded() / scale : number)
  }

  /// true or false.
  public mutating func value(_ flag: Bool) {
    separate()
    bytes.append(contentsOf: (flag ? "true" : "false").utf8)
  }

  /// An RFC 3339 time in UTC with milliseconds.
  public mutating func value(_ time: Timestamp) { value(time.rfc3339) }

  /// null
  public mutating func null() {
    separate()
    bytes.append(contentsOf: "null".utf8)
  }

  /// A value that is JSON already.
  public mutating func raw(_ json: some Collection<UInt8>) {
    separate()
    bytes.append(contentsOf: json)
  }

  /// A member with a string, or null.
  public mutating func member(_ name: String, _ text: String?) {
    key(name)
    value(text)
  }

  /// A member with a number without a fraction.
  public mutating func member(_ name: String, _ number: some BinaryInteger) {
    key(name)
    value(number)
  }

  /// A member with a number without a fraction, or null.
  public mutating func member(_ name: String, _ number: (some BinaryInteger)?) {
    key(name)
    if let number { value(number) } else { null() }
  }

  /// A member with a number rounded to so many decimals, or null.
  public mutating func member(_ name: String, _ number: Double?, decimals: Int) {
    key(name)
    if let number { value(number, decimals: decimals) } else { null() }
  }

  /// A member with true or false.
  public mutating func member(_ name: String, _ flag: Bool) {
    key(name)
    value(flag)
  }

  /// A member with a time, or null.
  public mutating func member(_ name: String, _ time: Timestamp?) {
    key(name)
    if let time { value(time) } else { null() }
  }

  /// A member with a list of strings.
  public mutating func member(_ name: String, _ list: [String]) {
    key(name)
    beginArray()
    for text in list { value(text) }
    endArray()
  }

  private mutating func separate() {
    if needsComma { bytes.append(ASCII.comma) }
    needsComma = true
  }

  private mutating func open(_ bracket: UInt8) {
    separate()
    bytes.append(bracket)
    needsComma = false
  }

  private mutating func close(_ bracket: UInt8) {
    bytes.append(bracket)
    needsComma = true
  }

  /// RFC 8259 section 7: quotation mark, reverse solidus and control characters are escaped, nothing else needs it.
  private mutating func quote(_ text: String) {
    bytes.append(ASCII.quote)
    for byte in text.utf8 {
      switch byte {
      case ASCII.quote: escape(ASCII.quote)
      case ASCII.backslash: escape(ASCII.backslash)
      case 0x08: escape(0x62)
      case 0x0C: escape(0x66)
      case ASCII.lineFeed: escape(0x6E)
      case ASCII.carriageReturn: escape(0x72)
      case ASCII.tab: escape(0x74)
      case 0..<0x20:
        bytes.append(contentsOf: "\\u00".utf8)
        bytes.append(ASCII.hexDigit(byte >> 4))
        bytes.append(ASCII.hexDigit(byte))
      default: bytes.append(byte)
      }
    }
    bytes.append(ASCII.quote)
  }

  private mutating func escape(_ letter: UInt8) {
    bytes.append(ASCII.backslash)
    bytes.append(letter)
  }
}
