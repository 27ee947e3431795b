import Wire

/// What the identity service remembers about the site.
public enum IdentitySettings {
  /// The administrators' own project: role `admin` in it administers the site.
  public static func adminProjectID(in session: any Session) throws -> String? {
    try session.first("SELECT value FROM settings WHERE name = 'identity.admin_project'", []) { $0.text(0) }
  }
  public static func setAdminProjectID(_ id: String, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO settings (name, value) VALUES ('identity.admin_project', $1) \
      ON CONFLICT (name) DO UPDATE SET value = excluded.value
      """, [.text(id)])
  }
}
