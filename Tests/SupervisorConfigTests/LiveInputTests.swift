// The real world, as far as a test may know it.

import Glibc
import Testing

@testable import SupervisorConfig

@Suite("The live input")
struct LiveInputTests {
  private let input = ConfigurationInput.live(path: "x")

  @Test func filesAndDirectories() throws {
    #expect(try !input.readFile(Fixtures.folder + "/supervisord/values.conf").isEmpty)
    #expect(throws: FileProblem.absent) { try input.readFile("/nonexistent/x") }
    #expect(throws: FileProblem.directory) { try input.readFile("/") }
    #expect(throws: FileProblem.system("it is not a regular file")) { try input.readFile("/dev/null") }
    #expect(input.listDirectory(Fixtures.folder)?.contains("supervisord") == true)
    #expect(input.listDirectory(Fixtures.folder)?.contains(".") == false)
    #expect(input.listDirectory("/nonexistent") == nil)
    #expect(input.directoryExists("/") && !input.directoryExists("/dev/null") && !input.directoryExists("/nonexistent"))
    #expect(input.fileExists("/dev/null") && !input.fileExists("/nonexistent"))
  }

  @Test func usersAndGroups() throws {
    let root = try #require(input.user("root"))
    #expect(root.userID == 0 && root.groupID == 0)
    #expect(input.user("0") == root)
    #expect(input.user("no such user") == nil)
    #expect(input.groupExists("root") && input.groupExists("0") && !input.groupExists("no such group"))
  }

  @Test func theProcessItself() {
    #expect(input.effectiveUserID == geteuid())
    #expect(input.workingDirectory.hasPrefix("/"))
    #expect(!input.hostName.isEmpty)
    #expect(input.environment.contains { $0.0 == "PATH" })
  }

  @Test func passwdLines() {
    let users = parsePasswd(
      "root:x:0:0:root:/root:/bin/sh\n# comment\n\nbroken:x:a:0::/:\nshort:x:1\nb:x:7:8:,,,:/home/b:\n")
    #expect(users.map(\.name) == ["root", "b"])
    #expect(users.last == UserRecord(name: "b", userID: 7, groupID: 8, home: "/home/b"))
    #expect(parseGroups("a:x:5:\nbroken\nb:x:6:u,v\n").map(\.groupID) == [5, 6])
  }

  @Test func aFileOfTheRealWorldIsLoaded() throws {
    let path = Fixtures.folder + "/supervisord/groups.conf"
    let result = loadConfiguration(.live(path: path))
    #expect(result.errors == [])
    #expect(result.spec?.path == path)
    #expect(result.spec?.programs.first?.origin.file == path)
  }
}
