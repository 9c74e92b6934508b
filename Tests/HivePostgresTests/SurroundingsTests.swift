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

  static let generated = String(repeating: "0123456789abcdef", count: 4)

  /// Which mount above V makes a new cluster in V a mistake: the one that somebody chose, while V's own was not.
  @Test func aChosenVolumeAboveAnAnonymousOneIsFound() throws {
    func line(_ root: String, _ point: String, _ type: String = "ext4") -> String {
      "71 22 254:0 \(root) \(point) rw,relatime master:1 shared:2 - \(type) /dev/vda rw\n"
    }
    let name = SurroundingsTests.generated
    let other = String(name.reversed())
    let above = "/var/lib/postgresql"
    let data = above + "/data"
    let docker = line("/var/lib/docker/volumes/\(name)/_data", data)
    let containerd = line("/io.containerd.grpc.v1.cri/containers/\(other)/volumes/\(name)", data)
    let cases: [(mounts: String, found: String?)] = [
      (line("/volumes/v/_data", above) + docker, above), (line("/srv/pg", above) + docker, above),
      (line("/", above, "nfs4") + docker, above), (line("/pods/1/volumes/csi/mount", above) + containerd, above),
      (line("/volumes/v/_data", "/var/lib") + docker, "/var/lib"),
      // Nobody has mounted anything: both VOLUMEs of an image on PostgreSQL 18.
      (line("/volumes/\(other)/_data", above) + docker, nil),
      // V was chosen, whatever is above it.
      (line("/volumes/v/_data", above) + line("/volumes/data/_data", data), nil),
      (line("/volumes/\(other)/_data", above) + line("/volumes/v/_data", data), nil),
      (line("/volumes/v/_data", above) + line("/srv/pg", data), nil),
      (line("/volumes/v/_data", above) + line("/volumes/\(name.dropLast())/_data", data), nil),
      (line("/volumes/v/_data", above) + line("/volumes/\(name.uppercased())/_data", data), nil),
      (line("/volumes/v/_data", above) + line("/containers/x/volumes/\(name)", data), nil),
      // V is in it, and no mount of its own: an engine that makes plain directories of an image's VOLUMEs.
      (line("/volumes/v/_data", above), nil),
      (line("/", above, "tmpfs") + docker, nil), (docker, nil), ("", nil),
    ]
    for (mounts, expected) in cases {
      let table = "22 1 0:40 / / rw - overlay overlay rw\n" + mounts
      #expect(MountTable.chosenAbove(data, table)?.point == expected, "\(mounts)")
      let found = try detect(table, files: [".dockerenv": ""])
      #expect((found.refusalBelowAnother != nil) == (expected != nil), "\(mounts)")
    }
  }

  @Test func theRemedyOfAVolumeThatIsMountedTooHighIsAnOption() throws {
    let anonymous =
      "72 71 254:0 /volumes/\(SurroundingsTests.generated)/_data /var/lib/postgresql/data rw - ext4 /dev/vda rw\n"
    let cases: [(root: String, environment: [String: String], remedy: String)] = [
      (
        "/volumes/v/_data", [:],
        "mount it at /var/lib/postgresql/data itself: -v v:/var/lib/postgresql/data (in the place of v:/var/lib/postgresql)"
      ),
      ("/srv/pg", [:], "-v HOST-DIRECTORY:/var/lib/postgresql/data "),
      (
        "/srv/pg", ["KUBERNETES_SERVICE_HOST": "10.0.0.1"],
        "set the mountPath of its volume to /var/lib/postgresql/data"
      ),
    ]
    for (root, environment, remedy) in cases {
      let table = "71 22 254:0 \(root) /var/lib/postgresql rw - ext4 /dev/vda rw\n" + anonymous
      let found = try #require(
        detect(table, files: [".dockerenv": ""], environment: environment).refusalBelowAnother)
      #expect(found.status == .configuration)
      #expect(found.remedy?.contains(remedy) == true, "\(found)")
    }
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
