// A volume that was mounted one directory too high. An engine gives every VOLUME of an image that nobody mounted a volume without a
// name, also below one that somebody did mount: with `-v v:/var/lib/postgresql`, as the official image wants it from 18 on, V is such
// a one inside v. A cluster there would be healthy, and gone with the container: the next one gets another, empty volume.

import Glibc

extension MountTable.Mount {
  /// Made by the engine for a VOLUME of the image, and forgotten with the container. Docker and podman: a volume whose name is 64
  /// hexadecimal digits. containerd below Kubernetes: a directory of such a name in the container's own (volumeMounts of its CRI plugin).
  var isAnonymous: Bool {
    if let volumeName { return MountTable.Mount.isGenerated(volumeName[...]) }
    let parts = root.split(separator: "/").suffix(4)
    guard let first = parts.first, let last = parts.last, parts.count == 4 else { return false }
    return first == "containers" && parts[parts.endIndex - 2] == "volumes"
      && MountTable.Mount.isGenerated(parts[parts.startIndex + 1]) && MountTable.Mount.isGenerated(last)
  }

  private static func isGenerated(_ name: Substring) -> Bool {
    name.utf8.count == 64
      && name.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
  }
}

extension MountTable {
  /// The mount above `path` that somebody has chosen, when what is mounted at `path` itself was not. nil for every other arrangement;
  /// also for a tmpfs above, whose data nobody expects to stay.
  static func chosenAbove(_ path: String, _ text: String) -> Mount? {
    guard let own = mount(of: path, text), own.point == path, own.isAnonymous,
      let above = mount(of: Path.parent(path), text), !above.isAnonymous, above.type != "tmpfs"
    else { return nil }
    return above
  }
}

extension Surroundings {
  /// Why no new cluster may be made in V; nil when it may.
  var refusalBelowAnother: Failure? {
    guard let above = mountPointAbove else { return nil }
    let source = volumeNameBeside.map(ShellWords.quote)
    let remedy: String
    switch engine {
    case .kubernetes:
      remedy = "set the mountPath of its volume to \(volume)"
    case .docker, .podman, nil:
      let option = "-v \(source ?? "HOST-DIRECTORY"):\(ShellWords.quote(volume))"
      remedy =
        "mount it at \(volume) itself: \(option) (in the place of \(source ?? "HOST-DIRECTORY"):\(ShellWords.quote(above)))"
    }
    return Failure(
      .configuration,
      "cannot make a cluster in \(volume): \(source.map { "the volume \($0)" } ?? "a volume") is mounted above it, at \(above), and "
        + "\(volume) is a volume without a name that ends with this container",
      remedy: remedy)
  }
}
