// Secrets that stand in files which a variable names. What is wrong with such a file is nearly always a mount that was forgotten or
// misspelt, and the message says so.

import Glibc

/// A file that a variable whose name ends with `_FILE` names.
struct SecretFile {
  /// The variable, for messages.
  let variable: String
  /// Absolute.
  let path: String
  /// What else a person may do than to mount the file, for the remedy.
  let alternative: String

  /// The content without the newlines at its end; nil where there is no such file.
  func read() throws(Failure) -> String? {
    do throws(Failure) {
      if try FileSystem.status(path)?.isDirectory == true {
        throw Failure(
          .usage, "cannot read \(variable)=\(path): it is a directory",
          remedy: "name a file (Docker mounts a directory where the host has no such file), or \(alternative)")
      }
      return try FileSystem.readText(path)?.trimmingTrailingNewlines
    } catch {
      guard error.status == .unusable else { throw error }
      throw Failure(
        .unusable, "cannot read \(variable)=\(path): \(Failure.describe(EACCES))",
        remedy: "make it readable for user \(geteuid()), or \(alternative)")
    }
  }

  /// The content, where the file must be there.
  func require() throws(Failure) -> String {
    guard let content = try read() else {
      throw Failure(
        .usage, "cannot read \(variable)=\(path): there is no such file", remedy: "mount the secret, or \(alternative)")
    }
    return content
  }
}
