// Which containers there are.

import ArgumentParser

/// A container of this project: its name on the command line, the folder of its compose file, and its service's name there.
enum Role: String, CaseIterable, Sendable {
  case genie
  case agent

  /// The role of a word.
  static func named(_ word: String) throws -> Role {
    guard let role = Role(rawValue: word) else {
      let known = allCases.map(\.rawValue).joined(separator: " and ")
      throw ValidationError("cannot find the container '\(word)': the containers are \(known)")
    }
    return role
  }
}

/// Any number of roles; all of them when none is named.
struct RolesArgument: ParsableArguments {
  @Argument(
    help: "genie, agent or both; both when none is named.", completion: .list(Role.allCases.map(\.rawValue)))
  var roles: [String] = []

  func validate() throws { for word in roles { _ = try Role.named(word) } }

  /// In the order of the command line, each once.
  func chosen() throws -> [Role] {
    guard !roles.isEmpty else { return Role.allCases }
    var found: [Role] = []
    for word in roles {
      let role = try Role.named(word)
      if !found.contains(role) { found.append(role) }
    }
    return found
  }
}

/// Exactly one role.
struct RoleArgument: ParsableArguments {
  @Argument(help: "genie or agent.", completion: .list(Role.allCases.map(\.rawValue)))
  var role: String

  func validate() throws { _ = try Role.named(role) }

  func chosen() throws -> Role { try Role.named(role) }
}
