// `strip_ansi`: removes CSI escape sequences (ECMA-48 5.4) from a stream of bytes.

import Glibc

/// Removes CSI sequences from a stream; a sequence may be cut anywhere between two calls.
///
/// supervisord ends a sequence at a short list of letters and swallows everything up to the next of them otherwise
/// (supervisor/dispatchers.py, stripEscapes). Here any final byte of ECMA-48 (0x40…0x7E) ends it, and a byte that cannot stand in a
/// sequence (a newline, for one) ends it too and is kept.
public struct ANSIStripper {
  private enum State {
    case text
    case escape
    case sequence
  }

  private var state = State.text

  /// At the beginning of a stream.
  public init() {}

  /// Whether `bytes` would come out of `strip` unchanged.
  public func passes(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard state == .text else { return false }
    guard let base = bytes.baseAddress else { return true }
    return memchr(base, 0x1b, bytes.count) == nil
  }

  /// `bytes` without the sequences. A lone escape at the end is held back until it is known what it begins.
  public mutating func strip(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
    var kept: [UInt8] = []
    kept.reserveCapacity(bytes.count)
    for byte in bytes {
      switch state {
      case .text:
        if byte == 0x1b { state = .escape } else { kept.append(byte) }
      case .escape:
        if byte == UInt8(ascii: "[") {
          state = .sequence
        } else {
          kept.append(0x1b)
          if byte != 0x1b {
            kept.append(byte)
            state = .text
          }
        }
      case .sequence:
        switch byte {
        case 0x40...0x7e: state = .text
        case 0x20...0x3f: break
        case 0x1b: state = .escape
        default:
          kept.append(byte)
          state = .text
        }
      }
    }
    return kept
  }

  /// What is held back at the end of the stream.
  public mutating func finish() -> [UInt8] {
    defer { state = .text }
    return state == .escape ? [0x1b] : []
  }
}
