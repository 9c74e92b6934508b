import Testing

@testable import HivePostgresCore

/// The remedies for a volume: a line to copy, for the place where this runs.
@Suite struct SurroundingsTests {
  static let named =
    "22 1 0:40 / / rw - overlay overlay rw\n"
    + "71 22 254:0 /var/lib/docker/volumes/hive\\040data/_data /var/lib/postgresql/data rw - ext4 /dev/vda rw\n"
  static let bind =
    "22 1 0:40 / / rw - overlay overlay rw\n71 22 254:0 /srv/pg /var/lib/postgresql/data rw - ext4 /dev/vda rw\n"
  static let layer = "22 1 0:40 / / rw - overlay overlay rw\n"

  func detect(
    _ mounts: String, files: [String: String], environment: [String: String] = [:], role: String = "genie",
    data: String = "/var/lib/postgresql/data"
  ) throws -> Surroundings {
    let sandbox = try Sandbox()
    for (name, content) in files.merging(["proc/self/mountinfo": mounts], uniquingKeysWith: { $1 }) {
      try sandbox.write("\(sandbox.root)/fake/\(name)", content)
    }
    let settings = try Settings(
      environment: ["HIVE_ROLE": role, "HIVE_DATA": data], workingDirectory: "/", firstStart: false)
    return Surroundings.detect(settings, root: sandbox.root + "/fake", environment: environment)
  }

  @Test func enginesAreRecognised() throws {
    let cases: [(files: [String: String], environment: [String: String], engine: Surroundings.Engine?)] = [
      ([:], [:], nil), ([".dockerenv": ""], [:], .docker), (["run/.containerenv": ""], [:], .podman),
      (["proc/1/cgroup": "4:memory:/docker/0123abcd\n"], [:], .docker), (["proc/1/cgroup": "0::/\n"], [:], nil),
      (["proc/1/cgroup": "0::/machine.slice/libpod-0123.scope\n"], [:], .podman),
      (["proc/1/cgroup": "0::/kubepods/burstable/pod1/0123\n"], [:], .kubernetes),
      ([".dockerenv": ""], ["KUBERNETES_SERVICE_HOST": "10.0.0.1"], .kubernetes),
    ]
    for item in cases {
      let found = try detect(SurroundingsTests.named, files: item.files, environment: item.environment)
      #expect(found.engine == item.engine, "\(item)")
    }
  }

  @Test func theCommandNamesVolumeImageAndUser() throws {
    let user = try ServiceUser.named("12345:0")
    let docker = try detect(SurroundingsTests.named, files: [".dockerenv": ""])
    #expect(docker.volumeName == "hive data")
    #expect(
      docker.own(user)
        == "stop what uses the volume, then run: docker run --rm --user 0 -v 'hive data':/var/lib/postgresql/data hive-genie "
        + "hive-postgres own 12345:0")
    #expect(docker.users.contains("docker ps --filter volume='hive data'"))
    let bind = try detect(SurroundingsTests.bind, files: [".dockerenv": ""], role: "agent")
    #expect(bind.own(user).contains("-v HOST-DIRECTORY:/var/lib/postgresql/data hive-agent hive-postgres own 12345:0"))
    // HIVE_DATA below the mount point, and not where the image has it.
    let below = try detect(
      "71 22 254:0 /x /var/lib/postgresql rw\n", files: [".dockerenv": ""], data: "/var/lib/postgresql/mine")
    #expect(below.own(user).contains("-v HOST-DIRECTORY:/var/lib/postgresql -e HIVE_DATA=/var/lib/postgresql/mine "))
    let pod = try detect(
      SurroundingsTests.bind, files: [:], environment: ["KUBERNETES_SERVICE_HOST": "10.0.0.1"])
    #expect(pod.own(user).contains("init container with runAsUser: 0") && pod.own(user).hasSuffix("own 12345:0"))
  }

  /// A volume in a container's own layer, or on a host: there, root is the remedy.
  @Test func withoutAMountItIsARootsCommand() throws {
    let user = try ServiceUser.named("12345:0")
    for (mounts, files) in [(SurroundingsTests.layer, [".dockerenv": ""]), (SurroundingsTests.bind, [:])] {
      let found = try detect(mounts, files: files)
      #expect(found.own(user).hasSuffix("chown -R 12345:0 /var/lib/postgresql/data"), "\(found.own(user))")
      #expect(found.otherVersion("15").contains("HIVE_PG_BINDIR"))
    }
    #expect(
      try detect(SurroundingsTests.bind, files: [".dockerenv": ""]).otherVersion("15").contains(
        "docker build -f Dockerfile.genie --build-arg POSTGRES_IMAGE=pgvector/pgvector:pg15-bookworm"))
  }

  @Test func theLongestMountPointCounts() {
    let table =
      "1 0 8:1 / / rw\n2 1 8:2 /a /v rw\n3 1 8:3 /volumes/x/_data /v/data rw\n4 1 8:3 /volumes/y/_data /v/dat rw\n"
    #expect(MountTable.mount(of: "/v/data/pgdata", table)?.volumeName == "x")
    #expect(MountTable.mount(of: "/v/other", table)?.root == "/a")
    #expect(MountTable.mount(of: "/elsewhere", table) == nil)
    #expect(MountTable.mountPoints(table) == ["/", "/v", "/v/data", "/v/dat"])
  }

  @Test func usersAreNumbersOrNames() throws {
    #expect(try ServiceUser.named("4242:17").group == 17)
    #expect(try ServiceUser.named("4242").isListed == false)
    #expect(try ServiceUser.named("nobody").isListed)
    for bad in ["", ":", "1:2:3", "0", "0:5", "root", "no such user", "1:x", "-5", "1000:"] {
      #expect(throws: Failure.self, "\(bad)") { try ServiceUser.named(bad) }
    }
  }
}
