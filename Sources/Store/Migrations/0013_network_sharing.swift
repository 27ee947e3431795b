extension Migration {
  /// Networks are shared by policies, with everyone or with one project. What was shared with everyone has such a policy now;
  /// an external network has one that shows it to everyone. Ids are made by SQLite's `randomblob`.
  static let networkSharing = Migration(
    number: 13, name: "network sharing",
    sql: """
      CREATE TABLE rbac_policies (
        id TEXT PRIMARY KEY, project_id TEXT NOT NULL, object_type TEXT NOT NULL, object_id TEXT NOT NULL,
        action TEXT NOT NULL CHECK (action IN ('access_as_shared','access_as_external')), target_project TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        UNIQUE (object_id, action, target_project)
      );
      CREATE INDEX rbac_policies_project ON rbac_policies (project_id);
      CREATE INDEX rbac_policies_target ON rbac_policies (target_project, action, object_id);
      INSERT INTO rbac_policies (id, project_id, object_type, object_id, action, target_project, created_at)
        SELECT lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-8'
          || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6))), project_id, 'network', id, 'access_as_shared', '*',
          updated_at FROM networks WHERE is_shared = 1;
      INSERT INTO rbac_policies (id, project_id, object_type, object_id, action, target_project, created_at)
        SELECT lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-8'
          || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6))), project_id, 'network', id, 'access_as_external', '*',
          updated_at FROM networks WHERE is_external = 1;
      ALTER TABLE networks DROP COLUMN is_shared;
      """)
}
