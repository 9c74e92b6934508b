import Glibc
import SupervisorCore
import Testing

@testable import SupervisorRuntime

@Suite("UserDatabase")
struct UserDatabaseTests {
  @Test("The container's own database agrees with getpwnam and getgrouplist for every user in it")
  func agreesWithLibc() throws {
    let database = UserDatabase()
    let users = UserDatabase.users(in: try FileBytes.read("/etc/passwd", limit: 1 << 24))
    #expect(!users.isEmpty)
    for user in users {
      let libc = try #require(getpwnam(user.name))
      #expect(user.uid == libc.pointee.pw_uid && user.gid == libc.pointee.pw_gid)
      #expect(user.home == String(cString: libc.pointee.pw_dir) && user.shell == String(cString: libc.pointee.pw_shell))
      #expect(try database.user(named: user.name) == user)
      var groups = [gid_t](repeating: 0, count: 256)
      var count = Int32(groups.count)
      #expect(getgrouplist(user.name, user.gid, &groups, &count) >= 0)
      #expect(try database.groups(of: user.name, primary: user.gid).sorted() == groups.prefix(Int(count)).sorted())
    }
  }

  @Test("Lines that passwd(5) does not allow are skipped; the first of two entries counts; the last line needs no end")
  func lines() throws {
    let directory = try ScratchDirectory.shared()
    let users = UserDatabase(
      passwdPath: try directory.file(
        "passwd",
        """
        # comment:x:1:1::/:
        +nis:x:2:2::/:
        -nis:x:3:3::/:
        :x:4:4::/:
        short:x:5:5
        negative:x:-1:1::/:
        nobody:x:4294967295:1::/:
        large:x:99999999999999999999:1::/:
        twice:x:10:11:GECOS, with: colons? no:/home/a
        ok:x:12:13:::
        ok:x:14:15::/other:/bin/sh
        last:x:4294967294:0::/last:/bin/false
        """),
      groupPath: try directory.file("group", "a:x:1:ok\nb:x:zwei:ok\nc:x:3\n:x:4:ok\nd:x:5:xok,ok,oky\na:x:6:ok,ok\n"))
    for name in ["# comment", "comment", "+nis", "-nis", "nis", "", "short", "negative", "nobody", "large", "none"] {
      #expect(try users.user(named: name) == nil, "\(name)")
    }
    #expect(try users.user(named: "ok") == UserEntry(name: "ok", uid: 12, gid: 13, home: "", shell: ""))
    #expect(try users.user(uid: 14)?.home == "/other")
    #expect(try users.user(named: "last")?.uid == 4_294_967_294)
    #expect(try users.group(named: "a") == 1)
    #expect(try users.group(named: "b") == nil)
    #expect(try users.group(named: "c") == 3)
    #expect(try users.groups(of: "ok", primary: 13) == [13, 1, 5, 6])
    #expect(try users.groups(of: "nobody", primary: 1) == [1])
  }

  @Test("Missing files are an empty database; unreadable ones are an error")
  func missingFiles() throws {
    let directory = try ScratchDirectory.shared()
    let users = UserDatabase(passwdPath: directory.file("none"), groupPath: directory.path)
    #expect(try users.user(named: "root") == nil)
    #expect(throws: SystemError("read \(directory.path)", errno: EISDIR)) { try users.group(named: "root") }
  }

  @Test("A FIFO in the place of a file does not stop the supervisor")
  func fifo() throws {
    let directory = try ScratchDirectory.shared()
    mkfifo(directory.file("passwd"), 0o644)
    let users = UserDatabase(passwdPath: directory.file("passwd"), groupPath: "/etc/group")
    #expect(throws: SystemError("read \(directory.file("passwd"))", errno: EINVAL)) { try users.user(named: "root") }
  }

  @Test("Garbage gives no entry that is not in it, and never traps")
  func garbage() {
    var random = SeededGenerator(seed: 20_261_121)
    let alphabet = Array(":,\n\0x019-+# a".utf8)
    for _ in 0..<20_000 {
      let text = (0..<Int.random(in: 0..<60, using: &random)).map { _ in
        Int.random(in: 0..<8, using: &random) == 0
          ? UInt8.random(in: .min ... .max, using: &random) : alphabet.randomElement(using: &random) ?? 0
      }
      for user in UserDatabase.users(in: text) {
        #expect(user.uid != .max && !user.name.isEmpty && !user.name.contains(":"))
      }
      for group in UserDatabase.groups(in: text) { #expect(group.gid != .max && !group.name.contains(":")) }
    }
  }
}
