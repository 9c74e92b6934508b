import ControlProtocol

/// The version that the service reports: the project's.
public enum ServiceVersion {
  /// Semantic version.
  public static let current = HivesupVersion.text
}
