// The Prometheus text exposition format, version 0.0.4.

/// Writes metrics.
public struct PrometheusWriter: Sendable {
  /// The `Content-Type` of the text.
  public static let contentType = "text/plain; version=0.0.4; charset=utf-8"

  /// What a metric is.
  public enum Kind: String, Sendable {
    /// Only ever rises, until the process begins anew.
    case counter
    /// Goes up and down.
    case gauge
    /// Quantiles (label `quantile`), with a `_sum` and a `_count`.
    case summary
  }

  /// The text so far.
  public private(set) var bytes: [UInt8] = []

  /// An empty text.
  public init() {}

  /// `# HELP` and `# TYPE` of a metric; all its samples follow.
  public mutating func metric(_ name: String, _ kind: Kind, help: String) {
    put("# HELP \(name) ")
    escape(help, quotes: false)
    put("\n# TYPE \(name) \(kind.rawValue)\n")
  }

  /// One sample. Names of metrics and labels are written as given and must be `[a-zA-Z_:][a-zA-Z0-9_:]*`; label values may be any text.
  public mutating func sample(_ name: String, _ labels: [(String, String)], _ value: Double) {
    put(name)
    for (index, label) in labels.enumerated() {
      put(index == 0 ? "{" : ",")
      put(label.0)
      put("=\"")
      escape(label.1, quotes: true)
      put("\"")
    }
    if !labels.isEmpty { put("}") }
    put(" ")
    put(Self.number(value))
    put("\n")
  }

  /// One sample with a whole number.
  public mutating func sample(_ name: String, _ labels: [(String, String)], _ value: some BinaryInteger) {
    sample(name, labels, Double(value))
  }

  private static func number(_ value: Double) -> String {
    if value.isNaN { return "NaN" }
    if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
    // Whole numbers without ".0", as other exporters write them; Doubles are exact up to 2^53.
    if value.magnitude < 9e15, value == value.rounded() { return String(Int64(value)) }
    return value.description
  }

  private mutating func put(_ text: String) { bytes.append(contentsOf: text.utf8) }

  private mutating func escape(_ text: String, quotes: Bool) {
    for byte in text.utf8 {
      switch byte {
      case ASCII.backslash: bytes.append(contentsOf: [ASCII.backslash, ASCII.backslash])
      case ASCII.lineFeed: bytes.append(contentsOf: [ASCII.backslash, 0x6E])
      case ASCII.quote where quotes: bytes.append(contentsOf: [ASCII.backslash, ASCII.quote])
      default: bytes.append(byte)
      }
    }
  }
}
