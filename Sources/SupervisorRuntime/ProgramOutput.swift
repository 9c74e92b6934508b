// Where one stream of one program goes: its file, the container's output, the tail buffer, followers. It outlives the program's
// runs; what belongs to one run only (the unfinished line) is in LogPump.

import SupervisorCore

/// The sinks of one stream of one program.
public final class ProgramOutput {
  /// The program's name, as it stands in `prefix` and `json` lines.
  public let program: String
  /// `stdout` or `stderr`.
  public let stream: String
  /// How lines look on the container's output.
  public let format: LogFormat
  /// Remove ANSI escape sequences.
  public let stripsANSI: Bool
  /// The last bytes, and those who follow.
  public let tail: TailBuffer
  /// The log file, when there is one.
  public let file: RotatingFile?
  /// The container's output, when it goes there.
  public let container: ContainerOutput?
  /// How many bytes came out of the program.
  public private(set) var received: UInt64 = 0

  /// The sinks; `tailBytes` bounds the tail buffer.
  public init(
    program: String, stream: String, format: LogFormat = .raw, stripsANSI: Bool = false, tailBytes: Int,
    file: RotatingFile? = nil, container: ContainerOutput? = nil
  ) {
    self.program = program
    self.stream = stream
    self.format = format
    self.stripsANSI = stripsANSI
    tail = TailBuffer(capacity: tailBytes)
    self.file = file
    self.container = container
  }

  /// A formatter for the lines of one run.
  func makeFormatter() -> LineFormatter { LineFormatter(format: format, program: program, stream: stream) }

  func count(_ bytes: Int) { received &+= UInt64(clamping: bytes) }

  /// Bytes as they are, for the file and the tail.
  func keep(_ bytes: UnsafeRawBufferPointer) {
    file?.write(bytes)
    tail.append(bytes)
  }
}
