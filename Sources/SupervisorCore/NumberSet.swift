// Lists of CPUs and of NUMA nodes as people and the kernel write them: "0,2,4-6".

/// A set of small numbers, kept as ranges in ascending order that neither touch nor overlap.
public struct NumberSet: Equatable, Hashable, Sendable {
  /// The ranges.
  public private(set) var ranges: [ClosedRange<Int>]

  /// The set of all numbers in these ranges.
  public init(_ ranges: [ClosedRange<Int>]) {
    var merged: [ClosedRange<Int>] = []
    for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
      guard let last = merged.last, range.lowerBound <= last.upperBound || range.lowerBound - 1 == last.upperBound
      else {
        merged.append(range)
        continue
      }
      merged[merged.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
    }
    self.ranges = merged
  }

  /// Reads numbers and ranges with commas between them.
  /// - Parameters:
  ///   - text: e.g. `0,2,4-6`; blanks around the parts are free.
  ///   - noun: what the numbers are, for the message: `CPU`, `NUMA node`.
  ///   - limit: one more than the highest number that there can be.
  /// - Throws: for nothing at all, for what is no number, for a range that goes down, and for numbers from `limit` on.
  public init(list text: String, of noun: String, below limit: Int) throws(PinningProblem) {
    var ranges: [ClosedRange<Int>] = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let word = trimmed(part)
      let ends = word.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false).map(trimmed)
      var numbers: [Int] = []
      for end in ends {
        // Int() takes signs too.
        guard !end.isEmpty, end.utf8.count <= 9, end.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
          let number = Int(end)
        else {
          throw PinningProblem("'\(word)' is no \(noun)", remedy: "write numbers and ranges with commas, e.g. 0,2,4-6")
        }
        numbers.append(number)
      }
      guard let low = numbers.first, let high = numbers.last else { continue }
      guard low <= high else {
        throw PinningProblem("the range \(word) goes down", remedy: "write \(high)-\(low)")
      }
      guard high < limit else {
        throw PinningProblem("there is no \(noun) \(high)", remedy: "write numbers from 0 to \(limit - 1)")
      }
      ranges.append(low...high)
    }
    self.init(ranges)
  }

  /// As it is written: `0,2,4-6`.
  public var text: String {
    ranges.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }.joined(separator: ",")
  }
}

/// Why a text says nothing about where a program runs.
public struct PinningProblem: Error, Equatable, Sendable {
  /// What is wrong.
  public var message: String
  /// What to write instead.
  public var remedy: String
  /// The word that was not understood, and those that would have been; for "did you mean".
  public var word: String
  /// Those that would have been.
  public var candidates: [String]

  /// A problem.
  public init(_ message: String, remedy: String, word: String = "", candidates: [String] = []) {
    self.message = message
    self.remedy = remedy
    self.word = word
    self.candidates = candidates
  }
}

/// Without blanks at both ends.
func trimmed(_ text: some StringProtocol) -> String {
  let isBlank: (UInt8) -> Bool = { $0 == 0x20 || (0x09...0x0D).contains($0) }
  var rest = Array(text.utf8)[...]
  while let first = rest.first, isBlank(first) { rest.removeFirst() }
  while let last = rest.last, isBlank(last) { rest.removeLast() }
  return String(decoding: rest, as: UTF8.self)
}
