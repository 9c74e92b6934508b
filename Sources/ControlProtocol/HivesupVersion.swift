/// The version of everything in this package; it stands in the health document, in `hivesup --version` and in CHANGELOG.md.
public enum HivesupVersion {
  /// Semantic versioning.
  public static let text = "0.1.0"
}
