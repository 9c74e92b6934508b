/// The version that the service reports.
public enum ServiceVersion {
  /// Semantic version of the project.
  public static let current = "0.1.0"
}
